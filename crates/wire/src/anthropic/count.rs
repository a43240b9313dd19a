//! Counting a conversation's tokens (<https://docs.anthropic.com/en/api/messages-count-tokens>).

use lethe_content::ContentBuf;
use lethe_types::Api;

use super::request_read::read;
use super::request_write::write;
use crate::answer;
use crate::conversation::{Malformed, Request, Sending};
use crate::json::{Cursor, Kind};
use crate::refusal::Refusal;
use crate::write::Writer;

/// Reads a request to count; [`crate::inspect::inspect`] has accepted it before.
///
/// # Errors
/// [`Refusal`] for what is not as documented or has no place in another format.
pub fn read_count_request(body: &[u8]) -> Result<Request<'_>, Refusal> {
    read(body, Api::CountMessageTokens)
}

/// Writes a request to count, whichever format it was read from.
///
/// # Errors
/// [`Refusal::Untranslatable`] for what this format cannot express; `out` then holds half a text.
pub fn write_count_request(request: &Request<'_>, to: &Sending<'_>, out: &mut ContentBuf) -> Result<(), Refusal> {
    write(request, Api::CountMessageTokens, to, out)
}

/// Reads the count in an answer.
///
/// # Errors
/// [`Malformed`] for an answer without one that can be believed.
pub fn read_count(body: &[u8]) -> Result<u32, Malformed> {
    let mut cursor = Cursor::new(body)?;
    let mut tokens = None;
    cursor.object(|key, _, value| {
        match (key.raw(), value.kind()?) {
            ("input_tokens", Kind::Number) => tokens = answer::count(value)?,
            _ => value.skip().map(drop)?,
        }
        Ok::<(), Malformed>(())
    })?;
    cursor.end()?;
    tokens.ok_or(Malformed)
}

/// Writes an answer with a count.
pub fn write_count(tokens: u32, out: &mut ContentBuf) {
    Writer::new(out).object(|json| json.key("input_tokens").number(tokens.into()));
}
