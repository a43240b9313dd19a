//! From inside the running processes: every way out is tried where content is, and refused by the kernel.
//!
//! The filter itself, system call by system call, is tested in `crates/confine/tests`.

use std::collections::BTreeMap;

use lethe_testkit::lethe::{Lethe, Setup};
use lethe_testkit::pki::Pki;
use lethe_testkit::provider::Provider;
use serde_json::Value;

/// What a probe inside the gateway must not be able to do, whatever else is tried.
const ASKED_FOR: [&str; 7] = ["connect", "create_file", "execve", "open_passwd", "ptrace_sibling", "socket_inet", "socket_unix"];

fn parts(lethe: &Lethe) -> BTreeMap<String, Value> {
    let posture = lethe.json(&["posture", "--probe", "--json"]).remove(0);
    let parts = posture["parts"].as_array().unwrap_or_else(|| panic!("{posture}")).clone();
    parts.into_iter().map(|part| (part["role"].as_str().unwrap().to_owned(), part)).collect()
}

fn every_way_out_is_closed(lethe: &Lethe, roles: &[&str]) {
    let parts = parts(lethe);
    for role in roles {
        let part = &parts[*role];
        let reported = &part["reported"];
        assert_eq!(reported["walls"], serde_json::json!(["landlock", "seccomp"]), "{role}: {part}");
        let attempts = reported["attempts"].as_array().unwrap();
        assert!(attempts.len() >= 40, "{role}: {} ways out were tried", attempts.len());
        for name in ASKED_FOR {
            // What the dialer is there for.
            if *role == "dialer" && matches!(name, "connect" | "socket_inet") {
                continue;
            }
            let attempt =
                attempts.iter().find(|attempt| attempt["name"] == name).unwrap_or_else(|| panic!("{role}: {name} was not tried"));
            assert!(attempt["outcome"]["refused"].is_i64(), "{role}: {name}: {attempt}");
        }
        // What the kernel says from outside.
        let kernel = &part["kernel"];
        assert_eq!((&kernel["seccomp"], &kernel["no_new_privileges"]), (&2.into(), &true.into()), "{role}: {part}");
        // Inheritable, permitted, effective, bounding, ambient: the bounding set cannot be lowered without a capability.
        for set in [0, 1, 2, 4] {
            assert_eq!(kernel["capabilities"][set], 0, "{role}: {kernel}");
        }
        let kinds: Vec<&str> =
            reported["descriptors"].as_array().unwrap().iter().map(|fd| fd["kind"].as_str().unwrap()).collect();
        assert!(!kinds.contains(&"file") && kinds.contains(&"null"), "{role}: {kinds:?}");
    }
}

#[test]
fn started_as_root_each_role_has_its_own_user_and_no_way_out() {
    let lethe = Setup::engine().start();
    every_way_out_is_closed(&lethe, &["gateway", "dialer", "node", "engine"]);
    let parts = parts(&lethe);
    let users: std::collections::BTreeSet<u64> = ["control", "gateway", "dialer", "node", "engine"]
        .iter()
        .map(|role| parts[*role]["kernel"]["uids"][0].as_u64().unwrap())
        .collect();
    assert_eq!(users.len(), 5, "a user of its own each");
    assert!(!users.contains(&0), "none of them root");
}

#[test]
fn started_by_an_ordinary_user_there_is_no_way_out_either() {
    let pki = Pki::new();
    let provider = Provider::start(Some(pki.server()));
    let mut setup = Setup::provider(&provider, &pki);
    setup.as_ordinary_user = true;
    let lethe = setup.start();
    every_way_out_is_closed(&lethe, &["gateway", "dialer"]);
}
