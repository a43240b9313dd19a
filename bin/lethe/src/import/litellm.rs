//! A LiteLLM proxy's configuration: <https://docs.litellm.ai/docs/proxy/config_settings>.

use lethe_policy::Strategy;
use lethe_types::Capability;

use super::{
    deployment::{self, Deployment, ProviderKey, Route},
    emit, settings,
    yaml::{self, Node},
};

/// What came of it.
pub(crate) struct Translated {
    pub(crate) toml: String,
    pub(crate) providers: usize,
    pub(crate) models: usize,
    /// Things that have no place here.
    pub(crate) left: usize,
}

/// A model with its routes, in LiteLLM's order.
pub(crate) struct Model {
    pub(crate) id: String,
    pub(crate) strategy: Strategy,
    pub(crate) routes: Vec<Route>,
    /// What to know about how it was translated.
    pub(crate) notes: Vec<String>,
}

impl Model {
    /// What every route can be asked for.
    pub(crate) fn capabilities(&self) -> Vec<Capability> {
        let all = |capability: &Capability| self.routes.iter().all(|route| route.capabilities.contains(capability));
        Capability::ALL.into_iter().filter(all).collect()
    }
}

/// Translates the text of a `config.yaml`. Variables are looked up only for what is no secret and must stand in the file.
///
/// # Errors
/// `line: what is wrong`.
pub(crate) fn translate(text: &str, environment: &dyn Fn(&str) -> Option<String>) -> Result<Translated, String> {
    let root = yaml::parse(text)?;
    let entries = root.get("model_list").ok_or("1: there is no model_list: this is no configuration of a LiteLLM proxy")?;
    let credentials = root.get("credential_list").map_or(&[] as &[Node], Node::items);
    let mut left = Vec::new();
    let mut models: Vec<Model> = Vec::new();
    for entry in entries.items() {
        match deployment::read(entry, credentials, environment) {
            Ok(Deployment { name, route, left: of_it }) => {
                left.extend(of_it);
                match models.iter_mut().find(|model| model.id == name) {
                    Some(model) => model.routes.push(route),
                    None => {
                        models.push(Model { id: name, strategy: Strategy::default(), routes: vec![route], notes: Vec::new() })
                    }
                }
            }
            Err(why) => left.push(format!("line {}: {why}", entry.line)),
        }
    }
    alike(&mut models, &mut left);
    strategies(&root, &mut models);
    fall_back(&root, &mut models, &mut left);
    aliases(&root, &mut models, &mut left);
    left.extend(settings::left(&root));
    let mut said = std::collections::BTreeSet::new();
    left.retain(|line| said.insert(line.clone()));
    let providers = providers(&models);
    let toml = emit::file(&providers, &models, &left);
    Ok(Translated { toml, providers: providers.len(), models: models.len(), left: left.len() })
}

/// Routes of one model that have nothing in common with its first cannot be of one model.
fn alike(models: &mut [Model], left: &mut Vec<String>) {
    for model in models {
        let Some(first) = model.routes.first().map(|route| route.capabilities.clone()) else { continue };
        model.routes.retain(|route| {
            let common = route.capabilities.iter().any(|capability| first.contains(capability));
            if !common {
                left.push(format!("{}: {} serves something else than the first route", model.id, route.model));
            }
            common
        });
    }
}

/// The value of a setting that may stand in either section.
fn setting<'a>(root: &'a Node, name: &str) -> Option<&'a Node> {
    ["router_settings", "litellm_settings"].iter().find_map(|section| root.get(section)?.get(name))
}

fn strategies(root: &Node, models: &mut [Model]) {
    let written = setting(root, "routing_strategy").and_then(Node::text).unwrap_or("simple-shuffle");
    let (strategy, note) = match written {
        "cost-based-routing" => (Strategy::Cheapest, None),
        "least-busy" => (Strategy::LeastLoaded, None),
        "latency-based-routing" => (Strategy::LeastLoaded, Some("by latency and open requests together")),
        "simple-shuffle" => (Strategy::Weighted, None),
        _ => (Strategy::Weighted, Some("by weight: what providers have left of a quota is not counted")),
    };
    for model in models.iter_mut().filter(|model| model.routes.len() > 1) {
        model.strategy = strategy;
        model.notes.extend(note.map(|note| format!("{written}: {note}")));
        if model.routes.iter().any(|route| route.order.is_some()) {
            model.strategy = Strategy::Ordered;
            model.routes.sort_by_key(|route| route.order.unwrap_or(u32::MAX));
        } else if strategy == Strategy::Cheapest && !model.routes.iter().all(Route::is_priced) {
            model.strategy = Strategy::Weighted;
            model
                .notes
                .push("cost-based-routing needs a price in each route: write them, and strategy = \"cheapest\"".to_owned());
        }
    }
}

/// `fallbacks: [{a: [b, c]}]` and `default_fallbacks: [b]`: the routes of `b` and `c` after those of `a`.
fn fall_back(root: &Node, models: &mut [Model], left: &mut Vec<String>) {
    let mut pairs: Vec<(String, Vec<String>)> = Vec::new();
    let names = |node: &Node| -> Vec<String> { node.items().iter().filter_map(Node::text).map(str::to_owned).collect() };
    for item in setting(root, "fallbacks").map_or(&[] as &[Node], Node::items) {
        pairs.extend(item.entries().iter().map(|(from, to)| (from.clone(), names(to))));
    }
    let defaults = setting(root, "default_fallbacks").map(names).unwrap_or_default();
    if !defaults.is_empty() {
        let without: Vec<String> =
            models.iter().map(|model| model.id.clone()).filter(|id| !pairs.iter().any(|(from, _)| from == id)).collect();
        pairs.extend(without.into_iter().map(|id| (id, defaults.clone())));
    }
    let before: Vec<(String, Vec<Route>)> = models.iter().map(|model| (model.id.clone(), model.routes.clone())).collect();
    for (from, targets) in pairs {
        let Some(model) = models.iter_mut().find(|model| model.id == from) else {
            left.push(format!("fallbacks of {from}: there is no such model"));
            continue;
        };
        let own = model.routes.len();
        for target in targets.iter().filter(|target| **target != from) {
            let Some((_, routes)) = before.iter().find(|(id, _)| id == target) else {
                left.push(format!("fallback of {from} to {target}: there is no such model"));
                continue;
            };
            for route in routes {
                let fits = route.capabilities.iter().any(|capability| model.capabilities().contains(capability));
                if !fits || route.model.contains('*') && !from.contains('*') {
                    left.push(format!("fallback of {from} to {target}: it serves something else"));
                } else if !model.routes.iter().any(|known| known.provider == route.provider && known.model == route.model) {
                    model.routes.push(route.clone());
                }
            }
        }
        if model.routes.len() > own {
            model.strategy = Strategy::Ordered;
            model.notes.push(format!("falls back to {}", targets.join(", ")));
            if own > 1 {
                model.notes.push(format!("its own {own} routes are tried in their order too, since fallbacks follow"));
            }
        }
    }
}

/// `model_group_alias: {alias: model}`: the same model under another name.
fn aliases(root: &Node, models: &mut Vec<Model>, left: &mut Vec<String>) {
    for (alias, target) in setting(root, "model_group_alias").map_or(&[] as &[(String, Node)], Node::entries) {
        let name = target.text().or_else(|| target.text_of("model")).unwrap_or_default();
        let found = models.iter().find(|model| model.id == name);
        match found {
            Some(model) if !models.iter().any(|other| other.id == *alias) => {
                let notes = vec![format!("another name of {name}")];
                let copy = Model { id: alias.clone(), strategy: model.strategy, routes: model.routes.clone(), notes };
                models.push(copy);
            }
            Some(_) => left.push(format!("model_group_alias {alias}: there is a model of this name")),
            None => left.push(format!("model_group_alias {alias}: there is no model it stands for")),
        }
    }
}

/// Every provider that a route leads to, by the order of its first.
fn providers(models: &[Model]) -> Vec<ProviderKey> {
    let mut providers: Vec<ProviderKey> = Vec::new();
    for route in models.iter().flat_map(|model| &model.routes) {
        if !providers.contains(&route.provider) {
            providers.push(route.provider.clone());
        }
    }
    providers
}

#[cfg(test)]
#[path = "litellm_tests.rs"]
mod tests;
