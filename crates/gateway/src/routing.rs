//! Which routes of a model may serve a request, in the order in which they are tried.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Instant;

use lethe_policy::{ApiRules, Model, Route, Strategy};
use lethe_types::{Api, Millis, Region, RouteId};

use crate::catalogue::{Catalogue, Upstream};

/// More providers than anybody names in a header.
const NAMED_LIMIT: usize = 16;

/// What a request asks of the choice.
pub(crate) struct Wish<'a> {
    pub(crate) api: Api,
    /// Regions that the key and the request require.
    pub(crate) regions: [Option<Region>; 2],
    /// Providers that the request names, in its order; empty for any.
    pub(crate) providers: Vec<&'a str>,
}

/// A route that may serve.
#[derive(Clone)]
pub(crate) struct Candidate {
    pub(crate) id: RouteId,
    /// The provider's name of the model.
    pub(crate) model: String,
    pub(crate) max_output_tokens: Option<u32>,
    pub(crate) upstream: Arc<Upstream>,
    weight: u32,
    price: Option<u64>,
}

/// Why no route may serve.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoRoute {
    /// None takes a format that the request could be put in.
    Operation,
    /// The request's header names providers of which none has this model.
    Provider,
    /// None is in the region that is required.
    Region,
    /// None has terms that stand.
    Terms,
}

impl Candidate {
    /// The rules under which the provider is asked, and the format.
    pub(crate) fn rules(&self, api: Api) -> Option<&ApiRules> {
        self.upstream.rules.target(api)
    }
}

/// Splits the value of `lethe-provider`.
pub(crate) fn named(value: &str) -> Vec<&str> {
    value.split(',').map(str::trim).filter(|name| !name.is_empty()).take(NAMED_LIMIT).collect()
}

impl Catalogue {
    /// The routes of `model` that may serve, the first choice first. `star` is what the `*` in the model's id stands for; `dice` any number.
    pub(crate) fn candidates(
        &self,
        model: &Model,
        star: &str,
        wish: &Wish<'_>,
        at: Millis,
        now: Instant,
        dice: u64,
    ) -> Result<Vec<Candidate>, NoRoute> {
        // A model without routes is one that no provider serves without keeping content.
        let mut missing = if model.routes.is_empty() { NoRoute::Terms } else { NoRoute::Operation };
        let mut candidates = Vec::with_capacity(model.routes.len());
        for route in &model.routes {
            let Some(upstream) = self.upstream(route) else { continue };
            let reason = if upstream.rules.target(wish.api).is_none() {
                NoRoute::Operation
            } else if !wish.providers.is_empty() && !wish.providers.contains(&upstream.id.as_str()) {
                NoRoute::Provider
            } else if wish.regions.iter().flatten().any(|region| upstream.region != Some(*region)) {
                NoRoute::Region
            } else if !upstream.may_serve(at) {
                NoRoute::Terms
            } else if route.weight == 0 {
                continue;
            } else {
                candidates.push(candidate(route, star, upstream));
                continue;
            };
            missing = later(missing, reason);
        }
        if candidates.is_empty() {
            return Err(missing);
        }
        if candidates.len() > 1 {
            order(&mut candidates, model.strategy, wish, now, dice);
        }
        Ok(candidates)
    }
}

/// The reason that came nearest to serving.
fn later(one: NoRoute, other: NoRoute) -> NoRoute {
    let rank = |reason| match reason {
        NoRoute::Operation => 0,
        NoRoute::Provider => 1,
        NoRoute::Region => 2,
        NoRoute::Terms => 3,
    };
    if rank(other) > rank(one) { other } else { one }
}

fn candidate(route: &Route, star: &str, upstream: &Arc<Upstream>) -> Candidate {
    let model =
        if route.model.contains('*') { Cow::Owned(route.model.replacen('*', star, 1)) } else { Cow::Borrowed(&route.model[..]) };
    Candidate {
        id: route.id,
        model: model.into_owned(),
        max_output_tokens: route.max_output_tokens,
        upstream: Arc::clone(upstream),
        weight: route.weight,
        price: route.price,
    }
}

fn order(candidates: &mut Vec<Candidate>, strategy: Strategy, wish: &Wish<'_>, now: Instant, dice: u64) {
    match strategy {
        Strategy::Ordered => {}
        // What has no price comes last.
        Strategy::Cheapest => candidates.sort_by_key(|candidate| candidate.price.unwrap_or(u64::MAX)),
        Strategy::Weighted => shuffle(candidates, dice),
        Strategy::LeastLoaded => {
            shuffle(candidates, dice);
            if let [first, second, ..] = candidates.as_mut_slice()
                && second.upstream.health.cost() < first.upstream.health.cost()
            {
                std::mem::swap(first, second);
            }
        }
    }
    if !wish.providers.is_empty() {
        let place = |candidate: &Candidate| wish.providers.iter().position(|name| *name == candidate.upstream.id);
        candidates.sort_by_key(place);
    }
    // Those that answer in the client's own format need no translation, and lose nothing by it; but that is no reason to change the
    // operator's order. Who fails or is full is tried last, not never: it may be all that is left.
    candidates.sort_by_key(|candidate| {
        let upstream = &candidate.upstream;
        upstream.health.rests(now) || upstream.health.is_full(upstream.max_concurrent)
    });
}

/// Draws by weight, without putting back.
fn shuffle(candidates: &mut Vec<Candidate>, mut dice: u64) {
    let mut drawn = Vec::with_capacity(candidates.len());
    while !candidates.is_empty() {
        let total: u64 = candidates.iter().map(|candidate| u64::from(candidate.weight)).sum();
        let mut left = dice.checked_rem(total).unwrap_or(0);
        let at = candidates.iter().position(|candidate| match left.checked_sub(candidate.weight.into()) {
            None => true,
            Some(rest) => {
                left = rest;
                false
            }
        });
        drawn.push(candidates.remove(at.unwrap_or(0)));
        dice = next(dice);
    }
    *candidates = drawn;
}

/// SplitMix64's step: another number from a number, for draws that nobody needs to be unable to guess.
const fn next(dice: u64) -> u64 {
    let mut mixed = dice.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}
