//! Each client directly against the scripted provider, in the dialect that both speak: the suites and the provider are right before
//! Lethe stands between them.

use lethe_testkit::provider::Provider;

use crate::suite::Suite;

fn suite(provider: &Provider, name: &'static str) -> Suite<'static> {
    let base = format!("http://{}", provider.address);
    Suite { name, base, key: "sk-direct", models: "scripted-", parts: "", through: false, cached: 4 }
}

#[test]
fn clients_direct_anthropic_python() {
    let provider = Provider::start(None);
    suite(&provider, "with_anthropic").python();
}

#[test]
fn clients_direct_google_genai_python() {
    let provider = Provider::start(None);
    suite(&provider, "with_google_genai").python();
}

#[test]
fn clients_direct_langchain_openai_python() {
    let provider = Provider::start(None);
    suite(&provider, "with_langchain_openai").python();
}

#[test]
fn clients_direct_openai_python() {
    let provider = Provider::start(None);
    suite(&provider, "with_openai").python();
}

#[test]
fn clients_direct_ai_node() {
    let provider = Provider::start(None);
    suite(&provider, "with_ai").node();
}

#[test]
fn clients_direct_anthropic_node() {
    let provider = Provider::start(None);
    suite(&provider, "with_anthropic").node();
}

#[test]
fn clients_direct_openai_node() {
    let provider = Provider::start(None);
    suite(&provider, "with_openai").node();
}
