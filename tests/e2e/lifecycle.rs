//! Start, readiness, a second start, drain.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use lethe_testkit::client::Client;
use lethe_testkit::lethe::Setup;
use lethe_testkit::pki::Pki;
use lethe_testkit::provider::Provider;

use crate::supervision::wait_until;
use crate::{CHAT, Pair, chat};

#[test]
fn ready_json_says_what_runs_and_is_private() {
    let Pair { lethe, .. } = &Pair::start();
    let path = lethe.state.join("ready.json");
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    for role in ["control", "gateway", "dialer", "supervisor"] {
        let pids = lethe.pids(role);
        assert_eq!(pids.len(), 1, "{role}");
        assert!(fs::metadata(format!("/proc/{}", pids[0])).is_ok(), "{role} runs");
    }
    assert!(lethe.ready["api"].as_str().unwrap().starts_with("https://"));
    let mut probe = Client::connect(&lethe.probes(), None);
    assert_eq!(probe.get("/readyz").status, 200);
    assert_eq!(Client::connect(&lethe.probes(), None).get("/livez").status, 200);
    // The file comes first, for those who wait for it; then what is there to read.
    wait_until("a first request is shown", || lethe.printed().contains("curl").then_some(()));
}

#[test]
fn a_second_up_on_the_same_state_says_so() {
    let Pair { lethe, .. } = &Pair::start();
    let state = lethe.state.display().to_string();
    let second =
        lethe.run(&["up", "--state", &state, "--api", "127.0.0.1:0", "--console", "127.0.0.1:0", "--probes", "127.0.0.1:0"]);
    assert!(!second.status.success());
    let said = String::from_utf8_lossy(&second.stderr).into_owned();
    assert!(said.contains(&lethe.pids("supervisor")[0].to_string()), "it names the process: {said}");
    assert_eq!(lethe.client().post(CHAT, &chat("ok", "")).status, 200, "the first goes on");
}

#[test]
fn a_drain_finishes_what_is_open_and_exits_cleanly() {
    for as_ordinary_user in [false, true] {
        let pki = Pki::new();
        let provider = Provider::start(Some(pki.server()));
        let mut setup = Setup::provider(&provider, &pki);
        setup.as_ordinary_user = as_ordinary_user;
        let mut lethe = setup.start();
        let pids = lethe.all_pids();
        let mut client = lethe.client();
        client.send("POST", CHAT, &[("content-type", "application/json")], chat("hang-stream", r#","stream":true"#).as_bytes());
        client.wait_for("Hello from");
        lethe.signal(rustix::process::Signal::TERM);
        // The open stream is still served: its provider's silence ends it with an error after three seconds, not the drain.
        let answer = client.answer();
        assert!(answer.text().contains("provider_timeout"), "{}", answer.text());
        assert_eq!(lethe.wait(), Some(0), "{}", lethe.printed());
        for (role, pid) in pids {
            assert!(fs::metadata(format!("/proc/{pid}")).is_err(), "{role} ({pid}) is still there");
        }
        assert!(provider.cancelled_within(1, Duration::from_secs(1)));
    }
}

#[test]
fn behind_a_proxy_only_the_proxy_is_served() {
    // The test connects from 127.0.0.1: once as the proxy, once as a stranger.
    for (peer, served) in [("127.0.0.1", true), ("192.0.2.7", false)] {
        let pki = Pki::new();
        let provider = Provider::start(Some(pki.server()));
        let mut setup = Setup::provider(&provider, &pki);
        let config = setup.config.take().unwrap();
        let (gateway, rest) = config.split_once("\n\n").unwrap();
        let listen = gateway.lines().find(|line| line.starts_with("listen")).unwrap();
        setup.config =
            Some(format!("[gateway]\n{listen}\ntls = \"terminated-by-proxy\"\ntrusted_peers = [\"{peer}\"]\n\n{rest}"));
        setup.tls = None;
        let lethe = setup.start();
        let mut client = lethe.client();
        client.send("GET", "/v1/models", &[], b"");
        assert_eq!(client.try_answer().map(|answer| answer.status), served.then_some(200), "{peer}");
    }
}

#[test]
fn records_outlive_a_restart_and_the_first_key_stays() {
    let pki = Pki::new();
    let provider = Provider::start(Some(pki.server()));
    let lethe = Setup::provider(&provider, &pki).start();
    assert_eq!(lethe.client().post(CHAT, &chat("ok", "")).status, 200);
    assert_eq!(lethe.records(1).len(), 1);
    let key = lethe.key().to_owned();
    let lethe = lethe.restart();
    assert_eq!(lethe.key(), key);
    assert_eq!(lethe.client().post(CHAT, &chat("ok", "")).status, 200);
    assert_eq!(lethe.records(2).len(), 2);
}
