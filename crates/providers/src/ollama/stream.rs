//! A stream of the chat API (<https://docs.ollama.com/api/streaming>), read into events.

use lethe_wire::conversation::{Event, Malformed, Str, StreamReader};

use super::reply::{Piece, numbered};
use crate::read::{CALL_LIMIT, failure};

/// State of one stream.
#[derive(Default)]
pub struct Reader {
    started: bool,
    /// When the answer began.
    created: Option<Str<'static>>,
    /// How many calls have come; each comes whole.
    calls: usize,
    done: bool,
}

impl StreamReader for Reader {
    fn read(&mut self, _: &[u8], data: &[u8], sink: &mut dyn FnMut(Event<'_>)) -> Result<(), Malformed> {
        let mut piece = Piece::read(data)?;
        if piece.failed {
            sink(Event::Error { message: failure(data) });
            return Ok(());
        }
        if !self.started {
            self.started = true;
            self.created = piece.created.take().map(Str::into_owned);
            sink(Event::Start { id: None });
        }
        let (usage, reason) = (piece.usage(), piece.finish(self.calls > 0 || !piece.calls.is_empty()));
        if let Some(piece) = piece.thinking {
            sink(Event::Reasoning { index: 0, piece });
        }
        if let Some(text) = piece.content {
            sink(Event::Text(text));
        }
        for called in piece.calls {
            if self.calls >= CALL_LIMIT {
                return Err(Malformed);
            }
            let index = u32::try_from(self.calls).map_err(|_| Malformed)?;
            let id = called.id.unwrap_or_else(|| numbered(self.created.as_ref().map_or("", Str::raw), self.calls));
            self.calls += 1;
            sink(Event::ToolCall { index, id, name: called.name, signature: None });
            sink(Event::ToolArguments { index, piece: Str::of(called.arguments.raw()) });
        }
        if piece.done {
            self.done = true;
            if let Some(usage) = usage {
                sink(Event::Usage(usage));
            }
            sink(Event::Finish(reason));
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
