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

pub use counts::Counts;
pub use courier::Courier;
pub use decoder::Decoder;
pub use frame::{Beat, Counted, Down, FrameError, Hello, Tally, Up};
pub use outbox::{AckError, Outbox, Permit};

/// ALPN protocol name (RFC 7301) of this version of the link.
pub const ALPN: &[u8] = b"lethe-link/2";
/// Version in [`Hello`].
pub const PROTOCOL: u16 = 2;
/// Each side sends a heartbeat this often, in seconds.
pub const HEARTBEAT_SECONDS: u64 = 1;
/// A side that hears nothing for this long closes the connection, in seconds.
pub const SILENCE_SECONDS: u64 = 10;
