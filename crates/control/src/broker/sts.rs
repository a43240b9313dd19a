//! Temporary keys of AWS' Security Token Service (<https://docs.aws.amazon.com/STS/latest/APIReference/welcome.html>).

use lethe_policy::{AwsKeys, Credential, TokenServer};
use lethe_sigv4::{Signed, Signer, date, payload};
use lethe_types::{Failure, Millis, SecretBytes};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::{FORM, NotObtained, Obtained, form};
use crate::outbound::{Answered, Outgoing};

const VERSION: &[u8] = b"2011-06-15";
/// What the account's own log says of who used the role.
const SESSION: &[u8] = b"lethe";

/// `AssumeRole`, signed.
pub(super) fn assume_role(
    server: &TokenServer,
    region: &str,
    role: &str,
    external_id: Option<&str>,
    keys: &AwsKeys,
    now: Millis,
) -> Outgoing {
    let mut pairs: Vec<(&str, &[u8])> =
        vec![("Action", b"AssumeRole"), ("Version", VERSION), ("RoleArn", role.as_bytes()), ("RoleSessionName", SESSION)];
    pairs.extend(external_id.map(|id| ("ExternalId", id.as_bytes())));
    let mut outgoing = form(&pairs);
    let (url, date, payload) = (server.url(), date(now), payload([outgoing.body.expose()]));
    let host = url.split('/').nth(2).unwrap_or_default();
    let token = keys.session_token.as_ref().map(|token| String::from_utf8_lossy(token.expose()).into_owned());
    let mut fields: Vec<(&str, &[u8])> =
        vec![("content-type", FORM.as_bytes()), ("host", host.as_bytes()), ("x-amz-date", date.as_bytes())];
    fields.extend(token.as_ref().map(|token| ("x-amz-security-token", token.as_bytes())));
    let signer = Signer { access_key_id: &keys.access_key_id, secret_access_key: keys.secret_access_key.expose() };
    let authorization = signer.authorization(&Signed {
        method: "POST",
        path: &server.path,
        query: "",
        fields: &fields,
        payload: &payload,
        region,
        service: "sts",
        date: &date,
    });
    outgoing.fields.push(("authorization", authorization));
    outgoing.fields.push(("x-amz-date", date));
    outgoing.fields.extend(token.map(|token| ("x-amz-security-token", token)));
    outgoing
}

/// `AssumeRoleWithWebIdentity`, which nothing signs but the token itself.
pub(super) fn assume_role_with_web_identity(role: &str, token: &SecretBytes) -> Outgoing {
    form(&[
        ("Action", b"AssumeRoleWithWebIdentity"),
        ("Version", VERSION),
        ("RoleArn", role.as_bytes()),
        ("RoleSessionName", SESSION),
        ("WebIdentityToken", token.expose()),
    ])
}

/// The keys, or why there are none.
pub(super) fn keys(answered: &Answered) -> Result<Obtained, NotObtained> {
    let body = std::str::from_utf8(answered.body.expose()).map_err(|_| Failure::Malformed)?;
    if answered.status != 200 {
        let (code, message) = (element(body, "Code"), element(body, "Message"));
        let failure = match code {
            // What is wrong is who asks; it answers most of these with 400 or 403.
            Some(
                "ExpiredToken"
                | "ExpiredTokenException"
                | "InvalidClientTokenId"
                | "InvalidIdentityToken"
                | "SignatureDoesNotMatch",
            ) => Failure::Unauthorized,
            _ => Failure::of_status(answered.status),
        };
        let said = code.map(|code| format!("{code}: {}", message.unwrap_or_default()));
        return Err(NotObtained { failure, said });
    }
    let credentials = element(body, "Credentials").ok_or(Failure::Malformed)?;
    let [id, secret, token, expiration] = ["AccessKeyId", "SecretAccessKey", "SessionToken", "Expiration"].map(|name| {
        element(credentials, name).filter(|text| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic()))
    });
    let (Some(id), Some(secret), Some(token), Some(expiration)) = (id, secret, token, expiration) else {
        return Err(Failure::Malformed.into());
    };
    let expires = OffsetDateTime::parse(expiration, &Rfc3339).map_err(|_| Failure::Malformed)?.unix_timestamp();
    let credential = Credential::Aws {
        access_key_id: id.to_owned(),
        secret_access_key: SecretBytes::new(secret.into()),
        session_token: Some(SecretBytes::new(token.into())),
    };
    Ok(Obtained { credential, expires: u64::try_from(expires).unwrap_or(0).saturating_mul(1000) })
}

/// What stands between `<name>` and `</name>`. No value that is looked for holds a character that XML would escape.
fn element<'a>(xml: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = xml.split_once(&format!("<{name}>"))?;
    rest.split_once(&format!("</{name}>")).map(|(text, _)| text.trim())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

    use super::*;

    /// As in the documentation of AssumeRole.
    const ANSWER: &str = "<AssumeRoleResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\">\n  <AssumeRoleResult>\n\
        <AssumedRoleUser><AssumedRoleId>ARO123EXAMPLE123:lethe</AssumedRoleId></AssumedRoleUser>\n    <Credentials>\n\
        <AccessKeyId>ASIAIOSFODNN7EXAMPLE</AccessKeyId>\n<SecretAccessKey>wJalrXUtnFEMI/K7MDENG/bPxRfiCYzEXAMPLEKEY</SecretAccessKey>\n\
        <SessionToken>\n  AQoDYXdzEPT//////////wEXAMPLEtc764bNrC9SAPBSM22wDOk4x4HIZ8j4FZTwdQW==\n</SessionToken>\n\
        <Expiration>2019-11-09T13:34:41Z</Expiration>\n</Credentials>\n</AssumeRoleResult>\n</AssumeRoleResponse>";

    fn answered(status: u16, body: &str) -> Answered {
        Answered { status, body: SecretBytes::new(body.into()) }
    }

    #[test]
    fn keys_and_their_end_are_read() {
        let obtained = keys(&answered(200, ANSWER)).ok().unwrap();
        let Credential::Aws { access_key_id, session_token, .. } = obtained.credential else { panic!("other") };
        assert_eq!((access_key_id.as_str(), obtained.expires), ("ASIAIOSFODNN7EXAMPLE", 1_573_306_481_000));
        assert!(session_token.unwrap().expose().starts_with(b"AQoDYXdz"));
        for part in ["AccessKeyId", "SessionToken", "Expiration", "Credentials"] {
            let broken = ANSWER.replace(&format!("<{part}>"), "<Other>");
            assert_eq!(keys(&answered(200, &broken)).err().unwrap().failure, Failure::Malformed, "{part}");
        }
    }

    #[test]
    fn refusals_are_told_apart() {
        let refusal = |code: &str| {
            format!("<ErrorResponse><Error><Type>Sender</Type><Code>{code}</Code><Message>no</Message></Error></ErrorResponse>")
        };
        let of = |status, code: &str| keys(&answered(status, &refusal(code))).err().unwrap();
        assert_eq!(of(403, "SignatureDoesNotMatch").failure, Failure::Unauthorized);
        assert_eq!(of(403, "AccessDenied").failure, Failure::Forbidden);
        assert_eq!(of(400, "ExpiredTokenException").said.as_deref(), Some("ExpiredTokenException: no"));
        assert_eq!(keys(&answered(500, "oh")).err().unwrap().failure, Failure::ServerError);
    }

    #[test]
    fn a_role_is_asked_for_with_a_signature_over_everything() {
        let server = TokenServer { tls: true, host: "sts.eu-central-1.amazonaws.com".into(), port: 443, path: "/".into() };
        let keys = AwsKeys {
            access_key_id: "AKIDEXAMPLE".into(),
            secret_access_key: SecretBytes::new(b"secret".to_vec()),
            session_token: Some(SecretBytes::new(b"token".to_vec())),
        };
        let ask = |role: &str| assume_role(&server, "eu-central-1", role, Some("x&y"), &keys, 1_440_938_160_000);
        let outgoing = ask("arn:aws:iam::1:role/r");
        let body = String::from_utf8(outgoing.body.expose().to_vec()).unwrap();
        assert_eq!(
            body,
            "Action=AssumeRole&Version=2011-06-15&RoleArn=arn%3Aaws%3Aiam%3A%3A1%3Arole%2Fr&RoleSessionName=lethe&ExternalId=x%26y"
        );
        let field = |outgoing: &Outgoing, name| outgoing.fields.iter().find(|(of, _)| *of == name).unwrap().1.clone();
        let authorization = field(&outgoing, "authorization");
        assert!(authorization.contains(
            "/20150830/eu-central-1/sts/aws4_request, SignedHeaders=content-type;host;x-amz-date;x-amz-security-token"
        ));
        assert_eq!(field(&outgoing, "x-amz-security-token"), "token");
        assert_ne!(field(&ask("arn:aws:iam::1:role/s"), "authorization"), authorization);
    }
}
