//! Frames of `application/vnd.amazon.eventstream`
//! (<https://docs.aws.amazon.com/transcribe/latest/dg/event-stream.html>, and the specification of Smithy:
//! <https://smithy.io/2.0/aws/amazon-eventstream.html>): lengths, a checksum of them, headers, the payload, a checksum of all.

/// A frame whose headers are strings.
pub(super) fn frame(headers: &[(&str, &str)], payload: &[u8]) -> Vec<u8> {
    let mut written = Vec::new();
    for (name, value) in headers {
        written.push(u8::try_from(name.len()).expect("a short name"));
        written.extend_from_slice(name.as_bytes());
        // The type of a string.
        written.push(7);
        written.extend_from_slice(&u16::try_from(value.len()).expect("a short value").to_be_bytes());
        written.extend_from_slice(value.as_bytes());
    }
    let length = |length: usize| u32::try_from(length).expect("a short frame").to_be_bytes();
    let mut frame = Vec::new();
    frame.extend_from_slice(&length(12 + written.len() + payload.len() + 4));
    frame.extend_from_slice(&length(written.len()));
    frame.extend_from_slice(&crc32(&frame).to_be_bytes());
    frame.extend_from_slice(&written);
    frame.extend_from_slice(payload);
    frame.extend_from_slice(&crc32(&frame).to_be_bytes());
    frame
}

/// The CRC of IEEE 802.3, bit by bit.
fn crc32(data: &[u8]) -> u32 {
    !data.iter().fold(!0, |crc: u32, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| if crc & 1 == 1 { crc >> 1 ^ 0xEDB8_8320 } else { crc >> 1 })
    })
}

#[cfg(test)]
mod tests {
    use super::{crc32, frame};

    #[test]
    fn a_frame_is_as_long_as_it_says_and_its_checksums_are_the_known_ones() {
        // The check value of CRC-32/ISO-HDLC.
        assert_eq!(crc32(b"123456789"), 0xCBF4_3926);
        // The empty message of the specification's test vectors.
        let empty = [0, 0, 0, 16, 0, 0, 0, 0, 0x05, 0xc2, 0x48, 0xeb, 0x7d, 0x98, 0xc8, 0xff];
        assert_eq!(frame(&[], b""), empty);
        let one = frame(&[(":message-type", "event")], b"{}");
        assert_eq!(one.len(), u32::from_be_bytes([one[0], one[1], one[2], one[3]]) as usize);
    }
}
