//! Which routes of a model may serve a request, in the order in which they are tried.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Instant;

use lethe_link::Routed;
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
    /// The credentials of all that could serve have yet to be obtained.
    Credential,
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

    /// A request makes this step on the route: counted at hand, for every request.
    pub(crate) fn routed(&self, routed: Routed) {
        if let Some(on) = self.upstream.on(self.id) {
            on.routed(routed);
        }
    }
}

/// Splits the values of `lethe-provider`.
pub(crate) fn named<'a>(values: &[&'a str]) -> Vec<&'a str> {
    values.iter().flat_map(|value| value.split(',')).map(str::trim).filter(|name| !name.is_empty()).take(NAMED_LIMIT).collect()
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
            } else if upstream.awaits_credential() {
                NoRoute::Credential
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
        NoRoute::Credential => 4,
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
                && second.upstream.health.cost(now) < first.upstream.health.cost(now)
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

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed test")]

    use std::time::{Duration, Instant};

    use lethe_confine::secret::Arena;
    use lethe_policy::{
        ApiRules, Credential, Dialect, Model, PromptCache, Provider, ProviderKind, Route, Rules, Snapshot, Strategy, Timeouts,
        UpstreamTls,
    };
    use lethe_tls::client_of_public;
    use lethe_types::{Api, Capability, Failure, Region, RouteId};

    use super::{NoRoute, Wish, named};
    use crate::catalogue::Catalogue;

    fn provider(id: &str, api: Api) -> Provider {
        Provider {
            id: id.into(),
            kind: ProviderKind::Node,
            endpoint: 1,
            host: "localhost".into(),
            port: 80,
            base_path: String::new(),
            tls: UpstreamTls::Plain,
            credential: Credential::None,
            terms: None,
            dialect: Dialect::Openai,
            rules: Rules { apis: vec![ApiRules::plain(api)], ..Rules::default() },
            region: None,
            max_concurrent: None,
            prompt_cache: PromptCache::Off,
            timeouts: Timeouts::default(),
        }
    }

    fn route(provider: u32, weight: u32, price: Option<u64>) -> Route {
        let model = format!("m{provider}");
        Route { id: RouteId(provider + 1), provider, model, weight, price, max_output_tokens: None }
    }

    /// Providers `a`, `b`, `c` and so on, with a route each.
    fn catalogue(strategy: Strategy, routes: Vec<Route>, change: impl Fn(&mut Vec<Provider>)) -> Catalogue {
        let mut providers = (b'a'..).map(|id| char::from(id).to_string()).take(routes.len()).collect::<Vec<_>>();
        let mut providers: Vec<Provider> = providers.drain(..).map(|id| provider(&id, Api::Chat)).collect();
        change(&mut providers);
        let model = Model { id: "m".into(), capabilities: vec![Capability::Chat], strategy, routes, created: 0 };
        let snapshot = Snapshot { providers, models: vec![model], ..Snapshot::default() };
        made(&snapshot, None)
    }

    fn made(snapshot: &Snapshot, before: Option<&Catalogue>) -> Catalogue {
        let link = client_of_public(webpki_roots::TLS_SERVER_ROOTS, &[]).ok().unwrap();
        Catalogue::new(snapshot, &link, &Arena::with_size(4096).unwrap(), before).ok().unwrap()
    }

    fn wish<'a>(providers: &[&'a str]) -> Wish<'a> {
        Wish { api: Api::Chat, regions: [None, None], providers: providers.to_vec() }
    }

    /// The providers in the order in which they are tried.
    fn order(catalogue: &Catalogue, wish: &Wish<'_>, now: Instant, dice: u64) -> Result<String, NoRoute> {
        let (model, star) = catalogue.model("m").unwrap();
        let candidates = catalogue.candidates(model, star, wish, 0, now, dice)?;
        Ok(candidates.iter().map(|candidate| candidate.upstream.id.as_str()).collect())
    }

    fn health<'a>(catalogue: &'a Catalogue, id: &str) -> &'a std::sync::Arc<crate::health::Health> {
        let (model, _) = catalogue.model("m").unwrap();
        let upstreams = model.routes.iter().filter_map(|route| catalogue.upstream(route));
        &upstreams.into_iter().find(|upstream| upstream.id == id).unwrap().health
    }

    fn trip(catalogue: &Catalogue, id: &str, now: Instant) {
        for _ in 0..5 {
            health(catalogue, id).open(None).unwrap().failed(Failure::Connect, None, now);
        }
    }

    #[test]
    fn the_order_is_the_operators_or_the_prices() {
        let now = Instant::now();
        let routes = || vec![route(0, 1, Some(30)), route(1, 1, None), route(2, 1, Some(10))];
        assert_eq!(order(&catalogue(Strategy::Ordered, routes(), |_| ()), &wish(&[]), now, 7), Ok("abc".into()));
        assert_eq!(order(&catalogue(Strategy::Cheapest, routes(), |_| ()), &wish(&[]), now, 7), Ok("cab".into()));
    }

    #[test]
    fn weights_are_shares_of_the_first_and_the_second_place() {
        let catalogue = catalogue(Strategy::Weighted, vec![route(0, 7, None), route(1, 2, None), route(2, 1, None)], |_| ());
        let mut orders = std::collections::BTreeMap::new();
        for dice in 0..20_000_u64 {
            // Spread over the whole range, as the real ones are.
            let dice = super::next(dice);
            *orders.entry(order(&catalogue, &wish(&[]), Instant::now(), dice).unwrap()).or_insert(0_u32) += 1;
        }
        // By drawing without putting back: 0.7 × 2/3, 0.7 × 1/3, 0.2 × 7/8, 0.2 × 1/8, 0.1 × 7/9, 0.1 × 2/9.
        for (order, share) in [("abc", 0.4667), ("acb", 0.2333), ("bac", 0.175), ("bca", 0.025), ("cab", 0.0778), ("cba", 0.0222)]
        {
            let found = f64::from(orders[order]) / 20_000.0;
            // Five standard deviations of the most uncertain of them.
            assert!((found - share).abs() < 0.018, "{order}: {found} instead of {share}");
        }
    }

    #[test]
    fn the_less_loaded_of_two_comes_first() {
        let now = Instant::now();
        let catalogue = catalogue(Strategy::LeastLoaded, vec![route(0, 1, None), route(1, 1, None)], |_| ());
        for (id, latency) in [("a", 300), ("b", 10)] {
            health(&catalogue, id).open(None).unwrap().answered(Duration::from_millis(latency), now);
        }
        let first = |dice| order(&catalogue, &wish(&[]), now, super::next(dice)).unwrap();
        assert!((0..100).all(|dice| first(dice) == "ba"));
        let _open: Vec<_> = (0..40).map(|_| health(&catalogue, "b").open(None)).collect();
        assert!((0..100).all(|dice| first(dice) == "ab"), "forty times ten are more than three hundred");
    }

    #[test]
    fn who_rests_or_is_full_is_tried_last() {
        let now = Instant::now();
        let routes = || vec![route(0, 1, None), route(1, 1, None), route(2, 1, None)];
        let catalogue = catalogue(Strategy::Ordered, routes(), |providers| providers[1].max_concurrent = Some(1));
        let open = health(&catalogue, "b").open(Some(1));
        assert_eq!(order(&catalogue, &wish(&[]), now, 0), Ok("acb".into()));
        trip(&catalogue, "a", now);
        assert_eq!(order(&catalogue, &wish(&[]), now, 0), Ok("cab".into()), "but it is tried");
        drop(open);
        assert_eq!(order(&catalogue, &wish(&[]), now, 0), Ok("bca".into()));
        assert_eq!(order(&catalogue, &wish(&[]), now + Duration::from_secs(6), 0), Ok("abc".into()));
        // What is known of a provider outlives a change of the configuration, and is not known of another of the same name.
        let snapshot = |host: &str| Snapshot {
            providers: ["a", "b", "c"].map(|id| Provider { host: host.into(), ..provider(id, Api::Chat) }).into(),
            models: vec![Model { routes: routes(), ..catalogue.model("m").unwrap().0.clone() }],
            ..Snapshot::default()
        };
        assert_eq!(order(&made(&snapshot("localhost"), Some(&catalogue)), &wish(&[]), now, 0), Ok("bca".into()));
        assert_eq!(order(&made(&snapshot("elsewhere"), Some(&catalogue)), &wish(&[]), now, 0), Ok("abc".into()));
    }

    #[test]
    fn a_request_names_providers_in_its_own_order() {
        let now = Instant::now();
        let catalogue = catalogue(Strategy::Ordered, vec![route(0, 1, None), route(1, 1, None), route(2, 1, None)], |_| ());
        assert_eq!(order(&catalogue, &wish(&["c", "unknown", "a"]), now, 0), Ok("ca".into()));
        assert_eq!(order(&catalogue, &wish(&["unknown"]), now, 0), Err(NoRoute::Provider));
        trip(&catalogue, "c", now);
        assert_eq!(order(&catalogue, &wish(&["c", "a"]), now, 0), Ok("ac".into()));
        assert_eq!(named(&["c, ,a ", "b"]), ["c", "a", "b"]);
        assert_eq!(named(&[&"x,".repeat(100)]).len(), super::NAMED_LIMIT);
    }

    #[test]
    fn the_reason_is_the_one_that_came_nearest_to_serving() {
        let now = Instant::now();
        let routes = || vec![route(0, 1, None), route(1, 1, None)];
        let (eu, us) = (Region::new("eu"), Region::new("us"));
        let somewhere = |providers: &mut Vec<Provider>| {
            providers[0].rules = Rules { apis: vec![ApiRules::plain(Api::Embeddings)], ..Rules::default() };
            providers[1].region = eu;
        };
        let tagged = catalogue(Strategy::Ordered, routes(), somewhere);
        let within = |regions| Wish { regions, ..wish(&[]) };
        assert_eq!(order(&tagged, &within([eu, None]), now, 0), Ok("b".into()));
        assert_eq!(order(&tagged, &within([None, eu]), now, 0), Ok("b".into()));
        assert_eq!(order(&tagged, &within([eu, us]), now, 0), Err(NoRoute::Region), "both hold");
        assert_eq!(order(&tagged, &Wish { regions: [us, None], ..wish(&["b"]) }, now, 0), Err(NoRoute::Region));
        assert_eq!(order(&tagged, &wish(&["a"]), now, 0), Err(NoRoute::Provider));
        assert_eq!(order(&tagged, &Wish { api: Api::Rerank, ..wish(&[]) }, now, 0), Err(NoRoute::Operation));
        // A provider without a tag is in no region that is asked for, and one without terms serves nobody.
        let plain = catalogue(Strategy::Ordered, routes(), |providers| providers[1].kind = ProviderKind::Hosted);
        assert_eq!(order(&plain, &within([eu, None]), now, 0), Err(NoRoute::Region));
        assert_eq!(order(&plain, &wish(&[]), now, 0), Ok("a".into()));
        assert_eq!(order(&plain, &wish(&["b"]), now, 0), Err(NoRoute::Terms));
    }

    #[test]
    fn a_star_stands_for_the_same_on_both_sides() {
        let model = |id: &str, upstream: &str| Model {
            id: id.into(),
            capabilities: vec![Capability::Chat],
            strategy: Strategy::Ordered,
            routes: vec![Route { model: upstream.into(), ..route(0, 1, None) }],
            created: 0,
        };
        let models = vec![model("up/*", "*"), model("up/big/*", "vendor/*-large"), model("up/fixed", "one")];
        let catalogue = made(&Snapshot { providers: vec![provider("a", Api::Chat)], models, ..Snapshot::default() }, None);
        let asked = |name: &str| {
            let (model, star) = catalogue.model(name)?;
            let candidates = catalogue.candidates(model, star, &wish(&[]), 0, Instant::now(), 0).ok()?;
            candidates.first().map(|candidate| candidate.model.clone())
        };
        assert_eq!(asked("up/a/b").as_deref(), Some("a/b"));
        assert_eq!(asked("up/big/x").as_deref(), Some("vendor/x-large"), "the longest beginning holds");
        assert_eq!(asked("up/fixed").as_deref(), Some("one"), "a name before every wildcard");
        for name in ["up/", "up/*", "up/a b", "up/a?b", "up/a%2f", "down/a", "up"] {
            assert_eq!(asked(name), None, "{name}");
        }
        assert_eq!(catalogue.models().count(), 1, "wildcards are not listed");
    }
}
