//! What clients of each format call the fields that not every other format has, to refuse them by the name that their sender knows.
//!
//! Writers name a field as chat completions do, except for the one that only others have.

use lethe_types::Api;

use crate::refusal::Refusal;

/// What stands in a result besides text.
pub const RESULT: &str = "messages.content.content";

/// Chat completions' name (or [`RESULT`]), and what responses, messages and Gemini's clients write instead. Where a format has no such field, the name
/// is never asked for.
const NAMES: [(&str, [&str; 3]); 18] = [
    ("frequency_penalty", ["frequency_penalty", "frequency_penalty", "generationConfig.frequencyPenalty"]),
    ("max_completion_tokens", ["max_output_tokens", "max_tokens", "generationConfig.maxOutputTokens"]),
    ("messages", ["input", "messages", "contents"]),
    ("messages.content", ["input.content", "messages.content", "contents.parts"]),
    (RESULT, ["input.output", RESULT, "contents.parts.functionResponse.parts"]),
    ("messages.content.file", ["input.content.file_data", "messages.content.source", "contents.parts.inlineData"]),
    ("messages.content.image_url", ["input.content.image_url", "messages.content.source", "contents.parts.inlineData"]),
    ("messages.content.image_url.detail", ["input.content.detail", "messages.content.source", "contents.parts.inlineData"]),
    ("messages.content.input_audio", ["input.content", "messages.content", "contents.parts.inlineData"]),
    ("messages.role", ["input.role", "messages.role", "contents.role"]),
    ("messages.tool_call_id", ["input.call_id", "messages.content.tool_use_id", "contents.parts.functionResponse.name"]),
    ("messages.tool_calls.function.arguments", ["input.arguments", "messages.content.input", "contents.parts.functionCall.args"]),
    ("parallel_tool_calls", ["parallel_tool_calls", "tool_choice.disable_parallel_tool_use", "toolConfig"]),
    ("presence_penalty", ["presence_penalty", "presence_penalty", "generationConfig.presencePenalty"]),
    ("reasoning_effort", ["reasoning", "thinking", "generationConfig.thinkingConfig"]),
    ("response_format", ["text.format", "output_config.format", "generationConfig.responseMimeType"]),
    ("stop", ["stop", "stop_sequences", "generationConfig.stopSequences"]),
    ("tool_choice", ["tool_choice", "tool_choice", "toolConfig.functionCallingConfig"]),
];

/// Those that differ in Gemini's format only.
const PLAIN: [(&str, &str); 2] = [("seed", "generationConfig.seed"), ("top_k", "generationConfig.topK")];

/// A writer's name of a field as a client that speaks `api` knows it; names that are none of these are the client's own.
fn in_words_of(api: Api, field: &'static str) -> &'static str {
    let at = match api {
        Api::Responses => 0,
        Api::CountMessageTokens | Api::Messages => 1,
        Api::CountTokens | Api::GenerateContent => 2,
        _ if field == RESULT => return "messages.content",
        _ => return field,
    };
    if let Some((_, names)) = NAMES.iter().find(|(name, _)| *name == field) {
        return names[at];
    }
    PLAIN.iter().find(|(name, _)| *name == field && at == 2).map_or(field, |(_, gemini)| gemini)
}

impl Refusal {
    /// A field that `target` cannot express, as writers name it.
    #[must_use]
    pub const fn of_field(field: &'static str, target: Api) -> Self {
        Self::Untranslatable { field, target }
    }

    /// The refusal with the name that a client who speaks `api` knows: for the end of every writer.
    #[must_use]
    pub fn in_words_of(self, api: Api) -> Self {
        match self {
            Self::BadMedia(field, expected) => Self::BadMedia(in_words_of(api, field), expected),
            Self::Untranslatable { field, target } => Self::Untranslatable { field: in_words_of(api, field), target },
            Self::WrongType(field, expected) => Self::WrongType(in_words_of(api, field), expected),
            other => other,
        }
    }
}

#[cfg(test)]
mod tests {
    use lethe_types::Api;

    use super::{NAMES, RESULT};
    use crate::refusal::Refusal;

    #[test]
    fn each_client_reads_its_own_name() {
        let named = |field, api| match Refusal::of_field(field, Api::Converse).in_words_of(api) {
            Refusal::Untranslatable { field, .. } => field,
            _ => "",
        };
        assert_eq!(named("stop", Api::Chat), "stop");
        assert_eq!(named("stop", Api::Messages), "stop_sequences");
        assert_eq!(named("seed", Api::GenerateContent), "generationConfig.seed");
        assert_eq!(named("seed", Api::Responses), "seed");
        assert_eq!(named(RESULT, Api::Chat), "messages.content");
        assert_eq!(named("safetySettings", Api::GenerateContent), "safetySettings", "its own stays");
        // A name that is told twice stays: writers call each other.
        for (field, _) in NAMES {
            for api in [Api::Chat, Api::Responses, Api::GenerateContent] {
                let once = named(field, api);
                assert!(!once.is_empty() && (api == Api::Chat || named(once, api) == once), "{field}");
            }
        }
    }
}
