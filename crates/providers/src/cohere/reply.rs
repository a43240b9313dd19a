//! An answer of the chat API, read into the common form.

use lethe_wire::conversation::{Arguments, Finish, Malformed, Part, PartKind, Reply, Str, Thinking, ToolCall, Usage};
use lethe_wire::json::{Cursor, Kind};

use crate::read::{CALL_LIMIT, count, said};

/// Reads an answer.
///
/// # Errors
/// [`Malformed`] for what is none, and for one that broke off.
pub fn read_reply(body: &[u8]) -> Result<Reply<'_>, Malformed> {
    let mut cursor = Cursor::new(body)?;
    let (mut id, mut parts, mut reason, mut counted) = (None, None, None, None);
    cursor.object(|key, _, value| {
        match (key.raw(), value.kind()?) {
            ("id", Kind::String) => id = Some(Str::from(value.string()?)),
            ("message", Kind::Object) => parts = Some(message(value)?),
            ("finish_reason", Kind::String) => reason = Some(finish(value.string()?.raw()).ok_or(Malformed)?),
            ("usage", Kind::Object) => counted = usage(value)?,
            _ => drop(value.skip()?),
        }
        Ok::<(), Malformed>(())
    })?;
    cursor.end()?;
    Ok(Reply { id, parts: parts.ok_or(Malformed)?, finish: reason.ok_or(Malformed)?, usage: counted })
}

fn message<'a>(value: &mut Cursor<'a>) -> Result<Vec<Part<'a>>, Malformed> {
    let (mut plan, mut content, mut calls) = (None, Vec::new(), Vec::new());
    value.object(|key, _, value| {
        match (key.raw(), value.kind()?) {
            // A plan for the calls: what the model thinks before it makes them.
            ("tool_plan", Kind::String) => plan = said(value)?,
            ("content", Kind::Array) => value.array(|item| {
                content.extend(block(item)?);
                Ok::<(), Malformed>(())
            })?,
            ("content", Kind::String) => content.extend(said(value)?.map(PartKind::Text)),
            ("tool_calls", Kind::Array) => value.array(|item| {
                if calls.len() >= CALL_LIMIT {
                    return Err(Malformed);
                }
                calls.push(PartKind::ToolCall(call(item)?));
                Ok(())
            })?,
            _ => drop(value.skip()?),
        }
        Ok::<(), Malformed>(())
    })?;
    let plan = plan.map(|text| PartKind::Reasoning(Thinking { text: Some(text), ..Thinking::default() }));
    Ok(plan.into_iter().chain(content).chain(calls).map(Part::from).collect())
}

fn block<'a>(item: &mut Cursor<'a>) -> Result<Option<PartKind<'a>>, Malformed> {
    let mut part = None;
    item.object(|key, _, value| {
        match (key.raw(), value.kind()?) {
            ("text", Kind::String) => part = said(value)?.map(PartKind::Text),
            ("thinking", Kind::String) => {
                part = said(value)?.map(|text| PartKind::Reasoning(Thinking { text: Some(text), ..Thinking::default() }));
            }
            ("type", Kind::String) if !matches!(value.string()?.raw(), "text" | "thinking") => return Err(Malformed),
            ("type", Kind::String) => {}
            _ => drop(value.skip()?),
        }
        Ok(())
    })?;
    Ok(part)
}

fn call<'a>(item: &mut Cursor<'a>) -> Result<ToolCall<'a>, Malformed> {
    let (mut id, mut name, mut arguments) = (None, None, Str::EMPTY);
    item.object(|key, _, value| {
        match (key.raw(), value.kind()?) {
            ("id", Kind::String) => id = Some(value.string()?.into()),
            ("function", Kind::Object) => value.object(|key, _, value| {
                match (key.raw(), value.kind()?) {
                    ("name", Kind::String) => name = Some(value.string()?.into()),
                    ("arguments", Kind::String) => arguments = value.string()?.into(),
                    _ => drop(value.skip()?),
                }
                Ok::<(), Malformed>(())
            })?,
            _ => drop(value.skip()?),
        }
        Ok::<(), Malformed>(())
    })?;
    let arguments = Arguments::Text(arguments);
    Ok(ToolCall { id: id.ok_or(Malformed)?, name: name.ok_or(Malformed)?, arguments, signature: None })
}

/// `finish_reason`; `None` for an answer that broke off.
pub(super) fn finish(reason: &str) -> Option<Finish<'static>> {
    match reason {
        "ERROR" | "TIMEOUT" => None,
        "ERROR_TOXIC" => Some(Finish::ContentFilter),
        "ERROR_LIMIT" | "MAX_TOKENS" => Some(Finish::Length),
        "STOP_SEQUENCE" => Some(Finish::StopSequence(None)),
        "TOOL_CALL" => Some(Finish::ToolCalls),
        _ => Some(Finish::Stop),
    }
}

/// Reads `usage`. What is billed is less than what is processed: the model's own templates are free.
pub(super) fn usage(value: &mut Cursor<'_>) -> Result<Option<Usage>, Malformed> {
    let (mut tokens, mut billed, mut cached) = ((None, None), (None, None), None);
    value.object(|key, _, value| {
        let counts = match (key.raw(), value.kind()?) {
            ("tokens", Kind::Object) => &mut tokens,
            ("billed_units", Kind::Object) => &mut billed,
            ("cached_tokens", Kind::Number) => {
                cached = count(value)?;
                return Ok(());
            }
            _ => return Ok::<(), Malformed>(value.skip().map(drop)?),
        };
        value.object(|key, _, value| {
            match key.raw() {
                "input_tokens" => counts.0 = count(value)?,
                "output_tokens" => counts.1 = count(value)?,
                _ => drop(value.skip()?),
            }
            Ok::<(), Malformed>(())
        })
    })?;
    let counts = |(input, output): (Option<u32>, Option<u32>)| Some((input?, output.unwrap_or(0)));
    let counted = counts(tokens).or_else(|| counts(billed));
    Ok(counted.map(|(input, output)| Usage { input, output, cached, ..Usage::default() }))
}
