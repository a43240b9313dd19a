//! An entry of `GET /v1beta/models`, and the answer to `GET /v1beta/models/{model}` (<https://ai.google.dev/api/models>).

use lethe_content::ContentBuf;
use lethe_types::Capability;

use crate::write::Writer;

/// A model object.
pub struct ModelObject<'a> {
    /// The name in requests.
    pub id: &'a str,
    /// What the model can be asked for.
    pub capabilities: &'a [Capability],
    /// The most tokens that it reads, where that is known.
    pub input_token_limit: Option<u32>,
    /// The most tokens that it answers, where that is known.
    pub output_token_limit: Option<u32>,
}

impl ModelObject<'_> {
    /// `{"name":"models/…","version":…,"displayName":…,"supportedGenerationMethods":[…]}`
    pub fn write_wire(&self, out: &mut ContentBuf) {
        Writer::new(out).object(|json| {
            json.key("name").plain(&["models/", self.id].concat());
            json.constant("version", "001");
            json.key("displayName").plain(self.id);
            for (key, limit) in [("inputTokenLimit", self.input_token_limit), ("outputTokenLimit", self.output_token_limit)] {
                if let Some(limit) = limit {
                    json.key(key).number(limit.into());
                }
            }
            json.key("supportedGenerationMethods").array(|json| {
                for capability in self.capabilities {
                    let methods: &[&str] = match capability {
                        Capability::Chat => &["generateContent", "streamGenerateContent"],
                        Capability::CountTokens => &["countTokens"],
                        Capability::Embeddings => &["embedContent", "batchEmbedContents"],
                        Capability::Completions | Capability::Moderations | Capability::Rerank => &[],
                    };
                    methods.iter().for_each(|method| json.plain(method));
                }
            });
        });
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed test")]

    use lethe_content::ContentBuf;
    use lethe_types::Capability;
    use serde_json::{Value, json};

    use super::ModelObject;

    #[test]
    fn a_model_is_as_its_clients_read_it() {
        let capabilities = [Capability::Chat, Capability::Embeddings];
        let model = ModelObject { id: "a\"b", capabilities: &capabilities, input_token_limit: Some(5), output_token_limit: None };
        let mut out = ContentBuf::new();
        model.write_wire(&mut out);
        let expected = json!({"name": "models/a\"b", "version": "001", "displayName": "a\"b", "inputTokenLimit": 5,
            "supportedGenerationMethods": ["generateContent", "streamGenerateContent", "embedContent", "batchEmbedContents"]});
        assert_eq!(serde_json::from_slice::<Value>(out.expose()).unwrap(), expected);
    }
}
