//! How a provider is shown who is asking: `api_key`, or `aws`.

use std::ops::Range;

use lethe_policy::{Credential, Dialect};

use crate::{
    check::Check,
    file::{FileAws, FileProvider},
    preset::Preset,
};

/// The credential; nothing after a problem was noted.
pub(crate) fn checked(
    file: &FileProvider,
    id: &str,
    dialect: Dialect,
    preset: &Preset,
    span: Range<usize>,
    check: &mut Check<'_>,
) -> Option<Credential> {
    if let Some(aws) = &file.aws {
        if dialect != Dialect::Bedrock {
            check.problem(aws.span(), "aws is for the dialect \"bedrock\": write api_key = { env = \"NAME\" } instead");
            return None;
        }
        if !is_region_only(aws.get_ref()) {
            if let Some(key) = &file.api_key {
                check.problem(key.span(), "either api_key or aws, not both: leave one of them out");
            }
            return keys(aws.get_ref(), aws.span(), check);
        }
    }
    if let Some(key) = &file.api_key {
        return key.get_ref().resolve(key.span(), check).map(Credential::Key);
    }
    match &preset.api_key_env {
        None => Some(Credential::None),
        Some(variable) => {
            let aws = if dialect == Dialect::Bedrock {
                ", or aws = { access_key_id = \"AKIA…\", secret_access_key = { env = \"AWS_SECRET_ACCESS_KEY\" }, region = \"eu-central-1\" }"
            } else {
                ""
            };
            check.problem(
                span,
                format!(
                    "provider \"{id}\" needs a key: write api_key = {{ env = \"{variable}\" }} or {{ file = \"path\" }}{aws}"
                ),
            );
            None
        }
    }
}

fn is_region_only(aws: &FileAws) -> bool {
    aws.access_key_id.is_none() && aws.secret_access_key.is_none() && aws.session_token.is_none()
}

fn keys(aws: &FileAws, span: Range<usize>, check: &mut Check<'_>) -> Option<Credential> {
    let (Some(id), Some(secret)) = (&aws.access_key_id, &aws.secret_access_key) else {
        check.problem(
            span,
            "both halves of the key are needed: write access_key_id = { env = \"AWS_ACCESS_KEY_ID\" } and \
             secret_access_key = { env = \"AWS_SECRET_ACCESS_KEY\" }",
        );
        return None;
    };
    let access_key_id = id.get_ref().resolve(id.span(), check).and_then(|name| {
        // https://docs.aws.amazon.com/IAM/latest/APIReference/API_AccessKey.html
        let is_id = (16..=128).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        let message = || "this is no access key id: write the one that begins with AKIA or ASIA".to_owned();
        check.take(id.span(), is_id.then_some(name).ok_or_else(message))
    });
    let secret_access_key = secret.get_ref().resolve(secret.span(), check);
    let session_token = match &aws.session_token {
        None => None,
        Some(token) => Some(token.get_ref().resolve(token.span(), check)?),
    };
    Some(Credential::Aws { access_key_id: access_key_id?, secret_access_key: secret_access_key?, session_token })
}
