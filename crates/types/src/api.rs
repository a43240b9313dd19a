//! Request formats of public APIs: what clients speak, and what providers are spoken to in.

use serde::{Deserialize, Serialize};

use crate::Operation;

/// A request format. Some are only spoken by clients, some only to providers, most by both.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Api {
    /// OpenAI `POST /v1/chat/completions`
    Chat,
    /// Cohere `POST /v2/chat`
    CohereChat,
    /// Cohere `POST /v2/embed`
    CohereEmbed,
    /// OpenAI `POST /v1/completions`
    Completions,
    /// AWS Bedrock `POST /model/{model}/converse` and `/converse-stream`
    Converse,
    /// Anthropic `POST /v1/messages/count_tokens`
    CountMessageTokens,
    /// Gemini `POST /v1beta/models/{model}:countTokens`
    CountTokens,
    /// Gemini `POST /v1beta/models/{model}:embedContent` and `:batchEmbedContents`
    EmbedContent,
    /// OpenAI `POST /v1/embeddings`
    Embeddings,
    /// Gemini `POST /v1beta/models/{model}:generateContent` and `:streamGenerateContent`
    GenerateContent,
    /// Anthropic `POST /v1/messages`
    Messages,
    /// OpenAI `POST /v1/moderations`
    Moderations,
    /// Ollama `POST /api/chat`
    OllamaChat,
    /// Ollama `POST /api/embed`
    OllamaEmbed,
    /// Cohere `POST /v2/rerank` and Jina `POST /v1/rerank`, which are alike
    Rerank,
    /// OpenAI `POST /v1/responses`
    Responses,
    /// Vertex AI `POST …/publishers/google/models/{model}:predict` of a model for embeddings
    VertexEmbed,
}

/// What a model can be asked for, whichever format it is asked in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Capability {
    /// Going on with a conversation.
    Chat,
    /// Going on with a text.
    Completions,
    /// Counting a conversation's tokens.
    CountTokens,
    /// Turning text into vectors.
    Embeddings,
    /// Judging whether text is harmful.
    Moderations,
    /// Ordering documents by how well they fit a question.
    Rerank,
}

impl Api {
    /// Every format, in alphabetical order.
    pub const ALL: [Self; 17] = [
        Self::Chat,
        Self::CohereChat,
        Self::CohereEmbed,
        Self::Completions,
        Self::Converse,
        Self::CountMessageTokens,
        Self::CountTokens,
        Self::EmbedContent,
        Self::Embeddings,
        Self::GenerateContent,
        Self::Messages,
        Self::Moderations,
        Self::OllamaChat,
        Self::OllamaEmbed,
        Self::Rerank,
        Self::Responses,
        Self::VertexEmbed,
    ];

    /// The name in configuration, presets and documents.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Chat => "chat",
            Self::CohereChat => "cohere_chat",
            Self::CohereEmbed => "cohere_embed",
            Self::Completions => "completions",
            Self::Converse => "converse",
            Self::CountMessageTokens => "count_message_tokens",
            Self::CountTokens => "count_tokens",
            Self::EmbedContent => "embed_content",
            Self::Embeddings => "embeddings",
            Self::GenerateContent => "generate_content",
            Self::Messages => "messages",
            Self::Moderations => "moderations",
            Self::OllamaChat => "ollama_chat",
            Self::OllamaEmbed => "ollama_embed",
            Self::Rerank => "rerank",
            Self::Responses => "responses",
            Self::VertexEmbed => "vertex_embed",
        }
    }

    /// The format with this name, if there is one.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|api| api.name() == name)
    }

    /// What a request in this format asks for.
    #[must_use]
    pub const fn capability(self) -> Capability {
        match self {
            Self::Chat | Self::CohereChat | Self::Converse | Self::GenerateContent | Self::Messages | Self::OllamaChat => {
                Capability::Chat
            }
            Self::Responses => Capability::Chat,
            Self::Completions => Capability::Completions,
            Self::CountMessageTokens | Self::CountTokens => Capability::CountTokens,
            Self::CohereEmbed | Self::EmbedContent | Self::Embeddings | Self::OllamaEmbed | Self::VertexEmbed => {
                Capability::Embeddings
            }
            Self::Moderations => Capability::Moderations,
            Self::Rerank => Capability::Rerank,
        }
    }

    /// What is recorded for a request in this format.
    #[must_use]
    pub const fn operation(self) -> Operation {
        match self {
            Self::Chat | Self::CohereChat | Self::Converse | Self::OllamaChat => Operation::Chat,
            Self::Completions => Operation::Completions,
            Self::CountMessageTokens | Self::CountTokens => Operation::CountTokens,
            Self::CohereEmbed | Self::EmbedContent | Self::Embeddings | Self::OllamaEmbed | Self::VertexEmbed => {
                Operation::Embeddings
            }
            Self::GenerateContent => Operation::GenerateContent,
            Self::Messages => Operation::Messages,
            Self::Moderations => Operation::Moderations,
            Self::Rerank => Operation::Rerank,
            Self::Responses => Operation::Responses,
        }
    }
}

impl Capability {
    /// Every capability, in alphabetical order.
    pub const ALL: [Self; 6] =
        [Self::Chat, Self::Completions, Self::CountTokens, Self::Embeddings, Self::Moderations, Self::Rerank];

    /// The name in a model's `operations`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Chat => "chat",
            Self::Completions => "completions",
            Self::CountTokens => "count_tokens",
            Self::Embeddings => "embeddings",
            Self::Moderations => "moderations",
            Self::Rerank => "rerank",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Api;

    #[test]
    fn names_are_found_again() {
        assert!(Api::ALL.is_sorted());
        for api in Api::ALL {
            assert_eq!(Api::named(api.name()), Some(api));
        }
        assert_eq!(Api::named("chats"), None);
    }
}
