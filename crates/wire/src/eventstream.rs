//! Messages of AWS' event stream (`application/vnd.amazon.eventstream`), found in a stream as it arrives.
//!
//! <https://smithy.io/2.0/aws/amazon-eventstream.html#amazon-event-stream-specification>: lengths of the message and of its headers (big endian), CRC-32 of these
//! eight bytes, headers, payload, CRC-32 of all that.

use std::ops::Range;

/// Lengths and their checksum.
const PRELUDE_BYTES: usize = 12;
const CHECKSUM_BYTES: usize = 4;
/// A message without headers and payload.
const LEAST_BYTES: usize = PRELUDE_BYTES + CHECKSUM_BYTES;
/// A message longer than this is none: AWS' own limits are 24 MiB for a payload, and an answer comes in far smaller ones.
const MESSAGE_LIMIT: usize = 16 * 1024 * 1024;
/// AWS' own limit.
const HEADERS_LIMIT: usize = 128 * 1024;

/// The stream is not one of such messages, or was damaged on the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotMessages;

/// What `:message-type` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MessageKind {
    /// The service failed in a way that its API does not describe: the text is in a header.
    Error,
    /// One of the API's events.
    Event,
    /// One of the API's errors.
    Exception,
}

/// One complete message: where it lies in the buffer, and where its parts are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// The whole message.
    pub span: Range<usize>,
    /// Its kind.
    pub kind: MessageKind,
    /// The value of `:event-type` or `:exception-type`; of an error, of `:message-type`, which is `error`.
    pub name: Range<usize>,
    /// The payload; of an error, the value of `:error-message`.
    pub data: Range<usize>,
}

/// The next complete message of `bytes` at `from`; `None` when its end has not arrived.
///
/// # Errors
/// [`NotMessages`] for lengths without sense, a wrong checksum, or headers that do not say what the message is.
pub fn next_message(bytes: &[u8], from: usize) -> Result<Option<Message>, NotMessages> {
    let rest = bytes.get(from..).unwrap_or_default();
    let Some((prelude, _)) = rest.split_at_checked(PRELUDE_BYTES) else { return Ok(None) };
    let length = number(prelude, 0)?;
    let headers_length = number(prelude, 4)?;
    // The prelude has a checksum of its own, so that nobody waits for a length that was never meant.
    if checksum(&prelude[..8]) != number_u32(prelude, 8)?
        || !(LEAST_BYTES..=MESSAGE_LIMIT).contains(&length)
        || headers_length > HEADERS_LIMIT.min(length - LEAST_BYTES)
    {
        return Err(NotMessages);
    }
    let Some(message) = rest.get(..length) else { return Ok(None) };
    let end = length - CHECKSUM_BYTES;
    if checksum(&message[..end]) != number_u32(message, end)? {
        return Err(NotMessages);
    }
    let payload_start = PRELUDE_BYTES + headers_length;
    let headers = Headers::read(message, PRELUDE_BYTES..payload_start)?;
    let kind_span = headers.kind.ok_or(NotMessages)?;
    let (kind, name, data) = match &message[kind_span.clone()] {
        b"event" => (MessageKind::Event, headers.event.ok_or(NotMessages)?, payload_start..end),
        b"exception" => (MessageKind::Exception, headers.exception.ok_or(NotMessages)?, payload_start..end),
        b"error" => (MessageKind::Error, kind_span, headers.error.unwrap_or(end..end)),
        _ => return Err(NotMessages),
    };
    let moved = |span: Range<usize>| from + span.start..from + span.end;
    Ok(Some(Message { span: from..from + length, kind, name: moved(name), data: moved(data) }))
}

/// Where the values of the headers are that say what a message is.
#[derive(Default)]
struct Headers {
    kind: Option<Range<usize>>,
    event: Option<Range<usize>>,
    exception: Option<Range<usize>>,
    error: Option<Range<usize>>,
}

impl Headers {
    fn read(message: &[u8], span: Range<usize>) -> Result<Self, NotMessages> {
        let mut headers = Self::default();
        let mut at = span.start;
        while at < span.end {
            let name_length = usize::from(*message.get(at).ok_or(NotMessages)?);
            let name = at + 1..at + 1 + name_length;
            let kind = *message.get(name.end).filter(|_| name_length > 0).ok_or(NotMessages)?;
            let (skip, length) = match kind {
                // true, false
                0 | 1 => (0, 0),
                // Numbers of 1, 2, 4 and 8 bytes, a timestamp, a UUID.
                2 => (0, 1),
                3 => (0, 2),
                4 => (0, 4),
                5 | 8 => (0, 8),
                9 => (0, 16),
                // Bytes and strings have their length before them.
                6 | 7 => {
                    let length = message.get(name.end + 1..name.end + 3).ok_or(NotMessages)?;
                    (2, length.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)))
                }
                _ => return Err(NotMessages),
            };
            let start = name.end + 1 + skip;
            let value = start..start + length;
            at = value.end;
            if at > span.end {
                return Err(NotMessages);
            }
            let place = match message.get(name).unwrap_or_default() {
                b":message-type" => &mut headers.kind,
                b":event-type" => &mut headers.event,
                b":exception-type" => &mut headers.exception,
                b":error-message" => &mut headers.error,
                _ => continue,
            };
            if kind != 7 || place.replace(value).is_some() {
                return Err(NotMessages);
            }
        }
        Ok(headers)
    }
}

fn number_u32(bytes: &[u8], at: usize) -> Result<u32, NotMessages> {
    bytes.get(at..).and_then(<[u8]>::first_chunk).map(|bytes| u32::from_be_bytes(*bytes)).ok_or(NotMessages)
}

fn number(bytes: &[u8], at: usize) -> Result<usize, NotMessages> {
    usize::try_from(number_u32(bytes, at)?).map_err(|_| NotMessages)
}

/// CRC-32 as gzip has it (RFC 1952 section 8).
fn checksum(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |sum, byte| TABLE[usize::from(sum as u8 ^ byte)] ^ sum >> 8)
}

static TABLE: [u32; 256] = table();

const fn table() -> [u32; 256] {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let mut sum = byte as u32;
        let mut bit = 0;
        while bit < 8 {
            sum = if sum & 1 == 1 { 0xedb8_8320 ^ sum >> 1 } else { sum >> 1 };
            bit += 1;
        }
        table[byte] = sum;
        byte += 1;
    }
    table
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed test")]

    use proptest::prelude::*;

    use super::{MessageKind, NotMessages, checksum, next_message};

    /// A message as a service writes it.
    fn message(headers: &[(&str, &str)], payload: &str) -> Vec<u8> {
        let mut encoded = Vec::new();
        for (name, value) in headers {
            encoded.push(u8::try_from(name.len()).unwrap());
            encoded.extend(name.as_bytes());
            encoded.push(7);
            encoded.extend(u16::try_from(value.len()).unwrap().to_be_bytes());
            encoded.extend(value.as_bytes());
        }
        framed(&encoded, payload)
    }

    fn framed(headers: &[u8], payload: &str) -> Vec<u8> {
        let length = u32::try_from(16 + headers.len() + payload.len()).unwrap();
        let mut out = [length.to_be_bytes(), u32::try_from(headers.len()).unwrap().to_be_bytes()].concat();
        out.extend(checksum(&out).to_be_bytes());
        out.extend(headers);
        out.extend(payload.as_bytes());
        out.extend(checksum(&out).to_be_bytes());
        out
    }

    fn event(name: &str, payload: &str) -> Vec<u8> {
        message(&[(":event-type", name), (":content-type", "application/json"), (":message-type", "event")], payload)
    }

    fn stream() -> Vec<u8> {
        let failed = message(&[(":message-type", "error"), (":error-code", "500"), (":error-message", "broken")], "");
        let thrown =
            message(&[(":exception-type", "throttlingException"), (":message-type", "exception")], "{\"message\":\"slow\"}");
        [event("messageStart", "{\"role\":\"assistant\"}"), event("contentBlockDelta", ""), thrown, failed].concat()
    }

    type Found = Vec<(MessageKind, String, String)>;

    fn read(bytes: &[u8]) -> Result<Found, NotMessages> {
        let (mut from, mut found) = (0, Vec::new());
        while let Some(message) = next_message(bytes, from)? {
            let text = |span| String::from_utf8_lossy(&bytes[span]).into_owned();
            found.push((message.kind, text(message.name), text(message.data)));
            from = message.span.end;
        }
        Ok(found)
    }

    #[test]
    fn messages_are_found() {
        let found = read(&stream()).unwrap();
        let shown: Vec<_> = found.iter().map(|(kind, name, data)| (*kind, name.as_str(), data.as_str())).collect();
        assert_eq!(
            shown,
            [
                (MessageKind::Event, "messageStart", "{\"role\":\"assistant\"}"),
                (MessageKind::Event, "contentBlockDelta", ""),
                (MessageKind::Exception, "throttlingException", "{\"message\":\"slow\"}"),
                (MessageKind::Error, "error", "broken"),
            ]
        );
    }

    /// AWS' own examples, from the tests of its implementation in C.
    #[test]
    fn checksums_are_aws_own() {
        let empty = [0, 0, 0, 0x10, 0, 0, 0, 0, 0x05, 0xc2, 0x48, 0xeb, 0x7d, 0x98, 0xc8, 0xff];
        assert_eq!(framed(b"", ""), empty);
        assert_eq!(read(&empty), Err(NotMessages), "it does not say what it is");
        let with_payload = framed(b"", "{'foo':'bar'}");
        assert_eq!(with_payload[8..12], [0xfd, 0x52, 0x8c, 0x5a]);
        assert_eq!(with_payload[25..], [0xc3, 0x65, 0x39, 0x36]);
        let with_header = message(&[("content-type", "application/json")], "{'foo':'bar'}");
        assert_eq!(with_header[8..12], [0x07, 0xfd, 0x83, 0x96]);
        assert_eq!(with_header[57..], [0x8d, 0x9c, 0x08, 0xb1]);
    }

    #[test]
    fn what_is_no_message_is_refused() {
        assert_eq!(read(b"HTTP/1.1 500 x"), Err(NotMessages));
        let headers = |bytes: &[u8]| read(&framed(bytes, ""));
        assert_eq!(headers(b"\x0d:message-type\x07\x00\x05event"), Err(NotMessages), "an event without a name");
        assert_eq!(headers(b"\x0d:message-type\x07\x00\xffevent"), Err(NotMessages), "a value longer than its headers");
        assert_eq!(headers(b"\x01a\x0a"), Err(NotMessages), "a type that is none");
        assert_eq!(headers(b"\x00\x00"), Err(NotMessages), "a header without a name");
        let all = b"\x01a\x00\x01b\x01\x01c\x021\x01d\x0312\x01e\x041234\x01f\x0512345678\x01g\x06\x00\x01x\x01h\x0812345678\x01i\x090123456789abcdef\x0d:message-type\x07\x00\x05error";
        assert_eq!(headers(all).unwrap().len(), 1, "every type of header can be passed over");
        let huge = [&[0x7f, 0, 0, 0, 0, 0, 0, 0][..], &checksum(&[0x7f, 0, 0, 0, 0, 0, 0, 0]).to_be_bytes()].concat();
        assert_eq!(read(&huge), Err(NotMessages), "nobody waits for 2 GiB");
    }

    #[test]
    fn a_flipped_bit_is_refused() {
        let good = event("messageStop", "{\"stopReason\":\"end_turn\"}");
        assert_eq!(read(&good).unwrap().len(), 1);
        for bit in 0..good.len() * 8 {
            let mut bad = good.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(read(&bad), Err(NotMessages), "bit {bit}");
        }
    }

    proptest! {
        #[test]
        fn a_prefix_never_shows_other_messages(cut in 0usize..600) {
            let stream = stream();
            let whole = read(&stream).unwrap();
            let prefix = read(&stream[..cut.min(stream.len())]).unwrap();
            prop_assert_eq!(&whole[..prefix.len()], &prefix[..]);
        }

        #[test]
        fn no_input_panics(input in prop::collection::vec(any::<u8>(), 0..200), payload in ".{0,40}") {
            let _ = read(&input);
            // Behind right checksums, so that the headers are looked at.
            let _ = read(&framed(&input, &payload));
        }
    }
}
