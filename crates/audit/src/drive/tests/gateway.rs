//! Gateways with a fault each, and what is said of them.

use std::collections::{HashMap, HashSet};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use super::found::found;
use super::{any, brisk, provider, target};
use crate::canary::Canaries;
use crate::drive::http::{Incoming, Stream, Wait};
use crate::drive::{Client, Dialect, Key, Observation, Plan, Ran, Request, run};

const LIMIT: Duration = Duration::from_secs(10);

#[derive(Clone, Copy, PartialEq)]
enum Fault {
    None,
    /// Answers a request that it knows with what it remembers.
    Caches,
    /// Answers everybody with what somebody has been told before.
    MixesUp,
    /// Asks the provider to store.
    Stores,
}

#[derive(Default)]
struct Memory {
    cache: HashMap<Vec<u8>, Vec<u8>>,
    last: Vec<u8>,
}

/// Takes a whole answer of the provider before it passes it on, with its own key for the provider.
fn gateway(to: SocketAddr, fault: Fault) -> SocketAddr {
    let listener = TcpListener::bind(any()).unwrap();
    let address = listener.local_addr().unwrap();
    let memory = Arc::new(Mutex::new(Memory::default()));
    thread::spawn(move || {
        for socket in listener.incoming().flatten() {
            let memory = Arc::clone(&memory);
            thread::spawn(move || serve(socket, to, fault, &memory));
        }
    });
    address
}

fn serve(socket: TcpStream, to: SocketAddr, fault: Fault, memory: &Mutex<Memory>) -> Option<()> {
    let mut stream = Stream::Plain(socket);
    stream.make_limited().ok()?;
    let mut incoming = Incoming::default();
    while let Ok(Some(head)) = incoming.request(&mut stream, &Wait::of(LIMIT)) {
        let (mut body, end) = incoming.body(&mut stream, head.headers.request_framing(), 1 << 24, &Wait::of(LIMIT));
        if end != crate::drive::End::Complete {
            return None;
        }
        if fault == Fault::Stores {
            body = String::from_utf8_lossy(&body).replace("\"store\":false", "\"store\":true").into_bytes();
        }
        let known = memory.lock().unwrap().cache.get(&body).cloned().filter(|_| fault == Fault::Caches);
        let (status, answer) = known.map_or_else(|| ask(to, &head, &body), |answer| (200, answer));
        let mut memory = memory.lock().unwrap();
        memory.cache.insert(body, answer.clone());
        let shown = if fault == Fault::MixesUp { [answer.as_slice(), &memory.last].concat() } else { answer.clone() };
        memory.last = answer;
        drop(memory);
        let head = format!("HTTP/1.1 {status} X\r\ncontent-type: text/plain\r\ncontent-length: {}\r\n\r\n", shown.len());
        stream.write_within(&[head.as_bytes(), &shown].concat(), &Wait::of(LIMIT)).ok()?;
    }
    None
}

fn ask(to: SocketAddr, head: &crate::drive::http::Head, body: &[u8]) -> (u16, Vec<u8>) {
    let mut upstream = target(to, Dialect::OpenAi);
    upstream.key = Key::new("sk-of-the-gateway-at-the-provider").unwrap();
    let mut client = Client::connect(&upstream, LIMIT).unwrap();
    let method = if head.method == "GET" { "GET" } else { "POST" };
    let content_type = head.headers.value("content-type").unwrap_or_default().to_owned();
    let request = Request { method, path: head.path.clone(), content_type, body: body.to_vec(), ..Request::default() };
    client.exchange(&request, LIMIT).map_or((502, b"{\"failed\":true}".to_vec()), |answer| (answer.status, answer.body))
}

fn observed(fault: Fault) -> (HashSet<Observation>, Ran, Canaries) {
    let provider = provider();
    let target = target(gateway(provider.address(), fault), Dialect::OpenAi);
    let mut canaries = Canaries::new().unwrap();
    let plan = brisk(Plan::full(Dialect::OpenAi)).only(&["/v1/chat"]);
    let ran = run(&plan, &target, Some(&provider), &mut canaries, &mut |_| {}).unwrap();
    (ran.observed.iter().map(|observed| observed.what).collect(), ran, canaries)
}

/// Canaries in answers where they do not belong, as (where, whose row).
fn strange(ran: &Ran, canaries: &Canaries) -> HashSet<(String, String)> {
    let strange_of = |answer: &crate::drive::Answered| {
        let ids = found(&answer.bytes, canaries).into_iter().filter(|id| !answer.own.contains(id)).collect::<Vec<_>>();
        ids.into_iter().map(|id| (answer.from.clone(), canaries.label(id).unwrap().outcome.clone())).collect::<Vec<_>>()
    };
    ran.answers.iter().flat_map(strange_of).collect()
}

#[test]
fn what_a_gateway_that_gathers_answers_gets_wrong() {
    let (observed, ran, canaries) = observed(Fault::None);
    // It takes any key, passes errors on, and learns of nothing while it waits.
    let expected = [
        Observation::ClientGoneUnnoticed,
        Observation::CutLooksComplete,
        Observation::ProviderErrorReachedClient,
        Observation::WrongKeyTaken,
    ];
    assert_eq!(observed, HashSet::from(expected));
    assert_eq!(strange(&ran, &canaries), HashSet::new());
}

#[test]
fn a_cache_is_seen_and_its_answer_is_strange() {
    let (observed, ran, canaries) = observed(Fault::Caches);
    assert!(observed.contains(&Observation::AnsweredFromCache));
    let strange = strange(&ran, &canaries);
    let twice = "the same request twice".to_owned();
    assert!(strange.contains(&(format!("POST /v1/chat/completions · {twice}"), twice)), "{strange:?}");
}

#[test]
fn another_ones_answer_is_strange() {
    let (_, ran, canaries) = observed(Fault::MixesUp);
    let strange = strange(&ran, &canaries);
    assert!(strange.iter().any(|(from, whose)| !from.ends_with(whose.as_str())), "{strange:?}");
}

#[test]
fn forced_storing_is_seen() {
    assert!(observed(Fault::Stores).0.contains(&Observation::StoreForced));
}

#[test]
fn the_provider_itself_is_only_too_open() {
    let provider = provider();
    let target = target(provider.address(), Dialect::OpenAi);
    let mut canaries = Canaries::new().unwrap();
    let plan = brisk(Plan::full(Dialect::OpenAi)).only(&["/v1/chat"]);
    let ran = run(&plan, &target, Some(&provider), &mut canaries, &mut |_| {}).unwrap();
    let observed: HashSet<_> = ran.observed.iter().map(|observed| observed.what).collect();
    let expected = [Observation::KeyReachedProvider, Observation::ProviderErrorReachedClient, Observation::WrongKeyTaken];
    assert_eq!(observed, HashSet::from(expected));
}
