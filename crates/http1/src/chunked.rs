//! The chunked transfer coding (RFC 9112 section 7.1), decoded as it arrives.

use lethe_content::ContentBuf;

/// Chunk extensions and trailers are skipped, but not without end.
const SKIP_LIMIT: usize = 8 * 1024;
/// Sixteen hexadecimal digits fill 64 bits.
const SIZE_DIGITS: u8 = 16;

/// The bytes are not a chunked body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// At the digits of a chunk's size; how many were read.
    Size(u8),
    /// In the blanks after a chunk's size, which only an extension may follow.
    Blank,
    /// In a chunk extension.
    Extension,
    /// At the line feed after a chunk's size.
    SizeEnd,
    /// In a chunk's data.
    Data,
    /// At the carriage return after a chunk's data.
    DataEnd,
    /// At the line feed after a chunk's data.
    DataEndFeed,
    /// At the start of a trailer line.
    Trailer,
    /// In the name of a trailer field.
    TrailerName,
    /// In the value of a trailer field.
    TrailerLine,
    /// At the line feed of a trailer line.
    TrailerFeed,
    /// At the last line feed.
    EndFeed,
    /// After the end.
    Done,
}

/// Incremental decoder; strict about CRLF and digits.
///
/// ```
/// use lethe_content::ContentBuf;
/// use lethe_http1::ChunkedDecoder;
/// let mut decoder = ChunkedDecoder::new();
/// let mut body = ContentBuf::new();
/// let used = decoder.decode(b"5\r\nhello\r\n0\r\n\r\nnext", &mut body).unwrap();
/// assert_eq!((used, body.expose(), decoder.is_done()), (15, &b"hello"[..], true));
/// ```
#[derive(Clone, Debug)]
pub struct ChunkedDecoder {
    state: State,
    remaining: u64,
    skipped: usize,
}

impl Default for ChunkedDecoder {
    fn default() -> Self {
        Self::new()
    }
}

impl ChunkedDecoder {
    /// At the start of a body.
    #[must_use]
    pub const fn new() -> Self {
        Self { state: State::Size(0), remaining: 0, skipped: 0 }
    }

    /// Whether the body has ended.
    #[must_use]
    pub const fn is_done(&self) -> bool {
        matches!(self.state, State::Done)
    }

    /// Decodes from `input` into `out` until the input or the body ends; returns how much of `input` was used.
    ///
    /// # Errors
    /// [`Malformed`] when the input is not a chunked body. The decoder is useless after that.
    pub fn decode(&mut self, input: &[u8], out: &mut ContentBuf) -> Result<usize, Malformed> {
        let mut at = 0;
        while at < input.len() && self.state != State::Done {
            if self.state == State::Data {
                let rest = &input[at..];
                let take = usize::try_from(self.remaining).unwrap_or(usize::MAX).min(rest.len());
                out.extend(&rest[..take]);
                at += take;
                self.remaining -= take as u64;
                if self.remaining == 0 {
                    self.state = State::DataEnd;
                }
            } else {
                self.state = self.control(input[at])?;
                at += 1;
            }
        }
        Ok(at)
    }

    fn control(&mut self, byte: u8) -> Result<State, Malformed> {
        Ok(match (self.state, byte) {
            (State::Size(digits), b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F') if digits < SIZE_DIGITS => {
                let digit = char::from(byte).to_digit(16).ok_or(Malformed)?;
                self.remaining = (self.remaining << 4) | u64::from(digit);
                State::Size(digits + 1)
            }
            (State::Size(1..), b'\r') => State::SizeEnd,
            (State::Size(1..) | State::Blank, b';') => State::Extension,
            (State::Size(1..) | State::Blank, b' ' | b'\t') => {
                self.skip()?;
                State::Blank
            }
            (State::Extension, b'\r') => State::SizeEnd,
            (State::Extension, byte) if is_text(byte) => {
                self.skip()?;
                State::Extension
            }
            (State::SizeEnd, b'\n') if self.remaining == 0 => State::Trailer,
            (State::SizeEnd, b'\n') => State::Data,
            (State::DataEnd, b'\r') => State::DataEndFeed,
            (State::DataEndFeed, b'\n') => State::Size(0),
            (State::Trailer, b'\r') => State::EndFeed,
            (State::TrailerLine, b'\r') => State::TrailerFeed,
            (State::TrailerName, b':') => State::TrailerLine,
            (State::Trailer | State::TrailerName, byte) if is_token(byte) => {
                self.skip()?;
                State::TrailerName
            }
            (State::TrailerLine, byte) if is_text(byte) => {
                self.skip()?;
                State::TrailerLine
            }
            (State::TrailerFeed, b'\n') => State::Trailer,
            (State::EndFeed, b'\n') => State::Done,
            _ => return Err(Malformed),
        })
    }

    const fn skip(&mut self) -> Result<(), Malformed> {
        self.skipped += 1;
        if self.skipped > SKIP_LIMIT { Err(Malformed) } else { Ok(()) }
    }
}

/// What a field's value or a chunk extension may hold (RFC 9110 section 5.5): no control characters but the tabulator.
const fn is_text(byte: u8) -> bool {
    matches!(byte, b'\t' | b' '..=b'~' | 0x80..)
}

/// What a field's name may hold (RFC 9110 section 5.6.2).
const fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'!' | b'#'..=b'\'' | b'*' | b'+' | b'-' | b'.' | b'^'..=b'`' | b'|' | b'~')
}

#[cfg(test)]
mod tests {
    use lethe_content::ContentBuf;
    use proptest::prelude::*;

    use super::{ChunkedDecoder, Malformed};

    fn decode(input: &[u8]) -> Result<(usize, Vec<u8>, bool), Malformed> {
        let mut decoder = ChunkedDecoder::new();
        let mut out = ContentBuf::new();
        let used = decoder.decode(input, &mut out)?;
        Ok((used, out.expose().to_vec(), decoder.is_done()))
    }

    #[test]
    fn what_smuggling_needs_is_malformed() {
        for bad in [
            "\r\n",
            "g\r\n",
            "5\nhello",
            "5\r\nhello0\r\n\r\n",
            "5\r\nhelloX\n",
            "0\r\n\n",
            "-1\r\n",
            "0x5\r\nhello\r\n",
            " 5\r\nhello",
            "5;a\nhello",
            "00000000000000005\r\nhello\r\n",
            "0\r\nA: b\n\r\n",
            "5 \r\nhello\r\n",
            "5 5\r\nhello\r\n",
            "5;a\0b\r\nhello\r\n",
            "5;a\rb\r\nhello\r\n",
            "0\r\n A: b\r\n\r\n",
            "0\r\nA : b\r\n\r\n",
            "0\r\nGET / HTTP/1.1\r\n\r\n",
            "0\r\nA: \0\r\n\r\n",
        ] {
            assert_eq!(decode(bad.as_bytes()), Err(Malformed), "{bad:?}");
        }
        assert_eq!(decode(b"5;a=b\r\nhello\r\n0\r\nA: b\r\n\r\n"), Ok((25, b"hello".to_vec(), true)), "control");
        assert!(decode(b"5 ;a\r\nhello\r\n0\r\n\r\n").is_ok(), "control: blanks before an extension are allowed");
    }

    proptest! {
        #[test]
        fn any_split_decodes_alike(chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..40), 0..8), cut in 1usize..9) {
            let mut encoded = Vec::new();
            for chunk in &chunks {
                encoded.extend(format!("{:X}\r\n", chunk.len()).bytes());
                encoded.extend(chunk);
                encoded.extend(b"\r\n");
            }
            encoded.extend(b"0\r\n\r\n");
            let mut decoder = ChunkedDecoder::new();
            let mut out = ContentBuf::new();
            for part in encoded.chunks(cut) {
                prop_assert_eq!(decoder.decode(part, &mut out), Ok(part.len()));
            }
            prop_assert!(decoder.is_done());
            prop_assert_eq!(out.expose(), chunks.concat());
        }

        #[test]
        fn no_input_panics(input in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = decode(&input);
        }
    }
}
