//! The configuration as gateways and dialers get it: numbered, signed.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use lethe_link::frame::ENDPOINTS_LIMIT;
use lethe_policy::endpoints::{CONTROL_ENDPOINT, Endpoint, EndpointList};
use lethe_policy::{Credential, KeyEntry, Model, Provider, ProviderKind, Route, Snapshot};
use lethe_store::{Counter, RouteName, Store};
use lethe_types::RouteId;
use tokio::sync::watch;

use crate::broker::Broker;
use crate::start::{Address, ControlStart};
use crate::{Authority, ControlError};

/// The catalogue in force.
pub(crate) struct Current(watch::Sender<Arc<Catalogue>>);

impl Current {
    pub(crate) fn new(catalogue: Catalogue) -> Arc<Self> {
        Arc::new(Self(watch::Sender::new(Arc::new(catalogue))))
    }

    pub(crate) fn now(&self) -> Arc<Catalogue> {
        Arc::clone(&self.0.borrow())
    }

    /// Every catalogue from now on; links push them.
    pub(crate) fn changes(&self) -> watch::Receiver<Arc<Catalogue>> {
        self.0.subscribe()
    }

    pub(crate) fn replace(&self, catalogue: Catalogue) {
        self.0.send_replace(Arc::new(catalogue));
    }
}

/// Providers, models and destinations of one configuration.
pub(crate) struct Catalogue {
    providers: Vec<Provider>,
    models: Vec<Model>,
    /// The signed list of destinations.
    pub(crate) endpoints: Vec<u8>,
    /// Every route there has ever been: a gateway may still deliver records of one that left the configuration.
    routes: HashMap<RouteId, RouteName>,
    /// Providers whose credential control obtains.
    granted: BTreeSet<String>,
}

impl Catalogue {
    pub(crate) async fn build(start: &ControlStart, store: &Store, authority: &Authority) -> Result<Self, ControlError> {
        let (list, providers) = destinations(start, store).await?;
        let endpoints = authority.sign(&list)?;
        if endpoints.len() > ENDPOINTS_LIMIT {
            return Err(ControlError::Endpoints);
        }
        let models = models(start, store, &providers).await?;
        let routes = store.routes().await?.into_iter().collect();
        let granted = start.providers.iter().filter(|setup| setup.grant.is_some());
        let granted = granted.map(|setup| setup.provider.id.clone()).collect();
        Ok(Self { providers, models, endpoints, routes, granted })
    }

    /// The same with the credentials that are at hand now.
    pub(crate) fn with_credentials(&self, broker: &Broker) -> Self {
        let mut providers = self.providers.clone();
        for provider in &mut providers {
            if self.granted.contains(&provider.id) {
                provider.credential = broker.credential(&provider.id).unwrap_or(Credential::Awaited);
            }
        }
        Self {
            providers,
            models: self.models.clone(),
            endpoints: self.endpoints.clone(),
            routes: self.routes.clone(),
            granted: self.granted.clone(),
        }
    }

    pub(crate) fn snapshot(&self, version: u64, keys: Vec<KeyEntry>) -> Snapshot {
        Snapshot { version, keys, providers: self.providers.clone(), models: self.models.clone() }
    }

    /// Every provider and node.
    pub(crate) fn providers(&self) -> impl Iterator<Item = &Provider> {
        self.providers.iter()
    }

    /// Providers that need terms.
    pub(crate) fn hosted(&self) -> impl Iterator<Item = &Provider> {
        self.providers().filter(|provider| provider.kind == ProviderKind::Hosted)
    }

    /// What a route's number stands for.
    pub(crate) fn route(&self, id: RouteId) -> Option<&RouteName> {
        self.routes.get(&id)
    }
}

/// Numbers the destinations: control is 0, every other keeps its number for as long as the database lives. Two lists may
/// therefore differ in what they allow, never in what a number means.
async fn destinations(start: &ControlStart, store: &Store) -> Result<(EndpointList, Vec<Provider>), ControlError> {
    let mut allowed: BTreeMap<Address, bool> = BTreeMap::new();
    let mut providers = Vec::with_capacity(start.providers.len());
    let mut addresses = Vec::with_capacity(start.providers.len());
    for setup in &start.providers {
        if providers.iter().any(|other: &Provider| other.id == setup.provider.id) {
            return Err(ControlError::DuplicateProvider);
        }
        let own = Address { host: setup.provider.host.clone(), port: setup.provider.port };
        let address = setup.dial.clone().unwrap_or(own);
        if *allowed.entry(address.clone()).or_insert(setup.allow_private) != setup.allow_private {
            return Err(ControlError::ContradictingProviders);
        }
        addresses.push((address.host, address.port));
        providers.push(setup.provider.clone());
    }
    for (provider, id) in providers.iter_mut().zip(store.number_endpoints(&addresses).await?) {
        provider.endpoint = id;
    }
    // Control is reached over whatever network the operator put it in; its certificate is what counts.
    let control = Endpoint { id: CONTROL_ENDPOINT, host: start.link.host.clone(), port: start.link.port, allow_private: true };
    let mut endpoints = vec![control];
    for (provider, (host, port)) in providers.iter().zip(addresses) {
        if endpoints.iter().all(|endpoint| endpoint.id != provider.endpoint) {
            let allow_private = allowed.get(&Address { host: host.clone(), port }).copied().unwrap_or(false);
            endpoints.push(Endpoint { id: provider.endpoint, host, port, allow_private });
        }
    }
    let version = store.raise(Counter::EndpointsVersion).await?;
    Ok((EndpointList { version, endpoints }, providers))
}

async fn models(start: &ControlStart, store: &Store, providers: &[Provider]) -> Result<Vec<Model>, ControlError> {
    let mut models = Vec::with_capacity(start.models.len());
    for setup in &start.models {
        let names: Vec<RouteName> = setup
            .routes
            .iter()
            .map(|route| RouteName { provider: route.provider.clone(), model: setup.id.clone(), upstream: route.model.clone() })
            .collect();
        let ids = store.number_routes(&names).await?;
        let mut routes = Vec::with_capacity(ids.len());
        for (route, id) in setup.routes.iter().zip(ids) {
            let position = providers.iter().position(|provider| provider.id == route.provider);
            let provider = position.and_then(|position| u32::try_from(position).ok()).ok_or(ControlError::UnknownProvider)?;
            routes.push(Route {
                id,
                provider,
                model: route.model.clone(),
                weight: route.weight,
                price: route.price,
                max_output_tokens: route.max_output_tokens,
            });
        }
        models.push(Model {
            id: setup.id.clone(),
            capabilities: setup.capabilities.clone(),
            strategy: setup.strategy,
            routes,
            created: setup.created,
        });
    }
    Ok(models)
}
