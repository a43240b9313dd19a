//! A description for a person.

use std::path::Path;

use comfy_table::{Table, presets::NOTHING};

use super::{
    compare::Changes,
    describe::{DescribedModel, DescribedRoute, Description},
};
use crate::say;

pub(crate) fn description(file: &Path, does: &Description) {
    let gateway = &does.gateway;
    say::line(&format!("{}: good, {} providers, {} models", file.display(), does.providers.len(), does.models.len()));
    say::line(&format!(
        "\nlistens on {} (clients; TLS: {}), {} (probes), {} (console)",
        gateway.listen, gateway.tls, gateway.probes, gateway.console
    ));
    if gateway.engine {
        say::line("the embedded engine serves its own model");
    }
    if !does.providers.is_empty() {
        say::line("");
        say::table(&providers(does));
    }
    for model in &does.models {
        say::line("");
        self::model(model).iter().for_each(|line| say::line(line));
    }
}

fn providers(does: &Description) -> Table {
    let mut table = Table::new();
    table.load_preset(NOTHING).set_header(["PROVIDER", "PRESET", "DIALECT", "REGION", "TERMS", "REVIEW DUE", "ADDRESS"]);
    for provider in &does.providers {
        table.add_row([
            provider.id.as_str(),
            &provider.preset,
            &provider.dialect,
            provider.region.as_deref().unwrap_or("-"),
            &provider.terms,
            provider.review_due.as_deref().unwrap_or("-"),
            &provider.address,
        ]);
    }
    table
}

fn model(model: &DescribedModel) -> Vec<String> {
    let strategy = if model.routes.len() > 1 { format!(", {}", model.strategy) } else { String::new() };
    let mut lines = vec![format!("{}: {}{strategy}", model.id, model.operations.join(", "))];
    for route in &model.routes {
        lines.push(format!("  {}", self::route(route)));
        if !route.passes.is_empty() {
            lines.push(format!("    passes as it is: {}", route.passes.join(", ")));
        }
        if !route.translated.is_empty() {
            lines.push(format!("    translated: {}", translated(&route.translated)));
        }
    }
    if let Some(why) = &model.refused {
        lines.push(format!("  refused, {why}"));
    }
    lines
}

fn route(route: &DescribedRoute) -> String {
    let refused = route.refused.as_ref().map(|why| format!(" (does not serve, {why})")).unwrap_or_default();
    format!("{} → {}, weight {}{refused}", route.provider, route.model, route.weight)
}

/// `messages, generate_content → chat`
fn translated(pairs: &[(String, String)]) -> String {
    let mut groups: Vec<(&str, Vec<&str>)> = Vec::new();
    for (from, to) in pairs {
        match groups.iter_mut().find(|(target, _)| target == to) {
            Some((_, formats)) => formats.push(from),
            None => groups.push((to, vec![from])),
        }
    }
    groups.iter().map(|(to, formats)| format!("{} → {to}", formats.join(", "))).collect::<Vec<_>>().join("; ")
}

pub(crate) fn changes(state: &Path, changes: &Changes) {
    say::line("");
    if changes.is_empty() {
        say::line(&format!("the Lethe on {} does the same (credentials are not compared)", state.display()));
        return;
    }
    if !changes.reloaded.is_empty() {
        say::line(&format!("`lethe reload` on {} would change:", state.display()));
        changes.reloaded.iter().for_each(|change| say::line(&format!("  {change}")));
    }
    if !changes.restart.is_empty() {
        say::line("what a reload refuses to change, since it is part of how Lethe was started:");
        changes.restart.iter().for_each(|change| say::line(&format!("  {change}")));
    }
}

#[cfg(test)]
mod tests {
    use super::translated;

    #[test]
    fn translations_are_grouped_by_target() {
        let pair = |from: &str, to: &str| (from.to_owned(), to.to_owned());
        let pairs = [pair("generate_content", "chat"), pair("embed_content", "embeddings"), pair("messages", "chat")];
        assert_eq!(translated(&pairs), "generate_content, messages → chat; embed_content → embeddings");
    }
}
