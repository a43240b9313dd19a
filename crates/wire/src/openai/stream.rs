//! A streamed chat completion: each event is checked, usage is read and hidden from a client that did not ask.

use std::ops::Range;

use lethe_content::ContentBuf;

use super::reply::usage;
use crate::conversation::{Malformed, Usage};
use crate::json::{Cursor, Kind, Text};
use crate::sse::{Event, NotEvents, next_event};
use crate::withhold::cached_counts;

/// An event longer than this is no event.
const EVENT_LIMIT: usize = 16 * 1024 * 1024;

/// Room that is made for events at once.
const RESERVED: usize = 32 * 1024;

/// State of one stream.
pub struct ChatStream {
    wants_usage: bool,
    /// What came from a cache is not shown.
    withholds_cached: bool,
    known: Known,
    /// Tokens, where the provider reported them.
    pub usage: Option<Usage>,
    /// Chunks with something in them, about one a token: an estimate where no usage comes.
    pub deltas: u32,
    /// `[DONE]` has passed.
    pub done: bool,
    /// The provider sent an error instead of going on; it has been passed to the caller.
    pub failed: bool,
    finished: bool,
}

/// What the events of a stream begin with alike (id, model and so on): it is looked at once.
#[derive(Default)]
struct Known {
    /// Up to the first key that says something; empty until there has been an event.
    bytes: ContentBuf,
    /// End of the last value in it.
    value_end: usize,
}

struct Chunk {
    tokens: Option<Usage>,
    /// The `usage` member with the comma that belongs to it.
    usage_span: Option<Range<usize>>,
    choices: usize,
    finished: bool,
    is_error: bool,
    deltas: u32,
}

impl ChatStream {
    /// At the start of a stream for a client that asked for usage, or did not.
    #[must_use]
    pub const fn new(wants_usage: bool) -> Self {
        Self {
            wants_usage,
            withholds_cached: false,
            known: Known { bytes: ContentBuf::new(), value_end: 0 },
            usage: None,
            deltas: 0,
            done: false,
            failed: false,
            finished: false,
        }
    }

    /// The same stream, with or without the counts of what came from a cache.
    #[must_use]
    pub const fn withholding_cached(mut self, withholds: bool) -> Self {
        self.withholds_cached = withholds;
        self
    }

    /// Takes every complete event out of `pending` and appends to `out` what the client is to get of them.
    ///
    /// # Errors
    /// [`Malformed`] when the stream is not one of chat completion chunks; what came before it is in `out`.
    pub fn pass(&mut self, pending: &mut ContentBuf, out: &mut ContentBuf) -> Result<(), Malformed> {
        let mut from = 0;
        // What has not ended yet takes no second block.
        out.reserve(pending.len().min(RESERVED));
        let result = loop {
            if self.done || self.failed {
                // Nothing may follow the end; what does is dropped.
                from = pending.len();
                break Ok(());
            }
            match next_event(pending.expose(), from) {
                Ok(Some(event)) => {
                    from = event.span.end;
                    if let Err(fault) = self.event(pending.expose(), event, out) {
                        break Err(fault);
                    }
                }
                Ok(None) if pending.len() - from > EVENT_LIMIT => break Err(Malformed),
                Ok(None) => break Ok(()),
                Err(NotEvents) => break Err(Malformed),
            }
        };
        pending.consume(from);
        result
    }

    /// The provider's answer is over: appends what the client must still get for a clean end, if it may end here.
    ///
    /// # Errors
    /// [`Malformed`] when the answer was cut.
    pub fn end(&mut self, out: &mut ContentBuf) -> Result<(), Malformed> {
        if self.done || self.failed {
            Ok(())
        } else if self.finished {
            // Some servers leave the last line out; a finish reason and a proper end of the body say the same.
            self.done = true;
            out.extend(b"data: [DONE]\n\n");
            Ok(())
        } else {
            Err(Malformed)
        }
    }

    fn event(&mut self, bytes: &[u8], event: Event, out: &mut ContentBuf) -> Result<(), Malformed> {
        let Event { span, data, more, .. } = event;
        match (data, more.as_slice()) {
            // A comment or keep-alive.
            (None, _) => out.extend(&bytes[span]),
            (Some(one), []) if bytes[one.clone()] == *b"[DONE]" => {
                self.done = true;
                out.extend(&bytes[span]);
            }
            (Some(one), []) => {
                let chunk = inspect(&bytes[one.clone()], &mut self.known)?;
                self.take(&chunk);
                match chunk.usage_span {
                    // The last chunk, which is there for usage alone.
                    Some(_) if !self.wants_usage && chunk.choices == 0 && chunk.tokens.is_some() => {}
                    Some(usage) if !self.wants_usage => {
                        out.extend(&bytes[span.start..one.start + usage.start]);
                        out.extend(&bytes[one.start + usage.end..span.end]);
                    }
                    Some(_) if self.withholds_cached => {
                        let data = out.len() + (one.start - span.start)..out.len() + (one.end - span.start);
                        out.extend(&bytes[span]);
                        cached_counts(&mut out.expose_mut()[data]);
                    }
                    _ => out.extend(&bytes[span]),
                }
            }
            // Data over several lines is joined by line feeds, which JSON counts as white space.
            (Some(first), more) => {
                let mut joined = ContentBuf::new();
                for part in std::iter::once(&first).chain(more) {
                    joined.extend(&bytes[part.clone()]);
                    joined.extend(b"\n");
                }
                let chunk = inspect(joined.expose(), &mut self.known)?;
                self.take(&chunk);
                if self.wants_usage || chunk.usage_span.is_none() {
                    out.extend(&bytes[span]);
                } else if chunk.choices > 0 {
                    return Err(Malformed);
                }
            }
        }
        Ok(())
    }

    fn take(&mut self, chunk: &Chunk) {
        self.usage = chunk.tokens.or(self.usage);
        self.finished |= chunk.finished;
        self.failed |= chunk.is_error;
        self.deltas = self.deltas.saturating_add(chunk.deltas);
    }
}

fn inspect(data: &[u8], known: &mut Known) -> Result<Chunk, Malformed> {
    let mut chunk = Chunk { tokens: None, usage_span: None, choices: 0, finished: false, is_error: false, deltas: 0 };
    let mut cursor = Cursor::new(data)?;
    let from = Some(known.bytes.len()).filter(|length| *length > 0 && data.starts_with(known.bytes.expose()));
    let mut previous_end = from.map(|_| known.value_end);
    // The first key that says something, and where the value before it ended.
    let mut first_telling = None;
    let member = |key: Text<'_>, key_span: Range<usize>, value: &mut Cursor<'_>| {
        let kind = value.kind()?;
        if matches!(key.raw(), "choices" | "error" | "usage") {
            first_telling.get_or_insert((key_span.start, previous_end));
        }
        match (key.raw(), kind) {
            ("usage", kind) => {
                if kind == Kind::Object {
                    chunk.tokens = usage(value)?;
                } else {
                    value.skip()?;
                }
                let start = previous_end.unwrap_or(key_span.start);
                chunk.usage_span = Some(start..value.offset_of_last());
            }
            ("error", Kind::Object | Kind::String) => {
                chunk.is_error = true;
                value.skip()?;
            }
            ("choices", Kind::Array) => value.array(|item| {
                chunk.choices += 1;
                choice(item, &mut chunk.finished, &mut chunk.deltas)
            })?,
            _ => {
                value.skip()?;
            }
        }
        previous_end = Some(value.offset_of_last());
        Ok::<(), Malformed>(())
    };
    match from {
        Some(at) => cursor.resume(at, member)?,
        None => cursor.object(member)?,
    }
    cursor.end()?;
    // The first member's comma stands behind it, the others' before them: it goes out with the member.
    if let Some(span) = &mut chunk.usage_span
        && !data[span.clone()].starts_with(b",")
        && let Some(comma) = data[span.end..].iter().position(|byte| !byte.is_ascii_whitespace())
        && data[span.end + comma] == b','
    {
        span.end += comma + 1;
    }
    if from.is_none()
        && let Some((end, Some(value_end))) = first_telling
    {
        known.bytes.clear();
        known.bytes.extend(&data[..end]);
        known.value_end = value_end;
    }
    Ok(chunk)
}

fn choice(item: &mut Cursor<'_>, finished: &mut bool, deltas: &mut u32) -> Result<(), Malformed> {
    if item.kind()? != Kind::Object {
        return Err(Malformed);
    }
    item.object(|key, _, value| {
        match (key.raw(), value.kind()?) {
            ("finish_reason", Kind::String) => {
                *finished = true;
                value.skip()?;
            }
            ("delta", Kind::Object) => *deltas += u32::from(value.skip()?.len() > 2),
            _ => {
                value.skip()?;
            }
        }
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed test")]

    use lethe_content::ContentBuf;
    use proptest::prelude::*;

    use super::{ChatStream, Malformed};
    use crate::conversation::Usage;

    const STREAM: &str = concat!(
        "data: {\"id\":\"a\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"He\"}}],\"usage\":null}\n\n",
        ": keep-alive\n\n",
        "data: {\"usage\":null,\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\r\n\r\n",
        "data: {\"id\":\"a\",\"choices\":[],\"usage\":{\"prompt_tokens\":5,\"completion_tokens\":6}}\n\n",
        "data: [DONE]\n\n",
    );
    const HIDDEN: &str = concat!(
        "data: {\"id\":\"a\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"He\"}}]}\n\n",
        ": keep-alive\n\n",
        "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\r\n\r\n",
        "data: [DONE]\n\n",
    );

    fn pass(stream: &mut ChatStream, bytes: &[u8], cut: usize) -> (Result<(), Malformed>, String) {
        let (mut pending, mut out) = (ContentBuf::new(), ContentBuf::new());
        let mut result = Ok(());
        for part in bytes.chunks(cut) {
            pending.extend(part);
            result = stream.pass(&mut pending, &mut out);
            if result.is_err() {
                break;
            }
        }
        (result, String::from_utf8(out.expose().to_vec()).unwrap())
    }

    proptest! {
        #[test]
        fn usage_is_read_and_shown_to_those_who_asked(cut in 1usize..300) {
            let mut asked = ChatStream::new(true);
            prop_assert_eq!(pass(&mut asked, STREAM.as_bytes(), cut), (Ok(()), STREAM.to_owned()));
            let mut silent = ChatStream::new(false);
            prop_assert_eq!(pass(&mut silent, STREAM.as_bytes(), cut), (Ok(()), HIDDEN.to_owned()));
            for stream in [asked, silent] {
                prop_assert_eq!(stream.usage, Some(Usage { input: 5, output: 6, ..Usage::default() }));
                prop_assert!(stream.done);
            }
        }

        /// What one event begins with alike with those before it changes nothing of what is found in it.
        #[test]
        fn events_are_judged_alike_alone_and_behind_others(
            events in prop::collection::vec(r#"\{("id":"a",|"id": "a" , |"é":1,){1,2}("choices":\[\{"delta":\{"c":"x"\}\}\]|"usage":null|"usage":\{"prompt_tokens":7,"completion_tokens":[0-9]\}|"choices":\[|"id":"b")(,"usage":null|,"x":[1a]|)\}"#, 1..6),
        ) {
            let mut whole = ChatStream::new(false);
            for event in events {
                let bytes = format!("data: {event}\n\n");
                let mut alone = ChatStream::new(false);
                let seen = pass(&mut alone, bytes.as_bytes(), 1000);
                prop_assert_eq!(&pass(&mut whole, bytes.as_bytes(), 1000), &seen, "{}", event);
                if seen.0.is_ok() && alone.usage.is_some() {
                    prop_assert_eq!(whole.usage, alone.usage);
                }
            }
        }

        #[test]
        fn no_input_panics(input in prop::collection::vec(any::<u8>(), 1..200)) {
            let _ = pass(&mut ChatStream::new(false), &input, 7);
        }
    }

    #[test]
    fn a_cut_is_no_end() {
        let end = |bytes: &str| {
            let mut stream = ChatStream::new(false);
            assert_eq!(pass(&mut stream, bytes.as_bytes(), 9).0, Ok(()));
            let mut last = ContentBuf::new();
            stream.end(&mut last).map(|()| last.len())
        };
        assert_eq!(end(""), Err(Malformed));
        assert_eq!(end(&STREAM[..150]), Err(Malformed));
        let finish = STREAM.find(": keep").unwrap();
        assert_eq!(end(&STREAM[..finish]), Err(Malformed));
        assert_eq!(end(&STREAM[..STREAM.find("data: [DONE]").unwrap()]), Ok(14));
        assert_eq!(end(STREAM), Ok(0));
    }

    #[test]
    fn what_is_no_chunk_is_a_fault() {
        for bad in [
            "data: {\"a\":\n\n",
            "data: hello\n\n",
            "<html>\n",
            "data: [1]\n\n",
            "data: {\"choices\":[1]}\n\n",
            "data: {} {}\n\n",
        ] {
            assert_eq!(pass(&mut ChatStream::new(false), bad.as_bytes(), 5).0, Err(Malformed), "{bad}");
        }
        let mut stream = ChatStream::new(false);
        let error = "data: {\"error\":{\"message\":\"x\"}}\n\n";
        assert_eq!(pass(&mut stream, error.as_bytes(), 5), (Ok(()), error.to_owned()));
        assert!(stream.failed);
    }
}
