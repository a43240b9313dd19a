//! Every sample file in `docs/config` is a configuration that works.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a failed unwrap is a failed test")]

use std::{ffi::OsString, path::Path};

fn environment(name: &str) -> Option<OsString> {
    let known = ["ANTHROPIC_API_KEY", "AWS_SECRET_ACCESS_KEY", "AZURE_OPENAI_API_KEY", "OPENAI_API_KEY", "VERTEX_ACCESS_TOKEN"];
    match name {
        "AWS_ACCESS_KEY_ID" => Some("AKIAIOSFODNN7EXAMPLE".into()),
        _ => known.contains(&name).then(|| "sk-test".into()),
    }
}

#[test]
fn every_sample_is_accepted() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/config");
    let scratch = tempfile::tempdir().unwrap();
    let certified = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    std::fs::write(scratch.path().join("cert.pem"), certified.cert.pem()).unwrap();
    std::fs::write(scratch.path().join("key.pem"), certified.signing_key.serialize_pem()).unwrap();
    let mut seen = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if !name.ends_with(".toml") {
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap();
        // Relative paths in the samples start at a folder that has a certificate.
        if let Err(error) = lethe_config::parse(&text, &scratch.path().join(&name), &environment) {
            panic!("{error}");
        }
        seen.push(name);
    }
    seen.sort();
    assert_eq!(seen, ["behind-a-proxy.toml", "full.toml", "minimal.toml", "own-tls.toml", "preset.toml"]);
}

#[test]
fn the_full_sample_shows_the_defaults() {
    let text = include_str!("../../../docs/config/full.toml");
    let full = lethe_config::parse(text, Path::new("full.toml"), &environment).unwrap();
    let empty = lethe_config::parse("", Path::new("empty.toml"), &environment).unwrap();
    assert_eq!(full.gateway.listen, empty.gateway.listen);
    assert_eq!(full.gateway.probes, empty.gateway.probes);
    assert_eq!(full.gateway.max_body_mib, empty.gateway.max_body_mib);
    assert_eq!(full.gateway.max_connections, empty.gateway.max_connections);
    assert_eq!(full.gateway.drain_seconds, empty.gateway.drain_seconds);
    assert_eq!(full.gateway.max_pending_records, empty.gateway.max_pending_records);
    assert_eq!(full.gateway.metering, empty.gateway.metering);
    assert_eq!(full.gateway.max_stale_seconds, empty.gateway.max_stale_seconds);
    assert_eq!(full.gateway.recycle_hours, empty.gateway.recycle_hours);
    assert_eq!(full.control.console, empty.control.console);
    assert_eq!(full.control.store, empty.control.store);
    assert_eq!(full.engine.concurrent, empty.engine.concurrent);
    assert_eq!(full.providers[0].timeouts, lethe_policy::Timeouts::default());
}

/// Every field that a file may have is shown, in use or in a comment.
#[test]
fn the_full_sample_shows_every_field() {
    let sample = include_str!("../../../docs/config/full.toml");
    let shape = include_str!("../src/file.rs");
    let mut fields = 0;
    for line in shape.lines() {
        let Some((name, _)) = line.trim().strip_prefix("pub(crate) ").and_then(|rest| rest.split_once(": ")) else { continue };
        let shown = ["", "[", "[[", ".", "{ ", ", ", "# ", "in `"]
            .iter()
            .any(|before| sample.contains(&format!("{before}{name} =")) || sample.contains(&format!("{before}{name}]")));
        assert!(shown || ["cert", "key", "tls", "trusted_peers"].contains(&name), "{name} is nowhere in full.toml");
        fields += 1;
    }
    assert!(fields > 60, "{fields}");
}
