//! Formats on the wire: what is read out of a request or an answer, what is patched into it, and how one becomes another.
//!
//! Requests and answers of one format pass through as bytes. Between two formats they are read into [`conversation`] and written from it.
//! Everything here works on byte slices that the caller holds in wiped buffers; errors are codes, offsets and names of
//! documented fields, never text of the message.

pub mod answer;
pub mod anthropic;
pub mod client;
pub mod conversation;
pub mod edit;
pub mod embeddings;
pub mod error;
pub mod eventstream;
pub mod formats;
pub mod gemini;
pub mod inspect;
pub mod json;
pub mod lines;
pub mod media;
pub mod openai;
pub mod passage;
mod plain;
pub mod refusal;
pub mod responses;
mod short_id;
pub mod sse;
pub mod withhold;
pub mod write;
