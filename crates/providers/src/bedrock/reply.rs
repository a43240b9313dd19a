//! An answer of the Converse API, read into the common form.

use lethe_wire::conversation::{Arguments, Finish, Json, Malformed, Part, PartKind, Reply, Thinking, ToolCall, Usage};
use lethe_wire::json::{Cursor, Kind};

use crate::read::{count, said};

/// Reads an answer.
///
/// # Errors
/// [`Malformed`] for what is none, and for one with content that no client's format has.
pub fn read_reply(body: &[u8]) -> Result<Reply<'_>, Malformed> {
    let mut cursor = Cursor::new(body)?;
    let (mut parts, mut reason, mut counted) = (None, None, None);
    cursor.object(|key, _, value| {
        match (key.raw(), value.kind()?) {
            ("output", Kind::Object) => value.object(|key, _, value| match (key.raw(), value.kind()?) {
                ("message", Kind::Object) => {
                    parts = Some(message(value)?);
                    Ok(())
                }
                _ => Ok::<(), Malformed>(value.skip().map(drop)?),
            })?,
            ("stopReason", Kind::String) => reason = Some(finish(value.string()?.raw())?),
            ("usage", Kind::Object) => counted = usage(value)?,
            _ => value.skip().map(drop)?,
        }
        Ok::<(), Malformed>(())
    })?;
    cursor.end()?;
    Ok(Reply { id: None, parts: parts.ok_or(Malformed)?, finish: reason.ok_or(Malformed)?, usage: counted })
}

fn message<'a>(value: &mut Cursor<'a>) -> Result<Vec<Part<'a>>, Malformed> {
    let mut parts = Vec::new();
    value.object(|key, _, value| match (key.raw(), value.kind()?) {
        ("content", Kind::Array) => value.array(|item| block(item, &mut parts)),
        _ => Ok(value.skip().map(drop)?),
    })?;
    Ok(parts)
}

fn block<'a>(item: &mut Cursor<'a>, parts: &mut Vec<Part<'a>>) -> Result<(), Malformed> {
    item.object(|key, _, value| {
        match (key.raw(), value.kind()?) {
            ("text", Kind::String) => parts.extend(said(value)?.map(|text| Part::from(PartKind::Text(text)))),
            ("toolUse", Kind::Object) => parts.push(PartKind::ToolCall(call(value)?).into()),
            ("reasoningContent", Kind::Object) => parts.push(PartKind::Reasoning(thought(value)?).into()),
            // Text with its sources: what was said is the text.
            ("citationsContent", Kind::Object) => value.object(|key, _, value| match (key.raw(), value.kind()?) {
                ("content", Kind::Array) => value.array(|item| block(item, parts)),
                _ => Ok(value.skip().map(drop)?),
            })?,
            _ => return Err(Malformed),
        }
        Ok(())
    })
}

fn call<'a>(value: &mut Cursor<'a>) -> Result<ToolCall<'a>, Malformed> {
    let (mut id, mut name, mut input) = (None, None, None);
    value.object(|key, _, value| {
        match (key.raw(), value.kind()?) {
            ("toolUseId", Kind::String) => id = Some(value.string()?.into()),
            ("name", Kind::String) => name = Some(value.string()?.into()),
            ("input", Kind::Object) => input = Some(Json::read(value)?),
            _ => value.skip().map(drop)?,
        }
        Ok::<(), Malformed>(())
    })?;
    Ok(ToolCall {
        id: id.ok_or(Malformed)?,
        name: name.ok_or(Malformed)?,
        arguments: Arguments::Object(input.unwrap_or(Json::EMPTY_OBJECT)),
        signature: None,
    })
}

fn thought<'a>(value: &mut Cursor<'a>) -> Result<Thinking<'a>, Malformed> {
    let mut thought = Thinking::default();
    value.object(|key, _, value| {
        match (key.raw(), value.kind()?) {
            ("redactedContent", Kind::String) => thought.signature = said(value)?,
            ("reasoningText", Kind::Object) => value.object(|key, _, value| {
                match (key.raw(), value.kind()?) {
                    ("text", Kind::String) => thought.text = Some(value.string()?.into()),
                    ("signature", Kind::String) => thought.signature = said(value)?,
                    _ => value.skip().map(drop)?,
                }
                Ok::<(), Malformed>(())
            })?,
            _ => value.skip().map(drop)?,
        }
        Ok::<(), Malformed>(())
    })?;
    Ok(thought)
}

/// `stopReason`. An answer that the service itself calls malformed is none.
pub(super) fn finish(reason: &str) -> Result<Finish<'static>, Malformed> {
    Ok(match reason {
        "content_filtered" | "guardrail_intervened" => Finish::ContentFilter,
        "malformed_model_output" | "malformed_tool_use" => return Err(Malformed),
        "max_tokens" | "model_context_window_exceeded" => Finish::Length,
        // Without words of the model, so that others would take it for a whole answer.
        "refusal" => Finish::ContentFilter,
        "stop_sequence" => Finish::StopSequence(None),
        "tool_use" => Finish::ToolCalls,
        _ => Finish::Stop,
    })
}

/// Reads `usage`, whose `inputTokens` are without those from and into a cache
/// (<https://docs.aws.amazon.com/bedrock/latest/userguide/prompt-caching.html>).
pub(super) fn usage(value: &mut Cursor<'_>) -> Result<Option<Usage>, Malformed> {
    let (mut input, mut output) = (None, None);
    let mut usage = Usage::default();
    value.object(|key, _, value| {
        match key.raw() {
            "inputTokens" => input = count(value)?,
            "outputTokens" => output = count(value)?,
            "cacheReadInputTokens" => usage.cached = count(value)?,
            "cacheWriteInputTokens" => usage.cache_written = count(value)?,
            _ => value.skip().map(drop)?,
        }
        Ok::<(), Malformed>(())
    })?;
    let all = [input, usage.cached, usage.cache_written].into_iter().flatten().map(u64::from).sum();
    Ok(input.zip(output).and_then(|(_, output)| Some(Usage { input: Usage::count(all)?, output, ..usage })))
}
