//! When a provider fails: who is asked next, how often, and for how long it is left alone.

use std::process::Command;
use std::time::{Duration, Instant};

use lethe_testkit::client::Client;
use lethe_testkit::provider::{FullPort, Provider, closed_port};
use lethe_testkit::wire::{COMPLETION, Say, Wire, answer};

use super::{Scene, asked, route, told};
use crate::supervision::wait_until;
use crate::{CHAT, chat};

const STREAM: &str = r#","stream":true"#;

#[test]
fn who_fails_before_the_first_byte_is_replaced_by_the_next() {
    let (bad, good, full) = (Provider::start(None), Provider::start(None), FullPort::new());
    // What the first route's provider is asked for, where it is, and as what its failure is counted.
    let cases = [
        ("hang", bad.address, "timeout_first_byte"),
        ("e401", bad.address, "unauthorized"),
        ("not-http", bad.address, "malformed"),
        ("redirect", bad.address, "redirected"),
        ("s-error-402", bad.address, "rejected"),
        ("s-error-403", bad.address, "forbidden"),
        ("s-error-429", bad.address, "rate_limited"),
        ("s-error-500", bad.address, "server_error"),
        ("s-error-503", bad.address, "server_error"),
        ("s-error-529", bad.address, "server_error"),
        ("closed", closed_port(), "connect"),
        ("full", full.address, "timeout_connect"),
    ];
    let mut scene = Scene::new("").provider("good", good.address, "");
    for (model, address, _) in cases {
        for way in ["whole", "stream"] {
            let id = format!("{model}-{way}");
            scene = scene.provider(&id, address, "connect_seconds = 1\nfirst_byte_seconds = 2");
            scene = scene.model(&id, "ordered", &[route(&id, model), route("good", &spare(model))]);
        }
    }
    let lethe = scene.start();
    std::thread::scope(|scope| {
        for (model, _, _) in cases {
            let (lethe, good) = (&lethe, &good);
            scope.spawn(move || {
                let mut client = lethe.client();
                for (way, more) in [("whole", ""), ("stream", STREAM)] {
                    let answer = client.post(CHAT, &chat(&format!("{model}-{way}"), more));
                    assert_eq!(told(&answer), (200, "good", "2"), "{model} {way}: {}", answer.text());
                    assert!(answer.complete && answer.text().contains("Hello from"), "{model} {way}");
                }
                assert_eq!(asked(good, &spare(model)), 2, "{model}: once each");
            });
        }
    });
    for (model, address, _) in cases {
        assert!(address != bad.address || asked(&bad, model) == 2, "{model}: once each");
    }
    // Each attempt that failed is counted once, for the route that failed.
    let metrics =
        lethe.metrics_when(|metrics| metrics.iter().filter(|(series, _)| is_failure(series)).count() >= 2 * cases.len());
    for (series, count) in metrics.iter().filter(|(series, _)| is_failure(series)) {
        let expected = cases.iter().any(|(model, _, failure)| {
            series.contains(&format!("failure=\"{failure}\"")) && series.contains(&format!("provider=\"{model}-"))
        });
        assert!(expected && (*count - 1.0).abs() < f64::EPSILON, "{series} {count}");
    }
    let records = lethe.records(2 * cases.len());
    assert_eq!(records.len(), 2 * cases.len());
    assert!(records.iter().all(|record| record["provider"] == "good" && record["status"] == 200), "who served is recorded");
}

/// What the second route asks for: a name that is none of the script's.
fn spare(model: &str) -> String {
    format!("good-{}", model.replace("error", "after"))
}

fn is_failure(series: &str) -> bool {
    series.starts_with("lethe_failures_total{")
}

#[test]
fn what_has_begun_and_what_is_refused_is_asked_for_once() {
    let (first, second) = (Provider::start(None), Provider::start(None));
    let cases = [
        ("cut-stream", STREAM, 200, "provider_cut"),
        ("hang-stream", STREAM, 200, "provider_timeout"),
        ("bad-sse", STREAM, 200, "provider_malformed"),
        ("cut-body", "", 502, "provider_cut"),
        ("r-error-400", "", 400, ""),
        ("r-error-413", "", 413, ""),
        ("r-error-422", "", 422, ""),
    ];
    let mut scene = Scene::new("").provider("first", first.address, "idle_seconds = 1").provider("second", second.address, "");
    for (model, ..) in cases {
        scene = scene.model(model, "ordered", &[route("first", model), route("second", "spare")]);
    }
    let lethe = scene.start();
    for (model, more, status, code) in cases {
        let answer = lethe.client().post(CHAT, &chat(model, more));
        assert_eq!(told(&answer), (status, "first", "1"), "{model}: {}", answer.text());
        assert!(answer.text().contains(code), "{model}: {}", answer.text());
        assert_eq!(answer.complete, status != 200, "{model}: a broken stream has no clean end");
        assert_eq!(asked(&first, model), 1, "{model}");
    }
    assert!(second.seen().is_empty(), "nobody else was asked");
}

#[test]
fn three_providers_are_asked_at_most() {
    let server = Provider::start(None);
    let mut scene = Scene::new("");
    let upstream = ["a-error-500", "b-error-503", "c-error-500", "d-error-500"];
    for model in upstream {
        scene = scene.provider(&model[..1], server.address, "");
    }
    let lethe = scene.model("m", "ordered", &upstream.map(|model| route(&model[..1], model))).start();
    assert_eq!(told(&lethe.client().post(CHAT, &chat("m", ""))), (500, "c", "3"));
    assert_eq!(upstream.map(|model| asked(&server, model)), [1, 1, 1, 0]);
    let records = lethe.records(1);
    assert_eq!((records.len(), &records[0]["provider"], &records[0]["status"]), (1, &"c".into(), &500.into()));
}

#[test]
fn the_only_provider_is_tried_again_where_it_cannot_have_read_anything() {
    let server = Provider::start(None);
    let lethe = Scene::new("")
        .provider("down", closed_port(), "")
        .provider("up", server.address, "")
        .model("down", "ordered", &[route("down", "m")])
        .model("failing", "ordered", &[route("up", "t-error-503")])
        .start();
    let mut client = lethe.client();
    let start = Instant::now();
    let answer = client.post(CHAT, &chat("down", ""));
    let took = start.elapsed();
    assert_eq!((told(&answer), answer.code().as_str()), ((502, "down", "3"), "provider_connect"));
    // Half of 100 ms and of 200 ms is waited at least.
    assert!(took >= Duration::from_millis(150), "{took:?}");
    assert_eq!(told(&client.post(CHAT, &chat("failing", ""))), (503, "up", "1"), "whoever answers has read");
    assert_eq!(asked(&server, "t-error-503"), 1);
    let metrics = lethe.metrics_when(|metrics| metrics.keys().any(|series| series.contains("server_error")));
    let of = |failure: &str| -> f64 {
        metrics.iter().filter(|(series, _)| is_failure(series) && series.contains(failure)).map(|(_, count)| count).sum()
    };
    assert!((of("\"connect\"") - 3.0).abs() < f64::EPSILON, "{metrics:?}");
    assert!((of("server_error") - 1.0).abs() < f64::EPSILON, "{metrics:?}");
}

fn error(status: u16, head: &str, body: &str) -> Vec<u8> {
    format!("HTTP/1.1 {status} X\r\n{head}content-length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

/// Asks until `provider` serves, and says how long after `since` that was. Meanwhile `other` does, without asking `provider`.
fn back_after(client: &mut Client, model: &str, provider: &str, other: &str, since: Instant) -> Duration {
    wait_until("the provider serves again", || {
        let answer = client.post(CHAT, &chat(model, ""));
        if told(&answer) == (200, provider, "1") {
            return Some(since.elapsed());
        }
        assert_eq!(told(&answer), (200, other, "1"), "it is left alone");
        None
    })
}

/// An HTTP-date (RFC 9110 section 5.6.7) between four and five seconds from now.
fn in_five_seconds() -> String {
    let mut date = Command::new("date");
    let output = date.args(["-u", "-d", "+5 seconds", "+%a, %d %b %Y %H:%M:%S GMT"]).env("LC_ALL", "C").output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

#[test]
fn retry_after_is_obeyed_and_passed_on() {
    let json = "content-type: application/json\r\nretry-after: 3\r\n";
    let [limited, overloaded, only, dated] =
        [error(429, json, "{}"), error(503, json, "{}"), error(429, "retry-after: 3\r\n", "slow down"), Vec::new()]
            .map(|bytes| Wire::start(Say::Bytes(bytes)));
    let good = Provider::start(None);
    let lethe = Scene::new("")
        .provider("limited", limited.address, "")
        .provider("overloaded", overloaded.address, "")
        .provider("only", only.address, "")
        .provider("dated", dated.address, "")
        .provider("good", good.address, "")
        .model("limited", "ordered", &[route("limited", "m"), route("good", "m")])
        .model("overloaded", "ordered", &[route("overloaded", "m"), route("good", "m")])
        .model("only", "ordered", &[route("only", "m")])
        .model("dated", "ordered", &[route("dated", "m"), route("good", "m")])
        .start();
    let mut client = lethe.client();
    for (provider, wire) in [("limited", &limited), ("overloaded", &overloaded), ("dated", &dated)] {
        if provider == "dated" {
            wire.say(Say::Bytes(error(503, &format!("retry-after: {}\r\n", in_five_seconds()), "{}")));
        }
        let since = Instant::now();
        assert_eq!(told(&client.post(CHAT, &chat(provider, ""))), (200, "good", "2"));
        assert_eq!(wire.requests(), 1);
        wire.say(Say::Bytes(answer(COMPLETION)));
        let after = back_after(&mut client, provider, provider, "good", since);
        assert!(after >= Duration::from_secs(3), "{provider}: {after:?}");
        assert_eq!(wire.requests(), 2, "once then, once now, and not in between");
    }
    let asked = client.post(CHAT, &chat("only", ""));
    assert_eq!((told(&asked), asked.code().as_str()), ((429, "only", "1"), "provider_rate_limited"));
    assert_eq!(asked.headers.get("retry-after").map(String::as_str), Some("3"), "whatever form its words have");
    assert_eq!(told(&client.post(CHAT, &chat("only", ""))), (429, "only", "1"), "the only one is asked");
    assert_eq!(only.requests(), 2);
    // A date is passed on as the seconds until then.
    only.say(Say::Bytes(error(429, &format!("retry-after: {}\r\n", in_five_seconds()), "slow down")));
    let seconds: u32 = client.post(CHAT, &chat("only", "")).headers["retry-after"].parse().unwrap();
    assert!(seconds <= 5, "{seconds}");
    // A translated answer passes it on too.
    only.say(Say::Bytes(error(429, json, r#"{"error":{"message":"slow down"}}"#)));
    let message = r#"{"model":"only","max_tokens":64,"messages":[{"role":"user","content":"Hello"}]}"#;
    let translated = client.post("/v1/messages", message);
    assert_eq!(translated.headers.get("retry-after").map(String::as_str), Some("3"), "{}", translated.text());
}

#[test]
fn five_failures_in_a_row_and_a_provider_is_left_alone_until_it_serves() {
    let failing = Wire::start(Say::Bytes(error(500, "content-type: application/json\r\n", "{}")));
    let good = Provider::start(None);
    let lethe = Scene::new("")
        .provider("failing", failing.address, "")
        .provider("good", good.address, "")
        .model("m", "ordered", &[route("failing", "m"), route("good", "m")])
        .start();
    let mut client = lethe.client();
    let mut fail = |times: usize| {
        let mut since = Instant::now();
        for _ in 0..times {
            since = Instant::now();
            assert_eq!(told(&client.post(CHAT, &chat("m", ""))), (200, "good", "2"));
        }
        since
    };
    // Four, a success, and it takes five again.
    fail(4);
    failing.say(Say::Bytes(answer(COMPLETION)));
    assert_eq!(told(&lethe.client().post(CHAT, &chat("m", ""))), (200, "failing", "1"));
    failing.say(Say::Bytes(error(500, "content-type: application/json\r\n", "{}")));
    let since = fail(5);
    assert_eq!(failing.requests(), 10);
    failing.say(Say::Bytes(answer(COMPLETION)));
    let after = back_after(&mut client, "m", "failing", "good", since);
    assert!(after >= Duration::from_secs(5), "{after:?}");
    assert_eq!(failing.requests(), 11, "nothing asked how it is but a request");
    for _ in 0..5 {
        assert_eq!(told(&client.post(CHAT, &chat("m", ""))), (200, "failing", "1"), "it has its traffic back");
    }
    assert_eq!(failing.requests(), 16);
    // Every request of every client is in the ledger, and each was served once.
    let records = lethe.records(good.seen().len() + 7);
    let by = |provider: &str| records.iter().filter(|record| record["provider"] == provider).count();
    assert_eq!((by("failing"), by("good"), records.len()), (7, good.seen().len(), good.seen().len() + 7));
}

#[test]
fn answers_that_break_off_are_failures_too() {
    let (server, good) = (Provider::start(None), Provider::start(None));
    let lethe = Scene::new("")
        .provider("stream", server.address, "")
        .provider("whole", server.address, "")
        .provider("good", good.address, "")
        .model("stream", "ordered", &[route("stream", "cut-stream"), route("good", "g")])
        .model("whole", "ordered", &[route("whole", "cut-body"), route("good", "g")])
        .start();
    for (id, more, status) in [("stream", STREAM, 200), ("whole", "", 502)] {
        let mut since = Instant::now();
        for _ in 0..5 {
            since = Instant::now();
            let answer = lethe.client().post(CHAT, &chat(id, more));
            assert_eq!(told(&answer), (status, id, "1"), "they had begun well");
            assert!(answer.text().contains("provider_cut"), "{}", answer.text());
        }
        let next = lethe.client().post(CHAT, &chat(id, more));
        // Unless the machine was away for as long as the provider is left alone.
        assert!(told(&next) == (200, "good", "1") || since.elapsed() >= Duration::from_secs(5), "{id}: {next:?}");
    }
    assert_eq!(server.seen().len() + good.seen().len(), 12);
}

#[test]
fn with_strict_metering_there_is_one_reserve_and_one_settle() {
    let server = Provider::start(None);
    let lethe = Scene::new("metering = \"strict\"\n")
        .provider("bad", server.address, "")
        .provider("good", server.address, "")
        .model("m", "ordered", &[route("bad", "u-error-500"), route("good", "u")])
        .model("worse", "ordered", &[route("bad", "u-error-500"), route("good", "u-error-503")])
        .start();
    let mut client = lethe.client();
    assert_eq!(told(&client.post(CHAT, &chat("m", ""))), (200, "good", "2"));
    assert_eq!(told(&client.post(CHAT, &chat("m", STREAM))), (200, "good", "2"));
    assert_eq!(told(&client.post(CHAT, &chat("worse", ""))), (503, "good", "2"));
    let records = lethe.records(6);
    let said: Vec<_> = records
        .iter()
        .map(|record| ["kind", "provider", "status"].map(|name| record[name].to_string().replace('"', "")).join(" "))
        .collect();
    let reserve = "reserve bad 102";
    assert_eq!(said, [reserve, "settle good 200", reserve, "settle good 200", reserve, "settle good 503"]);
    assert_eq!(asked(&server, "u-error-500"), 3);
    for pair in records.chunks(2) {
        assert_eq!([&pair[0]["at_ms"], &pair[0]["account"]], [&pair[1]["at_ms"], &pair[1]["account"]]);
    }
}
