//! What providers can do wrong. The client sees an error, never a clean end; nothing of a credential comes through.

use std::time::Duration;

use lethe_testkit::lethe::{PROVIDER_KEY, Setup, model_table, provider_table};
use lethe_testkit::pki::Pki;
use lethe_testkit::provider::{Provider, closed_port};

use crate::{CHAT, Pair, chat, pair};

#[test]
fn answers_that_are_none_become_errors() {
    let mut client = pair().lethe.client();
    for (model, status, code) in [
        ("e401", 502, "provider_unauthorized"),
        ("e403", 502, "provider_forbidden"),
        ("html", 502, "provider_malformed"),
        ("html-error", 502, "provider_malformed"),
        ("bad-json", 502, "provider_malformed"),
        ("redirect", 502, "provider_redirect"),
        ("not-http", 502, "provider_malformed"),
        ("cut-body", 502, "provider_cut"),
        ("hang", 504, "provider_timeout"),
    ] {
        for more in ["", r#","stream":true"#] {
            // A whole answer to one who asked for a stream is none at all.
            let code = if model == "cut-body" && !more.is_empty() { "provider_malformed" } else { code };
            let answer = client.post(CHAT, &chat(model, more));
            assert_eq!((answer.status, answer.code().as_str()), (status, code), "{model}{more}: {}", answer.text());
            assert!(!answer.headers.contains_key("set-cookie"), "{model}: response headers are allow-listed");
        }
    }
    assert_eq!(client.post(CHAT, &chat("ok", "")).status, 200, "the connection goes on after every one of them");
}

#[test]
fn a_providers_own_errors_reach_the_one_who_caused_them() {
    let mut client = pair().lethe.client();
    let answer = client.post(CHAT, &chat("error-echo", ""));
    assert_eq!(answer.status, 400);
    assert!(answer.text().contains("Invalid prompt: Hello"));
    let answer = client.post(CHAT, &chat("e429", ""));
    assert_eq!((answer.status, answer.headers.get("retry-after").map(String::as_str)), (429, Some("7")));
    assert_eq!(client.post(CHAT, &chat("e500", "")).status, 500);
}

#[test]
fn an_error_that_quotes_the_credential_is_not_passed() {
    let mut client = pair().lethe.client();
    let answer = client.post(CHAT, &chat("error-key", ""));
    assert_eq!((answer.status, answer.code().as_str()), (400, "provider_refused"));
    assert!(!answer.text().contains("sk-provider"), "{}", answer.text());
    // In the middle of a stream as well: the client is told in Lethe's words, and there is no clean end.
    let answer = client.post(CHAT, &chat("error-event-key", r#","stream":true"#));
    assert!(answer.text().contains("provider_error") && !answer.complete, "{}", answer.text());
    assert!(!answer.text().contains(PROVIDER_KEY) && !answer.text().contains("Your key"), "{}", answer.text());
    // Control: the provider was shown the key, and did quote it.
    let shown = pair().provider.seen().iter().any(|seen| seen.head.contains(PROVIDER_KEY));
    assert!(shown);
}

#[test]
fn a_broken_stream_is_an_error_the_client_sees() {
    for (model, code) in [
        ("cut-stream", "provider_cut"),
        ("bad-sse", "provider_malformed"),
        ("bad-sse-json", "provider_malformed"),
        ("hang-stream", "provider_timeout"),
    ] {
        let answer = pair().lethe.client().post(CHAT, &chat(model, r#","stream":true"#));
        let text = answer.text();
        assert_eq!(answer.status, 200, "{model}: it had begun");
        assert!(text.contains("Hello from"), "{model}: what came before the fault has been passed: {text}");
        let last = text.trim_end().lines().last().unwrap_or_default();
        assert!(last.starts_with("data: {\"error\":") && last.contains(code), "{model}: {last}");
        assert!(!text.contains("[DONE]") && !answer.complete, "{model}: no clean end in either layer");
    }
    let answer = pair().lethe.client().post(CHAT, &chat("error-event", r#","stream":true"#));
    assert!(answer.text().contains("The server had an error.") && !answer.complete);
    let answer = pair().lethe.client().post(CHAT, &chat("no-done", r#","stream":true"#));
    assert!(answer.text().ends_with("data: [DONE]\n\n") && answer.complete, "control: a proper end without its last line is one");
}

#[test]
fn a_client_that_goes_away_cancels_upstream() {
    let Pair { provider, lethe } = &Pair::start();
    for (model, more, count) in [("hang", "", 1), ("hang-stream", r#","stream":true"#, 2)] {
        let mut client = lethe.client();
        client.send("POST", CHAT, &[("content-type", "application/json")], chat(model, more).as_bytes());
        assert!(provider.seen_within(count, Duration::from_secs(5)), "{model}: it was asked");
        if model == "hang-stream" {
            client.wait_for("Hello from");
        }
        drop(client);
        // Well under the three seconds after which the gateway would have given up by itself.
        assert!(provider.cancelled_within(count, Duration::from_secs(2)), "{model}: upstream was cancelled");
    }
    let records = lethe.records(2);
    assert!(records.iter().all(|record| record["status"] == 499 && record["quality"] == "estimated"), "{records:?}");
}

#[test]
fn an_idle_connection_that_the_provider_closed_is_replaced() {
    let mut client = pair().lethe.client();
    for _ in 0..5 {
        assert_eq!(client.post(CHAT, &chat("close-after", "")).status, 200);
    }
}

#[test]
fn providers_that_are_down_strange_or_without_terms_are_told_apart() {
    let pki = Pki::new();
    let provider = Provider::start(Some(pki.server()));
    let stranger = Provider::start(Some(Pki::new().server()));
    let mut setup = Setup::provider(&provider, &pki);
    let file = |name: &str| setup.folder().join(name).display().to_string();
    let table =
        |id: &str, port: u16| provider_table(id, &format!("https://localhost:{port}/v1"), &file("ca.pem"), &file("provider-key"));
    let overdue = table("overdue", provider.address.port()).replace("2099-01-01", "2026-02-01");
    let unknown = table("unknown", provider.address.port());
    let unknown = unknown.split_once("[provider.terms]").map(|(before, _)| format!("{before}\n")).unwrap();
    let mut more = table("down", closed_port().port()) + &table("stranger", stranger.address.port()) + &overdue + &unknown;
    for id in ["down", "stranger", "overdue", "unknown"] {
        more += &model_table(&format!("{id}-model"), id, "ok");
    }
    setup.config = setup.config.map(|config| config + &more);
    let lethe = setup.start();
    let mut client = lethe.client();
    for (model, status, code) in [
        ("down-model", 502, "provider_connect"),
        ("stranger-model", 502, "provider_tls"),
        ("overdue-model", 503, "provider_terms"),
        ("unknown-model", 503, "provider_terms"),
    ] {
        let answer = client.post(CHAT, &chat(model, ""));
        assert_eq!((answer.status, answer.code().as_str()), (status, code), "{model}: {}", answer.text());
    }
    assert!(stranger.seen().is_empty(), "nothing was sent to it");
    assert_eq!(client.post(CHAT, &chat("ok", "")).status, 200, "control");
}
