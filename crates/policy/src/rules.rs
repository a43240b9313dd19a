//! What a server accepts, as its preset says.

use lethe_types::Api;
use serde::{Deserialize, Serialize};

/// What one provider may be sent. Toward hosted providers a field that is not listed is refused with its name, so that
/// tomorrow's `persist: true` cannot slip through; own nodes get unknown fields intact.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rules {
    /// The formats that the server takes, the preferred one of each capability first.
    pub apis: Vec<ApiRules>,
    /// Values of `anthropic-beta` and the like that the server may be sent.
    pub beta_values: Vec<String>,
}

/// What one format of one provider may be sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApiRules {
    /// The format.
    pub api: Api,
    /// The path below the base path, where it is not the format's own.
    pub path: Option<String>,
    /// Top-level fields that the server may be sent; sorted.
    pub fields: Vec<String>,
    /// Values of `tools[].type` (for Gemini: keys of `tools[]`) that the server may be sent; sorted.
    pub tool_types: Vec<String>,
    /// Top-level fields that are set on every request, whatever the client sent, with their values as JSON text.
    pub force: Vec<(String, String)>,
    /// Top-level fields that the server knows by another name: the client's, the server's.
    pub rename: Vec<(String, String)>,
    /// Top-level fields that are left out: they say nothing that changes the answer, and the server refuses them.
    pub strip: Vec<String>,
    /// The server accepts `stream_options.include_usage`; it is asked for on every stream.
    pub stream_usage: bool,
    /// Ids of calls have nine letters or digits (Mistral): others, which the client has of another provider, are replaced.
    pub short_call_ids: bool,
    /// Fields of messages in which the server takes thoughts back; others are left out, since it would refuse them.
    pub thoughts: Vec<String>,
}

impl Rules {
    /// The rules for `api`, if the server takes it.
    #[must_use]
    pub fn for_api(&self, api: Api) -> Option<&ApiRules> {
        self.apis.iter().find(|rules| rules.api == api)
    }

    /// The format in which the server is asked what a client asks in `api`: the same where it takes that, else the first one for
    /// the same capability.
    ///
    /// ```
    /// use lethe_policy::{ApiRules, Rules};
    /// use lethe_types::Api;
    /// let rules = Rules { apis: vec![ApiRules::plain(Api::Chat), ApiRules::plain(Api::Responses)], ..Rules::default() };
    /// assert_eq!(rules.target(Api::Responses).map(|rules| rules.api), Some(Api::Responses));
    /// assert_eq!(rules.target(Api::Messages).map(|rules| rules.api), Some(Api::Chat));
    /// assert_eq!(rules.target(Api::Rerank), None);
    /// ```
    #[must_use]
    pub fn target(&self, api: Api) -> Option<&ApiRules> {
        let capability = api.capability();
        self.for_api(api).or_else(|| self.apis.iter().find(|rules| rules.api.capability() == capability))
    }
}

impl ApiRules {
    /// Rules of a server that takes `api` and of which nothing else is known: nothing is listed, nothing is forced.
    #[must_use]
    pub const fn plain(api: Api) -> Self {
        Self {
            api,
            path: None,
            fields: Vec::new(),
            tool_types: Vec::new(),
            force: Vec::new(),
            rename: Vec::new(),
            strip: Vec::new(),
            stream_usage: false,
            short_call_ids: false,
            thoughts: Vec::new(),
        }
    }
}
