//! A streamed message (<https://docs.anthropic.com/en/docs/build-with-claude/streaming>), read into events.

use super::marks;
use super::reply::End;
use super::usage::Counts;
use crate::conversation::{Event, Json, Malformed, Str, StreamReader};
use crate::json::{Cursor, Kind};

/// More blocks than an answer has.
const BLOCK_LIMIT: usize = 4096;

/// State of one stream.
#[derive(Default)]
pub struct Reader {
    /// Blocks that have begun, by the provider's number.
    blocks: Vec<(u64, Block)>,
    calls: u32,
    thoughts: u32,
    counts: Counts,
    finished: bool,
    done: bool,
}

#[derive(Clone, Copy)]
enum Block {
    Call(u32),
    Redacted,
    Text,
    Thoughts(u32),
}

/// A frame's members, before its type says what they are.
#[derive(Default)]
struct Frame<'a> {
    kind: Option<Str<'a>>,
    index: Option<u64>,
    message: Option<Json<'a>>,
    block: Option<Json<'a>>,
    delta: Option<Json<'a>>,
    usage: Option<Json<'a>>,
    error: Option<Json<'a>>,
}

/// Members of a block, or of a piece of one.
#[derive(Default)]
struct Piece<'a> {
    kind: Option<Str<'a>>,
    id: Option<Str<'a>>,
    name: Option<Str<'a>>,
    /// `text`, `thinking`, `partial_json` or `data`, whichever the type has.
    text: Option<Str<'a>>,
    signature: Option<Str<'a>>,
    input: Option<Json<'a>>,
    cites: bool,
}

impl<'a> Frame<'a> {
    fn read(data: &'a [u8]) -> Result<Self, Malformed> {
        let mut frame = Self::default();
        let mut cursor = Cursor::new(data)?;
        cursor.object(|key, _, value| {
            let place = match (key.raw(), value.kind()?) {
                ("type", Kind::String) => {
                    frame.kind = Some(value.string()?.into());
                    return Ok(());
                }
                ("index", Kind::Number) => {
                    frame.index = Some(value.count()?);
                    return Ok(());
                }
                ("message", Kind::Object) => &mut frame.message,
                ("content_block", Kind::Object) => &mut frame.block,
                ("delta", Kind::Object) => &mut frame.delta,
                ("usage", Kind::Object) => &mut frame.usage,
                ("error", Kind::Object | Kind::String) => &mut frame.error,
                _ => return Ok::<(), Malformed>(value.skip().map(drop)?),
            };
            *place = Some(Json::read(value)?);
            Ok(())
        })?;
        cursor.end()?;
        Ok(frame)
    }
}

impl<'a> Piece<'a> {
    fn read(json: &'a Json<'_>) -> Result<Self, Malformed> {
        let mut piece = Self::default();
        json.cursor()?.object(|key, _, value| {
            let place = match (key.raw(), value.kind()?) {
                ("type", Kind::String) => &mut piece.kind,
                ("id", Kind::String) => &mut piece.id,
                ("name", Kind::String) => &mut piece.name,
                ("text" | "thinking" | "partial_json" | "data", Kind::String) => &mut piece.text,
                ("signature", Kind::String) => &mut piece.signature,
                ("input", Kind::Object) => {
                    piece.input = Some(Json::read(value)?);
                    return Ok(());
                }
                ("citations", Kind::Array) => {
                    return value.array(|item| {
                        piece.cites = true;
                        Ok::<(), Malformed>(item.skip().map(drop)?)
                    });
                }
                _ => return Ok::<(), Malformed>(value.skip().map(drop)?),
            };
            *place = Some(value.string()?.into());
            Ok(())
        })?;
        Ok(piece)
    }
}

impl StreamReader for Reader {
    fn read(&mut self, _: &[u8], data: &[u8], sink: &mut dyn FnMut(Event<'_>)) -> Result<(), Malformed> {
        let frame = Frame::read(data)?;
        let Some(kind) = &frame.kind else {
            // Clouds have errors of their own, which are no events of this API.
            let message = crate::error::message(data).ok_or(Malformed)?;
            sink(Event::Error { message });
            return Ok(());
        };
        match kind.raw() {
            "message_start" => self.start(frame.message.as_ref().ok_or(Malformed)?, sink),
            "content_block_start" => {
                let (index, block) = frame.index.zip(frame.block.as_ref()).ok_or(Malformed)?;
                self.block(index, block, sink)
            }
            "content_block_delta" => {
                let (index, delta) = frame.index.zip(frame.delta.as_ref()).ok_or(Malformed)?;
                self.delta(index, delta, sink)
            }
            "message_delta" => self.end(&frame, sink),
            "message_stop" => {
                self.done = true;
                Ok(())
            }
            "error" => {
                let message = frame.error.as_ref().and_then(|error| crate::error::message(error.raw().as_bytes()));
                sink(Event::Error { message: message.unwrap_or(Str::EMPTY) });
                Ok(())
            }
            // `content_block_stop` and `ping` say nothing; others may come, says the reference, and blocks do not come in them.
            _ => Ok(()),
        }
    }

    fn is_complete(&self) -> bool {
        self.done || self.finished
    }

    fn has_ended(&self) -> bool {
        self.done
    }
}

impl Reader {
    fn start(&mut self, message: &Json<'_>, sink: &mut dyn FnMut(Event<'_>)) -> Result<(), Malformed> {
        let mut id = None;
        message.cursor()?.object(|key, _, value| {
            match (key.raw(), value.kind()?) {
                ("id", Kind::String) => id = Some(Str::from(value.string()?)),
                ("usage", Kind::Object) => self.counts.read(value)?,
                _ => value.skip().map(drop)?,
            }
            Ok::<(), Malformed>(())
        })?;
        sink(Event::Start { id });
        if let Some(usage) = self.counts.usage() {
            sink(Event::Usage(usage));
        }
        Ok(())
    }

    fn block(&mut self, index: u64, block: &Json<'_>, sink: &mut dyn FnMut(Event<'_>)) -> Result<(), Malformed> {
        if self.blocks.len() >= BLOCK_LIMIT || self.blocks.iter().any(|(other, _)| *other == index) {
            return Err(Malformed);
        }
        let piece = Piece::read(block)?;
        let block = match piece.kind.as_ref().map(Str::raw) {
            Some("text") => Block::Text,
            Some("thinking") => {
                self.thoughts += 1;
                Block::Thoughts(self.thoughts - 1)
            }
            Some("redacted_thinking") => {
                self.thoughts += 1;
                let signature = marks::redacted(piece.text.as_ref().ok_or(Malformed)?);
                sink(Event::ReasoningSignature { index: self.thoughts - 1, signature });
                self.blocks.push((index, Block::Redacted));
                return Ok(());
            }
            Some("tool_use") => {
                let call = self.calls;
                self.calls += 1;
                let (id, name) = piece.id.as_ref().zip(piece.name.as_ref()).ok_or(Malformed)?;
                sink(Event::ToolCall { index: call, id: id.borrowed(), name: name.borrowed(), signature: None });
                if let Some(input) = piece.input.as_ref().filter(|input| input.raw().len() > "{}".len()) {
                    sink(Event::ToolArguments { index: call, piece: Str::of(input.raw()) });
                }
                Block::Call(call)
            }
            // What the API's own tools did: it was not asked to use any.
            _ => return Err(Malformed),
        };
        self.blocks.push((index, block));
        Self::say(block, &piece, sink)
    }

    fn delta(&mut self, index: u64, delta: &Json<'_>, sink: &mut dyn FnMut(Event<'_>)) -> Result<(), Malformed> {
        let block = self.blocks.iter().rev().find(|(other, _)| *other == index).map(|(_, block)| *block);
        let piece = Piece::read(delta)?;
        let block = block.ok_or(Malformed)?;
        match (piece.kind.as_ref().map(Str::raw), block) {
            (Some("text_delta"), Block::Text) | (Some("thinking_delta" | "signature_delta"), Block::Thoughts(_)) => {
                Self::say(block, &piece, sink)
            }
            (Some("input_json_delta"), Block::Call(call)) => {
                if let Some(piece) = piece.text.filter(|piece| !piece.is_empty()) {
                    sink(Event::ToolArguments { index: call, piece });
                }
                Ok(())
            }
            _ => Err(Malformed),
        }
    }

    /// What a block of text or thoughts begins or goes on with.
    fn say(block: Block, piece: &Piece<'_>, sink: &mut dyn FnMut(Event<'_>)) -> Result<(), Malformed> {
        if piece.cites {
            return Err(Malformed);
        }
        let text = piece.text.as_ref().filter(|text| !text.is_empty()).map(Str::borrowed);
        match (block, text) {
            (Block::Text, Some(text)) => sink(Event::Text(text)),
            (Block::Thoughts(index), Some(piece)) => sink(Event::Reasoning { index, piece }),
            _ => {}
        }
        if let (Block::Thoughts(index), Some(signature)) = (block, piece.signature.as_ref().filter(|text| !text.is_empty())) {
            sink(Event::ReasoningSignature { index, signature: signature.borrowed() });
        }
        Ok(())
    }

    fn end(&mut self, frame: &Frame<'_>, sink: &mut dyn FnMut(Event<'_>)) -> Result<(), Malformed> {
        if let Some(usage) = &frame.usage {
            self.counts.read(&mut usage.cursor()?)?;
            if let Some(usage) = self.counts.usage() {
                sink(Event::Usage(usage));
            }
        }
        let Some(delta) = &frame.delta else { return Ok(()) };
        let mut end = End::default();
        delta.cursor()?.object(|key, _, value| end.read(key.raw(), value))?;
        if let Some(text) = &end.explanation {
            sink(Event::Refusal(text.borrowed()));
        }
        if let Some(finish) = end.finish()? {
            self.finished = true;
            sink(Event::Finish(finish));
        }
        Ok(())
    }
}
