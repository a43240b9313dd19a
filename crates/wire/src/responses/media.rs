//! Pictures and documents inline.

use crate::conversation::{Document, Image, Str};
use crate::media::{data_url, is_base64};
use crate::refusal::Refusal;

const EXPECTED: &str = "a data: URL with a media type and base64 data";

/// Reads `input_image.image_url`.
///
/// # Errors
/// [`Refusal::BadMedia`].
pub(super) fn image<'a>(url: &'a str, detail: Option<Str<'a>>) -> Result<Image<'a>, Refusal> {
    const FIELD: &str = "input.content.image_url";
    let (media_type, data) = data_url(url).ok_or(Refusal::BadMedia(FIELD, EXPECTED))?;
    if !media_type.raw().get(..6).is_some_and(|kind| kind.eq_ignore_ascii_case("image/")) {
        return Err(Refusal::BadMedia(FIELD, "a picture"));
    }
    Ok(Image { media_type, data, detail: detail.filter(|detail| detail.raw() != "auto") })
}

/// Reads `input_file.file_data`: a `data:` URL, or the data alone where the name says that it is a PDF.
///
/// # Errors
/// [`Refusal::BadMedia`].
pub(super) fn document<'a>(data: &'a str, name: Option<Str<'a>>) -> Result<Document<'a>, Refusal> {
    let is_pdf = name.as_ref().is_some_and(|name| name.raw().to_ascii_lowercase().ends_with(".pdf"));
    let (media_type, data) = match data_url(data) {
        Some(read) => read,
        None if is_pdf && is_base64(data) => (Str::constant("application/pdf"), Str::from_raw(data)),
        None => return Err(Refusal::BadMedia("input.content.file_data", EXPECTED)),
    };
    Ok(Document { media_type, data, name })
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed test")]

    use super::{document, image};
    use crate::conversation::Str;

    #[test]
    fn only_inline_pictures_are_pictures() {
        let good = image("data:image/png;base64,AAAA", Some(Str::constant("auto"))).ok().unwrap();
        assert_eq!((good.media_type.raw(), good.data.raw(), good.detail.is_none()), ("image/png", "AAAA", true));
        for bad in ["https://a/b.png", "data:image/png;base64,A?AA", "data:text/plain;base64,AAAA"] {
            assert!(image(bad, None).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_pdf_may_come_without_its_type() {
        let name = || Some(Str::constant("a.PDF"));
        assert_eq!(document("AAAA", name()).ok().unwrap().media_type.raw(), "application/pdf");
        assert_eq!(document("data:text/csv;base64,AAAA", name()).ok().unwrap().media_type.raw(), "text/csv");
        assert!(document("AAAA", None).is_err());
        assert!(document("A?AA", name()).is_err());
    }
}
