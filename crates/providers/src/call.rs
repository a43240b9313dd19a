//! The head of a request to a provider.

use lethe_content::ContentBuf;
use lethe_policy::{ApiRules, Dialect};
use lethe_types::{Api, Millis};

/// How the provider is shown who is asking.
#[derive(Clone, Copy)]
pub enum Credential<'a> {
    /// Keys that sign each request.
    Aws {
        /// The keys' name.
        access_key_id: &'a str,
        /// What requests are signed with.
        secret_access_key: &'a [u8],
        /// Of temporary keys.
        session_token: Option<&'a [u8]>,
    },
    /// An API key or token.
    Key(&'a [u8]),
    /// Nothing.
    None,
}

/// One request to a provider.
pub struct Call<'a> {
    /// How the server is spoken to.
    pub dialect: Dialect,
    /// The format of the body.
    pub api: Api,
    /// The preset's rules for it.
    pub rules: &'a ApiRules,
    /// The provider's name of the model.
    pub model: &'a str,
    /// A stream is wanted.
    pub stream: bool,
    /// The `Host` field: name, and port unless it is the scheme's own.
    pub host: &'a str,
    /// Path before the operation's own, such as `/v1`.
    pub base_path: &'a str,
    /// How the provider is shown who is asking.
    pub credential: Credential<'a>,
    /// The time, for signatures.
    pub now: Millis,
    /// Values of `anthropic-beta`, checked against the preset's list.
    pub beta: &'a [&'a str],
    /// Several inputs at once, where the path says so (Gemini's embeddings).
    pub batch: bool,
    /// The body, in pieces.
    pub body: &'a [&'a [u8]],
}

/// The head of a `POST` of JSON, in a buffer with room for `room` bytes more. Nothing of the client's own head is in it. `None` if the
/// dialect has no such operation, or the credential is not one of its.
#[must_use]
pub fn head(call: &Call<'_>, room: usize) -> Option<ContentBuf> {
    match call.dialect {
        Dialect::Openai => crate::openai::head(call, room),
        _ => None,
    }
}
