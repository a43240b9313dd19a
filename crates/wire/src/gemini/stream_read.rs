//! A streamed answer (`alt=sse`), read into events: each frame is a response of its own.

use super::reply::{Ended, Piece, Response, call_id};
use crate::conversation::{Event, Finish, Malformed, Str, StreamReader};

/// What is told where a provider says that it failed and not how.
const FAILED: &str = "the model could not finish its answer";

/// State of one stream.
#[derive(Default)]
pub struct Reader {
    started: bool,
    /// The provider's id of the answer.
    id: Option<String>,
    calls: u32,
    /// The number of the next block of thoughts.
    blocks: u32,
    /// The last block of thoughts has no signature yet, and nothing was said after it.
    thinking: bool,
    finished: bool,
}

impl StreamReader for Reader {
    fn read(&mut self, _: &[u8], data: &[u8], sink: &mut dyn FnMut(Event<'_>)) -> Result<(), Malformed> {
        let response = Response::read(data)?;
        if let Some(message) = response.error {
            sink(Event::Error { message });
            return Ok(());
        }
        if !self.started {
            self.started = true;
            self.id = response.id.as_ref().map(|id| id.raw().to_owned());
            sink(Event::Start { id: response.id });
        }
        for piece in response.parts {
            self.piece(piece, sink)?;
        }
        if let Some(usage) = response.usage {
            sink(Event::Usage(usage));
        }
        match response.ended {
            None => {}
            // A second reason says nothing new.
            Some(_) if self.finished => {}
            Some(Ended::Failed(words)) => sink(Event::Error { message: words.unwrap_or(Str::constant(FAILED)) }),
            Some(Ended::Finished(finish)) => {
                self.finished = true;
                // The call may have come in an earlier response than the reason.
                sink(Event::Finish(if matches!(finish, Finish::Stop) && self.calls > 0 { Finish::ToolCalls } else { finish }));
            }
        }
        Ok(())
    }

    fn is_complete(&self) -> bool {
        self.finished
    }
}

impl Reader {
    fn piece(&mut self, piece: Piece<'_>, sink: &mut dyn FnMut(Event<'_>)) -> Result<(), Malformed> {
        if let Piece::Text { text, signature: None } | Piece::Thought { text, signature: None } = &piece
            && text.is_empty()
        {
            return Ok(());
        }
        if self.finished && !matches!(&piece, Piece::Text { text, .. } | Piece::Thought { text, .. } if text.is_empty()) {
            // What follows the end would be lost, or come behind it.
            return Err(Malformed);
        }
        match piece {
            Piece::Call { id, name, args, signature } => {
                self.thinking = false;
                let index = self.calls;
                self.calls = self.calls.checked_add(1).ok_or(Malformed)?;
                let id = id.unwrap_or_else(|| call_id(self.id.as_deref(), index as usize));
                sink(Event::ToolCall { index, id, name, signature });
                sink(Event::ToolArguments { index, piece: Str::of(args.raw()) });
            }
            Piece::Media(_) => return Err(Malformed),
            Piece::Text { text, signature } => {
                if !text.is_empty() {
                    self.thinking = false;
                    sink(Event::Text(text));
                }
                if let Some(signature) = signature.filter(|_| !self.finished) {
                    self.sign(signature, sink);
                }
            }
            Piece::Thought { text, signature } => {
                if !text.is_empty() {
                    if !self.thinking {
                        self.blocks += 1;
                        self.thinking = true;
                    }
                    sink(Event::Reasoning { index: self.blocks - 1, piece: text });
                }
                if let Some(signature) = signature.filter(|_| !self.finished) {
                    self.sign(signature, sink);
                }
            }
        }
        Ok(())
    }

    /// A signature belongs to the thoughts just before it; with nothing but text before it, it is a block of its own.
    fn sign(&mut self, signature: Str<'_>, sink: &mut dyn FnMut(Event<'_>)) {
        if !self.thinking {
            self.blocks += 1;
        }
        self.thinking = false;
        sink(Event::ReasoningSignature { index: self.blocks - 1, signature });
    }
}
