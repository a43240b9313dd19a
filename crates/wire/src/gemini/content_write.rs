//! Parts of `contents`, written from the common form.

use lethe_types::Api;

use super::signature::{PLACEHOLDER, wrapped};
use crate::conversation::{Json, Part, PartKind, RESULT, Str, Thinking, ToolCall, ToolResult};
use crate::refusal::Refusal;
use crate::write::Writer;

/// Who is written to.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum To {
    /// A client, which gets other providers' signatures.
    Client,
    /// A provider whose model takes calls without a signature.
    Provider,
    /// A provider whose model refuses calls without a signature.
    StrictProvider,
}

/// What a result's function is called, by the id of its call.
pub(super) type Names<'n> = [(&'n Str<'n>, &'n Str<'n>)];

const fn cannot(field: &'static str) -> Refusal {
    Refusal::Untranslatable { field, target: Api::GenerateContent }
}

/// Whether there is something of `part` to be written: thoughts may be known by an id alone, which means nothing here.
pub(super) const fn says_something(part: &Part<'_>) -> bool {
    !matches!(part.kind, PartKind::Reasoning(Thinking { text: None, signature: None, .. }))
}

/// Writes the parts of one content.
pub(super) fn write_parts(json: &mut Writer<'_>, parts: &[&Part<'_>], to: To, names: &Names<'_>) -> Result<(), Refusal> {
    let placeholder = PLACEHOLDER;
    let mut called = false;
    let mut rest = parts.iter().filter(|part| says_something(part)).map(|part| &part.kind).peekable();
    while let Some(kind) = rest.next() {
        match kind {
            PartKind::ToolCall(call) => {
                // Of calls that the model makes at once, only the first has a signature.
                let missing = to == To::StrictProvider && !called && call.signature.is_none();
                called = true;
                write_call(json, call, if missing { Some(&placeholder) } else { call.signature.as_ref() })?;
            }
            PartKind::ToolResult(result) => write_result(json, result, names)?,
            PartKind::Reasoning(thought) => write_thought(json, thought, to),
            said => {
                let signature = match rest.peek() {
                    Some(PartKind::Reasoning(Thinking { text: None, signature: Some(signature), .. })) => Some(signature),
                    _ => None,
                };
                if signature.is_some() {
                    rest.next();
                }
                write_said(json, said, signature.map(|signature| outward(signature, to)))?;
            }
        }
    }
    Ok(())
}

fn outward<'s>(signature: &'s Str<'_>, to: To) -> Str<'s> {
    if to == To::Client { wrapped(signature) } else { signature.borrowed() }
}

fn write_thought(json: &mut Writer<'_>, thought: &Thinking<'_>, to: To) {
    json.object(|json| {
        json.member("text", thought.text.as_ref().unwrap_or(&Str::EMPTY));
        // A signature alone belongs to what was said before it.
        if thought.text.is_some() || to == To::Client {
            json.key("thought").boolean(true);
        }
        if let Some(signature) = &thought.signature {
            json.member("thoughtSignature", &outward(signature, to));
        }
    });
}

fn write_said(json: &mut Writer<'_>, kind: &PartKind<'_>, signature: Option<Str<'_>>) -> Result<(), Refusal> {
    json.try_object(|json| {
        match kind {
            PartKind::Refusal(text) | PartKind::Text(text) => json.member("text", text),
            media => write_media(json, media)?,
        }
        if let Some(signature) = signature {
            json.member("thoughtSignature", &signature);
        }
        Ok(())
    })
}

fn write_media(json: &mut Writer<'_>, kind: &PartKind<'_>) -> Result<(), Refusal> {
    let (media_type, data) = match kind {
        PartKind::Audio(audio) => (&audio.media_type, &audio.data),
        // Its name is no part of what the model reads here.
        PartKind::Document(document) => (&document.media_type, &document.data),
        PartKind::Image(image) if image.detail.is_some() => return Err(cannot("messages.content.image_url.detail")),
        PartKind::Image(image) => (&image.media_type, &image.data),
        _ => return Err(cannot(RESULT)),
    };
    json.key("inlineData").object(|json| {
        json.member("mimeType", media_type);
        json.member("data", data);
    });
    Ok(())
}

fn write_call(json: &mut Writer<'_>, call: &ToolCall<'_>, signature: Option<&Str<'_>>) -> Result<(), Refusal> {
    let arguments = call.arguments.object("messages.tool_calls.function.arguments")?;
    json.object(|json| {
        json.key("functionCall").object(|json| {
            json.member("id", &call.id);
            json.member("name", &call.name);
            json.key("args").json(&arguments);
        });
        if let Some(signature) = signature {
            json.member("thoughtSignature", signature);
        }
    });
    Ok(())
}

fn write_result(json: &mut Writer<'_>, result: &ToolResult<'_>, names: &Names<'_>) -> Result<(), Refusal> {
    let called = names.iter().rev().find(|(id, _)| id.raw() == result.id.raw()).map(|(_, name)| *name);
    let name = called.or(result.name.as_ref()).ok_or(cannot("messages.tool_call_id"))?;
    let (mut texts, mut media) = (Vec::new(), Vec::new());
    for part in &result.content {
        match &part.kind {
            PartKind::Text(text) => texts.push(text),
            other => media.push(other),
        }
    }
    json.try_object(|json| {
        json.key("functionResponse").try_object(|json| {
            json.member("id", &result.id);
            json.member("name", name);
            json.key("response");
            let key = if result.is_error { "error" } else { "output" };
            match texts.as_slice() {
                [] if !result.is_error => json.object(|_| {}),
                [one]
                    if !result.is_error
                        && let Some(object) = object(one) =>
                {
                    json.json(&object)
                }
                texts => {
                    let lines: Vec<&str> = texts.iter().map(|text| text.raw()).collect();
                    json.object(|json| json.key(key).strings(&[&lines.join("\\n")]));
                }
            }
            if !media.is_empty() {
                json.key("parts")
                    .try_array(|json| media.iter().try_for_each(|kind| json.try_object(|json| write_media(json, kind))))?;
            }
            Ok(())
        })
    })
}

/// A text that is a JSON object.
fn object(text: &Str<'_>) -> Option<Json<'static>> {
    let plain = text.plain();
    Some(plain.trim()).filter(|plain| plain.starts_with('{')).and_then(|plain| Json::checked(plain.to_owned()).ok())
}
