//! A chat completion, read and written.

use lethe_content::ContentBuf;

use super::message_read::answered;
use super::request_write::write_call;
use super::thoughts::write_details;
use crate::answer::count;
use crate::conversation::{Finish, Identity, Malformed, Part, PartKind, Reply, Str, Usage};
use crate::json::{Cursor, JsonError, Kind};
use crate::refusal::Refusal;
use crate::write::Writer;

/// Reads an answer with one choice.
///
/// # Errors
/// [`Malformed`] for what is none.
pub fn read_reply(body: &[u8]) -> Result<Reply<'_>, Malformed> {
    let mut cursor = Cursor::new(body)?;
    let mut reply = Reply { id: None, parts: Vec::new(), finish: Finish::Stop, usage: None };
    let mut choices = 0;
    cursor.object(|key, _, value| {
        match (key.raw(), value.kind()?) {
            ("id", Kind::String) => reply.id = Some(value.string()?.into()),
            ("usage", Kind::Object) => reply.usage = usage(value)?,
            ("choices", Kind::Array) => value.array(|item| {
                choices += 1;
                choice(item, &mut reply)
            })?,
            ("error", Kind::Object | Kind::String) => return Err(Malformed),
            _ => value.skip().map(drop)?,
        }
        Ok::<(), Malformed>(())
    })?;
    cursor.end()?;
    if choices == 1 { Ok(reply) } else { Err(Malformed) }
}

fn choice<'a>(item: &mut Cursor<'a>, reply: &mut Reply<'a>) -> Result<(), Malformed> {
    item.object(|key, _, value| {
        match (key.raw(), value.kind()?) {
            // What is wrong in an answer is the provider's doing, whatever the code for it in a request would be.
            ("message", Kind::Object) => reply.parts = answered(value).map_err(|_: Refusal| Malformed)?,
            ("finish_reason", Kind::String) => reply.finish = finish(value.string()?.raw()),
            _ => value.skip().map(drop)?,
        }
        Ok(())
    })
}

/// `finish_reason`; servers have some more words than the reference.
pub(super) fn finish(reason: &str) -> Finish<'static> {
    match reason {
        "length" | "max_tokens" => Finish::Length,
        "tool_calls" | "function_call" => Finish::ToolCalls,
        "content_filter" => Finish::ContentFilter,
        _ => Finish::Stop,
    }
}

/// The word for a reason.
pub(super) const fn finish_reason(finish: &Finish<'_>) -> &'static str {
    match finish {
        Finish::ContentFilter => "content_filter",
        Finish::Length => "length",
        Finish::ToolCalls => "tool_calls",
        Finish::Pause | Finish::Refusal | Finish::Stop | Finish::StopSequence(_) => "stop",
    }
}

/// Reads `usage`; `None` when it has no counts that can be believed.
pub(super) fn usage(value: &mut Cursor<'_>) -> Result<Option<Usage>, JsonError> {
    let (mut input, mut output) = (None, None);
    let mut usage = Usage::default();
    value.object(|key, _, value| {
        match (key.raw(), value.kind()?) {
            ("prompt_tokens", Kind::Number) => input = count(value)?,
            ("completion_tokens", Kind::Number) => output = count(value)?,
            // DeepSeek's name.
            ("prompt_cache_hit_tokens", Kind::Number) => usage.cached = count(value)?,
            ("prompt_tokens_details", Kind::Object) => value.object(|key, _, value| match (key.raw(), value.kind()?) {
                ("cached_tokens", Kind::Number) => {
                    usage.cached = count(value)?;
                    Ok(())
                }
                _ => value.skip().map(drop),
            })?,
            ("completion_tokens_details", Kind::Object) => value.object(|key, _, value| match (key.raw(), value.kind()?) {
                ("reasoning_tokens", Kind::Number) => {
                    usage.reasoning = count(value)?;
                    Ok(())
                }
                _ => value.skip().map(drop),
            })?,
            _ => value.skip().map(drop)?,
        }
        Ok::<(), JsonError>(())
    })?;
    Ok(input.map(|input| Usage { input, output: output.unwrap_or(0), ..usage }))
}

/// Writes an answer as a chat completion.
///
/// # Errors
/// [`Malformed`] for parts that no model answers with here (media, results).
pub fn write_reply(reply: &Reply<'_>, identity: &Identity, out: &mut ContentBuf) -> Result<(), Malformed> {
    Writer::new(out).try_object(|json| {
        json.key("id").strings(&["chatcmpl-", &identity.id]);
        json.constant("object", "chat.completion");
        json.key("created").number(identity.created);
        json.key("model").plain(&identity.model);
        json.key("choices").try_array(|json| {
            json.try_object(|json| {
                json.key("index").number(0);
                json.key("message").try_object(|json| message(json, &reply.parts))?;
                json.key("logprobs").null();
                json.constant("finish_reason", finish_reason(&reply.finish));
                Ok::<(), Malformed>(())
            })
        })?;
        if let Some(usage) = &reply.usage {
            json.key("usage").object(|json| write_usage(json, usage));
        }
        Ok(())
    })
}

fn message(json: &mut Writer<'_>, parts: &[Part<'_>]) -> Result<(), Malformed> {
    let (mut texts, mut refusals, mut thoughts, mut calls) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for part in parts {
        match &part.kind {
            PartKind::Text(text) => texts.push(text.raw()),
            PartKind::Refusal(text) => refusals.push(text.raw()),
            PartKind::Reasoning(thought) => thoughts.push(thought),
            PartKind::ToolCall(call) => calls.push(call),
            PartKind::Audio(_) | PartKind::Document(_) | PartKind::Image(_) | PartKind::ToolResult(_) => return Err(Malformed),
        }
    }
    json.constant("role", "assistant");
    match texts.as_slice() {
        [] => json.key("content").null(),
        texts => json.key("content").strings(texts),
    }
    match refusals.as_slice() {
        [] => json.key("refusal").null(),
        refusals => json.key("refusal").strings(refusals),
    }
    let thought: Vec<&str> = thoughts.iter().filter_map(|thought| thought.text.as_ref().map(Str::raw)).collect();
    if !thought.is_empty() {
        json.key("reasoning_content").strings(&thought);
    }
    if thoughts.iter().any(|thought| thought.signature.is_some()) {
        json.key("reasoning_details")
            .array(|json| thoughts.iter().zip(0..).for_each(|(thought, index)| write_details(json, thought, index)));
    }
    if !calls.is_empty() {
        json.key("tool_calls").array(|json| calls.iter().for_each(|call| write_call(json, call)));
    }
    Ok(())
}

pub(super) fn write_usage(json: &mut Writer<'_>, usage: &Usage) {
    json.key("prompt_tokens").number(usage.input.into());
    json.key("completion_tokens").number(usage.output.into());
    json.key("total_tokens").number(u64::from(usage.input) + u64::from(usage.output));
    json.key("prompt_tokens_details").object(|json| json.key("cached_tokens").number(usage.cached.unwrap_or(0).into()));
    json.key("completion_tokens_details").object(|json| json.key("reasoning_tokens").number(usage.reasoning.unwrap_or(0).into()));
}
