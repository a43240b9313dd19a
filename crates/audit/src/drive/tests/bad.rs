//! Targets that are no targets, the other ways to connect, and the sink for traces.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use rustls::ServerConfig;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

use super::{KEY, any, brisk, provider, target};
use crate::canary::{Canaries, Direction};
use crate::drive::{
    BadTarget, Broken, Client, Dialect, Key, NoVerdict, Observation, Plan, Provider, Request, Sink, State, Target, Up, Why,
    probe, run,
};

const LIMIT: Duration = Duration::from_secs(5);

/// Reads a little, and says this to everybody.
fn canned(answer: &'static str) -> SocketAddr {
    let listener = TcpListener::bind(any()).unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for mut socket in listener.incoming().flatten() {
            thread::spawn(move || {
                let mut block = [0; 4096];
                while let Ok(1..) = socket.read(&mut block) {
                    if answer.is_empty() {
                        continue;
                    }
                    if socket.write_all(answer.as_bytes()).is_err() {
                        return;
                    }
                }
            });
        }
    });
    address
}

/// An address where nobody listens.
fn nobody() -> SocketAddr {
    TcpListener::bind(any()).unwrap().local_addr().unwrap()
}

fn verdict(address: SocketAddr) -> Result<Up, NoVerdict> {
    probe(&target(address, Dialect::OpenAi), Some(&provider()), LIMIT)
}

#[test]
fn a_target_that_is_down_is_said_to_be() {
    assert_eq!(verdict(nobody()), Err(NoVerdict::TargetDown(Broken::Unreachable)));
    let mut canaries = Canaries::new().unwrap();
    let plan = brisk(Plan::quick(Dialect::OpenAi));
    let ran = run(&plan, &target(nobody(), Dialect::OpenAi), Some(&provider()), &mut canaries, &mut |_| {}).unwrap();
    for row in &ran.rows {
        assert_eq!(row.state, State::NotExercised { why: Why::Unreachable(Broken::Unreachable) }, "{}", row.outcome);
    }
}

#[test]
fn a_wrong_key_is_said_to_be() {
    let refusing = "HTTP/1.1 401 Unauthorized\r\ncontent-length: 2\r\n\r\n{}";
    assert_eq!(verdict(canned(refusing)), Err(NoVerdict::WrongKey(401)));
}

#[test]
fn a_target_with_another_provider_is_said_to_be() {
    let own = "HTTP/1.1 200 OK\r\ncontent-length: 14\r\n\r\n{\"choices\":[]}";
    assert_eq!(verdict(canned(own)), Err(NoVerdict::OtherProvider));
    let lost = "HTTP/1.1 502 Bad Gateway\r\ncontent-length: 2\r\n\r\n{}";
    assert_eq!(verdict(canned(lost)), Err(NoVerdict::OtherProvider));
    let unknown = "HTTP/1.1 404 Not Found\r\ncontent-length: 2\r\n\r\n{}";
    assert_eq!(verdict(canned(unknown)), Err(NoVerdict::NoAnswer(404)));
    assert_eq!(verdict(canned("SSH-2.0-OpenSSH_9.2\r\n\r\n")), Err(NoVerdict::TargetDown(Broken::NotHttp)));
}

#[test]
fn a_target_that_never_answers_holds_nothing_up() {
    let silent = canned("");
    let began = Instant::now();
    let result = probe(&target(silent, Dialect::OpenAi), None, Duration::from_millis(200));
    assert_eq!(result, Err(NoVerdict::TargetDown(Broken::TimedOut)));
    let mut canaries = Canaries::new().unwrap();
    let mut plan = brisk(Plan::full(Dialect::OpenAi)).only(&["/v1/chat"]);
    plan.limits.answer = Duration::from_millis(100);
    plan.limits.row = Duration::from_millis(300);
    let ran = run(&plan, &target(silent, Dialect::OpenAi), Some(&provider()), &mut canaries, &mut |_| {}).unwrap();
    for row in &ran.rows {
        assert!(row.took < Duration::from_secs(1), "{} took {:?}", row.outcome, row.took);
    }
    assert!(ran.rows.iter().any(|row| row.state == State::NotExercised { why: Why::NoAnswer(Broken::TimedOut) }));
    assert!(began.elapsed() < Duration::from_secs(40));
}

#[test]
fn an_endpoint_that_is_not_there_is_not_served() {
    let nothing = canned("HTTP/1.1 404 Not Found\r\ncontent-length: 2\r\n\r\n{}");
    let mut canaries = Canaries::new().unwrap();
    let plan = brisk(Plan::full(Dialect::OpenAi)).only(&["success"]);
    let ran = run(&plan, &target(nothing, Dialect::OpenAi), Some(&provider()), &mut canaries, &mut |_| {}).unwrap();
    assert!(ran.rows.iter().all(|row| row.state == State::NotServed && row.status == Some(404) && !row.canaries.is_empty()));
    let refusing = canned("HTTP/1.1 400 Bad Request\r\ncontent-length: 2\r\n\r\n{}");
    let ran = run(&plan, &target(refusing, Dialect::OpenAi), Some(&provider()), &mut canaries, &mut |_| {}).unwrap();
    assert!(ran.rows.iter().all(|row| row.state == State::Refused));
}

/// Answers one request, and is gone.
fn fragile() -> SocketAddr {
    let listener = TcpListener::bind(any()).unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        let (mut socket, _) = listener.accept().unwrap();
        let _ = socket.read(&mut [0; 64 * 1024]);
        let _ = socket.write_all(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 2\r\n\r\n{}");
    });
    address
}

#[test]
fn a_target_that_goes_down_is_said_to() {
    let mut canaries = Canaries::new().unwrap();
    let plan = brisk(Plan::full(Dialect::OpenAi)).only(&["/v1/chat", "success"]);
    let ran = run(&plan, &target(fragile(), Dialect::OpenAi), Some(&provider()), &mut canaries, &mut |_| {}).unwrap();
    assert_eq!(ran.rows[0].state, State::Refused);
    let observed: Vec<_> = ran.observed.iter().map(|observed| (observed.outcome, observed.what)).collect();
    assert_eq!(observed, [("success", Observation::TargetGone)]);
}

#[test]
fn without_a_provider_rows_that_need_one_say_so() {
    let other = provider();
    let target = target(other.address(), Dialect::OpenAi);
    assert_eq!(probe(&target, None, LIMIT), Ok(Up { through_provider: false }));
    let mut canaries = Canaries::new().unwrap();
    let ran = run(&brisk(Plan::full(Dialect::OpenAi)), &target, None, &mut canaries, &mut |_| {}).unwrap();
    for row in &ran.rows {
        let needs = row.outcome.starts_with("provider") || row.outcome == "slow provider";
        let expected = if needs { State::NotExercised { why: Why::NeedsProvider } } else { State::Exercised };
        // A path that the model's server does not know is what this row is for.
        let refused = row.state == State::Refused && row.outcome == "path";
        assert!(row.state == expected || refused, "{} · {}: {:?}", row.endpoint, row.outcome, row.state);
        assert_eq!(row.canaries.is_empty(), needs);
    }
    assert!(canaries.labels().all(|(_, label)| label.direction == Direction::Prompt));
}

#[test]
fn tls_is_trusted_by_a_given_authority_only() {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let pem = made.cert.pem();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
    let config = ServerConfig::builder().with_no_client_auth().with_single_cert(vec![made.cert.der().clone()], key).unwrap();
    let provider = Provider::start_with(any(), Some(Arc::new(config))).unwrap();
    let url = format!("https://localhost:{}/v1", provider.address().port());
    let target = |ca: Option<&[u8]>| {
        let mut target = Target::new(&url, Key::new(KEY).unwrap(), "audit-model", Dialect::OpenAi, ca).unwrap();
        target.resolve = Some(provider.address());
        target
    };
    assert_eq!(probe(&target(Some(pem.as_bytes())), Some(&provider), LIMIT), Ok(Up { through_provider: true }));
    assert_eq!(probe(&target(None), Some(&provider), LIMIT), Err(NoVerdict::TargetDown(Broken::Tls)));
    let mut canaries = Canaries::new().unwrap();
    let plan = brisk(Plan::quick(Dialect::OpenAi));
    let ran = run(&plan, &target(Some(pem.as_bytes())), Some(&provider), &mut canaries, &mut |_| {}).unwrap();
    assert!(ran.rows.iter().all(|row| row.state == State::Exercised), "{:?}", ran.rows);
}

#[test]
fn addresses_are_read_strictly_and_keys_are_not_printed() {
    let new = |url| Target::new(url, Key::new(KEY).unwrap(), "m", Dialect::OpenAi, None);
    let read = |url| new(url).map(|target| (target.host, target.port, target.base));
    assert_eq!(read("http://h"), Ok(("h".into(), 80, "/v1".into())));
    assert_eq!(read("https://h.example:8443/api/v1/"), Ok(("h.example".into(), 8443, "/api/v1".into())));
    assert_eq!(read("http://[::1]:1/"), Ok(("[::1]".into(), 1, "/v1".into())));
    assert_eq!(read("http://[::1]"), Ok(("[::1]".into(), 80, "/v1".into())));
    for (url, error) in [
        ("h:80", BadTarget::Scheme),
        ("http://", BadTarget::Host),
        ("http://h:99999", BadTarget::Host),
        ("http://h:0", BadTarget::Host),
        ("http://u@h", BadTarget::Extra),
        ("http://h/?key=x", BadTarget::Extra),
        ("http://h/a b", BadTarget::Extra),
    ] {
        assert_eq!(read(url).unwrap_err(), error, "{url}");
    }
    let authority = Target::new("https://h", Key::new(KEY).unwrap(), "m", Dialect::OpenAi, Some(b"no PEM"));
    assert_eq!(authority.unwrap_err(), BadTarget::Authority);
    assert!(Key::new("two\r\nlines").is_none());
    assert!(!format!("{:?} {:?}", new("http://h").unwrap(), Key::new(KEY)).contains("0123456789"));
}

#[test]
fn exports_are_kept_as_they_come() {
    let sink = Sink::start(any()).unwrap();
    let url = sink.url();
    let mut target = Target::new(&url, Key::new(KEY).unwrap(), "m", Dialect::OpenAi, None).unwrap();
    target.base = String::new();
    let mut client = Client::connect(&target, LIMIT).unwrap();
    let squeezed = b"\x1f\x8b not really".to_vec();
    for (path, content_type, body) in
        [("/v1/traces", "application/x-protobuf", squeezed.clone()), ("/v1/logs", "application/json", b"{}".to_vec())]
    {
        let headers = vec![("content-encoding".to_owned(), "gzip".to_owned())];
        let request =
            Request { method: "POST", path: path.into(), headers, content_type: content_type.into(), body, ..Request::default() };
        let answer = client.exchange(&request, LIMIT).map_err(|broken| broken.to_string());
        assert_eq!(answer.map(|answer| (answer.status, answer.content_type)), Ok((200, content_type.to_owned())));
    }
    assert!(sink.wait(2, LIMIT));
    let received = sink.received();
    assert_eq!(received.iter().map(|export| export.path.as_str()).collect::<Vec<_>>(), ["/v1/traces", "/v1/logs"]);
    assert!(received[0].bytes.ends_with(&squeezed));
    assert_eq!(sink.dropped(), 0);
    assert!(!sink.wait(3, Duration::from_millis(50)));
}
