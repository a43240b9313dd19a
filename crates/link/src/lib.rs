//! The link between a gateway and control: typed frames both ways, and the queue of records that wait for control.
//!
//! The bytes run over mutual TLS with ALPN [`ALPN`]; this crate sees any `AsyncRead + AsyncWrite` and opens nothing itself.
//! [`frame`] is what can be said, [`decoder`] reads it from bytes that come in any pieces, [`Outbox`] keeps a gateway's records
//! until control has committed them, [`courier`] says them in order, [`client::run`] is the gateway's side of one connection.

pub mod client;
mod counts;
pub mod courier;
pub mod decoder;
pub mod frame;
#[cfg(test)]
mod interleavings;
mod outbox;
mod routed;

pub use counts::{Counts, OnRoute};
pub use courier::Courier;
pub use decoder::Decoder;
pub use frame::{Beat, Counted, Down, FrameError, Hello, Level, Tally, Up};
pub use outbox::{AckError, Outbox, Permit};
pub use routed::{Gauge, Routed};

/// ALPN protocol name (RFC 7301) of this version of the link.
pub const ALPN: &[u8] = b"lethe-link/3";
/// The version before, which control speaks too: on an upgrade it is replaced first, and gateways of the old build go on. What comes down
/// is the same, but for credentials that control obtains: a gateway that does not know them links again and again until it is replaced too.
/// What goes up is without what [`Up::since`] says.
pub const ALPN_BEFORE: &[u8] = b"lethe-link/2";
/// Version in [`Hello`].
pub const PROTOCOL: u16 = 3;
/// Each side sends a heartbeat this often, in seconds.
pub const HEARTBEAT_SECONDS: u64 = 1;
/// A side that hears nothing for this long closes the connection, in seconds.
pub const SILENCE_SECONDS: u64 = 10;

/// The version that an ALPN protocol name stands for, if control speaks it.
#[must_use]
pub fn version_of(alpn: &[u8]) -> Option<u16> {
    match alpn {
        ALPN => Some(PROTOCOL),
        ALPN_BEFORE => Some(PROTOCOL - 1),
        _ => None,
    }
}
