//! No verdict without a target that can be exercised, and a clear word about it.

use lethe_testkit::provider::Provider;

use crate::{audit, free_port};

#[test]
fn a_target_that_is_down_gets_no_verdict() {
    let target = format!("http://127.0.0.1:{}", free_port());
    let audited = audit(&["--target", &target, "--provider", "127.0.0.1:0"]);
    assert_eq!(audited.code, 2, "{}", audited.printed);
    assert!(audited.printed.contains("no verdict"), "{}", audited.printed);
    assert!(audited.report.is_null(), "no report that could be taken for one");
}

#[test]
fn a_command_that_ends_gets_no_verdict() {
    let target = format!("http://127.0.0.1:{}", free_port());
    let audited = audit(&["--target", &target, "--spawn", "exit 3"]);
    assert_eq!(audited.code, 2, "{}", audited.printed);
    assert!(audited.printed.contains("ended before it answered (exit status: 3)"), "{}", audited.printed);
}

#[test]
fn a_target_with_another_provider_behind_it_gets_no_verdict() {
    let other = Provider::start(None);
    let target = format!("http://{}", other.address);
    let audited = audit(&["--target", &target, "--provider", "127.0.0.1:0", "--model", "ok"]);
    assert_eq!(audited.code, 2, "{}", audited.printed);
    assert!(audited.printed.contains("does not call the scripted provider"), "{}", audited.printed);
}

#[test]
fn wrong_usage_names_the_flag() {
    for (arguments, word) in [
        (&["--target", "ftp://x"][..], "--target"),
        (&["--target", "http://127.0.0.1:1", "--key", "env:LETHE_NOT_SET"], "LETHE_NOT_SET"),
        (&["--target", "http://127.0.0.1:1", "--ca", "/nonexistent"], "--ca"),
        (&["--spawn", "true"], "--target"),
    ] {
        let audited = audit(arguments);
        assert_eq!(audited.code, 64, "{arguments:?}: {}", audited.printed);
        assert!(audited.printed.contains(word), "{arguments:?}: {}", audited.printed);
    }
}
