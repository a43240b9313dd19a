//! `docs/providers.md` says what the presets say.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::{fmt::Write, path::Path};

use lethe_config::preset::{PRESETS, Preset};
use lethe_policy::Dialect;

const BEGIN: &str = "<!-- from the presets: begin -->\n";
const END: &str = "<!-- from the presets: end -->";

/// How the server is shown who is asking.
const fn key(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::Anthropic => "`x-api-key`",
        Dialect::AzureOpenai => "`api-key`",
        Dialect::Bedrock => "bearer token, or Signature Version 4",
        Dialect::Gemini => "`x-goog-api-key`",
        Dialect::Ollama => "none",
        Dialect::Cohere | Dialect::Mistral | Dialect::Openai | Dialect::Vertex => "bearer token",
    }
}

fn row(name: &str, preset: &Preset) -> String {
    let formats: Vec<&str> = preset.api.keys().map(|api| api.name()).collect();
    let models = match (preset.models.len(), preset.wildcard) {
        (0, true) => format!("`{name}/*`"),
        (0, false) => "named by you".to_owned(),
        (count, _) => format!("{count}, and `{name}/*`"),
    };
    let never = preset.terms.never_models.iter().map(|model| format!("`{model}`")).collect::<Vec<_>>().join(", ");
    let never = if never.is_empty() { String::new() } else { format!("; never {never}") };
    format!(
        "| `{name}` | [{}]({}) | {} | {} | {} | [{}]({}): {}{never} |\n",
        preset.name,
        preset.docs,
        key(preset.dialect),
        formats.join(", "),
        models,
        preset.terms.zero.name(),
        preset.terms.source,
        preset.terms.how,
    )
}

fn table() -> String {
    let mut table = String::from("| preset | provider | key | formats | models | zero retention |\n|---|---|---|---|---|---|\n");
    PRESETS.iter().for_each(|(name, preset)| table.push_str(&row(name, preset)));
    table.push_str(
        "\n| preset | set on every request | renamed | left out | kept, so refused | thoughts go back in | ids of calls |\n",
    );
    table.push_str("|---|---|---|---|---|---|---|\n");
    for (name, preset) in PRESETS.iter() {
        let mut cells = [const { Vec::new() }; 5];
        for (api, rules) in &preset.api {
            let said = |field: String| format!("`{field}` ({})", api.name());
            let [forced, renamed, stripped, thoughts, ids] = &mut cells;
            forced.extend(rules.force.iter().map(|(field, value)| said(format!("{field} = {value}"))));
            renamed.extend(rules.rename.iter().map(|(from, to)| said(format!("{from} → {to}"))));
            stripped.extend(rules.strip.iter().map(|field| said(field.clone())));
            thoughts.extend(rules.thoughts.iter().map(|field| said(field.clone())));
            ids.extend(rules.short_call_ids.then(|| format!("nine letters or digits ({})", api.name())));
        }
        let kept: Vec<String> = preset.retains.keys().map(|field| format!("`{field}`")).collect();
        if cells.iter().all(Vec::is_empty) && kept.is_empty() {
            continue;
        }
        let [forced, renamed, stripped, thoughts, ids] = cells.map(|cell| cell.join(", "));
        let _ = writeln!(table, "| `{name}` | {forced} | {renamed} | {stripped} | {} | {thoughts} | {ids} |", kept.join(", "));
    }
    table
}

/// `LETHE_BLESS=1` writes the page anew.
#[test]
fn the_page_says_what_the_presets_say() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/providers.md");
    let page = std::fs::read_to_string(&path).unwrap();
    let (head, rest) = page.split_once(BEGIN).unwrap();
    let (found, tail) = rest.split_once(END).unwrap();
    let table = table();
    if std::env::var_os("LETHE_BLESS").is_some() {
        std::fs::write(&path, format!("{head}{BEGIN}{table}{END}{tail}")).unwrap();
        return;
    }
    assert!(found == table, "docs/providers.md is stale: run this test with LETHE_BLESS=1");
    assert!(found.contains("| `openrouter` |") && found.lines().count() > 30);
}
