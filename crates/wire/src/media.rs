//! Media inside of JSON strings: `data:` URLs (RFC 2397) and base64 (RFC 4648 section 4).

pub mod base64;

use std::borrow::Cow;

use crate::conversation::{Document, Image, Str};
use crate::refusal::Refusal;

const INLINE: &str = "a data: URL with a media type and base64 data";

/// Reads a picture in a `data:` URL that stands in `field`. A `detail` that says nothing is none.
pub(crate) fn image<'a>(url: &'a str, detail: Option<Str<'a>>, field: &'static str) -> Result<Image<'a>, Refusal> {
    let (media_type, data) = data_url(url).ok_or(Refusal::BadMedia(field, INLINE))?;
    if !media_type.raw().get(..6).is_some_and(|kind| kind.eq_ignore_ascii_case("image/")) {
        return Err(Refusal::BadMedia(field, "a picture"));
    }
    Ok(Image { media_type, data, detail: detail.filter(|detail| detail.raw() != "auto") })
}

/// Reads a document in a `data:` URL that stands in `field`, or its data alone where the name says that it is a PDF.
pub(crate) fn document<'a>(data: &'a str, name: Option<Str<'a>>, field: &'static str) -> Result<Document<'a>, Refusal> {
    let is_pdf = name.as_ref().is_some_and(|name| name.raw().to_ascii_lowercase().ends_with(".pdf"));
    let (media_type, data) = match data_url(data) {
        Some(read) => read,
        None if is_pdf && is_base64(data) => (Str::constant("application/pdf"), Str::from_raw(data)),
        None => return Err(Refusal::BadMedia(field, INLINE)),
    };
    Ok(Document { media_type, data, name })
}

/// The data in `field` if it is base64.
pub(crate) fn inline<'a>(data: Str<'a>, field: &'static str) -> Result<Str<'a>, Refusal> {
    if is_base64(data.raw()) { Ok(data) } else { Err(Refusal::BadMedia(field, "base64")) }
}

/// The data in `field` as base64 of the standard alphabet with padding; the other alphabet and missing padding are as good.
pub(crate) fn inline_of_either<'a>(data: Str<'a>, field: &'static str) -> Result<Str<'a>, Refusal> {
    if is_base64(data.raw()) {
        return Ok(data);
    }
    let bytes = base64::decode(&data.plain()).filter(|bytes| !bytes.is_empty()).ok_or(Refusal::BadMedia(field, "base64"))?;
    Ok(Str::of(&base64::encode(&bytes)))
}

/// A text as the data of a document.
pub(crate) fn of_text(text: &Str<'_>) -> Str<'static> {
    Str::of(&base64::encode(text.plain().as_bytes()))
}

/// The text in a document's data; `None` for what is not UTF-8.
pub(crate) fn text(data: &Str<'_>) -> Option<String> {
    String::from_utf8(base64::decode(&data.plain())?).ok()
}

/// A media type as references spell it.
#[must_use]
pub fn media_type(text: &Str<'_>) -> Cow<'static, str> {
    match text.plain().to_ascii_lowercase() {
        jpg if jpg == "image/jpg" => "image/jpeg".into(),
        other => other.into(),
    }
}

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
    #![expect(clippy::unwrap_used, reason = "a failed test")]

    use super::{data_url, document, image, is_base64};
    use crate::conversation::Str;

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

    #[test]
    fn only_inline_pictures_are_pictures() {
        let good = image("data:image/png;base64,AAAA", Some(Str::constant("auto")), "f").ok().unwrap();
        assert_eq!((good.media_type.raw(), good.data.raw(), good.detail.is_none()), ("image/png", "AAAA", true));
        for bad in ["https://a/b.png", "data:image/png;base64,A?AA", "data:text/plain;base64,AAAA"] {
            assert!(image(bad, None, "f").is_err(), "{bad}");
        }
    }

    #[test]
    fn a_pdf_may_come_without_its_type() {
        let name = || Some(Str::constant("a.PDF"));
        assert_eq!(document("AAAA", name(), "f").ok().unwrap().media_type.raw(), "application/pdf");
        assert_eq!(document("data:text/csv;base64,AAAA", name(), "f").ok().unwrap().media_type.raw(), "text/csv");
        assert!(document("AAAA", None, "f").is_err());
        assert!(document("A?AA", name(), "f").is_err());
    }
}
