//! A streamed answer, written from events.

use lethe_content::ContentBuf;
use lethe_types::Api;

use super::reply::{finish_reason, write_response};
use crate::conversation::{
    Arguments, Event, Finish, Identity, Malformed, Part, PartKind, Str, StreamWriter, Thinking, ToolCall, Usage, Wanted,
};
use crate::error::ErrorBody;
use crate::write::Writer as Json;

/// The most that calls hold until they are complete: this format has no pieces of a call.
const HELD_LIMIT: usize = 16 * 1024 * 1024;
/// More calls than a model makes at once.
const CALL_LIMIT: usize = 1024;

/// How a stream is framed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// One JSON array, whose items come one by one: what a client gets that does not ask for events.
    Array,
    /// Server-sent events: `alt=sse`.
    Events,
}

/// State of one stream.
pub struct Writer {
    identity: Identity,
    framing: Framing,
    usage: Option<Usage>,
    calls: Vec<Call>,
    held: usize,
    finish: Option<&'static str>,
    refused: bool,
    /// The array is open.
    begun: bool,
}

/// A call whose arguments may be incomplete.
struct Call {
    index: u32,
    id: Str<'static>,
    name: Str<'static>,
    signature: Option<Str<'static>>,
    arguments: String,
}

impl Writer {
    /// At the start of a stream. Thoughts and usage are always sent here, whatever is `wanted`.
    #[must_use]
    pub const fn new(identity: Identity, _: Wanted, framing: Framing) -> Self {
        Self { identity, framing, usage: None, calls: Vec::new(), held: 0, finish: None, refused: false, begun: false }
    }

    fn open(&mut self, out: &mut ContentBuf) {
        out.extend(match (self.framing, self.begun) {
            (Framing::Array, false) => b"[",
            (Framing::Array, true) => b",\r\n",
            (Framing::Events, _) => b"data: ",
        });
        self.begun = true;
    }

    fn close(&self, out: &mut ContentBuf) {
        if self.framing == Framing::Events {
            out.extend(b"\r\n\r\n");
        }
    }

    fn say(&mut self, part: PartKind<'_>, out: &mut ContentBuf) -> Result<(), Malformed> {
        self.respond(&[&part.into()], None, out)
    }

    fn respond(&mut self, parts: &[&Part<'_>], reason: Option<&'static str>, out: &mut ContentBuf) -> Result<(), Malformed> {
        self.open(out);
        let usage = self.usage.filter(|_| reason.is_some());
        write_response(&mut Json::new(out), &self.identity, parts, reason, usage.as_ref())?;
        self.close(out);
        Ok(())
    }

    fn hold(&mut self, bytes: usize) -> Result<(), Malformed> {
        self.held += bytes;
        if self.held > HELD_LIMIT { Err(Malformed) } else { Ok(()) }
    }

    /// Writes the calls, all in one response, as a model makes them. They come in the order of their numbers, which says which was made first.
    fn call(&mut self, out: &mut ContentBuf) -> Result<(), Malformed> {
        let mut calls = std::mem::take(&mut self.calls);
        self.held = 0;
        if calls.is_empty() {
            return Ok(());
        }
        calls.sort_by_key(|call| call.index);
        let parts: Vec<Part<'_>> = calls
            .iter()
            .map(|call| {
                let (id, name) = (call.id.borrowed(), call.name.borrowed());
                let arguments = Arguments::Text(Str::from_raw(&call.arguments));
                PartKind::ToolCall(ToolCall { id, name, arguments, signature: call.signature.as_ref().map(Str::borrowed) }).into()
            })
            .collect();
        // Arguments that are no object are found before anything of the response is written.
        if parts.iter().any(|part| matches!(&part.kind, PartKind::ToolCall(call) if call.arguments.object("").is_err())) {
            return Err(Malformed);
        }
        self.respond(&parts.iter().collect::<Vec<_>>(), None, out)
    }
}

impl StreamWriter for Writer {
    fn write(&mut self, event: &Event<'_>, out: &mut ContentBuf) -> Result<(), Malformed> {
        match event {
            Event::Start { .. } | Event::Error { .. } => Ok(()),
            Event::Text(piece) => self.say(PartKind::Text(piece.borrowed()), out),
            Event::Refusal(piece) => {
                self.refused = true;
                self.say(PartKind::Refusal(piece.borrowed()), out)
            }
            Event::Reasoning { piece, .. } => {
                let thought = Thinking { id: None, text: Some(piece.borrowed()), signature: None };
                self.say(PartKind::Reasoning(thought), out)
            }
            Event::ReasoningSignature { signature, .. } => {
                let thought = Thinking { id: None, text: None, signature: Some(signature.borrowed()) };
                self.say(PartKind::Reasoning(thought), out)
            }
            Event::ToolCall { index, id, name, signature } => {
                if self.calls.len() >= CALL_LIMIT || self.calls.iter().any(|call| call.index == *index) {
                    return Err(Malformed);
                }
                let call = Call {
                    index: *index,
                    id: id.clone().into_owned(),
                    name: name.clone().into_owned(),
                    signature: signature.clone().map(Str::into_owned),
                    arguments: String::new(),
                };
                self.hold(
                    size_of::<Call>() + id.raw().len() + name.raw().len() + signature.as_ref().map_or(0, |text| text.raw().len()),
                )?;
                self.calls.push(call);
                Ok(())
            }
            Event::ToolArguments { index, piece } => {
                self.hold(piece.raw().len())?;
                let call = self.calls.iter_mut().rev().find(|call| call.index == *index).ok_or(Malformed)?;
                call.arguments.push_str(piece.raw());
                Ok(())
            }
            Event::Usage(usage) => {
                self.usage = Some(*usage);
                Ok(())
            }
            // Usage may come behind it: the reason is told at the end.
            Event::Finish(reason) => {
                // A call that was cut by a limit is not complete, and must not look as if it were.
                if matches!(reason, Finish::Length) {
                    self.calls.retain(|call| {
                        !call.arguments.is_empty() && Arguments::Text(Str::from_raw(&call.arguments)).object("").is_ok()
                    });
                }
                self.finish = Some(finish_reason(reason, self.refused));
                self.call(out)
            }
        }
    }

    fn end(&mut self, out: &mut ContentBuf) {
        let reason = self.finish.unwrap_or("OTHER");
        // Without parts there is nothing that could not be written.
        let _: Result<(), Malformed> = self.respond(&[], Some(reason), out);
        if self.framing == Framing::Array {
            out.extend(b"]");
        }
    }

    fn keep_alive(&mut self, out: &mut ContentBuf) {
        // White space between the items of an array says nothing either.
        out.extend(if self.framing == Framing::Array { b"\r\n" } else { b":\n\n" });
    }

    fn fail(&mut self, error: &ErrorBody<'_>, out: &mut ContentBuf) {
        self.open(out);
        out.extend(error.write_wire(Api::GenerateContent).expose());
        self.close(out);
        if self.framing == Framing::Array {
            out.extend(b"]");
        }
    }

    fn held(&self) -> usize {
        self.held
    }
}
