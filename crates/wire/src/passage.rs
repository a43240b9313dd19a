//! A provider's stream on its way to the client: every frame is read, and passed on as it is or written anew in the client's format.

use std::ops::Range;

use lethe_content::ContentBuf;
use lethe_types::Api;

use crate::conversation::{Event, Malformed, Str, StreamReader, StreamWriter, Usage};
use crate::error::{ErrorBody, ErrorType};
use crate::eventstream::next_message;
use crate::json::Cursor;
use crate::lines::next_line;
use crate::sse::next_event;
use crate::withhold::cached_counts;

/// A frame longer than this is none.
const FRAME_LIMIT: usize = 16 * 1024 * 1024;

/// How a stream is cut into frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// Server-sent events.
    Events,
    /// Lines of JSON.
    Lines,
    /// Messages of AWS' event stream.
    Messages,
}

impl Framing {
    /// Every framing.
    pub const ALL: [Self; 3] = [Self::Events, Self::Lines, Self::Messages];

    /// The media type of a stream that is framed in this way.
    #[must_use]
    pub const fn media_type(self) -> &'static str {
        match self {
            Self::Events => "text/event-stream",
            Self::Lines => "application/x-ndjson",
            Self::Messages => "application/vnd.amazon.eventstream",
        }
    }
}

/// State of one stream.
pub struct Passage {
    framing: Framing,
    reader: Box<dyn StreamReader>,
    /// `None`: frames pass as they are.
    writer: Option<Box<dyn StreamWriter>>,
    /// What came from a cache is not shown.
    withholds_cached: bool,
    /// Calls after the first are left out.
    one_call: bool,
    /// Tokens, where the provider reported them.
    pub usage: Option<Usage>,
    /// Steps with something in them, about one a token: an estimate where no usage comes.
    pub deltas: u32,
    /// The end has passed, and what ends the client's stream is written.
    pub done: bool,
    /// The provider sent an error instead of going on; the client has been told.
    pub failed: bool,
}

/// Where a frame lies in the buffer.
struct Frame {
    span: Range<usize>,
    name: Range<usize>,
    data: Option<Range<usize>>,
    more: Vec<Range<usize>>,
}

impl Passage {
    /// At the start of a stream that is read by `reader` and written by `writer`, or passed as it is.
    #[must_use]
    pub fn new(framing: Framing, reader: Box<dyn StreamReader>, writer: Option<Box<dyn StreamWriter>>) -> Self {
        Self {
            framing,
            reader,
            writer,
            withholds_cached: false,
            one_call: false,
            usage: None,
            deltas: 0,
            done: false,
            failed: false,
        }
    }

    /// The same stream, with or without the counts of what came from a cache.
    #[must_use]
    pub const fn withholding_cached(mut self, withholds: bool) -> Self {
        self.withholds_cached = withholds;
        self
    }

    /// The same for a client that takes one call at a time, which not every provider can be told: those after the first are left out.
    #[must_use]
    pub const fn with_one_call(mut self, one_call: bool) -> Self {
        self.one_call = one_call;
        self
    }

    /// Takes every complete frame out of `pending` and appends to `out` what the client is to get of them.
    ///
    /// # Errors
    /// [`Malformed`] when the stream is not what its reader reads; what came before it is in `out`.
    pub fn pass(&mut self, pending: &mut ContentBuf, out: &mut ContentBuf) -> Result<(), Malformed> {
        let mut from = 0;
        let result = loop {
            if self.done || self.failed {
                // Nothing may follow the end; what does is dropped.
                from = pending.len();
                break Ok(());
            }
            match self.next(pending.expose(), from) {
                Ok(Some(frame)) => {
                    from = frame.span.end;
                    if let Err(fault) = self.frame(pending.expose(), frame, out) {
                        break Err(fault);
                    }
                }
                Ok(None) if pending.len() - from > FRAME_LIMIT => break Err(Malformed),
                Ok(None) => break Ok(()),
                Err(fault) => break Err(fault),
            }
        };
        pending.consume(from);
        result
    }

    /// The provider's answer is over, with `pending` left of it: appends what ends the client's stream, if it may end here. A last line need not have
    /// a line feed.
    ///
    /// # Errors
    /// [`Malformed`] when it was cut.
    pub fn end(&mut self, pending: &mut ContentBuf, out: &mut ContentBuf) -> Result<(), Malformed> {
        if self.framing == Framing::Lines && !pending.is_empty() {
            pending.extend(b"\n");
            self.pass(pending, out)?;
        }
        if self.done || self.failed {
            return Ok(());
        }
        if !self.reader.is_complete() {
            return Err(Malformed);
        }
        self.finish(out);
        Ok(())
    }

    /// Appends an error in the form of the client's format.
    pub fn fail(&mut self, api: Api, error: &ErrorBody<'_>, out: &mut ContentBuf) {
        match &mut self.writer {
            Some(writer) => writer.fail(error, out),
            None => error.write_event(api, out),
        }
    }

    /// Bytes of the answer that are held back.
    #[must_use]
    pub fn held(&self) -> usize {
        self.writer.as_ref().map_or(0, |writer| writer.held())
    }

    fn finish(&mut self, out: &mut ContentBuf) {
        self.done = true;
        if let Some(writer) = &mut self.writer {
            writer.end(out);
        }
    }

    fn next(&self, bytes: &[u8], from: usize) -> Result<Option<Frame>, Malformed> {
        match self.framing {
            Framing::Events => Ok(next_event(bytes, from)?.map(|event| Frame {
                span: event.span,
                name: event.name.unwrap_or(0..0),
                data: event.data,
                more: event.more,
            })),
            Framing::Lines => {
                Ok(next_line(bytes, from).map(|line| Frame { span: line.span, name: 0..0, data: line.text, more: Vec::new() }))
            }
            Framing::Messages => Ok(next_message(bytes, from)?.map(|message| Frame {
                span: message.span,
                name: message.name,
                data: Some(message.data),
                more: Vec::new(),
            })),
        }
    }

    fn frame(&mut self, bytes: &[u8], frame: Frame, out: &mut ContentBuf) -> Result<(), Malformed> {
        if self.writer.is_none() {
            let from = out.len();
            let start = frame.span.start;
            out.extend(&bytes[frame.span]);
            if let (true, Some(data)) = (self.withholds_cached, &frame.data) {
                cached_counts(&mut out.expose_mut()[from + (data.start - start)..from + (data.end - start)]);
            }
        }
        let name = &bytes[frame.name];
        match (frame.data, frame.more.as_slice()) {
            // A comment or keep-alive: somebody who waits is told the same.
            (None, _) => {
                if let (Some(writer), Framing::Events) = (&mut self.writer, self.framing) {
                    writer.keep_alive(out);
                }
            }
            (Some(data), []) => self.read(name, &bytes[data], out)?,
            // Data over several lines is joined by line feeds, which JSON counts as white space.
            (Some(first), more) => {
                let mut joined = ContentBuf::new();
                for part in std::iter::once(&first).chain(more) {
                    joined.extend(&bytes[part.clone()]);
                    joined.extend(b"\n");
                }
                self.read(name, joined.expose(), out)?;
            }
        }
        if self.reader.has_ended() && !self.failed {
            self.finish(out);
        }
        Ok(())
    }

    fn read(&mut self, name: &[u8], data: &[u8], out: &mut ContentBuf) -> Result<(), Malformed> {
        let Self { reader, writer, one_call, usage, deltas, failed, withholds_cached, .. } = self;
        let one_call = *one_call;
        let mut fault = Ok(());
        let read = reader.read(name, data, &mut |event| {
            let mut event = event;
            match &mut event {
                Event::Usage(counted) => {
                    *usage = Some(*counted);
                    if *withholds_cached {
                        (counted.cached, counted.cache_written) = (None, None);
                    }
                }
                Event::Error { message } => {
                    if let (Some(writer), false) = (writer.as_mut(), *failed) {
                        writer.fail(&in_the_middle(message.borrowed()), out);
                    }
                    *failed = true;
                    return;
                }
                Event::ToolCall { index: 1.., .. } | Event::ToolArguments { index: 1.., .. } if one_call => return,
                Event::Start { .. } | Event::Finish(_) => {}
                _ => *deltas = deltas.saturating_add(1),
            }
            if let (Some(writer), Ok(()), false) = (writer.as_mut(), fault, *failed) {
                fault = writer.write(&event, out);
            }
        });
        // What passes as it is may hold more than this reader knows; but it must be JSON.
        if read.is_err() && writer.is_none() {
            let mut cursor = Cursor::new(data)?;
            cursor.skip()?;
            return Ok(cursor.end()?);
        }
        read.and(fault)
    }
}

/// An error that a provider told in the middle of a stream, in its own words for the caller alone.
const fn in_the_middle(message: Str<'_>) -> ErrorBody<'_> {
    ErrorBody { status: 502, message, kind: ErrorType::Provider, param: None, code: "provider_error" }
}
