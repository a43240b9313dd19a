//! How much one provider is asked at once, and how long it may take.

use std::time::{Duration, Instant};

use lethe_testkit::client::Client;
use lethe_testkit::lethe::Lethe;
use lethe_testkit::provider::{FullPort, Provider};
use lethe_testkit::wire::{Say, Wire};

use super::{Scene, asked, route, told};
use crate::supervision::wait_until;
use crate::{CHAT, chat};

/// Longer than any limit here, for a busy machine.
const SOON: Duration = Duration::from_secs(20);

fn stream(lethe: &Lethe) -> Client {
    let mut client = lethe.client();
    let body = chat("m", r#","stream":true"#);
    client.send("POST", CHAT, &[("content-type", "application/json")], body.as_bytes());
    client.wait_for("tick ");
    client
}

#[test]
fn a_full_provider_gives_way_and_when_all_are_full_clients_are_told() {
    let (narrow, wide) = (Provider::start(None), Provider::start(None));
    let lethe = Scene::new("")
        .provider("narrow", narrow.address, "max_concurrent = 1")
        .provider("wide", wide.address, "max_concurrent = 2")
        .model("m", "ordered", &[route("narrow", "tick-stream"), route("wide", "tick-stream")])
        .model("quick", "ordered", &[route("narrow", "q"), route("wide", "q")])
        .start();
    let mut client = lethe.client();
    assert_eq!(told(&client.post(CHAT, &chat("quick", ""))), (200, "narrow", "1"));
    let mut open = vec![stream(&lethe), stream(&lethe)];
    assert_eq!([asked(&narrow, "tick-stream"), asked(&wide, "tick-stream")], [1, 1]);
    assert_eq!(told(&client.post(CHAT, &chat("quick", ""))), (200, "wide", "1"), "there is room for one more");
    open.push(stream(&lethe));
    let (before, at) = (narrow.seen().len() + wide.seen().len(), Instant::now());
    for more in ["", r#","stream":true"#] {
        let answer = client.post(CHAT, &chat("quick", more));
        assert_eq!((answer.status, answer.code().as_str()), (503, "provider_busy"), "{}", answer.text());
        assert_eq!(answer.headers.get("retry-after").map(String::as_str), Some("1"));
    }
    assert!(at.elapsed() < SOON, "nobody waits for a place");
    assert_eq!(narrow.seen().len() + wide.seen().len(), before, "and nobody was asked");
    let refused = "lethe_refused_total{reason=\"provider_busy\"}";
    let counted = lethe.metrics_when(|metrics| metrics.get(refused).is_some_and(|count| *count >= 2.0))[refused];
    assert!((counted - 2.0).abs() < f64::EPSILON, "{counted}");

    narrow.release();
    let mut first = open.remove(0);
    assert_eq!(told(&first.answer()), (200, "narrow", "1"));
    wait_until("its place is given back", || {
        (told(&client.post(CHAT, &chat("quick", ""))) == (200, "narrow", "1")).then_some(())
    });
    // A client that goes away gives its place back too.
    drop(open);
    narrow.hold();
    let _open = stream(&lethe);
    wait_until("the others' places are given back", || {
        (told(&client.post(CHAT, &chat("quick", ""))) == (200, "wide", "1")).then_some(())
    });
}

#[test]
fn each_limit_of_waiting_ends_what_takes_too_long() {
    let (server, full) = (Provider::start(None), FullPort::new());
    let head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 1000000\r\n\r\n{\"choices\":[".to_vec();
    let (drip, dripping) = (Wire::start(Say::Drip(head, b" ".to_vec())), r#","stream":true"#);
    // The model and the provider's id, where it is, what is limited, and whether a stream is asked for.
    let cases = [
        ("full", full.address, "connect_seconds = 1", "", "timeout_connect", 1),
        ("hang", server.address, "first_byte_seconds = 1", "", "timeout_first_byte", 1),
        ("hang-stream", server.address, "idle_seconds = 1", dripping, "timeout_idle", 1),
        ("drip", server.address, "total_seconds = 3\nidle_seconds = 2", dripping, "timeout_total", 3),
        ("whole", drip.address, "total_seconds = 3\nidle_seconds = 2", "", "timeout_total", 3),
    ];
    let mut scene = Scene::new("");
    for (model, address, limit, ..) in cases {
        scene = scene.provider(model, address, limit).model(model, "ordered", &[route(model, model)]);
    }
    let lethe = scene.start();
    std::thread::scope(|scope| {
        for (model, _, _, more, failure, seconds) in cases {
            let lethe = &lethe;
            scope.spawn(move || {
                let start = Instant::now();
                let answer = lethe.client().post(CHAT, &chat(model, more));
                let took = start.elapsed();
                assert!(took >= Duration::from_secs(seconds) && took < SOON, "{model}: {took:?}");
                assert!(answer.text().contains("provider_timeout"), "{model}: {}", answer.text());
                let status = if more.is_empty() { 504 } else { 200 };
                assert_eq!(told(&answer), (status, model, "1"));
                let counted = |series: &str| {
                    series.contains(&format!("failure=\"{failure}\"")) && series.contains(&format!("provider=\"{model}\""))
                };
                let metrics = lethe.metrics_when(|metrics| metrics.keys().any(|series| counted(series)));
                assert!(
                    metrics.iter().filter(|(series, _)| counted(series)).all(|(_, count)| (*count - 1.0).abs() < f64::EPSILON)
                );
            });
        }
    });
    assert_eq!(["hang", "hang-stream", "drip"].map(|model| asked(&server, model)), [1; 3], "nobody is asked twice for it");
    assert_eq!(drip.requests(), 1);
}
