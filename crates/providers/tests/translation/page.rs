//! The tables of docs/translation.md, made from what the files hold.

use std::fmt::Write;
use std::path::PathBuf;

use lethe_types::Api;
use serde_json::Value;

use crate::golden::{self, Case, Kind};
use crate::{CLIENTS, PROVIDERS};

const START: &str =
    "<!-- Made from crates/providers/tests/translation: LETHE_BLESS=1 cargo test -p lethe-providers --test translation -->\n";
const END: &str = "<!-- End of what is made. -->\n";

const fn title(api: Api) -> &'static str {
    match api {
        Api::Chat => "chat completions",
        Api::CohereChat => "Cohere",
        Api::CohereEmbed => "Cohere",
        Api::Converse => "Converse",
        Api::CountMessageTokens => "Anthropic",
        Api::CountTokens => "Gemini",
        Api::EmbedContent => "Gemini",
        Api::Embeddings => "OpenAI",
        Api::GenerateContent => "generateContent",
        Api::Messages => "messages",
        Api::OllamaChat | Api::OllamaEmbed => "Ollama",
        Api::Responses => "responses",
        Api::VertexEmbed => "Vertex AI",
        _ => panic!("not translated"),
    }
}

/// A case as a row is called.
fn label(case: &str) -> String {
    case.replace('_', " ")
}

fn head(first: &str, columns: &[Api], out: &mut String) {
    let titles: Vec<&str> = columns.iter().map(|api| title(*api)).collect();
    writeln!(out, "| {first} | {} |\n|---{}|", titles.join(" | "), "|:-:".repeat(columns.len())).unwrap();
}

/// What a case is about where it may be left out on purpose: words of which one is in every translation that keeps it.
const MARKS: [(&str, &[&str]); 6] = [
    ("cache", &["ephemeral", "cachePoint"]),
    ("cache_everywhere", &["ephemeral", "cachePoint"]),
    ("strict", &["\"strict\":true", "\"strict_tools\":true", "VALIDATED"]),
    ("thoughts", &["Hm."]),
    ("thoughts_encrypted", &["ZW5j"]),
    ("thoughts_unsigned", &["Hm."]),
];

/// What became of a request, in a word.
fn in_a_word(case: &Case, became: &Value) -> String {
    let text = became.to_string();
    match (refused(became), MARKS.iter().find(|(marked, _)| *marked == case.case)) {
        (Some(field), _) => format!("`{field}`"),
        (None, Some((_, marks))) if !marks.iter().any(|mark| text.contains(mark)) => "left out".to_owned(),
        (None, _) => "✓".to_owned(),
    }
}

/// The field for which `became` is refused.
fn refused(became: &Value) -> Option<&str> {
    became.get("refused").map(|field| field.as_str().unwrap())
}

/// Requests of one client's format: what each provider's can say.
fn requests(kind: Kind, client: Api, cases: &[(Case, Value)], out: &mut String) {
    let columns: Vec<Api> = kind.others().iter().copied().filter(|provider| *provider != client).collect();
    head("request", &columns, out);
    for (case, became) in cases.iter().filter(|(case, _)| case.api == client) {
        let cells = columns.iter().map(|provider| in_a_word(case, &became[provider.name()]));
        writeln!(out, "| {} | {} |", label(&case.case), cells.collect::<Vec<_>>().join(" | ")).unwrap();
    }
    out.push('\n');
}

/// Answers of every provider's format: ✓ where each other client gets them, the client's format where it is told of an error instead.
fn answers(kind: Kind, cases: &[(Case, Value)], out: &mut String) {
    head(if kind == Kind::Stream { "stream" } else { "answer" }, &PROVIDERS, out);
    let mut rows: Vec<&str> = cases.iter().map(|(case, _)| case.case.as_str()).collect();
    rows.sort_unstable();
    rows.dedup();
    for row in rows {
        let cells = PROVIDERS.iter().map(|provider| {
            let Some((_, became)) = cases.iter().find(|(case, _)| case.api == *provider && case.case == row) else {
                return "—".to_owned();
            };
            let failed: Vec<&str> =
                CLIENTS.iter().filter(|client| refused(&became[client.name()]).is_some()).map(|client| title(*client)).collect();
            if failed.is_empty() { "✓".to_owned() } else { format!("not {}", failed.join(", ")) }
        });
        writeln!(out, "| {} | {} |", label(row), cells.collect::<Vec<_>>().join(" | ")).unwrap();
    }
    out.push('\n');
}

fn made() -> String {
    let cases_of = |kind| -> Vec<(Case, Value)> {
        golden::cases(kind).into_iter().map(|case| (crate::outcome(&case), case)).map(|(became, case)| (case, became)).collect()
    };
    let mut out = String::from(START);
    out.push('\n');
    let cases = cases_of(Kind::Request);
    for client in CLIENTS {
        writeln!(out, "### From {}\n", title(client)).unwrap();
        requests(Kind::Request, client, &cases, &mut out);
    }
    out.push_str("### Answers, to every client\n\n");
    answers(Kind::Answer, &cases_of(Kind::Answer), &mut out);
    answers(Kind::Stream, &cases_of(Kind::Stream), &mut out);
    for (kind, title_of) in [(Kind::EmbedRequest, "Embeddings"), (Kind::CountRequest, "Counting tokens")] {
        let cases = cases_of(kind);
        for client in kind.formats() {
            writeln!(out, "### {title_of}, from {}\n", title(*client)).unwrap();
            requests(kind, *client, &cases, &mut out);
        }
    }
    out.push_str(END);
    out
}

#[test]
fn the_page_says_what_the_files_say() {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs/translation.md");
    let page = std::fs::read_to_string(&path).unwrap();
    let (before, rest) = page.split_once(START).unwrap();
    let (_, after) = rest.split_once(END).unwrap();
    let expected = [before, &made(), after].concat();
    if golden::blesses() {
        std::fs::write(&path, &expected).unwrap();
    } else {
        assert_eq!(page, expected);
    }
    assert!(made().matches("✓").count() > 300 && made().contains("`top_k`"), "there is something to say");
}
