//! OpenAI's chat completions and embeddings (<https://platform.openai.com/docs/api-reference/chat>).

mod message_read;
mod model;
mod reply;
mod request_read;
mod request_write;
mod shape;
mod stream;
mod stream_read;
mod stream_write;
mod thoughts;

pub use model::ModelObject;
pub use reply::{read_reply, write_reply};
pub use request_read::read_request;
pub use request_write::{write_request, write_result};
pub(crate) use shape::{ChatShape, CompletionsShape, EmbeddingsShape, ModerationsShape, RerankShape};
pub use stream::ChatStream;
pub use stream_read::Reader;
pub use stream_write::Writer;
