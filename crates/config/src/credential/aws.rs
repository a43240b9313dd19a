//! `aws`: keys, a file that holds them, or a role that they or a web identity may take.

use std::ops::Range;

use lethe_policy::{AwsKeys, Credential, Grant};
use lethe_types::SecretBytes;

use super::{Access, server};
use crate::{
    check::Check,
    file::{FileAws, FileProvider},
};

/// Whether nothing but the region is written, which bearer tokens need too.
pub(crate) fn is_region_only(aws: &FileAws) -> bool {
    aws.access_key_id.is_none()
        && aws.credentials.is_none()
        && aws.role.is_none()
        && aws.secret_access_key.is_none()
        && aws.session_token.is_none()
        && aws.web_identity_token.is_none()
}

pub(super) fn checked(aws: &FileAws, span: Range<usize>, file: &FileProvider, check: &mut Check<'_>) -> Option<Access> {
    let Some(role) = &aws.role else {
        let roles_only = [aws.external_id.as_ref(), aws.sts_url.as_ref()].into_iter().flatten().map(toml::Spanned::span);
        if let Some(at) = roles_only.chain(aws.web_identity_token.as_ref().map(toml::Spanned::span)).next() {
            check.problem(at, "this is for a role: write role = \"arn:aws:iam::123456789012:role/NAME\" beside it");
            return None;
        }
        let AwsKeys { access_key_id, secret_access_key, session_token } = keys(aws, span, check)?;
        return Some(Access::held(Credential::Aws { access_key_id, secret_access_key, session_token }));
    };
    let arn = role.get_ref();
    if !(arn.starts_with("arn:") && arn.contains(":role/") && (20..=2048).contains(&arn.len())) {
        check.problem(role.span(), "this is no role: write role = \"arn:aws:iam::123456789012:role/NAME\"");
        return None;
    }
    let region = region(aws, &span, check)?;
    let server = match &aws.sts_url {
        Some(url) => check.take(url.span(), server(url.get_ref(), file))?,
        None => check.take(role.span(), server(&sts(&region), file))?,
    };
    let role = arn.clone();
    if let Some(token) = &aws.web_identity_token {
        if aws.access_key_id.is_some() || aws.credentials.is_some() {
            check.problem(token.span(), "either web_identity_token or keys take the role: leave one of them out");
            return None;
        }
        let token = token.get_ref().resolve(token.span(), check)?;
        return Some(Access::obtained(Grant::AwsWebIdentity { server, role, token }));
    }
    let external_id = aws.external_id.as_ref().map(|id| id.get_ref().clone());
    let keys = keys(aws, span, check)?;
    Some(Access::obtained(Grant::AwsRole { server, region, role, external_id, keys }))
}

/// <https://docs.aws.amazon.com/general/latest/gr/sts.html>
fn sts(region: &str) -> String {
    let suffix = if region.starts_with("cn-") { ".cn" } else { "" };
    format!("https://sts.{region}.amazonaws.com{suffix}")
}

/// What a call to the Security Token Service is sent to and signed for.
fn region(aws: &FileAws, span: &Range<usize>, check: &mut Check<'_>) -> Option<String> {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let written = aws.region.as_ref().map(toml::Spanned::get_ref);
    match written.filter(|region| (1..=64).contains(&region.len()) && region.bytes().all(plain)) {
        Some(region) => Some(region.clone()),
        None => {
            check.problem(span.clone(), "a role is asked for in a region: write region = \"eu-central-1\" in aws");
            None
        }
    }
}

fn keys(aws: &FileAws, span: Range<usize>, check: &mut Check<'_>) -> Option<AwsKeys> {
    if let Some(credentials) = &aws.credentials {
        if aws.access_key_id.is_some() || aws.secret_access_key.is_some() {
            check.problem(credentials.span(), "either credentials or access_key_id: leave one of them out");
            return None;
        }
        let text = credentials.get_ref().document(credentials.span(), check)?;
        let profile = aws.profile.as_ref().map_or("default", |profile| profile.get_ref());
        let found = profile_of(text.expose(), profile).ok_or_else(|| {
            format!(
                "{} has no aws_access_key_id and aws_secret_access_key under [{profile}]: write profile = \"NAME\" for another one",
                credentials.get_ref().holder()
            )
        });
        return check.take(credentials.span(), found);
    }
    let (Some(id), Some(secret)) = (&aws.access_key_id, &aws.secret_access_key) else {
        check.problem(
            span,
            "both halves of the key are needed: write access_key_id = { env = \"AWS_ACCESS_KEY_ID\" } and \
             secret_access_key = { env = \"AWS_SECRET_ACCESS_KEY\" }",
        );
        return None;
    };
    let access_key_id = id.get_ref().resolve(id.span(), check).and_then(|name| {
        let message = || "this is no access key id: write the one that begins with AKIA or ASIA".to_owned();
        check.take(id.span(), is_id(&name).then_some(name).ok_or_else(message))
    });
    let secret_access_key = secret.get_ref().resolve(secret.span(), check);
    let session_token = match &aws.session_token {
        None => None,
        Some(token) => Some(token.get_ref().resolve(token.span(), check)?),
    };
    Some(AwsKeys { access_key_id: access_key_id?, secret_access_key: secret_access_key?, session_token })
}

/// <https://docs.aws.amazon.com/IAM/latest/APIReference/API_AccessKey.html>
fn is_id(name: &str) -> bool {
    (16..=128).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// One profile of a shared credentials file (<https://docs.aws.amazon.com/sdkref/latest/guide/file-format.html>).
fn profile_of(text: &[u8], profile: &str) -> Option<AwsKeys> {
    let (mut here, mut id, mut secret, mut token) = (false, None, None, None);
    for line in std::str::from_utf8(text).ok()?.lines().map(str::trim) {
        if let Some(section) = line.strip_prefix('[').and_then(|rest| rest.split(']').next()) {
            let section = section.trim();
            here = section.strip_prefix("profile ").unwrap_or(section).trim() == profile;
        } else if let Some((name, value)) = line.split_once('=').filter(|_| here && !line.starts_with(['#', ';'])) {
            let value = value.trim();
            match name.trim() {
                "aws_access_key_id" => id = Some(value.to_owned()),
                "aws_secret_access_key" => secret = Some(SecretBytes::new(value.into())),
                "aws_session_token" => token = Some(SecretBytes::new(value.into())),
                _ => {}
            }
        }
    }
    let visible = |secret: &SecretBytes| !secret.expose().is_empty() && secret.expose().iter().all(u8::is_ascii_graphic);
    Some(AwsKeys {
        access_key_id: id.filter(|id| is_id(id))?,
        secret_access_key: secret.filter(visible)?,
        session_token: token.filter(visible),
    })
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

    use super::profile_of;

    const FILE: &[u8] = b"# keys\n[default]\naws_access_key_id = AKIADEFAULTDEFAULT00\naws_secret_access_key=one\n\n[ profile other ]\n\
        ; rotated by somebody\naws_access_key_id = ASIAOTHEROTHEROTHER0\naws_secret_access_key = two=2\naws_session_token = token\n\
        region = eu-central-1\n[empty]\naws_access_key_id = AKIAEMPTYEMPTYEMPTY0\n";

    #[test]
    fn one_profile_is_read_and_no_other() {
        let default = profile_of(FILE, "default").unwrap();
        assert_eq!(
            (default.access_key_id.as_str(), default.secret_access_key.expose()),
            ("AKIADEFAULTDEFAULT00", b"one".as_slice())
        );
        assert!(default.session_token.is_none());
        let other = profile_of(FILE, "other").unwrap();
        assert_eq!(
            (other.access_key_id.as_str(), other.secret_access_key.expose()),
            ("ASIAOTHEROTHEROTHER0", b"two=2".as_slice())
        );
        assert_eq!(other.session_token.unwrap().expose(), b"token");
        assert!(
            profile_of(FILE, "empty").is_none() && profile_of(FILE, "none").is_none() && profile_of(b"\xff", "default").is_none()
        );
    }
}
