//! OpenAI's chat completions and embeddings (<https://platform.openai.com/docs/api-reference/chat>).

mod answer;
mod error;
mod model;
mod request;
mod stream;

pub use answer::{Answer, Tokens, inspect_answer, quotes};
pub use error::{ErrorBody, ErrorType};
pub use model::ModelObject;
pub use request::{Refusal, Request, inspect_request};
pub use stream::{ChatStream, StreamFault};
