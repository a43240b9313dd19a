//! Azure OpenAI, after its reference (<https://learn.microsoft.com/azure/ai-foundry/openai/reference>): OpenAI's bodies below
//! `/openai/deployments/NAME/…?api-version=DATE` and `/openai/v1/…`. A stream begins with a chunk without choices that says what the
//! filters found in the prompt.
//!
//! Key: `api-key: KEY`, or `authorization: Bearer TOKEN`. Errors: `{"error": {code, message, …}}`.

use serde_json::{Value, json};

use super::deliver::{Answer, Body, data};
use super::{Seen, embeddings, openai, responses};

/// Answers what stands below `/openai/`; also the model.
pub(super) fn method<'a>(rest: &'a str, seen: &'a Seen, reply: &str) -> (Answer, &'a str) {
    let mut body = seen.body.clone();
    let (operation, model) = match rest.strip_prefix("deployments/").and_then(|rest| rest.split_once('/')) {
        Some((deployment, operation)) => {
            // The deployment says the model.
            if body.is_object() {
                body["model"] = json!(deployment);
            }
            (operation, deployment)
        }
        None => (rest.strip_prefix("v1/").unwrap_or_default(), seen.body["model"].as_str().unwrap_or_default()),
    };
    let dated = seen.query().split('&').any(|pair| pair.strip_prefix("api-version=").is_some_and(|date| !date.is_empty()));
    let bearer = seen.header("authorization").and_then(|value| value.strip_prefix("Bearer "));
    let answer = match seen.header("api-key").or(bearer) {
        None | Some("") => error(401, "401", "Access denied due to missing subscription key."),
        Some(key) if key.contains("wrong") => {
            error(401, "401", "Access denied due to invalid subscription key or wrong API endpoint.")
        }
        Some(_) if rest.starts_with("deployments/") && !dated => error(404, "404", "Resource not found"),
        Some(_) => match operation {
            "chat/completions" => filtered(openai::chat(&body, reply)),
            "embeddings" => embeddings::embeddings(&body),
            "responses" => responses::responses(&body, reply),
            _ => error(404, "DeploymentNotFound", "The API deployment for this resource does not exist."),
        },
    };
    (answer, model)
}

fn error(status: u16, code: &str, message: &str) -> Answer {
    Answer::json(status, &json!({"error": {"code": code, "message": message}}))
}

fn filtered(mut answer: Answer) -> Answer {
    let safe = json!({"filtered": false, "severity": "safe"});
    let found = json!([{"prompt_index": 0, "content_filter_results": {"hate": safe, "self_harm": safe, "sexual": safe, "violence": safe}}]);
    match &mut answer.body {
        Body::Stream(stream) => {
            let first = json!({"choices": [], "created": 0, "id": "", "model": "", "object": "", "prompt_filter_results": found});
            stream.events.insert(0, data(&first));
        }
        Body::Whole(body) => {
            if answer.status == 200
                && let Ok(mut value) = serde_json::from_slice::<Value>(body)
            {
                value["prompt_filter_results"] = found;
                *body = value.to_string().into_bytes();
            }
        }
    }
    answer
}
