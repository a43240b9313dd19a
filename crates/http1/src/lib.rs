//! HTTP/1.1 over wiped buffers: one codec, a server connection and a client connection (RFC 9110, RFC 9112); and what a server connection
//! becomes when it is upgraded to WebSocket (RFC 6455).
//!
//! Libraries re-use read buffers, so that an idle connection keeps the last prompt, and decode in tasks of their own, one
//! wake-up per chunk. Here every buffer is a [`lethe_content::ContentBuf`] that is wiped as it is read and given back when a
//! connection idles, and everything that has arrived is decoded in one go. Strict where leniency makes smuggling possible:
//! one framing header, CRLF line ends, no obsolete folding, no unknown transfer coding.

mod chunked;
mod client;
mod frame;
mod head;
mod pace;
mod response;
mod server;
mod websocket;

pub use chunked::{ChunkedDecoder, Malformed};
pub use client::{ClientConn, ClientError};
pub use frame::{CloseCode, Frame, FrameDecoder};
pub use head::{Framing, Head, HeadError, Headers, RequestHead, ResponseHead, parse_request, parse_response};
pub use pace::within;
pub use response::Response;
pub use server::{BodyError, ServerConn};
pub use websocket::{Incoming, WebSocketConn};

/// Upper bound of a message's head, in bytes.
pub const HEAD_LIMIT: usize = 32 * 1024;
/// Upper bound of the header fields in one head.
pub const HEADER_LIMIT: usize = 100;
/// Upper bound of a request target, in bytes.
pub const TARGET_LIMIT: usize = 8 * 1024;
