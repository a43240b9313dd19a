//! Checks a signature of AWS's version 4, by the steps of
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html>.

use aws_lc_rs::{digest, hmac};
use data_encoding::HEXLOWER;

use super::Seen;

/// The example of AWS's own documents.
pub const ACCESS_KEY_ID: &str = "AKIAIOSFODNN7EXAMPLE";
/// The secret that belongs to it, likewise.
pub const SECRET_ACCESS_KEY: &str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";

/// Whether the request is signed for `service` with the keys above; what is wrong if it is not.
pub(crate) fn verify(seen: &Seen, service: &str) -> Result<(), &'static str> {
    let value = seen.header("authorization").and_then(|value| value.strip_prefix("AWS4-HMAC-SHA256 ")).ok_or("no signature")?;
    let part = |name: &str| value.split(',').find_map(|part| part.trim().strip_prefix(name)?.strip_prefix('='));
    let (credential, signed) = (part("Credential").ok_or("no Credential")?, part("SignedHeaders").ok_or("no SignedHeaders")?);
    let signature = part("Signature").ok_or("no Signature")?;
    let scope: Vec<&str> = credential.split('/').collect();
    let [ACCESS_KEY_ID, date, region, found, "aws4_request"] = scope[..] else { return Err("another credential scope") };
    let time = seen.header("x-amz-date").ok_or("no x-amz-date")?;
    if found != service || !time.starts_with(date) || !signed.split(';').any(|name| name == "host") {
        return Err("another service, another date, or an unsigned host");
    }
    let mut headers = String::new();
    for name in signed.split(';') {
        let value = seen.header(name).ok_or("a signed header is missing")?;
        headers += &format!("{name}:{}\n", value.split_whitespace().collect::<Vec<_>>().join(" "));
    }
    let request = [seen.method(), &encoded(seen.route()), &sorted(seen.query()), &headers, signed, &sha256(&seen.raw)].join("\n");
    let to_sign = format!("AWS4-HMAC-SHA256\n{time}\n{date}/{region}/{service}/aws4_request\n{}", sha256(request.as_bytes()));
    let mut key = format!("AWS4{SECRET_ACCESS_KEY}").into_bytes();
    for step in [date, region, service, "aws4_request", &to_sign] {
        key = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &key), step.as_bytes()).as_ref().to_vec();
    }
    if HEXLOWER.encode(&key) == signature { Ok(()) } else { Err("the signature does not match") }
}

/// The path, encoded once more than it stands in the request: so it is for every service but S3.
fn encoded(path: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte);
    path.bytes().map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}

fn sorted(query: &str) -> String {
    let mut pairs: Vec<&str> = query.split('&').collect();
    pairs.sort_unstable();
    pairs.join("&")
}

fn sha256(data: &[u8]) -> String {
    HEXLOWER.encode(digest::digest(&digest::SHA256, data).as_ref())
}
