//! Metrics sent to a collector: what arrives is what the page says, and a collector that fails disturbs nobody.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::PermissionsExt;

use lethe_testkit::canary::Canary;
use lethe_testkit::lethe::{Lethe, Setup, model_table};
use lethe_testkit::pki::Pki;
use lethe_testkit::provider::Provider;
use lethe_testkit::scan::Scanner;
use lethe_testkit::wire::{Say, Wire, answer};
use serde_json::{Value, json};

use crate::supervision::wait_until;
use crate::{CHAT, chat};

/// A Lethe before a provider, with these lines in `[control.otlp]`.
fn start(lines: &str) -> (Provider, Lethe, Pki) {
    let pki = Pki::new();
    let provider = Provider::start(Some(pki.server()));
    let mut setup = Setup::provider(&provider, &pki);
    let secret = setup.folder().join("collector");
    fs::write(&secret, "Bearer of-the-collector\n").unwrap();
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o644)).unwrap();
    let lines = lines.replace("CA", &setup.folder().join("ca.pem").display().to_string());
    let otlp = format!(
        "\n[control.otlp]\n{lines}\nseconds = 1\nallow_private_network = true\nauthorization = {{ file = \"{}\" }}\n",
        secret.display()
    );
    setup.config = setup.config.map(|config| config + &otlp + &model_table("second", "mock", "ok"));
    (provider, setup.start(), pki)
}

/// Head and document of every whole export so far.
fn exports(collector: &Wire) -> Vec<(String, Value)> {
    let connections = collector.connections().into_iter().filter(|connection| connection.requests == 1);
    let split = |bytes: Vec<u8>| {
        let text = String::from_utf8(bytes).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        (head.to_ascii_lowercase(), serde_json::from_str(body).unwrap())
    };
    connections.map(|connection| split(connection.bytes)).collect()
}

fn metrics(document: &Value) -> &[Value] {
    document["resourceMetrics"][0]["scopeMetrics"][0]["metrics"].as_array().map_or(&[], Vec::as_slice)
}

/// The data points of a family; none if it is not there.
fn points<'a>(document: &'a Value, family: &str) -> Vec<&'a Value> {
    let of = |metric: &'a Value| ["sum", "gauge", "histogram"].iter().find_map(|kind| metric[kind]["dataPoints"].as_array());
    let found = metrics(document).iter().filter(|metric| metric["name"] == family).filter_map(of);
    found.flatten().collect()
}

/// The series of a document in the words of the page, histograms by their count.
fn series(document: &Value) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    for metric in metrics(document) {
        let name = metric["name"].as_str().unwrap();
        for point in points(document, name) {
            let labels: Vec<String> = point["attributes"]
                .as_array()
                .unwrap()
                .iter()
                .map(|label| {
                    format!("{}=\"{}\"", label["key"].as_str().unwrap(), label["value"]["stringValue"].as_str().unwrap())
                })
                .collect();
            let labels = if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
            let suffix = if point["count"].is_null() { "" } else { "_count" };
            let value = ["asInt", "asDouble", "count"].iter().map(|kind| &point[kind]).find(|value| !value.is_null()).unwrap();
            all.insert(format!("{name}{suffix}{labels}"), value.as_str().map_or_else(|| value.to_string(), str::to_owned));
        }
    }
    all
}

#[test]
fn what_a_collector_gets_is_what_the_page_says() {
    let collector = Wire::start(Say::Bytes(answer("{}")));
    let (_provider, lethe, _) = start(&format!("url = \"http://{}\"", collector.address));
    let canary = Canary::new("a prompt");
    for model in ["ok", "second", "e401"] {
        lethe.client().post(CHAT, &chat(model, "").replace("Hello", &canary.value));
    }
    // Everything that the page says now, apart from what goes on by itself.
    let moves = |series: &str| {
        ["lethe_otlp_", "lethe_gateway_heard", "lethe_provider_review_due", "lethe_records_pending"]
            .iter()
            .any(|name| series.starts_with(name))
    };
    let page = lethe.metrics_when(|metrics| {
        let sum =
            |family: &str| metrics.iter().filter(|(series, _)| series.starts_with(family)).map(|(_, value)| value).sum::<f64>();
        (sum("lethe_attempts_total"), sum("lethe_requests_total"), sum("lethe_requests_open")) == (3.0, 3.0, 0.0)
            && sum("lethe_provider_requests_open") == 0.0
    });
    let expected: BTreeMap<String, f64> = page
        .into_iter()
        .filter(|(series, _)| !(moves(series) || series.contains("_bucket{") || series.contains("_sum{")))
        .collect();
    assert!(expected.len() > 30, "{expected:?}");
    let (head, document) = wait_until("a later export says the same", || {
        let (head, document) = exports(&collector).pop()?;
        let sent: BTreeMap<String, f64> = series(&document)
            .into_iter()
            .filter(|(series, _)| !moves(series))
            .map(|(series, value)| (series, value.parse().unwrap()))
            .collect();
        (sent == expected).then_some((head, document))
    });
    assert!(head.starts_with("post /v1/metrics http/1.1\r\n"), "{head}");
    for field in ["content-type: application/json", "authorization: bearer of-the-collector"] {
        assert!(head.lines().any(|line| line == field), "{field}: {head}");
    }
    let resource = &document["resourceMetrics"][0]["resource"]["attributes"];
    let names: Vec<&Value> = resource.as_array().unwrap().iter().map(|attribute| &attribute["key"]).collect();
    assert_eq!(names, [&json!("service.name"), &json!("service.version")], "and nothing of the host");
    let histogram = points(&document, "lethe_first_byte_seconds")[0];
    let (counts, bounds) = (histogram["bucketCounts"].as_array().unwrap(), histogram["explicitBounds"].as_array().unwrap());
    assert_eq!(counts.len(), bounds.len() + 1);
    // Totals since the start of control, and times that advance.
    let times = |document: &Value| {
        let point = points(document, "lethe_attempts_total")[0];
        ["startTimeUnixNano", "timeUnixNano"].map(|name| point[name].as_str().unwrap().parse::<u64>().unwrap())
    };
    let all = exports(&collector);
    let all: BTreeSet<[u64; 2]> = all
        .iter()
        .filter(|(_, document)| !points(document, "lethe_attempts_total").is_empty())
        .map(|(_, document)| times(document))
        .collect();
    let starts: BTreeSet<u64> = all.iter().map(|[start, _]| *start).collect();
    assert_eq!(starts.len(), 1);
    assert!(all.iter().all(|[start, now]| now > start));
    // Nothing of a request; the control is that the scanner would find it.
    let scanner = Scanner::new(std::slice::from_ref(&canary));
    for connection in collector.connections() {
        assert_eq!(scanner.bytes(&connection.bytes), BTreeSet::new());
    }
    assert_eq!(scanner.bytes(canary.value.as_bytes()).len(), 1);
    let _ = lethe.metrics_when(|metrics| metrics.get("lethe_otlp_exports_total").is_some_and(|count| *count >= 2.0));
}

#[test]
fn a_collector_that_fails_disturbs_nobody() {
    let say = |status: &str, body: &str| {
        Say::Bytes(
            format!("HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}", body.len())
                .into_bytes(),
        )
    };
    let collector = Wire::start(say("503 X", "{}"));
    let (_provider, lethe, _) = start(&format!("url = \"http://{}/behind/a/path\"", collector.address));
    let failed = |failure: &str| format!("lethe_otlp_export_failures_total{{failure=\"{failure}\"}}");
    let counted = |series: &str| {
        let before = lethe.metrics().get(series).copied().unwrap_or_default();
        let _ = lethe.metrics_when(|metrics| metrics.get(series).is_some_and(|count| *count > before));
        assert_eq!(lethe.client().post(CHAT, &chat("ok", "")).status, 200, "requests are served");
    };
    counted(&failed("server_error"));
    assert!(exports(&collector)[0].0.starts_with("post /behind/a/path/v1/metrics "));
    for (answer, failure) in [
        (say("400 X", "{}"), "rejected"),
        (say("200 OK", r#"{"partialSuccess":{"rejectedDataPoints":"1","errorMessage":"no"}}"#), "rejected"),
        (say("307 X", "{}"), "redirected"),
        (Say::BytesAndClose(Vec::new()), "cut"),
        (Say::Bytes(b"SSH-2.0-OpenSSH_9.2\r\n\r\n".to_vec()), "malformed"),
    ] {
        collector.say(answer);
        counted(&failed(failure));
    }
    // Totals: what was dropped is made good by what comes through.
    assert!(!lethe.metrics().contains_key("lethe_otlp_exports_total"));
    collector.say(say("200 OK", "{}"));
    counted("lethe_otlp_exports_total");
    let requests =
        lethe.metrics_when(|metrics| metrics.get("lethe_requests_finished_total") == Some(&7.0))["lethe_requests_finished_total"];
    wait_until("an export says so", || {
        let (_, document) = exports(&collector).pop()?;
        let finished = points(&document, "lethe_requests_finished_total").first()?["asInt"].as_str()?.parse::<f64>().ok()?;
        (finished == requests).then_some(())
    });
}

#[test]
fn a_collector_is_believed_by_its_certificate() {
    // A server with TLS that takes down what it is sent, and has no such path; one is of the authority that is named, one is not.
    let (pki, stranger) = (Pki::new(), Pki::new());
    for (server, failure) in [(pki.server(), None), (stranger.server(), Some("tls"))] {
        let collector = Provider::start(Some(server));
        let mut setup = Setup::engine();
        let ca = setup.folder().join("collector-ca.pem");
        fs::write(&ca, &pki.authority_pem).unwrap();
        setup.config = Some(format!(
            "[gateway]\nlisten = \"127.0.0.1:0\"\n[control.otlp]\nurl = \"https://localhost:{}\"\nca = \"{}\"\nseconds = 1\n\
             allow_private_network = true\n",
            collector.address.port(),
            ca.display()
        ));
        let lethe = setup.start();
        let failures = |metrics: &BTreeMap<String, f64>| -> Vec<String> {
            metrics.keys().filter(|series| series.starts_with("lethe_otlp_export_failures_total")).cloned().collect()
        };
        let page =
            lethe.metrics_when(|metrics| !failures(metrics).is_empty() || metrics.contains_key("lethe_otlp_exports_total"));
        match failure {
            None => {
                let seen = collector.seen();
                assert!(seen.iter().all(|seen| seen.path == "/v1/metrics" && !metrics(&seen.body).is_empty()));
                assert!(!seen.is_empty());
            }
            Some(failure) => {
                assert_eq!(failures(&page), [format!("lethe_otlp_export_failures_total{{failure=\"{failure}\"}}")]);
                assert!(collector.seen().is_empty(), "nothing was sent");
            }
        }
    }
}
