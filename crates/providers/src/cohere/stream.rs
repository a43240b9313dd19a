//! A stream of the chat API (<https://docs.cohere.com/v2/docs/streaming>), read into events.

use lethe_wire::conversation::{Event, Malformed, Str, StreamReader, Usage};
use lethe_wire::json::{Cursor, Kind};

use super::reply::{finish, usage};
use crate::read::{CALL_LIMIT, failure, said};

/// State of one stream.
#[derive(Default)]
pub struct Reader {
    /// The provider's number of each call that has begun.
    calls: Vec<u64>,
    done: bool,
}

/// What one event says: `delta` nests alike in all of them.
#[derive(Default)]
struct Step<'a> {
    kind: Option<Str<'a>>,
    index: Option<u64>,
    id: Option<Str<'a>>,
    text: Option<Str<'a>>,
    thought: Option<Str<'a>>,
    plan: Option<Str<'a>>,
    call: Option<Call<'a>>,
    reason: Option<Str<'a>>,
    usage: Option<Usage>,
    failed: Option<Str<'a>>,
}

#[derive(Default)]
struct Call<'a> {
    id: Option<Str<'a>>,
    name: Option<Str<'a>>,
    arguments: Option<Str<'a>>,
}

impl StreamReader for Reader {
    fn read(&mut self, _: &[u8], data: &[u8], sink: &mut dyn FnMut(Event<'_>)) -> Result<(), Malformed> {
        if data.trim_ascii() == b"[DONE]" {
            return Ok(());
        }
        let step = Step::read(data)?;
        match step.kind.as_ref().map(Str::raw) {
            Some("message-start") => sink(Event::Start { id: step.id }),
            Some("content-start" | "content-delta") => {
                // Thoughts of one answer are one block, as they are when it is sent back.
                if let Some(piece) = step.thought {
                    sink(Event::Reasoning { index: block(step.index)?, piece });
                }
                if let Some(piece) = step.text {
                    sink(Event::Text(piece));
                }
            }
            Some("tool-plan-delta") => {
                if let Some(piece) = step.plan {
                    sink(Event::Reasoning { index: 0, piece });
                }
            }
            Some("tool-call-start" | "tool-call-delta") => self.call(step.index, step.call.ok_or(Malformed)?, sink)?,
            Some("message-end") => {
                let reason = step.reason.as_ref().and_then(|reason| finish(reason.raw()));
                if let Some(usage) = step.usage {
                    sink(Event::Usage(usage));
                }
                match (step.failed, reason) {
                    (None, Some(reason)) => {
                        self.done = true;
                        sink(Event::Finish(reason));
                    }
                    (failed, _) => sink(Event::Error { message: failed.unwrap_or(Str::EMPTY) }),
                }
            }
            // An error object instead of an event.
            None => sink(Event::Error { message: failure(data) }),
            // Ends of blocks, citations of sources, and what may be added beside the content.
            Some(_) => {}
        }
        Ok(())
    }

    fn is_complete(&self) -> bool {
        self.done
    }

    fn has_ended(&self) -> bool {
        self.done
    }
}

fn block(index: Option<u64>) -> Result<u32, Malformed> {
    u32::try_from(index.unwrap_or(0)).map_err(|_| Malformed)
}

impl Reader {
    fn call(&mut self, index: Option<u64>, call: Call<'_>, sink: &mut dyn FnMut(Event<'_>)) -> Result<(), Malformed> {
        let number = index.unwrap_or(0);
        let known = self.calls.iter().position(|other| *other == number);
        let index = u32::try_from(known.unwrap_or(self.calls.len())).map_err(|_| Malformed)?;
        if known.is_none() {
            if self.calls.len() >= CALL_LIMIT {
                return Err(Malformed);
            }
            self.calls.push(number);
            sink(Event::ToolCall { index, id: call.id.ok_or(Malformed)?, name: call.name.ok_or(Malformed)?, signature: None });
        }
        if let Some(piece) = call.arguments {
            sink(Event::ToolArguments { index, piece });
        }
        Ok(())
    }
}

impl<'a> Step<'a> {
    fn read(data: &'a [u8]) -> Result<Self, Malformed> {
        let mut step = Self::default();
        let mut cursor = Cursor::new(data)?;
        cursor.object(|key, _, value| {
            match (key.raw(), value.kind()?) {
                ("type", Kind::String) => step.kind = Some(value.string()?.into()),
                ("index", Kind::Number) => step.index = Some(value.count()?),
                ("id", Kind::String) => step.id = Some(value.string()?.into()),
                ("delta", Kind::Object) => value.object(|key, _, value| step.delta(key.raw(), value))?,
                _ => drop(value.skip()?),
            }
            Ok::<(), Malformed>(())
        })?;
        cursor.end()?;
        Ok(step)
    }

    fn delta(&mut self, key: &str, value: &mut Cursor<'a>) -> Result<(), Malformed> {
        match (key, value.kind()?) {
            ("finish_reason", Kind::String) => self.reason = Some(value.string()?.into()),
            ("error", Kind::String) => self.failed = said(value)?,
            ("usage", Kind::Object) => self.usage = usage(value)?,
            ("message", Kind::Object) => value.object(|key, _, value| match (key.raw(), value.kind()?) {
                ("content", Kind::Object) => value.object(|key, _, value| {
                    match (key.raw(), value.kind()?) {
                        ("text", Kind::String) => self.text = said(value)?,
                        ("thinking", Kind::String) => self.thought = said(value)?,
                        _ => drop(value.skip()?),
                    }
                    Ok::<(), Malformed>(())
                }),
                ("tool_plan", Kind::String) => {
                    self.plan = said(value)?;
                    Ok(())
                }
                ("tool_calls", Kind::Object) => {
                    self.call = Some(call(value)?);
                    Ok(())
                }
                _ => Ok::<(), Malformed>(value.skip().map(drop)?),
            })?,
            _ => drop(value.skip()?),
        }
        Ok(())
    }
}

fn call<'a>(value: &mut Cursor<'a>) -> Result<Call<'a>, Malformed> {
    let mut call = Call::default();
    value.object(|key, _, value| {
        match (key.raw(), value.kind()?) {
            ("id", Kind::String) => call.id = Some(value.string()?.into()),
            ("function", Kind::Object) => value.object(|key, _, value| {
                match (key.raw(), value.kind()?) {
                    ("name", Kind::String) => call.name = said(value)?,
                    ("arguments", Kind::String) => call.arguments = said(value)?,
                    _ => drop(value.skip()?),
                }
                Ok::<(), Malformed>(())
            })?,
            _ => drop(value.skip()?),
        }
        Ok::<(), Malformed>(())
    })?;
    Ok(call)
}
