//! What an operator wants to know of a certificate (RFC 5280): whose it is, who signed it, until when.
//!
//! Nothing is decided by this: whether a certificate is good is rustls' business.

/// `subject …, issuer …, until …`; `None` where it is no certificate.
pub(crate) fn describe(der: &[u8]) -> Option<String> {
    let (certificate, _) = element(der, SEQUENCE)?;
    let (mut rest, _) = element(certificate, SEQUENCE)?;
    // The version stands in an explicit tag, if it stands there at all; then the serial number and the algorithm.
    if let Some((_, after)) = element(rest, VERSION) {
        rest = after;
    }
    for tag in [INTEGER, SEQUENCE] {
        rest = element(rest, tag)?.1;
    }
    let (issuer, rest) = element(rest, SEQUENCE)?;
    let (validity, rest) = element(rest, SEQUENCE)?;
    let (subject, _) = element(rest, SEQUENCE)?;
    let (_, after) = any(validity)?;
    let (tag, until, _) = any(after).map(|((tag, body), rest)| (tag, body, rest))?;
    Some(format!("subject {}, issuer {}, until {}", name(subject), name(issuer), time(tag, until)?))
}

const INTEGER: u8 = 0x02;
const OBJECT: u8 = 0x06;
const UTC_TIME: u8 = 0x17;
const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const VERSION: u8 = 0xa0;

/// Attribute types of a name (RFC 5280, appendix A.1), below 2.5.4.
const ATTRIBUTES: [(u8, &str); 4] = [(3, "CN"), (6, "C"), (10, "O"), (11, "OU")];

type Element<'a> = ((u8, &'a [u8]), &'a [u8]);

/// The first element: tag and content, and what comes after it. Definite lengths of up to four bytes (X.690, 8.1.3).
fn any(bytes: &[u8]) -> Option<Element<'_>> {
    let (&[tag, first], rest) = bytes.split_first_chunk::<2>()?;
    let (length, rest) = if first < 0x80 {
        (usize::from(first), rest)
    } else {
        let (digits, rest) =
            rest.split_at_checked(usize::from(first & 0x7f)).filter(|(digits, _)| (1..=4).contains(&digits.len()))?;
        (digits.iter().fold(0, |length, digit| length << 8 | usize::from(*digit)), rest)
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some(((tag, content), rest))
}

fn element(bytes: &[u8], wanted: u8) -> Option<(&[u8], &[u8])> {
    any(bytes).filter(|((tag, _), _)| *tag == wanted).map(|((_, content), rest)| (content, rest))
}

/// `CN=…, O=…` in the certificate's order.
fn name(mut rest: &[u8]) -> String {
    let mut parts = Vec::new();
    while let Some((set, after)) = element(rest, SET) {
        rest = after;
        let part = element(set, SEQUENCE).and_then(|(attribute, _)| {
            let (kind, value) = element(attribute, OBJECT)?;
            let [0x55, 0x04, kind] = kind else { return None };
            let (_, label) = ATTRIBUTES.iter().find(|(known, _)| known == kind)?;
            let ((_, text), _) = any(value)?;
            Some(format!("{label}={}", String::from_utf8_lossy(text)))
        });
        parts.extend(part);
    }
    if parts.is_empty() { "(no name)".to_owned() } else { parts.join(", ") }
}

/// `YYMMDDHHMMSSZ` before 2050, `YYYYMMDDHHMMSSZ` from then on (RFC 5280, 4.1.2.5).
fn time(tag: u8, text: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(text).ok()?;
    let text = match (tag, text.get(..2)?.parse::<u8>().ok()?) {
        (UTC_TIME, 50..) => format!("19{text}"),
        (UTC_TIME, _) => format!("20{text}"),
        _ => text.to_owned(),
    };
    Some(format!("{}-{}-{}", text.get(..4)?, text.get(4..6)?, text.get(6..8)?))
}

#[cfg(test)]
mod tests {
    use super::describe;

    /// subject and issuer `CN=x`, from 2026-01-02 to 2049-12-31, then with a generalized time to 2050.
    #[test]
    fn a_certificate_is_described_and_nonsense_is_not() {
        let field = |tag: u8, content: &[u8]| [&[tag, u8::try_from(content.len()).unwrap_or(0)][..], content].concat();
        let name = field(0x30, &field(0x31, &field(0x30, &[field(0x06, &[0x55, 4, 3]), field(0x0c, b"x")].concat())));
        let with = |until: Vec<u8>| {
            let validity = field(0x30, &[field(0x17, b"260102000000Z"), until].concat());
            let head = [field(0xa0, &field(2, &[2])), field(2, &[1]), field(0x30, &[])].concat();
            field(0x30, &field(0x30, &[head, name.clone(), validity, name.clone()].concat()))
        };
        let described = describe(&with(field(0x17, b"491231235959Z")));
        assert_eq!(described.as_deref(), Some("subject CN=x, issuer CN=x, until 2049-12-31"));
        let described = describe(&with(field(0x18, b"20500101000000Z")));
        assert_eq!(described.as_deref(), Some("subject CN=x, issuer CN=x, until 2050-01-01"));
        let good = with(field(0x17, b"491231235959Z"));
        for end in 0..good.len() {
            assert_eq!(describe(&good[..end]), None, "cut at {end}");
        }
        assert_eq!(describe(&[0x30, 0x89, 1, 1, 1, 1, 1, 1, 1, 1, 1]), None);
    }
}
