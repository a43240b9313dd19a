//! Why a client was not served without any provider being asked.

use serde::{Deserialize, Serialize};

/// Why a connection or request was refused. The names are the codes that clients see, where they see one; 503 has one for each
/// cause.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[repr(u8)]
pub enum Refused {
    /// The body is larger than the limit (413).
    BodyTooLarge = 1,
    /// This gateway finishes what is open and ends (503).
    Draining = 2,
    /// A field occurs twice (400).
    DuplicateField = 3,
    /// The key is unknown or revoked (401).
    InvalidApiKey = 4,
    /// The body is not JSON (400).
    InvalidJson = 5,
    /// The body is not UTF-8 (400).
    InvalidUtf8 = 6,
    /// Control has isolated this gateway (503).
    Isolated = 7,
    /// The body is nested too deep (400).
    JsonTooDeep = 8,
    /// The body's chunks are broken (400).
    MalformedBody = 9,
    /// The head is not HTTP/1.1 as it should be (400, 414, 417, 431, 501, 505).
    MalformedRequest = 10,
    /// The endpoint takes another method (405).
    MethodNotAllowed = 11,
    /// No key was shown (401).
    MissingApiKey = 12,
    /// A required field is missing (400).
    MissingField = 13,
    /// No such model (404).
    ModelNotFound = 14,
    /// Control has not told this gateway what to serve yet (503).
    NoSnapshot = 15,
    /// Control cannot commit records at the moment (503).
    NotDurable = 16,
    /// A reason without a name of its own.
    Other = 17,
    /// Too many records wait for control (503).
    OutboxFull = 18,
    /// Too much is in memory at once (503).
    Overloaded = 19,
    /// The URL has a query (400).
    QueryNotAccepted = 20,
    /// Head or body did not arrive in time (408).
    RequestTimeout = 21,
    /// No word from control for too long (503).
    Stale = 22,
    /// The client's TLS handshake failed or took too long; no request was read.
    TlsHandshake = 23,
    /// More top-level fields than are looked at (400).
    TooManyFields = 24,
    /// No such path (404).
    UnknownEndpoint = 25,
    /// A field is not on the reviewed list (400).
    UnknownField = 26,
    /// A tool's type is not on the reviewed list (400).
    UnknownToolType = 27,
    /// A header asks for features that are not on the reviewed list (400).
    UnsupportedHeader = 28,
    /// Not JSON by its media type (415).
    UnsupportedMediaType = 29,
    /// The model does not serve this operation (400).
    UnsupportedOperation = 30,
    /// The connection came from elsewhere than the trusted proxies; no request was read.
    UntrustedPeer = 31,
    /// A field is of the wrong type (400).
    WrongType = 32,
    /// Somebody would have to remember (400).
    ZeroRetentionConflict = 33,
    /// Media that are not what they say (400).
    BadMedia = 34,
    /// No route may serve a request that requires a region or names providers (400).
    NoRoute = 35,
    /// Every provider of the model has as many requests as it may (503).
    ProviderBusy = 36,
    /// The provider's format cannot express a field (400).
    UnsupportedField = 37,
}

impl Refused {
    /// Every reason, in the order of their codes.
    pub const ALL: [Self; 37] = [
        Self::BodyTooLarge,
        Self::Draining,
        Self::DuplicateField,
        Self::InvalidApiKey,
        Self::InvalidJson,
        Self::InvalidUtf8,
        Self::Isolated,
        Self::JsonTooDeep,
        Self::MalformedBody,
        Self::MalformedRequest,
        Self::MethodNotAllowed,
        Self::MissingApiKey,
        Self::MissingField,
        Self::ModelNotFound,
        Self::NoSnapshot,
        Self::NotDurable,
        Self::Other,
        Self::OutboxFull,
        Self::Overloaded,
        Self::QueryNotAccepted,
        Self::RequestTimeout,
        Self::Stale,
        Self::TlsHandshake,
        Self::TooManyFields,
        Self::UnknownEndpoint,
        Self::UnknownField,
        Self::UnknownToolType,
        Self::UnsupportedHeader,
        Self::UnsupportedMediaType,
        Self::UnsupportedOperation,
        Self::UntrustedPeer,
        Self::WrongType,
        Self::ZeroRetentionConflict,
        Self::BadMedia,
        Self::NoRoute,
        Self::ProviderBusy,
        Self::UnsupportedField,
    ];

    /// The code, from 1.
    #[must_use]
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// The reason with this code.
    #[must_use]
    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.get(usize::from(code).checked_sub(1)?).copied()
    }

    /// The reason with this name; [`Self::Other`] where there is none.
    #[must_use]
    pub fn named(name: &str) -> Self {
        Self::ALL.into_iter().find(|refused| refused.name() == name).unwrap_or(Self::Other)
    }

    /// The name operators see.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::BadMedia => "bad_media",
            Self::BodyTooLarge => "body_too_large",
            Self::Draining => "draining",
            Self::DuplicateField => "duplicate_field",
            Self::InvalidApiKey => "invalid_api_key",
            Self::InvalidJson => "invalid_json",
            Self::InvalidUtf8 => "invalid_utf8",
            Self::Isolated => "isolated",
            Self::JsonTooDeep => "json_too_deep",
            Self::MalformedBody => "malformed_body",
            Self::MalformedRequest => "malformed_request",
            Self::MethodNotAllowed => "method_not_allowed",
            Self::MissingApiKey => "missing_api_key",
            Self::MissingField => "missing_field",
            Self::ModelNotFound => "model_not_found",
            Self::NoRoute => "no_route",
            Self::NoSnapshot => "no_snapshot",
            Self::NotDurable => "not_durable",
            Self::Other => "other",
            Self::OutboxFull => "outbox_full",
            Self::Overloaded => "overloaded",
            Self::ProviderBusy => "provider_busy",
            Self::QueryNotAccepted => "query_not_accepted",
            Self::RequestTimeout => "request_timeout",
            Self::Stale => "stale",
            Self::TlsHandshake => "tls_handshake",
            Self::TooManyFields => "too_many_fields",
            Self::UnknownEndpoint => "unknown_endpoint",
            Self::UnknownField => "unknown_field",
            Self::UnknownToolType => "unknown_tool_type",
            Self::UnsupportedField => "unsupported_field",
            Self::UnsupportedHeader => "unsupported_header",
            Self::UnsupportedMediaType => "unsupported_media_type",
            Self::UnsupportedOperation => "unsupported_operation",
            Self::UntrustedPeer => "untrusted_peer",
            Self::WrongType => "wrong_type",
            Self::ZeroRetentionConflict => "zero_retention_conflict",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Refused;

    #[test]
    fn codes_and_names_read_back() {
        for refused in Refused::ALL {
            assert_eq!(Refused::from_code(refused.code()), Some(refused));
            assert_eq!(Refused::named(refused.name()), refused);
        }
        assert_eq!((Refused::from_code(0), Refused::from_code(127)), (None, None));
        assert_eq!(Refused::named("a code of later"), Refused::Other);
    }
}
