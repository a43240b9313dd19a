//! What clients call the fields that not every provider has, to refuse them by the name that their sender knows.

use lethe_types::Api;
use lethe_wire::conversation::Request;
use lethe_wire::refusal::Refusal;

/// A field of the common form.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Field {
    Format,
    FrequencyPenalty,
    PresencePenalty,
    Reasoning,
    Seed,
    ToolChoice,
    TopK,
}

impl Field {
    /// The field as `api` documents it.
    const fn name(self, api: Api) -> &'static str {
        match (self, api) {
            (Self::Format, Api::GenerateContent) => "generationConfig.responseSchema",
            (Self::Format, Api::Messages) => "output_config.format",
            (Self::Format, Api::Responses) => "text.format",
            (Self::Format, _) => "response_format",
            (Self::FrequencyPenalty, Api::GenerateContent) => "generationConfig.frequencyPenalty",
            (Self::FrequencyPenalty, _) => "frequency_penalty",
            (Self::PresencePenalty, Api::GenerateContent) => "generationConfig.presencePenalty",
            (Self::PresencePenalty, _) => "presence_penalty",
            (Self::Reasoning, Api::GenerateContent) => "generationConfig.thinkingConfig",
            (Self::Reasoning, Api::Messages) => "thinking",
            (Self::Reasoning, Api::Responses) => "reasoning",
            (Self::Reasoning, _) => "reasoning_effort",
            (Self::Seed, Api::GenerateContent) => "generationConfig.seed",
            (Self::Seed, _) => "seed",
            (Self::ToolChoice, Api::GenerateContent) => "toolConfig.functionCallingConfig",
            (Self::ToolChoice, _) => "tool_choice",
            (Self::TopK, Api::GenerateContent) => "generationConfig.topK",
            (Self::TopK, _) => "top_k",
        }
    }

    /// The refusal of a request that has the field.
    pub(crate) const fn refused(self, request: &Request<'_>, target: Api) -> Refusal {
        Refusal::Untranslatable { field: self.name(request.api), target }
    }
}
