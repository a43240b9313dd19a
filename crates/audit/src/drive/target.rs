//! What is audited, as its clients see it.

use std::fmt;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::Arc;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};

/// Whose public interface the target speaks to its clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    Anthropic,
    Gemini,
    OpenAi,
}

/// A key that opens the target. Nothing prints it.
#[derive(Clone)]
pub struct Key(String);

impl Key {
    /// `None` if it could not stand in a header.
    #[must_use]
    pub fn new(key: &str) -> Option<Self> {
        key.bytes().all(|byte| byte.is_ascii_graphic()).then(|| Self(key.to_owned()))
    }

    pub(super) fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(hidden)")
    }
}

/// The target's address cannot be used. None of these names a part of what was given: an address can carry a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadTarget {
    /// Neither `http://` nor `https://`.
    Scheme,
    /// Not `host`, `host:port` or `[v6]:port`.
    Host,
    /// Has `?`, `#` or `user@`.
    Extra,
    /// No certificate is in the given PEM text.
    Authority,
    /// The TLS library refuses its own defaults.
    Tls,
}

impl fmt::Display for BadTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Scheme => "the address must begin with http:// or https://",
            Self::Host => "the address has no usable host and port",
            Self::Extra => "the address must be a plain one: no query, fragment or user",
            Self::Authority => "no certificate is in the given CA file",
            Self::Tls => "TLS cannot be set up",
        })
    }
}

impl std::error::Error for BadTarget {}

/// A gateway or server and how to talk to it.
#[derive(Clone)]
pub struct Target {
    pub(super) host: String,
    pub(super) port: u16,
    /// What stands before `/chat/completions`: `/v1` unless the address says otherwise; `/v1beta` for Gemini's dialect.
    pub(super) base: String,
    pub(super) tls: Option<(Arc<ClientConfig>, ServerName<'static>)>,
    pub(super) key: Key,
    pub(super) model: String,
    pub(super) dialect: Dialect,
    /// Connect here, whatever the host's name resolves to.
    pub resolve: Option<SocketAddr>,
    /// Header fields of every request, besides its own.
    pub headers: Vec<(String, String)>,
    /// Models of endpoints that the main one does not serve: (`/embeddings`, its model).
    pub models: Vec<(String, String)>,
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Target").field("host", &self.host).field("port", &self.port).finish_non_exhaustive()
    }
}

impl Target {
    /// A target at `url` (`https://gateway.example/v1`; without a path, `/v1` is meant). `ca` is PEM text of further authorities
    /// to trust besides the public ones.
    ///
    /// # Errors
    /// [`BadTarget`].
    pub fn new(url: &str, key: Key, model: &str, dialect: Dialect, ca: Option<&[u8]>) -> Result<Self, BadTarget> {
        let (secure, rest) = match (url.strip_prefix("http://"), url.strip_prefix("https://")) {
            (Some(rest), _) => (false, rest),
            (_, Some(rest)) => (true, rest),
            (None, None) => return Err(BadTarget::Scheme),
        };
        if rest.contains(['?', '#', '@']) || !rest.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(BadTarget::Extra);
        }
        let (authority, path) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if !port.contains(']') => (host, port.parse().map_err(|_| BadTarget::Host)?),
            _ => (authority, if secure { 443 } else { 80 }),
        };
        if host.is_empty() || port == 0 {
            return Err(BadTarget::Host);
        }
        let path = path.trim_end_matches('/');
        let base = if path.is_empty() { base_of(dialect).to_owned() } else { path.to_owned() };
        let tls = if secure { Some(trust(host, ca)?) } else { None };
        Ok(Self {
            host: host.to_owned(),
            port,
            base,
            tls,
            key,
            model: model.to_owned(),
            dialect,
            resolve: None,
            headers: Vec::new(),
            models: Vec::new(),
        })
    }

    /// The dialect that rows are chosen by.
    #[must_use]
    pub fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// What is asked for.
    #[must_use]
    pub fn model(&self) -> &str {
        &self.model
    }

    /// Where it listens.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Whether its address says TLS.
    #[must_use]
    pub fn is_tls(&self) -> bool {
        self.tls.is_some()
    }

    /// Where its name leads.
    #[must_use]
    pub fn addresses(&self) -> Vec<SocketAddr> {
        if let Some(address) = self.resolve {
            return vec![address];
        }
        let host = self.host.trim_start_matches('[').trim_end_matches(']');
        (host, self.port).to_socket_addrs().map(Iterator::collect).unwrap_or_default()
    }

    /// Where health and metrics are: the address without its `/v1`.
    pub(super) fn root(&self) -> &str {
        self.base.strip_suffix(base_of(self.dialect)).unwrap_or(&self.base)
    }

    /// The path of an endpoint of `dialect`, from the root; `{model}` in it becomes the endpoint's model.
    pub(super) fn path_of(&self, dialect: Dialect, path: &str) -> String {
        let path = path.replace("{model}", self.model_for(path));
        if dialect == self.dialect {
            format!("{}{path}", self.base)
        } else {
            format!("{}{}{path}", self.root(), base_of(dialect))
        }
    }

    pub(super) fn model_for(&self, path: &str) -> &str {
        self.models.iter().find(|(endpoint, _)| path.starts_with(endpoint.as_str())).map_or(&self.model, |(_, model)| model)
    }
}

/// What stands before the endpoints of `dialect` where nothing else is said.
const fn base_of(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::Anthropic | Dialect::OpenAi => "/v1",
        Dialect::Gemini => "/v1beta",
    }
}

fn trust(host: &str, ca: Option<&[u8]>) -> Result<(Arc<ClientConfig>, ServerName<'static>), BadTarget> {
    let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    if let Some(pem) = ca {
        let (added, _) = roots.add_parsable_certificates(CertificateDer::pem_slice_iter(pem).flatten());
        if added == 0 {
            return Err(BadTarget::Authority);
        }
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|_| BadTarget::Tls)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = host.trim_start_matches('[').trim_end_matches(']').to_owned();
    Ok((Arc::new(config), ServerName::try_from(name).map_err(|_| BadTarget::Host)?))
}
