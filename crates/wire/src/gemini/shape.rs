//! What requests in gemini formats look like to who only passes them on.

use lethe_policy::conflict::{self, Conflict};
use lethe_types::Api;

use crate::inspect::{Seen, Shape};
use crate::json::{Cursor, Kind};
use crate::refusal::Refusal;

/// `:countTokens`
pub(crate) struct CountShape;

impl Shape for CountShape {
    fn required(&self) -> &'static [&'static str] {
        &["contents"]
    }

    fn prompt(&self) -> &'static [&'static str] {
        &["contents"]
    }

    fn model_in_body(&self) -> bool {
        false
    }

    fn conflict(&self, folded: &str) -> Option<Conflict> {
        conflict::field(Api::CountTokens, folded)
    }

    fn look(&self, _: &mut Seen, _: &str, _: Kind, value: &mut Cursor<'_>) -> Result<(), Refusal> {
        Ok(value.skip().map(drop)?)
    }
}

/// `:embedContent`
pub(crate) struct EmbedShape;

impl Shape for EmbedShape {
    fn required(&self) -> &'static [&'static str] {
        &["content"]
    }

    fn prompt(&self) -> &'static [&'static str] {
        &["content"]
    }

    fn model_in_body(&self) -> bool {
        false
    }

    fn conflict(&self, folded: &str) -> Option<Conflict> {
        conflict::field(Api::EmbedContent, folded)
    }

    fn look(&self, _: &mut Seen, _: &str, _: Kind, value: &mut Cursor<'_>) -> Result<(), Refusal> {
        Ok(value.skip().map(drop)?)
    }
}

/// `:generateContent`
pub(crate) struct GenerateShape;

impl Shape for GenerateShape {
    fn required(&self) -> &'static [&'static str] {
        &["contents"]
    }

    fn prompt(&self) -> &'static [&'static str] {
        &["contents"]
    }

    fn model_in_body(&self) -> bool {
        false
    }

    fn conflict(&self, folded: &str) -> Option<Conflict> {
        conflict::field(Api::GenerateContent, folded)
    }

    fn look(&self, _: &mut Seen, _: &str, _: Kind, value: &mut Cursor<'_>) -> Result<(), Refusal> {
        Ok(value.skip().map(drop)?)
    }
}
