//! TLS over own, wiped buffers.
//!
//! rustls' buffered API decrypts inside buffers of its own that it re-uses, so an idle connection still holds the last
//! prompt. [`TlsStream`] drives rustls' unbuffered API instead: records are decrypted in a [`lethe_content::ContentBuf`] that
//! is wiped as it is read and given back when it is empty. No 0-RTT, no key log, HTTP/1.1 only by ALPN.

mod certificate;
mod config;
mod drive;
mod key;
mod socket;
mod stream;

pub use certificate::Certificate;
pub use config::{ConfigError, client_of_authority, client_of_public, server_for_clients, server_of_authority};
pub use key::SecretKey;
pub use socket::Socket;
pub use stream::{Readiness, TlsError, TlsStream};
