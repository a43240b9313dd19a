//! Lines of JSON (`application/x-ndjson`), found in a stream as it arrives.

use std::ops::Range;

/// One complete line: where it lies in the buffer, and where its text is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// The whole line with its end.
    pub span: Range<usize>,
    /// What stands on it; `None` for white space.
    pub text: Option<Range<usize>>,
}

/// The next complete line of `bytes` at `from`; `None` when its end has not arrived. Lines end with LF or CRLF.
#[must_use]
pub fn next_line(bytes: &[u8], from: usize) -> Option<Line> {
    let rest = bytes.get(from..)?;
    let end = from + memchr::memchr(b'\n', rest)?;
    let blank = bytes[from..end].trim_ascii().is_empty();
    let text_end = if bytes[from..end].ends_with(b"\r") { end - 1 } else { end };
    Some(Line { span: from..end + 1, text: (!blank).then_some(from..text_end) })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::next_line;

    fn texts(bytes: &[u8]) -> Vec<Option<Vec<u8>>> {
        let (mut from, mut found) = (0, Vec::new());
        while let Some(line) = next_line(bytes, from) {
            assert_eq!(line.span.start, from);
            from = line.span.end;
            found.push(line.text.map(|span| bytes[span].to_vec()));
        }
        found
    }

    #[test]
    fn lines_are_found() {
        let found = texts(b"{\"a\":1}\r\n\n \r\n[2]\nrest");
        assert_eq!(found, [Some(b"{\"a\":1}".to_vec()), None, None, Some(b"[2]".to_vec())]);
        assert_eq!(next_line(b"a\n", 9), None);
    }

    proptest! {
        #[test]
        fn a_prefix_never_shows_other_lines(input in "[a\r\n]{0,40}", cut in 0usize..40) {
            let whole = texts(input.as_bytes());
            let prefix = texts(&input.as_bytes()[..cut.min(input.len())]);
            prop_assert_eq!(&whole[..prefix.len()], &prefix[..]);
        }

        #[test]
        fn no_input_panics(input in prop::collection::vec(any::<u8>(), 0..100), from in 0usize..120) {
            let _ = next_line(&input, from);
        }
    }
}
