//! Where metrics are sent, and what is refused.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a failed unwrap is a failed test")]

use std::{ffi::OsString, path::Path};

use lethe_config::{Config, Scheme};

fn environment(name: &str) -> Option<OsString> {
    match name {
        "BEARER" => Some("Bearer SECRET".into()),
        "LINES" => Some("SECRET\nSECRET".into()),
        "EMPTY" => Some("".into()),
        _ => None,
    }
}

fn parse(lines: &str) -> Result<Config, String> {
    let text = format!("[control.otlp]\n{lines}\n");
    lethe_config::parse(&text, Path::new("lethe.toml"), &environment).map_err(|error| error.to_string())
}

#[test]
fn a_collector_is_read_with_its_defaults() {
    let otlp = |lines| parse(lines).unwrap_or_else(|error| panic!("{error}")).control.otlp.unwrap();
    let plain = otlp("url = \"https://collector.example.com:4318\"");
    assert_eq!((plain.url.scheme, plain.url.host.as_str(), plain.url.port), (Scheme::Https, "collector.example.com", 4318));
    assert_eq!((plain.seconds, plain.allow_private_network, plain.authorization.is_none()), (60, false, true));
    let full = otlp(
        "url = \"http://10.0.0.7:4318/otlp\"\nallow_private_network = true\nseconds = 5\nauthorization = { env = \"BEARER\" }",
    );
    assert_eq!((full.url.scheme, full.url.path.as_str(), full.seconds), (Scheme::Http, "/otlp", 5));
    assert_eq!(full.authorization.unwrap().expose(), b"Bearer SECRET");
    let nothing = lethe_config::parse("", Path::new("lethe.toml"), &environment).unwrap();
    assert!(nothing.control.otlp.is_none());
}

#[test]
fn what_cannot_be_a_collector_is_refused() {
    let public = "url = \"https://collector.example.com\"\n";
    let with = |line: &str| format!("{public}{line}");
    for (lines, says) in [
        ("url = \"http://collector.example.com\"".to_owned(), "allow_private_network"),
        ("url = \"https://10.0.0.7\"".to_owned(), "allow_private_network"),
        ("url = \"https://user:SECRET@collector.example.com\"".to_owned(), "user name"),
        ("seconds = 5".to_owned(), "url"),
        (with("seconds = 0"), "seconds = 0 is out of range"),
        (with("authorization = \"SECRET\""), "a secret never stands in the file"),
        (with("authorization = { env = \"LINES\" }"), "one line"),
        (with("authorization = { env = \"EMPTY\" }"), "one line"),
        (with("authorization = { env = \"UNSET\" }"), "UNSET is not set"),
        (with("ca = \"nowhere.pem\""), "nowhere.pem"),
        (with("traces = true"), "traces"),
    ] {
        let error = parse(&lines).err().unwrap_or_else(|| panic!("accepted: {lines}"));
        assert!(error.starts_with("lethe.toml:") && error.contains(says) && !error.contains("SECRET"), "{says:?} in: {error}");
    }
}
