//! `lethe up` as users run it: start and stop, the embedded engine, and everything that can be wrong with a request.

mod bad_configuration;
mod bad_provider;
mod bad_request;
mod broker;
mod changes;
mod configuration;
mod delivery;
mod diagnosis;
mod embedded;
mod lifecycle;
mod metering;
mod otlp;
mod provider_test;
mod routing;
mod supervision;

use std::sync::OnceLock;

use lethe_testkit::lethe::{Lethe, Setup};
use lethe_testkit::pki::Pki;
use lethe_testkit::provider::Provider;

/// A provider and a Lethe in front of it, TLS on both legs.
struct Pair {
    provider: Provider,
    lethe: Lethe,
}

impl Pair {
    fn start() -> Self {
        let pki = Pki::new();
        let provider = Provider::start(Some(pki.server()));
        let lethe = Setup::provider(&provider, &pki).start();
        Self { provider, lethe }
    }
}

/// One pair for the tests of a process that do not disturb each other.
fn pair() -> &'static Pair {
    static PAIR: OnceLock<Pair> = OnceLock::new();
    PAIR.get_or_init(Pair::start)
}

/// A chat request to `model`, with further members (`,"stream":true`).
fn chat(model: &str, more: &str) -> String {
    format!(r#"{{"model":"{model}","messages":[{{"role":"user","content":"Hello"}}]{more}}}"#)
}

const CHAT: &str = "/v1/chat/completions";
