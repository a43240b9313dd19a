//! Dialects on the wire: what is read out of a request or an answer, and what is patched into it.
//!
//! Requests and answers of one dialect pass through as bytes. Everything here works on byte slices that the caller holds in
//! wiped buffers, finds spans, and says what to replace; errors are codes and offsets, never text of the message.

pub mod edit;
pub mod json;
pub mod openai;
mod plain;
pub mod sse;
