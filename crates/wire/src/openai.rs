//! OpenAI's chat completions and embeddings (<https://platform.openai.com/docs/api-reference/chat>).

mod answer;
mod model;
mod shape;
mod stream;

pub use answer::{Answer, Tokens, inspect_answer, quotes};
pub use model::ModelObject;
pub(crate) use shape::{ChatShape, CompletionsShape, EmbeddingsShape, ModerationsShape, RerankShape};
pub use stream::ChatStream;
