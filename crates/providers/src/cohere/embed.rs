//! Embeddings (<https://docs.cohere.com/reference/embed>).

use lethe_content::ContentBuf;
use lethe_types::Api;
use lethe_wire::conversation::{Malformed, Sending};
use lethe_wire::embeddings::{EmbedReply, EmbedRequest};
use lethe_wire::json::{Cursor, Kind};
use lethe_wire::refusal::Refusal;
use lethe_wire::write::Writer;

use crate::read::{count, vectors};

/// Writes a request. What the vectors are for is required here and unknown in other formats: they are made for finding documents, as servers with
/// another API make them for anything.
///
/// # Errors
/// [`Refusal::Untranslatable`] for what this format cannot express; `out` then holds half a text.
pub fn write_request(request: &EmbedRequest<'_>, to: &Sending<'_>, out: &mut ContentBuf) -> Result<(), Refusal> {
    request.refuse_own(Api::CohereEmbed)?;
    Writer::new(out).object(|json| {
        json.key("model").plain(to.model);
        json.constant("input_type", "search_document");
        json.key("texts").array(|json| request.inputs.iter().for_each(|text| json.string(text)));
        if let Some(dimensions) = request.dimensions {
            json.key("output_dimension").number(dimensions);
        }
        json.key("embedding_types").array(|json| json.plain("float"));
        // A text that is too long is refused, as elsewhere, and not cut.
        json.constant("truncate", "NONE");
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
            ("embeddings", Kind::Object) => value.object(|key, _, value| match (key.raw(), value.kind()?) {
                ("float", Kind::Array) => {
                    reply.vectors = vectors(value)?;
                    Ok(())
                }
                _ => Ok::<(), Malformed>(value.skip().map(drop)?),
            })?,
            ("meta", Kind::Object) => value.object(|key, _, value| match (key.raw(), value.kind()?) {
                ("billed_units", Kind::Object) => value.object(|key, _, value| {
                    match key.raw() {
                        "input_tokens" => reply.tokens = count(value)?,
                        _ => value.skip().map(drop)?,
                    }
                    Ok::<(), Malformed>(())
                }),
                _ => Ok::<(), Malformed>(value.skip().map(drop)?),
            })?,
            _ => value.skip().map(drop)?,
        }
        Ok::<(), Malformed>(())
    })?;
    cursor.end()?;
    if reply.vectors.is_empty() { Err(Malformed) } else { Ok(reply) }
}
