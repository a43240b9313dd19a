//! What requests in anthropic formats look like to who only passes them on.

use lethe_policy::conflict::{self, Conflict};
use lethe_types::Api;

use crate::inspect::{Seen, Shape};
use crate::json::{Cursor, Kind};
use crate::refusal::Refusal;

/// `POST /v1/messages/count_tokens`
pub(crate) struct CountShape;

impl Shape for CountShape {
    fn required(&self) -> &'static [&'static str] {
        &["messages"]
    }

    fn prompt(&self) -> &'static [&'static str] {
        &["messages"]
    }

    fn conflict(&self, folded: &str) -> Option<Conflict> {
        conflict::field(Api::CountMessageTokens, folded)
    }

    fn look(&self, _: &mut Seen, _: &str, _: Kind, value: &mut Cursor<'_>) -> Result<(), Refusal> {
        Ok(value.skip().map(drop)?)
    }
}

/// `POST /v1/messages`
pub(crate) struct MessagesShape;

impl Shape for MessagesShape {
    fn required(&self) -> &'static [&'static str] {
        &["messages"]
    }

    fn prompt(&self) -> &'static [&'static str] {
        &["messages"]
    }

    fn conflict(&self, folded: &str) -> Option<Conflict> {
        conflict::field(Api::Messages, folded)
    }

    fn look(&self, _: &mut Seen, _: &str, _: Kind, value: &mut Cursor<'_>) -> Result<(), Refusal> {
        Ok(value.skip().map(drop)?)
    }
}
