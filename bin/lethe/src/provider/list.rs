//! `lethe provider list`.

use lethe_config::Config;
use serde_json::json;

use super::{routed, standing};
use crate::{failure::Failure, say};

pub(crate) fn run(config: &Config, json: bool) -> Result<(), Failure> {
    let mut table = comfy_table::Table::new();
    table.load_preset(comfy_table::presets::NOTHING).set_header(["ID", "DIALECT", "TERMS", "REVIEW DUE", "MODELS"]);
    for (position, provider) in config.providers.iter().enumerate() {
        let dialect = provider.dialect.name();
        let standing = standing(provider).name();
        let due = provider.terms.as_ref().map(|terms| terms.terms.review_due);
        let models: Vec<&str> = routed(config, position).map(|(model, _)| model.id.as_str()).collect();
        if json {
            let line = json!({
                "id": provider.id, "dialect": dialect, "terms": standing, "review_due_ms": due, "models": models,
            });
            say::line(&line.to_string());
        } else {
            let due = due.and_then(|due| i64::try_from(due).ok()).map_or_else(|| "-".to_owned(), day);
            table.add_row([&provider.id, dialect, standing, &due, &models.join(", ")]);
        }
    }
    if !json {
        if table.is_empty() { say::line("no provider is configured: the embedded engine serves") } else { say::table(&table) }
    }
    Ok(())
}

/// The day of a time in milliseconds since the epoch, UTC.
fn day(millis: i64) -> String {
    jiff::Timestamp::from_millisecond(millis).map_or_else(|_| "-".to_owned(), |time| time.strftime("%Y-%m-%d").to_string())
}
