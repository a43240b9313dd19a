//! What each kind of provider is known to accept (`presets.toml`).

use std::collections::BTreeMap;

use lethe_policy::FieldRules;
use serde::Deserialize;

/// One preset.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Preset {
    /// Dialect that the server speaks.
    pub(crate) dialect: String,
    /// Where the server is, for a preset of one particular provider.
    pub(crate) base_url: Option<String>,
    /// Variable that usually holds the key; a suggestion in messages, never read by itself.
    pub(crate) api_key_env: Option<String>,
    /// What the server accepts.
    pub(crate) rules: FieldRules,
}

/// Every preset by name. Empty only if the compiled-in file were broken, which a test excludes.
pub(crate) fn all() -> BTreeMap<String, Preset> {
    toml::from_str(include_str!("../presets.toml")).unwrap_or_default()
}

/// Name of the preset for a provider that names none.
pub(crate) fn name_for(host: &str) -> &'static str {
    if host == "api.openai.com" { "openai" } else { "openai-compatible" }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

    use lethe_policy::conflict;

    use super::{Preset, all, name_for};

    #[test]
    fn the_file_is_complete_and_sorted() {
        let presets: std::collections::BTreeMap<String, Preset> = toml::from_str(include_str!("../presets.toml")).unwrap();
        assert_eq!(presets.keys().collect::<Vec<_>>(), ["openai", "openai-compatible"]);
        assert_eq!(all().len(), presets.len());
        for (name, preset) in presets {
            assert_eq!(preset.dialect, "openai", "{name}");
            for fields in [&preset.rules.chat_fields, &preset.rules.embeddings_fields, &preset.rules.tool_types] {
                assert!(!fields.is_empty() && fields.is_sorted(), "{name}");
                assert!(fields.iter().all(|field| field.to_lowercase() == *field), "{name}");
            }
            // Positive control: the table knows what is left out on purpose.
            assert!(conflict::field("metadata").is_some());
            let remembered = preset.rules.chat_fields.iter().filter(|field| conflict::field(field).is_some());
            assert_eq!(remembered.collect::<Vec<_>>(), ["store"], "{name}: `store` is listed for `false` alone");
        }
        assert!(all()["openai"].rules.force_store_false);
        assert!(!all()["openai-compatible"].rules.force_store_false);
    }

    #[test]
    fn only_openai_itself_gets_its_preset_by_host() {
        assert_eq!(name_for("api.openai.com"), "openai");
        assert_eq!(name_for("api.openai.com.example.net"), "openai-compatible");
    }
}
