//! Requests of responses: what is written is what was read, and what cannot be said is named.

#![expect(clippy::unwrap_used, reason = "a failed test")]

use lethe_content::ContentBuf;
use lethe_types::Api;
use lethe_wire::conversation::{Message, PartKind, Request, Role, Sending, Str, Thinking, ToolResult};
use lethe_wire::refusal::Refusal;
use lethe_wire::responses::{Echo, read_reply, read_request, write_request};
use proptest::prelude::*;
use serde_json::{Value, json};

const SENDING: Sending<'static> = Sending { model: "m", max_output_tokens: None };

fn parsed(out: &ContentBuf) -> Value {
    serde_json::from_slice(out.expose()).unwrap()
}

fn again(request: &Value) -> Value {
    let body = request.to_string();
    let request = read_request(body.as_bytes()).ok().unwrap();
    let mut out = ContentBuf::new();
    write_request(&request, &SENDING, &mut out).unwrap();
    parsed(&out)
}

#[test]
fn what_is_written_is_what_was_read() {
    let said =
        |role: &str, kind: &str, text: &str| json!({"type": "message", "role": role, "content": [{"type": kind, "text": text}]});
    let user = said("user", "input_text", "a\n\"b\" é\u{1f600}");
    let rest = json!({"input": [user], "model": "m", "store": false});
    let with = |fields: Value| {
        let mut request = rest.clone();
        request.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        request
    };
    for request in [
        rest.clone(),
        with(json!({"instructions": "Be brief.", "stream": true, "max_output_tokens": 16, "temperature": 0.5, "top_p": 0.1})),
        with(json!({"input": [user, said("assistant", "output_text", "x"), said("system", "input_text", "y"), user]})),
        with(json!({"input": [user,
            {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "Hm"}], "encrypted_content": "E"},
            {"type": "reasoning", "id": "rs_2", "summary": [], "encrypted_content": "E"},
            {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{\"a\": 1}"},
            {"type": "function_call_output", "call_id": "c", "output": "x"},
            {"type": "function_call", "call_id": "d", "name": "f", "arguments": "no JSON"},
            {"type": "function_call_output", "call_id": "d", "output": [{"type": "input_text", "text": "x"},
                {"type": "input_image", "image_url": "data:image/png;base64,AAAA", "detail": "high"}]},
            {"type": "message", "role": "assistant", "content": [{"type": "refusal", "refusal": "no"}]}]})),
        with(json!({"input": [{"type": "message", "role": "user", "content": [
            {"type": "input_file", "filename": "a.pdf", "file_data": "data:application/pdf;base64,JVBE"}]}]})),
        with(
            json!({"tools": [{"type": "function", "name": "f", "description": "d", "parameters": {"type": "object"}, "strict": true},
            {"type": "function", "name": "g"}], "tool_choice": {"type": "function", "name": "f"}, "parallel_tool_calls": false}),
        ),
        with(json!({"tool_choice": "required", "text": {"format": {"type": "json_schema", "name": "n", "description": "d",
            "schema": {"type": "object"}, "strict": false}, "verbosity": "low"}})),
        with(
            json!({"text": {"format": {"type": "json_object"}}, "reasoning": {"effort": "xhigh", "summary": "auto", "mode": "pro"}}),
        ),
        with(json!({"include": ["reasoning.encrypted_content"], "truncation": "auto", "top_logprobs": 3, "service_tier": "flex",
            "max_tool_calls": 2, "frequency_penalty": 0.5, "presence_penalty": 1})),
        with(json!({"include": ["reasoning.encrypted_content", "message.output_text.logprobs"],
            "tool_choice": {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "function", "name": "f"}]}})),
    ] {
        assert_eq!(again(&request), request);
    }
}

#[test]
fn nothing_is_dropped_in_silence() {
    let refused = |input: &str, fields: &str| {
        let body = format!(r#"{{"model":"m","input":[{input}]{fields}}}"#);
        let request = match read_request(body.as_bytes()) {
            Ok(request) => request,
            Err(Refusal::UntranslatableUnknown(name)) => return name.as_str().to_owned(),
            Err(Refusal::BadMedia(name, _) | Refusal::WrongType(name, _) | Refusal::MissingField(name)) => {
                return name.to_owned();
            }
            Err(Refusal::Conflict(conflict)) => return conflict.field.to_owned(),
            Err(Refusal::DuplicateField(name)) => return format!("twice {}", name.as_str()),
            Err(_) => return "other".to_owned(),
        };
        match request.refuse_own(Api::Messages) {
            Err(Refusal::Untranslatable { field, .. }) => field.to_owned(),
            _ => String::new(),
        }
    };
    for (input, fields, name) in [
        ("", r#","persist":1"#, "persist"),
        ("", r#","Temperature":1"#, "Temperature"),
        ("", r#","temperature":1,"temperature":2"#, "twice temperature"),
        ("", r#","temperature":"hot""#, "temperature"),
        ("", r#","top_logprobs":2"#, "top_logprobs"),
        ("", r#","truncation":"auto""#, "truncation"),
        ("", r#","service_tier":"flex""#, "service_tier"),
        ("", r#","text":{"verbosity":"low"}"#, "text.verbosity"),
        ("", r#","text":{"format":{"type":"grammar"}}"#, "grammar"),
        ("", r#","reasoning":{"effort":"huge"}"#, "reasoning.effort"),
        ("", r#","reasoning":{"depth":1}"#, "reasoning.depth"),
        ("", r#","include":["message.output_text.logprobs"]"#, "include"),
        ("", r#","tools":[{"type":"custom","name":"x"}]"#, "tools.type"),
        ("", r#","tools":[{"type":"function","name":"x","speed":1}]"#, "tools.speed"),
        ("", r#","tool_choice":{"type":"allowed_tools","mode":"auto","tools":[]}"#, "tool_choice"),
        ("", r#","stream_options":{"include_usage":true}"#, "stream_options.include_usage"),
        ("", r#","store":true"#, "store"),
        (r#"{"role":"boss","content":"x"}"#, "", "input.role"),
        (r#"{"role":"user","content":"x","weight":1}"#, "", "input.weight"),
        (r#"{"role":"user","content":[{"type":"input_text","text":"x","lang":"y"}]}"#, "", "input.content.lang"),
        (r#"{"role":"user","content":[{"type":"input_hologram"}]}"#, "", "input_hologram"),
        (
            r#"{"role":"user","content":[{"type":"input_image","image_url":"data:image/png;base64,A?"}]}"#,
            "",
            "input.content.image_url",
        ),
        (r#"{"role":"user","content":[{"type":"input_image","image_url":"https://a/b.png"}]}"#, "", "input.content.image_url"),
        (r#"{"role":"user","content":[{"type":"input_image","file_id":"f"}]}"#, "", "input.content.file_id"),
        (r#"{"type":"custom_tool_call","call_id":"c","name":"x","input":"y"}"#, "", "input.type"),
        (r#"{"type":"dream","id":"d"}"#, "", "dream"),
        (r#"{"type":"item_reference","id":"msg_1"}"#, "", "input.item_reference"),
        (r#"{"type":"function_call","call_id":"c","name":"f","arguments":"","namespace":"n"}"#, "", "input.namespace"),
        (r#"{"type":"function_call","name":"f","arguments":""}"#, "", "input.call_id"),
        (r#"{"role":"user","content":"x","weight":null}"#, r#","user":"u","safety_identifier":"s","metadata":null"#, ""),
    ] {
        assert_eq!(refused(input, fields), name, "{input}{fields}");
    }
    let many: Vec<String> = (0..200).map(|at| format!(r#""a{at}":1"#)).collect();
    assert_eq!(refused(&format!("{{{}}}", many.join(",")), ""), "other", "nobody has so many fields");
    // What can be carried, but not be written again, is not left out either.
    let request = read_request(br#"{"model":"m","input":[{"type":"compaction","encrypted_content":"E"}]}"#).ok().unwrap();
    let written = write_request(&request, &SENDING, &mut ContentBuf::new());
    assert_eq!(written, Err(Refusal::Untranslatable { field: "input.type", target: Api::Responses }));
}

#[test]
fn what_has_no_field_here_is_refused_by_the_clients_name() {
    let refused = |api: Api, change: &dyn Fn(&mut Request<'_>)| {
        let mut request = Request::new(api);
        change(&mut request);
        match write_request(&request, &SENDING, &mut ContentBuf::new()) {
            Err(Refusal::Untranslatable { field, target: Api::Responses }) => Some(field),
            _ => None,
        }
    };
    assert_eq!(refused(Api::Chat, &|request| request.stop.push(Str::constant("x"))), Some("stop"));
    assert_eq!(refused(Api::Messages, &|request| request.stop.push(Str::constant("x"))), Some("stop_sequences"));
    let stop = |request: &mut Request<'_>| request.stop.push(Str::constant("x"));
    assert_eq!(refused(Api::GenerateContent, &stop), Some("generationConfig.stopSequences"));
    let named = |request: &mut Request<'_>| {
        request.messages.push(Message { role: Role::User, name: Some(Str::constant("x")), parts: Vec::new() });
    };
    assert_eq!(refused(Api::Chat, &named), Some("messages.name"));
    assert_eq!(refused(Api::Chat, &|_| {}), None);
}

#[test]
fn thoughts_of_others_are_sent_only_with_their_proof() {
    let mut request = Request::new(Api::Messages);
    let thinking = |signature: Option<&'static str>| Thinking {
        id: None,
        text: Some(Str::constant("Hm")),
        signature: signature.map(Str::constant),
    };
    let result = ToolResult {
        id: Str::constant("c"),
        name: None,
        content: vec![PartKind::Text(Str::constant("x")).into()],
        is_error: true,
    };
    for kind in [PartKind::Reasoning(thinking(None)), PartKind::Reasoning(thinking(Some("E")))] {
        request.messages.push(Message { role: Role::Assistant, name: None, parts: vec![kind.into()] });
    }
    request.messages.push(Message { role: Role::User, name: None, parts: vec![PartKind::ToolResult(result).into()] });
    let mut out = ContentBuf::new();
    write_request(&request, &SENDING, &mut out).unwrap();
    let proven = json!({"type": "reasoning", "summary": [{"type": "summary_text", "text": "Hm"}], "encrypted_content": "E"});
    let failed = json!({"type": "function_call_output", "call_id": "c", "output": "Error: x"});
    assert_eq!(parsed(&out)["input"], json!([proven, failed]));
}

proptest! {
    #[test]
    fn no_input_panics(input in prop::collection::vec(any::<u8>(), 0..200), text in r#"[\[\]{}",:a-z0-9\\ ]{0,80}"#) {
        for body in [input.as_slice(), text.as_bytes()] {
            let _ = (read_request(body).is_ok(), read_reply(body).is_ok(), Echo::of(body).is_ok());
        }
    }

    #[test]
    fn no_shape_of_items_panics(item in r#"\{("type":"(message|reasoning|function_call|function_call_output)",)?"(role|content|summary|output|id)":("user"|\[\]|\[\{"type":"input_image"\}\]|null|7)\}"#) {
        let body = format!(r#"{{"model":"m","input":[{item}]}}"#);
        let _ = read_request(body.as_bytes()).is_ok();
        let _ = read_reply(format!(r#"{{"output":[{item}]}}"#).as_bytes()).is_ok();
    }
}
