//! How requests went through the routes, and how the gateways see the providers.

use std::collections::BTreeMap;

use lethe_link::{Counted, Gauge, Routed};

use super::family::{Kind, Page};
use super::page::Route;
use crate::catalogue::Catalogue;
use crate::operator::Operator;

/// A family by route.
const STEPS: [(Routed, &str, &str); 3] = [
    (
        Routed::Attempt,
        "lethe_attempts_total",
        "How often a route's provider was asked; less fallbacks and retries, that is the requests that ended on the route.",
    ),
    (
        Routed::Fallback,
        "lethe_fallbacks_total",
        "Attempts that failed before anything had gone to the client, so that the request went on to another route.",
    ),
    (Routed::Retry, "lethe_retries_total", "Attempts that were one more on the same route."),
];

/// A family by provider, over the linked gateways.
const GAUGES: [(Gauge, &str, &str); 2] = [
    (
        Gauge::CircuitOpen,
        "lethe_provider_circuits_open",
        "Linked gateways that leave the provider alone because it failed: their circuit breaker for it is open.",
    ),
    (Gauge::RequestsOpen, "lethe_provider_requests_open", "Requests of linked gateways that are open at the provider."),
];

pub(super) fn routing(page: &mut Page, operator: &Operator) {
    let catalogue = operator.catalogue.now();
    let counted = operator.meters.counted();
    for (step, name, help) in STEPS {
        let family = page.family(name, Kind::Counter, help);
        for (of, total) in &counted {
            if let Counted::Routed(route, routed) = of
                && *routed == step
            {
                family.put(&Route::new(&catalogue, *route).own(), total);
            }
        }
    }

    let mut opened = each(&catalogue);
    for (of, total) in &counted {
        if let Counted::Routed(route, Routed::CircuitOpened) = of
            && let Some(name) = catalogue.route(*route)
        {
            let sum = opened.entry(name.provider.as_str()).or_default();
            *sum = sum.saturating_add(*total);
        }
    }
    let help =
        "How often a gateway's circuit breaker for the provider opened: after five failures in a row, or one more after a rest.";
    let family = page.family("lethe_provider_circuit_opens_total", Kind::Counter, help);
    opened.iter().for_each(|(provider, total)| family.put(&[("provider", *provider)], total));

    let linked = operator.links.list();
    for (gauge, name, help) in GAUGES {
        let mut sums = each(&catalogue);
        for ((of, route), value) in linked.iter().flat_map(|linked| &linked.levels) {
            // A gateway may not have heard yet that a provider has left the configuration.
            let provider = catalogue.route(*route).filter(|_| *of == gauge);
            if let Some(sum) = provider.and_then(|name| sums.get_mut(name.provider.as_str())) {
                *sum += u64::from(*value);
            }
        }
        let family = page.family(name, Kind::Gauge, help);
        sums.iter().for_each(|(provider, sum)| family.put(&[("provider", *provider)], sum));
    }
}

/// Every provider, with nothing.
fn each(catalogue: &Catalogue) -> BTreeMap<&str, u64> {
    catalogue.providers().map(|provider| (provider.id.as_str(), 0)).collect()
}
