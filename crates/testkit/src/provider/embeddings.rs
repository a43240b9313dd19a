//! OpenAI embeddings, moderations and legacy completions, after its API reference
//! (<https://platform.openai.com/docs/api-reference/embeddings/create>, `/moderations/create`, `/completions/create`).

use serde_json::{Value, json};

use super::deliver::{Answer, Stream, data};
use super::openai::{faulty, list, refusal, texts};
use super::script::{self, Asked, Finish, Turn};
use super::shape::{Shape, check, may, must};

const MAYBE_NUMBER: Shape = Shape::Nullable(&Shape::Number);
const MAYBE_INT: Shape = Shape::Nullable(&Shape::Int);
const TOKENS: Shape = Shape::List(&Shape::Either(&[Shape::Text, Shape::Int, Shape::List(&Shape::Int)]));
const EMBED: Shape = Shape::Fields(&[
    must("input", Shape::Either(&[Shape::Text, TOKENS])),
    must("model", Shape::Text),
    may("dimensions", Shape::Int),
    may("encoding_format", Shape::Word(&["float", "base64"])),
    may("user", Shape::Text),
]);
const MODERATE: Shape = Shape::Fields(&[
    must(
        "input",
        Shape::Either(&[
            Shape::Text,
            Shape::List(&Shape::Either(&[
                Shape::Text,
                Shape::Tagged(
                    "type",
                    &[
                        ("text", &[must("text", Shape::Text)]),
                        ("image_url", &[must("image_url", Shape::Fields(&[must("url", Shape::Text)]))]),
                    ],
                ),
            ])),
        ]),
    ),
    may("model", Shape::Text),
]);
const COMPLETE: Shape = Shape::Fields(&[
    must("model", Shape::Text),
    must("prompt", Shape::Nullable(&Shape::Either(&[Shape::Text, TOKENS]))),
    may("best_of", MAYBE_INT),
    may("echo", Shape::Nullable(&Shape::Bool)),
    may("frequency_penalty", MAYBE_NUMBER),
    may("logit_bias", Shape::Nullable(&Shape::Object)),
    may("logprobs", MAYBE_INT),
    may("max_tokens", MAYBE_INT),
    may("n", MAYBE_INT),
    may("presence_penalty", MAYBE_NUMBER),
    may("seed", MAYBE_INT),
    may("stop", Shape::Nullable(&Shape::Either(&[Shape::Text, Shape::List(&Shape::Text)]))),
    may("stream", Shape::Nullable(&Shape::Bool)),
    may(
        "stream_options",
        Shape::Nullable(&Shape::Fields(&[may("include_obfuscation", Shape::Bool), may("include_usage", Shape::Bool)])),
    ),
    may("suffix", Shape::Nullable(&Shape::Text)),
    may("temperature", MAYBE_NUMBER),
    may("top_p", MAYBE_NUMBER),
    may("user", Shape::Text),
]);

pub(super) fn embeddings(body: &Value) -> Answer {
    if let Err(fault) = check(&EMBED, body) {
        return faulty(&fault);
    }
    let asked = Asked { model: text(&body["model"]), prompt: text(&body["input"]), ..Asked::default() };
    if let Err(refused) = script::play(&asked, "") {
        return refusal(&refused);
    }
    let vector = script::vector(body["dimensions"].as_u64());
    let vector = if body["encoding_format"] == "base64" { json!(base64(&vector)) } else { json!(vector) };
    // A list of numbers is one text in tokens.
    let count = body["input"].as_array().filter(|list| !list.iter().any(Value::is_number)).map_or(1, Vec::len);
    let each = |index: usize| json!({"object": "embedding", "index": index, "embedding": vector});
    let data: Vec<_> = (0..count).map(each).collect();
    Answer::json(
        200,
        &json!({"object": "list", "data": data, "model": body["model"], "usage": {"prompt_tokens": 8, "total_tokens": 8}}),
    )
}

/// Floats of 32 bits, little-endian.
pub(super) fn base64(vector: &[f32]) -> String {
    let bytes: Vec<u8> = vector.iter().flat_map(|number| number.to_le_bytes()).collect();
    data_encoding::BASE64.encode(&bytes)
}

pub(super) fn moderations(body: &Value) -> Answer {
    if let Err(fault) = check(&MODERATE, body) {
        return faulty(&fault);
    }
    const CATEGORIES: &[&str] = &[
        "harassment",
        "harassment/threatening",
        "hate",
        "hate/threatening",
        "illicit",
        "illicit/violent",
        "self-harm",
        "self-harm/instructions",
        "self-harm/intent",
        "sexual",
        "sexual/minors",
        "violence",
        "violence/graphic",
    ];
    let result = |input: &Value| {
        let flagged = input.to_string().contains("violence");
        let mut result = json!({"flagged": flagged, "categories": {}, "category_scores": {}, "category_applied_input_types": {}});
        for category in CATEGORIES {
            let found = flagged && *category == "violence";
            result["categories"][category] = json!(found);
            result["category_scores"][category] = json!(if found { 0.9 } else { 0.01 });
            result["category_applied_input_types"][category] = json!(["text"]);
        }
        result
    };
    let parts = body["input"].as_array().filter(|list| list.iter().all(Value::is_string));
    let results: Vec<_> = parts.map_or_else(|| vec![result(&body["input"])], |texts| texts.iter().map(result).collect());
    let model = if body["model"].is_null() { json!("omni-moderation-latest") } else { body["model"].clone() };
    Answer::json(200, &json!({"id": "modr-scripted", "model": model, "results": results}))
}

pub(super) fn completions(body: &Value, reply: &str) -> Answer {
    if let Err(fault) = check(&COMPLETE, body) {
        return faulty(&fault);
    }
    let (prompt, stops) = (texts(&body["prompt"]), list(&body["stop"]));
    let asked = Asked { model: text(&body["model"]), prompt, stops, ..Asked::default() };
    let turn = match script::play(&asked, reply) {
        Ok(turn) => turn,
        Err(refused) => return refusal(&refused),
    };
    let choice = |text: &str, reason: Value| json!([{"text": text, "index": 0, "logprobs": null, "finish_reason": reason}]);
    let reason = json!(if turn.finish == Finish::Length { "length" } else { "stop" });
    let usage = json!({"prompt_tokens": script::INPUT_TOKENS, "completion_tokens": script::OUTPUT_TOKENS,
        "total_tokens": script::INPUT_TOKENS + script::OUTPUT_TOKENS});
    let whole = |choices: Value| {
        json!({"id": "cmpl-scripted", "object": "text_completion", "created": 1_700_000_000, "model": body["model"],
            "system_fingerprint": "fp_scripted", "choices": choices})
    };
    let said = turn.text.unwrap_or_default();
    if body["stream"] != true {
        let mut answer = whole(choice(&said, reason));
        answer["usage"] = usage;
        return Answer::json(200, &answer);
    }
    let (first, rest) = Turn::halves(&said);
    let mut events = vec![data(&whole(choice(first, Value::Null))), data(&whole(choice(rest, Value::Null)))];
    events.push(data(&whole(choice("", reason))));
    if body["stream_options"]["include_usage"] == true {
        let mut last = whole(json!([]));
        last["usage"] = usage;
        events.push(data(&last));
    }
    let failure =
        data(&json!({"error": {"message": "The server had an error.", "type": "server_error", "param": null, "code": null}}));
    Answer::events(Stream { events, done: Some(b"data: [DONE]\n\n".to_vec()), failure })
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
