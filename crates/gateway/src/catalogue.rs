//! A snapshot made ready for look-ups: models by name, providers with their TLS and their credential in secret memory.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use lethe_confine::secret::{Arena, Secret};
use lethe_policy::{Credential, Model, Provider, ProviderKind, Route, Snapshot, Standing, Terms, UpstreamTls};
use lethe_tls::client_of_public;
use lethe_types::Millis;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;

/// Name in every node's certificate.
const NODE_NAME: &str = "node.lethe.internal";

/// Why a snapshot cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CatalogueError {
    /// A provider's trust root is no certificate, or its name no host name.
    Provider,
    /// A route names a provider that is not in the snapshot.
    Route,
    /// Secret memory is full.
    Secrets,
}

/// A provider or node, ready to be asked.
pub(crate) struct Upstream {
    /// Unlike every other upstream of this process: connections are pooled under it.
    pub(crate) unique: u64,
    pub(crate) endpoint: u32,
    pub(crate) kind: ProviderKind,
    pub(crate) rules: lethe_policy::FieldRules,
    pub(crate) host_header: String,
    pub(crate) base_path: String,
    pub(crate) bearer: Option<Secret>,
    pub(crate) tls: Option<(Arc<ClientConfig>, ServerName<'static>)>,
    pub(crate) first_byte: Duration,
    pub(crate) idle: Duration,
    pub(crate) total: Duration,
    terms: Option<Terms>,
}

/// Everything that a gateway may serve.
pub(crate) struct Catalogue {
    upstreams: Vec<Arc<Upstream>>,
    models: Vec<Model>,
    by_name: HashMap<String, usize>,
}

impl Catalogue {
    /// Makes a snapshot ready. `link` is the TLS configuration toward Lethe's own parts.
    pub(crate) fn new(snapshot: &Snapshot, link: &Arc<ClientConfig>, arena: &Arena) -> Result<Self, CatalogueError> {
        let upstreams = snapshot
            .providers
            .iter()
            .map(|provider| Upstream::new(provider, link, arena).map(Arc::new))
            .collect::<Result<Vec<_>, _>>()?;
        let routes = snapshot.models.iter().flat_map(|model| &model.routes);
        if routes.into_iter().any(|route| index(route) >= upstreams.len()) {
            return Err(CatalogueError::Route);
        }
        let by_name = snapshot.models.iter().enumerate().map(|(at, model)| (model.id.clone(), at)).collect();
        Ok(Self { upstreams, models: snapshot.models.clone(), by_name })
    }

    pub(crate) fn model(&self, id: &str) -> Option<&Model> {
        self.models.get(*self.by_name.get(id)?)
    }

    pub(crate) fn models(&self) -> impl Iterator<Item = &Model> {
        self.models.iter()
    }

    /// A route of `model` whose provider may serve at `now`, by weight; `dice` is any number.
    pub(crate) fn route<'a>(&'a self, model: &'a Model, now: Millis, dice: u64) -> Option<(&'a Route, &'a Arc<Upstream>)> {
        let open = || {
            let routes = model.routes.iter().filter_map(|route| Some((route, self.upstreams.get(index(route))?)));
            routes.filter(|(route, upstream)| route.weight > 0 && upstream.may_serve(now))
        };
        let total: u64 = open().map(|(route, _)| u64::from(route.weight)).sum();
        let mut left = dice.checked_rem(total)?;
        open().find(|(route, _)| match left.checked_sub(u64::from(route.weight)) {
            None => true,
            Some(rest) => {
                left = rest;
                false
            }
        })
    }
}

fn index(route: &Route) -> usize {
    usize::try_from(route.provider).unwrap_or(usize::MAX)
}

impl Upstream {
    fn new(provider: &Provider, link: &Arc<ClientConfig>, arena: &Arena) -> Result<Self, CatalogueError> {
        static UNIQUE: AtomicU64 = AtomicU64::new(0);
        let name = |host: &str| ServerName::try_from(host.to_owned()).map_err(|_| CatalogueError::Provider);
        let (tls, default_port) = match &provider.tls {
            UpstreamTls::Plain => (None, 80),
            UpstreamTls::Link => (Some((Arc::clone(link), name(NODE_NAME)?)), 443),
            UpstreamTls::Public { extra_roots } => {
                let config = client_of_public(webpki_roots::TLS_SERVER_ROOTS, extra_roots);
                (Some((config.map_err(|_| CatalogueError::Provider)?, name(&provider.host)?)), 443)
            }
        };
        let bearer = match &provider.credential {
            Credential::None => None,
            Credential::Bearer(secret) => Some(arena.put(secret.expose()).map_err(|_| CatalogueError::Secrets)?),
        };
        // An IPv6 address stands in brackets (RFC 3986 section 3.2.2).
        let host = if provider.host.contains(':') { format!("[{}]", provider.host) } else { provider.host.clone() };
        Ok(Self {
            unique: UNIQUE.fetch_add(1, Ordering::Relaxed),
            endpoint: provider.endpoint,
            kind: provider.kind,
            rules: provider.rules.clone(),
            host_header: if provider.port == default_port { host } else { format!("{host}:{}", provider.port) },
            base_path: provider.base_path.clone(),
            bearer,
            tls,
            first_byte: Duration::from_secs(provider.timeouts.first_byte_seconds.into()),
            idle: Duration::from_secs(provider.timeouts.idle_seconds.into()),
            total: Duration::from_secs(provider.timeouts.total_seconds.into()),
            terms: provider.terms.clone(),
        })
    }

    fn may_serve(&self, now: Millis) -> bool {
        match self.kind {
            // An own node keeps nothing because its kernel says so, not because of terms.
            ProviderKind::Node => true,
            ProviderKind::Hosted => Terms::standing(self.terms.as_ref(), now) == Standing::Good,
        }
    }
}
