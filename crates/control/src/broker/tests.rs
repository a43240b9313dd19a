#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::time::Duration;

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
use lethe_policy::Credential;
use lethe_types::{Failure, SecretBytes};
use serde_json::Value;

use super::{again, form, oauth, renewal};
use crate::outbound::Answered;

fn answered(status: u16, body: &str) -> Answered {
    Answered { status, body: SecretBytes::new(body.into()) }
}

fn decode(text: &str) -> Vec<u8> {
    let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let (mut bits, mut count, mut out) = (0_u32, 0, Vec::new());
    for byte in text.bytes() {
        bits = (bits << 6) | u32::try_from(alphabet.iter().position(|of| *of == byte).unwrap()).unwrap();
        count += 6;
        if count >= 8 {
            count -= 8;
            out.push(u8::try_from((bits >> count) & 0xff).unwrap());
        }
    }
    out
}

#[test]
fn an_assertion_is_signed_and_says_what_it_is_for() {
    let key = KeyPair::generate(KeySize::Rsa2048).unwrap();
    let der = AsDer::<Pkcs8V1Der<'_>>::as_der(&key).unwrap();
    let private = SecretBytes::new(der.as_ref().to_vec());
    let audience = "https://oauth2.googleapis.com/token";
    let outgoing = oauth::assertion("a@b.iam.gserviceaccount.com", Some("k1"), &private, audience, 1_800_000_000_000).unwrap();
    let body = String::from_utf8(outgoing.body.expose().to_vec()).unwrap();
    let assertion = body.strip_prefix("grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&assertion=").unwrap();
    let (signed, signature) = assertion.rsplit_once('.').unwrap();
    let public = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, key.public_key().as_ref());
    public.verify(signed.as_bytes(), &decode(signature)).unwrap();
    assert!(public.verify(b"other", &decode(signature)).is_err(), "control");
    let (header, claims) = signed.split_once('.').unwrap();
    let json = |text: &str| serde_json::from_slice::<Value>(&decode(text)).unwrap();
    assert_eq!(json(header), serde_json::json!({ "alg": "RS256", "typ": "JWT", "kid": "k1" }));
    assert_eq!(
        json(claims),
        serde_json::json!({
            "iss": "a@b.iam.gserviceaccount.com", "scope": "https://www.googleapis.com/auth/cloud-platform", "aud": audience,
            "iat": 1_800_000_000, "exp": 1_800_003_600,
        })
    );
    let no_key = oauth::assertion("a", None, &SecretBytes::new(b"no key".to_vec()), audience, 0);
    assert_eq!(no_key.err(), Some(Failure::Internal));
}

#[test]
fn tokens_and_their_ends_are_read() {
    let now = 1_800_000_000_000;
    let obtained = oauth::token(&answered(200, r#"{"access_token":"ya29.a","expires_in":3599,"token_type":"Bearer"}"#), now)
        .unwrap_or_else(|_| panic!("refused"));
    let Credential::Bearer(token) = &obtained.credential else { panic!("other") };
    assert_eq!((token.expose(), obtained.expires), (b"ya29.a".as_slice(), now + 3_599_000));
    let unsaid = oauth::token(&answered(200, r#"{"access_token":"t"}"#), now).unwrap_or_else(|_| panic!("refused"));
    assert_eq!(unsaid.expires, now + 600_000);
    for (status, body, failure) in [
        (200, r#"{"access_token":"with space"}"#, Failure::Malformed),
        (200, r#"{"access_token":""}"#, Failure::Malformed),
        (200, "<html>", Failure::Malformed),
        (400, r#"{"error":"invalid_grant","error_description":"Bad Request"}"#, Failure::Unauthorized),
        (401, r#"{"error":"invalid_client"}"#, Failure::Unauthorized),
        (400, r#"{"error":"invalid_scope"}"#, Failure::Rejected),
        (302, "", Failure::Redirected),
        (429, "", Failure::RateLimited),
        (503, "busy", Failure::ServerError),
    ] {
        assert_eq!(oauth::token(&answered(status, body), now).err().unwrap().failure, failure, "{status} {body}");
    }
    let said = oauth::token(&answered(400, r#"{"error":"invalid_grant","error_description":"Bad Request"}"#), now).err().unwrap();
    assert_eq!(said.said.as_deref(), Some("invalid_grant: Bad Request"));
}

#[test]
fn parameters_are_encoded_as_forms_are() {
    let outgoing = form(&[("a", b"b c&d=e/\xff"), ("f", b"-._~9")]);
    assert_eq!(outgoing.body.expose(), b"a=b%20c%26d%3De%2F%FF&f=-._~9");
}

#[test]
fn renewal_leaves_a_third_and_tries_are_spread() {
    assert_eq!(renewal(Duration::from_secs(3600)), Duration::from_secs(2400));
    assert_eq!(renewal(Duration::ZERO), Duration::from_secs(1));
    for (failed, longest) in [(1, 1), (2, 2), (6, 32), (7, 60), (4_000_000_000, 60)] {
        let (pause, longest) = (again(failed), Duration::from_secs(longest));
        assert!(pause <= longest && pause >= longest / 4 * 3, "{failed}: {pause:?}");
    }
}
