//! `contents`: what was said, read into the common form.

use super::fields::{boolean, each, fields, object, string};
use super::shape::FILE_DATA;
use super::signature::unwrapped;
use crate::conversation::{
    Arguments, Audio, Document, Image, Json, Message, Part, PartKind, Role, Str, Thinking, ToolCall, ToolResult,
};
use crate::json::{Cursor, Kind};
use crate::media;
use crate::refusal::{FieldName, Refusal};

/// What is read so far.
#[derive(Default)]
pub(super) struct Contents<'a> {
    pub(super) messages: Vec<Message<'a>>,
    /// Calls so far.
    calls: usize,
    /// Name and id of the calls that have no result yet.
    waiting: Vec<(Str<'a>, Str<'a>)>,
}

/// The fields of a part, of which one says what it is.
#[derive(Default)]
struct Fields<'a> {
    kinds: usize,
    text: Option<Str<'a>>,
    thought: bool,
    signature: Option<Str<'a>>,
    media: Option<PartKind<'a>>,
    call: Option<Call<'a>>,
    result: Option<Answered<'a>>,
}

#[derive(Default)]
pub(super) struct Call<'a> {
    pub(super) id: Option<Str<'a>>,
    pub(super) name: Option<Str<'a>>,
    pub(super) args: Option<Json<'a>>,
}

#[derive(Default)]
struct Answered<'a> {
    id: Option<Str<'a>>,
    name: Option<Str<'a>>,
    response: Option<Json<'a>>,
    media: Vec<Part<'a>>,
}

impl<'a> Contents<'a> {
    /// Reads one of `contents`.
    pub(super) fn read(&mut self, value: &mut Cursor<'a>) -> Result<(), Refusal> {
        let (mut role, mut parts) = (None, Vec::new());
        fields(value, "contents", |name, value| {
            match name {
                "role" => role = Some(string(value, "contents.role")?),
                "parts" => each(value, |item| self.part(item, &mut parts))?,
                _ => return Ok(false),
            }
            Ok(true)
        })?;
        let role = match role.as_ref().map(Str::raw) {
            None | Some("" | "function" | "user") => Role::User,
            Some("model") => Role::Assistant,
            Some(_) => return Err(Refusal::WrongType("contents.role", "user or model")),
        };
        match self.messages.last_mut() {
            // Clients that keep a streamed answer send each piece of it back as a content of its own.
            Some(last) if role == Role::Assistant && last.role == Role::Assistant => {
                let mut parts = parts.into_iter();
                if let Some(first) = parts.next() {
                    match (last.parts.last_mut().map(|part| &mut part.kind), first.kind) {
                        (Some(PartKind::Text(before)), PartKind::Text(text)) => *before = before.and(text.raw()),
                        (_, kind) => push(&mut last.parts, kind),
                    }
                }
                parts.for_each(|part| push(&mut last.parts, part.kind));
            }
            _ => self.messages.push(Message { role, name: None, parts }),
        }
        Ok(())
    }

    fn part(&mut self, value: &mut Cursor<'a>, parts: &mut Vec<Part<'a>>) -> Result<(), Refusal> {
        let mut part = Fields::default();
        fields(value, "contents.parts", |name, value| part.field(name, value))?;
        let Fields { kinds, text, thought, signature, media, call, result } = part;
        let signature = signature.filter(|signature| !signature.is_empty()).map(unwrapped);
        if kinds > 1 || kinds == 0 && signature.is_none() {
            return Err(Refusal::WrongType("contents.parts", "one of text, inlineData, functionCall and functionResponse"));
        }
        if let Some(call) = call {
            push(parts, PartKind::ToolCall(self.called(call, signature)?));
        } else if let Some(result) = result {
            push(parts, PartKind::ToolResult(self.answered(result)?));
        } else if let Some(media) = media {
            push(parts, media);
            parts.extend(signature.map(|signature| signed(None, Some(signature)).into()));
        } else {
            let text = text.filter(|text| !text.is_empty());
            if thought && (text.is_some() || signature.is_some()) {
                push(parts, signed(text, signature));
            } else if !thought {
                parts.extend(text.map(|text| PartKind::Text(text).into()));
                parts.extend(signature.map(|signature| signed(None, Some(signature)).into()));
            }
        }
        Ok(())
    }

    fn called(&mut self, call: Call<'a>, signature: Option<Str<'a>>) -> Result<ToolCall<'a>, Refusal> {
        let name = call.name.ok_or(Refusal::MissingField("contents.parts.functionCall.name"))?;
        let id = call.id.filter(|id| !id.is_empty()).unwrap_or_else(|| Str::of(&format!("call_{}", self.calls)));
        self.calls += 1;
        self.waiting.push((name.clone(), id.clone()));
        let arguments = Arguments::Object(call.args.unwrap_or(Json::EMPTY_OBJECT));
        Ok(ToolCall { id, name, arguments, signature })
    }

    /// A result belongs to the call whose id it names, else to the first call of its function that has none yet.
    fn answered(&mut self, result: Answered<'a>) -> Result<ToolResult<'a>, Refusal> {
        let name = result.name.ok_or(Refusal::MissingField("contents.parts.functionResponse.name"))?;
        let given = result.id.filter(|id| !id.is_empty());
        let at = self.waiting.iter().position(|(called, id)| match &given {
            Some(given) => id.raw() == given.raw(),
            None => called.raw() == name.raw(),
        });
        let found = at.map(|at| self.waiting.remove(at).1);
        let id = given.or(found).ok_or(Refusal::WrongType(
            "contents.parts.functionResponse",
            "an answer to an earlier functionCall of the same name, or with an id",
        ))?;
        let (said, is_error) = match result.response {
            Some(response) => response_text(&response)?,
            None => (None, false),
        };
        let content = said.map(|text| PartKind::Text(text).into()).into_iter().chain(result.media).collect();
        Ok(ToolResult { id, name: Some(name), content, is_error })
    }
}

impl<'a> Fields<'a> {
    fn field(&mut self, name: &str, value: &mut Cursor<'a>) -> Result<bool, Refusal> {
        self.kinds += usize::from(matches!(name, "text" | "inlineData" | "functionCall" | "functionResponse"));
        match name {
            "text" => self.text = Some(string(value, "contents.parts.text")?),
            "thought" => self.thought = boolean(value, "contents.parts.thought")?,
            "thoughtSignature" => self.signature = Some(string(value, "contents.parts.thoughtSignature")?),
            "inlineData" => self.media = Some(inline_data(value)?),
            "fileData" => return Err(Refusal::Conflict(FILE_DATA)),
            "functionCall" => self.call = Some(function_call(value)?),
            "functionResponse" => self.result = Some(function_response(value)?),
            _ => return Ok(false),
        }
        Ok(true)
    }
}

/// Appends a part; thoughts that come in pieces are one block, up to its signature.
pub(super) fn push<'a>(parts: &mut Vec<Part<'a>>, kind: PartKind<'a>) {
    if let PartKind::Reasoning(Thinking { text, signature, .. }) = &kind
        && let Some(PartKind::Reasoning(open @ Thinking { text: Some(_), signature: None, .. })) =
            parts.last_mut().map(|part| &mut part.kind)
    {
        if let (Some(before), Some(more)) = (&open.text, text) {
            open.text = Some(before.and(more.raw()));
        }
        open.signature.clone_from(signature);
        return;
    }
    parts.push(kind.into());
}

const fn signed<'a>(text: Option<Str<'a>>, signature: Option<Str<'a>>) -> PartKind<'a> {
    PartKind::Reasoning(Thinking { id: None, text, signature })
}

pub(super) fn function_call<'a>(value: &mut Cursor<'a>) -> Result<Call<'a>, Refusal> {
    let mut call = Call::default();
    fields(value, "contents.parts.functionCall", |name, value| {
        match name {
            "id" => call.id = Some(string(value, "contents.parts.functionCall.id")?),
            "name" => call.name = Some(string(value, "contents.parts.functionCall.name")?),
            "args" => call.args = Some(object(value, "contents.parts.functionCall.args")?),
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    Ok(call)
}

fn function_response<'a>(value: &mut Cursor<'a>) -> Result<Answered<'a>, Refusal> {
    let mut result = Answered::default();
    fields(value, "contents.parts.functionResponse", |name, value| {
        match name {
            "id" => result.id = Some(string(value, "contents.parts.functionResponse.id")?),
            "name" => result.name = Some(string(value, "contents.parts.functionResponse.name")?),
            "response" => result.response = Some(object(value, "contents.parts.functionResponse.response")?),
            "parts" => each(value, |item| {
                fields(item, "contents.parts.functionResponse.parts", |name, value| {
                    match name {
                        "inlineData" => result.media.push(inline_data(value)?.into()),
                        "fileData" => return Err(Refusal::Conflict(FILE_DATA)),
                        _ => return Ok(false),
                    }
                    Ok(true)
                })
            })?,
            // Only a live session goes on after a result.
            "willContinue" if value.kind()? == Kind::Bool => return Ok(!value.boolean()?),
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    Ok(result)
}

/// `output` and `error` are the reference's words for what a function returned and why it failed, `result` is what Google's own client library puts there
/// for a function that it has called; any other object is a result itself.
fn response_text<'a>(response: &Json<'a>) -> Result<(Option<Str<'a>>, bool), Refusal> {
    let mut members = 0;
    let mut said = None;
    response.cursor()?.object(|key, _, value| {
        members += 1;
        match (key.raw(), value.kind()?) {
            ("output" | "result", Kind::String) => said = Some((Str::from(value.string()?).into_owned(), false)),
            ("error", Kind::String) => said = Some((Str::from(value.string()?).into_owned(), true)),
            _ => value.skip().map(drop)?,
        }
        Ok::<(), Refusal>(())
    })?;
    Ok(match (members, said) {
        (0, _) => (None, false),
        (1, Some((text, is_error))) => (Some(text), is_error),
        _ => (Some(Str::of(response.raw())), false),
    })
}

pub(super) fn inline_data<'a>(value: &mut Cursor<'a>) -> Result<PartKind<'a>, Refusal> {
    const DATA: &str = "contents.parts.inlineData.data";
    let (mut media_type, mut data, mut name) = (None, None, None);
    fields(value, "contents.parts.inlineData", |field, value| {
        match field {
            "mimeType" => media_type = Some(string(value, "contents.parts.inlineData.mimeType")?),
            "data" => data = Some(string(value, DATA)?),
            "displayName" => name = Some(string(value, "contents.parts.inlineData.displayName")?),
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    let media_type = media_type.ok_or(Refusal::MissingField("contents.parts.inlineData.mimeType"))?;
    let data = media::inline_of_either(data.ok_or(Refusal::MissingField(DATA))?, DATA)?;
    let family = media_type.plain().split('/').next().unwrap_or_default().to_ascii_lowercase();
    Ok(match family.as_str() {
        "image" | "audio" if name.is_some() => {
            return Err(Refusal::UntranslatableUnknown(FieldName::new("contents.parts.inlineData.displayName")));
        }
        "image" => PartKind::Image(Image { media_type, data, detail: None }),
        "audio" => PartKind::Audio(Audio { media_type, data }),
        _ => PartKind::Document(Document { media_type, data, name }),
    })
}
