//! Translations between every client's and every provider's format, as files: `golden/<kind>/<format>/<case>.in.json` is what comes in,
//! `<case>.out.json` what becomes of it in each format of the other side, or the field for which it is refused.
//!
//! Requests stand under the client's format; answers, streams and errors under the provider's. With `LETHE_BLESS=1` what comes out is written instead of
//! compared: read it before it is committed.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a failed test")]

#[path = "../frames/mod.rs"]
mod frames;
mod golden;
mod meaning;
mod page;
mod translate;

use golden::{Case, Kind};
use lethe_types::Api;
use serde_json::{Map, Value, json};

/// Formats of clients who go on with a conversation, in the order of the documents.
pub(crate) const CLIENTS: [Api; 4] = [Api::Chat, Api::Responses, Api::Messages, Api::GenerateContent];

/// Formats that providers are asked in to go on with a conversation.
pub(crate) const PROVIDERS: [Api; 7] =
    [Api::Chat, Api::Responses, Api::Messages, Api::GenerateContent, Api::Converse, Api::CohereChat, Api::OllamaChat];

/// What becomes of `case` in each format of the other side but its own.
fn outcome(case: &Case) -> Value {
    let others = case.kind.others();
    let became = others.iter().filter(|other| **other != case.api).map(|other| {
        let became = translate::translated(case, *other).unwrap_or_else(|field| json!({"refused": field}));
        (other.name().to_owned(), became)
    });
    Value::Object(became.collect::<Map<_, _>>())
}

#[test]
fn translations_are_as_they_were_read_and_approved() {
    for kind in Kind::ALL {
        let cases = golden::cases(kind);
        let formats: Vec<Api> = kind.formats().to_vec();
        assert!(formats.iter().all(|api| cases.iter().any(|case| case.api == *api)), "each format has cases of {kind:?}");
        for case in cases {
            golden::compare(&case, &outcome(&case));
        }
    }
}

/// Read and written again in its own format, a request is what it was, but for the model.
#[test]
fn a_request_is_written_as_it_was_read() {
    let mut changed = Vec::new();
    for kind in [Kind::Request, Kind::EmbedRequest, Kind::CountRequest] {
        for case in golden::cases(kind) {
            let Ok(written) = translate::translated(&case, case.api) else {
                // What no other format has is not put back where it stood: a request in the provider's own format passes as it is.
                let became_of_it = outcome(&case);
                let refused = |became: &Value| became.get("refused").is_some();
                assert!(became_of_it.as_object().unwrap().values().all(refused), "{} can be written", case.name());
                continue;
            };
            let mut expected = case.input.clone();
            translate::rename(&mut expected, translate::model(case.api));
            if written != expected {
                changed.push(format!("{}\n{written}\n{expected}", case.name()));
            }
        }
    }
    assert!(changed.is_empty(), "written, and expected:\n{}", changed.join("\n"));
}
