//! Everything a gateway needs to know to serve, as control pushes it over the link.

use lethe_types::{AccountPseudonym, Capability, KeyHash, KeyId, Region, RouteId, SecretBytes};
use serde::{Deserialize, Serialize};

use crate::{Dialect, Rules, Strategy, Terms};

/// A complete state of the configuration. Keys follow as deltas (added, revoked) between two snapshots.
#[derive(Clone, Default, Serialize, Deserialize)]
pub struct Snapshot {
    /// Rises with each change.
    pub version: u64,
    /// API keys in force.
    pub keys: Vec<KeyEntry>,
    /// Providers and nodes; routes refer to them by position.
    pub providers: Vec<Provider>,
    /// Models that clients may name.
    pub models: Vec<Model>,
}

/// An API key in force: its hash, never the key.
#[derive(Clone, Copy, Serialize, Deserialize)]
pub struct KeyEntry {
    /// SHA-256 of the key.
    pub hash: KeyHash,
    /// Number for operators and revocation.
    pub id: KeyId,
    /// Who its usage is counted for.
    pub account: AccountPseudonym,
    /// Where its content may be processed; `None` for anywhere.
    pub region: Option<Region>,
}

/// Who runs the server behind a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ProviderKind {
    /// Somebody else: fields are allow-listed, terms are required.
    Hosted,
    /// A Lethe node: unknown fields pass intact, confinement stands for terms.
    Node,
}

/// How the connection to a provider is protected.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum UpstreamTls {
    /// TLS, the public web's roots and these further ones (DER).
    Public {
        /// Further trust roots, DER.
        extra_roots: Vec<Vec<u8>>,
    },
    /// Mutual TLS under control's own authority.
    Link,
    /// None; only where the configuration allows a private network.
    Plain,
}

/// How a provider is shown who is asking.
#[derive(Clone, Serialize, Deserialize)]
pub enum Credential {
    /// Keys of an AWS account or role, which sign each request.
    Aws {
        /// `AKIA…` or `ASIA…`; a name, not a secret.
        access_key_id: String,
        /// What requests are signed with.
        secret_access_key: SecretBytes,
        /// Of temporary keys.
        session_token: Option<SecretBytes>,
    },
    /// An API key or token, which the dialect puts where the server looks for it.
    Key(SecretBytes),
    /// Nothing (an own node knows the gateway by its certificate).
    None,
    /// A token of OAuth 2.0, which is shown as a bearer's (RFC 6750) whatever the dialect does with keys.
    Bearer(SecretBytes),
    /// One that control has yet to obtain, or could not renew in time: nothing is sent until it is there.
    Awaited,
}

/// Limits of waiting for a provider, in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timeouts {
    /// For the connection and its TLS handshake.
    pub connect_seconds: u32,
    /// Until the first byte of the answer.
    pub first_byte_seconds: u32,
    /// Between two parts of the answer.
    pub idle_seconds: u32,
    /// For the whole answer.
    pub total_seconds: u32,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self { connect_seconds: 10, first_byte_seconds: 300, idle_seconds: 120, total_seconds: 1800 }
    }
}

/// Whether a provider may keep prefixes of prompts in memory to answer the next request faster. Who shares a credential can tell by time and by
/// `cached_tokens` whether somebody else has sent a prefix (DESIGN "Prefix caches").
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PromptCache {
    /// The credential serves one account only: caching is used and reported.
    Isolated,
    /// Nothing asks for caching.
    #[default]
    Off,
    /// The operator accepts that accounts share the cache: it is used, and not reported to clients.
    Shared,
}

/// A server that answers requests.
#[derive(Clone, Serialize, Deserialize)]
pub struct Provider {
    /// The id in the configuration.
    pub id: String,
    /// Hosted or own.
    pub kind: ProviderKind,
    /// Number in the signed endpoint list.
    pub endpoint: u32,
    /// Host name or address: the TLS server name and the `Host` header.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// Path before the operation's own, without a trailing slash, such as `/v1`.
    pub base_path: String,
    /// How the connection is protected.
    pub tls: UpstreamTls,
    /// How the provider is shown who is asking.
    pub credential: Credential,
    /// Reviewed terms; `None` for own nodes and for providers without any.
    pub terms: Option<Terms>,
    /// How the server is spoken to.
    pub dialect: Dialect,
    /// What the server accepts.
    pub rules: Rules,
    /// Where the server processes content, as the operator says.
    pub region: Option<Region>,
    /// Requests that may be open there at once from one gateway; `None` for no limit.
    pub max_concurrent: Option<u32>,
    /// Whether the server's prompt cache may be used.
    pub prompt_cache: PromptCache,
    /// Limits of waiting.
    pub timeouts: Timeouts,
}

/// A model that clients may name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Model {
    /// The name in requests.
    pub id: String,
    /// What it can be asked for.
    pub capabilities: Vec<Capability>,
    /// How a route is chosen.
    pub strategy: Strategy,
    /// Where it is served.
    pub routes: Vec<Route>,
    /// When it was configured, seconds since the epoch (`created` in `GET /v1/models`).
    pub created: u64,
}

/// One way to serve a model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Route {
    /// Catalogue number in usage records.
    pub id: RouteId,
    /// Position in [`Snapshot::providers`].
    pub provider: u32,
    /// The provider's name of the model.
    pub model: String,
    /// Share of the traffic, relative to the other routes' weights.
    pub weight: u32,
    /// Price of a million input and a million output tokens together, in millionths of the currency's unit; for [`Strategy::Cheapest`].
    pub price: Option<u64>,
    /// The most that the model answers, in tokens, for formats that must be told a limit.
    pub max_output_tokens: Option<u32>,
}
