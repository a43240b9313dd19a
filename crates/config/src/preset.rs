//! What is known of each kind of provider: `presets/*.toml`, compiled in. Adding a preset is adding a table there.

use std::{collections::BTreeMap, sync::LazyLock};

use lethe_policy::{ApiRules, Dialect, Rules};
use lethe_types::{Api, Capability};
use serde::Deserialize;

use crate::{Amount, BaseUrl, Price};

/// One preset.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Preset {
    /// The provider's or program's own name.
    pub name: String,
    /// How the server is spoken to.
    pub dialect: Dialect,
    /// Where the server is, for a preset of one particular provider. `{region}`, `{location}`, `{project}` and `{host}` stand for
    /// what the configuration says.
    pub base_url: Option<String>,
    /// Variable that usually holds the key; a suggestion in messages, never read by itself.
    pub api_key_env: Option<String>,
    /// Where the fields of its API are documented.
    pub docs: String,
    /// Whether it can be used without anything being kept.
    pub terms: PresetTerms,
    /// What each format may be sent.
    pub api: BTreeMap<Api, PresetApi>,
    /// Values of `anthropic-beta` and the like that the server may be sent.
    #[serde(default)]
    pub beta_values: Vec<String>,
    /// Top-level fields of its API that make it keep something, with what to do instead: no operator can allow them.
    #[serde(default)]
    pub retains: BTreeMap<String, String>,
    /// ISO 4217 code of the prices.
    #[serde(default = "usd")]
    pub currency: String,
    /// Whatever else it has is served as `id/name`.
    #[serde(default = "yes")]
    pub wildcard: bool,
    /// Models that a provider with this preset has where the configuration names none.
    #[serde(default)]
    pub models: Vec<PresetModel>,
}

/// What a provider's published terms allow.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PresetTerms {
    /// How zero retention is had.
    pub zero: Zero,
    /// The same in a sentence.
    pub how: String,
    /// Where it is published.
    pub source: String,
    /// Models that keep content whatever was agreed; a `*` at the end stands for any name that begins so.
    #[serde(default)]
    pub never_models: Vec<String>,
}

/// How zero retention is had from a provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Zero {
    /// By a contract or an approval.
    Contract,
    /// By default.
    Default,
    /// Not at all.
    Never,
    /// The operator's own machine: as that is run.
    Own,
    /// By a setting of the account or the request.
    Setting,
}

/// What one format may be sent.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PresetApi {
    /// The path below the base path, where it is not the format's own.
    pub path: Option<String>,
    /// Top-level fields, sorted.
    pub fields: Vec<String>,
    /// Values of `tools[].type`, sorted.
    pub tool_types: Vec<String>,
    /// Top-level fields that are set on every request.
    pub force: BTreeMap<String, toml::Value>,
    /// Top-level fields that the server knows by another name.
    pub rename: BTreeMap<String, String>,
    /// Top-level fields that are left out.
    pub strip: Vec<String>,
    /// The server accepts `stream_options.include_usage`.
    pub stream_usage: bool,
}

/// One model of a preset.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PresetModel {
    /// The provider's own name.
    pub id: String,
    /// What it can be asked for.
    #[serde(default = "chat")]
    pub operations: Vec<Capability>,
    /// The most that it answers, in tokens.
    pub max_output_tokens: Option<u32>,
    /// Price of a million input tokens, as a decimal.
    pub input: Option<String>,
    /// Price of a million output tokens, as a decimal; left out where there are none.
    pub output: Option<String>,
}

impl Zero {
    /// Whether there is a way at all.
    #[must_use]
    pub fn possible(self) -> bool {
        self != Self::Never
    }

    /// The name operators see.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Contract => "by contract",
            Self::Default => "by default",
            Self::Never => "never",
            Self::Own => "your own machine",
            Self::Setting => "by a setting",
        }
    }
}

impl Preset {
    /// What the server accepts, as gateways get it.
    #[must_use]
    pub fn rules(&self) -> Rules {
        let apis = self.api.iter().map(|(api, written)| written.rules(*api)).collect();
        Rules { apis, beta_values: self.beta_values.clone() }
    }

    /// What can be asked of such a provider.
    #[must_use]
    pub fn capabilities(&self) -> Vec<Capability> {
        Capability::ALL.into_iter().filter(|wanted| self.api.keys().any(|api| api.capability() == *wanted)).collect()
    }

    /// The catalogue's entry for the provider's model `id`.
    #[must_use]
    pub fn model(&self, id: &str) -> Option<&PresetModel> {
        self.models.iter().find(|model| model.id == id)
    }

    /// Whether the provider keeps what its model `id` is sent, whatever was agreed. For an `id` with a `*` at its end: whatever that
    /// stands for.
    #[must_use]
    pub fn never(&self, id: &str) -> bool {
        self.terms.never_models.iter().any(|pattern| match pattern.strip_suffix('*') {
            Some(prefix) => id.starts_with(prefix),
            None => pattern == id,
        })
    }
}

impl PresetApi {
    fn rules(&self, api: Api) -> ApiRules {
        let json = |value: &toml::Value| serde_json::to_string(value).unwrap_or_default();
        ApiRules {
            api,
            path: self.path.clone(),
            fields: self.fields.clone(),
            tool_types: self.tool_types.clone(),
            force: self.force.iter().map(|(name, value)| (name.clone(), json(value))).collect(),
            rename: self.rename.iter().map(|(name, servers)| (name.clone(), servers.clone())).collect(),
            strip: self.strip.clone(),
            stream_usage: self.stream_usage,
        }
    }
}

impl PresetModel {
    /// What it costs, where that is known.
    #[must_use]
    pub fn price(&self, currency: &str) -> Option<Price> {
        let input_per_million = Amount::parse(self.input.as_deref()?)?;
        let output_per_million = self.output.as_deref().map_or(Some(Amount::ZERO), Amount::parse)?;
        Some(Price { currency: currency.to_owned(), input_per_million, output_per_million })
    }
}

fn usd() -> String {
    "USD".to_owned()
}

const fn yes() -> bool {
    true
}

fn chat() -> Vec<Capability> {
    vec![Capability::Chat]
}

/// The files; what each holds says its first line.
const FILES: &[&str] = &[include_str!("../presets/openai.toml"), include_str!("../presets/own.toml")];

/// Every preset by name, in alphabetical order.
pub static PRESETS: LazyLock<BTreeMap<String, Preset>> = LazyLock::new(|| {
    // Each parses: a test sees to it.
    FILES.iter().flat_map(|text| toml::from_str::<BTreeMap<String, Preset>>(text).unwrap_or_default()).collect()
});

/// The preset called so, with its name.
pub(crate) fn named(name: &str) -> Option<(&'static str, &'static Preset)> {
    PRESETS.get_key_value(name).map(|(name, preset)| (name.as_str(), preset))
}

/// The preset for a provider that names none: the one whose host it is, else the one that knows least of the dialect.
pub(crate) fn fitting(dialect: Dialect, host: &str) -> Option<(&'static str, &'static Preset)> {
    let is_host = |preset: &Preset| {
        preset.dialect == dialect
            && preset.base_url.as_deref().and_then(|url| BaseUrl::parse(url).ok()).is_some_and(|url| url.host == host)
    };
    let own = PRESETS.iter().find(|(_, preset)| is_host(preset)).map(|(name, preset)| (name.as_str(), preset));
    own.or_else(|| named(if dialect == Dialect::Openai { "openai-compatible" } else { dialect.name() }))
}
