//! Google's Gemini API (<https://ai.google.dev/api/generate-content>).
//!
//! Its JSON is that of protocol buffers: every field may be spelled in camel case or with underscores, `null` is the same as leaving a field
//! out, and one object may stand where the reference has an array of objects.

mod content_read;
mod content_write;
mod count;
mod fields;
mod model;
mod reply;
mod request_read;
mod request_write;
mod schema;
mod shape;
mod signature;
mod stream_read;
mod stream_write;

pub use count::{read_count_reply, read_count_request, write_count_reply, write_count_request};
pub(crate) use fields::{count, each, fields, spelled, string};
pub use model::ModelObject;
pub use reply::{read_reply, write_reply};
pub use request_read::read_request;
pub use request_write::write_request;
pub(crate) use shape::{CountShape, EmbedShape, GenerateShape};
pub use stream_read::Reader;
pub use stream_write::{Framing, Writer};
