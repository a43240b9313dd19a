//! Lethe itself.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use lethe_testkit::lethe::{ORDINARY_USER, install};

use crate::{Audited, audit, audit_by, links};

fn is_clean(audited: &Audited) {
    assert_eq!(audited.code, 0, "{}", audited.shown());
    let report = &audited.report;
    assert_eq!(report["findings"].as_array().map(Vec::len), Some(0));
    let exercised = |row: &&serde_json::Value| row["state"] == "exercised" || row["state"] == "refused";
    assert!(report["rows"].as_array().expect("rows").iter().filter(exercised).count() > 10, "{}", audited.shown());
    // Its gateway was ended with a request in it, and came back.
    let crash = report["rows"].as_array().expect("rows").iter().find(|row| row["outcome"] == "handler crash").expect("a row");
    assert_eq!(crash["state"], "exercised", "{}", audited.shown());
    let said = report["observations"].to_string();
    assert!(!said.contains("stopped taking connections"), "{}", audited.shown());
    has_protected_links(report);
    let attempts = report["attempts"].as_array().expect("attempts");
    assert!(attempts.len() > 100 && attempts.iter().all(|attempt| attempt["denied"] == true));
}

/// Each link is TLS, and between parts mutual; probes carry no content.
fn has_protected_links(report: &serde_json::Value) {
    let links = links(report);
    for (link, how) in [
        ("clients to the gateway", "TLS 1.3"),
        ("to control (", "mutual"),
        ("operators to control's console", "TLS 1.3"),
        ("gateway to control", "TLS 1.3"),
        ("gateway to the provider", "TLS 1.3"),
        ("probes to the gateway", "in the clear"),
    ] {
        let found = links.iter().find(|(name, ..)| name.contains(link)).unwrap_or_else(|| panic!("{link}: {links:#?}"));
        assert!(found.1.contains(how), "{found:?}");
        assert_eq!(found.2, if link.starts_with("probes") { "warn" } else { "good" }, "{found:?}");
    }
}

/// Every format and endpoint that Lethe serves went well, with its own provider behind it or translated.
fn asks_in_every_format(audited: &Audited) {
    const GEMINI: &str = "POST /v1beta/models/{model}:generateContent";
    let rows = audited.report["rows"].as_array().expect("rows");
    for (endpoint, outcome) in [
        ("POST /v1/chat/completions", "success"),
        ("POST /v1/responses", "success"),
        ("POST /v1/completions", "success"),
        ("POST /v1/embeddings", "success"),
        ("POST /v1/moderations", "success"),
        ("POST /v1/rerank", "success"),
        ("POST /v1/messages", "success"),
        ("POST /v1/messages", "stream"),
        ("POST /v1/messages", "translated"),
        ("POST /v1/messages", "translated, streamed"),
        ("POST /v1/messages/count_tokens", "success"),
        (GEMINI, "success"),
        (GEMINI, "stream"),
        (GEMINI, "translated"),
        (GEMINI, "translated, streamed"),
    ] {
        let row = rows.iter().find(|row| row["endpoint"] == endpoint && row["outcome"] == outcome);
        let row = row.unwrap_or_else(|| panic!("no row {endpoint}, {outcome}"));
        assert_eq!((&row["state"], &row["status"]), (&"exercised".into(), &200.into()), "{row}");
    }
}

#[test]
fn it_is_clean_in_less_than_a_minute() {
    let audited = audit(&[]);
    is_clean(&audited);
    asks_in_every_format(&audited);
    let report = &audited.report;
    assert!(report["duration_ms"].as_u64().expect("a duration") < 60_000, "{}", report["duration_ms"]);
    // A process that holds content wrote to no file, and was really looked at: it wrote to sockets.
    let writes = report["writes"].as_array().expect("writes");
    let of_gateway = |write: &&serde_json::Value| write["process"].as_str().is_some_and(|name| name.contains("dataplane"));
    assert!(writes.iter().filter(of_gateway).count() > 0, "{writes:#?}");
    assert!(writes.iter().all(|write| write["verdict"] != "forbidden" && write["verdict"] != "content"), "{writes:#?}");
}

#[test]
fn the_full_matrix_is_clean() {
    let audited = audit(&["--full"]);
    is_clean(&audited);
    asks_in_every_format(&audited);
    assert!(audited.report["duration_ms"].as_u64().expect("a duration") < 300_000);
}

#[test]
fn an_ordinary_user_gets_a_partial_verdict() {
    let folder = tempfile::tempdir_in("/var/tmp").expect("a folder");
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).expect("rights");
    let bin = install(&folder.path().join("bin"), false);
    let user = ORDINARY_USER.to_string();
    let mut command = Command::new("setpriv");
    command.args([&format!("--reuid={user}"), &format!("--regid={user}"), "--clear-groups"]).arg(bin.join("lethe"));
    let audited = audit_by(&mut command, &[]);
    assert_eq!((audited.code, audited.report["verdict"].as_str()), (0, Some("clean_partial")), "{}", audited.shown());
    let because = audited.report["because"].to_string();
    assert!(because.contains("run as root"), "it says what was not looked at: {because}");
}
