//! Embeddings (<https://docs.ollama.com/api/embed>).

use lethe_content::ContentBuf;
use lethe_types::Api;
use lethe_wire::conversation::{Malformed, Sending};
use lethe_wire::embeddings::{EmbedReply, EmbedRequest};
use lethe_wire::json::{Cursor, Kind};
use lethe_wire::refusal::Refusal;
use lethe_wire::write::Writer;

use crate::read::{count, vectors};

/// Writes a request.
///
/// # Errors
/// [`Refusal::Untranslatable`] for what this format cannot express; `out` then holds half a text.
pub fn write_request(request: &EmbedRequest<'_>, to: &Sending<'_>, out: &mut ContentBuf) -> Result<(), Refusal> {
    request.refuse_own(Api::OllamaEmbed)?;
    Writer::new(out).object(|json| {
        json.key("model").plain(to.model);
        json.key("input").array(|json| request.inputs.iter().for_each(|text| json.string(text)));
        if let Some(dimensions) = request.dimensions {
            json.key("dimensions").number(dimensions);
        }
        // A text that is too long is refused, as elsewhere, and not cut.
        json.key("truncate").boolean(false);
    });
    Ok(())
}

/// Reads an answer.
///
/// # Errors
/// [`Malformed`] for what is none.
pub fn read_reply(body: &[u8]) -> Result<EmbedReply<'_>, Malformed> {
    let mut cursor = Cursor::new(body)?;
    let mut reply = EmbedReply { vectors: Vec::new(), tokens: None };
    cursor.object(|key, _, value| {
        match (key.raw(), value.kind()?) {
            ("embeddings", Kind::Array) => reply.vectors = vectors(value)?,
            ("prompt_eval_count", _) => reply.tokens = count(value)?,
            _ => value.skip().map(drop)?,
        }
        Ok::<(), Malformed>(())
    })?;
    cursor.end()?;
    if reply.vectors.is_empty() { Err(Malformed) } else { Ok(reply) }
}
