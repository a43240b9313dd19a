//! Anthropic's messages (<https://docs.anthropic.com/en/api/messages>), as its own API, Vertex AI and Bedrock's `InvokeModel` speak them.

mod calls;
mod closed;
mod count;
mod fields;
mod marks;
mod message_read;
mod message_write;
mod reasoning;
mod reply;
mod request_read;
mod request_write;
mod shape;
mod stream_read;
mod stream_write;
mod usage;

pub use count::{read_count, read_count_request, write_count, write_count_request};
pub use reasoning::takes_adaptive;
pub use reply::{read_reply, write_reply};
pub use request_read::read_request;
pub use request_write::write_request;
pub(crate) use shape::{CountShape, MessagesShape};
pub use stream_read::Reader;
pub use stream_write::Writer;
