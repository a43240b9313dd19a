//! What control is given when it starts, and what it answers when it is ready.
//!
//! The supervisor reads the configuration and sends [`ControlStart`] over an inherited descriptor; [`ControlReady`] comes
//! back the same way. Both carry secrets: they are serialised toward the other process only, never toward a file.

use std::path::PathBuf;

use lethe_handover::{Identity, MESSAGE_LIMIT, Role};
use lethe_policy::{Grant, Provider, Strategy, TokenServer, UpstreamTls};
use lethe_types::{Capability, SecretBytes};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

use crate::Trust;

/// Days that operational metadata is kept where the configuration says nothing (policy 2.1: "minimum period").
pub const DEFAULT_METADATA_DAYS: u32 = 90;

/// A host (name or address) and a TCP port.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Address {
    /// Host name or address.
    pub host: String,
    /// TCP port.
    pub port: u16,
}

/// A provider or node.
#[derive(Clone, Serialize, Deserialize)]
pub struct ProviderSetup {
    /// The provider as gateways get it; `endpoint` is ignored, control numbers endpoints itself.
    pub provider: Provider,
    /// Where to connect, if that is not `provider.host` and `provider.port` (a node answers to a name that no resolver knows).
    pub dial: Option<Address>,
    /// Private, loopback and link-local addresses are allowed.
    pub allow_private: bool,
    /// What control obtains the provider's credential with; then [`Provider::credential`] is what it obtained.
    pub grant: Option<Grant>,
}

impl ProviderSetup {
    /// Whom to believe where credentials are given out: as at the provider itself.
    #[must_use]
    pub fn trust(&self) -> Trust {
        let extra_roots = match &self.provider.tls {
            UpstreamTls::Public { extra_roots } => extra_roots.clone(),
            UpstreamTls::Link | UpstreamTls::Plain => Vec::new(),
        };
        Trust { allow_private: self.allow_private, extra_roots }
    }
}

/// A collector of metrics.
#[derive(Clone, Serialize, Deserialize)]
pub struct OtlpSetup {
    /// Where it takes metrics.
    pub server: TokenServer,
    /// Private, loopback and link-local addresses are allowed.
    pub allow_private: bool,
    /// Trust roots beside the public web's, DER.
    pub extra_roots: Vec<Vec<u8>>,
    /// Between two exports, in seconds.
    pub seconds: u32,
    /// What `Authorization` says.
    pub authorization: Option<SecretBytes>,
}

/// A model that clients may name.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ModelSetup {
    /// The name in requests.
    pub id: String,
    /// What it can be asked for.
    pub capabilities: Vec<Capability>,
    /// How a route is chosen.
    pub strategy: Strategy,
    /// Where it is served; control numbers the routes.
    pub routes: Vec<RouteSetup>,
    /// When it was configured, seconds since the epoch.
    pub created: u64,
}

/// One way to serve a model.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RouteSetup {
    /// `id` of a provider in [`ControlStart::providers`].
    pub provider: String,
    /// The provider's name of the model.
    pub model: String,
    /// Share of the traffic, relative to the other routes' weights.
    pub weight: u32,
    /// As in [`lethe_policy::Route::price`].
    pub price: Option<u64>,
    /// As in [`lethe_policy::Route::max_output_tokens`].
    pub max_output_tokens: Option<u32>,
}

/// Everything control needs to know.
#[derive(Clone, Serialize, Deserialize)]
pub struct ControlStart {
    /// State folder; exists, belongs to control's user, mode 0700. The authority's keys are kept in it.
    pub state: PathBuf,
    /// The SQLite database, normally in the state folder.
    pub database: PathBuf,
    /// Where gateways reach control's link listener.
    pub link: Address,
    /// Providers and nodes.
    pub providers: Vec<ProviderSetup>,
    /// Models.
    pub models: Vec<ModelSetup>,
    /// Where metrics are sent, if anywhere.
    pub otlp: Option<OtlpSetup>,
    /// One identity is issued for each of these; only `Gateway` and `Node` have any.
    pub issue: Vec<Role>,
    /// Create an API key if there has never been one, and hand it back in [`ControlReady::first_key`].
    pub first_key: bool,
    /// User that may use the operator socket besides root and control's own user: who ran `up`.
    pub operator_uid: Option<u32>,
    /// Days that operational metadata is kept.
    pub metadata_days: u32,
    /// Hash of the build, as gateways send it in their `Hello`.
    pub build: u64,
}

/// What a supervisor tells a control that runs.
#[derive(Clone, Serialize, Deserialize)]
pub enum ToControl {
    /// Another configuration. Answer: [`FromControl::Configured`], and then [`FromControl::Issued`].
    Configure {
        /// As [`ControlStart::providers`].
        providers: Vec<ProviderSetup>,
        /// As [`ControlStart::models`].
        models: Vec<ModelSetup>,
    },
}

/// What a control that runs tells its supervisor.
#[derive(Clone, Serialize, Deserialize)]
pub enum FromControl {
    /// The new configuration is in force, with this signed endpoint list; or why the old one stays.
    Configured(Result<Vec<u8>, String>),
    /// New identities, for new handshakes: as many as [`ControlStart::issue`] names.
    Issued(Vec<(Role, Identity)>),
}

impl ToControl {
    /// As it passes on the channel; `None` if it is too large for that.
    #[must_use]
    pub fn encode(&self) -> Option<SecretBytes> {
        let bytes = SecretBytes::new(postcard::to_allocvec(self).ok()?);
        (bytes.expose().len() < MESSAGE_LIMIT - ENVELOPE).then_some(bytes)
    }
}

impl FromControl {
    /// Reads what passed on the channel.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        postcard::from_bytes(bytes).ok()
    }
}

/// Room for what is around a message.
const ENVELOPE: usize = 64;

/// Control's ends of what it and its supervisor tell each other while it runs.
pub struct Supervisor {
    /// What it is told.
    pub orders: mpsc::UnboundedReceiver<ToControl>,
    /// What it tells.
    pub news: mpsc::UnboundedSender<FromControl>,
}

/// What control answers once, when it is about to accept.
#[derive(Clone, Serialize, Deserialize)]
pub struct ControlReady {
    /// The first API key, if one was created in this start.
    pub first_key: Option<String>,
    /// Control's Ed25519 public key for endpoint lists.
    pub verify_key: [u8; 32],
    /// The current endpoint list, signed.
    pub endpoints: Vec<u8>,
    /// What was asked for in [`ControlStart::issue`], in that order.
    pub identities: Vec<(Role, Identity)>,
    /// Certificate of the authority, DER: what a console client must trust.
    pub authority: Vec<u8>,
}
