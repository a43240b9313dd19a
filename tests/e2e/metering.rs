//! The usage record: exactly the policy's facts, once per request.

use crate::{CHAT, Pair, chat};

/// The policy's facts (2.1): the endpoint is operation and route (with the names that the catalogue has for it); the units come with their
/// class, kind and quality.
const FACTS: [&str; 14] = [
    "account",
    "at_ms",
    "first_byte_ms",
    "input_units",
    "kind",
    "model",
    "operation",
    "output_units",
    "provider",
    "quality",
    "route",
    "status",
    "total_ms",
    "unit_class",
];

#[test]
fn each_request_is_recorded_once_with_the_policys_facts() {
    let Pair { provider, lethe } = &Pair::start();
    let mut client = lethe.client();
    let stream = r#","stream":true"#;
    assert_eq!(client.post(CHAT, &chat("ok", "")).status, 200);
    assert_eq!(client.post(CHAT, &chat("no-usage", "")).status, 200);
    assert_eq!(client.post("/v1/embeddings", r#"{"model":"ok-embed","input":["a","b"]}"#).status, 200);

    // Usage is asked for upstream, and hidden from a client that did not ask.
    let silent = client.post(CHAT, &chat("ok", stream));
    assert!(!silent.text().contains("usage"), "{}", silent.text());
    let asked = client.post(CHAT, &chat("ok", r#","stream":true,"stream_options":{"include_usage":true}"#));
    assert!(asked.text().contains(r#""usage":{"#), "{}", asked.text());
    assert!(
        provider
            .seen()
            .iter()
            .filter(|seen| seen.body["stream"] == true)
            .all(|seen| seen.body["stream_options"]["include_usage"] == true)
    );

    assert_eq!(client.post(CHAT, &chat("no-usage", stream)).status, 200);
    assert_eq!(client.post(CHAT, &chat("error-echo", "")).status, 400);
    assert_eq!(client.post(CHAT, "{").status, 400);
    assert_eq!(client.get("/v1/models").status, 200);
    assert_eq!(lethe.stranger().get("/v1/models").status, 401, "a stranger is counted for nobody");

    let records = lethe.records(9);
    assert_eq!(records.len(), 9, "{records:?}");
    for record in &records {
        let names: Vec<&str> = record.as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(names, FACTS, "exactly these facts");
    }
    let of = |index: usize| {
        let record = &records[index];
        (
            record["operation"].as_str().unwrap(),
            record["status"].as_u64().unwrap(),
            record["quality"].as_str().unwrap(),
            record["input_units"].as_u64().unwrap(),
            record["output_units"].as_u64().unwrap(),
        )
    };
    assert_eq!(of(0), ("chat", 200, "reported", 9, 12));
    let estimated = of(1);
    assert!(estimated.2 == "estimated" && estimated.3 > 0 && estimated.4 > 0, "{estimated:?}");
    assert_eq!(of(2), ("embeddings", 200, "reported", 8, 0));
    assert_eq!(of(3), ("chat", 200, "reported", 9, 12));
    assert_eq!(of(4), ("chat", 200, "reported", 9, 12));
    assert!(of(5).2 == "estimated" && of(5).4 > 0, "{:?}", of(5));
    assert_eq!((of(6).1, of(7).1), (400, 400));
    assert_eq!((of(8).0, of(8).1), ("models", 200));
    let accounts: std::collections::BTreeSet<_> = records.iter().map(|record| record["account"].to_string()).collect();
    assert_eq!(accounts.len(), 1, "one pseudonym per key");
}

#[test]
fn the_request_arrives_with_forced_fields_and_nothing_of_the_clients_head() {
    let Pair { provider, lethe } = &Pair::start();
    let mut client = lethe.client();
    let body = chat(
        "ok",
        r#","temperature":0.25,"tools":[{"type":"function","function":{"name":"weather","parameters":{"type":"object"}}}]"#,
    );
    client.send(
        "POST",
        CHAT,
        &[("content-type", "application/json"), ("x-secret-header", "hush"), ("cookie", "a=b")],
        body.as_bytes(),
    );
    let answer = client.answer().json();
    assert_eq!(answer["choices"][0]["message"]["tool_calls"][0]["function"]["name"], "weather");
    let seen = provider.seen().pop().unwrap();
    assert_eq!(seen.path, "/v1/chat/completions");
    assert_eq!(seen.body["temperature"], 0.25);
    assert!(!seen.head.contains("hush") && !seen.head.contains("a=b"), "{}", seen.head);
    assert!(!seen.head.contains(lethe.key()), "the client's key stays here");
    let names: Vec<&str> = seen.head.lines().skip(1).filter_map(|line| line.split(':').next()).collect();
    assert_eq!(names, ["host", "user-agent", "accept-encoding", "content-type", "accept", "authorization", "content-length"]);
}
