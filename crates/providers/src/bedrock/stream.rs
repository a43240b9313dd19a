//! A stream of the Converse API (<https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_ConverseStreamOutput.html>), read into events.

use lethe_wire::conversation::{Event, Malformed, Str, StreamReader};
use lethe_wire::json::{Cursor, Kind};

use super::reply::{finish, usage};
use crate::read::{CALL_LIMIT, failure, said};

/// State of one stream.
#[derive(Default)]
pub struct Reader {
    /// The block of each call that has begun.
    calls: Vec<u64>,
    finished: bool,
    done: bool,
}

/// What is said of a block.
enum Said<'a> {
    Arguments(Str<'a>),
    Call { id: Str<'a>, name: Str<'a> },
    Signature(Str<'a>),
    Text(Str<'a>),
    Thought(Str<'a>),
}

impl StreamReader for Reader {
    fn read(&mut self, name: &[u8], data: &[u8], sink: &mut dyn FnMut(Event<'_>)) -> Result<(), Malformed> {
        match name {
            b"messageStart" => sink(Event::Start { id: None }),
            b"contentBlockStart" | b"contentBlockDelta" => self.block(data, sink)?,
            b"messageStop" => {
                self.finished = true;
                sink(Event::Finish(stop_reason(data)?));
            }
            b"metadata" => {
                // It comes last, and only behind an end.
                self.done = self.finished;
                let mut cursor = Cursor::new(data)?;
                let mut counted = None;
                cursor.object(|key, _, value| {
                    match (key.raw(), value.kind()?) {
                        ("usage", Kind::Object) => counted = usage(value)?,
                        _ => drop(value.skip()?),
                    }
                    Ok::<(), Malformed>(())
                })?;
                cursor.end()?;
                if let Some(usage) = counted {
                    sink(Event::Usage(usage));
                }
            }
            // A failure that the API does not describe: its words stand in a header.
            b"error" => {
                let message = std::str::from_utf8(data).map_or(Str::EMPTY, Str::of);
                sink(Event::Error { message });
            }
            exception if exception.ends_with(b"Exception") => sink(Event::Error { message: failure(data) }),
            // The end of a block, and what may be added: no content comes but in the blocks above.
            _ => {}
        }
        Ok(())
    }

    fn is_complete(&self) -> bool {
        self.finished
    }

    fn has_ended(&self) -> bool {
        self.done
    }
}

impl Reader {
    fn block(&mut self, data: &[u8], sink: &mut dyn FnMut(Event<'_>)) -> Result<(), Malformed> {
        let mut cursor = Cursor::new(data)?;
        let (mut index, mut parts) = (None, Vec::new());
        cursor.object(|key, _, value| {
            match (key.raw(), value.kind()?) {
                ("contentBlockIndex", Kind::Number) => index = Some(value.count()?),
                ("start", Kind::Object) => value.object(|key, _, value| start(key.raw(), value, &mut parts))?,
                ("delta", Kind::Object) => value.object(|key, _, value| delta(key.raw(), value, &mut parts))?,
                _ => drop(value.skip()?),
            }
            Ok::<(), Malformed>(())
        })?;
        cursor.end()?;
        let block = index.ok_or(Malformed)?;
        parts.into_iter().try_for_each(|said| self.say(block, said, sink))
    }

    fn say(&mut self, block: u64, said: Said<'_>, sink: &mut dyn FnMut(Event<'_>)) -> Result<(), Malformed> {
        let index = u32::try_from(block).map_err(|_| Malformed)?;
        match said {
            Said::Arguments(piece) => sink(Event::ToolArguments { index: self.number(block)?, piece }),
            Said::Call { id, name } => {
                if self.calls.len() >= CALL_LIMIT || self.calls.contains(&block) {
                    return Err(Malformed);
                }
                self.calls.push(block);
                sink(Event::ToolCall { index: self.number(block)?, id, name, signature: None });
            }
            Said::Signature(signature) => sink(Event::ReasoningSignature { index, signature }),
            Said::Text(piece) => sink(Event::Text(piece)),
            Said::Thought(piece) => sink(Event::Reasoning { index, piece }),
        }
        Ok(())
    }

    /// Number of the call whose block this is.
    fn number(&self, block: u64) -> Result<u32, Malformed> {
        let at = self.calls.iter().position(|other| *other == block).ok_or(Malformed)?;
        u32::try_from(at).map_err(|_| Malformed)
    }
}

fn start<'a>(key: &str, value: &mut Cursor<'a>, parts: &mut Vec<Said<'a>>) -> Result<(), Malformed> {
    match (key, value.kind()?) {
        ("toolUse", Kind::Object) => {
            let (mut id, mut name) = (None, None);
            value.object(|key, _, value| {
                match (key.raw(), value.kind()?) {
                    ("toolUseId", Kind::String) => id = Some(value.string()?.into()),
                    ("name", Kind::String) => name = Some(value.string()?.into()),
                    _ => drop(value.skip()?),
                }
                Ok::<(), Malformed>(())
            })?;
            parts.push(Said::Call { id: id.ok_or(Malformed)?, name: name.ok_or(Malformed)? });
            Ok(())
        }
        // Pictures and results of the service's own tools: no client's format has a place for them.
        ("image" | "toolResult", _) => Err(Malformed),
        _ => Ok(value.skip().map(drop)?),
    }
}

fn delta<'a>(key: &str, value: &mut Cursor<'a>, parts: &mut Vec<Said<'a>>) -> Result<(), Malformed> {
    match (key, value.kind()?) {
        ("text", Kind::String) => parts.extend(said(value)?.map(Said::Text)),
        ("toolUse", Kind::Object) => value.object(|key, _, value| match (key.raw(), value.kind()?) {
            ("input", Kind::String) => {
                parts.extend(said(value)?.map(Said::Arguments));
                Ok(())
            }
            _ => Ok::<(), Malformed>(value.skip().map(drop)?),
        })?,
        ("reasoningContent", Kind::Object) => value.object(|key, _, value| {
            match (key.raw(), value.kind()?) {
                ("text", Kind::String) => parts.extend(said(value)?.map(Said::Thought)),
                ("signature" | "redactedContent", Kind::String) => parts.extend(said(value)?.map(Said::Signature)),
                _ => drop(value.skip()?),
            }
            Ok::<(), Malformed>(())
        })?,
        // Sources of a text that comes by itself.
        ("citation", _) => drop(value.skip()?),
        _ => return Err(Malformed),
    }
    Ok(())
}

fn stop_reason(data: &[u8]) -> Result<lethe_wire::conversation::Finish<'static>, Malformed> {
    let mut cursor = Cursor::new(data)?;
    let mut reason = None;
    cursor.object(|key, _, value| {
        match (key.raw(), value.kind()?) {
            ("stopReason", Kind::String) => reason = Some(finish(value.string()?.raw())?),
            _ => drop(value.skip()?),
        }
        Ok::<(), Malformed>(())
    })?;
    cursor.end()?;
    reason.ok_or(Malformed)
}
