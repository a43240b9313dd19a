//! The operations that clients may ask for.

use serde::{Deserialize, Serialize};

/// What a request asks for; one byte in a usage record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum Operation {
    /// `POST /v1/chat/completions`
    Chat = 1,
    /// Embeddings, in whichever format.
    Embeddings = 2,
    /// `GET /v1/models` and `GET /v1/models/{id}`
    Models = 3,
    /// `POST /v1/responses`
    Responses = 4,
    /// `POST /v1/messages`
    Messages = 5,
    /// `POST /v1beta/models/{model}:generateContent` and `:streamGenerateContent`
    GenerateContent = 6,
    /// Counting tokens, in whichever format.
    CountTokens = 7,
    /// `POST /v1/completions`
    Completions = 8,
    /// `POST /v1/moderations`
    Moderations = 9,
    /// Reranking, in whichever format.
    Rerank = 10,
}

impl Operation {
    /// Every operation, in the order of their codes.
    pub const ALL: [Self; 10] = [
        Self::Chat,
        Self::Embeddings,
        Self::Models,
        Self::Responses,
        Self::Messages,
        Self::GenerateContent,
        Self::CountTokens,
        Self::Completions,
        Self::Moderations,
        Self::Rerank,
    ];

    /// The operation's code in a usage record.
    #[must_use]
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// The operation with this code, if there is one.
    #[must_use]
    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|operation| operation.code() == code)
    }

    /// The name operators see.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Chat => "chat",
            Self::Completions => "completions",
            Self::CountTokens => "count_tokens",
            Self::Embeddings => "embeddings",
            Self::GenerateContent => "generate_content",
            Self::Messages => "messages",
            Self::Models => "models",
            Self::Moderations => "moderations",
            Self::Rerank => "rerank",
            Self::Responses => "responses",
        }
    }
}
