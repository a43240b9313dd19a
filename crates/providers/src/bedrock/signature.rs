//! AWS Signature Version 4 (<https://docs.aws.amazon.com/IAM/latest/UserGuide/create-signed-request.html>).

use aws_lc_rs::digest::{self, SHA256};
use aws_lc_rs::hmac::{HMAC_SHA256, Key, sign};
use lethe_content::ContentBuf;
use lethe_types::Millis;

use crate::call::{Call, percent_encode};
use crate::head::field;

const SERVICE: &str = "bedrock";
const ALGORITHM: &str = "AWS4-HMAC-SHA256";

/// Who signs.
pub(crate) struct Signer<'a> {
    pub(crate) access_key_id: &'a str,
    pub(crate) secret_access_key: &'a [u8],
    pub(crate) session_token: Option<&'a [u8]>,
}

/// What is signed.
struct Signed<'a> {
    method: &'a str,
    /// As it is sent: percent-encoded once, and encoded once more for the signature.
    path: &'a str,
    query: &'a str,
    /// Names in lower case, sorted, with their values.
    fields: &'a [(&'a str, &'a [u8])],
    /// SHA-256 of the body, in hexadecimal.
    payload: &'a str,
    region: &'a str,
    service: &'a str,
    /// `20150830T123600Z`
    date: &'a str,
}

impl Signer<'_> {
    /// Appends the fields that sign `call`, which is sent to `target`. `None` if nobody can tell the region.
    pub(crate) fn sign(&self, call: &Call<'_>, target: &str, head: &mut ContentBuf) -> Option<()> {
        let mut digest = digest::Context::new(&SHA256);
        call.body.iter().for_each(|piece| digest.update(piece));
        let payload = hex(digest.finish().as_ref());
        let date = date(call.now);
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let mut fields: Vec<(&str, &[u8])> = vec![
            ("content-type", b"application/json"),
            ("host", call.host.as_bytes()),
            ("x-amz-content-sha256", payload.as_bytes()),
            ("x-amz-date", date.as_bytes()),
        ];
        fields.extend(self.session_token.map(|token| ("x-amz-security-token", token)));
        let region = region(call)?;
        let signed =
            Signed { method: "POST", path, query, fields: &fields, payload: &payload, region, service: SERVICE, date: &date };
        let authorization = self.authorization(&signed);
        // The first two are in the head already.
        fields.iter().skip(2).try_for_each(|(name, value)| field(head, name, value))?;
        field(head, "authorization", authorization.as_bytes())
    }

    fn authorization(&self, signed: &Signed<'_>) -> String {
        let scope = [signed.date.get(..8).unwrap_or_default(), "/", signed.region, "/", signed.service, "/aws4_request"].concat();
        let names = signed.fields.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(";");
        let canonical = digest::digest(&SHA256, canonical(signed, &names).expose());
        let to_sign = [ALGORITHM, "\n", signed.date, "\n", &scope, "\n", &hex(canonical.as_ref())].concat();
        let mut secret = ContentBuf::with_capacity(4 + self.secret_access_key.len());
        secret.extend(b"AWS4");
        secret.extend(self.secret_access_key);
        let mut key = Key::new(HMAC_SHA256, secret.expose());
        for part in scope.split('/') {
            key = Key::new(HMAC_SHA256, sign(&key, part.as_bytes()).as_ref());
        }
        let signature = hex(sign(&key, to_sign.as_bytes()).as_ref());
        [ALGORITHM, " Credential=", self.access_key_id, "/", &scope, ", SignedHeaders=", &names, ", Signature=", &signature]
            .concat()
    }
}

/// The canonical request. It has the session token in it.
fn canonical(signed: &Signed<'_>, names: &str) -> ContentBuf {
    let mut path = String::new();
    percent_encode(signed.path, true, &mut path);
    let mut pairs: Vec<&str> = signed.query.split('&').filter(|pair| !pair.is_empty()).collect();
    pairs.sort_unstable();
    let query: Vec<String> =
        pairs.iter().map(|pair| if pair.contains('=') { (*pair).to_owned() } else { [pair, "="].concat() }).collect();
    let mut out = ContentBuf::with_capacity(2048);
    for part in [signed.method, "\n", &path, "\n", &query.join("&"), "\n"] {
        out.extend(part.as_bytes());
    }
    for (name, value) in signed.fields {
        for part in [name.as_bytes(), b":", value.trim_ascii(), b"\n"] {
            out.extend(part);
        }
    }
    for part in ["\n", names, "\n", signed.payload] {
        out.extend(part.as_bytes());
    }
    out
}

/// The region in the host's name: `bedrock-runtime.REGION.…`, also behind a private endpoint's own name; else the one that the base path's query
/// gives.
fn region<'a>(call: &Call<'a>) -> Option<&'a str> {
    let mut labels = call.host.split(['.', ':']);
    let named = labels.find(|label| matches!(*label, "bedrock-runtime" | "bedrock-runtime-fips")).and_then(|_| labels.next());
    let told = call.base_query().split('&').find_map(|pair| pair.strip_prefix("region="));
    let valid = |region: &&str| !region.is_empty() && region.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    told.or(named).filter(valid)
}

fn hex(bytes: &[u8]) -> String {
    let digit = |digit: u8| char::from(b"0123456789abcdef"[usize::from(digit)]);
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

/// `now` in UTC as `20150830T123600Z`. Days become a date by Howard Hinnant's `civil_from_days`
/// (<https://howardhinnant.github.io/date_algorithms.html>), whose years begin in March.
fn date(now: Millis) -> String {
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
    use lethe_policy::{ApiRules, Dialect};
    use lethe_types::Api;

    use super::{Signed, Signer, canonical, date, region};
    use crate::call::{Call, Credential};

    const SIGNER: Signer<'_> = Signer {
        access_key_id: "AKIDEXAMPLE",
        secret_access_key: b"wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
        session_token: None,
    };
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
            ("get-utf8", "GET", "/\u{1234}", "", "8318018e0b0f223aa2bbf98705b62bb787dc9c0e678f255a891fd03141be5d85"),
            ("get-space", "GET", "/example space/", "", "652487583200325589f1fba4c7e578f72c47cb61beeca81406b39ddec1366741"),
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

    /// What is sent encoded is encoded once more.
    #[test]
    fn the_model_is_encoded_twice() {
        let path = "/model/anthropic.claude%3A0/converse";
        let signed =
            Signed { method: "POST", path, query: "", fields: &[HOST], payload: EMPTY, region: "r", service: "s", date: DATE };
        assert!(canonical(&signed, "host").expose().starts_with(b"POST\n/model/anthropic.claude%253A0/converse\n\nhost:"));
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

    #[test]
    fn the_region_is_in_the_hosts_name() {
        let rules = ApiRules::plain(Api::Converse);
        let of = |host, base_path| {
            let call = Call {
                dialect: Dialect::Bedrock,
                api: Api::Converse,
                rules: &rules,
                model: "m",
                stream: false,
                batch: false,
                host,
                base_path,
                credential: Credential::None,
                now: 0,
                beta: &[],
                version: None,
                body: &[],
            };
            region(&call)
        };
        for (host, base_path, expected) in [
            ("bedrock-runtime.eu-central-1.amazonaws.com", "", Some("eu-central-1")),
            ("bedrock-runtime-fips.us-gov-west-1.amazonaws.com", "", Some("us-gov-west-1")),
            ("bedrock-runtime.cn-north-1.amazonaws.com.cn", "", Some("cn-north-1")),
            ("vpce-0a-1b.bedrock-runtime.us-east-1.vpce.amazonaws.com", "", Some("us-east-1")),
            ("127.0.0.1:8080", "/x?region=us-west-2", Some("us-west-2")),
            ("127.0.0.1:8080", "", None),
            ("bedrock-runtime", "", None),
            ("a", "?region=us/west", None),
        ] {
            assert_eq!(of(host, base_path), expected, "{host}");
        }
    }
}
