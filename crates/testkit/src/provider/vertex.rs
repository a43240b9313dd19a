//! Vertex AI: Gemini's bodies (<https://cloud.google.com/vertex-ai/generative-ai/docs/model-reference/inference>) and Anthropic's
//! (<https://docs.anthropic.com/en/api/claude-on-vertex-ai>: the model stands in the path, and `anthropic_version` in the body), and
//! embeddings by `predict` (<https://cloud.google.com/vertex-ai/generative-ai/docs/model-reference/text-embeddings-api>).
//!
//! Key: `authorization: Bearer TOKEN`. Errors as Gemini's, from Anthropic's models as Anthropic's.

use serde_json::{Value, json};

use super::deliver::Answer;
use super::shape::{Shape, check, may, must};
use super::{Seen, anthropic, gemini, script};

const TASKS: &[&str] = &[
    "CLASSIFICATION",
    "CLUSTERING",
    "CODE_RETRIEVAL_QUERY",
    "FACT_VERIFICATION",
    "QUESTION_ANSWERING",
    "RETRIEVAL_DOCUMENT",
    "RETRIEVAL_QUERY",
    "SEMANTIC_SIMILARITY",
];
const PREDICT: Shape = Shape::Fields(&[
    must(
        "instances",
        Shape::List(&Shape::Fields(&[
            must("content", Shape::Text),
            may("task_type", Shape::Word(TASKS)),
            may("title", Shape::Text),
        ])),
    ),
    may("parameters", Shape::Fields(&[may("autoTruncate", Shape::Bool), may("outputDimensionality", Shape::Int)])),
]);

/// Answers what stands below `/v1/projects/`; also the model. `None` if it is no model's method.
pub(super) fn method<'a>(rest: &'a str, seen: &'a Seen, reply: &str) -> Option<(Answer, &'a str)> {
    let (place, rest) = rest.split_once("/publishers/")?;
    let (publisher, rest) = rest.split_once("/models/")?;
    let (model, method) = rest.split_once(':')?;
    if !place.contains("/locations/") {
        return None;
    }
    let token = seen.header("authorization").and_then(|value| value.strip_prefix("Bearer "));
    let answer = match token {
        None => gemini::error(401, "Request is missing required authentication credential.", None),
        Some(token) if token.is_empty() || token.contains("wrong") => {
            gemini::error(401, "Request had invalid authentication credentials.", None)
        }
        Some(_) => match (publisher, method) {
            ("anthropic", "rawPredict" | "streamRawPredict") => claude(model, method == "streamRawPredict", seen, reply),
            ("google", "predict") => predict(model, seen),
            ("google", _) => gemini::method(model, method, seen, reply),
            _ => gemini::error(404, "Publisher model was not found.", None),
        },
    };
    Some((answer, model))
}

fn claude(model: &str, stream: bool, seen: &Seen, reply: &str) -> Answer {
    let mut body = seen.body.clone();
    let Some(fields) = body.as_object_mut() else { return gemini::error(400, "Invalid JSON payload received.", None) };
    let version = fields.remove("anthropic_version");
    // Since the version of 2026-10-21 it has no prefix any more.
    let version = match version.as_ref().and_then(Value::as_str) {
        Some("vertex-2023-10-16") => "",
        Some(anthropic::NEW) => anthropic::NEW,
        _ => return gemini::error(400, "anthropic_version: Field required", None),
    };
    if model == "count-tokens" {
        return anthropic::count(version, &body);
    }
    if fields.contains_key("model") || (fields.get("stream") == Some(&json!(true))) != stream {
        return gemini::error(400, "no model, and stream as the method says", None);
    }
    fields.insert("model".into(), json!(model));
    anthropic::messages(version, &body, reply)
}

fn predict(model: &str, seen: &Seen) -> Answer {
    if let Err(fault) = check(&PREDICT, &seen.body) {
        return gemini::faulty(&fault);
    }
    let vector = script::vector(seen.body["parameters"]["outputDimensionality"].as_u64());
    let one = json!({"embeddings": {"values": vector, "statistics": {"truncated": false, "token_count": 4}}});
    let count = seen.body["instances"].as_array().map_or(0, Vec::len);
    if model == "gemini-embedding-001" && count > 1 {
        return gemini::error(400, "This model takes one instance a request.", None);
    }
    Answer::json(200, &json!({"predictions": vec![one; count], "metadata": {"billableCharacterCount": 8}}))
}
