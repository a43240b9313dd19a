//! Gemini's `:embedContent` and `:batchEmbedContents` (<https://ai.google.dev/api/embeddings>).

use lethe_content::ContentBuf;
use lethe_types::Api;

use super::{EmbedReply, EmbedRequest, EmbedWanted, Vector};
use crate::conversation::{Json, Malformed, Sending, Str, Usage};
use crate::gemini::{count, each, fields, spelled, string};
use crate::json::{Cursor, Kind};
use crate::refusal::Refusal;
use crate::write::Writer;

/// Reads a request of either method.
///
/// # Errors
/// [`Refusal`] for what is not as documented or has no place in another format.
pub fn read_request(body: &[u8]) -> Result<EmbedRequest<'_>, Refusal> {
    const ALIKE: Refusal = Refusal::WrongType("requests", "requests that differ in their content only");
    let mut cursor = Cursor::new(body)?;
    let mut whole = EmbedRequest::new(Api::EmbedContent);
    let mut several: Option<EmbedRequest<'_>> = None;
    fields(&mut cursor, "", |name, value| {
        if name != "requests" {
            return field(&mut whole, name, value);
        }
        each(value, |item| {
            let mut request = EmbedRequest::new(Api::EmbedContent);
            fields(item, "requests", |name, value| field(&mut request, name, value))?;
            if request.inputs.is_empty() {
                return Err(Refusal::MissingField("requests.content"));
            }
            match &mut several {
                None => several = Some(request),
                // One request of another format has one wish for all of its texts.
                Some(first) if first.dimensions != request.dimensions || !is_alike(&first.own, &request.own) => {
                    return Err(ALIKE);
                }
                Some(first) => first.inputs.append(&mut request.inputs),
            }
            Ok(())
        })?;
        Ok(true)
    })?;
    cursor.end()?;
    match several {
        Some(request) if whole.inputs.is_empty() && whole.own.is_empty() && whole.dimensions.is_none() => Ok(request),
        Some(_) => Err(Refusal::WrongType("requests", "without other fields beside it")),
        None if whole.inputs.is_empty() => Err(Refusal::MissingField("content")),
        None => Ok(EmbedRequest { batch: false, ..whole }),
    }
}

fn is_alike(one: &[(&str, Json<'_>)], other: &[(&str, Json<'_>)]) -> bool {
    one.len() == other.len()
        && one.iter().all(|(name, json)| other.iter().any(|(also, same)| name == also && json.raw() == same.raw()))
}

fn field<'a>(request: &mut EmbedRequest<'a>, name: &str, value: &mut Cursor<'a>) -> Result<bool, Refusal> {
    match name {
        // It stands in the path.
        "model" => value.skip().map(drop)?,
        "content" => request.inputs.push(text(value)?),
        "outputDimensionality" => request.dimensions = Some(count(value, "outputDimensionality")?),
        "taskType" => {
            let json = Json::read(value)?;
            if json.raw() != "\"TASK_TYPE_UNSPECIFIED\"" {
                request.own.push(("taskType", json));
            }
        }
        "title" => request.own.push(("title", Json::read(value)?)),
        _ => return Ok(false),
    }
    Ok(true)
}

/// The one text of a content.
fn text<'a>(value: &mut Cursor<'a>) -> Result<Str<'a>, Refusal> {
    let mut texts = Vec::new();
    fields(value, "content", |name, value| {
        match name {
            // Nobody reads it.
            "role" => drop(string(value, "content.role")?),
            "parts" => each(value, |item| {
                fields(item, "content.parts", |name, value| {
                    if name != "text" {
                        return Ok(false);
                    }
                    texts.push(string(value, "content.parts.text")?);
                    Ok(true)
                })
            })?,
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    match (texts.pop(), texts.pop()) {
        (Some(text), None) => Ok(text),
        _ => Err(Refusal::WrongType("content.parts", "one text")),
    }
}

/// Writes a request: the body of `:batchEmbedContents` if [`EmbedRequest::batch`] says so, else that of `:embedContent`.
///
/// # Errors
/// [`Refusal::Untranslatable`] for what this format cannot express; `out` then holds half a text.
pub fn write_request(request: &EmbedRequest<'_>, to: &Sending<'_>, out: &mut ContentBuf) -> Result<(), Refusal> {
    request.refuse_own(Api::EmbedContent)?;
    let mut json = Writer::new(out);
    match request.inputs.as_slice() {
        [one] if !request.batch => json.object(|json| write_fields(json, request, one)),
        several => json.object(|json| {
            json.key("requests").array(|json| {
                for text in several {
                    json.object(|json| {
                        json.key("model").plain(&["models/", to.model].concat());
                        write_fields(json, request, text);
                    });
                }
            });
        }),
    }
    Ok(())
}

fn write_fields(json: &mut Writer<'_>, request: &EmbedRequest<'_>, text: &Str<'_>) {
    json.key("content").object(|json| json.key("parts").array(|json| json.object(|json| json.member("text", text))));
    request.own.iter().for_each(|(field, value)| json.key(field).json(value));
    if let Some(dimensions) = request.dimensions {
        json.key("outputDimensionality").number(dimensions);
    }
}

/// Reads an answer of either method.
///
/// # Errors
/// [`Malformed`] for what is none.
pub fn read_reply(body: &[u8]) -> Result<EmbedReply<'_>, Malformed> {
    let mut cursor = Cursor::new(body)?;
    let mut reply = EmbedReply { vectors: Vec::new(), tokens: None };
    cursor.object(|key, _, value| {
        match (spelled(key.plain()).as_ref(), value.kind()?) {
            ("embedding", Kind::Object) => reply.vectors.push(vector(value)?),
            ("embeddings", Kind::Array) => value.array(|item| {
                reply.vectors.push(vector(item)?);
                Ok::<(), Malformed>(())
            })?,
            ("usageMetadata", Kind::Object) => value.object(|key, _, value| {
                match (spelled(key.plain()).as_ref(), value.kind()?) {
                    ("promptTokenCount", Kind::Number) => reply.tokens = value.count().ok().and_then(Usage::count),
                    _ => value.skip().map(drop)?,
                }
                Ok::<(), Malformed>(())
            })?,
            ("error", Kind::Object | Kind::String) => return Err(Malformed),
            _ => value.skip().map(drop)?,
        }
        Ok(())
    })?;
    cursor.end()?;
    if reply.vectors.is_empty() { Err(Malformed) } else { Ok(reply) }
}

fn vector<'a>(value: &mut Cursor<'a>) -> Result<Vector<'a>, Malformed> {
    let mut values = None;
    value.object(|key, _, value| {
        match (key.raw(), value.kind()?) {
            ("values", Kind::Array) => values = Some(Json::read(value)?),
            _ => value.skip().map(drop)?,
        }
        Ok::<(), Malformed>(())
    })?;
    values.map(Vector::Numbers).ok_or(Malformed)
}

/// Writes an answer as it is `wanted`, in the form of the method that the client called.
///
/// # Errors
/// [`Malformed`] for vectors that are none, and for more or fewer than there are texts.
pub fn write_reply(reply: &EmbedReply<'_>, wanted: &EmbedWanted, out: &mut ContentBuf) -> Result<(), Malformed> {
    if !wanted.takes(reply.vectors.len()) {
        return Err(Malformed);
    }
    let write = |json: &mut Writer<'_>, vector: &Vector<'_>| {
        let numbers = vector.numbers()?;
        json.object(|json| json.key("values").json(&numbers));
        Ok::<(), Malformed>(())
    };
    Writer::new(out).try_object(|json| {
        match reply.vectors.as_slice() {
            [one] if !wanted.batch => write(json.key("embedding"), one)?,
            several => json.key("embeddings").try_array(|json| several.iter().try_for_each(|vector| write(json, vector)))?,
        }
        if let Some(tokens) = reply.tokens {
            json.key("usageMetadata").object(|json| json.key("promptTokenCount").number(tokens.into()));
        }
        Ok(())
    })
}
