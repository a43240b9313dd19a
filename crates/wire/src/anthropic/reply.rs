//! A message that a model answers with, read and written.

use lethe_content::ContentBuf;

use super::fields::Fields;
use super::marks;
use super::usage::{Counts, write_usage};
use crate::conversation::{Arguments, Finish, Identity, Malformed, Part, PartKind, Reply, Str, Thinking, ToolCall};
use crate::json::{Cursor, Kind};
use crate::refusal::Refusal;
use crate::write::Writer;

/// What the end of an answer says.
#[derive(Default)]
pub(super) struct End<'a> {
    reason: Option<Str<'a>>,
    sequence: Option<Str<'a>>,
    /// Why the model refused.
    pub(super) explanation: Option<Str<'a>>,
}

impl<'a> End<'a> {
    /// Reads the member `key`, if it is one of the end's.
    pub(super) fn read(&mut self, key: &str, value: &mut Cursor<'a>) -> Result<(), Malformed> {
        match (key, value.kind()?) {
            ("stop_reason", Kind::String) => self.reason = Some(value.string()?.into()),
            ("stop_sequence", Kind::String) => self.sequence = Some(value.string()?.into()),
            ("stop_details", Kind::Object) => value.object(|key, _, value| match (key.raw(), value.kind()?) {
                ("explanation", Kind::String) => {
                    self.explanation = Some(value.string()?.into());
                    Ok(())
                }
                _ => Ok::<(), Malformed>(value.skip().map(drop)?),
            })?,
            _ => value.skip().map(drop)?,
        }
        Ok(())
    }

    /// The reason, where there is one.
    ///
    /// # Errors
    /// [`Malformed`] for one that is not known: it could say that the answer is not whole.
    pub(super) fn finish(&self) -> Result<Option<Finish<'_>>, Malformed> {
        let Some(reason) = &self.reason else { return Ok(None) };
        Ok(Some(match reason.raw() {
            "end_turn" => Finish::Stop,
            "max_tokens" | "model_context_window_exceeded" => Finish::Length,
            "pause_turn" => Finish::Pause,
            // Classifiers stop an answer under the same name: without the model's own words others would take it for a whole one.
            "refusal" if self.explanation.is_none() => Finish::ContentFilter,
            "refusal" => Finish::Refusal,
            "stop_sequence" => Finish::StopSequence(self.sequence.as_ref().map(Str::borrowed)),
            "tool_use" => Finish::ToolCalls,
            _ => return Err(Malformed),
        }))
    }
}

/// Reads an answer.
///
/// # Errors
/// [`Malformed`] for what is none, and for blocks that have no place in another format.
pub fn read_reply(body: &[u8]) -> Result<Reply<'_>, Malformed> {
    let mut cursor = Cursor::new(body)?;
    let (mut id, mut parts, mut counts, mut end) = (None, None, Counts::default(), End::default());
    cursor.object(|key, _, value| {
        match (key.raw(), value.kind()?) {
            ("id", Kind::String) => id = Some(value.string()?.into()),
            ("type", Kind::String) if !value.string()?.is("message") => return Err(Malformed),
            ("type", Kind::String) => {}
            ("content", Kind::Array) => {
                let mut said = Vec::new();
                value.array(|item| {
                    // What is wrong in an answer is the provider's doing, whatever the code for it in a request would be.
                    said.push(block(item).map_err(|_: Refusal| Malformed)?.into());
                    Ok::<(), Malformed>(())
                })?;
                parts = Some(said);
            }
            ("usage", Kind::Object) => counts.read(value)?,
            (key, _) => end.read(key, value)?,
        }
        Ok(())
    })?;
    cursor.end()?;
    let finish = end.finish()?.ok_or(Malformed)?.into_owned();
    let mut parts: Vec<Part<'_>> = parts.ok_or(Malformed)?;
    parts.extend(end.explanation.map(|text| Part::from(PartKind::Refusal(text))));
    Ok(Reply { id, parts, finish, usage: counts.usage() })
}

/// Reads a block of an answer.
fn block<'a>(value: &mut Cursor<'a>) -> Result<PartKind<'a>, Refusal> {
    let mut fields = Fields::read(value, "content.")?;
    let part = match fields.required("type", "content.type")?.raw() {
        "text" => PartKind::Text(fields.required("text", "content.text")?),
        "thinking" => PartKind::Reasoning(Thinking {
            id: None,
            text: Some(fields.required("thinking", "content.thinking")?),
            signature: fields.string("signature", "content.signature")?.filter(|signature| !signature.is_empty()),
        }),
        "redacted_thinking" => {
            let data = marks::redacted(&fields.required("data", "content.data")?);
            PartKind::Reasoning(Thinking { id: None, text: None, signature: Some(data) })
        }
        "tool_use" => {
            fields.ignore("caller");
            PartKind::ToolCall(ToolCall {
                id: fields.required("id", "content.id")?,
                name: fields.required("name", "content.name")?,
                arguments: Arguments::Object(
                    fields.object("input", "content.input")?.ok_or(Refusal::MissingField("content.input"))?,
                ),
                signature: None,
            })
        }
        _ => return Err(Refusal::WrongType("content.type", "a documented type of block")),
    };
    // Citations of nothing.
    fields.value("citations", |value| value.array(|_| Err(Refusal::WrongType("content.citations", "none"))))?;
    fields.end()?;
    Ok(part)
}

/// Writes an answer as a message.
///
/// # Errors
/// [`Malformed`] for parts that no model answers with here (media, results), and for calls whose arguments are no object.
pub fn write_reply(reply: &Reply<'_>, identity: &Identity, out: &mut ContentBuf) -> Result<(), Malformed> {
    Writer::new(out).try_object(|json| {
        write_head(json, identity);
        json.key("content").try_array(|json| reply.parts.iter().try_for_each(|part| write_block(json, part)))?;
        let has = |kind: fn(&PartKind<'_>) -> bool| reply.parts.iter().any(|part| kind(&part.kind));
        let (calls, refuses) =
            (has(|part| matches!(part, PartKind::ToolCall(_))), has(|part| matches!(part, PartKind::Refusal(_))));
        write_end(json, &reply.finish, calls, refuses);
        json.key("usage").object(|json| write_usage(json, &reply.usage.unwrap_or_default()));
        Ok(())
    })
}

/// The members before `content`.
pub(super) fn write_head(json: &mut Writer<'_>, identity: &Identity) {
    json.key("id").strings(&["msg_", &identity.id]);
    json.constant("type", "message");
    json.constant("role", "assistant");
    json.key("model").plain(&identity.model);
}

/// `stop_reason` and `stop_sequence`. Some providers end with a plain stop where the model called a function or refused.
pub(super) fn write_end(json: &mut Writer<'_>, finish: &Finish<'_>, calls: bool, refuses: bool) {
    let (reason, sequence) = match finish {
        Finish::ContentFilter | Finish::Refusal => ("refusal", None),
        Finish::Length => ("max_tokens", None),
        Finish::Pause => ("pause_turn", None),
        Finish::Stop if calls => ("tool_use", None),
        Finish::Stop if refuses => ("refusal", None),
        Finish::Stop => ("end_turn", None),
        Finish::StopSequence(sequence) => ("stop_sequence", sequence.as_ref()),
        Finish::ToolCalls => ("tool_use", None),
    };
    json.constant("stop_reason", reason);
    match sequence {
        Some(sequence) => json.member("stop_sequence", sequence),
        None => json.key("stop_sequence").null(),
    }
}

fn write_block(json: &mut Writer<'_>, part: &Part<'_>) -> Result<(), Malformed> {
    match &part.kind {
        PartKind::Text(text) | PartKind::Refusal(text) => json.object(|json| {
            json.constant("type", "text");
            json.member("text", text);
        }),
        PartKind::Reasoning(thought) => json.object(|json| match (&thought.text, &thought.signature) {
            (None, Some(data)) => {
                json.constant("type", "redacted_thinking");
                json.member("data", &marks::unredacted(data).unwrap_or_else(|| data.borrowed()));
            }
            (text, signature) => {
                json.constant("type", "thinking");
                json.member("thinking", text.as_ref().unwrap_or(&Str::EMPTY));
                json.member("signature", signature.as_ref().unwrap_or(&Str::EMPTY));
            }
        }),
        PartKind::ToolCall(call) => {
            let input = call.arguments.object("arguments").map_err(|_: Refusal| Malformed)?;
            if let Some(signature) = &call.signature {
                json.object(|json| write_signature(json, signature));
            }
            json.object(|json| {
                json.constant("type", "tool_use");
                json.member("id", &call.id);
                json.member("name", &call.name);
                json.key("input").json(&input);
            });
        }
        PartKind::Audio(_) | PartKind::Document(_) | PartKind::Image(_) | PartKind::ToolResult(_) => return Err(Malformed),
    }
    Ok(())
}

/// The block before a call that carries its signature.
pub(super) fn write_signature(json: &mut Writer<'_>, signature: &Str<'_>) {
    json.constant("type", "redacted_thinking");
    json.key("data").strings(&marks::of_the_call(signature));
}
