//! How providers are spoken to, and how one of several is chosen.

use serde::{Deserialize, Serialize};

/// How a server is spoken to: its paths and how it is shown who is asking.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Dialect {
    /// Anthropic's API: `x-api-key`, `anthropic-version`.
    Anthropic,
    /// Azure OpenAI: `api-key`, deployments, `api-version`.
    AzureOpenai,
    /// AWS Bedrock: requests signed with Signature Version 4, or a bearer token.
    Bedrock,
    /// Cohere's API.
    Cohere,
    /// Google's Gemini API: `x-goog-api-key`.
    Gemini,
    /// Mistral's API.
    Mistral,
    /// Ollama's own API.
    Ollama,
    /// OpenAI's API and whatever is compatible with it.
    Openai,
    /// Google's Vertex AI: Gemini's and Anthropic's formats below project and location.
    Vertex,
}

impl Dialect {
    /// Every dialect, in alphabetical order.
    pub const ALL: [Self; 9] = [
        Self::Anthropic,
        Self::AzureOpenai,
        Self::Bedrock,
        Self::Cohere,
        Self::Gemini,
        Self::Mistral,
        Self::Ollama,
        Self::Openai,
        Self::Vertex,
    ];

    /// The name in configuration.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Anthropic => "anthropic",
            Self::AzureOpenai => "azure-openai",
            Self::Bedrock => "bedrock",
            Self::Cohere => "cohere",
            Self::Gemini => "gemini",
            Self::Mistral => "mistral",
            Self::Ollama => "ollama",
            Self::Openai => "openai",
            Self::Vertex => "vertex",
        }
    }
}

/// How a model's route is chosen among those that may serve.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Strategy {
    /// The lowest price first.
    Cheapest,
    /// Of two routes drawn by weight, the one with less expected waiting (peak of an exponentially weighted moving average of
    /// latency, times the requests that are open).
    LeastLoaded,
    /// In the order of the configuration.
    Ordered,
    /// By weight.
    #[default]
    Weighted,
}

impl Strategy {
    /// Every strategy, in alphabetical order.
    pub const ALL: [Self; 4] = [Self::Cheapest, Self::LeastLoaded, Self::Ordered, Self::Weighted];

    /// The name in configuration.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Cheapest => "cheapest",
            Self::LeastLoaded => "least-loaded",
            Self::Ordered => "ordered",
            Self::Weighted => "weighted",
        }
    }
}
