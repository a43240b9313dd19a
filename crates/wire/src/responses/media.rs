//! Pictures and documents inline, as `data:` URLs (RFC 2397).

use crate::conversation::{Document, Image, Str};
use crate::refusal::Refusal;

/// Cuts `data:<media type>;base64,<data>`.
///
/// # Errors
/// [`Refusal::BadMedia`] for what is no such URL.
fn data_url<'a>(url: &Str<'a>, field: &'static str) -> Result<(Str<'a>, Str<'a>), Refusal> {
    let flaw = Refusal::BadMedia(field, "a URL of the form data:<media type>;base64,<data>");
    let raw = url.raw();
    let scheme = raw.get(..5).is_some_and(|scheme| scheme.eq_ignore_ascii_case("data:"));
    let comma = memchr::memchr(b',', raw.as_bytes()).filter(|_| scheme).ok_or(flaw.clone())?;
    let media_type = raw[5..comma].strip_suffix(";base64").ok_or(flaw.clone())?;
    // Parameters (`;name=a.png`) are nobody's concern but the browser's.
    let media_type = media_type.split(';').next().unwrap_or_default();
    let part = |of: char| of.is_ascii_alphanumeric() || matches!(of, '-' | '.' | '+' | '_');
    let is_type = media_type
        .split_once('/')
        .is_some_and(|(kind, name)| !kind.is_empty() && !name.is_empty() && kind.chars().all(part) && name.chars().all(part));
    if !is_type {
        return Err(flaw);
    }
    let media_type = Str::of(&media_type.to_ascii_lowercase());
    let data = base64(url.clone(), comma + 1, field)?;
    Ok((media_type, data))
}

/// What stands in `text` from `at` on, if it is base64 (RFC 4648 section 4).
fn base64<'a>(text: Str<'a>, at: usize, field: &'static str) -> Result<Str<'a>, Refusal> {
    let data = text.after(at);
    // Some encoders escape the slash; nothing else in base64 can be escaped.
    let data = if memchr::memchr(b'\\', data.raw().as_bytes()).is_some() { Str::of(&data.plain()) } else { data };
    let bytes = data.raw().trim_end_matches('=').as_bytes();
    let padding = data.raw().len() - bytes.len();
    let whole = data.raw().len().is_multiple_of(4) && padding <= 2 || padding == 0 && bytes.len() % 4 != 1;
    if whole && !bytes.is_empty() && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/')) {
        Ok(data)
    } else {
        Err(Refusal::BadMedia(field, "base64"))
    }
}

/// Reads `input_image.image_url`.
///
/// # Errors
/// [`Refusal::BadMedia`].
pub(super) fn image<'a>(url: &Str<'a>, detail: Option<Str<'a>>) -> Result<Image<'a>, Refusal> {
    const FIELD: &str = "input.content.image_url";
    let (media_type, data) = data_url(url, FIELD)?;
    if !media_type.raw().starts_with("image/") {
        return Err(Refusal::BadMedia(FIELD, "a picture"));
    }
    Ok(Image { media_type, data, detail: detail.filter(|detail| detail.raw() != "auto") })
}

/// Reads `input_file.file_data`: a `data:` URL, or the data alone where the name says that it is a PDF.
///
/// # Errors
/// [`Refusal::BadMedia`].
pub(super) fn document<'a>(data: Str<'a>, name: Option<Str<'a>>) -> Result<Document<'a>, Refusal> {
    const FIELD: &str = "input.content.file_data";
    let is_pdf = name.as_ref().is_some_and(|name| name.raw().to_ascii_lowercase().ends_with(".pdf"));
    if is_pdf && !data.raw().contains(':') {
        return Ok(Document { media_type: Str::constant("application/pdf"), data: base64(data, 0, FIELD)?, name });
    }
    let (media_type, data) = data_url(&data, FIELD)?;
    Ok(Document { media_type, data, name })
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed test")]

    use super::{document, image};
    use crate::conversation::Str;

    #[test]
    fn only_inline_base64_is_media() {
        let good = image(&Str::of("DATA:image/PNG;base64,AAAA"), Some(Str::constant("auto"))).ok().unwrap();
        assert_eq!((good.media_type.raw(), good.data.raw(), good.detail.is_none()), ("image/png", "AAAA", true));
        for bad in [
            "https://a/b.png",
            "data:image/png,AAAA",
            "data:image/png;base64,",
            "data:image/png;base64,AAAAA",
            "data:image/png;base64,A===",
            "data:image/png;base64,AA AA",
            "data:text/plain;base64,AAAA",
            "data:;base64,AAAA",
            "data:image/p\"g;base64,AAAA",
        ] {
            assert!(image(&Str::of(bad), None).is_err(), "{bad}");
        }
        for good in ["data:image/png;base64,AA==", "data:image/png;base64,AA", "data:image/png;name=a;base64,AAA="] {
            assert!(image(&Str::of(good), None).is_ok(), "{good}");
        }
    }

    #[test]
    fn a_pdf_may_come_without_its_type() {
        let name = || Some(Str::constant("a.PDF"));
        assert_eq!(document(Str::constant("AAAA"), name()).ok().unwrap().media_type.raw(), "application/pdf");
        assert_eq!(document(Str::constant("data:text/csv;base64,AAAA"), name()).ok().unwrap().media_type.raw(), "text/csv");
        assert!(document(Str::constant("AAAA"), None).is_err());
        assert!(document(Str::constant("A\u{e9}AA"), name()).is_err());
    }
}
