//! `[[model]]`.

use lethe_policy::Strategy;
use lethe_types::Capability;
use toml::Spanned;

use crate::{
    Model, Price, Route,
    check::Check,
    file::{FileModel, FileRoute},
    preset::Preset,
    provider::Named,
    server::bounded,
};

/// Formats that any chat model serves: who writes them means "chat".
const CHAT_FORMATS: [&str; 3] = ["generate_content", "messages", "responses"];
/// Operations of the plan that this version does not serve; a configuration may list them.
const LATER_OPERATIONS: [&str; 4] = ["audio", "images", "predictions", "video"];

/// Every `[[model]]`, in the order of the file.
pub(crate) fn all(files: &[Spanned<FileModel>], providers: &[Named], check: &mut Check<'_>) -> Vec<Model> {
    let mut models: Vec<Model> = Vec::new();
    for file in files {
        let file = file.get_ref();
        let id = file.id.get_ref();
        if let Err(message) = usable(id) {
            check.problem(file.id.span(), message);
        } else if models.iter().any(|model| model.id == *id) {
            check.problem(
                file.id.span(),
                format!("there are two models with the id \"{id}\": write one [[model]] with both routes"),
            );
        }
        let capabilities = capabilities(&file.operations, check);
        let price = file.price.as_ref().and_then(|price| price.checked(check));
        let strategy = strategy(file.strategy.as_ref(), check);
        let routes = routes(file, price.as_ref(), &capabilities, providers, check);
        if let (Strategy::Cheapest, Some(written)) = (strategy, &file.strategy)
            && routes.iter().any(|route| route.price.is_none())
        {
            check.problem(
                written.span(),
                "which one is cheapest? Write price = { currency = \"USD\", input_per_million = \"0.25\" } in each route",
            );
        }
        models.push(Model { id: id.clone(), capabilities, strategy, routes, price });
    }
    models
}

fn usable(id: &str) -> Result<(), &'static str> {
    let visible = |byte: u8| byte.is_ascii_graphic() && !b"\"'`\\$".contains(&byte);
    if id.is_empty() || id.len() > 256 || !id.bytes().all(visible) {
        Err("a model's id is 1 to 256 visible characters without spaces, quotes, \\ or $: write id = \"gpt-5-mini\"")
    } else if id.find('*').is_some_and(|star| star + 1 != id.len()) {
        Err("a wildcard is one * at the end: write id = \"gpt-*\" or id = \"openai/*\"")
    } else {
        Ok(())
    }
}

fn capabilities(written: &Spanned<Vec<Spanned<String>>>, check: &mut Check<'_>) -> Vec<Capability> {
    let mut capabilities = Vec::new();
    let mut mistaken = false;
    for name in written.get_ref() {
        let text = name.get_ref().as_str();
        let text = if CHAT_FORMATS.contains(&text) { Capability::Chat.name() } else { text };
        if let Some(capability) = Capability::ALL.into_iter().find(|capability| capability.name() == text) {
            if !capabilities.contains(&capability) {
                capabilities.push(capability);
            }
        } else if LATER_OPERATIONS.contains(&text) {
            check.notice(name.span(), format!("the operation \"{text}\" is not in this version: requests for it answer 404"));
        } else {
            mistaken = true;
            let known = Capability::ALL.map(|capability| format!("\"{}\"", capability.name())).join(", ");
            check.problem(name.span(), format!("there is no such operation: write operations = [\"chat\"], or of {known}"));
        }
    }
    if capabilities.is_empty() && !mistaken {
        check.problem(
            written.span(),
            "this model has no operation that this version serves: write operations = [\"chat\"] or [\"embeddings\"]",
        );
    }
    capabilities
}

fn strategy(written: Option<&Spanned<String>>, check: &mut Check<'_>) -> Strategy {
    let Some(written) = written else { return Strategy::default() };
    let strategy = Strategy::ALL.into_iter().find(|strategy| strategy.name() == written.get_ref());
    let message = || {
        let known = Strategy::ALL.map(|strategy| format!("\"{}\"", strategy.name())).join(" or ");
        format!("there is no such strategy: write strategy = {known}")
    };
    check.take(written.span(), strategy.ok_or_else(message)).unwrap_or_default()
}

fn routes(
    model: &FileModel,
    model_price: Option<&Price>,
    capabilities: &[Capability],
    providers: &[Named],
    check: &mut Check<'_>,
) -> Vec<Route> {
    if model.routes.get_ref().is_empty() {
        check.problem(
            model.routes.span(),
            "this model has no route: write routes = [{ provider = \"openai\", model = \"gpt-5-mini\" }]",
        );
    }
    let mut routes = Vec::new();
    let mut currency: Option<String> = model_price.map(|price| price.currency.clone());
    for file in model.routes.get_ref() {
        let Some(position) = providers.iter().position(|named| named.id == *file.provider.get_ref()) else {
            unknown_provider(file, providers, check);
            continue;
        };
        let Some(named) = providers.get(position) else { continue };
        let upstream = upstream(file, model.id.get_ref(), named, check);
        serves(file, named, capabilities, check);
        let weight = bounded(file.weight.as_ref(), 1..=1000, "weight", check).unwrap_or(1);
        let known = named.known.and_then(|preset| preset.model(&upstream).map(|model| (preset, model)));
        let written = file.price.as_ref().and_then(|price| price.checked(check));
        let catalogued = known.and_then(|(preset, model)| model.price(&preset.currency));
        let price = written.or_else(|| model_price.cloned()).or(catalogued);
        if let Some(price) = &price {
            let first = currency.get_or_insert_with(|| price.currency.clone());
            if *first != price.currency {
                let span = file.price.as_ref().map_or_else(|| file.provider.span(), |price| price.span());
                check.problem(
                    span,
                    format!(
                        "prices of one model are compared, and these are in {first} and {}: write one currency",
                        price.currency
                    ),
                );
            }
        }
        let written = bounded(file.max_output_tokens.as_ref(), 1..=100_000_000, "max_output_tokens", check);
        let max_output_tokens = written.or_else(|| known.and_then(|(_, model)| model.max_output_tokens));
        let price = price.and_then(|price| price.together());
        routes.push(Route { provider: position, model: upstream, weight, price, max_output_tokens });
    }
    routes
}

fn unknown_provider(file: &FileRoute, providers: &[Named], check: &mut Check<'_>) {
    let known: Vec<String> = providers.iter().map(|named| format!("\"{}\"", named.id)).collect();
    let known =
        if known.is_empty() { "add a [[provider]] with this id".to_owned() } else { format!("write {}", known.join(" or ")) };
    check.problem(file.provider.span(), format!("there is no provider \"{}\": {known}", file.provider.get_ref()));
}

/// The provider's name of the model.
fn upstream(file: &FileRoute, id: &str, named: &Named, check: &mut Check<'_>) -> String {
    let span = file.model.as_ref().map_or_else(|| file.provider.span(), Spanned::span);
    let model = file.model.as_ref().map_or(id, |model| model.get_ref());
    if model.is_empty() || model.len() > 256 || model.chars().any(char::is_control) {
        check.problem(span, "the provider's name of the model is 1 to 256 characters without control characters");
    } else if model.contains('*') && (!id.contains('*') || model.matches('*').count() > 1) {
        check.problem(span, "a * stands for what the model's id has in that place: write one *, and id = \"openai/*\"");
    } else if model.contains('*') && named.known.is_some_and(Preset::refuses_wildcards) {
        check.problem(
            span,
            "behind this provider are models that are computed elsewhere, and a wildcard would reach them: write one [[model]] for each",
        );
    } else if let Some(preset) = named.known.filter(|preset| preset.never(model)) {
        check.problem(
            span,
            format!(
                "this provider keeps what this model is sent, whatever was agreed ({}): leave this route out",
                preset.terms.source
            ),
        );
    }
    model.to_owned()
}

/// A model cannot be asked for what none of its provider's formats can say.
fn serves(file: &FileRoute, named: &Named, capabilities: &[Capability], check: &mut Check<'_>) {
    let Some(provider) = &named.provider else { return };
    for capability in capabilities {
        if !provider.rules.apis.iter().any(|rules| rules.api.capability() == *capability) {
            check.problem(
                file.provider.span(),
                format!(
                    "provider \"{}\" (preset \"{}\") has no way to be asked for {}: leave this route or that operation out",
                    named.id,
                    provider.preset,
                    capability.name()
                ),
            );
        }
    }
}
