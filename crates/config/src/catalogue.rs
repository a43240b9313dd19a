//! Models that presets bring, and names that wildcards must not take in.

use lethe_policy::Strategy;
use toml::Spanned;

use crate::{Model, Route, check::Check, file::FileModel, provider::Named};

/// Adds the models of each preset to which no [[model]] leads. Two providers that bring the same name serve one model. A provider that
/// nothing leads to and that brings nothing could never be reached; that is not told while a route names a provider that does not
/// exist, because it is most likely the same mistake.
pub(crate) fn bring(providers: &[Named], files: &[Spanned<FileModel>], models: &mut Vec<Model>, check: &mut Check<'_>) {
    let mut routes = files.iter().flat_map(|model| model.get_ref().routes.get_ref());
    let mistaken = routes.any(|route| !providers.iter().any(|named| named.id == *route.provider.get_ref()));
    let written = models.len();
    for (position, named) in providers.iter().enumerate() {
        let routed = |model: &Spanned<FileModel>| {
            model.get_ref().routes.get_ref().iter().any(|route| *route.provider.get_ref() == named.id)
        };
        if files.iter().any(routed) {
            continue;
        }
        match named.preset.map(|preset| brought(named, preset, position)) {
            Some(brought) if !brought.is_empty() => {
                for model in brought {
                    // What stands in the file holds; what two presets bring is one model with both routes.
                    match models.iter().position(|other| other.id == model.id) {
                        None => models.push(model),
                        Some(at) if at < written => {}
                        Some(at) => {
                            models.iter_mut().skip(at).take(1).for_each(|other| other.routes.extend(model.routes.clone()))
                        }
                    }
                }
            }
            _ if mistaken => {}
            brought => {
                let why = if brought.is_some() { "its preset knows none" } else { "no model leads to it" };
                check.problem(
                    named.span.clone(),
                    format!(
                        "provider \"{id}\" has no models ({why}): write\n    [[model]]\n    id = \"name-for-clients\"\n    \
                         operations = [\"chat\"]\n    routes = [{{ provider = \"{id}\", model = \"its-own-name\" }}]",
                        id = named.id
                    ),
                );
            }
        }
    }
}

/// Every model of the catalogue under its own name, and whatever else the provider has as `id/name`.
fn brought(named: &Named, preset: &crate::preset::Preset, position: usize) -> Vec<Model> {
    let route = |model: &str, price, max_output_tokens| Route {
        provider: position,
        model: model.to_owned(),
        weight: 1,
        price,
        max_output_tokens,
    };
    let mut models: Vec<Model> = Vec::new();
    for known in &preset.models {
        let price = known.price(&preset.currency);
        let together = price.as_ref().and_then(crate::Price::together);
        let routes = vec![route(&known.id, together, known.max_output_tokens)];
        let capabilities = known.operations.clone();
        models.push(Model { id: known.id.clone(), capabilities, strategy: Strategy::default(), routes, price });
    }
    if preset.wildcard {
        models.push(Model {
            id: format!("{}/*", named.id),
            capabilities: preset.capabilities(),
            strategy: Strategy::default(),
            routes: vec![route("*", None, None)],
            price: None,
        });
    }
    models
}

/// Adds, below each wildcard, the names that a provider behind it keeps whatever was agreed: they are served by the other routes, or
/// by none.
pub(crate) fn except(providers: &[Named], models: &mut Vec<Model>) {
    let mut names: Vec<String> = models.iter().flat_map(|model| kept_below(model, providers)).collect();
    names.sort_unstable();
    names.dedup();
    for name in names {
        if models.iter().any(|model| model.id == name) {
            continue;
        }
        let fits = |model: &&Model| model.id.strip_suffix('*').is_some_and(|prefix| name.starts_with(prefix));
        let Some(wildcard) = models.iter().filter(fits).max_by_key(|model| model.id.len()) else { continue };
        let rest = name.get(wildcard.id.len() - 1..).unwrap_or_default();
        let mut exception = Model { id: name.clone(), ..wildcard.clone() };
        exception.routes.retain_mut(|route| {
            route.model = route.model.replacen('*', rest, 1);
            !providers.get(route.provider).and_then(|named| named.known).is_some_and(|preset| preset.never(&route.model))
        });
        models.push(exception);
    }
}

/// Names below the wildcard `model` that one of its providers keeps.
fn kept_below(model: &Model, providers: &[Named]) -> Vec<String> {
    let Some(prefix) = model.id.strip_suffix('*') else { return Vec::new() };
    let mut names = Vec::new();
    for route in &model.routes {
        let known = providers.get(route.provider).and_then(|named| named.known);
        let (Some(preset), Some((before, after))) = (known, route.model.split_once('*')) else { continue };
        for never in &preset.terms.never_models {
            let (name, star) = never.strip_suffix('*').map_or((never.as_str(), ""), |name| (name, "*"));
            if let Some(rest) = name.strip_prefix(before).and_then(|rest| rest.strip_suffix(after)) {
                names.push(format!("{prefix}{rest}{star}"));
            }
        }
    }
    names
}
