//! What the compliance tests of Open Responses ask for (<https://www.openresponses.org/compliance>), case by case under their names: that
//! suite is in no registry of packages, so its cases are written down here after its public description and the specification's schema.

use lethe_testkit::client::Client;
use lethe_testkit::provider::Provider;
use serde_json::{Value, json};

const PNG: &str =
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR4nGNgYGD4DwABBAEAX+XDSwAAAABJRU5ErkJggg==";
const PDF: &str = "data:application/pdf;base64,JVBERi0xLjQKJSVFT0YK";

/// Where the cases are tried, and how its models are named.
pub(crate) struct Server<'a> {
    /// `host:port`.
    pub(crate) address: &'a str,
    pub(crate) key: &'a str,
    pub(crate) models: &'a str,
}

/// Every case that nothing has to be kept for.
pub(crate) fn every_case(server: &Server<'_>) {
    basic_response(server);
    streaming_response(server);
    system_prompt(server);
    tool_calling(server);
    tool_calling_streaming(server);
    function_call_roundtrip(server);
    image_input(server);
    file_input(server);
    multi_turn(server);
    // `previous-response-id`, `file-search` and `offline-web-search` need a server that keeps things, or searches.
    previous_response_id_is_refused(server);
}

#[test]
fn clients_direct_open_responses() {
    let provider = Provider::start(None);
    every_case(&Server { address: &provider.address.to_string(), key: "sk-direct", models: "scripted-" });
}

fn basic_response(server: &Server<'_>) {
    completed(&server.ask("text", json!([user("Say hello in exactly 3 words.")]), json!({})));
}

fn streaming_response(server: &Server<'_>) {
    let events = server.stream("text", json!([user("Count from 1 to 5.")]), json!({}));
    let kinds: Vec<_> = events.iter().map(|event| event["type"].as_str().unwrap_or_default()).collect();
    assert_eq!(kinds[..2], ["response.created", "response.in_progress"]);
    let wanted = ["output_item.added", "content_part.added", "output_text.delta", "output_text.done", "content_part.done"];
    for kind in wanted {
        assert!(kinds.contains(&format!("response.{kind}").as_str()), "{kind} is not among {kinds:?}");
    }
    completed(&events.last().expect("an event")["response"]);
}

fn system_prompt(server: &Server<'_>) {
    let system = json!({"type": "message", "role": "system", "content": "You are a pirate."});
    completed(&server.ask("text", json!([system, user("Say hello.")]), json!({})));
}

fn tool_calling(server: &Server<'_>) {
    let answer = server.ask("tool", json!([user("What is the weather?")]), json!({"tools": [weather()]}));
    assert_eq!(call(&answer)["name"], "get_weather");
}

fn tool_calling_streaming(server: &Server<'_>) {
    let events = server.stream("tool", json!([user("What is the weather?")]), json!({"tools": [weather()]}));
    let of = |kind: &str| events.iter().filter(|event| event["type"] == kind).collect::<Vec<_>>();
    for kind in ["response.output_item.added", "response.output_item.done"] {
        assert!(of(kind).iter().any(|event| event["item"]["type"] == "function_call"), "{kind}");
    }
    let deltas = of("response.function_call_arguments.delta");
    let said: String = deltas.iter().filter_map(|event| event["delta"].as_str()).collect();
    let done = of("response.function_call_arguments.done");
    assert_eq!(done.len(), 1);
    assert_eq!(done[0]["arguments"], said);
}

fn function_call_roundtrip(server: &Server<'_>) {
    let chosen = json!({"tools": [weather()], "tool_choice": {"type": "function", "name": "get_weather"}});
    let question = user("Use the weather tool.");
    let answer = server.ask("tool", json!([question]), chosen);
    let call = call(&answer);
    let arguments: Value = serde_json::from_str(call["arguments"].as_str().expect("arguments")).expect("JSON");
    assert!(arguments["location"].is_string(), "{arguments}");
    let asked =
        json!({"type": "function_call", "call_id": call["call_id"], "name": call["name"], "arguments": call["arguments"]});
    let result = json!({"type": "function_call_output", "call_id": call["call_id"], "output": "{\"celsius\":18}"});
    let answer = server.ask("tool", json!([question, asked, result]), json!({"tools": [weather()]}));
    completed(&answer);
    assert!(text(&answer).contains("18"), "{answer}");
}

fn image_input(server: &Server<'_>) {
    let parts = json!([{"type": "input_text", "text": "What is it?"}, {"type": "input_image", "image_url": PNG}]);
    let answer = server.ask("see", json!([{"type": "message", "role": "user", "content": parts}]), json!({}));
    completed(&answer);
    assert!(text(&answer).contains("image/png of 70 bytes"), "{answer}");
}

fn file_input(server: &Server<'_>) {
    let file = json!({"type": "input_file", "filename": "fixture.pdf", "file_data": PDF});
    let parts = json!([{"type": "input_text", "text": "Read the file."}, file]);
    let answer = server.ask("see", json!([{"type": "message", "role": "user", "content": parts}]), json!({}));
    completed(&answer);
    assert!(text(&answer).contains("application/pdf of 15 bytes"), "{answer}");
}

fn multi_turn(server: &Server<'_>) {
    let answered = json!({"type": "message", "role": "assistant", "content": "Hello Alice!"});
    completed(&server.ask("text", json!([user("My name is Alice."), answered, user("What is my name?")]), json!({})));
}

fn previous_response_id_is_refused(server: &Server<'_>) {
    let first = server.ask("text", json!("Remember this."), json!({}));
    let more = json!({"previous_response_id": first["id"], "store": false});
    let answer = server.post(&server.body("text", &json!("What was it?"), &more, false));
    assert!((400..500).contains(&answer.status), "{}", answer.text());
    assert!(answer.json()["error"]["message"].is_string(), "{}", answer.text());
}

impl Server<'_> {
    fn body(&self, what: &str, input: &Value, more: &Value, stream: bool) -> Value {
        let mut body = json!({"model": format!("{}{what}", self.models), "input": input, "stream": stream});
        for (name, value) in more.as_object().into_iter().flatten() {
            body[name] = value.clone();
        }
        body
    }

    fn post(&self, body: &Value) -> lethe_testkit::client::Answer {
        Client::connect(self.address, None).with_key(self.key).post("/v1/responses", &body.to_string())
    }

    fn ask(&self, what: &str, input: Value, more: Value) -> Value {
        let answer = self.post(&self.body(what, &input, &more, false));
        assert_eq!(answer.status, 200, "{}", answer.text());
        let response = answer.json();
        resource(&response);
        response
    }

    /// The events of a stream, each named as its data say, numbered from 0, the last with the whole response.
    fn stream(&self, what: &str, input: Value, more: Value) -> Vec<Value> {
        let answer = self.post(&self.body(what, &input, &more, true));
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert!(answer.headers["content-type"].starts_with("text/event-stream"), "{:?}", answer.headers);
        assert!(answer.complete, "the stream was cut");
        let mut events = Vec::new();
        for frame in answer.text().split("\n\n").filter(|frame| !frame.is_empty()) {
            let field = |name: &str| frame.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
            let data = field("data").expect("data");
            if data == "[DONE]" {
                continue;
            }
            let event: Value = serde_json::from_str(data).expect("JSON");
            assert_eq!(event["type"], field("event").expect("a name"));
            assert_eq!(event["sequence_number"], events.len(), "{event}");
            events.push(event);
        }
        resource(&events.last().expect("an event")["response"]);
        events
    }
}

/// Fails unless the response has every field that the specification's `ResponseResource` needs, of its type.
fn resource(response: &Value) {
    type Is = fn(&Value) -> bool;
    let text: Is = Value::is_string;
    let whole: Is = |value| value.is_i64() || value.is_u64();
    let maybe_whole: Is = |value| value.is_null() || value.is_u64();
    let maybe_text: Is = |value| value.is_null() || value.is_string();
    let maybe_object: Is = |value| value.is_null() || value.is_object();
    let choice: Is = |value| value.is_string() || value.is_object();
    let fields: [(&str, Is); 32] = [
        ("id", text),
        ("object", |value| value == "response"),
        ("created_at", whole),
        ("completed_at", maybe_whole),
        ("status", text),
        ("incomplete_details", maybe_object),
        ("model", text),
        ("previous_response_id", maybe_text),
        ("instructions", maybe_text),
        ("output", Value::is_array),
        ("error", maybe_object),
        ("tools", Value::is_array),
        ("tool_choice", choice),
        ("truncation", |value| value == "auto" || value == "disabled"),
        ("parallel_tool_calls", Value::is_boolean),
        ("text", Value::is_object),
        ("top_p", Value::is_number),
        ("presence_penalty", Value::is_number),
        ("frequency_penalty", Value::is_number),
        ("top_logprobs", whole),
        ("temperature", Value::is_number),
        ("reasoning", maybe_object),
        ("usage", maybe_object),
        ("max_output_tokens", maybe_whole),
        ("max_tool_calls", maybe_whole),
        ("store", Value::is_boolean),
        ("background", Value::is_boolean),
        ("service_tier", text),
        ("metadata", |_| true),
        ("safety_identifier", maybe_text),
        ("prompt_cache_key", maybe_text),
        ("output", |output| output.as_array().is_some_and(|items| items.iter().all(item))),
    ];
    for (name, is) in fields {
        let value = response.get(name).unwrap_or_else(|| panic!("{name} is missing: {response}"));
        assert!(is(value), "{name}: {value}");
    }
    for tool in response["tools"].as_array().into_iter().flatten() {
        let whole = ["type", "name", "description", "parameters", "strict"].iter().all(|name| tool.get(name).is_some());
        assert!(whole, "a tool without one of its fields: {tool}");
    }
    if response["usage"].is_object() {
        let usage = &response["usage"];
        let counts = [
            "/input_tokens",
            "/output_tokens",
            "/total_tokens",
            "/input_tokens_details/cached_tokens",
            "/output_tokens_details/reasoning_tokens",
        ];
        assert!(counts.iter().all(|path| usage.pointer(path).is_some_and(Value::is_u64)), "{usage}");
    }
}

/// Whether an item of the output has what its type needs.
fn item(item: &Value) -> bool {
    let texts = |names: &[&str]| names.iter().all(|name| item[name].is_string());
    let part = |part: &Value| {
        part["type"] != "output_text"
            || (part["text"].is_string() && part["annotations"].is_array() && part["logprobs"].is_array())
    };
    match item["type"].as_str() {
        Some("message") => {
            texts(&["id", "status", "role"]) && item["content"].as_array().is_some_and(|parts| parts.iter().all(part))
        }
        Some("function_call") => texts(&["id", "status", "call_id", "name", "arguments"]),
        Some("reasoning") => item["id"].is_string() && item["summary"].is_array(),
        _ => false,
    }
}

fn completed(response: &Value) {
    assert_eq!(response["status"], "completed", "{response}");
    assert!(response["output"].as_array().is_some_and(|output| !output.is_empty()), "{response}");
}

fn text(response: &Value) -> String {
    let items = response["output"].as_array().into_iter().flatten();
    let parts = items.flat_map(|item| item["content"].as_array().into_iter().flatten());
    parts.filter_map(|part| part["text"].as_str()).collect()
}

fn call(response: &Value) -> Value {
    let mut items = response["output"].as_array().into_iter().flatten();
    items.find(|item| item["type"] == "function_call").unwrap_or_else(|| panic!("no call: {response}")).clone()
}

fn user(text: &str) -> Value {
    json!({"type": "message", "role": "user", "content": text})
}

fn weather() -> Value {
    let location = json!({"type": "string", "description": "The city and country"});
    json!({"type": "function", "name": "get_weather", "description": "The weather of a place",
        "parameters": {"type": "object", "properties": {"location": location}, "required": ["location"]}})
}
