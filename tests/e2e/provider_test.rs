//! `lethe provider test`: every step shown, the gateway's own code at the end, the credential nowhere.

use std::process::{Command, Output};

use lethe_testkit::canary::Canary;
use lethe_testkit::lethe::{PROVIDER_KEY, Setup, built, model_table, provider_table};
use lethe_testkit::pki::Pki;
use lethe_testkit::provider::{Provider, closed_port};
use serde_json::Value;

/// A configuration file and the command line over it; no Lethe runs.
struct Bench {
    setup: Setup,
    _provider: Provider,
    _stranger: Provider,
}

impl Bench {
    fn new() -> Self {
        let pki = Pki::new();
        let (provider, stranger) = (Provider::start(Some(pki.server())), Provider::start(Some(Pki::new().server())));
        let setup = Setup::provider(&provider, &pki);
        let file = |name: &str| setup.folder().join(name).display().to_string();
        let at = |id: &str, host: &str, port: u16| {
            provider_table(id, &format!("https://{host}:{port}/v1"), &file("ca.pem"), &file("provider-key"))
        };
        let good = provider.address.port();
        let mut config = setup.config.clone().unwrap();
        config += &at("down", "localhost", closed_port().port());
        config += &at("stranger", "localhost", stranger.address.port());
        config += &at("nowhere", "provider.invalid", good);
        config += &at("overdue", "localhost", good).replace("2099-01-01", "2026-02-01");
        for id in ["down", "stranger", "nowhere", "overdue"] {
            config += &model_table(&format!("{id}-model"), id, "ok");
        }
        std::fs::write(setup.folder().join("lethe.toml"), config).unwrap();
        Self { setup, _provider: provider, _stranger: stranger }
    }

    fn run(&self, arguments: &[&str]) -> Output {
        Command::new(built().join("lethe")).args(arguments).current_dir(self.setup.folder()).output().unwrap()
    }

    /// `lethe provider test ARGUMENTS --json`: its exit code and what it says.
    fn test(&self, arguments: &[&str]) -> (Option<i32>, Value) {
        let output = self.run(&[&["provider", "test", "--json"], arguments].concat());
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(!text.contains(&PROVIDER_KEY[..16]), "{arguments:?}: the credential is never shown: {text}");
        (output.status.code(), serde_json::from_str(&text).unwrap_or_else(|_| panic!("{arguments:?}: {text}")))
    }
}

/// Values of a fact in all steps.
fn facts(report: &Value, name: &str) -> Vec<String> {
    let steps = report["steps"].as_array().unwrap().iter();
    let facts = steps.flat_map(|step| step["facts"].as_array().unwrap());
    facts.filter(|fact| fact["name"] == name).map(|fact| fact["value"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_good_provider_is_shown_step_by_step() {
    let bench = Bench::new();
    let (code, report) = bench.test(&["mock", "--model", "ok"]);
    assert_eq!((code, &report["good"], &report["failure"]), (Some(0), &true.into(), &Value::Null), "{report}");
    let steps: Vec<&str> = report["steps"].as_array().unwrap().iter().map(|step| step["step"].as_str().unwrap()).collect();
    assert_eq!(steps, ["terms", "resolve", "connect", "tls", "request", "answer"]);
    assert!(report["steps"].as_array().unwrap().iter().all(|step| step["good"] == true && step["milliseconds"].is_f64()));
    assert!(facts(&report, "address").contains(&"127.0.0.1 (allowed)".to_owned()), "{report}");
    assert!(facts(&report, "certificate")[0].contains("issuer CN=Test authority"), "{report}");
    assert_eq!(facts(&report, "version"), ["TLSv1_3"]);
    assert!(facts(&report, "head").contains(&"authorization: Bearer [credential]".to_owned()), "{report}");
    assert!(facts(&report, "body").concat().contains("Hello from the provider."), "{report}");
    assert_eq!(facts(&report, "tokens"), ["9 in, 12 out, as reported"]);

    let (code, report) = bench.test(&["mock", "--model", "ok", "--stream"]);
    assert_eq!((code, facts(&report, "tokens")), (Some(0), vec!["9 in, 12 out, as reported".to_owned()]), "{report}");
    assert!(facts(&report, "body").concat().contains("[DONE]"));
    assert_eq!(bench.test(&["mock", "--model", "ok-embed"]).0, Some(0));

    let output = bench.run(&["provider", "test", "mock", "--model", "ok"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("verdict: good") && text.contains("connected: 127.0.0.1"), "{text}");
}

#[test]
fn every_way_to_fail_is_told_with_the_gateways_code() {
    let bench = Bench::new();
    for (arguments, failure, last) in [
        (&["mock", "--model", "e401"][..], "unauthorized", "answer"),
        (&["mock", "--model", "e403"], "forbidden", "answer"),
        (&["mock", "--model", "e429"], "rate_limited", "answer"),
        (&["mock", "--model", "e500"], "server_error", "answer"),
        (&["mock", "--model", "error-key"], "rejected", "answer"),
        (&["mock", "--model", "redirect"], "redirected", "answer"),
        (&["mock", "--model", "html"], "malformed", "answer"),
        (&["mock", "--model", "bad-json"], "malformed", "answer"),
        (&["mock", "--model", "not-http"], "malformed", "answer"),
        (&["mock", "--model", "cut-body"], "cut", "answer"),
        (&["mock", "--model", "hang"], "timeout_first_byte", "answer"),
        (&["mock", "--model", "hang-stream", "--stream"], "timeout_idle", "answer"),
        (&["mock", "--model", "cut-stream", "--stream"], "cut", "answer"),
        (&["mock", "--model", "error-event", "--stream"], "error_in_answer", "answer"),
        (&["mock", "--model", "bad-sse", "--stream"], "malformed", "answer"),
        (&["stranger"], "tls", "tls"),
        (&["down"], "connect", "connect"),
        (&["nowhere"], "dns", "resolve"),
        (&["overdue"], "terms", "terms"),
        // The test goes through; that the gateway would refuse is still the verdict.
        (&["overdue", "--ignore-terms"], "terms", "answer"),
    ] {
        let (code, report) = bench.test(arguments);
        assert_eq!((code, report["failure"].as_str()), (Some(1), Some(failure)), "{arguments:?}: {report}");
        assert_eq!(report["steps"].as_array().unwrap().last().unwrap()["step"], last, "{arguments:?}: {report}");
        assert!(report["advice"].as_str().is_some_and(|advice| !advice.is_empty()));
    }
    let (_, report) = bench.test(&["stranger"]);
    assert!(report["steps"][3]["why"].as_str().unwrap().contains("invalid peer certificate"), "{report}");
    assert!(facts(&report, "certificate")[0].contains("Test authority"), "shown although it was refused: {report}");
    // Control: the provider did quote the credential, and it was masked.
    let (_, report) = bench.test(&["mock", "--model", "error-key"]);
    assert!(facts(&report, "body").concat().contains("Your key [credential] may not do this."), "{report}");
}

#[test]
fn wrong_usage_says_what_to_write() {
    let bench = Bench::new();
    let canary = Canary::new("a key in the wrong place");
    for (arguments, words) in [
        (&["provider", "test", "none-such"][..], "write one of mock, down"),
        (&["provider", "test", "down", "--model", "ok"], "write --model with one of down-model"),
        (&["provider", "test", "mock", "--config", "missing.toml"], "missing.toml:1:1"),
    ] {
        let output = bench.run(arguments);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!((output.status.code(), said.contains(words)), (Some(64), true), "{arguments:?}: {said}");
    }
    let path = bench.setup.folder().join("broken.toml");
    std::fs::write(&path, format!("[[provider]]\nid = \"a\"\napi_key = \"{}\"\n", canary.value)).unwrap();
    let output = bench.run(&["provider", "list", "--config", "broken.toml"]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.code() == Some(64) && said.contains("broken.toml:3:") && !said.contains(&canary.value), "{said}");

    let output = bench.run(&["provider", "list", "--json"]);
    let lines: Vec<Value> =
        String::from_utf8(output.stdout).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let standings: Vec<(&str, &str)> =
        lines.iter().map(|line| (line["id"].as_str().unwrap(), line["terms"].as_str().unwrap())).collect();
    assert_eq!(
        standings,
        [("mock", "good"), ("down", "good"), ("stranger", "good"), ("nowhere", "good"), ("overdue", "overdue")]
    );
    assert!(lines[0]["models"].as_array().unwrap().contains(&"ok".into()));
}
