//! Why an attempt at a provider failed: a closed set, counted per route, with no text from anyone.

use serde::{Deserialize, Serialize};

/// Failure code of one attempt (DESIGN "Diagnosis without logs").
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[repr(u8)]
pub enum Failure {
    /// The client closed its connection.
    ClientGone = 1,
    /// TCP connection refused, reset or timed out.
    Connect = 2,
    /// The answer stopped before its end.
    Cut = 3,
    /// The host name did not resolve, or only to addresses that the configuration does not allow.
    Dns = 4,
    /// Not HTTP, not the media type asked for, broken SSE or JSON.
    Malformed = 5,
    /// 429 from the provider.
    RateLimited = 6,
    /// The provider's terms are missing, not zero retention, or overdue.
    Terms = 7,
    /// No first byte within the limit.
    TimeoutFirstByte = 8,
    /// A gap in the stream longer than the limit.
    TimeoutIdle = 9,
    /// TLS handshake failed.
    Tls = 10,
    /// The provider answered 401 or 403.
    Unauthorized = 11,
    /// The provider answered 5xx.
    Upstream5xx = 12,
}
