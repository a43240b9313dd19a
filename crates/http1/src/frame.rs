//! WebSocket's frames (RFC 6455 section 5) as a server reads and writes them: text messages, no extensions.

use lethe_content::ContentBuf;

/// A control frame's payload at most (section 5.5).
const CONTROL_LIMIT: usize = 125;
/// Two bytes, the longest length, and a mask.
const HEAD_MOST: usize = 14;

/// Why a connection closes (section 7.4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub enum CloseCode {
    /// Done.
    Normal = 1000,
    /// The server ends, or has no more time for who says nothing.
    GoingAway = 1001,
    /// Not WebSocket as it should be.
    Protocol = 1002,
    /// A message that is not text.
    Unsupported = 1003,
    /// Text that is not UTF-8.
    NotUtf8 = 1007,
    /// The client may not go on: its key, or its pace.
    Policy = 1008,
    /// A message over the limit.
    TooLarge = 1009,
    /// No room now.
    TryAgain = 1013,
}

/// What has been read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Frame {
    /// The message is whole, and is UTF-8.
    Message,
    /// To be answered with a pong that carries the same: [`FrameDecoder::take_ping`].
    Ping,
    /// An answer to a ping, or a sign of life.
    Pong,
    /// The peer sends nothing more.
    Close,
}

/// A data frame that is being read.
struct Data {
    left: u64,
    mask: [u8; 4],
    /// How much of the payload has been read: where in the mask the next byte is.
    read: u64,
    is_last: bool,
}

/// A frame's head.
struct Head {
    opcode: u8,
    is_last: bool,
    length: u64,
    mask: [u8; 4],
    /// Bytes of the head itself.
    size: usize,
}

/// What stands next in the input.
enum Next {
    Control(Frame),
    Data(Head),
    More,
}

/// Incremental decoder of what a client sends.
///
/// ```
/// use lethe_content::ContentBuf;
/// use lethe_http1::{Frame, FrameDecoder};
/// let (mut decoder, mut input, mut message) = (FrameDecoder::new(1024), ContentBuf::new(), ContentBuf::new());
/// input.extend(b"\x81\x82\x01\x02\x03\x04ik");
/// assert_eq!(decoder.decode(&mut input, &mut message), Ok(Some(Frame::Message)));
/// assert_eq!(message.expose(), b"hi");
/// ```
pub struct FrameDecoder {
    /// Bytes of a message at most.
    limit: u64,
    data: Option<Data>,
    /// A message has begun, and its last frame has not.
    is_open: bool,
    /// What the last ping carried.
    ping: ContentBuf,
}

impl FrameDecoder {
    /// At the start of a connection, for messages up to `limit` bytes.
    #[must_use]
    pub const fn new(limit: u64) -> Self {
        Self { limit, data: None, is_open: false, ping: ContentBuf::new() }
    }

    /// Whether no message is under way.
    #[must_use]
    pub const fn is_between(&self) -> bool {
        self.data.is_none() && !self.is_open
    }

    /// What the last ping carried, to be sent back.
    #[must_use]
    pub fn take_ping(&mut self) -> ContentBuf {
        self.ping.take()
    }

    /// Takes frames off the front of `input`, appending what messages carry to `message`, up to the next event; `None` when the input is
    /// used up. Whoever gets [`Frame::Message`] takes it out of `message`.
    ///
    /// # Errors
    /// The code with which the connection is to close. The decoder is useless after that.
    pub fn decode(&mut self, input: &mut ContentBuf, message: &mut ContentBuf) -> Result<Option<Frame>, CloseCode> {
        loop {
            if let Some(data) = &mut self.data {
                let take = usize::try_from(data.left).unwrap_or(usize::MAX).min(input.len());
                let from = message.len();
                message.extend(&input.expose()[..take]);
                input.consume(take);
                unmask(&mut message.expose_mut()[from..], data.mask, data.read);
                (data.left, data.read) = (data.left - take as u64, data.read + take as u64);
                if data.left > 0 {
                    return Ok(None);
                }
                self.is_open = !data.is_last;
                self.data = None;
                if !self.is_open {
                    let text = std::str::from_utf8(message.expose());
                    return text.map(|_| Some(Frame::Message)).map_err(|_| CloseCode::NotUtf8);
                }
            }
            match self.next(input)? {
                Next::Control(frame) => return Ok(Some(frame)),
                Next::Data(head) => {
                    if (message.len() as u64).saturating_add(head.length) > self.limit {
                        return Err(CloseCode::TooLarge);
                    }
                    input.consume(head.size);
                    self.data = Some(Data { left: head.length, mask: head.mask, read: 0, is_last: head.is_last });
                }
                Next::More => return Ok(None),
            }
        }
    }

    /// As [`Self::decode`] between messages, up to the next one, of which nothing is taken: [`Frame::Message`] says that it has begun.
    ///
    /// # Errors
    /// As [`Self::decode`].
    pub fn control(&mut self, input: &mut ContentBuf) -> Result<Option<Frame>, CloseCode> {
        Ok(match self.next(input)? {
            Next::Control(frame) => Some(frame),
            Next::Data(_) => Some(Frame::Message),
            Next::More => None,
        })
    }

    /// The next frame: a control frame is taken, the head of another one is read.
    fn next(&mut self, input: &mut ContentBuf) -> Result<Next, CloseCode> {
        let Some(head) = Head::read(input.expose(), self.is_open)? else { return Ok(Next::More) };
        if head.opcode < CLOSE {
            return Ok(Next::Data(head));
        }
        let end = head.size + usize::try_from(head.length).unwrap_or(CONTROL_LIMIT);
        let Some(payload) = input.expose_mut().get_mut(head.size..end) else { return Ok(Next::More) };
        unmask(payload, head.mask, 0);
        let frame = match head.opcode {
            PING => {
                self.ping.clear();
                self.ping.extend(payload);
                Frame::Ping
            }
            PONG => Frame::Pong,
            _ => closing(payload)?,
        };
        input.consume(end);
        Ok(Next::Control(frame))
    }
}

const CONTINUATION: u8 = 0;
const TEXT: u8 = 1;
const BINARY: u8 = 2;
const CLOSE: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;

impl Head {
    /// The head at the start of `bytes`, if it is there. What can be refused by its first bytes is refused by them.
    fn read(bytes: &[u8], is_open: bool) -> Result<Option<Self>, CloseCode> {
        let [first, second, rest @ ..] = bytes else { return Ok(None) };
        let (is_last, opcode, short) = (first & 0x80 != 0, first & 0x0f, second & 0x7f);
        match opcode {
            // No extension that would give the reserved bits a meaning is ever agreed on, and a client masks everything (section 5.1).
            _ if first & 0x70 != 0 || second & 0x80 == 0 => return Err(CloseCode::Protocol),
            CONTINUATION if is_open => {}
            TEXT if !is_open => {}
            BINARY if !is_open => return Err(CloseCode::Unsupported),
            CLOSE..=PONG if is_last && usize::from(short) <= CONTROL_LIMIT => {}
            _ => return Err(CloseCode::Protocol),
        }
        let (length, rest) = match short {
            126 => match rest.split_first_chunk() {
                Some((length, rest)) => (u64::from(u16::from_be_bytes(*length)), rest),
                None => return Ok(None),
            },
            127 => match rest.split_first_chunk() {
                Some((length, rest)) => (u64::from_be_bytes(*length), rest),
                None => return Ok(None),
            },
            short => (short.into(), rest),
        };
        // The shortest form, and no sign bit (section 5.2).
        if short == 126 && length < 126 || short == 127 && (length <= u16::MAX.into() || length >> 63 != 0) {
            return Err(CloseCode::Protocol);
        }
        let Some((mask, rest)) = rest.split_first_chunk() else { return Ok(None) };
        Ok(Some(Self { opcode, is_last, length, mask: *mask, size: bytes.len() - rest.len() }))
    }
}

/// What a close frame says: nothing, or a code that may be sent (section 7.4) and a reason in UTF-8.
fn closing(payload: &[u8]) -> Result<Frame, CloseCode> {
    match payload.split_first_chunk() {
        None if payload.is_empty() => Ok(Frame::Close),
        Some((code, reason)) => match u16::from_be_bytes(*code) {
            1000..=1003 | 1007..=1014 | 3000..=4999 if std::str::from_utf8(reason).is_ok() => Ok(Frame::Close),
            1000..=1003 | 1007..=1014 | 3000..=4999 => Err(CloseCode::NotUtf8),
            _ => Err(CloseCode::Protocol),
        },
        None => Err(CloseCode::Protocol),
    }
}

/// Undoes the mask in place (section 5.3), from the payload's byte `at` on.
fn unmask(bytes: &mut [u8], mut mask: [u8; 4], at: u64) {
    mask.rotate_left((at % 4) as usize);
    for four in bytes.chunks_mut(4) {
        four.iter_mut().zip(mask).for_each(|(byte, mask)| *byte ^= mask);
    }
}

/// Appends a whole text message made of `parts`.
pub(crate) fn write_text(parts: &[&[u8]], out: &mut ContentBuf) {
    let length = parts.iter().map(|part| part.len()).sum();
    out.reserve(length + HEAD_MOST);
    write_head(TEXT, length, out);
    parts.iter().for_each(|part| out.extend(part));
}

/// Appends the answer to a ping.
pub(crate) fn write_pong(payload: &[u8], out: &mut ContentBuf) {
    write_head(PONG, payload.len(), out);
    out.extend(payload);
}

/// Appends a close frame.
pub(crate) fn write_close(code: CloseCode, out: &mut ContentBuf) {
    write_head(CLOSE, 2, out);
    out.extend(&(code as u16).to_be_bytes());
}

/// A server masks nothing (section 5.1).
fn write_head(opcode: u8, length: usize, out: &mut ContentBuf) {
    let length = length as u64;
    out.extend(&[0x80 | opcode]);
    match (u8::try_from(length), u16::try_from(length)) {
        (Ok(short @ ..126), _) => out.extend(&[short]),
        (_, Ok(middle)) => {
            out.extend(&[126]);
            out.extend(&middle.to_be_bytes());
        }
        _ => {
            out.extend(&[127]);
            out.extend(&length.to_be_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use lethe_content::ContentBuf;
    use proptest::prelude::*;

    use super::{CloseCode, Frame, FrameDecoder, write_close, write_pong, write_text};

    /// What a client sends: first byte, payload, in the shortest form.
    fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
        let mask = [0x37, 0xfa, 0x21, 0x3d];
        let mut bytes = vec![first];
        match payload.len() {
            short @ ..126 => bytes.push(0x80 | u8::try_from(short).unwrap_or_default()),
            middle @ ..65_536 => {
                bytes.push(0x80 | 126);
                bytes.extend(u16::try_from(middle).unwrap_or_default().to_be_bytes());
            }
            long => {
                bytes.push(0x80 | 127);
                bytes.extend((long as u64).to_be_bytes());
            }
        }
        bytes.extend(mask);
        bytes.extend(payload.iter().zip(mask.into_iter().cycle()).map(|(byte, mask)| byte ^ mask));
        bytes
    }

    /// What comes of `pieces`: messages as they are, control frames by name, and the code if it ends with one.
    fn read<'a>(pieces: impl IntoIterator<Item = &'a [u8]>, limit: u64) -> Vec<String> {
        let (mut decoder, mut input, mut message) = (FrameDecoder::new(limit), ContentBuf::new(), ContentBuf::new());
        let mut seen = Vec::new();
        for piece in pieces {
            input.extend(piece);
            loop {
                match decoder.decode(&mut input, &mut message) {
                    Ok(None) => break,
                    Ok(Some(Frame::Message)) => seen.push(String::from_utf8_lossy(message.take().expose()).into_owned()),
                    Ok(Some(Frame::Ping)) => seen.push(format!("Ping {}", decoder.take_ping().len())),
                    Ok(Some(other)) => seen.push(format!("{other:?}")),
                    Err(code) => {
                        seen.push(format!("{}", code as u16));
                        return seen;
                    }
                }
            }
        }
        seen
    }

    fn whole(bytes: &[u8]) -> Vec<String> {
        read([bytes], 100_000)
    }

    #[test]
    fn messages_are_put_together() {
        // The RFC's own example of a masked message (section 5.7).
        assert_eq!(whole(b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58"), ["Hello"]);
        let parts =
            [frame(0x01, b"{\"a\":"), frame(0x89, b"still there?"), frame(0x00, b""), frame(0x80, b"1}"), frame(0x8a, b"")];
        assert_eq!(whole(&parts.concat()), ["Ping 12", "{\"a\":1}", "Pong"]);
        let long = "a".repeat(70_000);
        assert_eq!(whole(&[frame(0x81, long.as_bytes()), frame(0x81, &long.as_bytes()[..300])].concat()), [&long, &long[..300]]);
        assert_eq!(whole(&frame(0x88, b"")), ["Close"]);
        assert_eq!(whole(&frame(0x88, b"\x03\xe8bye")), ["Close"]);
        // A character over two frames.
        assert_eq!(whole(&[frame(0x01, b"\xc3"), frame(0x80, b"\xa9")].concat()), ["é"]);
    }

    #[test]
    fn what_is_not_allowed_ends_with_its_code() {
        let unmasked = b"\x81\x05Hello".to_vec();
        for (bytes, code, what) in [
            (unmasked, 1002, "without a mask"),
            (frame(0xc1, b"a"), 1002, "a reserved bit"),
            (frame(0x83, b"a"), 1002, "an opcode that is none"),
            (frame(0x8b, b""), 1002, "a control opcode that is none"),
            (frame(0x80, b"a"), 1002, "a continuation of nothing"),
            ([frame(0x01, b"a"), frame(0x81, b"b")].concat(), 1002, "a message within another"),
            ([frame(0x01, b"a"), frame(0x82, b"b")].concat(), 1002, "a binary one within another"),
            (frame(0x09, b""), 1002, "a control frame in pieces"),
            (frame(0x89, &[0; 126]), 1002, "a control frame that is too long"),
            (b"\x81\xfe\x00\x05".to_vec(), 1002, "a length that is not in its shortest form"),
            (b"\x81\xff\x00\x00\x00\x00\x00\x00\xff\xff".to_vec(), 1002, "nor here"),
            (b"\x81\xff\x80\x00\x00\x00\x00\x00\x00\x00".to_vec(), 1002, "a length with a sign"),
            (frame(0x88, b"\x03"), 1002, "half a code"),
            (frame(0x88, b"\x03\xed"), 1002, "a code that is never sent"),
            (frame(0x88, b"\x03\xe8\xff"), 1007, "a reason that is not UTF-8"),
            (frame(0x82, b"a"), 1003, "binary"),
            (frame(0x81, b"\xc3("), 1007, "text that is not UTF-8"),
        ] {
            assert_eq!(whole(&bytes), [code.to_string()], "{what}");
        }
    }

    #[test]
    fn a_message_over_the_limit_is_refused_by_its_head() {
        assert_eq!(read([&frame(0x81, b"12345")[..]], 5), ["12345"]);
        assert_eq!(read([&frame(0x81, b"123456")[..6]], 5), ["1009"]);
        assert_eq!(read([&[frame(0x01, b"123"), frame(0x80, b"456")].concat()[..]], 5), ["1009"], "all its frames together");
        assert_eq!(read([&b"\x81\xff\x7f\xff\xff\xff\xff\xff\xff\xff\0\0\0\0"[..]], u64::MAX - 1), Vec::<String>::new());
    }

    #[test]
    fn between_messages_nothing_of_the_next_is_taken() {
        let (mut decoder, mut input) = (FrameDecoder::new(9), ContentBuf::new());
        input.extend(&[frame(0x8a, b"x"), frame(0x81, b"12")].concat());
        assert_eq!(decoder.control(&mut input), Ok(Some(Frame::Pong)));
        let left = input.len();
        assert_eq!(decoder.control(&mut input), Ok(Some(Frame::Message)));
        assert_eq!((input.len(), left), (8, 8));
    }

    #[test]
    fn what_is_written_has_the_shortest_length_and_no_mask() {
        let head = |length: usize| {
            let mut out = ContentBuf::new();
            write_text(&[&vec![b'a'; length], b""], &mut out);
            assert!(out.expose().ends_with(&vec![b'a'; length]));
            out.expose()[..out.len() - length].to_vec()
        };
        assert_eq!(head(125), [0x81, 125]);
        assert_eq!(head(126), [0x81, 126, 0, 126]);
        assert_eq!(head(65_535), [0x81, 126, 255, 255]);
        assert_eq!(head(65_536), [0x81, 127, 0, 0, 0, 0, 0, 1, 0, 0]);
        let (mut out, mut input) = (ContentBuf::new(), ContentBuf::new());
        input.extend(&frame(0x89, b"abc"));
        let mut decoder = FrameDecoder::new(0);
        assert_eq!(decoder.control(&mut input), Ok(Some(Frame::Ping)));
        write_pong(decoder.take_ping().expose(), &mut out);
        write_close(CloseCode::GoingAway, &mut out);
        assert_eq!(out.expose(), b"\x8a\x03abc\x88\x02\x03\xe9");
    }

    proptest! {
        #[test]
        fn any_split_gives_the_same_messages(
            frames in prop::collection::vec((0usize..8, prop::collection::vec(any::<u8>(), 0..200)), 0..8),
            cuts in prop::collection::vec(1usize..40, 1..6),
        ) {
            const FIRST: [u8; 8] = [0x01, 0x81, 0x00, 0x80, 0x89, 0x8a, 0x88, 0x82];
            let bytes: Vec<u8> = frames.iter().flat_map(|(kind, payload)| {
                let text = payload.iter().map(|byte| byte & 0x7f).collect::<Vec<u8>>();
                frame(FIRST[*kind], if FIRST[*kind] & 8 == 0 { &text } else { &text[..text.len().min(125)] })
            }).collect();
            let mut rest = &bytes[..];
            let pieces: Vec<&[u8]> = cuts.iter().cycle().map_while(|cut| {
                let (piece, left) = rest.split_at((*cut).min(rest.len()));
                rest = left;
                (!piece.is_empty()).then_some(piece)
            }).collect();
            prop_assert_eq!(read(pieces, 500), read([&bytes[..]], 500));
        }

        #[test]
        fn no_input_panics(input in prop::collection::vec(any::<u8>(), 0..100)) {
            whole(&input);
        }
    }
}
