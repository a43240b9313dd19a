//! A streamed chat completion, read into events.

use super::message_read::{thinking, thought_signature};
use super::reply::{finish, usage};
use crate::conversation::{Event, Malformed, Str, StreamReader};
use crate::json::{Cursor, Kind};
use crate::refusal::Refusal;

/// More calls than a model makes at once.
const CALL_LIMIT: usize = 1024;

/// State of one stream.
#[derive(Default)]
pub struct Reader {
    started: bool,
    /// The provider's number of each call that has begun.
    calls: Vec<u64>,
    /// How many blocks of encrypted thoughts have come.
    encrypted: u32,
    finished: bool,
    done: bool,
}

/// What one piece of a call says.
#[derive(Default)]
struct CallDelta<'a> {
    index: Option<u64>,
    id: Option<Str<'a>>,
    name: Option<Str<'a>>,
    arguments: Option<Str<'a>>,
    signature: Option<Str<'a>>,
}

impl StreamReader for Reader {
    fn read(&mut self, _: &[u8], data: &[u8], sink: &mut dyn FnMut(Event<'_>)) -> Result<(), Malformed> {
        if data.trim_ascii() == b"[DONE]" {
            self.done = true;
            return Ok(());
        }
        let mut cursor = Cursor::new(data)?;
        let mut counted = None;
        let mut failure = None;
        let mut id = None;
        let mut choices = None;
        cursor.object(|key, _, value| {
            match (key.raw(), value.kind()?) {
                ("id", Kind::String) => id = Some(Str::from(value.string()?)),
                ("usage", Kind::Object) => counted = usage(value)?,
                ("error", Kind::Object | Kind::String) => {
                    let span = value.skip()?;
                    failure = Some(crate::error::message(value.text(span).as_bytes()).map_or(Str::EMPTY, Str::into_owned));
                }
                ("choices", Kind::Array) => choices = Some(value.skip()?),
                _ => value.skip().map(drop)?,
            }
            Ok::<(), Malformed>(())
        })?;
        cursor.end()?;
        if let Some(message) = failure {
            sink(Event::Error { message });
            return Ok(());
        }
        if !self.started {
            self.started = true;
            sink(Event::Start { id });
        }
        if let Some(span) = choices {
            let mut choices = Cursor::new(&data[span])?;
            choices.array(|item| self.choice(item, sink))?;
        }
        if let Some(usage) = counted {
            sink(Event::Usage(usage));
        }
        Ok(())
    }

    fn is_complete(&self) -> bool {
        // Some servers leave the last line out; a finish reason and a proper end of the body say the same.
        self.done || self.finished
    }

    fn has_ended(&self) -> bool {
        self.done
    }
}

impl Reader {
    fn choice(&mut self, item: &mut Cursor<'_>, sink: &mut dyn FnMut(Event<'_>)) -> Result<(), Malformed> {
        let mut reason = None;
        item.object(|key, _, value| {
            match (key.raw(), value.kind()?) {
                // One answer was asked for.
                ("index", Kind::Number) if value.count().is_ok_and(|index| index == 0) => {}
                ("index", Kind::Number) => return Err(Malformed),
                ("finish_reason", Kind::String) => reason = Some(finish(value.string()?.raw())),
                ("delta", Kind::Object) => self.delta(value, sink)?,
                _ => value.skip().map(drop)?,
            }
            Ok(())
        })?;
        if let Some(reason) = reason {
            self.finished = true;
            sink(Event::Finish(reason));
        }
        Ok(())
    }

    fn delta(&mut self, value: &mut Cursor<'_>, sink: &mut dyn FnMut(Event<'_>)) -> Result<(), Malformed> {
        value.object(|key, _, value| {
            match (key.raw(), value.kind()?) {
                ("content", Kind::String) => said(value, &mut |piece| sink(Event::Text(piece)))?,
                ("content", Kind::Array) => value.array(|part| content(part, sink))?,
                ("refusal", Kind::String) => said(value, &mut |piece| sink(Event::Refusal(piece)))?,
                ("reasoning" | "reasoning_content", Kind::String) => {
                    said(value, &mut |piece| sink(Event::Reasoning { index: 0, piece }))?;
                }
                ("reasoning_details", Kind::Array) => value.array(|item| self.proof(item, sink))?,
                ("tool_calls", Kind::Array) => value.array(|item| {
                    let call = call(item)?;
                    self.call(call, sink)
                })?,
                _ => value.skip().map(drop)?,
            }
            Ok::<(), Malformed>(())
        })
    }

    /// Signatures and encrypted thoughts (<https://openrouter.ai/docs/use-cases/reasoning-tokens>); their text stands beside them as well.
    fn proof(&mut self, item: &mut Cursor<'_>, sink: &mut dyn FnMut(Event<'_>)) -> Result<(), Malformed> {
        let (mut data, mut signature) = (None, None);
        item.object(|key, _, value| {
            match (key.raw(), value.kind()?) {
                ("data", Kind::String) => data = Some(Str::from(value.string()?)),
                ("signature", Kind::String) => signature = Some(Str::from(value.string()?)),
                _ => value.skip().map(drop)?,
            }
            Ok::<(), Malformed>(())
        })?;
        if let Some(signature) = signature.filter(|text| !text.is_empty()) {
            sink(Event::ReasoningSignature { index: 0, signature });
        }
        if let Some(signature) = data.filter(|text| !text.is_empty()) {
            // Thoughts of their own: the numbers of others' items say nothing here.
            self.encrypted += 1;
            sink(Event::ReasoningSignature { index: self.encrypted, signature });
        }
        Ok(())
    }

    fn call(&mut self, call: CallDelta<'_>, sink: &mut dyn FnMut(Event<'_>)) -> Result<(), Malformed> {
        // Servers that send each call whole leave its number out.
        let number = match (call.index, &call.id) {
            (Some(index), _) => index,
            (None, Some(_)) => self.calls.last().map_or(0, |last| last + 1),
            (None, None) => *self.calls.last().ok_or(Malformed)?,
        };
        let known = self.calls.iter().position(|other| *other == number);
        let at = known.unwrap_or(self.calls.len());
        let index = u32::try_from(at).map_err(|_| Malformed)?;
        if known.is_none() {
            if self.calls.len() >= CALL_LIMIT {
                return Err(Malformed);
            }
            self.calls.push(number);
            let id = call.id.filter(|id| !id.is_empty()).unwrap_or_else(|| Str::of(&format!("call_{index}")));
            sink(Event::ToolCall { index, id, name: call.name.ok_or(Malformed)?, signature: call.signature });
        }
        if let Some(piece) = call.arguments.filter(|piece| !piece.is_empty()) {
            sink(Event::ToolArguments { index, piece });
        }
        Ok(())
    }
}

/// A part of what is said, where that comes in parts (Mistral's models that think).
fn content(part: &mut Cursor<'_>, sink: &mut dyn FnMut(Event<'_>)) -> Result<(), Malformed> {
    part.object(|key, _, value| {
        match (key.raw(), value.kind()?) {
            ("text", Kind::String) => said(value, &mut |piece| sink(Event::Text(piece)))?,
            ("thinking", _) => {
                let piece = thinking(value).map_err(|_: Refusal| Malformed)?;
                if !piece.is_empty() {
                    sink(Event::Reasoning { index: 0, piece });
                }
            }
            _ => value.skip().map(drop)?,
        }
        Ok(())
    })
}

fn said<'a>(value: &mut Cursor<'a>, sink: &mut dyn FnMut(Str<'a>)) -> Result<(), Malformed> {
    let piece = Str::from(value.string()?);
    if !piece.is_empty() {
        sink(piece);
    }
    Ok(())
}

fn call<'a>(item: &mut Cursor<'a>) -> Result<CallDelta<'a>, Malformed> {
    let mut call = CallDelta::default();
    item.object(|key, _, value| {
        match (key.raw(), value.kind()?) {
            ("index", Kind::Number) => call.index = Some(value.count()?),
            ("id", Kind::String) => call.id = Some(value.string()?.into()),
            ("extra_content", Kind::Object) => call.signature = thought_signature(value).map_err(|_: Refusal| Malformed)?,
            ("function", Kind::Object) => value.object(|key, _, value| {
                match (key.raw(), value.kind()?) {
                    ("name", Kind::String) => call.name = Some(value.string()?.into()),
                    ("arguments", Kind::String) => call.arguments = Some(value.string()?.into()),
                    ("arguments", Kind::Object) => {
                        let span = value.skip()?;
                        call.arguments = Some(Str::of(value.text(span)));
                    }
                    _ => value.skip().map(drop)?,
                }
                Ok::<(), Malformed>(())
            })?,
            _ => value.skip().map(drop)?,
        }
        Ok::<(), Malformed>(())
    })?;
    Ok(call)
}
