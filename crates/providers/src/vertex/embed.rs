//! Embeddings by `predict` (<https://docs.cloud.google.com/vertex-ai/generative-ai/docs/model-reference/text-embeddings-api>). Models after
//! `gemini-embedding-001` have `:embedContent` there instead, one content at a time, which is not this format.

use lethe_content::ContentBuf;
use lethe_types::Api;
use lethe_wire::conversation::{Json, Malformed, Sending, Usage};
use lethe_wire::embeddings::{EmbedReply, EmbedRequest, Vector};
use lethe_wire::json::{Cursor, Kind};
use lethe_wire::refusal::Refusal;
use lethe_wire::write::Writer;

use crate::read::count;

/// A model that takes one text a request (same page; others take 250).
const ONE_TEXT: &str = "gemini-embedding-001";

/// Writes a request. The model is in the path.
///
/// # Errors
/// [`Refusal::Untranslatable`] for what this format or the model cannot express; `out` then holds half a text.
pub fn write_request(request: &EmbedRequest<'_>, to: &Sending<'_>, out: &mut ContentBuf) -> Result<(), Refusal> {
    let cannot = |field| Refusal::Untranslatable { field, target: Api::VertexEmbed };
    if to.model == ONE_TEXT && request.inputs.len() > 1 {
        return Err(cannot(if request.api == Api::EmbedContent { "requests" } else { "input" }));
    }
    // Gemini's own wishes are wishes for each text here.
    let wishes = request.own.iter().map(|(field, value)| match *field {
        "taskType" => Ok(("task_type", value)),
        "title" => Ok(("title", value)),
        field => Err(cannot(field)),
    });
    let wishes = wishes.collect::<Result<Vec<_>, _>>()?;
    Writer::new(out).object(|json| {
        json.key("instances").array(|json| {
            for text in &request.inputs {
                json.object(|json| {
                    json.member("content", text);
                    wishes.iter().for_each(|(name, value)| json.key(name).json(value));
                });
            }
        });
        json.key("parameters").object(|json| {
            // A text that is too long is refused, as elsewhere, and not cut.
            json.key("autoTruncate").boolean(false);
            if let Some(dimensions) = request.dimensions {
                json.key("outputDimensionality").number(dimensions);
            }
        });
    });
    Ok(())
}

/// Reads an answer. Tokens are counted for each text by itself.
///
/// # Errors
/// [`Malformed`] for what is none.
pub fn read_reply(body: &[u8]) -> Result<EmbedReply<'_>, Malformed> {
    let mut cursor = Cursor::new(body)?;
    let (mut vectors, mut tokens) = (Vec::new(), Some(0_u64));
    cursor.object(|key, _, value| {
        match (key.raw(), value.kind()?) {
            ("predictions", Kind::Array) => value.array(|item| {
                let (vector, counted) = prediction(item)?;
                vectors.push(vector);
                tokens = tokens.zip(counted).map(|(all, counted)| all.saturating_add(counted.into()));
                Ok::<(), Malformed>(())
            })?,
            _ => value.skip().map(drop)?,
        }
        Ok::<(), Malformed>(())
    })?;
    cursor.end()?;
    if vectors.is_empty() { Err(Malformed) } else { Ok(EmbedReply { vectors, tokens: tokens.and_then(Usage::count) }) }
}

/// The vector of one text, and its tokens.
fn prediction<'a>(item: &mut Cursor<'a>) -> Result<(Vector<'a>, Option<u32>), Malformed> {
    let (mut values, mut tokens) = (None, None);
    item.object(|key, _, value| match (key.raw(), value.kind()?) {
        ("embeddings", Kind::Object) => value.object(|key, _, value| match (key.raw(), value.kind()?) {
            ("values", Kind::Array) => {
                values = Some(Json::read(value)?);
                Ok(())
            }
            ("statistics", Kind::Object) => value.object(|key, _, value| {
                match key.raw() {
                    "token_count" => tokens = count(value)?,
                    _ => value.skip().map(drop)?,
                }
                Ok::<(), Malformed>(())
            }),
            _ => Ok::<(), Malformed>(value.skip().map(drop)?),
        }),
        _ => Ok(value.skip().map(drop)?),
    })?;
    Ok((Vector::Numbers(values.ok_or(Malformed)?), tokens))
}
