//! `[[model]]`.

use lethe_types::Operation;
use toml::Spanned;

use crate::{
    Model, Route,
    check::Check,
    file::{FileModel, FileRoute},
    provider::Named,
    server::bounded,
};

/// Operations of the plan that this version does not serve; a configuration may list them.
const LATER_OPERATIONS: [&str; 8] = ["audio", "images", "messages", "moderation", "predictions", "rerank", "responses", "video"];

/// Every `[[model]]`, in the order of the file.
pub(crate) fn all(files: &[Spanned<FileModel>], providers: &[Named], check: &mut Check<'_>) -> Vec<Model> {
    let mut ids: Vec<&str> = Vec::new();
    let mut models = Vec::new();
    for file in files {
        let file = file.get_ref();
        let id = file.id.get_ref();
        if id.contains('*') {
            check.problem(file.id.span(), "wildcards are not in this version: write one [[model]] for each model");
        } else if id.is_empty()
            || id.len() > 256
            || !id.bytes().all(|byte| byte.is_ascii_graphic() && !b"\"'`\\$".contains(&byte))
        {
            check.problem(
                file.id.span(),
                "a model's id is 1 to 256 visible characters without spaces, quotes, \\ or $: write id = \"gpt-5-mini\"",
            );
        } else if ids.contains(&id.as_str()) {
            check.problem(
                file.id.span(),
                format!("there are two models with the id \"{id}\": write one [[model]] with both routes"),
            );
        }
        ids.push(id);
        let operations = operations(&file.operations, check);
        let routes = routes(id, &file.routes, providers, check);
        let price = file.price.as_ref().and_then(|price| price.checked(check));
        models.push(Model { id: id.clone(), operations, routes, price });
    }
    models
}

fn operations(written: &Spanned<Vec<Spanned<String>>>, check: &mut Check<'_>) -> Vec<Operation> {
    let served = [Operation::Chat, Operation::Embeddings];
    let mut operations = Vec::new();
    let mut mistaken = false;
    for name in written.get_ref() {
        let text = name.get_ref().as_str();
        if let Some(operation) = served.into_iter().find(|operation| operation.name() == text) {
            if !operations.contains(&operation) {
                operations.push(operation);
            }
        } else if LATER_OPERATIONS.contains(&text) {
            check.notice(name.span(), format!("the operation \"{text}\" is not in this version: requests for it answer 404"));
        } else {
            mistaken = true;
            check.problem(name.span(), "there is no such operation: write operations = [\"chat\"] or [\"embeddings\"] or both");
        }
    }
    if operations.is_empty() && !mistaken {
        check.problem(
            written.span(),
            "this model has no operation that this version serves: write operations = [\"chat\"] or [\"embeddings\"]",
        );
    }
    operations
}

fn routes(id: &str, written: &Spanned<Vec<FileRoute>>, providers: &[Named], check: &mut Check<'_>) -> Vec<Route> {
    if written.get_ref().is_empty() {
        check.problem(
            written.span(),
            "this model has no route: write routes = [{ provider = \"openai\", model = \"gpt-5-mini\" }]",
        );
    }
    let mut routes = Vec::new();
    for file in written.get_ref() {
        let provider = providers.iter().position(|named| named.id == *file.provider.get_ref());
        let Some(provider) = provider else {
            let known: Vec<String> = providers.iter().map(|named| format!("\"{}\"", named.id)).collect();
            let known = if known.is_empty() {
                "add a [[provider]] with this id".to_owned()
            } else {
                format!("write {}", known.join(" or "))
            };
            check.problem(file.provider.span(), format!("there is no provider \"{}\": {known}", file.provider.get_ref()));
            continue;
        };
        let model = file.model.as_ref().map_or(id, |model| model.get_ref());
        if model.is_empty() || model.len() > 256 || model.chars().any(char::is_control) {
            let span = file.model.as_ref().map_or_else(|| file.provider.span(), Spanned::span);
            check.problem(span, "the provider's name of the model is 1 to 256 characters without control characters");
        }
        let weight = bounded(file.weight.as_ref(), 1..=1000, "weight", check).unwrap_or(1);
        routes.push(Route { provider, model: model.to_owned(), weight });
    }
    routes
}
