//! A request to a provider, as far as its head depends on it.

use lethe_policy::{ApiRules, Dialect};
use lethe_types::{Api, Millis};

/// How the provider is shown who is asking. Borrowed: the bytes stay where the gateway keeps its secrets.
#[derive(Clone, Copy)]
pub enum Credential<'a> {
    /// Keys of an AWS account or role, which sign each request.
    Aws {
        /// `AKIA…` or `ASIA…`; a name, not a secret.
        access_key_id: &'a str,
        /// What the request is signed with.
        secret_access_key: &'a [u8],
        /// Of temporary keys.
        session_token: Option<&'a [u8]>,
    },
    /// A token of OAuth 2.0, which is shown as a bearer's whatever the dialect does with keys.
    Bearer(&'a [u8]),
    /// An API key or token.
    Key(&'a [u8]),
    /// Nothing.
    None,
}

/// A request to a provider.
#[derive(Clone, Copy)]
pub struct Call<'a> {
    /// How the provider is spoken to.
    pub dialect: Dialect,
    /// The format of the body.
    pub api: Api,
    /// What the provider's preset says of this format. Its `path` may have `{model}` in it, and a query.
    pub rules: &'a ApiRules,
    /// The provider's name of the model, for dialects that have it in the path.
    pub model: &'a str,
    /// A stream is wanted.
    pub stream: bool,
    /// The `Host` field: name, and port unless it is the scheme's own.
    pub host: &'a str,
    /// Path before the operation's own, such as `/v1`. It may have a query: Azure's `api-version`, and `region` for a server of Bedrock whose name does not say
    /// its region.
    pub base_path: &'a str,
    /// How the provider is shown who is asking.
    pub credential: Credential<'a>,
    /// The time, for signatures.
    pub now: Millis,
    /// Values of `anthropic-beta`, checked against the preset's list.
    pub beta: &'a [&'a str],
    /// Anthropic's version of the API in which the client asks, one of [`crate::anthropic::VERSIONS`]; `None` where Lethe asks for itself.
    pub version: Option<&'a str>,
    /// Several inputs at once, where the path says so (Gemini's embeddings).
    pub batch: bool,
    /// The body, in pieces.
    pub body: &'a [&'a [u8]],
}

impl<'a> Call<'a> {
    /// The base path without its query.
    pub(crate) fn base(&self) -> &'a str {
        self.base_path.split_once('?').map_or(self.base_path, |(path, _)| path).trim_end_matches('/')
    }

    /// The query of the base path.
    pub(crate) fn base_query(&self) -> &'a str {
        self.base_path.split_once('?').map_or("", |(_, query)| query)
    }

    /// The model as one segment of a path.
    pub(crate) fn model_segment(&self) -> String {
        let mut out = String::with_capacity(self.model.len());
        percent_encode(self.model, false, &mut out);
        out
    }
}

/// Appends `text` with all but RFC 3986's unreserved characters (and slashes, if they are parts of a path) percent-encoded.
pub(crate) fn percent_encode(text: &str, slashes: bool, out: &mut String) {
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') || slashes && byte == b'/' {
            out.push(char::from(byte));
        } else {
            out.push('%');
            out.extend([byte >> 4, byte & 15].map(|digit| char::from(b"0123456789ABCDEF"[usize::from(digit)])));
        }
    }
}
