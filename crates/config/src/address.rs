//! Base URLs of providers. A URL can carry a secret (user information, a query): no message repeats one.

use std::{
    net::{IpAddr, Ipv6Addr},
    ops::Range,
};

use lethe_policy::{Dialect, Rules};
use lethe_types::Api;
use toml::Spanned;

use crate::{
    check::Check,
    credential::is_region_only,
    file::FileProvider,
    network::{Reach, reach},
    preset::Preset,
};

/// How the server is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// Without TLS; only inside a private network.
    Http,
    /// With TLS.
    Https,
}

/// `https://host[:port][/path]`, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BaseUrl {
    /// With or without TLS.
    pub scheme: Scheme,
    /// Host name in lower case, or address without brackets.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// Path without a trailing slash, such as `/v1`; may be empty. `?region=…` behind it is what Signature Version 4 signs for at a host whose name does
    /// not say it.
    pub path: String,
}

impl BaseUrl {
    /// Parses a base URL.
    ///
    /// # Errors
    /// What to write instead; nothing of the URL is repeated.
    pub fn parse(url: &str) -> Result<Self, &'static str> {
        let (scheme, rest) = if let Some(rest) = url.strip_prefix("https://") {
            (Scheme::Https, rest)
        } else if let Some(rest) = url.strip_prefix("http://") {
            (Scheme::Http, rest)
        } else {
            return Err("a base URL starts with https:// (or http:// inside a private network): write \"https://host/v1\"");
        };
        if rest.contains(['?', '#']) {
            return Err("a base URL has no query and no fragment: write \"https://host/v1\"");
        }
        let (authority, path) = rest.find('/').map_or((rest, ""), |slash| rest.split_at(slash));
        if authority.contains('@') {
            return Err(
                "a base URL carries no user name or password: write \"https://host/v1\" and api_key = { env = \"NAME\" }",
            );
        }
        let (host, port) = host_and_port(authority)?;
        let port = match (port, scheme) {
            (Some(port), _) => port,
            (None, Scheme::Http) => 80,
            (None, Scheme::Https) => 443,
        };
        let path = path.trim_end_matches('/');
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/-._~%:+@!$&'()*,;=".contains(&byte);
        if !path.bytes().all(plain) || path.contains("//") || path.split('/').any(|part| part == "." || part == "..") {
            return Err("this path cannot be sent as it stands: write it percent-encoded, such as \"https://host/v1\"");
        }
        Ok(Self { scheme, host, port, path: path.to_owned() })
    }

    /// Whether the host is a private or loopback address, or a name that can only mean one. Other names are checked when they are
    /// resolved.
    pub(crate) fn reach(&self) -> Reach {
        if let Ok(address) = self.host.parse::<IpAddr>() {
            return reach(address);
        }
        // RFC 6761 (localhost), RFC 6762 (.local), RFC 9476 and ICANN's reservation (.internal): never public names.
        let private = ["localhost", "local", "internal"]
            .iter()
            .any(|name| self.host == *name || self.host.strip_suffix(name).is_some_and(|rest| rest.ends_with('.')));
        if private { Reach::Private } else { Reach::Public }
    }

    /// Whether the host is an address rather than a name.
    pub(crate) fn is_address(&self) -> bool {
        self.host.parse::<IpAddr>().is_ok()
    }
}

fn host_and_port(authority: &str) -> Result<(String, Option<u16>), &'static str> {
    const PORT: &str = "the port is a number from 1 to 65535: write \"https://host:443/v1\"";
    let port = |text: &str| text.parse::<u16>().ok().filter(|port| *port != 0).ok_or(PORT);
    if let Some(rest) = authority.strip_prefix('[') {
        let (address, rest) =
            rest.split_once(']').ok_or("an IPv6 address stands in brackets: write \"https://[2001:db8::1]/v1\"")?;
        let address: Ipv6Addr = address.parse().map_err(|_| "this is no IPv6 address: write \"https://[2001:db8::1]/v1\"")?;
        let port = match rest {
            "" => None,
            _ => Some(port(rest.strip_prefix(':').ok_or(PORT)?)?),
        };
        return Ok((address.to_string(), port));
    }
    let (host, port) = match authority.split_once(':') {
        Some((host, number)) => (host, Some(port(number)?)),
        None => (authority, None),
    };
    let host = host.to_ascii_lowercase();
    let label = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
    };
    if host.len() > 253 || !host.split('.').all(label) {
        return Err("the host is a name (letters, digits, hyphens, dots; international names in their xn-- form) or an address");
    }
    // A last label of digits is an IPv4 address in one of its odd spellings (RFC 3986, 3.2.2; inet_aton), or nothing at all.
    let numeric = host.rsplit('.').next().is_some_and(|last| last.bytes().all(|b| b.is_ascii_digit()) || last.starts_with("0x"));
    if numeric && host.parse::<IpAddr>().is_err() {
        return Err("this is no IPv4 address: write four numbers, such as \"http://10.0.0.5:8000/v1\"");
    }
    Ok((host, port))
}

/// Where the provider is: as written, or as its preset says with the file's names filled in.
pub(crate) fn of(
    file: &FileProvider,
    preset: Option<&Preset>,
    dialect: Option<Dialect>,
    span: &Range<usize>,
    check: &mut Check<'_>,
) -> Option<BaseUrl> {
    misplaced(file, dialect, check);
    let (url, at) = match (&file.base_url, preset.and_then(|preset| preset.base_url.as_ref())) {
        (Some(url), _) => (url.get_ref().clone(), url.span()),
        (None, Some(url)) => (filled(url, file, span, check)?, span.clone()),
        (None, None) => {
            let example = match dialect {
                Some(Dialect::AzureOpenai) => "https://NAME.openai.azure.com",
                _ => "https://host/v1",
            };
            check.problem(span.clone(), format!("this provider has no address: write base_url = \"{example}\""));
            return None;
        }
    };
    let mut url = check.take(at, BaseUrl::parse(&url).map_err(str::to_owned))?;
    if dialect == Some(Dialect::AzureOpenai) && url.path.is_empty() {
        url.path = if dated(file.api_version.as_ref()) { "/openai" } else { "/openai/v1" }.to_owned();
    }
    if dialect == Some(Dialect::Vertex)
        && !url.path.contains("/projects/")
        && let (Some(project), Some(location)) = (&file.project, &file.location)
    {
        // The whole base URL of one's own proxy may be written, or as much of it as comes before the project.
        let whole = format!("https://host{}/projects/{}/locations/{}", url.path, project.get_ref(), location.get_ref());
        url.path = check.take(project.span(), BaseUrl::parse(&whole).map_err(str::to_owned))?.path;
    }
    if dialect == Some(Dialect::Bedrock) {
        signed_for(file, &mut url, check)?;
    }
    Some(url)
}

/// Signatures name the region. AWS' own hosts have it in their names; for others it goes to the gateway behind the path, where an operator cannot
/// write it, since a base URL has no query.
fn signed_for(file: &FileProvider, url: &mut BaseUrl, check: &mut Check<'_>) -> Option<()> {
    let Some(aws) = file.aws.as_ref().filter(|aws| !is_region_only(aws.get_ref())) else { return Some(()) };
    if url.host.split('.').any(|label| matches!(label, "bedrock-runtime" | "bedrock-runtime-fips")) {
        return Some(());
    }
    let plain = |region: &&Spanned<String>| {
        let text = region.get_ref();
        (1..=64).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
    };
    match aws.get_ref().region.as_ref().filter(plain) {
        Some(region) => {
            url.path = format!("{}?region={}", url.path, region.get_ref());
            Some(())
        }
        None => {
            let at = aws.get_ref().region.as_ref().map_or_else(|| aws.span(), Spanned::span);
            check.problem(
                at,
                "requests are signed for a region, and this host's name has none: write region = \"eu-central-1\" in aws",
            );
            None
        }
    }
}

/// Fields that say something to one dialect only.
fn misplaced(file: &FileProvider, dialect: Option<Dialect>, check: &mut Check<'_>) {
    let Some(dialect) = dialect else { return };
    for (written, name, belongs) in [
        (&file.api_version, "api_version", Dialect::AzureOpenai),
        (&file.location, "location", Dialect::Vertex),
        (&file.project, "project", Dialect::Vertex),
    ] {
        if let Some(written) = written
            && dialect != belongs
        {
            check.problem(written.span(), format!("{name} is for the dialect \"{}\": leave it out", belongs.name()));
        }
    }
}

/// `template` with `{region}`, `{location}` and `{project}` filled in.
fn filled(template: &str, file: &FileProvider, span: &Range<usize>, check: &mut Check<'_>) -> Option<String> {
    let aws = file.aws.as_ref().and_then(|aws| aws.get_ref().region.as_ref());
    let names = [
        ("{region}", aws.or(file.region.as_ref()), "region = \"eu-central-1\""),
        ("{location}", file.location.as_ref(), "location = \"europe-west4\""),
        ("{project}", file.project.as_ref(), "project = \"my-project\""),
    ];
    let mut url = template.to_owned();
    for (place, written, example) in names {
        if !url.contains(place) {
            continue;
        }
        let Some(written) = written else {
            check.problem(span.clone(), format!("where is it? Write {example}, or base_url"));
            return None;
        };
        let text = written.get_ref();
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if !(1..=64).contains(&text.len()) || !text.bytes().all(plain) {
            check.problem(written.span(), format!("this is no name that could stand in an address: write {example}"));
            return None;
        }
        if text == "global" {
            // The one location that has no name of its own in front of the host's.
            url = url.replace(&format!("{place}-"), "");
        }
        url = url.replace(place, text);
    }
    Some(url)
}

/// Whether Azure's API is asked for by a date: then deployments stand in the path. <https://learn.microsoft.com/azure/ai-foundry/openai/api-version-lifecycle>
fn dated(version: Option<&Spanned<String>>) -> bool {
    version.is_some_and(|version| !matches!(version.get_ref().as_str(), "preview" | "v1"))
}

/// Before this version Azure has no responses; what clients ask for in that format is asked in chat completions.
/// <https://learn.microsoft.com/azure/foundry/openai/api-version-lifecycle>
const RESPONSES_SINCE: &str = "2025-03-01";

/// The paths of Azure's API in one version.
pub(crate) fn azure_paths(version: &Spanned<String>, rules: &mut Rules, check: &mut Check<'_>) {
    let text = version.get_ref();
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if !(1..=32).contains(&text.len()) || !text.bytes().all(plain) {
        check.problem(version.span(), "an API version is a day or a word: write api_version = \"2024-10-21\", or leave it out");
        return;
    }
    let dated = dated(Some(version));
    if dated && text.as_str() < RESPONSES_SINCE {
        rules.apis.retain(|api| api.api != Api::Responses);
    }
    for api in &mut rules.apis {
        let path = match api.api {
            Api::Chat => "/chat/completions",
            Api::Completions => "/completions",
            Api::Embeddings => "/embeddings",
            Api::Responses => "/responses",
            _ => continue,
        };
        // Responses name the deployment in the body, as `model`.
        let deployment = if dated && api.api != Api::Responses { "/deployments/{model}" } else { "" };
        api.path = Some(format!("{deployment}{path}?api-version={text}"));
    }
}

/// Plain HTTP and private addresses only where the operator says so (DESIGN, "The dialer").
pub(crate) fn reachable(file: &FileProvider, url: &BaseUrl, span: &Range<usize>, check: &mut Check<'_>) {
    let span = file.base_url.as_ref().map_or_else(|| span.clone(), Spanned::span);
    let allowed = file.allow_private_network;
    match (url.reach(), url.scheme) {
        (Reach::Nowhere, _) => check.problem(span, "nobody answers at this address: write the server's own"),
        (Reach::Private, _) if !allowed => check.problem(
            span,
            "this is a private or loopback address: write allow_private_network = true beside it, or a public host",
        ),
        (_, Scheme::Http) if !allowed => {
            check.problem(span, "http:// is not protected in transit: write https://, or allow_private_network = true if the server is in a private network");
        }
        (Reach::Public, Scheme::Http) if url.is_address() => {
            check.problem(span, "this address is public, and http:// is not protected in transit: write https://");
        }
        (Reach::Public, Scheme::Http) => {
            check.notice(span, "http:// to a name: that it is inside a private network is the operator's assertion");
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

    use super::{BaseUrl, Scheme};
    use crate::network::Reach;

    #[test]
    fn urls_are_taken_apart() {
        let url = BaseUrl::parse("https://API.openai.com/v1/").unwrap();
        assert_eq!(url, BaseUrl { scheme: Scheme::Https, host: "api.openai.com".into(), port: 443, path: "/v1".into() });
        let url = BaseUrl::parse("http://[::1]:8000").unwrap();
        assert_eq!(url, BaseUrl { scheme: Scheme::Http, host: "::1".into(), port: 8000, path: String::new() });
    }

    #[test]
    fn what_is_no_base_url_is_refused_without_repeating_it() {
        for url in [
            "",
            "ftp://SECRET",
            "https://",
            "https://SECRET:pass@host/v1",
            "https://host/v1?key=SECRET",
            "https://host/#SECRET",
            "https://host:0",
            "https://host:99999",
            "https://ho st/",
            "https://-host",
            "https://[::1",
            "https://[SECRET]/",
            "https://[::1]8000/",
            "https://2130706433/",
            "https://127.1/",
            "https://0x7f.0x1/",
            "https://host/a b",
            "https://host//v1",
            "https://host/../v1",
            "https://host/v1\r\nSECRET",
            "https://host..example/",
        ] {
            let message = BaseUrl::parse(url).unwrap_err();
            assert!(!message.contains("SECRET"), "{url}");
        }
    }

    #[test]
    fn private_hosts_are_recognised() {
        for (host, reach) in [
            ("127.0.0.1", Reach::Private),
            ("10.1.2.3", Reach::Private),
            ("172.16.0.1", Reach::Private),
            ("172.32.0.1", Reach::Public),
            ("192.168.1.1", Reach::Private),
            ("169.254.169.254", Reach::Private),
            ("100.64.0.1", Reach::Private),
            ("100.128.0.1", Reach::Public),
            ("198.19.0.1", Reach::Private),
            ("[::1]", Reach::Private),
            ("[fd00::1]", Reach::Private),
            ("[fe80::1]", Reach::Private),
            ("[::ffff:10.0.0.1]", Reach::Private),
            ("[2606:4700::1]", Reach::Public),
            ("localhost", Reach::Private),
            ("x.localhost", Reach::Private),
            ("db.internal", Reach::Private),
            ("printer.local", Reach::Private),
            ("notlocalhost", Reach::Public),
            ("api.openai.com", Reach::Public),
            ("0.0.0.0", Reach::Nowhere),
            ("224.0.0.1", Reach::Nowhere),
            ("255.255.255.255", Reach::Nowhere),
            ("[::]", Reach::Nowhere),
        ] {
            assert_eq!(BaseUrl::parse(&format!("https://{host}/v1")).unwrap().reach(), reach, "{host}");
        }
    }
}
