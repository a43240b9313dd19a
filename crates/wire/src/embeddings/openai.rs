//! OpenAI's embeddings (<https://platform.openai.com/docs/api-reference/embeddings>).

use lethe_content::ContentBuf;
use lethe_types::Api;

use super::{EmbedReply, EmbedRequest, EmbedWanted, Vector};
use crate::conversation::{Json, Malformed, Sending, Usage};
use crate::json::{Cursor, Kind};
use crate::refusal::{FieldName, Refusal};
use crate::write::Writer;

/// Reads a request; [`crate::inspect::inspect`] has accepted it before.
///
/// # Errors
/// [`Refusal`] for what is not as documented or has no place in another format.
pub fn read_request(body: &[u8]) -> Result<EmbedRequest<'_>, Refusal> {
    const INPUT: Refusal = Refusal::WrongType("input", "a string or an array of strings");
    let mut cursor = Cursor::new(body)?;
    let mut request = EmbedRequest::new(Api::Embeddings);
    cursor.object(|key, _, value| {
        if value.null()? {
            return Ok(());
        }
        match (key.plain().as_ref(), value.kind()?) {
            // Read already, or a name for somebody whom the provider is not told of.
            ("model" | "user", _) => value.skip().map(drop)?,
            ("input", Kind::String) => request.inputs.push(value.string()?.into()),
            ("input", Kind::Array) => {
                let input = Json::read(value)?;
                let mut tokens = false;
                input.cursor()?.array(|item| {
                    match item.kind()? {
                        Kind::String => request.inputs.push(crate::conversation::Str::from(item.string()?).into_owned()),
                        Kind::Array | Kind::Number => {
                            tokens = true;
                            item.skip()?;
                        }
                        _ => return Err(INPUT),
                    }
                    Ok(())
                })?;
                if tokens {
                    // Numbers of tokens mean something to the model only that they were made for.
                    request.own.push(("input", input));
                }
            }
            ("input", _) => return Err(INPUT),
            ("dimensions", _) => {
                request.dimensions = Some(value.count().map_err(|_| Refusal::WrongType("dimensions", "a whole number"))?);
            }
            ("encoding_format", Kind::String) => {
                request.base64 = match value.string()?.plain().as_ref() {
                    "float" => false,
                    "base64" => true,
                    _ => return Err(Refusal::WrongType("encoding_format", "float or base64")),
                };
            }
            ("encoding_format", _) => return Err(Refusal::WrongType("encoding_format", "float or base64")),
            (name, _) => return Err(Refusal::UntranslatableUnknown(FieldName::new(name))),
        }
        Ok(())
    })?;
    cursor.end()?;
    if request.inputs.is_empty() && request.own.is_empty() {
        return Err(Refusal::WrongType("input", "at least one text"));
    }
    Ok(request)
}

/// Writes a request.
///
/// # Errors
/// [`Refusal::Untranslatable`] for what this format cannot express; `out` then holds half a text.
pub fn write_request(request: &EmbedRequest<'_>, to: &Sending<'_>, out: &mut ContentBuf) -> Result<(), Refusal> {
    request.refuse_own(Api::Embeddings)?;
    Writer::new(out).object(|json| {
        json.key("model").plain(to.model);
        match (request.own.first(), request.inputs.as_slice()) {
            (Some((_, tokens)), _) => json.key("input").json(tokens),
            (None, texts) => json.key("input").array(|json| texts.iter().for_each(|text| json.string(text))),
        }
        if let Some(dimensions) = request.dimensions {
            json.key("dimensions").number(dimensions);
        }
        json.constant("encoding_format", if request.base64 { "base64" } else { "float" });
    });
    Ok(())
}

/// Reads an answer.
///
/// # Errors
/// [`Malformed`] for what is none.
pub fn read_reply(body: &[u8]) -> Result<EmbedReply<'_>, Malformed> {
    let mut cursor = Cursor::new(body)?;
    let (mut found, mut tokens) = (Vec::new(), None);
    cursor.object(|key, _, value| {
        match (key.raw(), value.kind()?) {
            ("data", Kind::Array) => value.array(|item| {
                let (mut index, mut vector) = (None, None);
                item.object(|key, _, value| {
                    match (key.raw(), value.kind()?) {
                        ("index", Kind::Number) => index = Some(value.count()?),
                        ("embedding", Kind::Array) => vector = Some(Vector::Numbers(Json::read(value)?)),
                        ("embedding", Kind::String) => vector = Some(Vector::Base64(value.string()?.into())),
                        _ => value.skip().map(drop)?,
                    }
                    Ok::<(), Malformed>(())
                })?;
                found.push((index.unwrap_or(found.len() as u64), vector.ok_or(Malformed)?));
                Ok::<(), Malformed>(())
            })?,
            ("usage", Kind::Object) => value.object(|key, _, value| {
                match (key.raw(), value.kind()?) {
                    ("prompt_tokens", Kind::Number) => tokens = value.count().ok().and_then(Usage::count),
                    _ => value.skip().map(drop)?,
                }
                Ok::<(), Malformed>(())
            })?,
            ("error", Kind::Object | Kind::String) => return Err(Malformed),
            _ => value.skip().map(drop)?,
        }
        Ok::<(), Malformed>(())
    })?;
    cursor.end()?;
    found.sort_by_key(|(index, _)| *index);
    // Each text has one vector: which one belongs to which is known by the number alone.
    if found.is_empty() || found.iter().zip(0..).any(|((index, _), at)| *index != at) {
        return Err(Malformed);
    }
    Ok(EmbedReply { vectors: found.into_iter().map(|(_, vector)| vector).collect(), tokens })
}

/// Writes an answer as it is `wanted`, by the model that the client calls `model`.
///
/// # Errors
/// [`Malformed`] for vectors that are none, and for more or fewer than there are texts.
pub fn write_reply(reply: &EmbedReply<'_>, wanted: &EmbedWanted, model: &str, out: &mut ContentBuf) -> Result<(), Malformed> {
    if !wanted.takes(reply.vectors.len()) {
        return Err(Malformed);
    }
    Writer::new(out).try_object(|json| {
        json.constant("object", "list");
        json.key("data").try_array(|json| {
            reply.vectors.iter().zip(0..).try_for_each(|(vector, index)| {
                json.try_object(|json| {
                    json.constant("object", "embedding");
                    json.key("index").number(index);
                    if wanted.base64 {
                        json.member("embedding", &vector.base64()?);
                    } else {
                        json.key("embedding").json(&vector.numbers()?);
                    }
                    Ok::<(), Malformed>(())
                })
            })
        })?;
        json.key("model").plain(model);
        if let Some(tokens) = reply.tokens {
            json.key("usage").object(|json| {
                json.key("prompt_tokens").number(tokens.into());
                json.key("total_tokens").number(tokens.into());
            });
        }
        Ok(())
    })
}
