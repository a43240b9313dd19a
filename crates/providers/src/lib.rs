//! How each provider is spoken to: pure conversion, no I/O, one file per dialect.
//!
//! [`head`] is what a request begins with, whoever it goes to. Formats that only providers speak ([`bedrock`], [`cohere`], [`ollama`], [`vertex`]) are
//! read and written here; those that clients speak as well are in `lethe-wire`.

pub mod anthropic;
mod azure;
pub mod bedrock;
mod call;
pub mod cohere;
pub mod formats;
mod function;
mod gemini;
mod head;
mod mistral;
pub mod ollama;
mod openai;
mod read;
pub mod vertex;

pub use call::{Call, Credential};
pub use head::head;
