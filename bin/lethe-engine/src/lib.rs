//! Lethe's embedded inference engine: a small Llama model on the CPU behind OpenAI's chat completions.
//!
//! Nothing of a request outlives it: no prefix cache, no word cache, no thread-locals, no reused buffers. Nothing is read or opened after
//! the model is loaded.

mod attention;
mod generate;
mod gguf;
mod matrix;
mod model;
mod refusal;
mod request;
mod response;
mod sampler;
mod server;
mod stop;
mod team;
mod template;
mod tokenizer;
mod words;

pub use generate::{Cancelled, Engine, Event, Failure, Listener};
pub use gguf::ModelError;
pub use model::{Cache, Model};
pub use refusal::{Field, Refusal};
pub use request::{ChatRequest, Message};
pub use response::{Finish, Usage};
pub use sampler::Sampling;
pub use server::{Limits, serve};
pub use template::Role;
pub use tokenizer::{Piece, Tokenizer};
