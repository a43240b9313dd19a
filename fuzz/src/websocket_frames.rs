//! A client's frames give the same messages whatever pieces they come in, and the same as a second reader finds who has all of them before him.

use super::Cuts;
use lethe_content::ContentBuf;
use lethe_http1::{CloseCode, Frame, FrameDecoder};

const LIMIT: u64 = 300;

#[derive(Debug, PartialEq, Eq)]
enum Seen {
    Closing(u16),
    Message(Vec<u8>),
    Other(Frame, Vec<u8>),
}

fn decode<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> Vec<Seen> {
    let (mut decoder, mut input, mut message) = (FrameDecoder::new(LIMIT), ContentBuf::new(), ContentBuf::new());
    let mut seen = Vec::new();
    for piece in pieces {
        input.extend(piece);
        loop {
            assert!(message.len() as u64 <= LIMIT);
            match decoder.decode(&mut input, &mut message) {
                Ok(None) => break,
                Ok(Some(Frame::Message)) => seen.push(Seen::Message(message.take().expose().to_vec())),
                Ok(Some(other)) => seen.push(Seen::Other(other, decoder.take_ping().expose().to_vec())),
                Err(code) => {
                    seen.push(Seen::Closing(code as u16));
                    return seen;
                }
            }
        }
    }
    seen
}

/// RFC 6455 section 5.2, frame by frame, each with all of its payload. What a frame without its end would come to is left to the decoder.
fn oracle(text: &[u8]) -> Vec<Seen> {
    let (mut at, mut seen, mut open) = (0, Vec::new(), None::<Vec<u8>>);
    while let Some((first, payload, next)) = frame(text, at) {
        at = next;
        let (is_last, kind) = (first >= 128, first % 16);
        let fits = |have: usize| (have + payload.len()) as u64 <= LIMIT;
        match (kind, open.take()) {
            _ if first & 0b0111_0000 != 0 => break,
            (0, Some(have)) if fits(have.len()) => open = Some([have, payload].concat()),
            (1, None) if fits(0) => open = Some(payload),
            (8..=10, had) if is_last && payload.len() < 126 => {
                open = had;
                match (kind, payload.len()) {
                    (8, 1) => break,
                    (8, 2..) => {
                        let code = u16::from_be_bytes([payload[0], payload[1]]);
                        let allowed =
                            (1000..=1014).contains(&code) && !(1004..=1006).contains(&code) || (3000..=4999).contains(&code);
                        if !allowed || String::from_utf8(payload[2..].to_vec()).is_err() {
                            break;
                        }
                        seen.push(Seen::Other(Frame::Close, Vec::new()));
                    }
                    (8, _) => seen.push(Seen::Other(Frame::Close, Vec::new())),
                    (9, _) => seen.push(Seen::Other(Frame::Ping, payload)),
                    _ => seen.push(Seen::Other(Frame::Pong, Vec::new())),
                }
                continue;
            }
            _ => break,
        }
        if is_last {
            match open.take() {
                Some(message) if std::str::from_utf8(&message).is_ok() => seen.push(Seen::Message(message)),
                _ => break,
            }
        }
    }
    seen
}

/// The frame at `at`: first byte, what it carries, where the next one is. `None` for one that is not whole, not masked, or not in its shortest form.
fn frame(text: &[u8], at: usize) -> Option<(u8, Vec<u8>, usize)> {
    let [first, second] = *text.get(at..at + 2)? else { return None };
    let (size, shortest) = match second {
        255 => (8, 65_536),
        254 => (2, 126),
        128..=253 => (0, 0),
        _ => return None,
    };
    let mut length = u64::from(second - 128);
    if size > 0 {
        length = text.get(at + 2..at + 2 + size)?.iter().fold(0, |length, byte| length << 8 | u64::from(*byte));
    }
    let from = at + 2 + size + 4;
    let end = from.checked_add(usize::try_from(length).ok().filter(|length| *length >= shortest)?)?;
    let mask = text.get(from - 4..from)?;
    let payload = text.get(from..end)?;
    Some((first, payload.iter().enumerate().map(|(at, byte)| byte ^ mask[at % 4]).collect(), end))
}

/// Panics when the property does not hold for `input`.
pub fn holds(input: &[u8]) {
    let Some((cuts, text)) = Cuts::split_off(input) else { return };
    let mut whole = decode(std::iter::once(text));
    assert_eq!(whole, decode(cuts.pieces(text)));
    if let Some(Seen::Closing(code)) = whole.last() {
        assert!(
            [CloseCode::Protocol, CloseCode::Unsupported, CloseCode::NotUtf8, CloseCode::TooLarge]
                .map(|code| code as u16)
                .contains(code)
        );
        whole.pop();
    }
    assert_eq!(whole, oracle(text));
}
