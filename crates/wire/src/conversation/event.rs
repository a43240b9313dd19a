//! What a model answers, as it comes.

use lethe_content::ContentBuf;

use super::reply::{Finish, Usage};
use super::text::Str;
use crate::error::ErrorBody;
use crate::eventstream::NotMessages;
use crate::json::JsonError;
use crate::sse::NotEvents;

/// One step of an answer. Strings are pieces, in the order in which they are said; a piece never ends inside of an escape.
pub enum Event<'a> {
    /// The answer begins.
    Start {
        /// The provider's id of the answer.
        id: Option<Str<'a>>,
    },
    /// More thoughts. A new `index` is a new block of thoughts.
    Reasoning {
        /// Number of the block.
        index: u32,
        /// The piece.
        piece: Str<'a>,
    },
    /// The signature over a block of thoughts, whole; for a block without text: the encrypted thoughts.
    ReasoningSignature {
        /// Number of the block.
        index: u32,
        /// The signature.
        signature: Str<'a>,
    },
    /// More of a refusal.
    Refusal(Str<'a>),
    /// More text.
    Text(Str<'a>),
    /// A call begins. Calls are numbered from 0; pieces of several may alternate.
    ToolCall {
        /// Number of the call.
        index: u32,
        /// Pairs it with its result.
        id: Str<'a>,
        /// The function.
        name: Str<'a>,
        /// As in [`super::ToolCall::signature`].
        signature: Option<Str<'a>>,
    },
    /// More of a call's arguments: a piece of JSON text, as the inside of a JSON string.
    ToolArguments {
        /// Number of the call.
        index: u32,
        /// The piece.
        piece: Str<'a>,
    },
    /// Tokens so far; a later one replaces an earlier one.
    Usage(Usage),
    /// The answer ends, with its reason.
    Finish(Finish<'a>),
    /// The provider failed in the middle, in its own words.
    Error {
        /// For the caller alone.
        message: Str<'a>,
    },
}

/// An answer is not of its API, or was cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

impl From<JsonError> for Malformed {
    fn from(_: JsonError) -> Self {
        Self
    }
}

impl From<NotEvents> for Malformed {
    fn from(_: NotEvents) -> Self {
        Self
    }
}

impl From<NotMessages> for Malformed {
    fn from(_: NotMessages) -> Self {
        Self
    }
}

/// Reads a provider's stream, one frame after the other (an event of server-sent events, a line, a message of AWS' event stream).
pub trait StreamReader {
    /// Reads the frame `data`; `name` is the name that its framing gives it (`event:`, `:event-type` or `:exception-type`; `error` for a message of AWS'
    /// event stream that is none of these), or empty.
    ///
    /// # Errors
    /// [`Malformed`] for what is no frame of this API.
    fn read(&mut self, name: &[u8], data: &[u8], sink: &mut dyn FnMut(Event<'_>)) -> Result<(), Malformed>;

    /// The frame that ends this API's streams has come, or what came before says as much: nothing more is needed for a clean end. A body
    /// that ends earlier was cut.
    fn is_complete(&self) -> bool;

    /// The frame after which nothing follows has come, so that the end of the body need not be waited for.
    fn has_ended(&self) -> bool {
        false
    }
}

/// Writes an answer as a stream of one API, framing included.
pub trait StreamWriter {
    /// Appends what the client is to get at this step.
    ///
    /// # Errors
    /// [`Malformed`] where this API cannot say it, or too much would have to be held.
    fn write(&mut self, event: &Event<'_>, out: &mut ContentBuf) -> Result<(), Malformed>;

    /// Appends what ends a stream cleanly: called once, after the last event.
    fn end(&mut self, out: &mut ContentBuf);

    /// Appends what tells a client that waits that the provider is still there, if this API has such a thing: a comment.
    fn keep_alive(&mut self, out: &mut ContentBuf) {
        out.extend(b":\n\n");
    }

    /// Appends an error in this API's own form; nothing is appended after it.
    fn fail(&mut self, error: &ErrorBody<'_>, out: &mut ContentBuf);

    /// Bytes of the answer that are held back for a later step, to be counted against the request's share of memory.
    fn held(&self) -> usize {
        0
    }
}
