//! AWS Signature Version 4 (<https://docs.aws.amazon.com/IAM/latest/UserGuide/create-signed-request.html>).
//!
//! A pure function over what is sent: the content path signs requests to Bedrock with it, control those to the Security Token Service.

use aws_lc_rs::digest::{self, SHA256};
use aws_lc_rs::hmac::{HMAC_SHA256, Key, sign};
use lethe_types::{Millis, SecretBytes};

const ALGORITHM: &str = "AWS4-HMAC-SHA256";

/// Who signs.
#[derive(Clone, Copy)]
pub struct Signer<'a> {
    /// `AKIA…` or `ASIA…`.
    pub access_key_id: &'a str,
    /// What is signed with.
    pub secret_access_key: &'a [u8],
}

/// What is signed.
#[derive(Clone, Copy)]
pub struct Signed<'a> {
    /// `GET`, `POST`, …
    pub method: &'a str,
    /// The path as it is sent, percent-encoded once more.
    pub path: &'a str,
    /// As it is sent, without `?`.
    pub query: &'a str,
    /// Names in lower case, sorted, with their values.
    pub fields: &'a [(&'a str, &'a [u8])],
    /// SHA-256 of the body, in hexadecimal: [`payload`].
    pub payload: &'a str,
    /// Such as `eu-central-1`.
    pub region: &'a str,
    /// Such as `bedrock`.
    pub service: &'a str,
    /// `20150830T123600Z`: [`date`].
    pub date: &'a str,
}

impl Signer<'_> {
    /// The value of `authorization`.
    #[must_use]
    pub fn authorization(&self, signed: &Signed<'_>) -> String {
        let scope = [signed.date.get(..8).unwrap_or_default(), "/", signed.region, "/", signed.service, "/aws4_request"].concat();
        let names = signed.fields.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(";");
        let canonical = digest::digest(&SHA256, canonical(signed, &names).expose());
        let to_sign = [ALGORITHM, "\n", signed.date, "\n", &scope, "\n", &hex(canonical.as_ref())].concat();
        let secret = SecretBytes::new([b"AWS4", self.secret_access_key].concat());
        let mut key = Key::new(HMAC_SHA256, secret.expose());
        for part in scope.split('/') {
            key = Key::new(HMAC_SHA256, sign(&key, part.as_bytes()).as_ref());
        }
        let signature = hex(sign(&key, to_sign.as_bytes()).as_ref());
        [ALGORITHM, " Credential=", self.access_key_id, "/", &scope, ", SignedHeaders=", &names, ", Signature=", &signature]
            .concat()
    }
}

/// The canonical request. It has the session token in it, so that it is made in one piece and wiped.
fn canonical(signed: &Signed<'_>, names: &str) -> SecretBytes {
    let mut pairs: Vec<&str> = signed.query.split('&').filter(|pair| !pair.is_empty()).collect();
    pairs.sort_unstable();
    let query: Vec<String> =
        pairs.iter().map(|pair| if pair.contains('=') { (*pair).to_owned() } else { [pair, "="].concat() }).collect();
    let query = query.join("&");
    let mut parts: Vec<&[u8]> = Vec::with_capacity(9 + 4 * signed.fields.len());
    parts.extend([signed.method, "\n", signed.path, "\n", &query, "\n"].map(str::as_bytes));
    for (name, value) in signed.fields {
        parts.extend([name.as_bytes(), b":", value.trim_ascii(), b"\n"]);
    }
    parts.extend(["\n", names, "\n", signed.payload].map(str::as_bytes));
    SecretBytes::new(parts.concat())
}

/// SHA-256 of a body that is sent in these pieces, in hexadecimal.
#[must_use]
pub fn payload<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> String {
    let mut digest = digest::Context::new(&SHA256);
    pieces.into_iter().for_each(|piece| digest.update(piece));
    hex(digest.finish().as_ref())
}

fn hex(bytes: &[u8]) -> String {
    let digit = |digit: u8| char::from(b"0123456789abcdef"[usize::from(digit)]);
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

/// `now` in UTC as `20150830T123600Z`. Days become a date by Howard Hinnant's `civil_from_days`
/// (<https://howardhinnant.github.io/date_algorithms.html>), whose years begin in March.
#[must_use]
pub fn date(now: Millis) -> String {
    let seconds = now / 1000;
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    let shifted = days + 719_468;
    let era = shifted / 146_097;
    let day_of_era = shifted % 146_097;
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let (month, next_year) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    let year = year_of_era + era * 400 + next_year;
    format!("{year:04}{month:02}{day:02}T{:02}{:02}{:02}Z", second / 3600, second / 60 % 60, second % 60)
}

#[cfg(test)]
mod tests {
    use super::{Signed, Signer, canonical, date, payload};

    const SIGNER: Signer<'_> =
        Signer { access_key_id: "AKIDEXAMPLE", secret_access_key: b"wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY" };
    const EMPTY: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    const DATE: &str = "20150830T123600Z";
    const HOST: (&str, &[u8]) = ("host", b"example.amazonaws.com");
    const X_AMZ_DATE: (&str, &[u8]) = ("x-amz-date", DATE.as_bytes());

    fn signature(method: &str, path: &str, query: &str, fields: &[(&str, &[u8])], payload: &str) -> String {
        let signed = Signed { method, path, query, fields, payload, region: "us-east-1", service: "service", date: DATE };
        let authorization = SIGNER.authorization(&signed);
        assert!(
            authorization
                .starts_with("AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, SignedHeaders=")
        );
        authorization.rsplit_once("Signature=").map_or(String::new(), |(_, signature)| signature.to_owned())
    }

    /// Cases of AWS' own signing test suite (`aws-signing-test-suite/v4` of aws-c-auth), by their names.
    #[test]
    fn aws_own_test_suite() {
        let plain = [HOST, X_AMZ_DATE];
        let cases = [
            ("post-vanilla", "POST", "/", "", "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"),
            ("get-utf8", "GET", "/%E1%88%B4", "", "8318018e0b0f223aa2bbf98705b62bb787dc9c0e678f255a891fd03141be5d85"),
            ("get-space", "GET", "/example%20space/", "", "652487583200325589f1fba4c7e578f72c47cb61beeca81406b39ddec1366741"),
            (
                "get-vanilla-query-order-key-case",
                "GET",
                "/",
                "Param2=value2&Param1=value1",
                "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500",
            ),
        ];
        for (name, method, path, query, expected) in cases {
            assert_eq!(signature(method, path, query, &plain, EMPTY), expected, "{name}");
        }
        let body = "9095672bbd1f56dfc5b65f3e153adc8731a4a654192329106275f4c7b24d0b6e";
        let form: [(&str, &[u8]); 5] = [
            ("content-length", b"13"),
            ("content-type", b"application/x-www-form-urlencoded"),
            HOST,
            ("x-amz-content-sha256", body.as_bytes()),
            X_AMZ_DATE,
        ];
        let expected = "d3875051da38690788ef43de4db0d8f280229d82040bfac253562e56c3f20e0b";
        assert_eq!(signature("POST", "/", "", &form, body), expected, "post-x-www-form-urlencoded");
        let token = b"6e86291e8372ff2a2260956d9b8aae1d763fbf315fa00fa31553b73ebf194267";
        let expected = "07ec1639c89043aa0e3e2de82b96708f198cceab042d4a97044c66dd9f74e7f8";
        let with_token = [HOST, X_AMZ_DATE, ("x-amz-security-token", &token[..])];
        assert_eq!(signature("GET", "/", "", &with_token, EMPTY), expected, "get-vanilla-with-session-token");
        assert_ne!(signature("POST", "/", "", &with_token, EMPTY), expected, "control: another method is another signature");
    }

    #[test]
    fn the_canonical_request_is_as_documented() {
        let signed = Signed {
            method: "POST",
            path: "/a%253A0",
            query: "b&a=1",
            fields: &[HOST],
            payload: EMPTY,
            region: "r",
            service: "s",
            date: DATE,
        };
        let expected = format!("POST\n/a%253A0\na=1&b=\nhost:example.amazonaws.com\n\nhost\n{EMPTY}");
        assert_eq!(canonical(&signed, "host").expose(), expected.as_bytes());
        assert_eq!(payload([]), EMPTY);
        assert_eq!(payload([&b"ab"[..], b"c"]), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }

    #[test]
    fn dates_are_the_calendars() {
        for (seconds, expected) in [
            (0, "19700101T000000Z"),
            (951_827_696, "20000229T123456Z"),
            (1_440_938_160, DATE),
            (1_709_251_199, "20240229T235959Z"),
            (1_709_251_200, "20240301T000000Z"),
            (4_102_444_799, "20991231T235959Z"),
        ] {
            assert_eq!(date(seconds * 1000 + 999), expected);
        }
    }
}
