//! The signed file.

use std::fmt;

use lethe_evidence::{PublicKey, Refused, SigningKey, sign, verify};

use super::html;
use super::model::{FORMAT, Report};

/// The media type that is part of what is signed.
pub const PAYLOAD_TYPE: &str = "application/vnd.lethe.audit+json";

/// Begins the signed statement inside the HTML page.
pub(super) const STATEMENT: &str = "<script type=\"application/json\" id=\"statement\">";

/// Why a file is no report that can be trusted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unreadable {
    Refused(Refused),
    /// Signed, but by a version of the tool that writes another form.
    OtherFormat,
    /// The signed statement is good, but the page around it says something else.
    OtherPage,
    /// The signed report's verdict is not what its own parts give.
    OtherVerdict,
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(why) => why.fmt(f),
            Self::OtherFormat => write!(f, "not a report of the form {FORMAT}; use the version of the tool that wrote it"),
            Self::OtherPage => f.write_str("the signature is good, but the page around it was changed"),
            Self::OtherVerdict => {
                f.write_str("the signature is good, but the verdict does not follow from the report's own parts")
            }
        }
    }
}

impl std::error::Error for Unreadable {}

/// Report to signed JSON.
///
/// # Errors
/// The report cannot be written as JSON.
pub fn seal(report: &Report, key: &SigningKey) -> Result<String, serde_json::Error> {
    sign(PAYLOAD_TYPE, serde_json::to_string(report)?, key)
}

/// Checks a signed report, JSON or HTML, and reads it.
///
/// # Errors
/// [`Unreadable`].
pub fn open(file: &str, expected: Option<&PublicKey>) -> Result<(Report, PublicKey), Unreadable> {
    let page = file.trim_start().starts_with('<');
    let statement = if page { inside(file).ok_or(Unreadable::Refused(Refused::NoSignature))? } else { file.trim().to_owned() };
    let signed = verify(PAYLOAD_TYPE, &statement, expected).map_err(Unreadable::Refused)?;
    let report: Report = serde_json::from_str(&signed.payload).map_err(|_| Unreadable::OtherFormat)?;
    if report.format != FORMAT {
        return Err(Unreadable::OtherFormat);
    }
    if report.judge() != (report.verdict, report.because.clone()) {
        return Err(Unreadable::OtherVerdict);
    }
    if page && html(&report, &statement) != file {
        return Err(Unreadable::OtherPage);
    }
    Ok((report, signed.key))
}

/// `<` cannot stand in a script element's text; in JSON it can be written otherwise only inside strings, where alone it can be.
pub(super) fn for_page(statement: &str) -> String {
    statement.replace('<', "\\u003c")
}

fn inside(page: &str) -> Option<String> {
    let (_, rest) = page.split_once(STATEMENT)?;
    let (statement, _) = rest.split_once("</script>")?;
    // Back to the bytes that were signed.
    Some(statement.replace("\\u003c", "<"))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed expectation is a failed test")]

    use super::super::model::tests::clean;
    use super::super::{SearchState, Verdict};
    use super::*;

    fn key() -> (tempfile::TempDir, SigningKey) {
        let folder = tempfile::tempdir().unwrap();
        let key = SigningKey::of_file(&folder.path().join("key")).unwrap();
        (folder, key)
    }

    #[test]
    fn a_page_is_the_one_of_its_statement() {
        let (_folder, key) = key();
        let report = clean();
        let statement = seal(&report, &key).unwrap();
        let page = html(&report, &statement);
        assert_eq!(open(&statement, None).unwrap().0, report);
        assert_eq!(open(&page, Some(&key.public())).unwrap().0, report);
        // What a target chose cannot become markup, nor end the statement.
        assert!(!page.contains("<all>") && page.contains("&lt;all&gt;"), "{page}");
        assert_eq!(open(&page.replace("nothing was kept", "all was kept"), None), Err(Unreadable::OtherPage));
        assert_eq!(open(&page.replace(STATEMENT, "<script>"), None), Err(Unreadable::Refused(Refused::NoSignature)));
    }

    #[test]
    fn a_signer_cannot_give_another_verdict_than_the_parts_do() {
        let (_folder, key) = key();
        let mut report = clean();
        report.sinks[0].state = SearchState::NotSearched;
        report.sinks[0].gaps.push("nothing was searched".into());
        assert_eq!(report.verdict, Verdict::Clean);
        assert_eq!(open(&seal(&report, &key).unwrap(), None), Err(Unreadable::OtherVerdict));
        report.format = "lethe-audit-report/2".into();
        assert_eq!(open(&seal(&report, &key).unwrap(), None), Err(Unreadable::OtherFormat));
    }
}
