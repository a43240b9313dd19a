//! Chat completions read into the common form and written again: the same meaning comes out.

#![expect(clippy::unwrap_used, reason = "a failed test")]

use lethe_content::ContentBuf;
use lethe_types::Api;
use lethe_wire::conversation::{Event, Identity, Malformed, PartKind, Sending, StreamReader, StreamWriter, Wanted};
use lethe_wire::openai::{Reader, Writer, read_reply, read_request, write_reply, write_request};
use lethe_wire::refusal::Refusal;
use proptest::prelude::*;
use serde_json::{Value, json};

fn again(request: &Value) -> Value {
    let body = request.to_string();
    let request = read_request(body.as_bytes()).map_err(|refusal| format!("{refusal:?}")).unwrap();
    let mut out = ContentBuf::new();
    write_request(&request, &Sending { model: "m", max_output_tokens: None }, &mut out).unwrap();
    serde_json::from_slice(out.expose()).unwrap()
}

/// Requests in the form in which Lethe writes them.
fn canonical() -> Vec<Value> {
    let user = json!([{"role": "user", "content": "Hi \"there\"\n\u{1}é😀"}]);
    let function = json!({"type": "function", "function": {"name": "f", "description": "d", "parameters": {"type": "object"}, "strict": true}});
    vec![
        json!({"model": "m", "messages": user}),
        json!({"model": "m", "messages": user, "max_completion_tokens": 5, "temperature": 0.5, "top_p": 1, "seed": 7,
            "frequency_penalty": -0.1, "presence_penalty": 1.5, "stop": "x", "reasoning_effort": "high", "stream": true,
            "stream_options": {"include_usage": true}}),
        json!({"model": "m", "stop": ["a", "b"], "logit_bias": {"1": 2}, "n": 2, "verbosity": "low", "messages": [
            {"role": "system", "content": "be brief"},
            {"role": "user", "name": "ann", "content": [
                {"type": "text", "text": "what is it?"},
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA", "detail": "low"}},
                {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}},
                {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,AAA="}}]},
            {"role": "assistant", "content": null, "refusal": "no"}]}),
        json!({"model": "m", "tools": [function], "tool_choice": {"type": "function", "function": {"name": "f"}}, "parallel_tool_calls": false,
            "messages": [
                {"role": "user", "content": "go"},
                {"role": "assistant", "content": "I call", "reasoning_content": "hm", "tool_calls": [
                    {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{\"a\":\"\\\"\"}"}},
                    {"id": "c2", "type": "function", "function": {"name": "f", "arguments": "{}"},
                     "extra_content": {"google": {"thought_signature": "sig"}}}]},
                {"role": "tool", "tool_call_id": "c1", "content": "one"},
                {"role": "tool", "tool_call_id": "c2", "content": [{"type": "text", "text": "t"}, {"type": "text", "text": "wo"}]},
                {"role": "assistant", "content": null, "reasoning_content": "x", "reasoning_details": [
                    {"type": "reasoning.text", "text": "x", "signature": "s", "index": 0},
                    {"type": "reasoning.encrypted", "data": "e", "index": 1}]}]}),
        json!({"model": "m", "messages": user, "tool_choice": "required", "tools": [function],
            "response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "object"}, "strict": true}}}),
        json!({"model": "m", "messages": user, "response_format": {"type": "json_object"}, "tool_choice": "none"}),
    ]
}

#[test]
fn what_is_written_is_what_was_read() {
    for request in canonical() {
        assert_eq!(again(&request), request);
    }
}

#[test]
fn other_spellings_say_the_same() {
    let request = json!({"model": "m", "max_tokens": 9, "n": 1, "user": "u", "store": false, "response_format": {"type": "text"},
        "messages": [{"role": "developer", "content": [{"type": "text", "text": "x"}]},
            {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA", "detail": "auto"}}]}],
        "top_p": null, "logprobs": false, "service_tier": "default"});
    let written = json!({"model": "m", "max_completion_tokens": 9, "messages": [{"role": "system", "content": "x"},
        {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}]}]});
    assert_eq!(again(&request), written);
}

#[test]
fn nothing_is_dropped_in_silence() {
    let refused = |fields: &str, message: &str| {
        let body = format!(r#"{{"model":"m","messages":[{message}]{fields}}}"#);
        read_request(body.as_bytes()).err()
    };
    let named = |refusal| match refusal {
        Some(Refusal::UntranslatableUnknown(name)) => name.as_str().to_owned(),
        Some(Refusal::BadMedia(name, _) | Refusal::WrongType(name, _) | Refusal::MissingField(name)) => name.to_owned(),
        Some(Refusal::Untranslatable { field, .. }) => field.to_owned(),
        _ => String::new(),
    };
    assert_eq!(named(refused(r#","persist":1"#, "")), "persist");
    assert_eq!(named(refused(r#","Temperature":1"#, "")), "Temperature");
    assert_eq!(named(refused("", r#"{"role":"user","content":"x","weight":1}"#)), "messages.weight");
    assert_eq!(
        named(refused("", r#"{"role":"user","content":[{"type":"text","text":"x","lang":"y"}]}"#)),
        "messages.content.lang"
    );
    assert_eq!(named(refused("", r#"{"role":"boss","content":"x"}"#)), "messages.role");
    assert_eq!(named(refused("", r#"{"role":"tool","content":"x"}"#)), "messages.tool_call_id");
    let image = r#"{"role":"user","content":[{"type":"image_url","image_url":{"url":"data:image/png;base64,A?"}}]}"#;
    assert_eq!(named(refused("", image)), "messages.content.image_url.url");
    assert_eq!(named(refused(r#","tools":[{"type":"custom","custom":{"name":"x"}}]"#, "")), "tools.type");
    assert_eq!(named(refused(r#","temperature":"hot""#, "")), "temperature");
    // A field with a meaning here is carried along, and refused by the format that has none for it.
    let body = br#"{"model":"m","messages":[],"logit_bias":{"1":1}}"#;
    let request = read_request(body).ok().unwrap();
    assert_eq!(
        request.refuse_own(Api::Messages).err(),
        Some(Refusal::Untranslatable { field: "logit_bias", target: Api::Messages })
    );
    assert_eq!(request.refuse_own(Api::Chat), Ok(()));
}

fn identity() -> Identity {
    Identity { id: "1".into(), created: 2, model: "m".into() }
}

#[test]
fn an_answer_keeps_its_meaning() {
    let reply = json!({"id": "chatcmpl-1", "object": "chat.completion", "created": 2, "model": "m", "choices": [{"index": 0,
        "message": {"role": "assistant", "content": "He\n\"", "refusal": null, "reasoning_content": "hm",
            "tool_calls": [{"id": "c", "type": "function", "function": {"name": "f", "arguments": "{\"a\":1}"}}]},
        "logprobs": null, "finish_reason": "tool_calls"}],
        "usage": {"prompt_tokens": 5, "completion_tokens": 6, "total_tokens": 11, "prompt_tokens_details": {"cached_tokens": 2},
            "completion_tokens_details": {"reasoning_tokens": 3}}});
    let body = reply.to_string();
    let mut out = ContentBuf::new();
    write_reply(&read_reply(body.as_bytes()).ok().unwrap(), &identity(), &mut out).unwrap();
    assert_eq!(serde_json::from_slice::<Value>(out.expose()).unwrap(), reply);
    for bad in ["{}", "[]", r#"{"choices":[]}"#, r#"{"error":{"message":"x"}}"#, r#"{"choices":[{"message":{"content":1}}]}"#] {
        assert_eq!(read_reply(bad.as_bytes()).err(), Some(Malformed), "{bad}");
    }
}

fn through(chunks: &[&str], wanted: Wanted) -> Result<(Vec<Value>, bool), Malformed> {
    let (mut reader, mut writer, mut out) = (Reader::default(), Writer::new(identity(), wanted), ContentBuf::new());
    let mut failed = Ok(());
    for chunk in chunks {
        reader.read(b"", chunk.as_bytes(), &mut |event| failed = failed.and(writer.write(&event, &mut out)))?;
    }
    failed?;
    if reader.is_complete() {
        writer.end(&mut out);
    }
    let text = String::from_utf8(out.expose().to_vec()).unwrap();
    let events = text.split("\n\n").filter(|event| !event.is_empty()).map(|event| event.strip_prefix("data: ").unwrap());
    Ok((
        events.filter(|event| *event != "[DONE]").map(|event| serde_json::from_str(event).unwrap()).collect(),
        reader.is_complete(),
    ))
}

#[test]
fn a_stream_keeps_its_meaning() {
    let wanted = Wanted { stream: true, usage: true, encrypted_reasoning: false };
    let chunks = [
        r#"{"id":"a","choices":[{"index":0,"delta":{"role":"assistant","content":"","reasoning":"hm"}}]}"#,
        r#"{"choices":[{"index":0,"delta":{"content":"He\n"}}]}"#,
        r#"{"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"id":"c","type":"function","function":{"name":"f","arguments":""}}]}}]}"#,
        r#"{"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"arguments":"{\"a\""}}]}}]}"#,
        r#"{"choices":[{"index":0,"delta":{"tool_calls":[{"id":"d","function":{"name":"g","arguments":{"b":1}}}]}}]}"#,
        r#"{"choices":[{"index":0,"delta":{},"finish_reason":"tool_calls"}],"usage":{"prompt_tokens":1,"completion_tokens":2}}"#,
        "[DONE]",
    ];
    let (events, complete) = through(&chunks, wanted).unwrap();
    assert!(complete);
    let delta = |at: usize| &events[at]["choices"][0]["delta"];
    assert_eq!(delta(0), &json!({"role": "assistant", "content": ""}));
    assert_eq!(delta(1), &json!({"reasoning_content": "hm"}));
    assert_eq!(delta(2), &json!({"content": "He\n"}));
    assert_eq!(delta(3)["tool_calls"][0]["function"], json!({"name": "f", "arguments": ""}));
    assert_eq!(delta(4)["tool_calls"][0], json!({"index": 0, "function": {"arguments": "{\"a\""}}));
    assert_eq!(delta(5)["tool_calls"][0]["id"], "d");
    assert_eq!(delta(6)["tool_calls"][0], json!({"index": 1, "function": {"arguments": "{\"b\":1}"}}));
    assert_eq!(events[7]["choices"][0]["finish_reason"], "tool_calls");
    assert_eq!(events[8]["usage"]["total_tokens"], 3);
    assert_eq!(events.len(), 9);
    assert!(!through(&chunks[..5], wanted).unwrap().1, "what is cut is not complete");
    assert_eq!(through(&[r#"{"choices":[{"index":1,"delta":{}}]}"#], wanted).err(), Some(Malformed));
}

/// Mistral's models that think say it in parts (<https://docs.mistral.ai/capabilities/reasoning>).
#[test]
fn thoughts_in_parts_of_what_is_said_are_read() {
    let wanted = Wanted { stream: true, usage: true, encrypted_reasoning: false };
    let chunks = [
        r#"{"id":"a","choices":[{"index":0,"delta":{"role":"assistant","content":[{"type":"thinking","thinking":[{"type":"text","text":"h"},{"type":"text","text":"m"}]}]}}]}"#,
        r#"{"choices":[{"index":0,"delta":{"content":[{"type":"text","text":"Hel"}]}}]}"#,
        r#"{"choices":[{"index":0,"delta":{"content":"lo"},"finish_reason":"stop"}]}"#,
        "[DONE]",
    ];
    let (events, _) = through(&chunks, wanted).unwrap();
    let said = |name: &str| events.iter().filter_map(|event| event["choices"][0]["delta"][name].as_str()).collect::<String>();
    assert_eq!((said("reasoning_content"), said("content")), ("hm".into(), "Hello".into()));
    let answer = r#"{"id":"a","choices":[{"index":0,"message":{"role":"assistant","content":[{"type":"thinking","thinking":[{"type":"text","text":"hm"}],"closed":true},{"type":"text","text":"Hello"}],"tool_calls":null},"finish_reason":"stop"}]}"#;
    let reply = read_reply(answer.as_bytes()).unwrap();
    assert!(
        matches!(&reply.parts[0].kind, PartKind::Reasoning(thought) if thought.text.as_ref().is_some_and(|text| text.raw() == "hm"))
    );
    assert!(matches!(&reply.parts[1].kind, PartKind::Text(text) if text.raw() == "Hello"));
}

#[test]
fn an_error_in_the_middle_is_told_in_its_own_words() {
    let mut said = String::new();
    let mut sink = |event: Event<'_>| {
        if let Event::Error { message } = event {
            said = message.plain().into_owned();
        }
    };
    Reader::default().read(b"", br#"{"error":{"message":"out of \"luck\""}}"#, &mut sink).unwrap();
    assert_eq!(said, "out of \"luck\"");
}

proptest! {
    #[test]
    fn no_input_panics(input in prop::collection::vec(any::<u8>(), 0..200), cut in 0usize..400) {
        let _ = read_request(&input);
        let _ = read_reply(&input);
        let _ = Reader::default().read(b"", &input, &mut |_| {});
        let text = canonical()[3].to_string();
        let _ = read_request(&text.as_bytes()[..cut.min(text.len())]);
    }
}
