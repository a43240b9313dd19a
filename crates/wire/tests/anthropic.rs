//! Messages read into the common form and written again: the same meaning comes out; what needs somebody to remember does not go in.

#![expect(clippy::unwrap_used, reason = "a failed test")]

use lethe_content::ContentBuf;
use lethe_policy::ApiRules;
use lethe_types::Api;
use lethe_wire::anthropic::{
    Reader, Writer, read_count, read_count_request, read_reply, read_request, write_count, write_count_request, write_reply,
    write_request,
};
use lethe_wire::conversation::{Event, Finish, Identity, Malformed, Sending, Str, StreamReader, StreamWriter, Usage, Wanted};
use lethe_wire::error::{ErrorBody, ErrorType};
use lethe_wire::inspect::{Change, inspect};
use lethe_wire::openai;
use lethe_wire::refusal::Refusal;
use proptest::prelude::*;
use serde_json::{Value, json};

const TO: Sending<'static> = Sending { model: "m", max_output_tokens: None };

fn again(request: &Value) -> Value {
    let body = request.to_string();
    let request = read_request(body.as_bytes()).map_err(|refusal| format!("{refusal:?}")).unwrap();
    let mut out = ContentBuf::new();
    write_request(&request, &TO, &mut out).unwrap();
    serde_json::from_slice(out.expose()).unwrap()
}

/// Requests in the form in which Lethe writes them.
fn canonical() -> Vec<Value> {
    let user = json!([{"role": "user", "content": "Hi \"there\"\n\u{1}é😀"}]);
    let cached = json!({"type": "ephemeral"});
    let png = json!({"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}});
    vec![
        json!({"model": "m", "max_tokens": 5, "messages": user}),
        json!({"model": "m", "max_tokens": 5, "messages": user, "system": "be brief", "temperature": 0.5, "top_p": 1, "top_k": 3,
            "stop_sequences": ["a", "b"], "stream": true, "service_tier": "standard_only", "inference_geo": "us"}),
        json!({"model": "m", "max_tokens": 5, "system": [{"type": "text", "text": "a", "cache_control": cached}, {"type": "text", "text": "b"}],
            "messages": [
                {"role": "user", "content": [{"type": "text", "text": "look", "cache_control": cached}, png,
                    {"type": "document", "title": "t", "source": {"type": "base64", "media_type": "application/pdf", "data": "AAA="}},
                    {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "é\n\"x\""}}]},
                {"role": "assistant", "content": "nice"},
                {"role": "user", "content": "go on"},
                {"role": "system", "content": "in French"}]}),
        json!({"model": "m", "max_tokens": 9000, "thinking": {"type": "enabled", "budget_tokens": 2000, "display": "omitted"},
            "tools": [{"name": "f", "description": "d", "input_schema": {"type": "object"}, "strict": false, "cache_control": cached},
                {"name": "g", "input_schema": {"type": "object", "properties": {}}}],
            "tool_choice": {"type": "tool", "name": "f", "disable_parallel_tool_use": true},
            "messages": [
                {"role": "user", "content": "go"},
                {"role": "assistant", "content": [
                    {"type": "thinking", "thinking": "hm", "signature": "s"}, {"type": "thinking", "thinking": "", "signature": "t"},
                    {"type": "redacted_thinking", "data": "e"},
                    {"type": "text", "text": "I call"}, {"type": "tool_use", "id": "c.1", "name": "f", "input": {"a": "\""}},
                    {"type": "tool_use", "id": "c2", "name": "g", "input": {}}]},
                {"role": "user", "content": [
                    {"type": "tool_result", "tool_use_id": "c.1", "content": [{"type": "text", "text": "it is"}, png]},
                    {"type": "tool_result", "tool_use_id": "c2", "content": "no", "is_error": true, "cache_control": cached},
                    {"type": "tool_result", "tool_use_id": "c3"}]}]}),
        json!({"model": "m", "max_tokens": 0, "messages": user, "thinking": {"type": "adaptive"},
            "output_config": {"effort": "xhigh", "format": {"type": "json_schema", "schema": {"type": "object"}}},
            "tool_choice": {"type": "none"}, "tools": [{"name": "g", "input_schema": {"type": "object"}}]}),
        json!({"model": "m", "max_tokens": 5, "messages": user, "thinking": {"type": "disabled"}, "output_config": {"effort": "low"}}),
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
    let request = json!({"max_tokens": 5, "cache_control": {"type": "ephemeral"}, "metadata": {"user_id": "u"}, "service_tier": "auto",
        "container": null, "output_format": {"type": "json_schema", "schema": {"type": "object"}},
        "tools": [{"type": "custom", "name": "f", "input_schema": {"type": "object"}, "eager_input_streaming": true,
            "allowed_callers": ["direct"], "defer_loading": false, "input_examples": []}],
        "messages": [
            {"role": "user", "content": [{"type": "text", "text": "a", "citations": null}, {"type": "text", "text": ""}]},
            {"role": "user", "content": [{"type": "mid_conv_system", "content": [{"type": "text", "text": "s"}]},
                {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "d"}, "citations": {"enabled": false}}]},
            {"role": "assistant", "content": [{"type": "thinking", "thinking": "unsigned", "signature": ""}]},
            {"role": "user", "content": [{"type": "text", "text": "b"}]}],
        "model": "m"});
    let written = json!({"model": "m", "max_tokens": 5, "output_config": {"format": {"type": "json_schema", "schema": {"type": "object"}}},
        "tools": [{"name": "f", "input_schema": {"type": "object"}}],
        "messages": [{"role": "user", "content": "a"}, {"role": "system", "content": "s"},
            {"role": "user", "content": [
                {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "d"}},
                {"type": "text", "text": "b", "cache_control": {"type": "ephemeral"}}]}]});
    assert_eq!(again(&request), written);
}

fn named(refusal: Option<Refusal>) -> String {
    match refusal {
        Some(Refusal::UntranslatableUnknown(name) | Refusal::DuplicateField(name) | Refusal::UnknownField(name)) => {
            name.as_str().to_owned()
        }
        Some(Refusal::BadMedia(name, _) | Refusal::WrongType(name, _) | Refusal::MissingField(name)) => name.to_owned(),
        Some(Refusal::Untranslatable { field, .. }) => field.to_owned(),
        Some(Refusal::Conflict(conflict)) => format!("conflict: {}", conflict.field),
        Some(_) => "other".to_owned(),
        None => String::new(),
    }
}

#[test]
fn nothing_is_dropped_in_silence() {
    let refused = |fields: &str, block: &str| {
        let body = format!(r#"{{"model":"m","max_tokens":5,"messages":[{{"role":"user","content":[{block}]}}]{fields}}}"#);
        let Ok(request) = read_request(body.as_bytes()) else { return named(read_request(body.as_bytes()).err()) };
        let mut out = ContentBuf::new();
        let elsewhere = named(openai::write_request(&request, &TO, &mut out).err());
        let here = named(write_request(&request, &TO, &mut out).err());
        if here == elsewhere { here } else { format!("{elsewhere}, not here{here}") }
    };
    assert_eq!(refused("", r#"{"type":"text","text":"x"}"#), "", "the control");
    for (fields, name) in [
        (r#","persist":1"#, "persist"),
        (r#","Temperature":1"#, "Temperature"),
        (r#","temperature":"hot""#, "temperature"),
        (r#","max_tokens":1.5"#, "max_tokens"),
        (r#","metadata":{"email":"x"}"#, "metadata.email"),
        (r#","thinking":{"type":"enabled"}"#, "thinking.budget_tokens"),
        (r#","thinking":{"type":"adaptive","depth":1}"#, "thinking.depth"),
        (r#","thinking":{"type":"wild"}"#, "thinking.type"),
        (r#","output_config":{"effort":"none"}"#, "output_config.effort"),
        (r#","output_config":{"task_budget":{"type":"tokens"}}"#, "output_config.task_budget"),
        (r#","output_config":{"format":{"type":"grammar"}}"#, "output_config.format.type"),
        (r#","tools":[{"name":"f","input_schema":{},"persist":1}]"#, "tools.persist"),
        (r#","tools":[{"name":"f","input_schema":[]}]"#, "tools.input_schema"),
        (r#","tools":[{"name":"f","name":"g"}]"#, "tools.name"),
        (r#","tools":[{"name":"f","defer_loading":true}]"#, "tools.defer_loading"),
        (r#","tools":[{"type":"web_search_20250305","name":"web_search"}]"#, "tools.type"),
        (r#","tool_choice":{"type":"auto","why":1}"#, "tool_choice.why"),
        (r#","service_tier":"standard_only""#, "service_tier, not here"),
    ] {
        assert_eq!(refused(fields, ""), name);
    }
    for (block, name) in [
        (r#"{"type":"text","text":"x","lang":"y"}"#, "messages.content.lang"),
        (r#"{"type":"text"}"#, "messages.content.text"),
        (r#"{"text":"x"}"#, "messages.content.type"),
        (r#"{"type":"text","text":"x","citations":[{"type":"char_location"}]}"#, "messages.content.citations"),
        (r#"{"type":"poem","poem":"x"}"#, "messages.content.type"),
        (r#"{"type":"search_result","title":"t"}"#, "messages.content.search_result"),
        (r#"{"type":"server_tool_use","id":"x"}"#, "messages.content.server_tool_use"),
        (r#"{"type":"tool_use","id":"x","name":"f","input":"x"}"#, "messages.content.input"),
        (r#"{"type":"tool_use","id":"x","name":"f","input":{},"caller":{"type":"code"}}"#, "messages.content.caller"),
        (r#"{"type":"image","source":{"type":"base64","media_type":"image/png","data":"A?"}}"#, "messages.content.source.data"),
        (r#"{"type":"image","source":{"type":"text","media_type":"text/plain","data":"AAAA"}}"#, "messages.content.source.type"),
        (r#"{"type":"image","source":{"type":"url","url":"https://x"}}"#, "conflict: messages.content.source.url"),
        (r#"{"type":"document","source":{"type":"file","file_id":"f"}}"#, "conflict: messages.content.source.file_id"),
        (r#"{"type":"document","source":{"type":"content","content":"x"}}"#, "messages.content.source.content"),
        (r#"{"type":"document","context":"c","source":{"type":"text","data":"x"}}"#, "messages.content.context"),
        (r#"{"type":"container_upload","file_id":"f"}"#, "conflict: messages.content.container_upload"),
    ] {
        assert_eq!(refused("", block), name);
    }
    let tiff = r#"{"type":"image","source":{"type":"base64","media_type":"image/tiff","data":"AAAA"}}"#;
    assert_eq!(refused("", tiff), ", not hereimage", "another format may have it");
    assert_eq!(named(read_request(br#"{"messages":[]}"#).err()), "max_tokens");
    assert_eq!(named(read_request(br#"{"max_tokens":1,"messages":[{"role":"tool","content":"x"}]}"#).err()), "messages.role");
}

#[test]
fn what_chat_completions_cannot_say_here_is_named() {
    let refused = |fields: &str, messages: &str| {
        let body = format!(r#"{{"model":"m","messages":[{messages}]{fields}}}"#);
        let request = openai::read_request(body.as_bytes()).map_err(|refusal| format!("{refusal:?}")).unwrap();
        named(write_request(&request, &TO, &mut ContentBuf::new()).err())
    };
    assert_eq!(refused("", r#"{"role":"user","content":"x"}"#), "", "the control");
    for (fields, name) in [
        (r#","frequency_penalty":0.5"#, "frequency_penalty"),
        (r#","presence_penalty":-1"#, "presence_penalty"),
        (r#","seed":0"#, "seed"),
        (r#","n":2"#, "n"),
        (r#","response_format":{"type":"json_object"}"#, "response_format"),
    ] {
        assert_eq!(refused(fields, ""), name);
    }
    let part = |part: &str| refused("", &format!(r#"{{"role":"user","content":[{part}]}}"#));
    assert_eq!(part(r#"{"type":"input_audio","input_audio":{"data":"AAAA","format":"wav"}}"#), "messages.content.input_audio");
    assert_eq!(part(r#"{"type":"image_url","image_url":{"url":"data:image/bmp;base64,AAAA"}}"#), "image");
    let low = r#"{"type":"image_url","image_url":{"url":"data:image/png;base64,AAAA","detail":"low"}}"#;
    assert_eq!(part(low), "messages.content.image_url.detail");
    for file in ["data:application/zip;base64,AAAA", "data:text/plain;base64,//8="] {
        assert_eq!(part(&format!(r#"{{"type":"file","file":{{"file_data":"{file}"}}}}"#)), "document");
    }
    assert_eq!(refused("", r#"{"role":"user","name":"ann","content":"x"}"#), "messages.name");
    let late = r#"{"role":"user","content":"x"},{"role":"assistant","content":"y"},{"role":"system","content":"z"}"#;
    assert_eq!(refused("", late), "messages.role");
    let call = r#"{"role":"assistant","tool_calls":[{"id":"c","function":{"name":"f","arguments":"oops"}}]}"#;
    assert_eq!(refused("", call), "messages.tool_calls.function.arguments");
}

#[test]
fn what_needs_somebody_to_remember_does_not_pass() {
    let refused = |fields: &str, block: &str| {
        let body = format!(r#"{{"model":"m","max_tokens":5,"messages":[{{"role":"user","content":[{block}]}}]{fields}}}"#);
        named(inspect(body.as_bytes(), Api::Messages).err())
    };
    assert_eq!(refused("", r#"{"type":"text","text":"https://x"}"#), "", "the control");
    let result = |inside: &str| format!(r#"{{"type":"tool_result","tool_use_id":"c","content":[{inside}]}}"#);
    let (url, file) = ("conflict: messages.content.source.url", "conflict: messages.content.source.file_id");
    for (block, name) in [
        (r#"{"type":"image","source":{"type":"url","url":"https://x"}}"#, url),
        (r#"{"type":"image","SOURCE":{"\u0074ype":"base64","Url":"https://x"}}"#, url),
        (r#"{"type":"document","source":{"type":"file","file_id":"f"}}"#, file),
        (r#"{"type":"document","source":{"type":"content","content":[{"type":"image","source":{"type":"url"}}]}}"#, url),
        (r#"{"type":"container_upload"}"#, "conflict: messages.content.container_upload"),
        (r#"{"type":"code","file_id":"f"}"#, file),
        (r#"{"type":"text","text":"x","cache_control":{"type":"ephemeral","ttl":"1h"}}"#, "conflict: cache_control.ttl"),
    ] {
        assert_eq!(refused("", block), name);
        assert_eq!(refused("", &result(block)), name, "inside of a result");
    }
    let hour = r#"{"type":"ephemeral","ttl":"1h"}"#;
    for (fields, name) in [
        (format!(r#","cache_control":{hour}"#), "conflict: cache_control.ttl"),
        (format!(r#","system":[{{"type":"text","text":"x","cache_control":{hour}}}]"#), "conflict: cache_control.ttl"),
        (format!(r#","tools":[{{"name":"f","cache_control":{hour}}}]"#), "conflict: cache_control.ttl"),
        (r#","container":"c""#.to_owned(), "conflict: container"),
        (r#","mcp_servers":[{}]"#.to_owned(), "conflict: mcp_servers"),
        (r#","metadata":{"user_id":1}"#.to_owned(), "metadata.user_id"),
        (r#","metadata":{"user_id":"a","USER_ID":"b"}"#.to_owned(), "metadata.user_id"),
        (r#","metadata":{"email":"a"}"#.to_owned(), "metadata.email"),
    ] {
        assert_eq!(refused(&fields, ""), name);
    }
    assert_eq!(named(inspect(br#"{"model":"m","messages":[]}"#, Api::Messages).err()), "max_tokens");
    assert_eq!(inspect(br#"{"model":"m","messages":[]}"#, Api::CountMessageTokens).err(), None);
}

#[test]
fn the_user_becomes_a_pseudonym_and_caches_are_not_asked_for() {
    let cached = json!({"type": "ephemeral", "ttl": "5m"});
    let text = |cached: &Value| json!([{"type": "text", "text": "x", "cache_control": cached}]);
    let with = |model: &str, user: &str, cached: &Value| {
        json!({"model": model, "max_tokens": 5, "cache_control": cached, "system": text(cached), "metadata": {"user_id": user},
            "tools": [{"name": "f", "input_schema": {"cache_control": {"ttl": "1h"}}, "cache_control": cached}, {"type": "bash_20250124"}],
            "messages": [{"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c", "content": text(cached)},
                {"type": "tool_use", "input": {"cache_control": "is an argument here", "user_id": "kept"}}]}]})
    };
    let body = with("m", "ann@example.com", &cached).to_string();
    let inspected = inspect(body.as_bytes(), Api::Messages).ok().unwrap();
    let mut rules = ApiRules::plain(Api::Messages);
    rules.fields =
        ["cache_control", "max_tokens", "messages", "metadata", "model", "system", "tools"].map(str::to_owned).to_vec();
    let edited = |cache| {
        let mut out = ContentBuf::new();
        inspected.edits(&Change { model: "p", pseudonym: "someone", cache }, &rules).apply(body.as_bytes(), &mut out);
        serde_json::from_slice::<Value>(out.expose()).unwrap()
    };
    assert!(inspected.wants_cache());
    assert_eq!(edited(true), with("p", "someone", &cached));
    assert_eq!(edited(false), with("p", "someone", &Value::Null));
    // The types of tools are held against the provider's list; one without a type is the client's own.
    let kind = lethe_policy::ProviderKind::Hosted;
    let tool = |types: &[&str]| {
        let mut rules = rules.clone();
        rules.tool_types = types.iter().map(|kind| (*kind).to_owned()).collect();
        match inspected.check(kind, &rules).err() {
            Some(Refusal::UnknownTool(name)) => name.as_str().to_owned(),
            other => named(other),
        }
    };
    assert_eq!((tool(&[]).as_str(), tool(&["custom"]).as_str()), ("custom", "bash_20250124"));
    assert_eq!(tool(&["bash_20250124", "custom"]), "");
}

fn identity() -> Identity {
    Identity { id: "1".into(), created: 2, model: "m".into() }
}

#[test]
fn an_answer_keeps_its_meaning() {
    let message = |reason: &str, sequence: Value| {
        json!({"id": "msg_1", "type": "message", "role": "assistant", "model": "m", "content": [
            {"type": "thinking", "thinking": "", "signature": "s"}, {"type": "redacted_thinking", "data": "e"},
            {"type": "text", "text": "He\n\""}, {"type": "tool_use", "id": "c", "name": "f", "input": {"a": 1}}],
            "stop_reason": reason, "stop_sequence": sequence,
            "usage": {"input_tokens": 3, "cache_creation_input_tokens": 5, "cache_read_input_tokens": 7, "output_tokens": 9,
                "output_tokens_details": {"thinking_tokens": 4}}})
    };
    let through = |message: &Value| {
        let body = message.to_string();
        let mut out = ContentBuf::new();
        write_reply(&read_reply(body.as_bytes()).ok().unwrap(), &identity(), &mut out).unwrap();
        serde_json::from_slice::<Value>(out.expose()).unwrap()
    };
    for (reason, sequence) in [
        ("tool_use", Value::Null),
        ("max_tokens", Value::Null),
        ("pause_turn", Value::Null),
        ("refusal", Value::Null),
        ("stop_sequence", json!("END")),
    ] {
        let message = message(reason, sequence);
        assert_eq!(through(&message), message);
    }
    assert_eq!(through(&message("model_context_window_exceeded", Value::Null))["stop_reason"], "max_tokens");
    let counted = message("end_turn", Value::Null).to_string();
    let usage = read_reply(counted.as_bytes()).ok().unwrap().usage;
    let all = Usage { input: 15, cached: Some(7), cache_written: Some(5), output: 9, reasoning: Some(4) };
    assert_eq!(usage, Some(all), "the input is all of the prompt");
    for bad in [
        "{}",
        "[]",
        r#"{"type":"error","error":{"message":"x"}}"#,
        r#"{"content":[]}"#,
        r#"{"content":[],"stop_reason":"whim"}"#,
        r#"{"content":[{"type":"server_tool_use"}],"stop_reason":"end_turn"}"#,
        r#"{"content":[{"type":"text","text":"x","citations":[{}]}],"stop_reason":"end_turn"}"#,
    ] {
        assert_eq!(read_reply(bad.as_bytes()).err(), Some(Malformed), "{bad}");
    }
}

#[test]
fn a_calls_signature_comes_back_with_the_call() {
    let body = r#"{"choices":[{"index":0,"message":{"tool_calls":[{"id":"c","function":{"name":"f","arguments":"{}"},
        "extra_content":{"google":{"thought_signature":"AbC="}}}]},"finish_reason":"tool_calls"}]}"#;
    let mut out = ContentBuf::new();
    write_reply(&openai::read_reply(body.as_bytes()).ok().unwrap(), &identity(), &mut out).unwrap();
    let said: Value = serde_json::from_slice(out.expose()).unwrap();
    let request =
        json!({"model": "m", "max_tokens": 5, "messages": [{"role": "assistant", "content": said["content"]}]}).to_string();
    let request = read_request(request.as_bytes()).ok().unwrap();
    let mut out = ContentBuf::new();
    openai::write_request(&request, &TO, &mut out).unwrap();
    let written: Value = serde_json::from_slice(out.expose()).unwrap();
    assert_eq!(written["messages"][0]["tool_calls"][0]["extra_content"]["google"]["thought_signature"], "AbC=");
    assert_eq!(written["messages"][0].get("reasoning_details"), None);
}

#[test]
fn tokens_are_counted() {
    let body = br#"{"model":"x","messages":[{"role":"user","content":"a"}],"system":"s","thinking":{"type":"enabled","budget_tokens":5}}"#;
    let request = read_count_request(body).ok().unwrap();
    let mut out = ContentBuf::new();
    write_count_request(&request, &TO, &mut out).unwrap();
    let written: Value = serde_json::from_slice(out.expose()).unwrap();
    let expected = json!({"model": "m", "system": "s", "messages": [{"role": "user", "content": "a"}],
        "thinking": {"type": "enabled", "budget_tokens": 5}});
    assert_eq!(written, expected);
    for field in ["max_tokens", "stream", "temperature"] {
        let body = format!(r#"{{"messages":[],"{field}":1}}"#);
        assert_eq!(named(read_count_request(body.as_bytes()).err()), field);
    }
    let mut out = ContentBuf::new();
    write_count(7, &mut out);
    assert_eq!(out.expose(), br#"{"input_tokens":7}"#);
    assert_eq!(read_count(br#"{"input_tokens":7,"context_management":{"original_input_tokens":9}}"#), Ok(7));
    for bad in ["{}", "[]", r#"{"input_tokens":-1}"#, r#"{"input_tokens":99999999999}"#] {
        assert_eq!(read_count(bad.as_bytes()), Err(Malformed), "{bad}");
    }
}

/// The last steps of a stream: where it says how it ends.
const END: [&str; 2] =
    [r#"{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":2}}"#, r#"{"type":"message_stop"}"#];

fn read(frames: &[&str]) -> (Result<(), Malformed>, Vec<String>, bool, bool) {
    let (mut reader, mut seen, mut result) = (Reader::default(), Vec::new(), Ok(()));
    for frame in frames {
        let mut sink = |event: Event<'_>| {
            seen.push(match event {
                Event::Start { id } => format!("start {}", id.map_or_else(String::new, |id| id.plain().into_owned())),
                Event::Text(piece) => format!("text {}", piece.plain()),
                Event::Refusal(piece) => format!("refusal {}", piece.plain()),
                Event::Reasoning { index, piece } => format!("thought {index} {}", piece.plain()),
                Event::ReasoningSignature { index, signature } => format!("signature {index} {}", signature.plain()),
                Event::ToolCall { index, id, name, .. } => format!("call {index} {} {}", id.plain(), name.plain()),
                Event::ToolArguments { index, piece } => format!("arguments {index} {}", piece.plain()),
                Event::Usage(usage) => format!("usage {} {}", usage.input, usage.output),
                Event::Finish(Finish::StopSequence(text)) => {
                    format!("stopped at {}", text.map_or_else(String::new, |text| text.plain().into_owned()))
                }
                Event::Finish(_) => "finish".to_owned(),
                Event::Error { message } => format!("error {}", message.plain()),
            });
        };
        result = result.and(reader.read(b"", frame.as_bytes(), &mut sink));
    }
    (result, seen, reader.is_complete(), reader.has_ended())
}

#[test]
fn a_stream_is_read_however_it_is_worded() {
    let start = r#"{"message":{"usage":{"output_tokens":1,"input_tokens":3,"cache_read_input_tokens":2},"id":"msg_1"},"type":"message_start"}"#;
    let frames = [
        start,
        r#"{"type":"ping"}"#,
        r#"{"content_block":{"text":"a","type":"text"},"index":4,"type":"content_block_start"}"#,
        r#"{"index":4,"delta":{"text":"b","type":"text_delta"},"type":"content_block_delta"}"#,
        r#"{"type":"content_block_start","index":5,"content_block":{"type":"tool_use","id":"c","name":"f","input":{"x":1}}}"#,
        r#"{"type":"vertex_event","v":1}"#,
        r#"{"type":"message_delta","delta":{"stop_reason":"stop_sequence","stop_sequence":"E"},"usage":{"output_tokens":9,"input_tokens":null}}"#,
    ];
    let (result, seen, complete, ended) = read(&frames);
    let expected =
        ["start msg_1", "usage 5 1", "text a", "text b", "call 0 c f", "arguments 0 {\"x\":1}", "usage 5 9", "stopped at E"];
    assert_eq!((result, seen.iter().map(String::as_str).collect::<Vec<_>>()), (Ok(()), expected.to_vec()));
    assert!(complete && !ended, "a reason to end is enough; the end itself need not be waited for");
    assert!(!read(&frames[..6]).2, "what is cut is not complete");
    let with_metrics = r#"{"type":"message_stop","amazon-bedrock-invocationMetrics":{"inputTokenCount":8}}"#;
    assert!(read(&[start, END[0], with_metrics]).3);
    let refused = r#"{"type":"message_delta","delta":{"stop_reason":"refusal","stop_details":{"type":"refusal","category":"bio","explanation":"no"}}}"#;
    assert_eq!(read(&[refused]).1, ["refusal no", "finish"]);
}

#[test]
fn errors_in_the_middle_are_told_and_what_would_be_lost_is_refused() {
    for error in [
        r#"{"type":"error","error":{"type":"overloaded_error","message":"out of \"luck\""}}"#,
        r#"{"error":{"code":429,"message":"out of \"luck\"","status":"RESOURCE_EXHAUSTED"}}"#,
        r#"{"message":"out of \"luck\""}"#,
    ] {
        let (result, seen, complete, _) = read(&[error]);
        assert_eq!((result, seen, complete), (Ok(()), vec!["error out of \"luck\"".to_owned()], false));
    }
    let text = r#"{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}"#;
    for bad in [
        "[]",
        "{}",
        r#"{"type":"message_start"}"#,
        r#"{"type":"content_block_start","index":1,"content_block":{"type":"web_search_tool_result","content":[]}}"#,
        r#"{"type":"content_block_start","index":0,"content_block":{"type":"text"}}"#,
        r#"{"type":"content_block_delta","index":0,"delta":{"type":"citations_delta","citation":{}}}"#,
        r#"{"type":"content_block_delta","index":0,"delta":{"type":"song_delta","song":"x"}}"#,
        r#"{"type":"content_block_delta","index":0,"delta":{"type":"input_json_delta","partial_json":"x"}}"#,
        r#"{"type":"content_block_delta","index":7,"delta":{"type":"text_delta","text":"x"}}"#,
        r#"{"type":"message_delta","delta":{"stop_reason":"whim"}}"#,
        r#"{"type":"ping"} x"#,
    ] {
        assert_eq!(read(&[text, bad]).0, Err(Malformed), "{bad}");
    }
}

fn written(events: &[Event<'_>]) -> (Result<(), Malformed>, Vec<Value>) {
    let (mut writer, mut out) = (Writer::new(identity(), Wanted::default()), ContentBuf::new());
    let result = events.iter().try_for_each(|event| writer.write(event, &mut out));
    writer.end(&mut out);
    let text = String::from_utf8(out.expose().to_vec()).unwrap();
    let value = |event: &str| {
        let (name, data) = event.split_once('\n').unwrap();
        let value: Value = serde_json::from_str(data.strip_prefix("data: ").unwrap()).unwrap();
        assert_eq!(name.strip_prefix("event: "), value["type"].as_str());
        value
    };
    (result, text.split("\n\n").filter(|event| !event.is_empty()).map(value).collect())
}

const fn s(text: &'static str) -> Str<'static> {
    Str::constant(text)
}

/// What the official SDKs make of a stream.
fn accumulated(events: &[Value]) -> Value {
    assert_eq!(events[0]["type"], "message_start");
    let mut message = events[0]["message"].clone();
    let mut arguments = String::new();
    let mut open = None;
    for event in &events[1..] {
        let at = event["index"].as_u64().map(|at| usize::try_from(at).unwrap());
        let content = message["content"].as_array_mut().unwrap();
        match event["type"].as_str().unwrap() {
            "content_block_start" => {
                assert_eq!((open, at), (None, Some(content.len())), "blocks follow each other");
                content.push(event["content_block"].clone());
                (open, arguments) = (at, String::new());
            }
            "content_block_delta" => {
                assert_eq!(open, at);
                let (block, delta) = (&mut content[at.unwrap()], &event["delta"]);
                let mut add =
                    |key: &str| block[key] = (block[key].as_str().unwrap().to_owned() + delta[key].as_str().unwrap()).into();
                match delta["type"].as_str().unwrap() {
                    "text_delta" => add("text"),
                    "thinking_delta" => add("thinking"),
                    "signature_delta" => block["signature"] = delta["signature"].clone(),
                    "input_json_delta" => arguments.push_str(delta["partial_json"].as_str().unwrap()),
                    other => assert_eq!(other, "a delta"),
                }
            }
            "content_block_stop" => {
                assert_eq!(open.take(), at);
                if !arguments.is_empty() {
                    content[at.unwrap()]["input"] = serde_json::from_str(&arguments).unwrap();
                }
            }
            "message_delta" => {
                message["stop_reason"] = event["delta"]["stop_reason"].clone();
                message["usage"] = event["usage"].clone();
            }
            other => assert_eq!((other, open), ("message_stop", None)),
        }
    }
    assert_eq!(events.last().unwrap()["type"], "message_stop");
    message
}

#[test]
fn calls_that_alternate_are_put_one_behind_the_other() {
    let call = |index, signature| Event::ToolCall { index, id: s("c"), name: s("f"), signature };
    let piece = |index, piece| Event::ToolArguments { index, piece };
    let (result, events) = written(&[
        Event::ReasoningSignature { index: 0, signature: s("encrypted") },
        Event::Reasoning { index: 1, piece: s("hm") },
        Event::ReasoningSignature { index: 1, signature: s("sig") },
        call(0, None),
        call(1, Some(s("AbC="))),
        piece(1, s(r#"{\"b\":"#)),
        piece(0, s(r#"{\"a\":\"}"#)),
        call(2, None),
        piece(0, s(r#"\"}"#)),
        piece(1, s("2}")),
        piece(0, s(r"\n")),
        Event::Usage(Usage { input: 5, output: 6, ..Usage::default() }),
        Event::Finish(Finish::Stop),
    ]);
    assert_eq!(result, Ok(()));
    let message = accumulated(&events);
    let call = |input| json!({"type": "tool_use", "id": "c", "name": "f", "input": input});
    assert_eq!(
        message["content"],
        json!([{"type": "redacted_thinking", "data": "encrypted"}, {"type": "thinking", "thinking": "hm", "signature": "sig"},
            call(json!({"a": "}"})), {"type": "redacted_thinking", "data": "signatureofacallAbC="}, call(json!({"b": 2})), call(json!({}))])
    );
    assert_eq!((&message["stop_reason"], &message["usage"]["input_tokens"]), (&json!("tool_use"), &json!(5)));
    // A piece for a call that has ended, or never began, is the provider's fault.
    assert_eq!(written(&[call_of(0), piece(0, s("{}")), Event::Text(s("x")), piece(0, s("1"))]).0, Err(Malformed));
    assert_eq!(written(&[piece(0, s("1"))]).0, Err(Malformed));
}

fn call_of(index: u32) -> Event<'static> {
    Event::ToolCall { index, id: s("c"), name: s("f"), signature: None }
}

#[test]
fn every_stream_has_a_beginning_and_one_end() {
    assert_eq!(accumulated(&written(&[]).1)["stop_reason"], "end_turn");
    let refused = accumulated(&written(&[Event::Refusal(s("no")), Event::Finish(Finish::Stop)]).1);
    assert_eq!((&refused["stop_reason"], &refused["content"][0]["text"]), (&json!("refusal"), &json!("no")));
    let (mut writer, mut out) = (Writer::new(identity(), Wanted::default()), ContentBuf::new());
    writer.write(&Event::Text(s("x")), &mut out).unwrap();
    let before = out.len();
    let error = ErrorBody { status: 529, message: s("busy"), kind: ErrorType::Provider, param: None, code: "c" };
    writer.fail(&error, &mut out);
    writer.end(&mut out);
    let told = String::from_utf8(out.expose()[before..].to_vec()).unwrap();
    let data = told.strip_prefix("event: error\ndata: ").unwrap();
    assert_eq!(serde_json::from_str::<Value>(data).unwrap()["error"]["type"], "overloaded_error");
}

proptest! {
    #[test]
    fn no_input_panics(input in prop::collection::vec(any::<u8>(), 0..200), cut in 0usize..1500, at in 0usize..6) {
        let _ = read_request(&input);
        let _ = read_count_request(&input);
        let _ = read_reply(&input);
        let _ = read_count(&input);
        let _ = inspect(&input, Api::Messages);
        let _ = Reader::default().read(b"", &input, &mut |_| {});
        let text = canonical()[at].to_string();
        let _ = read_request(&text.as_bytes()[..cut.min(text.len())]);
    }

    /// Whatever order calls and pieces come in, what is written can be put together by the official SDKs.
    #[test]
    fn any_order_of_calls_makes_blocks_that_follow_each_other(order in prop::collection::vec(0usize..4, 0..20)) {
        // Each call has three pieces; what comes next is a step of the call that `order` names.
        const PIECES: [&str; 3] = [r#"{\"x\""#, ":", "1}"];
        let mut steps = [0_usize; 4];
        let mut events = Vec::new();
        let rest = (0..4).flat_map(|call| [call; 4]);
        for call in order.into_iter().chain(rest) {
            let index = u32::try_from(call).unwrap();
            match steps[call] {
                0 => events.push(call_of(index)),
                step @ 1..=3 => events.push(Event::ToolArguments { index, piece: s(PIECES[step - 1]) }),
                _ => {}
            }
            steps[call] += 1;
        }
        let (result, written) = written(&events);
        prop_assert_eq!(result, Ok(()));
        let message = accumulated(&written);
        prop_assert_eq!(message["content"].as_array().unwrap().len(), 4);
        for block in message["content"].as_array().unwrap() {
            prop_assert_eq!(&block["input"], &json!({"x": 1}));
        }
    }
}
