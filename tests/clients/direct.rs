//! Each client directly against the scripted provider, in the dialect that both speak: the suites and the provider are right before
//! Lethe stands between them.

use lethe_testkit::provider::{Provider, sigv4};

use crate::suite::Suite;

fn suite(provider: &Provider, name: &'static str) -> Suite<'static> {
    let base = format!("http://{}", provider.address);
    Suite { name, base, key: "sk-direct", secret: "", models: "scripted-", parts: "", without: "", through: false, cached: 4 }
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

#[test]
fn clients_direct_cohere_python() {
    let provider = Provider::start(None);
    suite(&provider, "with_cohere").python();
}

#[test]
fn clients_direct_mistralai_python() {
    let provider = Provider::start(None);
    suite(&provider, "with_mistralai").python();
}

#[test]
fn clients_direct_ollama_python() {
    let provider = Provider::start(None);
    suite(&provider, "with_ollama").python();
}

#[test]
fn clients_direct_boto3_python() {
    let provider = Provider::start(None);
    let suite = suite(&provider, "with_boto3");
    Suite { key: sigv4::ACCESS_KEY_ID, secret: sigv4::SECRET_ACCESS_KEY, ..suite }.python();
}
