//! Messages of a chat completion request and of its answer, read into the common form.

use super::request_read::{string, unknown};
use crate::conversation::{
    Arguments, Audio, Document, Image, Message, Part, PartKind, Role, Str, Thinking, ToolCall, ToolResult,
};
use crate::json::{Cursor, Kind};
use crate::media;
use crate::refusal::Refusal;

/// What a message's fields hold before its role says what they are.
#[derive(Default)]
struct Fields<'a> {
    role: Option<Str<'a>>,
    name: Option<Str<'a>>,
    content: Vec<Part<'a>>,
    reasoning: Option<Str<'a>>,
    thoughts: Vec<Thinking<'a>>,
    refusal: Option<Str<'a>>,
    calls: Vec<ToolCall<'a>>,
    result_of: Option<Str<'a>>,
}

/// Reads one of `messages`.
pub(super) fn message<'a>(value: &mut Cursor<'a>) -> Result<Message<'a>, Refusal> {
    if value.kind()? != Kind::Object {
        return Err(Refusal::WrongType("messages", "an array of objects"));
    }
    let mut fields = Fields::default();
    value.object(|key, _, value| {
        if value.null()? {
            return Ok(());
        }
        match key.plain().as_ref() {
            "role" => fields.role = Some(string(value, "messages.role")?),
            "name" => fields.name = Some(string(value, "messages.name")?),
            "content" => fields.content = content(value)?,
            "reasoning" | "reasoning_content" => fields.reasoning = Some(string(value, "messages.reasoning_content")?),
            "reasoning_details" => fields.thoughts = thoughts(value)?,
            "refusal" => fields.refusal = Some(string(value, "messages.refusal")?),
            "tool_calls" => value.array(|item| {
                fields.calls.push(tool_call(item)?);
                Ok::<(), Refusal>(())
            })?,
            "tool_call_id" => fields.result_of = Some(string(value, "messages.tool_call_id")?),
            // What an answer had beside its text, sent back: it says nothing to the model.
            "annotations" => value.skip().map(drop)?,
            _ => return Err(unknown("messages.", key)),
        }
        Ok(())
    })?;
    fields.message()
}

impl<'a> Fields<'a> {
    fn message(mut self) -> Result<Message<'a>, Refusal> {
        let role = self.role.take().ok_or(Refusal::MissingField("messages.role"))?;
        let (role, parts) = match role.raw() {
            "assistant" => (Role::Assistant, self.said()),
            "developer" | "system" => (Role::System, self.content),
            "user" => (Role::User, self.content),
            "tool" => {
                let id = self.result_of.ok_or(Refusal::MissingField("messages.tool_call_id"))?;
                let result = ToolResult { id, name: self.name.take(), content: self.content, is_error: false };
                (Role::User, vec![PartKind::ToolResult(result).into()])
            }
            _ => return Err(Refusal::WrongType("messages.role", "system, developer, user, assistant or tool")),
        };
        Ok(Message { role, name: self.name, parts })
    }

    /// What the model said, in the order in which it comes: thoughts, text, refusal, calls.
    fn said(&mut self) -> Vec<Part<'a>> {
        if let Some(text) = self.reasoning.take().filter(|text| !text.is_empty()) {
            // A stream shows the text in one field and its signature in the other; an answer has it in both.
            let is_empty = |thought: &&mut Thinking<'_>| thought.text.as_ref().is_some_and(Str::is_empty);
            if let Some(thought) = self.thoughts.iter_mut().find(is_empty) {
                thought.text = Some(text);
            } else if self.thoughts.is_empty() {
                self.thoughts.push(Thinking { text: Some(text), ..Thinking::default() });
            }
        }
        let thoughts = self.thoughts.drain(..).map(PartKind::Reasoning);
        let mut parts: Vec<Part<'a>> = thoughts.map(Part::from).collect();
        parts.append(&mut self.content);
        parts.extend(self.refusal.take().map(|text| Part::from(PartKind::Refusal(text))));
        parts.extend(self.calls.drain(..).map(|call| Part::from(PartKind::ToolCall(call))));
        parts
    }
}

/// Reads the `message` of an answer's choice.
pub(super) fn answered<'a>(value: &mut Cursor<'a>) -> Result<Vec<Part<'a>>, Refusal> {
    let mut fields = Fields::default();
    value.object(|key, _, value| {
        if value.null()? {
            return Ok(());
        }
        match key.plain().as_ref() {
            "content" => fields.content = content(value)?,
            "reasoning" | "reasoning_content" => fields.reasoning = Some(string(value, "reasoning_content")?),
            "reasoning_details" => fields.thoughts = thoughts(value)?,
            "refusal" => fields.refusal = Some(string(value, "refusal")?),
            "tool_calls" => value.array(|item| {
                fields.calls.push(tool_call(item)?);
                Ok::<(), Refusal>(())
            })?,
            _ => value.skip().map(drop)?,
        }
        Ok::<(), Refusal>(())
    })?;
    Ok(fields.said())
}

fn content<'a>(value: &mut Cursor<'a>) -> Result<Vec<Part<'a>>, Refusal> {
    let mut parts = Vec::new();
    match value.kind()? {
        Kind::String => {
            let text = Str::from(value.string()?);
            if !text.is_empty() {
                parts.push(PartKind::Text(text).into());
            }
        }
        Kind::Array => value.array(|item| {
            parts.push(part(item)?.into());
            Ok::<(), Refusal>(())
        })?,
        _ => return Err(Refusal::WrongType("messages.content", "a string or an array of parts")),
    }
    Ok(parts)
}

fn part<'a>(value: &mut Cursor<'a>) -> Result<PartKind<'a>, Refusal> {
    if value.kind()? != Kind::Object {
        return Err(Refusal::WrongType("messages.content", "an array of objects"));
    }
    let mut part = None;
    let mut kind = None;
    value.object(|key, _, value| {
        match key.plain().as_ref() {
            "type" => kind = Some(string(value, "messages.content.type")?),
            "text" => part = Some(PartKind::Text(string(value, "messages.content.text")?)),
            "refusal" => part = Some(PartKind::Refusal(string(value, "messages.content.refusal")?)),
            "image_url" => part = Some(PartKind::Image(image(value)?)),
            "input_audio" => part = Some(PartKind::Audio(audio(value)?)),
            "file" => part = Some(PartKind::Document(file(value)?)),
            "thinking" => part = Some(PartKind::Reasoning(Thinking { text: Some(thinking(value)?), ..Thinking::default() })),
            "closed" => value.skip().map(drop)?,
            _ => return Err(unknown("messages.content.", key)),
        }
        Ok(())
    })?;
    let fits = |kind: &str, part: &PartKind<'_>| {
        matches!(
            (kind, part),
            ("text", PartKind::Text(_))
                | ("refusal", PartKind::Refusal(_))
                | ("image_url", PartKind::Image(_))
                | ("input_audio", PartKind::Audio(_))
                | ("file", PartKind::Document(_))
                | ("thinking", PartKind::Reasoning(_))
        )
    };
    match (kind, part) {
        (Some(kind), Some(part)) if fits(kind.raw(), &part) => Ok(part),
        (None, _) => Err(Refusal::MissingField("messages.content.type")),
        _ => Err(Refusal::WrongType(
            "messages.content.type",
            "text, image_url, input_audio, file or refusal, with a field of that name",
        )),
    }
}

/// Thoughts as Mistral's models show them (<https://docs.mistral.ai/capabilities/reasoning>): parts of text in a part of the content.
pub(super) fn thinking<'a>(value: &mut Cursor<'a>) -> Result<Str<'a>, Refusal> {
    const WRONG: Refusal = Refusal::WrongType("messages.content.thinking", "an array of texts");
    let mut said = Str::EMPTY;
    let mut add = |text: Str<'a>| said = if said.is_empty() { text } else { said.and(text.raw()) };
    match value.kind()? {
        Kind::String => add(value.string()?.into()),
        Kind::Array => value.array(|item| match item.kind()? {
            Kind::Object => item.object(|key, _, value| {
                match (key.raw(), value.kind()?) {
                    ("text", Kind::String) => add(value.string()?.into()),
                    _ => value.skip().map(drop)?,
                }
                Ok(())
            }),
            _ => Err(WRONG),
        })?,
        _ => return Err(WRONG),
    }
    Ok(said)
}

fn image<'a>(value: &mut Cursor<'a>) -> Result<Image<'a>, Refusal> {
    const FIELD: &str = "messages.content.image_url.url";
    let (mut url, mut detail) = (None, None);
    if value.kind()? == Kind::String {
        url = Some(value.string()?);
    } else {
        value.object(|key, _, value| {
            match key.plain().as_ref() {
                "url" => url = Some(value.string()?),
                "detail" => detail = Some(string(value, "messages.content.image_url.detail")?),
                _ => return Err(unknown("messages.content.image_url.", key)),
            }
            Ok::<(), Refusal>(())
        })?;
    }
    let url = url.ok_or(Refusal::MissingField(FIELD))?;
    media::image(url.raw(), detail, FIELD)
}

fn audio<'a>(value: &mut Cursor<'a>) -> Result<Audio<'a>, Refusal> {
    let (mut data, mut format) = (None, None);
    value.object(|key, _, value| {
        match key.plain().as_ref() {
            "data" => data = Some(string(value, "messages.content.input_audio.data")?),
            "format" => format = Some(string(value, "messages.content.input_audio.format")?),
            _ => return Err(unknown("messages.content.input_audio.", key)),
        }
        Ok(())
    })?;
    let data = data.ok_or(Refusal::MissingField("messages.content.input_audio.data"))?;
    let media_type = match format.as_ref().map(Str::raw) {
        Some("mp3") => "audio/mpeg",
        Some("wav") => "audio/wav",
        _ => return Err(Refusal::BadMedia("messages.content.input_audio.format", "wav or mp3")),
    };
    let data = media::inline(data, "messages.content.input_audio.data")?;
    Ok(Audio { media_type: Str::constant(media_type), data })
}

fn file<'a>(value: &mut Cursor<'a>) -> Result<Document<'a>, Refusal> {
    const FIELD: &str = "messages.content.file.file_data";
    let (mut data, mut name) = (None, None);
    value.object(|key, _, value| {
        match key.plain().as_ref() {
            "file_data" => data = Some(value.string()?),
            "filename" => name = Some(string(value, "messages.content.file.filename")?),
            _ => return Err(unknown("messages.content.file.", key)),
        }
        Ok::<(), Refusal>(())
    })?;
    let url = data.ok_or(Refusal::MissingField(FIELD))?;
    media::document(url.raw(), name, FIELD)
}

fn tool_call<'a>(value: &mut Cursor<'a>) -> Result<ToolCall<'a>, Refusal> {
    let (mut id, mut name, mut arguments, mut signature) = (None, None, None, None);
    value.object(|key, _, value| {
        match key.plain().as_ref() {
            "id" => id = Some(string(value, "messages.tool_calls.id")?),
            "type" if string(value, "messages.tool_calls.type")?.raw() == "function" => {}
            "type" => return Err(Refusal::WrongType("messages.tool_calls.type", "function")),
            "index" => value.skip().map(drop)?,
            "function" => value.object(|key, _, value| {
                match key.plain().as_ref() {
                    "name" => name = Some(string(value, "messages.tool_calls.function.name")?),
                    "arguments" if value.kind()? == Kind::Object => {
                        arguments = Some(Arguments::Object(crate::conversation::Json::read(value)?));
                    }
                    "arguments" => arguments = Some(Arguments::Text(string(value, "messages.tool_calls.function.arguments")?)),
                    _ => return Err(unknown("messages.tool_calls.function.", key)),
                }
                Ok(())
            })?,
            "extra_content" => signature = thought_signature(value)?,
            _ => return Err(unknown("messages.tool_calls.", key)),
        }
        Ok(())
    })?;
    Ok(ToolCall {
        id: id.ok_or(Refusal::MissingField("messages.tool_calls.id"))?,
        name: name.ok_or(Refusal::MissingField("messages.tool_calls.function.name"))?,
        arguments: arguments.unwrap_or(Arguments::Text(Str::EMPTY)),
        signature,
    })
}

/// `{"google":{"thought_signature":…}}`, as Google's OpenAI-compatible endpoint sends it
/// (<https://ai.google.dev/gemini-api/docs/thought-signatures>).
pub(super) fn thought_signature<'a>(value: &mut Cursor<'a>) -> Result<Option<Str<'a>>, Refusal> {
    let mut signature = None;
    value.object(|key, _, value| {
        if !key.is("google") {
            return Ok(value.skip().map(drop)?);
        }
        value.object(|key, _, value| {
            if key.is("thought_signature") {
                signature = Some(string(value, "messages.tool_calls.extra_content")?);
            } else {
                value.skip()?;
            }
            Ok::<(), Refusal>(())
        })
    })?;
    Ok(signature)
}

/// `reasoning_details` in the form that OpenRouter's clients know
/// (<https://openrouter.ai/docs/guides/best-practices/reasoning-tokens>): the one way in this format for thoughts to come back with their signature.
fn thoughts<'a>(value: &mut Cursor<'a>) -> Result<Vec<Thinking<'a>>, Refusal> {
    let mut thoughts = Vec::new();
    value.array(|item| {
        let mut thought = Thinking::default();
        let mut data = None;
        item.object(|key, _, value| {
            if value.null()? {
                return Ok(());
            }
            match key.plain().as_ref() {
                "text" | "summary" => thought.text = Some(string(value, "messages.reasoning_details.text")?),
                "signature" => thought.signature = Some(string(value, "messages.reasoning_details.signature")?),
                "data" => data = Some(string(value, "messages.reasoning_details.data")?),
                "id" => thought.id = Some(string(value, "messages.reasoning_details.id")?),
                _ => value.skip().map(drop)?,
            }
            Ok::<(), Refusal>(())
        })?;
        if data.is_none() && thought.text.is_none() {
            thought.text = Some(Str::EMPTY);
        }
        if data.is_some() {
            thought = Thinking { id: thought.id, text: None, signature: data };
        }
        thoughts.push(thought);
        Ok::<(), Refusal>(())
    })?;
    Ok(thoughts)
}
