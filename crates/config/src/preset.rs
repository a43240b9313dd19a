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
    /// Models that keep content whatever was agreed. A `*` at the end stands for any name that begins so, one at the beginning for any
    /// that ends so.
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
    /// Nothing is published: only an agreement of the operator's own can say so.
    Unknown,
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
    /// The server takes ids of calls only if they have nine letters or digits.
    pub short_call_ids: bool,
    /// Fields of messages in which the server takes thoughts back.
    pub thoughts: Vec<String>,
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
            Self::Unknown => "unknown",
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
        self.terms.never_models.iter().any(|pattern| match (pattern.strip_prefix('*'), pattern.strip_suffix('*')) {
            (Some(ending), _) => id.ends_with(ending),
            (None, Some(beginning)) => id.starts_with(beginning),
            (None, None) => pattern == id,
        })
    }

    /// Whether a wildcard would reach models that keep content and that no narrower name could take out of it.
    #[must_use]
    pub fn refuses_wildcards(&self) -> bool {
        self.terms.never_models.iter().any(|pattern| pattern.starts_with('*'))
    }
}

impl PresetApi {
    fn rules(&self, api: Api) -> ApiRules {
        let json = |value: &toml::Value| serde_json::to_string(value).unwrap_or_default();
        let mut fields: Vec<String> = self.fields.iter().chain(self.rename.keys()).cloned().collect();
        fields.sort_unstable();
        fields.dedup();
        ApiRules {
            api,
            path: self.path.clone(),
            fields,
            tool_types: self.tool_types.clone(),
            force: self.force.iter().map(|(name, value)| (name.clone(), json(value))).collect(),
            rename: self.rename.iter().map(|(name, servers)| (name.clone(), servers.clone())).collect(),
            strip: self.strip.clone(),
            stream_usage: self.stream_usage,
            short_call_ids: self.short_call_ids,
            thoughts: self.thoughts.clone(),
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
const FILES: &[&str] = &[
    include_str!("../presets/anthropic.toml"),
    include_str!("../presets/clouds.toml"),
    include_str!("../presets/google.toml"),
    include_str!("../presets/hosted.toml"),
    include_str!("../presets/openai.toml"),
    include_str!("../presets/own.toml"),
];

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

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

    use std::{collections::BTreeMap, path::Path};

    use lethe_policy::{Dialect, conflict};
    use lethe_types::{Api, Capability};

    use super::{FILES, PRESETS, Preset, Zero, fitting};

    const NAMES: [&str; 28] = [
        "anthropic",
        "atlascloud",
        "azure-openai",
        "bedrock",
        "cerebras",
        "cohere",
        "deepinfra",
        "deepseek",
        "fireworks",
        "gemini",
        "groq",
        "jina",
        "llama-cpp",
        "lm-studio",
        "mistral",
        "nvidia",
        "ollama",
        "openai",
        "openai-compatible",
        "openrouter",
        "perplexity",
        "sambanova",
        "sglang",
        "together",
        "vertex",
        "vertex-anthropic",
        "vllm",
        "xai",
    ];

    #[test]
    fn every_file_parses_and_is_compiled_in() {
        let mut names = Vec::new();
        for text in FILES {
            let presets: BTreeMap<String, Preset> = toml::from_str(text).unwrap();
            names.extend(presets.into_keys());
        }
        names.sort();
        assert_eq!(names, NAMES);
        assert_eq!(PRESETS.keys().collect::<Vec<_>>(), NAMES);
        let folder = std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("presets")).unwrap();
        assert_eq!(folder.count(), FILES.len(), "a file of the folder that nobody reads");
    }

    #[test]
    fn every_preset_is_complete() {
        for (name, preset) in PRESETS.iter() {
            assert!(!preset.api.is_empty() && !preset.name.is_empty(), "{name}");
            for link in [&preset.docs, &preset.terms.source] {
                assert!(link.starts_with("https://"), "{name}: {link}");
            }
            assert!(!preset.terms.how.is_empty() && !preset.terms.how.contains('|'), "{name}");
            let own = preset.terms.zero == Zero::Own;
            assert!(own != preset.api_key_env.is_some(), "{name}: hosted providers want a key, own servers need none");
            for (api, written) in &preset.api {
                for list in [&written.fields, &written.tool_types, &written.strip] {
                    assert!(list.is_sorted() && list.windows(2).all(|pair| pair[0] != pair[1]), "{name} {api:?}: {list:?}");
                }
                assert!(!written.fields.is_empty(), "{name} {api:?}");
                assert!(written.strip.iter().all(|field| !written.fields.contains(field)), "{name} {api:?}: listed and left out");
                assert!(
                    written.rename.values().all(|servers| written.fields.contains(servers)),
                    "{name} {api:?}: a name that the server does not know"
                );
                assert!(!written.stream_usage || written.fields.contains(&"stream_options".to_owned()), "{name} {api:?}");
            }
        }
    }

    #[test]
    fn nothing_that_keeps_content_is_listed() {
        // Positive control: the table knows what is left out on purpose.
        assert!(conflict::field(Api::Chat, "metadata").is_some());
        for (name, preset) in PRESETS.iter() {
            for (api, written) in &preset.api {
                let folded = |field: &String| [field.to_lowercase(), field.to_lowercase().replace('_', "")];
                let kept = |field: &&String| {
                    folded(field).iter().any(|field| conflict::field(*api, field).is_some())
                        || preset.retains.contains_key(*field)
                };
                let listed: Vec<&String> = written.fields.iter().filter(kept).collect();
                assert!(
                    listed.is_empty()
                        || (listed == ["store"] && (written.force.contains_key("store") || preset.terms.zero == Zero::Own)),
                    "{name} {api:?}: {listed:?}"
                );
            }
        }
        let openrouter = PRESETS["openrouter"].rules();
        for api in &openrouter.apis {
            let forced = ("provider".to_owned(), r#"{"data_collection":"deny","zdr":true}"#.to_owned());
            assert_eq!(api.force, [forced], "{:?}", api.api);
            assert!(!api.fields.contains(&"provider".to_owned()), "a client's own would be dropped silently");
        }
        for name in ["openai", "azure-openai"] {
            for api in [Api::Chat, Api::Responses] {
                assert!(PRESETS[name].api[&api].force.contains_key("store"), "{name} {api:?}");
            }
        }
    }

    #[test]
    fn catalogues_are_compact_exact_and_servable() {
        for (name, preset) in PRESETS.iter() {
            assert!(preset.models.len() <= 17, "{name}: wildcards are for the rest");
            for model in &preset.models {
                assert_eq!(preset.models.iter().filter(|other| other.id == model.id).count(), 1, "{name}: {}", model.id);
                assert!(!preset.never(&model.id), "{name}: {} is never zero retention", model.id);
                assert!(!model.operations.is_empty(), "{name}: {}", model.id);
                for capability in &model.operations {
                    assert!(preset.capabilities().contains(capability), "{name}: {} {capability:?}", model.id);
                }
                assert_eq!(model.input.is_some(), model.price(&preset.currency).is_some(), "{name}: {}", model.id);
                let speaks = model.operations.contains(&Capability::Chat);
                assert_eq!(model.output.is_some(), speaks && model.input.is_some(), "{name}: {}", model.id);
                assert!(model.max_output_tokens.is_none() || speaks, "{name}: {}", model.id);
            }
        }
        assert!(
            PRESETS["anthropic"].models.iter().all(|model| model.max_output_tokens.is_some()),
            "its API must be told a limit"
        );
    }

    #[test]
    fn a_preset_is_found_by_its_host_and_else_by_its_dialect() {
        let found = |dialect, host| fitting(dialect, host).map(|(name, _)| name);
        assert_eq!(found(Dialect::Openai, "api.openai.com"), Some("openai"));
        assert_eq!(found(Dialect::Openai, "api.openai.com.example.net"), Some("openai-compatible"));
        assert_eq!(found(Dialect::Openai, "api.groq.com"), Some("groq"));
        assert_eq!(found(Dialect::Anthropic, "proxy.example.net"), Some("anthropic"));
        for dialect in Dialect::ALL {
            assert!(found(dialect, "host.example.net").is_some(), "{dialect:?}");
        }
    }

    #[test]
    fn models_that_are_never_zero_are_recognised() {
        assert!(PRESETS["anthropic"].never("claude-mythos-5") && !PRESETS["anthropic"].never("claude-opus-5"));
        assert!(PRESETS["deepinfra"].never("anthropic/claude-opus-5") && PRESETS["deepinfra"].never("anthropic/claude-*"));
        assert!(PRESETS["ollama"].never("gpt-oss:120b-cloud") && PRESETS["ollama"].refuses_wildcards());
        assert!(!PRESETS["anthropic"].refuses_wildcards());
    }
}
