//! Tokens of OAuth 2.0: what is posted to a token endpoint, and its answer (RFC 6749 sections 4.4, 5 and 6; RFC 7523).

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use lethe_policy::Credential;
use lethe_types::{Failure, Millis, SecretBytes};
use serde::Deserialize;
use serde_json::json;

use super::{NotObtained, Obtained, form};
use crate::base64url;
use crate::outbound::{Answered, Outgoing};

/// What a token for Google Cloud is for.
const GOOGLE_SCOPE: &str = "https://www.googleapis.com/auth/cloud-platform";
/// How long an assertion holds, seconds; the most that Google takes.
const ASSERTION_SECONDS: Millis = 3600;
/// Of a token whose server does not say how long it holds (RFC 6749 section 5.1 only recommends to), seconds.
const UNSAID_SECONDS: u64 = 600;

/// `grant_type=client_credentials` with what shows who asks.
pub(super) fn client_credentials(client_id: &str, scope: &str, proof: (&'static str, &SecretBytes), assertion: bool) -> Outgoing {
    let mut pairs: Vec<(&str, &[u8])> =
        vec![("grant_type", b"client_credentials"), ("client_id", client_id.as_bytes()), ("scope", scope.as_bytes())];
    if assertion {
        pairs.push(("client_assertion_type", b"urn:ietf:params:oauth:client-assertion-type:jwt-bearer"));
    }
    pairs.push((proof.0, proof.1.expose()));
    form(&pairs)
}

/// `grant_type=refresh_token`.
pub(super) fn refresh(client_id: &str, client_secret: &SecretBytes, refresh_token: &SecretBytes) -> Outgoing {
    form(&[
        ("grant_type", b"refresh_token"),
        ("client_id", client_id.as_bytes()),
        ("client_secret", client_secret.expose()),
        ("refresh_token", refresh_token.expose()),
    ])
}

/// `grant_type=urn:ietf:params:oauth:grant-type:jwt-bearer` with an assertion that a service account's key signs.
pub(super) fn assertion(
    email: &str,
    key_id: Option<&str>,
    private_key: &SecretBytes,
    audience: &str,
    now: Millis,
) -> Result<Outgoing, Failure> {
    let mut header = json!({ "alg": "RS256", "typ": "JWT" });
    if let (Some(key_id), Some(header)) = (key_id, header.as_object_mut()) {
        header.insert("kid".to_owned(), key_id.into());
    }
    let issued = now / 1000;
    let claims = json!({
        "iss": email, "scope": GOOGLE_SCOPE, "aud": audience, "iat": issued, "exp": issued + ASSERTION_SECONDS,
    });
    let encoded = |value: &serde_json::Value| base64url::encode(value.to_string().as_bytes());
    let signed = format!("{}.{}", encoded(&header), encoded(&claims));
    let key = RsaKeyPair::from_pkcs8(private_key.expose()).map_err(|_| Failure::Internal)?;
    let mut signature = vec![0; key.public_modulus_len()];
    key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), signed.as_bytes(), &mut signature).map_err(|_| Failure::Internal)?;
    let assertion = SecretBytes::new(format!("{signed}.{}", base64url::encode(&signature)).into_bytes());
    Ok(form(&[("grant_type", b"urn:ietf:params:oauth:grant-type:jwt-bearer"), ("assertion", assertion.expose())]))
}

#[derive(Deserialize)]
struct Token<'a> {
    #[serde(borrow)]
    access_token: std::borrow::Cow<'a, str>,
    expires_in: Option<u64>,
}

#[derive(Deserialize)]
struct Refusal {
    error: String,
    error_description: Option<String>,
}

/// The token, or why there is none.
pub(super) fn token(answered: &Answered, now: Millis) -> Result<Obtained, NotObtained> {
    let body = answered.body.expose();
    if answered.status != 200 {
        let said = serde_json::from_slice::<Refusal>(body).ok();
        let failure = match &said {
            // RFC 6749 section 5.2: both say that whoever asks is not who he claims to be.
            Some(said) if matches!(said.error.as_str(), "invalid_client" | "invalid_grant") => Failure::Unauthorized,
            _ => Failure::of_status(answered.status),
        };
        let words = |said: Refusal| format!("{}: {}", said.error, said.error_description.unwrap_or_default());
        return Err(NotObtained { failure, said: said.map(words) });
    }
    let token: Token<'_> = serde_json::from_slice(body).map_err(|_| Failure::Malformed)?;
    let text = token.access_token.as_bytes();
    // What could not travel in a header is no token.
    if text.is_empty() || !text.iter().all(u8::is_ascii_graphic) {
        return Err(Failure::Malformed.into());
    }
    let credential = Credential::Bearer(SecretBytes::new(text.to_vec()));
    let seconds = token.expires_in.unwrap_or(UNSAID_SECONDS);
    Ok(Obtained { credential, expires: now.saturating_add(seconds.saturating_mul(1000)) })
}
