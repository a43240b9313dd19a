//! What a configuration does, without its secrets.

use lethe_config::{ClientTls, Config, Model, Provider, Route, Scheme};
use lethe_policy::{Credential, Grant, PromptCache, Standing, Terms};
use lethe_providers::formats::is_spoken_by_clients;
use lethe_types::{Api, Capability, Millis, Region};
use serde::{Deserialize, Serialize};

/// Everything that a configuration does, but for credentials and certificates.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Description {
    pub(crate) gateway: Gateway,
    pub(crate) providers: Vec<DescribedProvider>,
    pub(crate) models: Vec<DescribedModel>,
}

/// `[gateway]` and `[control]`, as far as they can be reached.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Gateway {
    pub(crate) listen: String,
    pub(crate) tls: String,
    pub(crate) probes: String,
    pub(crate) console: String,
    pub(crate) engine: bool,
    /// Fields that the command line says, whatever the file says.
    pub(crate) by_command_line: Vec<String>,
}

/// A provider.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct DescribedProvider {
    pub(crate) id: String,
    pub(crate) preset: String,
    pub(crate) dialect: String,
    pub(crate) address: String,
    pub(crate) credential: String,
    pub(crate) region: Option<String>,
    /// Standing of the terms: `good`, or why its routes answer 503.
    pub(crate) terms: String,
    pub(crate) review_due: Option<String>,
    /// Formats that it takes, with what is set on every request.
    pub(crate) formats: Vec<Format>,
    pub(crate) allowed_fields: Vec<String>,
    pub(crate) max_concurrent: Option<u32>,
    pub(crate) prompt_cache: String,
    /// Connect, first byte, idle, total.
    pub(crate) seconds: [u32; 4],
}

/// A format that a provider takes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Format {
    pub(crate) api: String,
    /// `field = value`
    pub(crate) forced: Vec<String>,
}

/// A model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct DescribedModel {
    pub(crate) id: String,
    pub(crate) operations: Vec<String>,
    pub(crate) strategy: String,
    pub(crate) routes: Vec<DescribedRoute>,
    /// Why requests for it are refused, if they are.
    pub(crate) refused: Option<String>,
}

/// One way to serve a model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct DescribedRoute {
    pub(crate) provider: String,
    pub(crate) model: String,
    pub(crate) weight: u32,
    pub(crate) price_millionths: Option<u64>,
    pub(crate) max_output_tokens: Option<u32>,
    /// Clients' formats that pass as they are.
    pub(crate) passes: Vec<String>,
    /// Clients' formats that are translated, and into which.
    pub(crate) translated: Vec<(String, String)>,
    /// Why it does not serve, if it does not.
    pub(crate) refused: Option<String>,
}

impl Description {
    /// What `config` does at `now`.
    pub(crate) fn of(config: &Config, now: Millis) -> Self {
        let tls = match &config.gateway.tls {
            ClientTls::None => "none",
            ClientTls::Own { .. } => "own certificate",
            ClientTls::TerminatedByProxy { .. } => "terminated by a trusted proxy",
        };
        Self {
            gateway: Gateway {
                listen: config.gateway.listen.to_string(),
                tls: tls.to_owned(),
                probes: config.gateway.probes.to_string(),
                console: config.control.console.to_string(),
                engine: config.engine.enabled,
                by_command_line: Vec::new(),
            },
            providers: config.providers.iter().map(|provider| described_provider(provider, now)).collect(),
            models: config.models.iter().map(|model| described_model(model, config, now)).collect(),
        }
    }
}

fn described_provider(provider: &Provider, now: Millis) -> DescribedProvider {
    let timeouts = &provider.timeouts;
    let format = |rules: &lethe_policy::ApiRules| Format {
        api: rules.api.name().to_owned(),
        forced: rules.force.iter().map(|(name, value)| format!("{name} = {value}")).collect(),
    };
    DescribedProvider {
        id: provider.id.clone(),
        preset: provider.preset.to_owned(),
        dialect: provider.dialect.name().to_owned(),
        address: address(provider),
        credential: match provider.credential {
            Credential::Awaited => provider.grant.as_ref().map_or("none", Grant::name),
            Credential::Aws { .. } => "AWS keys",
            Credential::Bearer(_) => "token",
            Credential::Key(_) => "key",
            Credential::None => "none",
        }
        .to_owned(),
        region: provider.region.as_ref().map(Region::as_str).map(str::to_owned),
        terms: standing(provider, now).name().to_owned(),
        review_due: provider.terms.as_ref().and_then(|terms| day(terms.terms.review_due)),
        formats: provider.rules.apis.iter().map(format).collect(),
        allowed_fields: provider.allowed_fields.clone(),
        max_concurrent: provider.max_concurrent,
        prompt_cache: match provider.prompt_cache {
            PromptCache::Isolated => "isolated",
            PromptCache::Off => "off",
            PromptCache::Shared => "shared",
        }
        .to_owned(),
        seconds: [timeouts.connect_seconds, timeouts.first_byte_seconds, timeouts.idle_seconds, timeouts.total_seconds],
    }
}

fn address(provider: &Provider) -> String {
    let url = &provider.base_url;
    let (scheme, default) = match url.scheme {
        Scheme::Http => ("http", 80),
        Scheme::Https => ("https", 443),
    };
    let host = if url.host.contains(':') { format!("[{}]", url.host) } else { url.host.clone() };
    let port = if url.port == default { String::new() } else { format!(":{}", url.port) };
    format!("{scheme}://{host}{port}{}", url.path)
}

fn described_model(model: &Model, config: &Config, now: Millis) -> DescribedModel {
    let routes: Vec<DescribedRoute> = model
        .routes
        .iter()
        .filter_map(|route| Some(described_route(route, config.providers.get(route.provider)?, &model.capabilities, now)))
        .collect();
    let refused = match routes.first() {
        None => Some("no provider serves it without keeping content".to_owned()),
        Some(first) if routes.iter().all(|route| route.refused.is_some()) => first.refused.clone(),
        Some(_) => None,
    };
    DescribedModel {
        id: model.id.clone(),
        operations: model.capabilities.iter().map(|capability| capability.name().to_owned()).collect(),
        strategy: model.strategy.name().to_owned(),
        routes,
        refused,
    }
}

fn described_route(route: &Route, provider: &Provider, capabilities: &[Capability], now: Millis) -> DescribedRoute {
    let mut passes = Vec::new();
    let mut translated = Vec::new();
    for api in Api::ALL.into_iter().filter(|api| capabilities.contains(&api.capability()) && is_spoken_by_clients(*api)) {
        match provider.rules.target(api) {
            Some(rules) if rules.api == api => passes.push(api.name().to_owned()),
            Some(rules) => translated.push((api.name().to_owned(), rules.api.name().to_owned())),
            None => {}
        }
    }
    DescribedRoute {
        provider: provider.id.clone(),
        model: route.model.clone(),
        weight: route.weight,
        price_millionths: route.price,
        max_output_tokens: route.max_output_tokens,
        passes,
        translated,
        refused: why(standing(provider, now)),
    }
}

fn standing(provider: &Provider, now: Millis) -> Standing {
    Terms::standing(provider.terms.as_ref().map(|terms| &terms.terms), now)
}

fn why(standing: Standing) -> Option<String> {
    let why = match standing {
        Standing::Good => return None,
        Standing::Missing => "no terms are recorded",
        Standing::Overdue => "the review of its terms is overdue, or lies in the future",
        Standing::Retains => "the provider keeps content",
        Standing::Trains => "the provider may train",
    };
    Some(format!("503 provider_terms: {why}"))
}

fn day(millis: Millis) -> Option<String> {
    let time = jiff::Timestamp::from_millisecond(i64::try_from(millis).ok()?).ok()?;
    Some(time.strftime("%Y-%m-%d").to_string())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, clippy::panic, reason = "a failed unwrap is a failed test")]

    use std::{ffi::OsString, path::Path};

    use super::Description;

    const TEXT: &str = r#"
[[provider]]
preset = "openai"
api_key = { env = "KEY" }
region = "us"
[provider.terms]
training = "never"
retention_days = 0
reviewed = 2026-10-01
review_due = 2027-10-01
[[provider]]
preset = "anthropic"
api_key = { env = "KEY" }
[[model]]
id = "fast"
operations = ["chat"]
strategy = "ordered"
routes = [{ provider = "openai", model = "gpt-5.4-mini" }, { provider = "anthropic", model = "claude-haiku-4-5" }]
"#;

    #[test]
    fn what_passes_is_translated_and_is_refused_is_told_and_no_secret() {
        let environment = |_: &str| Some(OsString::from("sk-very-secret"));
        let config = lethe_config::parse(TEXT, Path::new("lethe.toml"), &environment).unwrap();
        let does = Description::of(&config, 1_800_000_000_000);
        assert_eq!((does.providers[0].terms.as_str(), does.providers[1].terms.as_str()), ("good", "missing"));
        assert_eq!(does.providers[0].address, "https://api.openai.com/v1");
        assert_eq!(does.providers[0].formats[0].forced, ["store = false"]);
        let [openai, anthropic] = does.models[0].routes.as_slice() else { panic!("two routes") };
        assert_eq!(openai.passes, ["chat", "responses"]);
        assert!(openai.translated.contains(&("messages".to_owned(), "chat".to_owned())));
        assert_eq!(anthropic.passes, ["messages"]);
        assert!(anthropic.translated.contains(&("generate_content".to_owned(), "messages".to_owned())));
        assert_eq!((openai.refused.as_deref(), does.models[0].refused.as_deref()), (None, None));
        assert!(anthropic.refused.as_ref().unwrap().contains("no terms are recorded"));
        let text = serde_json::to_string(&does).unwrap();
        assert!(text.contains("gpt-5.4-mini") && !text.contains("secret"));
        assert_eq!(serde_json::from_str::<Description>(&text).unwrap(), does);
    }
}
