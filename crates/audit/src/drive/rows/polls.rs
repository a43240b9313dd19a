//! What a target shows to whoever asks, once the matrix has been through it.

use std::time::Duration;

use super::super::client::{Client, Request};
use super::super::matrix::{Answered, Limits};
use super::super::provider::{Provider, Scene};
use super::super::stage::Kept;
use super::super::target::Target;

/// For one address.
const LIMIT: Duration = Duration::from_secs(5);

/// Health, metrics and the like, of Lethe, LiteLLM, Portkey, vLLM, llama.cpp, Ollama, nginx, Envoy, Kong and frameworks' debug pages.
const PATHS: &[&str] = &[
    "/",
    "/health",
    "/healthz",
    "/health/liveliness",
    "/health/readiness",
    "/livez",
    "/readyz",
    "/ready",
    "/live",
    "/status",
    "/stats",
    "/metrics",
    "/v1/models",
    "/v1/metrics",
    "/v1/responses",
    "/v1/chat/completions",
    "/v1/files",
    "/slots",
    "/props",
    "/load",
    "/api/ps",
    "/api/tags",
    "/spend/logs",
    "/global/spend/logs",
    "/nginx_status",
    "/server-status",
    "/debug/vars",
    "/debug/requests",
    "/debug/pprof/goroutine?debug=2",
    "/actuator/httptrace",
    "/public/logs",
    "/log/stream",
];

/// Asks for each, and keeps what is there; false if the target takes no connections.
pub(in super::super) fn poll(target: &Target, provider: Option<&Provider>, limits: Limits, kept: &mut Kept) -> bool {
    if let Some(provider) = provider {
        provider.play(Scene::default());
    }
    for path in PATHS {
        let Ok(mut client) = Client::connect(target, limits.answer.min(LIMIT)) else { return false };
        let full = format!("{}{path}", target.root());
        let request = Request { method: "GET", path: full, ..Request::default() };
        let Ok(answer) = client.exchange(&request, limits.answer.min(LIMIT)) else { continue };
        if matches!(answer.status, 404 | 405 | 501) {
            continue;
        }
        let bytes = [answer.head.as_slice(), b"\n", &answer.body].concat();
        kept.answers.push(Answered { from: format!("GET {path}"), own: Vec::new(), bytes });
    }
    true
}
