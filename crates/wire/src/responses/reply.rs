//! An answer that is not streamed.

use std::borrow::Cow;

use lethe_content::ContentBuf;

use super::Echo;
use super::output::{Item, ItemKind, Response, Said, State, incomplete};
use super::value::{Fields, Value};
use crate::conversation::{
    Arguments, Finish, Identity, Malformed, Part, PartKind, Reply, Str, Thinking, ToolCall, Usage, Wanted,
};
use crate::write::Writer;

/// Reads an answer.
///
/// # Errors
/// [`Malformed`] for what is no answer of this API, has failed, or says something that a conversation has no place for.
pub fn read_reply(body: &[u8]) -> Result<Reply<'_>, Malformed> {
    let mut fields = Value::whole(body)?.fields().ok_or(Malformed)?;
    let id = fields.take("id").and_then(Value::string);
    let mut parts = Vec::new();
    for item in fields.take("output").and_then(Value::list).ok_or(Malformed)? {
        read_item(item.fields().ok_or(Malformed)?, &mut parts)?;
    }
    let finish = finish(&mut fields, implied(&parts))?;
    Ok(Reply { id, parts, finish, usage: usage(&mut fields) })
}

/// Reads an item of an answer into parts of it.
///
/// # Errors
/// [`Malformed`] for an item that no conversation has a place for.
pub(super) fn read_item<'a>(mut item: Fields<'a>, parts: &mut Vec<Part<'a>>) -> Result<(), Malformed> {
    let mut text = |name: &str| item.take(name).and_then(Value::string);
    match text("type").ok_or(Malformed)?.raw() {
        "function_call" => {
            let arguments = Arguments::Text(text("arguments").unwrap_or(Str::EMPTY));
            let (id, name) = (text("call_id").ok_or(Malformed)?, text("name").ok_or(Malformed)?);
            parts.push(PartKind::ToolCall(ToolCall { id, name, arguments, signature: None }).into());
        }
        "message" => {
            for part in item.take("content").and_then(Value::list).ok_or(Malformed)? {
                let mut part = part.fields().ok_or(Malformed)?;
                let mut text = |name: &str| part.take(name).and_then(Value::string);
                parts.push(match text("type").ok_or(Malformed)?.raw() {
                    "output_text" => PartKind::Text(text("text").ok_or(Malformed)?).into(),
                    "refusal" => PartKind::Refusal(text("refusal").ok_or(Malformed)?).into(),
                    _ => return Err(Malformed),
                });
            }
        }
        "reasoning" => {
            let (id, signature) = (text("id"), text("encrypted_content"));
            let text = thoughts(&mut item);
            // One that shows nothing and proves nothing is no thought.
            if text.is_some() || signature.is_some() {
                parts.push(PartKind::Reasoning(Thinking { id, text, signature }).into());
            }
        }
        _ => return Err(Malformed),
    }
    Ok(())
}

/// The texts of a reasoning item in one.
fn thoughts<'a>(item: &mut Fields<'a>) -> Option<Str<'a>> {
    let lists = ["summary", "content"].map(|name| item.take(name).and_then(Value::list).unwrap_or_default());
    let texts = lists.into_iter().flatten().filter_map(|part| part.fields()?.take("text")?.string());
    let mut all = String::new();
    for text in texts.filter(|text| !text.is_empty()) {
        all.push_str(if all.is_empty() { "" } else { "\\n\\n" });
        all.push_str(text.raw());
    }
    (!all.is_empty()).then(|| Str::escaped(all))
}

/// What ended an answer, from the fields of its response object; `implied` by what it says, if it came to its end.
///
/// # Errors
/// [`Malformed`] for one that has not ended.
pub(super) fn finish(fields: &mut Fields<'_>, implied: Finish<'static>) -> Result<Finish<'static>, Malformed> {
    let mut details = fields.take("incomplete_details").and_then(Value::fields);
    let reason = details.as_mut().and_then(|details| details.take("reason")?.string());
    let status = fields.take("status").and_then(Value::string);
    match (status.as_ref().map(Str::raw), reason.as_ref().map(Str::raw)) {
        (Some("completed") | None, _) => Ok(implied),
        (Some("incomplete"), Some("content_filter")) => Ok(Finish::ContentFilter),
        (Some("incomplete"), _) => Ok(Finish::Length),
        _ => Err(Malformed),
    }
}

/// Tokens, from the fields of a response object.
pub(super) fn usage(fields: &mut Fields<'_>) -> Option<Usage> {
    let mut usage = fields.take("usage")?.fields()?;
    let count = |fields: &mut Fields<'_>, name: &str| Usage::count(fields.take(name)?.count()?);
    let mut input = usage.take("input_tokens_details").and_then(Value::fields);
    let mut output = usage.take("output_tokens_details").and_then(Value::fields);
    Some(Usage {
        input: count(&mut usage, "input_tokens")?,
        cached: input.as_mut().and_then(|details| count(details, "cached_tokens")),
        cache_written: input.as_mut().and_then(|details| count(details, "cache_write_tokens")),
        output: count(&mut usage, "output_tokens")?,
        reasoning: output.as_mut().and_then(|details| count(details, "reasoning_tokens")),
    })
}

/// What the parts of an answer say of its end.
fn implied(parts: &[Part<'_>]) -> Finish<'static> {
    let any = |is: fn(&PartKind<'_>) -> bool| parts.iter().any(|part| is(&part.kind));
    match () {
        () if any(|kind| matches!(kind, PartKind::ToolCall(_))) => Finish::ToolCalls,
        () if any(|kind| matches!(kind, PartKind::Refusal(_))) => Finish::Refusal,
        () => Finish::Stop,
    }
}

/// Writes an answer; `echo` is what it repeats of its request.
///
/// # Errors
/// [`Malformed`] for an answer with something that this API cannot say.
pub fn write_reply(
    reply: &Reply<'_>,
    identity: &Identity,
    wanted: Wanted,
    echo: &Echo,
    out: &mut ContentBuf,
) -> Result<(), Malformed> {
    let mut items = Vec::new();
    for part in &reply.parts {
        items_of(part, wanted, &mut items)?;
    }
    if incomplete(&reply.finish).is_some()
        && let Some(last) = items.last_mut()
    {
        last.cut = true;
    }
    let state = State::Ended(&reply.finish);
    Response { identity, echo, state, output: &items, usage: reply.usage.as_ref() }.write(&mut Writer::new(out));
    Ok(())
}

fn items_of<'a>(part: &'a Part<'_>, wanted: Wanted, items: &mut Vec<Item<'a>>) -> Result<(), Malformed> {
    let proof = |signature: &'a Option<Str<'_>>| {
        signature.as_ref().filter(|_| wanted.encrypted_reasoning).map(|signature| Cow::Borrowed(signature.raw()))
    };
    match &part.kind {
        PartKind::Reasoning(thinking) => {
            let (text, signature) = (thinking.text.as_ref().map_or("", Str::raw), proof(&thinking.signature));
            if !text.is_empty() || signature.is_some() {
                items.push(Item::new(ItemKind::Reasoning { text: text.into(), signature, of_call: false }));
            }
        }
        PartKind::Refusal(text) => say(Said { refusal: true, text: text.raw().into() }, items),
        PartKind::Text(text) => say(Said { refusal: false, text: text.raw().into() }, items),
        PartKind::ToolCall(call) => {
            if let Some(signature) = proof(&call.signature) {
                items.push(Item::new(ItemKind::Reasoning { text: "".into(), signature: Some(signature), of_call: true }));
            }
            let arguments = match &call.arguments {
                Arguments::Object(json) => Str::of(json.raw()).raw().to_owned().into(),
                Arguments::Text(text) if text.is_empty() => Cow::Borrowed("{}"),
                Arguments::Text(text) => Cow::Borrowed(text.raw()),
            };
            let (id, name) = (call.id.raw().into(), call.name.raw().into());
            items.push(Item::new(ItemKind::Call { id, name, arguments }));
        }
        PartKind::Audio(_) | PartKind::Document(_) | PartKind::Image(_) | PartKind::ToolResult(_) => return Err(Malformed),
    }
    Ok(())
}

/// Adds to the message that the answer is at, or begins one.
fn say<'a>(said: Said<'a>, items: &mut Vec<Item<'a>>) {
    match items.last_mut() {
        Some(Item { kind: ItemKind::Message(parts), .. }) => parts.push(said),
        _ => items.push(Item::new(ItemKind::Message(vec![said]))),
    }
}
