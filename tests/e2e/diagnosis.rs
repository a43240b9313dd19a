//! Every failure code made to happen, and counted for exactly its route; nothing of any request in what an operator is shown.

use std::collections::{BTreeMap, BTreeSet};
use std::thread;
use std::time::{Duration, Instant};

use lethe_testkit::canary::Canary;
use lethe_testkit::client::Client;
use lethe_testkit::lethe::{Lethe, Setup, model_table, provider_table};
use lethe_testkit::pki::Pki;
use lethe_testkit::provider::{FullPort, Provider, closed_port};
use lethe_testkit::scan::Scanner;
use rustix::process::{Pid, Signal, kill_process};

use crate::{CHAT, Pair, chat};

/// What makes the test-only executable panic.
const PANIC: &str = "lethe-fault-injection-panic";
/// More than the dialer opens at once.
const DIALS: usize = 300;

/// `failure provider/model` of every failure that was counted.
fn failures(metrics: &BTreeMap<String, f64>) -> BTreeSet<String> {
    let label = |series: &str, name: &str| {
        let (_, rest) = series.split_once(&format!("{name}=\"")).unwrap();
        rest.split('"').next().unwrap().to_owned()
    };
    let counted = metrics.keys().filter(|series| series.starts_with("lethe_failures_total{"));
    counted
        .map(|series| format!("{} {}/{}", label(series, "failure"), label(series, "provider"), label(series, "model")))
        .collect()
}

/// Providers with one thing wrong each, and a model `ID-model` for each of them.
fn with_broken_providers(mut setup: Setup, provider: &Provider, stranger: &Provider, full: &FullPort) -> Setup {
    let file = |name: &str| setup.folder().join(name).display().to_string();
    let at = |id: &str, host: &str, port: u16| {
        provider_table(id, &format!("https://{host}:{port}/v1"), &file("ca.pem"), &file("provider-key"))
    };
    let good = provider.address.port();
    let mut more = at("down", "127.0.0.1", closed_port().port());
    more += &at("stranger", "localhost", stranger.address.port());
    more += &at("nowhere", "provider.invalid", good);
    more += &at("full", "127.0.0.1", full.address.port()).replace("first_byte_seconds = 3", "first_byte_seconds = 25");
    more += &at("endless", "localhost", good).replace("idle_seconds = 3", "idle_seconds = 3\ntotal_seconds = 3");
    more += &at("overdue", "localhost", good).replace("2099-01-01", "2026-02-01");
    for id in ["down", "stranger", "nowhere", "full", "endless", "overdue"] {
        more += &model_table(&format!("{id}-model"), id, if id == "endless" { "drip" } else { "ok" });
    }
    setup.config = setup.config.map(|config| config + &more);
    setup
}

#[test]
fn every_failure_is_counted_for_exactly_its_route() {
    let pki = Pki::new();
    let (provider, stranger) = (Provider::start(Some(pki.server())), Provider::start(Some(Pki::new().server())));
    let full = FullPort::new();
    let mut setup = with_broken_providers(Setup::provider(&provider, &pki), &provider, &stranger, &full);
    setup.fault_injection = true;
    let lethe = setup.start();
    assert_eq!(failures(&lethe.metrics()), BTreeSet::new(), "nothing has gone wrong yet");

    let stream = r#","stream":true"#;
    let mut expected = BTreeSet::from(["dialer full/full-model".to_owned(), "timeout_connect full/full-model".to_owned()]);
    thread::scope(|scope| {
        for (model, more, failure, provider) in [
            ("cut-body", "", "cut", "mock"),
            ("cut-stream", stream, "cut", "mock"),
            ("down-model", "", "connect", "down"),
            ("e401", "", "unauthorized", "mock"),
            ("e403", "", "forbidden", "mock"),
            ("e429", "", "rate_limited", "mock"),
            ("e500", "", "server_error", "mock"),
            ("endless-model", stream, "timeout_total", "endless"),
            ("error-echo", "", "rejected", "mock"),
            ("error-event", stream, "error_in_answer", "mock"),
            ("error-key", "", "rejected", "mock"),
            ("hang", "", "timeout_first_byte", "mock"),
            ("hang-stream", stream, "timeout_idle", "mock"),
            ("html", "", "malformed", "mock"),
            ("nowhere-model", "", "dns", "nowhere"),
            ("overdue-model", "", "terms", "overdue"),
            ("redirect", "", "redirected", "mock"),
            ("stranger-model", "", "tls", "stranger"),
        ] {
            expected.insert(format!("{failure} {provider}/{model}"));
            let lethe = &lethe;
            scope.spawn(move || drop(lethe.client().post(CHAT, &chat(model, more))));
        }
    });
    let mut gone = lethe.client();
    gone.send("POST", CHAT, &[("content-type", "application/json")], chat("drip", stream).as_bytes());
    gone.wait_for("Hello from");
    drop(gone);
    expected.insert("client_gone mock/drip".to_owned());
    let panicking = chat("ok", &format!(r#","stop":"{PANIC}""#));
    let mut client = lethe.client();
    client.send("POST", CHAT, &[("content-type", "application/json")], panicking.as_bytes());
    assert!(client.try_answer().is_none(), "the panic ended its connection");
    // Before a route was chosen.
    expected.insert("internal /".to_owned());
    // Last, since it keeps the dialer busy: 256 are opened at once, and all of those wait for ten seconds.
    let mut waiting = Vec::new();
    for _ in 0..DIALS {
        let mut client = lethe.client();
        client.send("POST", CHAT, &[("content-type", "application/json")], chat("full-model", "").as_bytes());
        waiting.push(client);
    }
    let mut attempts = 0_u32;
    for client in &mut waiting {
        let answer = client.answer();
        assert!([502, 504].contains(&answer.status));
        // Whoever was turned away by the busy dialer tried again.
        attempts += answer.headers["lethe-attempts"].parse::<u32>().unwrap();
    }

    let of = |metrics: &BTreeMap<String, f64>, failure: &str, rest: &str| {
        let start = format!("lethe_failures_total{{failure=\"{failure}\"");
        let series = metrics.iter().filter(|(series, _)| series.starts_with(&start) && series.contains(rest));
        series.map(|(_, count)| count).sum::<f64>()
    };
    let dials = f64::from(attempts);
    // Each attempt has one outcome.
    let dialled = |metrics: &BTreeMap<String, f64>| of(metrics, "dialer", "full") + of(metrics, "timeout_connect", "full");
    let metrics = lethe.metrics_when(|metrics| failures(metrics).is_superset(&expected) && dialled(metrics) >= dials);
    assert_eq!(failures(&metrics), expected);
    assert_eq!((dialled(&metrics), of(&metrics, "unauthorized", "e401")), (dials, 1.0));
    panics(&lethe, &metrics);
    let said = String::from_utf8(lethe.run(&["diagnose"]).stdout).unwrap();
    for word in ["unauthorized", "mock/e401", "put a valid one where api_key points", "overdue", "crates/gateway/src/fault.rs"] {
        assert!(said.contains(word), "{word}: {said}");
    }
}

/// The panic's place is in the metrics, and its hash leads to the file.
fn panics(lethe: &Lethe, metrics: &BTreeMap<String, f64>) {
    let found: Vec<(&String, &f64)> = metrics.iter().filter(|(series, _)| series.starts_with("lethe_panics_total{")).collect();
    let [(series, count)] = found.as_slice() else { panic!("one place: {found:?}") };
    assert!(series.contains("role=\"gateway\"") && **count >= 1.0, "{series} {count}");
    let location = series.split_once("location=\"").unwrap().1.split('"').next().unwrap();
    let output = lethe.run(&["diagnose", "location", location]);
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "crates/gateway/src/fault.rs");
    assert_eq!(lethe.run(&["diagnose", "location", "1"]).status.code(), Some(1), "control: not every hash is a file");
}

/// Clients that are refused before anybody is asked, each for another reason. `text` stands in every place that a client fills.
fn refused(lethe: &Lethe, text: &str) {
    let post = |body: &str| lethe.client().post(CHAT, body).status;
    assert_eq!(lethe.stranger().with_key(text).get("/v1/models").status, 401);
    assert_eq!(lethe.client().get(&format!("/v1/{text}")).status, 404);
    assert_eq!(lethe.client().get(&format!("/v1/models?{text}=1")).status, 400);
    assert_eq!(lethe.client().get(&format!("/v1/models/{text}")).status, 404);
    assert_eq!(post(&chat(text, "")), 404);
    assert_eq!(post(&chat("ok", &format!(r#","{text}":1"#))), 400);
    assert_eq!(post(&chat("ok", &format!(r#","previous_response_id":"{text}""#))), 400);
    assert_eq!(post(&format!("{{{text}")), 400);
    for (header, value) in [(text, "x"), ("openai-beta", text), ("content-type", text)] {
        let mut client = lethe.client();
        client.send("POST", CHAT, &[(header, value)], chat("ok", "").as_bytes());
        assert!([400, 415].contains(&client.answer().status), "{header}");
    }
    let mut client = lethe.stranger();
    client.raw(format!("{text} / HTTP/9.9\r\n\r\n").as_bytes());
    assert!(client.answer().status >= 400);
}

#[test]
fn no_traffic_adds_a_series_and_nothing_of_it_is_shown() {
    let named = Canary::new("a model's name in the configuration");
    let pki = Pki::new();
    let provider = Provider::start(Some(pki.server()));
    let mut setup = Setup::provider(&provider, &pki);
    setup.config = setup.config.map(|config| config + &model_table(&named.value, "mock", "ok"));
    let lethe = setup.start();
    let mut canaries = Vec::new();
    let mut canary = |label: &str| {
        canaries.push(Canary::new(label));
        canaries.last().unwrap().value.clone()
    };
    // Every reason and both outcomes of the routes once, so that their series are there.
    let traffic = |text: &str| {
        refused(&lethe, text);
        for (model, status) in [("ok", 200), ("error-echo", 400), (named.value.as_str(), 200)] {
            let body = chat(model, "").replace("Hello", text);
            assert_eq!(lethe.client().post(CHAT, &body).status, status);
        }
    };
    traffic(&canary("first"));
    let known = |metrics: &BTreeMap<String, f64>| metrics.keys().cloned().collect::<BTreeSet<_>>();
    // `error-echo` is the last failure and `named` the last route of a round.
    let count = |metrics: &BTreeMap<String, f64>, start: &str| {
        metrics.iter().filter(|(series, _)| series.starts_with(start)).map(|(_, count)| *count).sum::<f64>()
    };
    let refusals = "lethe_refused_total{";
    let first = lethe.metrics_when(|metrics| {
        count(metrics, refusals) >= 12.0
            && count(metrics, "lethe_failures_total{") >= 1.0
            && count(metrics, "lethe_requests_total{") >= 10.0
    });
    let rounds = 8.0;
    for round in 0..8 {
        traffic(&canary(&format!("round {round}")));
    }
    let last = lethe.metrics_when(|metrics| {
        let grown = |start: &str| count(metrics, start) >= count(&first, start) * (rounds + 1.0);
        grown(refusals) && grown("lethe_requests_total{")
    });
    let other: Vec<String> = known(&last).symmetric_difference(&known(&first)).cloned().collect();
    assert_eq!(other, Vec::<String>::new(), "the same series, with other counts");

    let page = |arguments: &[&str]| {
        let output = lethe.run(arguments);
        assert!(output.status.success(), "{arguments:?}");
        [output.stdout, output.stderr].concat()
    };
    let scanner = Scanner::new(&canaries);
    for arguments in [&["metrics"][..], &["diagnose"], &["diagnose", "--json"], &["records", "--json"], &["key", "list"]] {
        assert_eq!(scanner.bytes(&page(arguments)), BTreeSet::new(), "{arguments:?}");
    }
    assert_eq!(scanner.bytes(lethe.printed().as_bytes()), BTreeSet::new());
    // Controls: what the operator named is shown, and the scanner finds it; the provider was sent what the scanner looks for.
    assert_eq!(Scanner::new(&[named]).bytes(&page(&["metrics"])).len(), 1);
    let sent: String = provider.seen().iter().map(|seen| seen.body.to_string()).collect();
    assert_eq!(scanner.bytes(sent.as_bytes()).len(), canaries.len());
}

#[test]
fn metrics_follow_the_records_and_the_gateway() {
    let Pair { lethe, .. } = &Pair::start();
    let mut client = lethe.client();
    for _ in 0..3 {
        assert_eq!(client.post(CHAT, &chat("ok", "")).status, 200);
    }
    let metrics = lethe.metrics_when(|metrics| {
        metrics.get("lethe_requests_finished_total") == Some(&3.0) && metrics["lethe_records_pending"] == 0.0
    });
    let of = |start: &str, rest: &str| {
        let mut found = metrics.iter().filter(|(series, _)| series.starts_with(start) && series.contains(rest));
        found.next().map(|(_, value)| *value)
    };
    assert_eq!(of("lethe_requests_total{operation=\"chat\"", "model=\"ok\",status=\"2xx\""), Some(3.0));
    assert_eq!(of("lethe_units_total{operation=\"chat\"", "direction=\"input\""), Some(27.0));
    assert_eq!(of("lethe_units_total{operation=\"chat\"", "direction=\"output\""), Some(36.0));
    assert_eq!(of("lethe_request_duration_seconds_count", "model=\"ok\""), Some(3.0));
    assert_eq!(of("lethe_request_duration_seconds_bucket", "le=\"+Inf\""), Some(3.0));
    assert_eq!(of("lethe_first_byte_seconds_count", "model=\"ok\""), Some(3.0));
    assert_eq!((of("lethe_gateways_linked", ""), of("lethe_requests_started_total", "")), (Some(1.0), Some(3.0)));
    assert_eq!((of("lethe_records_pending", ""), of("lethe_requests_open", "")), (Some(0.0), Some(0.0)));
    assert!(of("lethe_provider_review_due_seconds", "mock").unwrap() > 0.0);
    assert_eq!(of("lethe_provider_terms", "standing=\"good\""), Some(1.0));
    assert!(of("lethe_snapshot_version", "").unwrap() >= 1.0);

    // A client that cannot make TLS is counted too; nobody else would know.
    let mut plain = Client::connect(&lethe.api(), None);
    plain.raw(b"GET / HTTP/1.1\r\n\r\n");
    drop(plain.try_answer());
    let refused = "lethe_refused_total{reason=\"tls_handshake\"}";
    let metrics = lethe.metrics_when(|metrics| metrics.contains_key(refused));
    assert_eq!(metrics[refused], 1.0);
}

#[test]
fn what_was_counted_outlives_the_process_that_counts() {
    let pki = Pki::new();
    let provider = Provider::start(Some(pki.server()));
    let mut setup = Setup::provider(&provider, &pki);
    setup.arguments = ["--restart-pause-ms", "200"].map(str::to_owned).into();
    let lethe = setup.start();
    let kill = |role: &str| {
        let pid = lethe.pid_now(role).and_then(|pid| i32::try_from(pid).ok()).and_then(Pid::from_raw).unwrap();
        kill_process(pid, Signal::KILL).unwrap();
    };
    // Control may be away for a moment.
    let page_with = |lines: &[&str]| {
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            let page = String::from_utf8(lethe.run(&["metrics"]).stdout).unwrap();
            if lines.iter().all(|line| page.lines().any(|found| found == *line)) {
                return;
            }
            assert!(Instant::now() < deadline, "never {lines:?}: {page}");
            thread::sleep(Duration::from_millis(50));
        }
    };
    let gateway = "lethe_part_ends_total{role=\"gateway\",exit=\"sigkill\"} 1";
    kill("gateway");
    page_with(&[gateway, "lethe_gateways_linked 1"]);
    assert_eq!(lethe.client().post(CHAT, &chat("e401", "")).status, 502);
    let failure = lethe.metrics_when(|metrics| failures(metrics).contains("unauthorized mock/e401"));
    let (failure, _) = failure.iter().find(|(series, _)| series.starts_with("lethe_failures_total")).unwrap();
    let failure = format!("{failure} 1");
    // The gateway tells its totals to the new control, and the supervisor tells its own.
    kill("control");
    page_with(&[gateway, "lethe_part_ends_total{role=\"control\",exit=\"sigkill\"} 1", &failure]);
}
