//! Switch by switch: a proxy that keeps nothing, and the same with one way to leak.

use std::fs;
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::time::Duration;

use lethe_testkit::gauge::within;

use crate::{Audited, audit, free_port, links};

/// Audits the leaky proxy with this switch.
fn with(switch: &str, address: &str, more: &[&str]) -> Audited {
    with_after("", switch, address, more)
}

/// The same, started after these commands of the shell.
fn with_after(before: &str, switch: &str, address: &str, more: &[&str]) -> Audited {
    let port = free_port();
    let proxy = env!("CARGO_BIN_EXE_leaky-proxy");
    let command = format!("{before} exec '{proxy}' {port} \"${{LETHE_AUDIT_PROVIDER#http://}}\" '{switch}' {address}");
    let target = format!("http://127.0.0.1:{port}");
    let arguments = [&["--target", target.as_str(), "--spawn", command.as_str()], more].concat();
    audit(&arguments)
}

/// A switch has to be caught where it leaks.
fn caught(switch: &str, address: &str, sink: &str) {
    let audited = with(switch, address, &[]);
    assert_eq!(audited.code, 1, "{switch}: {}", audited.shown());
    assert!(!audited.findings(sink).is_empty(), "{switch}: nothing found in {sink}: {}", audited.shown());
}

#[test]
fn a_proxy_that_keeps_nothing_is_clean() {
    let audited = with("", "", &[]);
    assert_eq!(audited.code, 0, "{}", audited.shown());
    assert_eq!(audited.report["findings"].as_array().map(Vec::len), Some(0));
    let controls = audited.report["controls"].as_array().expect("controls");
    // Its links are in the clear, which is no finding, but said.
    for link in ["clients to the target", "to the provider"] {
        let links = links(&audited.report);
        let found = links.iter().find(|(name, ..)| name.contains(link)).unwrap_or_else(|| panic!("{link}: {links:#?}"));
        assert!(found.1.contains("in the clear") && found.2 == "warn", "{found:?}");
    }
    assert!(controls.len() > 40 && controls.iter().all(|control| control["found"] == true), "{controls:#?}");
}

fn crash_row(audited: &Audited) -> &serde_json::Value {
    let rows = audited.report["rows"].as_array().expect("rows");
    rows.iter().find(|row| row["outcome"] == "handler crash").expect("the row")
}

/// What nothing but a crash brings about: without one the same proxy is clean, and the report says that the row is missing.
#[test]
fn a_dump_that_a_crash_leaves() {
    let rows = ["--only", "success", "--only", "handler crash"];
    let audited = with("crash-dump", "", &[&rows[..], &["--crash"]].concat());
    assert_eq!((audited.code, &crash_row(&audited)["state"]), (1, &"exercised".into()), "{}", audited.shown());
    let found = audited.findings("core");
    assert!(!found.is_empty(), "{}", audited.shown());
    assert!(found.iter().all(|finding| finding["content"]["outcome"] == "handler crash"), "{}", audited.shown());
    let audited = with("crash-dump", "", &rows);
    assert_eq!((audited.code, &crash_row(&audited)["state"]), (0, &"not_exercised".into()), "{}", audited.shown());
    assert!(audited.report["because"].to_string().contains("--crash"), "{}", audited.shown());
}

/// A proxy that keeps nothing, but that may leave a core. Where the kernel hands cores to a program, the report says that this decides.
#[test]
fn a_core_of_the_kernel() {
    let audited = with_after("ulimit -c unlimited;", "", "", &["--crash", "--only", "handler crash"]);
    assert_eq!(&crash_row(&audited)["state"], "exercised", "{}", audited.shown());
    let pattern = fs::read_to_string("/proc/sys/kernel/core_pattern").expect("a pattern");
    if pattern.starts_with(['|', '@']) {
        let sinks = audited.report["sinks"].to_string();
        assert!(sinks.contains("core dumps go to a program or a socket"), "{}", audited.shown());
    } else {
        assert_eq!(audited.code, 1, "{}", audited.shown());
        assert!(!audited.findings("core").is_empty(), "{}", audited.shown());
    }
    let audited = with_after("ulimit -c 0;", "", "", &["--crash", "--only", "handler crash"]);
    assert_eq!((audited.code, &crash_row(&audited)["state"]), (0, &"exercised".into()), "{}", audited.shown());
}

/// Each format and endpoint of the plan: what a proxy writes down of a request there is found, and under that endpoint's name.
#[test]
fn a_file_of_bodies_of_every_format() {
    for (dialect, endpoint) in [
        ("openai", "POST /v1/completions"),
        ("openai", "POST /v1/moderations"),
        ("openai", "POST /v1/rerank"),
        ("anthropic", "POST /v1/messages"),
        ("gemini", "POST /v1beta/models/{model}:generateContent"),
    ] {
        let audited = with("append-file", "", &["--dialect", dialect, "--only", endpoint]);
        assert_eq!(audited.code, 1, "{}", audited.shown());
        let found = audited.findings("log");
        assert!(found.iter().any(|finding| finding["content"]["endpoint"] == endpoint), "{endpoint}: {}", audited.shown());
    }
}

/// The name is content, and so is not shown.
#[test]
fn a_file_named_by_content() {
    let audited = with("file-name", "", &[]);
    assert_eq!(audited.code, 1, "{}", audited.shown());
    assert!(!audited.findings("file").is_empty(), "{}", audited.shown());
    let report = audited.report.to_string();
    let entries = fs::read_dir(audited.folder.path()).expect("a folder").flatten();
    let names: Vec<String> = entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    let by_content: Vec<&String> = names.iter().filter(|name| name.starts_with("upload-") && name.len() > 60).collect();
    assert!(by_content.len() > 5, "control: {names:?}");
    assert!(by_content.iter().all(|name| !report.contains(&name[20..])), "a name with a marker is in the report");
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

/// A PostgreSQL of the test's own: a control is planted and found in a table, and its files are searched.
#[test]
fn a_database_is_searched() {
    let versions = fs::read_dir("/usr/lib/postgresql").expect("PostgreSQL").flatten();
    let bin = versions.map(|version| version.path().join("bin")).find(|bin| bin.join("initdb").exists());
    let bin = bin.expect("a PostgreSQL server");
    let folder = tempfile::tempdir_in("/var/tmp").expect("a folder");
    // It does not run as root, nor as somebody without a name.
    let owned = Command::new("chown").arg("postgres:postgres").arg(folder.path()).status();
    assert!(owned.expect("chown").success(), "the user that Debian's package makes");
    let by_user = |program: &str| {
        let mut command = Command::new("setpriv");
        command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups"]).arg(bin.join(program));
        command.current_dir(folder.path()).stdout(Stdio::null());
        command
    };
    let initialised = by_user("initdb").args(["-D", "data", "-A", "trust", "-U", "audit", "--no-sync"]).status();
    assert!(initialised.expect("initdb").success(), "initdb");
    let port = free_port().to_string();
    let place = folder.path().display().to_string();
    let mut server = by_user("postgres");
    server.args(["-D", "data", "-p", &port, "-h", "127.0.0.1", "-k", &place]).stderr(Stdio::null());
    let mut server = server.spawn().expect("postgres");
    let answers = || by_user("pg_isready").args(["-h", "127.0.0.1", "-p", &port]).status().is_ok_and(|status| status.success());
    assert!(within(Duration::from_secs(30), answers), "postgres answers");
    let url = format!("postgres://audit@127.0.0.1:{port}/postgres");
    let mut client = by_user("psql").args([&url, "-c", "SELECT pg_sleep(600)"]).stderr(Stdio::null()).spawn().expect("psql");
    let audited = with("", "", &["--postgres", &url, "--only", "success"]);
    client.kill().expect("psql ends");
    client.wait().expect("psql ends");
    server.kill().expect("postgres ends");
    server.wait().expect("postgres ends");
    assert_eq!(audited.code, 0, "{}", audited.shown());
    let controls = audited.report["controls"].as_array().expect("controls");
    assert!(controls.iter().any(|control| control["sink"] == "postgres" && control["found"] == true), "{controls:#?}");
    let links = links(&audited.report);
    assert!(links.contains(&("PostgreSQL's clients over TCP", "in the clear, on its machine only: 1", "warn")), "{links:#?}");
    let sinks = audited.report["sinks"].as_array().expect("sinks");
    let sink = sinks.iter().find(|sink| sink["sink"] == "postgres").expect("the sink");
    assert_eq!(sink["gaps"].as_array().map(Vec::len), Some(0), "{sink:#}");
    assert!(sink["bytes"].as_u64().expect("bytes") > 10_000_000, "the data folder was searched: {sink:#}");
}

macro_rules! switches {
    ($($name:ident: $switch:literal $(to $address:literal)? in $sink:literal,)*) => {$(
        #[test]
        fn $name() {
            caught($switch, concat!("", $($address)?), $sink);
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
    // Whether somebody listens there does not matter.
    a_datagram: "datagram" to "127.0.0.1:9" in "network",
    a_deleted_file_that_stays_open: "deleted-open-file" in "deleted_file",
    a_provider_error_in_the_log: "error-log" in "output",
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

/// A switch that nobody turns shows nothing.
#[test]
fn every_switch_has_its_test() {
    let (switches, tests) = (include_str!("leaky/switch.rs"), include_str!("leaks.rs"));
    let list = switches.split_once("ALL: &[&str] = &[").and_then(|(_, rest)| rest.split_once("];")).expect("the list").0;
    let names: Vec<&str> = list.split(',').map(str::trim).filter(|name| !name.is_empty()).collect();
    assert!(names.len() > 20, "{names:?}");
    let without: Vec<&&str> = names.iter().filter(|name| !tests.contains(**name)).collect();
    assert!(without.is_empty(), "{without:?}");
}
