//! A snapshot made ready for look-ups: models by name, providers with their TLS and their credential in secret memory.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use lethe_confine::secret::{Arena, Secret};
use lethe_link::{Gauge, Level, OnRoute};
use lethe_policy::{
    Credential, Dialect, Model, PromptCache, Provider, ProviderKind, Route, Rules, Snapshot, Standing, Terms, UpstreamTls,
};
use lethe_tls::client_of_public;
use lethe_types::{Millis, Region, RouteId};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;

use crate::counts::COUNTS;
use crate::health::Health;

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
    pub(crate) id: String,
    pub(crate) endpoint: u32,
    pub(crate) kind: ProviderKind,
    pub(crate) dialect: Dialect,
    pub(crate) rules: Rules,
    host: String,
    port: u16,
    pub(crate) host_header: String,
    pub(crate) base_path: String,
    pub(crate) credential: Shown,
    pub(crate) tls: Option<(Arc<ClientConfig>, ServerName<'static>)>,
    pub(crate) connect: Duration,
    pub(crate) first_byte: Duration,
    pub(crate) idle: Duration,
    pub(crate) total: Duration,
    pub(crate) region: Option<Region>,
    pub(crate) max_concurrent: Option<u32>,
    pub(crate) prompt_cache: PromptCache,
    pub(crate) health: Arc<Health>,
    /// The counters of the routes that lead here, by the routes' numbers.
    routes: Vec<(RouteId, Arc<OnRoute>)>,
    terms: Option<Terms>,
}

/// How a provider is shown who is asking, with what is secret in secret memory.
pub(crate) enum Shown {
    Aws {
        access_key_id: String,
        secret_access_key: Secret,
        session_token: Option<Secret>,
    },
    Bearer(Secret),
    Key(Secret),
    None,
    /// Control has yet to obtain it.
    Awaited,
}

/// Everything that a gateway may serve.
pub(crate) struct Catalogue {
    upstreams: Vec<Arc<Upstream>>,
    models: Vec<Model>,
    by_name: HashMap<String, usize>,
    /// Models whose id has a `*`: what stands before it, what behind it, and the model. The longest beginning first.
    wildcards: Vec<(String, String, usize)>,
}

impl Catalogue {
    /// Makes a snapshot ready. `link` is the TLS configuration toward Lethe's own parts; `before` is what was served until now, whose
    /// providers' health is known.
    pub(crate) fn new(
        snapshot: &Snapshot,
        link: &Arc<ClientConfig>,
        arena: &Arena,
        before: Option<&Self>,
    ) -> Result<Self, CatalogueError> {
        let upstreams = (0..)
            .zip(&snapshot.providers)
            .map(|(at, provider)| Upstream::new(provider, counters(snapshot, at), link, arena, before).map(Arc::new))
            .collect::<Result<Vec<_>, _>>()?;
        let routes = snapshot.models.iter().flat_map(|model| &model.routes);
        if routes.into_iter().any(|route| index(route) >= upstreams.len()) {
            return Err(CatalogueError::Route);
        }
        let by_name = snapshot.models.iter().enumerate().map(|(at, model)| (model.id.clone(), at)).collect();
        let split = |(at, model): (usize, &Model)| {
            let (before, behind) = model.id.split_once('*')?;
            Some((before.to_owned(), behind.to_owned(), at))
        };
        let mut wildcards: Vec<_> = snapshot.models.iter().enumerate().filter_map(split).collect();
        wildcards.sort_by_key(|(before, behind, _)| std::cmp::Reverse((before.len(), behind.len())));
        Ok(Self { upstreams, models: snapshot.models.clone(), by_name, wildcards })
    }

    /// The model with this name, and what the `*` in its id stands for.
    pub(crate) fn model<'a>(&self, id: &'a str) -> Option<(&Model, &'a str)> {
        if let Some(at) = self.by_name.get(id)
            && !id.contains('*')
        {
            return Some((self.models.get(*at)?, ""));
        }
        self.wildcards.iter().find_map(|(before, behind, at)| {
            let star = id.strip_prefix(before.as_str())?.strip_suffix(behind.as_str())?;
            let named = !star.is_empty() && star.bytes().all(|byte| byte.is_ascii_graphic() && !b"\"'`\\$*?#%".contains(&byte));
            Some((self.models.get(*at).filter(|_| named)?, star))
        })
    }

    /// Every model that can be named, without wildcards.
    pub(crate) fn models(&self) -> impl Iterator<Item = &Model> {
        self.models.iter().filter(|model| !model.id.contains('*'))
    }

    /// How the providers are.
    pub(crate) fn levels(&self, now: Instant) -> Vec<Level> {
        let of = |upstream: &Arc<Upstream>| {
            let (route, _) = upstream.routes.first()?;
            let level = |of, value| Level { of, route: *route, value };
            let resting = u32::from(upstream.health.is_resting(now));
            Some([level(Gauge::CircuitOpen, resting), level(Gauge::RequestsOpen, upstream.health.open_now())])
        };
        self.upstreams.iter().filter_map(of).flatten().collect()
    }

    /// Where `route` leads.
    pub(crate) fn upstream(&self, route: &Route) -> Option<&Arc<Upstream>> {
        self.upstreams.get(index(route))
    }
}

fn index(route: &Route) -> usize {
    usize::try_from(route.provider).unwrap_or(usize::MAX)
}

/// The counters of every route to the provider at this place, in the order of their numbers.
fn counters(snapshot: &Snapshot, provider: u32) -> Vec<(RouteId, Arc<OnRoute>)> {
    let routes = snapshot.models.iter().flat_map(|model| &model.routes).filter(|route| route.provider == provider);
    let mut routes: Vec<_> = routes.filter_map(|route| Some((route.id, COUNTS.on(route.id)?))).collect();
    routes.sort_by_key(|(route, _)| *route);
    routes
}

impl Upstream {
    fn new(
        provider: &Provider,
        routes: Vec<(RouteId, Arc<OnRoute>)>,
        link: &Arc<ClientConfig>,
        arena: &Arena,
        before: Option<&Catalogue>,
    ) -> Result<Self, CatalogueError> {
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
        let keep = |secret: &lethe_types::SecretBytes| arena.put(secret.expose()).map_err(|_| CatalogueError::Secrets);
        let credential = match &provider.credential {
            Credential::Awaited => Shown::Awaited,
            Credential::Bearer(token) => Shown::Bearer(keep(token)?),
            Credential::None => Shown::None,
            Credential::Key(secret) => Shown::Key(keep(secret)?),
            Credential::Aws { access_key_id, secret_access_key, session_token } => Shown::Aws {
                access_key_id: access_key_id.clone(),
                secret_access_key: keep(secret_access_key)?,
                session_token: session_token.as_ref().map(keep).transpose()?,
            },
        };
        // What is known of a provider stays known when the configuration changes, unless it is another server now.
        let is_same = |upstream: &&Arc<Self>| {
            upstream.id == provider.id && upstream.host == provider.host && upstream.port == provider.port
        };
        let known = before.and_then(|before| before.upstreams.iter().find(is_same));
        let seconds = |seconds: u32| Duration::from_secs(seconds.into());
        // An IPv6 address stands in brackets (RFC 3986 section 3.2.2).
        let host = if provider.host.contains(':') { format!("[{}]", provider.host) } else { provider.host.clone() };
        Ok(Self {
            unique: UNIQUE.fetch_add(1, Ordering::Relaxed),
            id: provider.id.clone(),
            endpoint: provider.endpoint,
            kind: provider.kind,
            dialect: provider.dialect,
            rules: provider.rules.clone(),
            host: provider.host.clone(),
            port: provider.port,
            host_header: if provider.port == default_port { host } else { format!("{host}:{}", provider.port) },
            base_path: provider.base_path.clone(),
            credential,
            tls,
            connect: seconds(provider.timeouts.connect_seconds),
            first_byte: seconds(provider.timeouts.first_byte_seconds),
            idle: seconds(provider.timeouts.idle_seconds),
            total: seconds(provider.timeouts.total_seconds),
            region: provider.region,
            max_concurrent: provider.max_concurrent,
            prompt_cache: provider.prompt_cache,
            health: known.map_or_else(|| Health::new(Instant::now()), |known| Arc::clone(&known.health)),
            routes,
            terms: provider.terms.clone(),
        })
    }

    /// Whether nothing may be sent, because there is nothing to show who asks.
    pub(crate) const fn awaits_credential(&self) -> bool {
        matches!(self.credential, Shown::Awaited)
    }

    /// The counters of a route that leads here.
    pub(crate) fn on(&self, route: RouteId) -> Option<&OnRoute> {
        let at = self.routes.binary_search_by_key(&route, |(id, _)| *id).ok()?;
        self.routes.get(at).map(|(_, on)| on.as_ref())
    }

    pub(crate) fn may_serve(&self, now: Millis) -> bool {
        match self.kind {
            // An own node keeps nothing because its kernel says so, not because of terms.
            ProviderKind::Node => true,
            ProviderKind::Hosted => Terms::standing(self.terms.as_ref(), now) == Standing::Good,
        }
    }
}
