//! The operations that clients may ask for.

use serde::{Deserialize, Serialize};

/// What a request asks for; one byte in a usage record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum Operation {
    /// `POST /v1/chat/completions`
    Chat = 1,
    /// `POST /v1/embeddings`
    Embeddings = 2,
    /// `GET /v1/models` and `GET /v1/models/{id}`
    Models = 3,
}

impl Operation {
    /// Every operation, in the order of their codes.
    pub const ALL: [Self; 3] = [Self::Chat, Self::Embeddings, Self::Models];

    /// The operation's code in a usage record.
    #[must_use]
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// The operation with this code, if there is one.
    #[must_use]
    pub const fn from_code(code: u8) -> Option<Self> {
        match code {
            1 => Some(Self::Chat),
            2 => Some(Self::Embeddings),
            3 => Some(Self::Models),
            _ => None,
        }
    }

    /// The name operators see and write in configuration.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Chat => "chat",
            Self::Embeddings => "embeddings",
            Self::Models => "models",
        }
    }
}
