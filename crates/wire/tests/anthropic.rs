//! Requests for a message, read into the common form and written again: the same meaning comes out; what needs somebody to remember does not go in.

#![expect(clippy::unwrap_used, reason = "a failed test")]

use lethe_content::ContentBuf;
use lethe_policy::ApiRules;
use lethe_types::Api;
use lethe_wire::anthropic::{read_count, read_count_request, read_request, write_count, write_count_request, write_request};
use lethe_wire::conversation::{Malformed, Sending};
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
    assert_eq!(refused("", tiff), ", not heremessages.content.source", "another format may have it");
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
    assert_eq!(part(r#"{"type":"image_url","image_url":{"url":"data:image/bmp;base64,AAAA"}}"#), "messages.content.image_url");
    let low = r#"{"type":"image_url","image_url":{"url":"data:image/png;base64,AAAA","detail":"low"}}"#;
    assert_eq!(part(low), "messages.content.image_url.detail");
    for file in ["data:application/zip;base64,AAAA", "data:text/plain;base64,//8="] {
        assert_eq!(part(&format!(r#"{{"type":"file","file":{{"file_data":"{file}"}}}}"#)), "messages.content.file");
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

proptest! {
    #[test]
    fn no_input_panics(input in prop::collection::vec(any::<u8>(), 0..200), cut in 0usize..1500, at in 0usize..6) {
        let _ = read_request(&input);
        let _ = read_count_request(&input);
        let _ = read_count(&input);
        let _ = inspect(&input, Api::Messages);
        let text = canonical()[at].to_string();
        let _ = read_request(&text.as_bytes()[..cut.min(text.len())]);
    }
}
