//! A conversation in no API's own form: what every chat-like format can be read into and written from.
//!
//! Strings stay as they stood in the JSON that they were read from ([`Str`]), so that most text is copied once, from one
//! message into another, and nothing is unescaped on the way. What a format has and this form has not is either carried along by name
//! ([`Request::own`]), so that another format can refuse it by name, or refused when it is read: nothing is dropped silently.
//!
//! All of it is content: no `Debug`, no `Display`, no `Serialize`.

mod event;
mod field;
mod reply;
mod request;
mod text;

pub use event::{Event, Malformed, StreamReader, StreamWriter};
pub use field::RESULT;
pub use reply::{Finish, Identity, Reply, Usage};
pub use request::{
    Arguments, Audio, Document, Effort, Format, Image, Message, Part, PartKind, Reasoning, Request, Role, Sending, Thinking,
    Tool, ToolCall, ToolChoice, ToolResult, Wanted,
};
pub use text::{Json, Str};
