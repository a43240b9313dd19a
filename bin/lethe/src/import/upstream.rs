//! Which provider a LiteLLM model name means: <https://docs.litellm.ai/docs/providers>.

/// LiteLLM's name of a provider, and the preset.
const PREFIXES: &[(&str, &str)] = &[
    ("anthropic", "anthropic"),
    ("azure", "azure-openai"),
    ("bedrock", "bedrock"),
    ("bedrock_converse", "bedrock"),
    ("cerebras", "cerebras"),
    ("cohere", "cohere"),
    ("cohere_chat", "cohere"),
    ("custom_openai", "openai-compatible"),
    ("deepinfra", "deepinfra"),
    ("deepseek", "deepseek"),
    ("fireworks_ai", "fireworks"),
    ("gemini", "gemini"),
    ("groq", "groq"),
    ("hosted_vllm", "vllm"),
    ("jina_ai", "jina"),
    ("litellm_proxy", "openai-compatible"),
    ("llamafile", "llama-cpp"),
    ("lm_studio", "lm-studio"),
    ("mistral", "mistral"),
    ("nvidia_nim", "nvidia"),
    ("ollama", "ollama"),
    ("ollama_chat", "ollama"),
    ("openai", "openai"),
    ("openai_like", "openai-compatible"),
    ("openrouter", "openrouter"),
    ("perplexity", "perplexity"),
    ("sambanova", "sambanova"),
    ("text-completion-openai", "openai"),
    ("together_ai", "together"),
    ("vertex_ai", "vertex"),
    ("vertex_ai_beta", "vertex"),
    ("xai", "xai"),
];

/// Beginnings of names that need no provider in front of them.
const BARE: &[(&str, &str)] = &[
    ("chatgpt-", "openai"),
    ("claude-", "anthropic"),
    ("command-", "cohere"),
    ("embed-", "cohere"),
    ("gemini-", "vertex"),
    ("gpt-", "openai"),
    ("o1", "openai"),
    ("o3", "openai"),
    ("o4", "openai"),
    ("omni-moderation", "openai"),
    ("rerank-", "cohere"),
    ("text-embedding-", "openai"),
];

/// Where LiteLLM sends a model.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Upstream {
    pub(crate) preset: &'static str,
    /// The provider's own name of the model.
    pub(crate) model: String,
}

/// Reads `model` (`openai/gpt-5-mini`), with `custom_llm_provider` where that is written, and whether there is an address of its own.
pub(crate) fn of(model: &str, custom: Option<&str>, has_address: bool) -> Option<Upstream> {
    let preset_of = |name: &str| PREFIXES.iter().find(|(prefix, _)| *prefix == name).map(|(_, preset)| *preset);
    let (preset, name) = match (custom, model.split_once('/')) {
        (Some(custom), rest) => {
            let name = rest.filter(|(prefix, _)| *prefix == custom).map_or(model, |(_, name)| name);
            (preset_of(custom)?, name)
        }
        (None, Some((prefix, name))) if preset_of(prefix).is_some() => (preset_of(prefix)?, name),
        (None, _) => {
            let bare = BARE.iter().find(|(beginning, _)| model.starts_with(beginning)).map(|(_, preset)| *preset);
            (bare.or(has_address.then_some("openai-compatible"))?, model)
        }
    };
    let preset = match preset {
        // Another address is another server.
        "openai" if has_address => "openai-compatible",
        "vertex" if name.starts_with("claude") => "vertex-anthropic",
        other => other,
    };
    Some(Upstream { preset, model: own_name(preset, name) })
}

/// Without what LiteLLM adds to a provider's own names, and with what it leaves out.
fn own_name(preset: &str, name: &str) -> String {
    match preset {
        "bedrock" => {
            let mut name = name;
            for route in ["converse/", "invoke/", "converse_like/"] {
                name = name.strip_prefix(route).unwrap_or(name);
            }
            // A region in front (`us-east-1/…`) is said by the provider.
            match name.split_once('/') {
                Some((region, rest)) if is_region(region) => rest.to_owned(),
                _ => name.to_owned(),
            }
        }
        "azure-openai" => ["o_series/", "gpt5_series/", "responses/"]
            .iter()
            .fold(name, |name, series| name.strip_prefix(series).unwrap_or(name))
            .to_owned(),
        "fireworks" if !name.contains('/') && name != "*" => format!("accounts/fireworks/models/{name}"),
        "openai" => name.strip_prefix("responses/").unwrap_or(name).to_owned(),
        _ => name.to_owned(),
    }
}

/// The region that stands in front of a Bedrock model's name.
pub(crate) fn region_in(model: &str) -> Option<&str> {
    let rest = model.strip_prefix("bedrock/")?;
    rest.split('/').find(|part| is_region(part))
}

fn is_region(part: &str) -> bool {
    let parts: Vec<&str> = part.split('-').collect();
    parts.len() >= 3
        && parts.first().is_some_and(|first| first.len() == 2 && first.bytes().all(|byte| byte.is_ascii_lowercase()))
        && parts.last().is_some_and(|last| last.len() == 1 && last.bytes().all(|byte| byte.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use lethe_config::preset::PRESETS;

    use super::{PREFIXES, of, region_in};

    #[test]
    fn every_prefix_leads_to_a_preset() {
        assert!(PREFIXES.is_sorted());
        for (_, preset) in PREFIXES {
            assert!(PRESETS.contains_key(*preset), "{preset}");
        }
    }

    #[test]
    fn names_are_read_as_litellm_does() {
        for (model, custom, address, preset, name) in [
            ("openai/gpt-4o", None, false, "openai", "gpt-4o"),
            ("openai/my-model", None, true, "openai-compatible", "my-model"),
            ("gpt-4o", None, false, "openai", "gpt-4o"),
            ("azure/my-deployment", None, true, "azure-openai", "my-deployment"),
            ("bedrock/converse/us.anthropic.claude-opus-4-6-v1", None, false, "bedrock", "us.anthropic.claude-opus-4-6-v1"),
            (
                "bedrock/us-west-2/meta.llama4-scout-17b-instruct-v1:0",
                None,
                false,
                "bedrock",
                "meta.llama4-scout-17b-instruct-v1:0",
            ),
            ("vertex_ai/claude-opus-5@default", None, false, "vertex-anthropic", "claude-opus-5@default"),
            ("openrouter/anthropic/claude-sonnet-5", None, false, "openrouter", "anthropic/claude-sonnet-5"),
            ("fireworks_ai/glm-5p2", None, false, "fireworks", "accounts/fireworks/models/glm-5p2"),
            ("together_ai/openai/gpt-oss-120b", None, false, "together", "openai/gpt-oss-120b"),
            ("my-model", Some("hosted_vllm"), true, "vllm", "my-model"),
            ("anthropic/*", None, false, "anthropic", "*"),
            ("something", None, true, "openai-compatible", "something"),
        ] {
            let upstream = of(model, custom, address);
            assert_eq!(
                upstream.as_ref().map(|upstream| (upstream.preset, upstream.model.as_str())),
                Some((preset, name)),
                "{model}"
            );
        }
        assert_eq!(of("replicate/llama", None, false), None);
        assert_eq!(of("mystery", None, false), None);
        assert_eq!(region_in("bedrock/us-west-2/x"), Some("us-west-2"));
        assert_eq!(region_in("bedrock/us.anthropic.claude"), None);
    }
}
