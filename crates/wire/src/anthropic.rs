//! Anthropic's messages (<https://docs.anthropic.com/en/api/messages>).

mod shape;

pub(crate) use shape::{CountShape, MessagesShape};
