//! The plain characters of a JSON string, passed over a word at a time.

/// Where the plain characters of a string that begin at `at` end: at a quote, a backslash, a control character (RFC 8259
/// section 7), or the end of `bytes`.
pub(crate) fn plain_end(bytes: &[u8], mut at: usize) -> usize {
    const fn special(byte: u8) -> bool {
        byte < 0x20 || byte == b'"' || byte == b'\\'
    }
    // Most strings are short; in long ones whole blocks are looked at with as few instructions as the compiler knows.
    while let Some(block) = bytes.get(at..).and_then(<[u8]>::first_chunk::<32>) {
        if block.iter().fold(false, |found, byte| found | special(*byte)) {
            break;
        }
        at += block.len();
    }
    while let Some(word) = bytes.get(at..).and_then(<[u8]>::first_chunk::<8>) {
        let found = special_bytes(u64::from_le_bytes(*word));
        if found != 0 {
            return at + (found.trailing_zeros() / 8) as usize;
        }
        at += word.len();
    }
    while bytes.get(at).is_some_and(|byte| !special(*byte)) {
        at += 1;
    }
    at
}

/// The high bit of each byte of `word` that is a quote, a backslash or below 0x20; bytes above the first such one may be marked
/// wrongly (a borrow runs upwards), the first one never is.
const fn special_bytes(word: u64) -> u64 {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = 0x8080_8080_8080_8080;
    const fn zero(word: u64) -> u64 {
        word.wrapping_sub(ONES) & !word & HIGH
    }
    let control = word.wrapping_sub(ONES * 0x20) & !word & HIGH;
    control | zero(word ^ (ONES * b'"' as u64)) | zero(word ^ (ONES * b'\\' as u64))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::plain_end;

    proptest! {
        #[test]
        fn long_strings_end_where_they_end(text in r#"[a-zé\x7f"\\\x01\x1f ]{0,100}"#, lead in 0usize..40) {
            let text = format!("{}{text}", " ".repeat(lead));
            let slow = text.bytes().position(|byte| byte < 0x20 || byte == b'"' || byte == b'\\').unwrap_or(text.len());
            prop_assert_eq!(plain_end(text.as_bytes(), 0), slow);
        }
    }
}
