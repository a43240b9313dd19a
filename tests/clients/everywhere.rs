//! Every client through Lethe to every dialect of provider.

use lethe_testkit::provider::Provider;

use crate::open_responses::{Server, every_case};
use crate::through::{Client, Language, SCRIPTED, Target, lethe, through};

/// Everything that chats. What a target cannot express is left out by its own words.
const CLIENTS: &[Client] = &[
    (
        Language::Python,
        "with_openai",
        "chat_text chat_stop chat_filter chat_stream chat_stream_broken chat_tools chat_choice_named chat_choice_none \
         chat_tools_parallel chat_json chat_json_object chat_image chat_file chat_think chat_errors responses_text \
         responses_stream responses_tools responses_json responses_image responses_think responses_errors",
    ),
    (
        Language::Python,
        "with_anthropic",
        "text stop filter_ streamed stream_broken tools choice_named tools_parallel structured image document think errors",
    ),
    (
        Language::Python,
        "with_google_genai",
        "text stop filter_ streamed stream_broken tools choice_named tools_parallel structured image document think models failures",
    ),
    (Language::Python, "with_langchain_openai", "completions responses"),
    (
        Language::Node,
        "with_openai",
        "chat_text chat_stream chat_tools chat_json chat_image chat_errors responses_text responses_stream responses_tools \
         responses_json responses_image responses_think responses_errors",
    ),
    (Language::Node, "with_anthropic", "text streamed tools structured image think errors"),
    (Language::Node, "with_ai", "openai_chat openai_responses anthropic openai_compatible"),
];

/// OpenAI's chat completions count their thoughts and keep them.
const KEPT_THOUGHTS: &str = "=think responses_think";

/// Directly as it is, and translated.
#[test]
fn clients_through_open_responses() {
    let openai = Target {
        dialect: "openai",
        path: "/v1",
        lines: "preset = \"openai-compatible\"\n",
        models: SCRIPTED,
        cached: 4,
        others: &[],
        without: "",
    };
    let anthropic = Target { dialect: "anthropic", path: "", lines: "", models: SCRIPTED, cached: 4, others: &[], without: "" };
    for target in [openai, anthropic] {
        let provider = Provider::start(None);
        let lethe = lethe(&provider, &target);
        every_case(&Server { address: &lethe.api(), key: lethe.key(), models: &format!("{}-", target.dialect) });
    }
}

#[test]
fn clients_through_to_anthropic() {
    // There is no form of JSON without a schema.
    let without = "json_object";
    through(&Target { dialect: "anthropic", path: "", lines: "", models: SCRIPTED, cached: 4, others: &[], without }, CLIENTS);
}

#[test]
fn clients_through_to_azure() {
    let lines = "api_version = \"2024-10-21\"\n";
    let without = KEPT_THOUGHTS;
    through(
        &Target { dialect: "azure-openai", path: "/openai", lines, models: SCRIPTED, cached: 4, others: &[], without },
        CLIENTS,
    );
}

#[test]
fn clients_through_to_bedrock() {
    // Tools are left out where none may be called, which the script takes for a loss; there is no form of JSON without a schema; thoughts are
    // not counted by themselves. It says nowhere when to come again.
    let without = "choice_none json_object thoughts_count retry_after";
    through(
        &Target {
            dialect: "bedrock",
            path: "",
            lines: "",
            models: "anthropic.claude-sonnet-4-5-scripted-",
            cached: 4,
            others: &[],
            without,
        },
        CLIENTS,
    );
}

#[test]
fn clients_through_to_cohere() {
    // Only some tool, or none, can be asked for; documents are texts for retrieval; thoughts have neither signature nor count; no reason stands for a filter.
    let without = "choice_named file document think filter";
    through(&Target { dialect: "cohere", path: "", lines: "", models: SCRIPTED, cached: 4, others: &[], without }, CLIENTS);
}

#[test]
fn clients_through_to_gemini() {
    through(
        &Target { dialect: "gemini", path: "/v1beta", lines: "", models: SCRIPTED, cached: 4, others: &[], without: "" },
        CLIENTS,
    );
}

#[test]
fn clients_through_to_mistral() {
    // Thoughts have neither signature nor count, and two degrees; no reason stands for a filter; documents are behind URLs.
    let without = "think filter file document";
    through(
        &Target { dialect: "mistral", path: "/mistral/v1", lines: "", models: SCRIPTED, cached: 4, others: &[], without },
        CLIENTS,
    );
}

#[test]
fn clients_through_to_ollama() {
    // No choice of tools and no documents; thoughts have neither signature nor count; no reason stands for a filter.
    // `ai` asks Anthropic's API for a form by a tool that must be called. It says nowhere when to come again.
    let without = "choice file document think filter =anthropic retry_after";
    through(&Target { dialect: "ollama", path: "", lines: "", models: SCRIPTED, cached: 0, others: &[], without }, CLIENTS);
}

#[test]
fn clients_through_to_openai() {
    let (lines, without) = ("preset = \"openai-compatible\"\n", KEPT_THOUGHTS);
    through(&Target { dialect: "openai", path: "/v1", lines, models: SCRIPTED, cached: 4, others: &[], without }, CLIENTS);
}

#[test]
fn clients_through_to_vertex() {
    let lines = "project = \"project\"\nlocation = \"eu\"\n";
    // Of these models a call without its signature is refused.
    let models = "gemini-3-scripted-";
    through(&Target { dialect: "vertex", path: "/v1", lines, models, cached: 4, others: &[], without: "" }, CLIENTS);
}
