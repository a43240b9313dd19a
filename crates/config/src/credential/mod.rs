//! How a provider is shown who is asking: `api_key`, or what `aws`, `entra` and `google` say of a credential that is signed with or that
//! expires.

mod aws;
mod entra;
mod google;

use std::ops::Range;

use lethe_policy::{Credential, Dialect, Grant, TokenServer};

pub(crate) use aws::is_region_only;

use crate::{BaseUrl, Scheme, check::Check, file::FileProvider, network::Reach, preset::Preset};

/// What a provider is shown, or what that is obtained with.
pub(crate) struct Access {
    pub(crate) credential: Credential,
    pub(crate) grant: Option<Grant>,
}

impl Access {
    const fn held(credential: Credential) -> Self {
        Self { credential, grant: None }
    }

    const fn obtained(grant: Grant) -> Self {
        Self { credential: Credential::Awaited, grant: Some(grant) }
    }
}

/// The way in; nothing after a problem was noted.
pub(crate) fn checked(
    file: &FileProvider,
    id: &str,
    dialect: Dialect,
    preset: &Preset,
    span: Range<usize>,
    check: &mut Check<'_>,
) -> Option<Access> {
    let aws = file.aws.as_ref().filter(|aws| dialect != Dialect::Bedrock || !is_region_only(aws.get_ref()));
    let ways = [
        ("aws", aws.map(toml::Spanned::span), Dialect::Bedrock),
        ("entra", file.entra.as_ref().map(toml::Spanned::span), Dialect::AzureOpenai),
        ("google", file.google.as_ref().map(toml::Spanned::span), Dialect::Vertex),
    ];
    for (name, at, belongs) in ways {
        let Some(at) = at else { continue };
        if dialect != belongs {
            let message =
                format!("{name} is for the dialect \"{}\": write api_key = {{ env = \"NAME\" }} instead", belongs.name());
            check.problem(at, message);
            return None;
        }
        if let Some(key) = &file.api_key {
            check.problem(key.span(), format!("either api_key or {name}, not both: leave one of them out"));
        }
    }
    if let Some(aws) = aws {
        return aws::checked(aws.get_ref(), aws.span(), file, check);
    }
    if let Some(entra) = &file.entra {
        return entra::checked(entra.get_ref(), entra.span(), file, check).map(Access::obtained);
    }
    if let Some(google) = &file.google {
        return google::checked(google.get_ref(), file, check).map(Access::obtained);
    }
    if let Some(key) = &file.api_key {
        return key.get_ref().resolve(key.span(), check).map(|key| Access::held(Credential::Key(key)));
    }
    let Some(variable) = &preset.api_key_env else { return Some(Access::held(Credential::None)) };
    let other = match dialect {
        Dialect::AzureOpenai => {
            ", or entra = { tenant = \"…\", client_id = \"…\", client_secret = { env = \"AZURE_CLIENT_SECRET\" } }"
        }
        Dialect::Bedrock => {
            ", or aws = { access_key_id = \"AKIA…\", secret_access_key = { env = \"AWS_SECRET_ACCESS_KEY\" }, region = \"eu-central-1\" }"
        }
        Dialect::Vertex => ", or google = { credentials = { file = \"service-account.json\" } }",
        _ => "",
    };
    let message =
        format!("provider \"{id}\" needs a key: write api_key = {{ env = \"{variable}\" }} or {{ file = \"path\" }}{other}");
    check.problem(span, message);
    None
}

/// Where credentials are given out. What holds for the provider's own address holds for this one.
fn server(url: &str, file: &FileProvider) -> Result<TokenServer, String> {
    let url = BaseUrl::parse(url).map_err(str::to_owned)?;
    let private = url.scheme == Scheme::Http || url.reach() == Reach::Private;
    if url.reach() == Reach::Nowhere || (private && !file.allow_private_network) {
        return Err(
            "credentials are asked for over https:// at a public address: write one, or allow_private_network = true if the \
                    server is in a private network"
                .to_owned(),
        );
    }
    let path = if url.path.is_empty() { "/".to_owned() } else { url.path };
    Ok(TokenServer { tls: url.scheme == Scheme::Https, host: url.host, port: url.port, path })
}
