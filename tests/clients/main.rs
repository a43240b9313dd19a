//! Clients as their makers ship them, unmodified: directly against the scripted provider, and against `lethe up`.

mod claude_code;
mod direct;
mod everywhere;
mod open_responses;
mod others;
mod strict;
mod suite;
mod through;
mod websocket;

use std::process::Command;

use lethe_testkit::lethe::{Lethe, Setup};
use lethe_testkit::pki::Pki;
use lethe_testkit::provider::Provider;

/// Runs one of the Python suites beside this file.
fn python(suite: &str, lethe: &Lethe, ca: Option<&str>) {
    let python = std::env::var("LETHE_TEST_PYTHON").expect("LETHE_TEST_PYTHON: run the tests through `cargo xtask test`");
    let path = format!("{}/clients/{suite}.py", env!("CARGO_MANIFEST_DIR"));
    let scheme = if ca.is_some() { "https://localhost" } else { "http://127.0.0.1" };
    let port = lethe.api().rsplit_once(':').unwrap().1.to_owned();
    let mut command = Command::new(python);
    command.arg(path).env("OPENAI_BASE_URL", format!("{scheme}:{port}/v1")).env("OPENAI_API_KEY", lethe.key());
    if let Some(ca) = ca {
        command.env("SSL_CERT_FILE", ca);
    }
    let output = command.output().expect("python");
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}");
    // The suite says how much it did, so that one that does nothing fails.
    assert!(said.trim_end().ends_with("checks passed"), "{said}");
}

#[test]
fn openai_python_against_a_provider_over_tls() {
    let pki = Pki::new();
    let provider = Provider::start(Some(pki.server()));
    let lethe = Setup::provider(&provider, &pki).start();
    let ca = lethe.folder().join("ca.pem").display().to_string();
    python("openai_provider", &lethe, Some(&ca));
}

#[test]
fn openai_python_against_the_embedded_engine() {
    let lethe = Setup::engine().start();
    python("openai_engine", &lethe, None);
}
