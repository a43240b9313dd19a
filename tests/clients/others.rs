//! What goes through Lethe beside conversations: counts of tokens, vectors, moderations, legacy completions, rerank, and a provider's own responses.

use lethe_testkit::client::Client as Http;
use lethe_testkit::provider::Provider;
use serde_json::json;

use crate::through::{Client, EMBED, Language, SCRIPTED, Target, lethe, through};

const OPENAI: Target = Target {
    dialect: "openai",
    path: "/v1",
    lines: "preset = \"openai\"\n",
    models: SCRIPTED,
    cached: 4,
    others: &[],
    without: "",
};
const COHERE: Target = Target {
    dialect: "cohere",
    path: "/v2",
    lines: "",
    models: SCRIPTED,
    cached: 4,
    others: &[("rerank", "rerank"), ("rerank-error-429", "rerank"), ("embed", "embeddings")],
    without: "",
};
const GEMINI: Target =
    Target { dialect: "gemini", path: "/v1beta", lines: "", models: SCRIPTED, cached: 4, others: EMBED, without: "" };

/// Both clients that count, at both APIs that do.
#[test]
fn clients_through_to_counts_of_tokens() {
    let clients: &[Client] = &[
        (Language::Python, "with_anthropic", "count"),
        (Language::Python, "with_google_genai", "count"),
        (Language::Node, "with_anthropic", "count"),
    ];
    through(
        &Target { dialect: "anthropic", path: "", lines: "", models: SCRIPTED, cached: 4, others: &[], without: "" },
        clients,
    );
    through(&GEMINI, clients);
}

/// Those of OpenAI's and of Google's client, of everybody who has any.
#[test]
fn clients_through_to_vectors() {
    let clients: &[Client] = &[(Language::Python, "with_openai", "embeddings"), (Language::Python, "with_google_genai", "embed")];
    let plain = |dialect, path, lines| Target { dialect, path, lines, models: SCRIPTED, cached: 4, others: EMBED, without: "" };
    for target in [
        plain("azure-openai", "/openai", "api_version = \"2024-10-21\"\n"),
        COHERE,
        GEMINI,
        plain("mistral", "/mistral/v1", ""),
        plain("ollama", "", ""),
        plain("openai", "/v1", "preset = \"openai\"\n"),
        plain("vertex", "/v1", "project = \"project\"\nlocation = \"eu\"\n"),
    ] {
        through(&target, clients);
    }
}

/// Providers that cannot be told so make several calls all the same: the client gets the first.
#[test]
fn clients_through_to_one_call_at_a_time() {
    let plain = |dialect, path, models| Target { dialect, path, lines: "", models, cached: 4, others: &[], without: "" };
    for target in [
        plain("bedrock", "", "anthropic.claude-sonnet-4-5-scripted-"),
        plain("cohere", "/v2", SCRIPTED),
        plain("gemini", "/v1beta", SCRIPTED),
        plain("ollama", "", SCRIPTED),
    ] {
        through(&target, &[(Language::Python, "with_openai", "one_call")]);
    }
}

#[test]
fn clients_through_to_completions_and_moderations() {
    let others = &[("moderation", "moderations"), ("text", "completions")];
    let clients: &[Client] = &[(Language::Python, "with_openai", "completions moderations")];
    through(&Target { others, ..OPENAI }, clients);
}

/// OpenAI's own responses pass as they are, thoughts included.
#[test]
fn clients_through_responses_to_openai() {
    through(
        &OPENAI,
        &[
            (
                Language::Python,
                "with_openai",
                "responses_text responses_stream responses_tools responses_json responses_image responses_think responses_errors",
            ),
            (
                Language::Node,
                "with_openai",
                "responses_text responses_stream responses_tools responses_json responses_image responses_think responses_errors",
            ),
            (Language::Python, "with_langchain_openai", "responses"),
            (Language::Node, "with_ai", "openai_responses"),
        ],
    );
}

/// Cohere's client, and Jina's shape, which no client of its own asks for.
#[test]
fn clients_through_to_rerank() {
    let jina = Target {
        dialect: "openai",
        path: "/v1",
        lines: "preset = \"jina\"\n",
        models: SCRIPTED,
        cached: 4,
        others: &[("rerank", "rerank"), ("rerank-error-429", "rerank")],
        without: "",
    };
    for target in [COHERE, jina] {
        through(&target, &[(Language::Python, "with_cohere", "rerank")]);
        let provider = Provider::start(None);
        let lethe = lethe(&provider, &target);
        let mut client = Http::connect(&lethe.api(), None).with_key(lethe.key());
        let model = format!("{}-rerank", target.dialect);
        let body = json!({"model": model, "query": "capital", "documents": ["Berlin", "a capital"], "top_n": 1});
        let answer = client.post("/v1/rerank", &body.to_string());
        assert_eq!((answer.status, &answer.json()["results"][0]["index"]), (200, &json!(1)), "{}", answer.text());
        let limited = json!({"model": format!("{model}-error-429"), "query": "a", "documents": ["a"]});
        let answer = client.post("/v1/rerank", &limited.to_string());
        assert_eq!(answer.status, 429, "{}", answer.text());
        assert!(
            answer.json()["message"].as_str().is_some_and(|said| said.contains("The script refuses this")),
            "{}",
            answer.text()
        );
        // What is wrong stands where clients of either look for it.
        let wrong = json!({"model": model, "query": "capital", "documents": ["a"], "no_such_field": 1});
        let answer = client.post("/v2/rerank", &wrong.to_string()).json();
        assert_eq!(answer["error"]["code"], "unknown_field");
        assert!(answer["message"].as_str().is_some_and(|said| said.contains("no_such_field")), "{answer}");
    }
}
