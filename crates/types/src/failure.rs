//! Why an attempt at a provider failed, and why a client was not served: closed sets, counted, with no text from anyone.

use serde::{Deserialize, Serialize};

/// Failure code of one attempt at a provider, counted per route (DESIGN "Diagnosis without logs").
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[repr(u8)]
pub enum Failure {
    /// The client closed its connection.
    ClientGone = 1,
    /// TCP connection refused or reset.
    Connect = 2,
    /// The provider's credential expires, and control has none at hand.
    Credential = 21,
    /// The answer stopped before its end.
    Cut = 3,
    /// The deployment's own dialer was busy, gone, or had no such endpoint on its list.
    Dialer = 13,
    /// The host name did not resolve, or only to addresses that the configuration does not allow.
    Dns = 4,
    /// An answer that had begun well became the provider's own error.
    ErrorInAnswer = 14,
    /// The provider answered 403.
    Forbidden = 15,
    /// The gateway itself gave up: a panic, or a task that was dropped.
    Internal = 16,
    /// Not HTTP, not the media type asked for, broken SSE or JSON.
    Malformed = 5,
    /// 429 from the provider.
    RateLimited = 6,
    /// The provider answered 3xx; redirects are not followed.
    Redirected = 17,
    /// The provider refused the request itself: any other 4xx.
    Rejected = 18,
    /// The provider answered 5xx.
    ServerError = 12,
    /// The provider's terms are missing, not zero retention, or overdue.
    Terms = 7,
    /// No TCP connection within the limit.
    TimeoutConnect = 19,
    /// No first byte within the limit.
    TimeoutFirstByte = 8,
    /// A gap in the answer longer than the limit.
    TimeoutIdle = 9,
    /// The whole answer took longer than the limit.
    TimeoutTotal = 20,
    /// TLS handshake failed.
    Tls = 10,
    /// The provider answered 401.
    Unauthorized = 11,
}

impl Failure {
    /// Every failure, in alphabetical order.
    pub const ALL: [Self; 21] = [
        Self::ClientGone,
        Self::Connect,
        Self::Credential,
        Self::Cut,
        Self::Dialer,
        Self::Dns,
        Self::ErrorInAnswer,
        Self::Forbidden,
        Self::Internal,
        Self::Malformed,
        Self::RateLimited,
        Self::Redirected,
        Self::Rejected,
        Self::ServerError,
        Self::Terms,
        Self::TimeoutConnect,
        Self::TimeoutFirstByte,
        Self::TimeoutIdle,
        Self::TimeoutTotal,
        Self::Tls,
        Self::Unauthorized,
    ];

    /// The code on the link: 1 to 127.
    #[must_use]
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// The failure with this code.
    #[must_use]
    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|failure| failure.code() == code)
    }

    /// What a status of a provider that is no success stands for.
    ///
    /// ```
    /// use lethe_types::Failure;
    /// assert_eq!(Failure::of_status(403), Failure::Forbidden);
    /// assert_eq!(Failure::of_status(422), Failure::Rejected);
    /// ```
    #[must_use]
    pub const fn of_status(status: u16) -> Self {
        match status {
            300..=399 => Self::Redirected,
            401 => Self::Unauthorized,
            403 => Self::Forbidden,
            429 => Self::RateLimited,
            400..=499 => Self::Rejected,
            500..=599 => Self::ServerError,
            _ => Self::Malformed,
        }
    }

    /// The name operators see, in metrics and reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::ClientGone => "client_gone",
            Self::Connect => "connect",
            Self::Credential => "credential",
            Self::Cut => "cut",
            Self::Dialer => "dialer",
            Self::Dns => "dns",
            Self::ErrorInAnswer => "error_in_answer",
            Self::Forbidden => "forbidden",
            Self::Internal => "internal",
            Self::Malformed => "malformed",
            Self::RateLimited => "rate_limited",
            Self::Redirected => "redirected",
            Self::Rejected => "rejected",
            Self::ServerError => "server_error",
            Self::Terms => "terms",
            Self::TimeoutConnect => "timeout_connect",
            Self::TimeoutFirstByte => "timeout_first_byte",
            Self::TimeoutIdle => "timeout_idle",
            Self::TimeoutTotal => "timeout_total",
            Self::Tls => "tls",
            Self::Unauthorized => "unauthorized",
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::Failure;

    #[test]
    fn codes_and_names_are_distinct_and_read_back() {
        let codes: BTreeSet<u8> = Failure::ALL.into_iter().map(Failure::code).collect();
        let names: BTreeSet<&str> = Failure::ALL.into_iter().map(Failure::name).collect();
        assert_eq!((codes.len(), names.len()), (Failure::ALL.len(), Failure::ALL.len()));
        assert!(codes.iter().all(|code| (1..128).contains(code)));
        for code in 0..=u8::MAX {
            assert_eq!(Failure::from_code(code).map(Failure::code), codes.contains(&code).then_some(code));
        }
    }
}
