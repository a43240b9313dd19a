//! How each provider is spoken to: pure conversion, no I/O, one file per dialect.

mod call;
pub mod formats;
mod openai;

pub use call::{Call, Credential, head};
