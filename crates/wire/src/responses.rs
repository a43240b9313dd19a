//! OpenAI's responses (<https://platform.openai.com/docs/api-reference/responses>) and what others made of them
//! (<https://www.openresponses.org>).
//!
//! A request to this API is translated only where nobody has to remember anything: the items of the whole conversation stand in it. What
//! an answer repeats of the request (its tools, its limits) is carried beside the conversation, in [`Echo`].

#[cfg(test)]
mod compliance;
mod echo;
mod items;
mod output;
mod reply;
mod request_read;
mod request_write;
mod shape;
mod stream_read;
mod stream_write;
mod value;
pub mod websocket;

pub use echo::Echo;
pub use reply::{read_reply, write_reply};
pub use request_read::read_request;
pub use request_write::write_request;
pub(crate) use shape::ResponsesShape;
pub use stream_read::Reader;
pub use stream_write::Writer;
