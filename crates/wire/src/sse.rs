//! Server-sent events (WHATWG HTML, section 9.2) found in a stream as it arrives.

use std::ops::Range;

/// The stream is not one of server-sent events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotEvents;

/// One complete event: where it lies in the buffer, and where its data is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// The whole event with its empty line.
    pub span: Range<usize>,
    /// The value of the last `event` field.
    pub name: Option<Range<usize>>,
    /// The value of the first `data` field: most events have one.
    pub data: Option<Range<usize>>,
    /// The values of the `data` fields after it.
    pub more: Vec<Range<usize>>,
}

/// The next complete event of `bytes` at `from`; `None` when its end has not arrived.
///
/// Line ends are LF or CRLF; a lone CR is refused, since no provider sends it and it would end lines for some readers only.
///
/// # Errors
/// [`NotEvents`] for a line that is neither a comment nor a field that the standard knows.
pub fn next_event(bytes: &[u8], from: usize) -> Result<Option<Event>, NotEvents> {
    let (mut name, mut data, mut more) = (None, None, Vec::new());
    let mut at = from;
    while let Some(feed) = memchr::memchr(b'\n', &bytes[at..]).map(|feed| at + feed) {
        let end = if feed > at && bytes[feed - 1] == b'\r' { feed - 1 } else { feed };
        let line = at..end;
        at = feed + 1;
        if line.is_empty() {
            return Ok(Some(Event { span: from..at, name, data, more }));
        }
        match (field(bytes, line)?, &data) {
            (Field::Data(value), None) => data = Some(value),
            (Field::Data(value), Some(_)) => more.push(value),
            (Field::Name(value), _) => name = Some(value),
            (Field::Other, _) => {}
        }
    }
    Ok(None)
}

enum Field {
    Data(Range<usize>),
    Name(Range<usize>),
    Other,
}

fn field(bytes: &[u8], line: Range<usize>) -> Result<Field, NotEvents> {
    let text = &bytes[line.clone()];
    if memchr::memchr(b'\r', text).is_some() {
        return Err(NotEvents);
    }
    let colon = memchr::memchr(b':', text).unwrap_or(text.len());
    let start = (line.start + colon + 1).min(line.end);
    let space = usize::from(bytes[start..line.end].first() == Some(&b' '));
    match &text[..colon] {
        b"data" => Ok(Field::Data(start + space..line.end)),
        b"event" => Ok(Field::Name(start + space..line.end)),
        b"" | b"id" | b"retry" => Ok(Field::Other),
        _ => Err(NotEvents),
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed test")]

    use proptest::prelude::*;

    use super::{NotEvents, next_event};

    fn data(bytes: &[u8]) -> Result<Vec<Vec<String>>, NotEvents> {
        let (mut from, mut found) = (0, Vec::new());
        while let Some(event) = next_event(bytes, from)? {
            found.push(
                event
                    .data
                    .iter()
                    .chain(&event.more)
                    .map(|span| String::from_utf8_lossy(&bytes[span.clone()]).into_owned())
                    .collect(),
            );
            from = event.span.end;
        }
        Ok(found)
    }

    #[test]
    fn events_are_found() {
        let stream = b": hi\r\n\r\nevent: a\ndata: one\ndata:two\n\ndata\n\ndata: [DONE]\r\n\r\ndata: rest";
        assert_eq!(
            data(stream).unwrap(),
            [vec![], vec!["one".to_owned(), "two".into()], vec![String::new()], vec!["[DONE]".into()]]
        );
        assert_eq!(data(b"<html>\n\n"), Err(NotEvents));
        assert_eq!(data(b"data: a\rdata: b\n\n"), Err(NotEvents));
    }

    proptest! {
        #[test]
        fn a_prefix_never_shows_other_events(cut in 0usize..80) {
            let stream = b"data: {\"a\":1}\n\ndata: two\r\n\r\n: c\n\nevent: x\ndata: 3\n\ndata: [DONE]\n\n";
            let whole = data(stream).unwrap();
            let prefix = data(&stream[..cut.min(stream.len())]).unwrap();
            prop_assert_eq!(&whole[..prefix.len()], &prefix[..]);
        }

        #[test]
        fn no_input_panics(input in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = data(&input);
        }
    }
}
