//! Everything a gateway needs to know to serve, as control pushes it over the link.

use lethe_types::{AccountPseudonym, KeyHash, KeyId, Operation, RouteId, SecretBytes};
use serde::{Deserialize, Serialize};

use crate::{FieldRules, Terms};

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
    /// `Authorization: Bearer …`
    Bearer(SecretBytes),
    /// Nothing (an own node knows the gateway by its certificate).
    None,
}

/// Limits of waiting for a provider, in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timeouts {
    /// Until the first byte of the answer.
    pub first_byte_seconds: u32,
    /// Between two parts of the answer.
    pub idle_seconds: u32,
    /// For the whole answer.
    pub total_seconds: u32,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self { first_byte_seconds: 300, idle_seconds: 120, total_seconds: 1800 }
    }
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
    /// What the server accepts.
    pub rules: FieldRules,
    /// Limits of waiting.
    pub timeouts: Timeouts,
}

/// A model that clients may name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Model {
    /// The name in requests.
    pub id: String,
    /// Operations that it serves.
    pub operations: Vec<Operation>,
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
}
