//! What must not be anywhere in a confined executable, whoever asks for it.

use std::collections::BTreeSet;

use super::tree::Tree;

/// Names; a trailing `*` stands for any ending.
const CRATES: &[(&str, &str)] = &[
    ("askama*", "pages are the control side's"),
    ("axum*", "HTTP libraries keep buffers that are not ours to wipe"),
    ("env_logger", "a log backend"),
    ("fern", "a log backend"),
    ("flexi_logger", "a log backend"),
    ("h2", "HTTP libraries keep buffers that are not ours to wipe"),
    ("hyper*", "HTTP libraries keep buffers that are not ours to wipe"),
    ("lettre", "mail is the control side's"),
    ("libsqlite3-sys", "a database"),
    ("log4rs", "a log backend"),
    ("mysql*", "a database"),
    ("native-tls", "a second TLS library"),
    ("openssl*", "a second TLS library"),
    ("opentelemetry*", "telemetry leaves from the control side only"),
    ("postgres*", "a database"),
    ("redis", "a database"),
    ("reqwest", "follows redirects and proxies, keeps buffers"),
    ("ring", "a second cryptographic library"),
    ("rusqlite", "a database"),
    ("sentry*", "an error tracker"),
    ("simplelog", "a log backend"),
    ("sled", "a database"),
    ("sqlx*", "a database"),
    ("syslog*", "a log backend"),
    ("tempfile", "makes files"),
    ("tokio-postgres", "a database"),
    ("tokio-rustls", "rustls' buffered interface leaves content in reused buffers"),
    ("tracing-appender", "a log backend"),
    ("tracing-subscriber", "a log backend"),
    ("tungstenite", "a second protocol, with its own buffers"),
];

/// Allowed crates, but without these features.
const FEATURES: &[(&str, &str, &str)] = &[
    ("rustls", "ring", "a second cryptographic library"),
    ("rustls", "log", "log lines inside TLS"),
    ("tokio", "fs", "files"),
    ("tokio", "process", "starting programs"),
    ("tokio", "tracing", "spans around tasks"),
    ("tracing", "log", "a second way to a log"),
];

/// Templates come with models, so only the engine renders them.
const ENGINE_ONLY: &[(&str, &str)] = &[("minijinja*", "templates belong to the engine")];

pub(super) fn check(executable: &str, tree: &Tree, linked: &BTreeSet<&str>) -> Vec<String> {
    let more = if executable == "lethe-engine" { &[] } else { ENGINE_ONLY };
    let mut findings = Vec::new();
    for name in linked {
        for (pattern, why) in CRATES.iter().chain(more) {
            if pattern.strip_suffix('*').map_or(name == pattern, |start| name.starts_with(start)) {
                findings.push(format!("{executable} links {name}: {why}"));
            }
        }
        for (_, feature, why) in FEATURES.iter().filter(|(with, feature, _)| with == name && tree.has_feature(name, feature)) {
            findings.push(format!("{executable} links {name} with its feature `{feature}`: {why}"));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(executable: &str, below: &str) -> usize {
        let tree = Tree::parse(&format!("0{executable} v0.1.0|\n1lethe-confine v0.1.0|\n{below}"));
        check(executable, &tree, &tree.closure(executable)).len()
    }

    #[test]
    fn an_allowed_crate_passes() {
        assert_eq!(findings("lethe-dataplane", "2tokio v1.0.0|net,rt\n2ringbuffer v1.0.0|\n"), 0);
    }

    #[test]
    fn a_banned_crate_fails_however_deep() {
        assert_eq!(findings("lethe-dataplane", "2helper v1.0.0|\n3sqlx-core v0.9.0|\n"), 1);
        assert_eq!(findings("lethe-engine", "2ring v0.17.0|\n"), 1);
    }

    #[test]
    fn a_banned_feature_fails() {
        assert_eq!(findings("lethe-dataplane", "2tokio v1.0.0|fs,net\n"), 1);
    }

    #[test]
    fn templates_are_for_the_engine_only() {
        assert_eq!(findings("lethe-dataplane", "2minijinja v2.0.0|\n"), 1);
        assert_eq!(findings("lethe-engine", "2minijinja v2.0.0|\n"), 0);
    }
}
