//! What the metrics say of routing: each step once, on its route, and nothing of any request.

use std::collections::BTreeMap;

use lethe_testkit::canary::Canary;
use lethe_testkit::provider::{Provider, closed_port};
use lethe_testkit::wire::{COMPLETION, Say, Wire, answer};

use super::{Scene, good_wire, route, told};
use crate::supervision::wait_until;
use crate::{CHAT, chat};

const STEPS: [&str; 3] = ["lethe_attempts_total", "lethe_fallbacks_total", "lethe_retries_total"];

/// The sum of a family's series with this provider.
fn of(metrics: &BTreeMap<String, f64>, family: &str, provider: &str) -> f64 {
    let (family, provider) = (format!("{family}{{"), format!("provider=\"{provider}\""));
    metrics.iter().filter(|(series, _)| series.starts_with(&family) && series.contains(&provider)).map(|(_, value)| value).sum()
}

#[test]
fn attempts_fallbacks_and_retries_are_counted_for_their_routes() {
    let (bad, good) = (Provider::start(None), Provider::start(None));
    let lethe = Scene::new("")
        .provider("bad", bad.address, "")
        .provider("good", good.address, "")
        .provider("down", closed_port(), "")
        .model("m", "ordered", &[route("bad", "k-error-500"), route("good", "k")])
        .model("down", "ordered", &[route("down", "k")])
        .start();
    let mut client = lethe.client();
    let steps = |metrics: &BTreeMap<String, f64>, provider| STEPS.map(|family| of(metrics, family, provider));
    assert_eq!(told(&client.post(CHAT, &chat("m", ""))), (200, "good", "2"));
    let metrics = lethe.metrics_when(|metrics| steps(metrics, "good") == [1.0, 0.0, 0.0]);
    assert_eq!(steps(&metrics, "bad"), [1.0, 1.0, 0.0]);
    assert_eq!(steps(&metrics, "down"), [0.0; 3], "nobody asked");

    assert_eq!(told(&client.post(CHAT, &chat("m", r#","stream":true"#))), (200, "good", "2"));
    assert_eq!(told(&client.post(CHAT, &chat("down", ""))), (502, "down", "3"));
    let ended = |metrics: &BTreeMap<String, f64>, provider| of(metrics, "lethe_requests_total", provider);
    let metrics = lethe.metrics_when(|metrics| {
        let all = ["bad", "good", "down"].map(|provider| (of(metrics, STEPS[0], provider), ended(metrics, provider)));
        all == [(2.0, 0.0), (2.0, 2.0), (3.0, 1.0)]
    });
    assert_eq!(
        ["bad", "good", "down"].map(|provider| steps(&metrics, provider)),
        [[2.0, 2.0, 0.0], [2.0, 0.0, 0.0], [3.0, 0.0, 2.0]]
    );
    for provider in ["bad", "good", "down"] {
        let [attempts, fallbacks, retries] = steps(&metrics, provider);
        assert_eq!(attempts, ended(&metrics, provider) + fallbacks + retries, "{provider}");
    }
}

#[test]
fn a_provider_that_is_left_alone_shows_until_it_is_not() {
    let failing = Wire::start(Say::Bytes(b"HTTP/1.1 500 X\r\ncontent-length: 0\r\n\r\n".to_vec()));
    let good = Provider::start(None);
    let lethe = Scene::new("")
        .provider("failing", failing.address, "")
        .provider("good", good.address, "")
        .model("m", "ordered", &[route("failing", "m"), route("good", "m")])
        .model("held", "ordered", &[route("good", "tick-stream")])
        .start();
    let mut client = lethe.client();
    let [open, opens, requests] =
        ["lethe_provider_circuits_open", "lethe_provider_circuit_opens_total", "lethe_provider_requests_open"];
    for _ in 0..4 {
        assert_eq!(told(&client.post(CHAT, &chat("m", ""))), (200, "good", "2"));
    }
    let metrics = lethe.metrics_when(|metrics| of(metrics, STEPS[0], "failing") == 4.0);
    assert_eq!([of(&metrics, open, "failing"), of(&metrics, opens, "failing")], [0.0, 0.0], "four are not enough");
    assert_eq!(told(&client.post(CHAT, &chat("m", ""))), (200, "good", "2"));
    // On a busy machine its five seconds may pass unseen: then it is asked, and left alone for longer.
    let metrics = wait_until("it is left alone", || {
        client.post(CHAT, &chat("m", ""));
        Some(lethe.metrics()).filter(|metrics| of(metrics, open, "failing") == 1.0)
    });
    assert!(of(&metrics, opens, "failing") >= 1.0);
    assert_eq!([of(&metrics, open, "good"), of(&metrics, opens, "good")], [0.0, 0.0]);
    failing.say(Say::Bytes(answer(COMPLETION)));
    let metrics = lethe.metrics_when(|metrics| of(metrics, open, "failing") == 0.0);
    let times = of(&metrics, opens, "failing");
    assert_eq!(times, failing.requests() as f64 - 4.0, "the fifth opened it, and each that tried after");
    wait_until("it serves again", || (told(&client.post(CHAT, &chat("m", ""))) == (200, "failing", "1")).then_some(()));

    let mut held = lethe.client();
    held.send("POST", CHAT, &[("content-type", "application/json")], chat("held", r#","stream":true"#).as_bytes());
    held.wait_for("tick ");
    let metrics = lethe.metrics_when(|metrics| of(metrics, requests, "good") == 1.0);
    assert_eq!(of(&metrics, requests, "failing"), 0.0);
    good.release();
    assert_eq!(told(&held.answer()), (200, "good", "1"));
    let metrics = lethe.metrics_when(|metrics| of(metrics, requests, "good") == 0.0);
    assert_eq!([of(&metrics, open, "failing"), of(&metrics, opens, "failing")], [0.0, times], "what was counted stays");
}

/// Whether every label of this series is of a closed set, with these providers and models.
fn is_closed(series: &str, providers: &[&str], models: &[&str]) -> bool {
    let Some((_, labels)) = series.split_once('{') else { return true };
    labels.trim_end_matches("\"}").split("\",").filter_map(|label| label.split_once("=\"")).all(|(name, value)| match name {
        "model" => value.is_empty() || models.contains(&value),
        "provider" => value.is_empty() || providers.contains(&value),
        "route" => value.parse::<usize>().is_ok_and(|route| route <= 3),
        // Words of the program.
        "alarm" | "direction" | "exit" | "failure" | "operation" | "reason" | "role" | "standing" | "status" | "unit" => {
            value.len() <= 24 && value.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
        }
        "build" | "le" | "version" => true,
        _ => false,
    })
}

#[test]
fn no_label_is_of_a_request() {
    let (bad, good) = (Provider::start(None), good_wire());
    let lethe = Scene::new("")
        .provider("bad", bad.address, "")
        .provider("good", good.address, "")
        .provider("down", closed_port(), "")
        .model("any/*", "ordered", &[route("bad", "*-error-500"), route("good", "*")])
        .model("down", "ordered", &[route("down", "m")])
        .start();
    let mut client = lethe.client();
    let canaries: Vec<Canary> = (0..6).map(|turn| Canary::new(&format!("a model of turn {turn}"))).collect();
    for canary in &canaries {
        let name = canary.value.as_str();
        assert_eq!(client.post(CHAT, &chat(&format!("any/{name}"), "")).status, 200);
        assert_eq!(client.post(CHAT, &chat(name, "")).status, 404);
        client.send("POST", CHAT, &[("content-type", "application/json"), ("lethe-provider", name)], chat("down", "").as_bytes());
        assert_eq!(client.answer().status, 400);
    }
    assert_eq!(client.post(CHAT, &chat("down", "")).status, 502);
    let metrics = lethe.metrics_when(|metrics| {
        let steps = [("bad", 0, 5.0), ("bad", 1, 5.0), ("good", 0, 6.0), ("down", 2, 2.0)];
        steps.iter().all(|(provider, step, count)| of(metrics, STEPS[*step], provider) >= *count)
    });
    let (providers, models) = (["bad", "good", "down"], ["any/*", "down"]);
    for series in metrics.keys() {
        assert!(is_closed(series, &providers, &models), "{series}");
        assert!(!canaries.iter().any(|canary| series.contains(&canary.value)), "{series}");
    }
    // Three routes, three steps; the provider that failed five times is among the three.
    assert!(metrics.keys().filter(|series| STEPS.iter().any(|family| series.starts_with(family))).count() <= 9);
    assert_eq!(metrics.keys().filter(|series| series.starts_with("lethe_provider_circuits_open{")).count(), 3);
    // Controls: what was looked for was in requests that were counted, and a label of one would have been seen.
    assert!(bad.seen().iter().any(|seen| seen.body.to_string().contains(&canaries[0].value)));
    let forged = format!("lethe_attempts_total{{route=\"1\",provider=\"bad\",model=\"any/{}\"}}", canaries[0].value);
    assert!(!is_closed(&forged, &providers, &models));
    assert!(!is_closed("lethe_attempts_total{route=\"1\",key=\"1\"}", &providers, &models));
}
