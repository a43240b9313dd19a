//! Switch by switch: a proxy that keeps nothing, and the same with one way to leak.

use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::time::Duration;

use lethe_testkit::gauge::within;

use crate::{Audited, audit, free_port};

/// Audits the leaky proxy with this switch.
fn with(switch: &str, address: &str, more: &[&str]) -> Audited {
    let port = free_port();
    let command =
        format!("exec '{}' {port} \"${{LETHE_AUDIT_PROVIDER#http://}}\" '{switch}' {address}", env!("CARGO_BIN_EXE_leaky-proxy"));
    let target = format!("http://127.0.0.1:{port}");
    let arguments = [&["--target", target.as_str(), "--spawn", command.as_str()], more].concat();
    audit(&arguments)
}

/// A switch has to be caught where it leaks.
fn caught(switch: &str, sink: &str) {
    let audited = with(switch, "", &[]);
    assert_eq!(audited.code, 1, "{switch}: {}", audited.shown());
    assert!(!audited.findings(sink).is_empty(), "{switch}: nothing found in {sink}: {}", audited.shown());
}

#[test]
fn a_proxy_that_keeps_nothing_is_clean() {
    let audited = with("", "", &[]);
    assert_eq!(audited.code, 0, "{}", audited.shown());
    assert_eq!(audited.report["findings"].as_array().map(Vec::len), Some(0));
    let controls = audited.report["controls"].as_array().expect("controls");
    assert!(controls.len() > 40 && controls.iter().all(|control| control["found"] == true), "{controls:#?}");
}

/// A process is started, and traced, for each request: fewer of them.
#[test]
fn a_deleted_row() {
    let audited = with("sqlite-deleted", "", &["--only", "stream"]);
    assert_eq!(audited.code, 1, "{}", audited.shown());
    let of_database =
        |finding: &&serde_json::Value| finding["place"]["name"].as_str().is_some_and(|name| name.ends_with("/spend.db"));
    assert!(audited.findings("sqlite").into_iter().any(|finding| of_database(&finding)), "{}", audited.shown());
}

/// A Redis of the test's own.
#[test]
fn a_cache_in_redis() {
    let folder = tempfile::tempdir_in("/var/tmp").expect("a folder");
    let port = free_port().to_string();
    let mut redis = Command::new("redis-server");
    redis.args(["--port", &port, "--bind", "127.0.0.1", "--save", "", "--dir"]).arg(folder.path()).stdout(Stdio::null());
    let mut redis = redis.spawn().expect("redis-server");
    let address = format!("127.0.0.1:{port}");
    assert!(within(Duration::from_secs(10), || TcpStream::connect(&address).is_ok()), "redis-server answers");
    let audited = with("redis-cache", &address, &["--redis", &format!("redis://{address}")]);
    redis.kill().expect("redis-server ends");
    redis.wait().expect("redis-server ends");
    assert_eq!(audited.code, 1, "{}", audited.shown());
    assert!(!audited.findings("redis").is_empty(), "{}", audited.shown());
}

macro_rules! switches {
    ($($name:ident: $switch:literal in $sink:literal,)*) => {$(
        #[test]
        fn $name() {
            caught($switch, $sink);
        }
    )*};
}

switches! {
    a_file_of_bodies: "append-file" in "log",
    bodies_in_base64: "base64-file" in "file",
    a_buffer_that_is_reused_without_a_wipe: "buffer-not-wiped" in "memory",
    arguments_of_a_child: "child-arguments" in "command_line",
    a_trace_when_the_client_goes: "client-gone-trace" in "output",
    an_answer_to_somebody_else: "cross-talk" in "metrics",
    a_curl_line: "curl-line" in "output",
    a_deleted_file_that_stays_open: "deleted-open-file" in "deleted_file",
    a_provider_error_in_the_log: "error-log" in "output",
    a_file_named_by_content: "file-name" in "file",
    a_rotated_log: "gzip-log" in "log",
    the_last_request_in_memory: "keep-last" in "memory",
    a_log_in_lower_case: "lower-case-log" in "log",
    a_metric_label: "metric-label" in "metrics",
    a_parse_error_in_the_log: "parse-error-log" in "output",
    shared_memory: "shared-memory" in "shared_memory",
    a_span_attribute: "span-attribute" in "telemetry",
    a_spooled_body: "spool" in "deleted_file",
    a_log_of_streams: "stream-log" in "log",
    a_key_in_the_log: "wrong-key-log" in "log",
}
