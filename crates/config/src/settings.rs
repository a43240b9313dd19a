//! The configuration as the rest of Lethe sees it.

use std::{net::SocketAddr, path::PathBuf};

use lethe_policy::{Credential, Dialect, Grant, PromptCache, Rules, Strategy, Terms, Timeouts};
use lethe_types::{Capability, Region, SecretBytes};

use crate::{
    BaseUrl, ConfigError, Network, Notice, Price, catalogue, check::Check, file::File, model, parse, process_environment,
    provider, secret_files::SecretFiles, server,
};

/// A checked configuration. [`Config::default`] is what an empty file means.
#[derive(Clone, Default)]
pub struct Config {
    /// The client port and its bounds.
    pub gateway: Gateway,
    /// The control plane.
    pub control: Control,
    /// The embedded engine.
    pub engine: Engine,
    /// Servers that answer requests; ids are unique.
    pub providers: Vec<Provider>,
    /// Models that clients may name; ids are unique.
    pub models: Vec<Model>,
    /// What an operator should know; nothing here keeps Lethe from serving.
    pub notices: Vec<Notice>,
    /// The file that it came from.
    pub(crate) written: Option<Written>,
}

/// What a configuration was read from. No secret stands in it.
#[derive(Clone)]
pub(crate) struct Written {
    pub(crate) text: String,
    pub(crate) path: PathBuf,
    pub(crate) secrets: SecretFiles,
}

impl Config {
    /// The files that secrets were read from as they are now, if any of them was replaced since.
    #[must_use]
    pub fn replaced_secrets(&self) -> Option<SecretFiles> {
        self.written.as_ref()?.secrets.replaced()
    }

    /// The same configuration with its secrets read again, whatever stands in its file now.
    ///
    /// # Errors
    /// A secret, or another file that the configuration names, cannot be used as it is now.
    pub fn with_secrets_of_now(&self) -> Result<Self, ConfigError> {
        let Some(written) = &self.written else { return Ok(self.clone()) };
        let now = parse(&written.text, &written.path, &process_environment)?;
        let mut again = self.clone();
        again.written = now.written;
        for provider in &mut again.providers {
            if let Some(fresh) = now.providers.iter().find(|fresh| fresh.id == provider.id) {
                provider.credential = fresh.credential.clone();
                provider.grant = fresh.grant.clone();
            }
        }
        Ok(again)
    }
}

/// `[gateway]`
#[derive(Clone)]
pub struct Gateway {
    /// Client port.
    pub listen: SocketAddr,
    /// Liveness and readiness.
    pub probes: SocketAddr,
    /// How the client port is protected.
    pub tls: ClientTls,
    /// Worker threads; `None`: one per processor.
    pub workers: Option<u16>,
    /// Largest request body, MiB.
    pub max_body_mib: u32,
    /// Client connections at once.
    pub max_connections: u32,
    /// Request and answer bodies in memory at once, MiB; `None`: what the memory limit leaves room for.
    pub max_content_mib: Option<u32>,
    /// Seconds for a request's head to arrive.
    pub head_seconds: u32,
    /// Seconds between two parts of a request's body, and for a client to take a part of an answer.
    pub body_idle_seconds: u32,
    /// Seconds that an idle connection is kept.
    pub keep_alive_seconds: u32,
    /// A body or an answer that passes more slowly than this ends; 0 for no such bound.
    pub min_bytes_per_second: u32,
    /// Seconds that open requests get on a drain.
    pub drain_seconds: u32,
    /// Usage records kept in memory while control is away; beyond it requests answer 503.
    pub max_pending_records: u32,
    /// When a request's use is committed.
    pub metering: Metering,
    /// Seconds without control after which the gateway stops serving.
    pub max_stale_seconds: u32,
    /// Hours after which a gateway is replaced by a new one.
    pub recycle_hours: u32,
}

impl Default for Gateway {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8080)),
            probes: SocketAddr::from(([127, 0, 0, 1], 8081)),
            tls: ClientTls::None,
            workers: None,
            max_body_mib: 32,
            max_connections: 10_000,
            max_content_mib: None,
            head_seconds: 10,
            body_idle_seconds: 30,
            keep_alive_seconds: 75,
            min_bytes_per_second: 500,
            drain_seconds: 30,
            // 64 bytes each: 6.4 MB.
            max_pending_records: 100_000,
            metering: Metering::Buffered,
            max_stale_seconds: 60,
            recycle_hours: 24,
        }
    }
}

/// When a request's use is committed to the ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Metering {
    /// After its end, while the next ones are served already.
    Buffered,
    /// A reserve before its first byte goes upstream, a settle after its end.
    Strict,
}

/// How the client port is protected.
#[derive(Clone)]
pub enum ClientTls {
    /// Not at all: loopback only.
    None,
    /// By the gateway itself.
    Own {
        /// Certificate chain, DER, leaf first.
        chain: Vec<Vec<u8>>,
        /// Private key, DER.
        key: SecretBytes,
    },
    /// By a proxy in front: an operator's assertion.
    TerminatedByProxy {
        /// Where the proxy connects from; at least one.
        trusted_peers: Vec<Network>,
    },
}

/// `[control]`
#[derive(Clone)]
pub struct Control {
    /// Where accounts and records are.
    pub store: Store,
    /// Operator port; loopback.
    pub console: SocketAddr,
    /// Where metrics are sent, if anywhere.
    pub otlp: Option<Otlp>,
}

/// `[control.otlp]`: a collector of the OpenTelemetry Protocol, over HTTP.
#[derive(Clone)]
pub struct Otlp {
    /// The collector; `/v1/metrics` is added.
    pub url: BaseUrl,
    /// Private addresses are allowed, and no TLS.
    pub allow_private_network: bool,
    /// Trust roots beside the public web's, DER.
    pub extra_roots: Vec<Vec<u8>>,
    /// Between two exports, in seconds.
    pub seconds: u32,
    /// What `Authorization` says.
    pub authorization: Option<SecretBytes>,
}

impl Default for Control {
    fn default() -> Self {
        Self { store: Store::Sqlite(PathBuf::from("control.db")), console: SocketAddr::from(([127, 0, 0, 1], 8443)), otlp: None }
    }
}

/// Where control keeps its data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Store {
    /// A file; a relative path starts at control's folder inside the state folder.
    Sqlite(PathBuf),
}

/// `[engine]`
#[derive(Clone, Debug)]
pub struct Engine {
    /// Whether the embedded engine runs.
    pub enabled: bool,
    /// Model file (GGUF); `None`: the pinned one.
    pub model: Option<PathBuf>,
    /// Threads of one generation; `None`: one per processor.
    pub threads: Option<u16>,
    /// Generations at once.
    pub concurrent: u16,
}

impl Default for Engine {
    fn default() -> Self {
        Self { enabled: true, model: None, threads: None, concurrent: 1 }
    }
}

/// `[[provider]]`
#[derive(Clone)]
pub struct Provider {
    /// Unique id.
    pub id: String,
    /// Name of the preset that its rules come from.
    pub preset: &'static str,
    /// How the server is spoken to.
    pub dialect: Dialect,
    /// Where the server is.
    pub base_url: BaseUrl,
    /// How the server is shown who is asking; [`Credential::Awaited`] if there is a grant.
    pub credential: Credential,
    /// What a credential that expires is obtained with.
    pub grant: Option<Grant>,
    /// Private and loopback addresses are allowed.
    pub allow_private_network: bool,
    /// Further trust roots, DER.
    pub extra_roots: Vec<Vec<u8>>,
    /// Reviewed terms; without them its routes do not serve.
    pub terms: Option<ProviderTerms>,
    /// What the server accepts, the operator's extension included.
    pub rules: Rules,
    /// The operator's extension of the field allow-lists alone, for the record.
    pub allowed_fields: Vec<String>,
    /// Where the server processes content, as the operator says.
    pub region: Option<Region>,
    /// Requests that may be open there at once from one gateway.
    pub max_concurrent: Option<u32>,
    /// Whether the server's prompt cache may be used.
    pub prompt_cache: PromptCache,
    /// Limits of waiting.
    pub timeouts: Timeouts,
}

/// `[provider.terms]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProviderTerms {
    /// What decides whether the provider serves.
    pub terms: Terms,
    /// Reference of the contract, as the operator wrote it.
    pub agreement: Option<String>,
}

/// `[[model]]`, or one that a preset brings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Model {
    /// The name in requests. A `*` at its end stands for any name that begins so; of several that fit, the longest holds.
    pub id: String,
    /// What it can be asked for; at least one.
    pub capabilities: Vec<Capability>,
    /// How a route is chosen.
    pub strategy: Strategy,
    /// Where it is served; none for names that a wildcard would take in and that no provider serves without keeping content.
    pub routes: Vec<Route>,
    /// What it costs its callers.
    pub price: Option<Price>,
}

/// One entry of `routes`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// Position in [`Config::providers`].
    pub provider: usize,
    /// The provider's name of the model. A `*` in it stands for what the `*` of the model's id stood for.
    pub model: String,
    /// Share of the traffic, from 1 to 1000.
    pub weight: u32,
    /// Price of a million input and a million output tokens together, in millionths of the currency's unit, rounded up.
    pub price: Option<u64>,
    /// The most that the model answers, in tokens, where that is known.
    pub max_output_tokens: Option<u32>,
}

/// Checks `file`. What comes back after a problem was noted is never used.
pub(crate) fn from_file(file: File, check: &mut Check<'_>) -> Config {
    let gateway = server::gateway(file.gateway.unwrap_or_default(), check);
    let control = server::control(&file.control.unwrap_or_default(), check);
    let engine = server::engine(&file.engine.unwrap_or_default(), file.provider.is_empty(), check);
    let named = provider::all(&file.provider, check);
    let mut models = model::all(&file.model, &named, check);
    catalogue::bring(&named, &file.model, &mut models, check);
    catalogue::except(&named, &mut models);
    let providers = named.into_iter().filter_map(|named| named.provider).collect();
    Config { gateway, control, engine, providers, models, notices: Vec::new(), written: None }
}
