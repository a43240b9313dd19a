//! Any conversation that goes from one client's format into another one and back says the same as before.

use lethe_content::ContentBuf;
use lethe_providers::formats;
use lethe_types::Api;
use lethe_wire::conversation::Sending;
use lethe_wire::refusal::Refusal;
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::CLIENTS;

/// Text with what JSON must escape in it. It says something, and is no JSON.
fn text() -> impl Strategy<Value = String> {
    "[a-z][a-z \"\\\\\n\té😀]{0,11}[a-z]"
}

/// What a user says: a text, or several parts.
fn said() -> impl Strategy<Value = Value> {
    let part = prop_oneof![
        3 => text().prop_map(|text| json!({"type": "text", "text": text})),
        1 => Just(json!({"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}})),
        1 => Just(json!({"type": "file", "file": {"filename": "document.pdf", "file_data": "data:application/pdf;base64,JVBERi0="}})),
        1 => Just(json!({"type": "input_audio", "input_audio": {"data": "UklGRgAA", "format": "wav"}})),
    ];
    prop_oneof![text().prop_map(Value::from), prop::collection::vec(part, 2..4).prop_map(Value::from)]
}

/// A turn: what the user says, and what the model answers, perhaps with calls and their results before its last word.
fn turn(number: usize) -> impl Strategy<Value = Vec<Value>> {
    let thought = prop::option::of((text(), prop::option::of("[a-z]{4}")));
    (said(), thought, prop::collection::vec((text(), text()), 0..3), text()).prop_map(move |(said, thought, calls, last)| {
        let mut messages = vec![json!({"role": "user", "content": said})];
        let mut answer = json!({"role": "assistant", "content": last});
        if let Some((thought, Some(signature))) = thought {
            answer["reasoning_content"] = json!(thought);
            answer["reasoning_details"] =
                json!([{"type": "reasoning.text", "text": thought, "signature": signature, "index": 0}]);
        }
        if !calls.is_empty() {
            let id = |at: usize| format!("call_{number}_{at}");
            let called = calls.iter().enumerate().map(|(at, (argument, _))| {
                let arguments = json!({"city": argument}).to_string();
                json!({"id": id(at), "type": "function", "function": {"name": "weather", "arguments": arguments}})
            });
            answer["tool_calls"] = called.collect();
        }
        let results = calls.iter().enumerate();
        let results: Vec<Value> = results
            .map(|(at, (_, result))| json!({"role": "tool", "tool_call_id": format!("call_{number}_{at}"), "content": result}))
            .collect();
        messages.push(answer);
        messages.extend(results);
        messages
    })
}

/// A chat completion request whose wishes each have a place in at least two formats.
fn request() -> impl Strategy<Value = Value> {
    let turns = prop::collection::vec(any::<()>(), 0..3)
        .prop_flat_map(|turns| turns.into_iter().enumerate().map(|(number, ())| turn(number).boxed()).collect::<Vec<_>>());
    let number = |most: u32| prop::option::of((1..most).prop_map(|tenths| f64::from(tenths) / 10.0));
    let choice = prop_oneof![
        Just(Value::Null),
        Just(json!("auto")),
        Just(json!("required")),
        Just(json!("none")),
        Just(json!({"type": "function", "function": {"name": "weather"}})),
    ];
    let format = prop_oneof![
        2 => Just(Value::Null),
        1 => Just(json!({"type": "json_object"})),
        1 => Just(json!({"type": "json_schema", "json_schema": {"name": "answer", "schema": {"type": "object", "properties": {}, "additionalProperties": false}}})),
    ];
    let effort = prop::option::of(prop::sample::select(vec!["low", "medium", "high", "none"]));
    let sampling = (number(10), number(10), prop::option::of(0..9u32), prop::option::weighted(0.2, text()));
    (prop::option::of(text()), turns, said(), choice, format, effort, sampling, any::<bool>()).prop_map(
        |(system, turns, last, choice, format, effort, (temperature, top_p, seed, stop), one_by_one)| {
            let system = system.map(|text| json!({"role": "system", "content": text}));
            let mut messages: Vec<Value> = system.into_iter().chain(turns.into_iter().flatten()).collect();
            messages.push(json!({"role": "user", "content": last}));
            let mut request = json!({"model": "m", "max_completion_tokens": 30_000, "messages": messages});
            let parameters = json!({"type": "object", "properties": {"city": {"type": "string"}}});
            request["tools"] =
                json!([{"type": "function", "function": {"name": "weather", "description": "d", "parameters": parameters}}]);
            let one_by_one = (one_by_one && choice == json!("required")).then_some(false);
            for (name, value) in [
                ("tool_choice", choice),
                ("response_format", format),
                ("reasoning_effort", json!(effort)),
                ("temperature", json!(temperature)),
                ("top_p", json!(top_p)),
                ("seed", json!(seed)),
                ("stop", json!(stop)),
                ("parallel_tool_calls", json!(one_by_one)),
            ] {
                if !value.is_null() {
                    request[name] = value;
                }
            }
            request
        },
    )
}

/// `request` of format `from` in format `to`; `None` if the format cannot say it.
fn become_of(request: &Value, from: Api, to: Api) -> Option<Value> {
    // Of the older models of Google's, none wants a signature with each call.
    let model = match to {
        Api::GenerateContent => "gemini-2.5-pro",
        Api::Messages => "claude-opus-4-6",
        _ => "m",
    };
    let body = request.to_string();
    let request = lethe_wire::formats::read_request(from, body.as_bytes());
    let request = request.unwrap_or_else(|refusal| panic!("what was written in {from:?} is not read: {refusal:?}\n{body}"));
    // Gemini cannot be told to call one function at a time: the answer is held to it instead.
    if to == Api::GenerateContent && request.parallel_tool_calls == Some(false) {
        return None;
    }
    let mut out = ContentBuf::new();
    match formats::write_request(to, &request, &Sending { model, max_output_tokens: None }, &mut out) {
        Ok(()) => Some(serde_json::from_slice(out.expose()).unwrap()),
        Err(Refusal::Untranslatable { .. }) => None,
        Err(other) => panic!("{other:?}"),
    }
}

/// Without what says nothing: arguments need not be followed strictly unless it is said, a document's name is for people, and Anthropic's API shows
/// thoughts unless it is told not to, where Gemini's must be told.
fn meaning(mut request: Value) -> Value {
    match &mut request {
        Value::Array(items) => items.iter_mut().for_each(|item| *item = meaning(item.take())),
        Value::Object(members) => {
            members.retain(|name, value| match name.as_str() {
                "filename" | "title" => false,
                "strict" => *value != false,
                "display" => *value != "summarized",
                "includeThoughts" => *value != true,
                _ => true,
            });
            members.values_mut().for_each(|value| *value = meaning(value.take()));
        }
        _ => {}
    }
    request
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]
    #[test]
    fn there_and_back_it_means_the_same(request in request()) {
        for client in CLIENTS {
            let Some(before) = become_of(&request, Api::Chat, client) else { continue };
            for provider in CLIENTS {
                let Some(there) = become_of(&before, client, provider) else { continue };
                let back = become_of(&there, provider, client);
                prop_assert!(back.is_some(), "{:?} can say what came of it in {:?}: {}", client, provider, there);
                prop_assert_eq!(back.map(meaning), Some(meaning(before.clone())), "{:?} by {:?}: {}", client, provider, there);
            }
        }
    }
}

/// The control: what is compared above is not refused each time.
#[test]
fn a_plain_conversation_goes_everywhere() {
    let request =
        json!({"model": "m", "max_completion_tokens": 9, "temperature": 0.5, "messages": [{"role": "user", "content": "x"}]});
    for client in CLIENTS {
        let before = become_of(&request, Api::Chat, client).unwrap();
        for provider in CLIENTS {
            let there = become_of(&before, client, provider).unwrap();
            assert_eq!(
                become_of(&there, provider, client).map(meaning),
                Some(meaning(before.clone())),
                "{client:?} by {provider:?}"
            );
        }
    }
    let said = |text: &str| meaning(json!({"title": "t", "strict": false, "content": text}));
    assert_eq!(said("x"), json!({"content": "x"}));
    assert_ne!(said("x"), said("y"));
}
