//! What requests in responses formats look like to who only passes them on.

use lethe_policy::conflict::{self, Conflict};
use lethe_types::Api;

use crate::inspect::{Seen, Shape};
use crate::json::{Cursor, Kind};
use crate::refusal::Refusal;

/// `POST /v1/responses`
pub(crate) struct ResponsesShape;

impl Shape for ResponsesShape {
    fn required(&self) -> &'static [&'static str] {
        &["input"]
    }

    fn prompt(&self) -> &'static [&'static str] {
        &["input"]
    }

    fn conflict(&self, folded: &str) -> Option<Conflict> {
        conflict::field(Api::Responses, folded)
    }

    fn look(&self, _: &mut Seen, _: &str, _: Kind, value: &mut Cursor<'_>) -> Result<(), Refusal> {
        Ok(value.skip().map(drop)?)
    }
}
