//! Gemini generateContent, streamGenerateContent, countTokens, embedContent and batchEmbedContents, after the API reference
//! (<https://ai.google.dev/api/generate-content>, `/api/tokens`, `/api/embeddings`), its page on thought signatures
//! (<https://ai.google.dev/gemini-api/docs/thought-signatures>) and what its own Python library (`models.py`) sends and reads.
//! A field may be written in snake case too, and base64 with the letters of URLs, as everywhere in JSON of protocol buffers
//! (<https://protobuf.dev/programming-guides/json/>).
//!
//! Key: `x-goog-api-key: KEY`; one in the query is refused, since addresses get into logs. Errors: `{"error": {code, message, status}}`.

use serde_json::{Map, Value, json};

use super::Seen;
use super::deliver::{Answer, Body, Stream, data};
use super::script::{self, Asked, Choice, Finish, Media, Output, Refused, Tool, Turn};
use super::shape::{Fault, Field, Shape, What, check, may, must};

const BLOB: Shape = Shape::Fields(&[must("data", Shape::Text), must("mimeType", Shape::Text), may("displayName", Shape::Text)]);
const CALL: Shape = Shape::Fields(&[must("name", Shape::Text), may("args", Shape::Object), may("id", Shape::Text)]);
const RESPONSE: Shape = Shape::Fields(&[
    must("name", Shape::Text),
    must("response", Shape::Object),
    may("id", Shape::Text),
    may("parts", Shape::List(&Shape::Fields(&[may("inlineData", BLOB)]))),
    may("scheduling", Shape::Text),
    may("willContinue", Shape::Bool),
]);
const PART: Shape = Shape::Fields(&[
    may("fileData", Shape::Fields(&[must("fileUri", Shape::Text), may("mimeType", Shape::Text)])),
    may("functionCall", CALL),
    may("functionResponse", RESPONSE),
    may("inlineData", BLOB),
    may("text", Shape::Text),
    may("thought", Shape::Bool),
    may("thoughtSignature", Shape::Text),
    may("mediaResolution", Shape::Object),
    may("videoMetadata", Shape::Object),
]);
const CONTENT: Shape = Shape::Fields(&[must("parts", Shape::List(&PART)), may("role", Shape::Word(&["user", "model"]))]);
/// Not a JSON schema, but a part of one (<https://ai.google.dev/api/caching#Schema>).
static SCHEMA: Shape = Shape::Fields(&[
    may("anyOf", Shape::List(&SCHEMA)),
    may("default", Shape::Any),
    may("description", Shape::Text),
    may("enum", Shape::List(&Shape::Text)),
    may("example", Shape::Any),
    may("format", Shape::Text),
    may("items", Shape::Nullable(&SCHEMA)),
    may("maxItems", Shape::Any),
    may("maxLength", Shape::Any),
    may("maxProperties", Shape::Any),
    may("maximum", Shape::Number),
    may("minItems", Shape::Any),
    may("minLength", Shape::Any),
    may("minProperties", Shape::Any),
    may("minimum", Shape::Number),
    may("nullable", Shape::Bool),
    may("pattern", Shape::Text),
    may("properties", Shape::Map(&SCHEMA)),
    may("propertyOrdering", Shape::List(&Shape::Text)),
    may("required", Shape::List(&Shape::Text)),
    may("title", Shape::Text),
    must("type", Shape::Text),
]);
static CONFIG: Shape = Shape::Fields(&[
    may("candidateCount", Shape::Int),
    may("enableEnhancedCivicAnswers", Shape::Bool),
    may("frequencyPenalty", Shape::Number),
    may("imageConfig", Shape::Object),
    may("logprobs", Shape::Int),
    may("maxOutputTokens", Shape::Int),
    may("mediaResolution", Shape::Text),
    may("presencePenalty", Shape::Number),
    may("responseJsonSchema", Shape::Object),
    may("responseLogprobs", Shape::Bool),
    may("responseMimeType", Shape::Word(&["text/plain", "application/json", "text/x.enum"])),
    may("responseModalities", Shape::List(&Shape::Text)),
    may("responseSchema", Shape::Nullable(&SCHEMA)),
    may("seed", Shape::Int),
    may("speechConfig", Shape::Object),
    may("stopSequences", Shape::List(&Shape::Text)),
    may("temperature", Shape::Number),
    may(
        "thinkingConfig",
        Shape::Fields(&[
            may("includeThoughts", Shape::Bool),
            may("thinkingBudget", Shape::Int),
            may("thinkingLevel", Shape::Text),
        ]),
    ),
    may("topK", Shape::Number),
    may("topP", Shape::Number),
]);
static TOOL: Shape = Shape::Fields(&[must(
    "functionDeclarations",
    Shape::List(&Shape::Fields(&[
        must("name", Shape::Text),
        may("behavior", Shape::Text),
        may("description", Shape::Text),
        may("parameters", Shape::Nullable(&SCHEMA)),
        may("parametersJsonSchema", Shape::Object),
        may("response", Shape::Nullable(&SCHEMA)),
        may("responseJsonSchema", Shape::Object),
    ])),
)]);
const TOOL_CONFIG: Shape = Shape::Fields(&[may(
    "functionCallingConfig",
    Shape::Fields(&[
        may("allowedFunctionNames", Shape::List(&Shape::Text)),
        may("mode", Shape::Word(&["AUTO", "ANY", "NONE", "VALIDATED", "MODE_UNSPECIFIED"])),
    ]),
)]);
const CONTENTS: Field = must("contents", Shape::List(&CONTENT));
static GENERATE: Shape = Shape::Fields(&[
    CONTENTS,
    may("generationConfig", Shape::Nullable(&CONFIG)),
    may("model", Shape::Text),
    may("safetySettings", Shape::List(&Shape::Fields(&[must("category", Shape::Text), must("threshold", Shape::Text)]))),
    may("serviceTier", Shape::Text),
    may("store", Shape::Bool),
    may("systemInstruction", Shape::Fields(&[must("parts", Shape::List(&PART)), may("role", Shape::Text)])),
    may("toolConfig", TOOL_CONFIG),
    may("tools", Shape::Nullable(&Shape::List(&TOOL))),
]);
static COUNT: Shape =
    Shape::Fields(&[may("contents", Shape::List(&CONTENT)), may("generateContentRequest", Shape::Nullable(&GENERATE))]);
const EMBED: Shape = Shape::Fields(&[
    must("content", CONTENT),
    may("model", Shape::Text),
    may("outputDimensionality", Shape::Int),
    may("taskType", Shape::Text),
    may("title", Shape::Text),
]);
const EMBED_MORE: Shape = Shape::Fields(&[must("requests", Shape::List(&EMBED))]);

/// Answers one of a model's methods; the caller has looked at the key.
pub(super) fn method(model: &str, method: &str, seen: &Seen, reply: &str) -> Answer {
    let body = camel(&seen.body);
    match method {
        "generateContent" => generate(model, &body, None, reply),
        "streamGenerateContent" if seen.query().split('&').any(|pair| pair == "alt=sse") => {
            generate(model, &body, Some(Framing::Events), reply)
        }
        "streamGenerateContent" => generate(model, &body, Some(Framing::Array), reply),
        "countTokens" => check(&COUNT, &body).map_or_else(
            |fault| faulty(&fault),
            |()| {
                Answer::json(
                    200,
                    &json!({"totalTokens": script::INPUT_TOKENS, "cachedContentTokenCount": 0,
                "promptTokensDetails": [{"modality": "TEXT", "tokenCount": script::INPUT_TOKENS}]}),
                )
            },
        ),
        "embedContent" => check(&EMBED, &body).map_or_else(
            |fault| faulty(&fault),
            |()| Answer::json(200, &json!({"embedding": {"values": script::vector(body["outputDimensionality"].as_u64())}})),
        ),
        "batchEmbedContents" => check(&EMBED_MORE, &body).map_or_else(
            |fault| faulty(&fault),
            |()| {
                let each = body["requests"].as_array().into_iter().flatten();
                let vectors: Vec<_> =
                    each.map(|one| json!({"values": script::vector(one["outputDimensionality"].as_u64())})).collect();
                Answer::json(200, &json!({"embeddings": vectors}))
            },
        ),
        _ => error(404, &format!("Method {method} is not found."), None),
    }
}

/// Refuses a request without a key in its header, or with one that says that it is wrong.
pub(super) fn authorise(seen: &Seen) -> Result<(), Answer> {
    match seen.header("x-goog-api-key") {
        _ if seen.query().split('&').any(|pair| pair.starts_with("key=")) => {
            Err(error(400, "This script takes no key in the query.", None))
        }
        Some(key) if !key.is_empty() && !key.contains("wrong") => Ok(()),
        Some(_) => {
            let why = json!({"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID",
                "domain": "googleapis.com"});
            Err(error(400, "API key not valid. Please pass a valid API key.", Some(why)))
        }
        None => Err(error(403, "Method doesn't allow unregistered callers. Please use API Key.", None)),
    }
}

/// The list of models.
pub(super) fn models() -> Answer {
    let model = |name: &str| {
        json!({"name": format!("models/{name}"), "version": "1", "displayName": name, "inputTokenLimit": 4096,
            "outputTokenLimit": 4096, "supportedGenerationMethods": ["generateContent", "countTokens"]})
    };
    Answer::json(200, &json!({"models": [model("scripted-text"), model("scripted-tool")]}))
}

pub(super) fn faulty(fault: &Fault) -> Answer {
    let (path, name) = (fault.brackets(), fault.name());
    let said = match fault.what {
        What::Missing => format!("* GenerateContentRequest.{path}: {name} is not specified"),
        What::Type | What::Value => format!("Invalid value at '{path}'"),
        What::Unknown => format!("Invalid JSON payload received. Unknown name \"{name}\" at '{path}': Cannot find field."),
    };
    error(400, &said, None)
}

pub(super) fn refusal(refused: &Refused) -> Answer {
    let later = json!({"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "7s"});
    error(refused.status, &refused.message, (refused.status == 429).then_some(later))
}

/// The statuses of <https://cloud.google.com/apis/design/errors>.
pub(super) fn error(code: u16, message: &str, detail: Option<Value>) -> Answer {
    let mut error = json!({"code": code, "message": message, "status": status(code)});
    if let Some(detail) = detail {
        error["details"] = json!([detail]);
    }
    Answer::json(code, &json!({"error": error}))
}

fn status(code: u16) -> &'static str {
    match code {
        400 => "INVALID_ARGUMENT",
        401 => "UNAUTHENTICATED",
        403 => "PERMISSION_DENIED",
        404 => "NOT_FOUND",
        429 => "RESOURCE_EXHAUSTED",
        500 => "INTERNAL",
        _ => "UNAVAILABLE",
    }
}

#[derive(Clone, Copy)]
enum Framing {
    /// One JSON array, written piece by piece.
    Array,
    Events,
}

fn generate(model: &str, body: &Value, framing: Option<Framing>, reply: &str) -> Answer {
    if let Err(fault) = check(&GENERATE, body) {
        return faulty(&fault);
    }
    match asked(model, body).and_then(|asked| script::play(&asked, reply)) {
        Err(refused) => refusal(&refused),
        Ok(turn) => match framing {
            None => Answer::json(200, &whole(model, body, &turn)),
            Some(framing) => stream(model, body, &turn, framing),
        },
    }
}

fn asked(model: &str, body: &Value) -> Result<Asked, Refused> {
    let mut asked = Asked { model: model.to_owned(), ..Asked::default() };
    let mut open: Vec<&Value> = Vec::new();
    for content in body["contents"].as_array().into_iter().flatten() {
        let parts = || content["parts"].as_array().into_iter().flatten();
        let responses: Vec<_> = parts().map(|part| &part["functionResponse"]["name"]).filter(|name| name.is_string()).collect();
        if responses != open {
            return Err(Refused::bad(
                "Please ensure that the number of function response parts is equal to the number of function call parts of the \
                 function call turn.",
            ));
        }
        open.clear();
        asked.results.clear();
        for part in parts() {
            let sign = &part["thoughtSignature"];
            if sign.is_string() && sign != script::SIGNATURE && sign != "skip_thought_signature_validator" {
                return Err(Refused::bad("Thought signature is not valid."));
            }
            if part["functionCall"].is_object() {
                if open.is_empty() && sign.is_null() && script::Words::of(model).has("think") {
                    return Err(Refused::bad("Function call is missing a thought_signature in functionCall parts."));
                }
                open.push(&part["functionCall"]["name"]);
            }
            if part["functionResponse"].is_object() {
                let response = &part["functionResponse"]["response"];
                let said = response.get("result").or_else(|| response.get("output")).unwrap_or(response);
                asked.results.push(said.as_str().map_or_else(|| said.to_string(), str::to_owned));
            }
            asked.media.extend(media(part)?);
        }
        if content["role"] != "model" && responses.is_empty() {
            asked.prompt = parts().filter_map(|part| part["text"].as_str()).collect();
        }
    }
    if !open.is_empty() {
        return Err(Refused::bad("Please ensure that function response turn comes immediately after a function call turn."));
    }
    let tools = body["tools"].as_array().into_iter().flatten();
    for tool in tools.flat_map(|tool| tool["functionDeclarations"].as_array().into_iter().flatten()) {
        let given = if tool["parameters"].is_object() { &tool["parameters"] } else { &tool["parametersJsonSchema"] };
        asked.tools.push(Tool { name: tool["name"].as_str().unwrap_or_default().to_owned(), schema: given.clone() });
    }
    let calling = &body["toolConfig"]["functionCallingConfig"];
    asked.choice = match calling["allowedFunctionNames"][0].as_str() {
        Some(_) if calling["mode"] != "ANY" && calling["mode"] != "VALIDATED" => {
            return Err(Refused::bad("Allowed function names should be set only when the mode is ANY or VALIDATED."));
        }
        Some(name) => Choice::Named(name.to_owned()),
        None if calling["mode"] == "NONE" => Choice::None,
        None if calling["mode"] == "ANY" => Choice::Any,
        None => Choice::Free,
    };
    let config = &body["generationConfig"];
    let schema = if config["responseSchema"].is_object() { &config["responseSchema"] } else { &config["responseJsonSchema"] };
    asked.output = match (config["responseMimeType"] == "application/json", schema.is_object()) {
        (true, true) => Output::Schema(schema.clone()),
        (true, false) => Output::Json,
        (false, true) => return Err(Refused::bad("response_mime_type must be 'application/json' with a schema.")),
        (false, false) => Output::Free,
    };
    asked.stops = super::openai::list(&config["stopSequences"]);
    Ok(asked)
}

fn media(part: &Value) -> Result<Option<Media>, Refused> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    if part["fileData"].is_object() {
        return Ok(Some(Media::Link(text(&part["fileData"]["fileUri"]))));
    }
    if part["inlineData"].is_null() {
        return Ok(None);
    }
    let mut base64 = text(&part["inlineData"]["data"]).replace('-', "+").replace('_', "/");
    while !base64.len().is_multiple_of(4) {
        base64.push('=');
    }
    Media::inline(&text(&part["inlineData"]["mimeType"]), &base64).map(Some)
}

/// The parts of an answer, each with its signature.
fn parts(turn: &Turn, body: &Value) -> Vec<Value> {
    let mut parts = Vec::new();
    if let Some(thoughts) = turn.thoughts.filter(|_| body["generationConfig"]["thinkingConfig"]["includeThoughts"] == true) {
        parts.push(json!({"text": thoughts, "thought": true}));
    }
    let first = parts.len();
    parts.extend(turn.text.iter().map(|text| json!({"text": text})));
    parts.extend(turn.calls.iter().map(|call| json!({"functionCall": {"name": call.name, "args": call.arguments}})));
    if turn.thoughts.is_some()
        && let Some(part) = parts.get_mut(first)
    {
        part["thoughtSignature"] = json!(script::SIGNATURE);
    }
    parts
}

fn chunk(model: &str, parts: &[Value], turn: &Turn, last: bool) -> Value {
    let mut candidate = json!({"content": {"parts": parts, "role": "model"}, "index": 0});
    let mut usage = json!({"promptTokenCount": script::INPUT_TOKENS, "totalTokenCount": script::INPUT_TOKENS,
        "cachedContentTokenCount": script::CACHED_TOKENS,
        "promptTokensDetails": [{"modality": "TEXT", "tokenCount": script::INPUT_TOKENS}]});
    if last {
        candidate["finishReason"] = json!(match turn.finish {
            Finish::Calls | Finish::Stop => "STOP",
            Finish::Filter => "SAFETY",
            Finish::Length => "MAX_TOKENS",
        });
        // Thoughts are counted beside the candidates.
        usage["candidatesTokenCount"] = json!(script::OUTPUT_TOKENS - turn.thought_tokens());
        if turn.thoughts.is_some() {
            usage["thoughtsTokenCount"] = json!(script::THOUGHT_TOKENS);
        }
        usage["totalTokenCount"] = json!(script::INPUT_TOKENS + script::OUTPUT_TOKENS);
    }
    json!({"candidates": [candidate], "usageMetadata": usage, "modelVersion": model, "responseId": "scripted"})
}

fn whole(model: &str, body: &Value, turn: &Turn) -> Value {
    chunk(model, &parts(turn, body), turn, true)
}

fn stream(model: &str, body: &Value, turn: &Turn, framing: Framing) -> Answer {
    let mut chunks = Vec::new();
    for part in parts(turn, body) {
        match part["text"].as_str() {
            // A signature comes with the last piece.
            Some(text) => {
                let (first, rest) = Turn::halves(text);
                let mut halves = [part.clone(), part.clone()];
                halves[0].as_object_mut().map(|part| part.remove("thoughtSignature"));
                halves[0]["text"] = json!(first);
                halves[1]["text"] = json!(rest);
                chunks.extend(halves.map(|half| vec![half]));
            }
            None => chunks.push(vec![part]),
        }
    }
    let last = chunks.len();
    let values = chunks.into_iter().enumerate().map(|(index, parts)| chunk(model, &parts, turn, index + 1 == last));
    let failure = json!({"error": {"code": 503, "message": "The model is overloaded.", "status": "UNAVAILABLE"}});
    match framing {
        Framing::Events => {
            Answer::events(Stream { events: values.map(|value| data(&value)).collect(), done: None, failure: data(&failure) })
        }
        Framing::Array => {
            let element =
                |(index, value): (usize, Value)| format!("{}{value}", if index == 0 { "[" } else { ",\r\n" }).into_bytes();
            let events = values.enumerate().map(element).collect();
            let stream = Stream { events, done: Some(b"]".to_vec()), failure: format!(",\r\n{failure}]").into_bytes() };
            Answer { status: 200, headers: Vec::new(), media_type: "application/json", body: Body::Stream(stream) }
        }
    }
}

/// Names in camel case, except in what the caller names.
pub(super) fn camel(value: &Value) -> Value {
    const OWN: &[&str] = &["args", "response", "parametersJsonSchema", "responseJsonSchema", "example", "default"];
    match value {
        Value::Array(values) => values.iter().map(camel).collect(),
        Value::Object(fields) => Value::Object(
            fields
                .iter()
                .map(|(name, value)| {
                    let name = camel_name(name);
                    let value = match name.as_str() {
                        own if OWN.contains(&own) => value.clone(),
                        "properties" => {
                            let fields = value.as_object().into_iter().flatten();
                            Value::Object(fields.map(|(name, value)| (name.clone(), camel(value))).collect())
                        }
                        _ => camel(value),
                    };
                    (name, value)
                })
                .collect::<Map<_, _>>(),
        ),
        other => other.clone(),
    }
}

fn camel_name(name: &str) -> String {
    let mut words = name.split('_');
    let mut camel = words.next().unwrap_or_default().to_owned();
    for word in words {
        let (first, rest) = word.split_at(word.len().min(1));
        camel += &(first.to_ascii_uppercase() + rest);
    }
    camel
}
