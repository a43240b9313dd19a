//! Media inside of JSON strings: `data:` URLs (RFC 2397) and base64 (RFC 4648 section 4).

use crate::conversation::Str;

/// The media type and the base64 data of a `data:` URL, which is the inside of a JSON string; `None` for what is none, has no media type, or is not base64.
///
/// ```
/// use lethe_wire::media::data_url;
/// let (media_type, data) = data_url("data:image/png;base64,AAAA").expect("a data URL");
/// assert_eq!((media_type.raw(), data.raw()), ("image/png", "AAAA"));
/// assert!(data_url("https://example.com/a.png").is_none());
/// ```
#[must_use]
pub fn data_url(raw: &str) -> Option<(Str<'_>, Str<'_>)> {
    let colon = raw.get(..5).filter(|scheme| scheme.eq_ignore_ascii_case("data:"))?.len();
    let comma = memchr::memchr(b',', raw.as_bytes())?;
    let head = raw.get(colon..comma)?;
    let end = head.len().checked_sub(";base64".len())?;
    let (media_type, encoding) = head.split_at_checked(end)?;
    // Parameters such as `;charset=utf-8` are not part of the type that providers ask for.
    let media_type = media_type.split(';').next()?;
    if !encoding.eq_ignore_ascii_case(";base64") || media_type.is_empty() {
        return None;
    }
    let data = raw.get(comma + 1..)?;
    is_base64(data).then_some((Str::from_raw(media_type), Str::from_raw(data)))
}

/// Whether `data`, the inside of a JSON string, is base64 with padding, in one line. A slash may be escaped, as JSON allows.
#[must_use]
pub fn is_base64(data: &str) -> bool {
    let raw = data.as_bytes();
    let unpadded = raw.strip_suffix(b"==").or_else(|| raw.strip_suffix(b"=")).unwrap_or(raw);
    let escapes = memchr::memchr_iter(b'\\', unpadded).count();
    let of_the_alphabet = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'\\');
    (raw.len() - escapes).is_multiple_of(4)
        && !raw.is_empty()
        && unpadded.iter().fold(true, |all, byte| all & of_the_alphabet(byte))
        && (escapes == 0 || memchr::memmem::find_iter(unpadded, b"\\/").count() == escapes)
}

#[cfg(test)]
mod tests {
    use super::{data_url, is_base64};

    #[test]
    fn only_base64_is_base64() {
        for good in ["AAAA", "AAA=", "AA==", "+/+/", r"+\/+\/"] {
            assert!(is_base64(good), "{good}");
        }
        for bad in ["", "AAA", "A A=", "====", "AA-_", r"AA\n", r"A\\AA", "AAAA\u{e9}"] {
            assert!(!is_base64(bad), "{bad}");
        }
    }

    #[test]
    fn only_inline_data_is_taken() {
        for bad in
            ["", "data:", "data:,x", "data:text/plain,x", "data:;base64,AAAA", "data:image/png;base64,A", "http://a/;base64,AAAA"]
        {
            assert!(data_url(bad).is_none(), "{bad}");
        }
        let charset = data_url("DATA:text/plain;charset=utf-8;base64,AAAA");
        assert!(charset.is_some_and(|(media_type, _)| media_type.raw() == "text/plain"));
    }
}
