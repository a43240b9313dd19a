//! How each provider is spoken to: pure conversion, no I/O, one file per dialect.

pub mod openai;
