//! Requests that pass as they are: what is refused, and what is patched.

#![expect(clippy::unwrap_used, reason = "a failed test")]

use lethe_content::ContentBuf;
use lethe_policy::{ApiRules, ProviderKind};
use lethe_types::Api;
use lethe_wire::inspect::{Change, Inspected, inspect};
use lethe_wire::refusal::Refusal;

fn rules() -> ApiRules {
    let fields = ["messages", "model", "store", "stream", "stream_options", "temperature", "tools", "modalities"];
    ApiRules {
        fields: fields.map(String::from).into(),
        tool_types: vec!["function".into()],
        force: vec![("store".into(), "false".into())],
        stream_usage: true,
        ..ApiRules::plain(Api::Chat)
    }
}

fn chat(body: &str) -> Result<Inspected, Refusal> {
    let request = inspect(body.as_bytes(), Api::Chat)?;
    request.check(ProviderKind::Hosted, &rules())?;
    Ok(request)
}

fn with(fields: &str) -> Result<Inspected, Refusal> {
    chat(&format!(r#"{{"model":"m","messages":[]{fields}}}"#))
}

fn conflict(fields: &str) -> Option<&'static str> {
    match with(fields) {
        Err(Refusal::Conflict(conflict)) => Some(conflict.field),
        _ => None,
    }
}

#[test]
fn what_needs_memory_is_refused_however_it_is_spelled() {
    for spelling in [r#""store""#, r#""STORE""#, r#""\u0073tore""#, r#""\u0053tORE""#, "\"\u{17f}tore\""] {
        assert_eq!(conflict(&format!(",{spelling}:true")), Some("store"), "{spelling}");
    }
    assert_eq!(conflict(r#","store":1"#), Some("store"));
    assert_eq!(conflict(r#","metadata":{}"#), Some("metadata"));
    assert_eq!(conflict(r#","modalities":["text","audio"]"#), Some("modalities"));
    for fine in [r#","store":false"#, r#","store":null"#, r#","modalities":["text"]"#, ""] {
        assert!(with(fine).is_ok(), "{fine}");
    }
    let message = |part: &str| chat(&format!(r#"{{"model":"m","messages":[{{"role":"user","content":[{part}]}}]}}"#)).err();
    for (part, field) in [
        (r#"{"type":"file","file":{"file_id":"f"}}"#, "messages.content.file.file_id"),
        (r#"{"type":"file","file":{"FILE_\u0049d":"f"}}"#, "messages.content.file.file_id"),
        (r#"{"type":"image_url","image_url":{"url":"https://a/b.png"}}"#, "messages.content.image_url.url"),
        (r#"{"type":"image_url","image_url":"http://a"}"#, "messages.content.image_url.url"),
    ] {
        assert!(matches!(message(part), Some(Refusal::Conflict(conflict)) if conflict.field == field), "{part}");
    }
    assert_eq!(message(r#"{"type":"image_url","image_url":{"url":"data:image/png;base64,AA"}}"#), None);
}

#[test]
fn unknown_and_double_fields_are_refused_by_name() {
    for (fields, name) in
        [(r#","persist":true"#, "persist"), (r#","Temperature":1"#, "Temperature"), (r#","per\nsist":1"#, "per?sist")]
    {
        assert!(matches!(with(fields), Err(Refusal::UnknownField(field)) if field.as_str() == name), "{fields}");
    }
    for fields in [r#","stream":true,"stream":false"#, r#","stream":true,"Stream":false"#, r#","store":false,"\u0073tore":false"#]
    {
        assert!(matches!(with(fields), Err(Refusal::DuplicateField(_))), "{fields}");
    }
    assert!(matches!(with(r#","tools":[{"type":"mcp"}]"#), Err(Refusal::UnknownTool(tool)) if tool.as_str() == "mcp"));
    assert!(with(r#","tools":[{"type":"function","function":{"name":"f"}}]"#).is_ok());
    let unknown = inspect(br#"{"model":"m","messages":[],"persist":1}"#, Api::Chat).ok().unwrap();
    assert_eq!(unknown.check(ProviderKind::Node, &rules()), Ok(()), "own nodes get it intact");
}

#[test]
fn wrong_types_and_missing_fields_are_named() {
    assert_eq!(chat(r#"{"messages":[]}"#).err(), Some(Refusal::MissingField("model")));
    assert_eq!(chat(r#"{"model":"m"}"#).err(), Some(Refusal::MissingField("messages")));
    assert_eq!(chat(r#"{"model":1,"messages":[]}"#).err(), Some(Refusal::WrongType("model", "a string")));
    assert_eq!(chat(r#"{"model":"m","messages":{}}"#).err(), Some(Refusal::WrongType("messages", "an array")));
    assert_eq!(with(r#","stream":"yes""#).err(), Some(Refusal::WrongType("stream", "true or false")));
    assert_eq!(chat("[]").err(), Some(Refusal::WrongType("body", "a JSON object")));
    assert!(matches!(chat(r#"{"model":"m","messages":[]} x"#), Err(Refusal::Json(_))));
}

fn edited(body: &str, model: &str) -> String {
    let request = inspect(body.as_bytes(), Api::Chat).ok().unwrap();
    let mut out = ContentBuf::new();
    request.edits(&Change { model, pseudonym: "p", cache: false }, &rules()).apply(body.as_bytes(), &mut out);
    String::from_utf8(out.expose().to_vec()).unwrap()
}

#[test]
fn forced_fields_are_patched_in_and_the_rest_stays() {
    assert_eq!(edited(r#" { "model" : "m" , "messages":[ ]}"#, "n"), r#" {"store":false, "model" : "n" , "messages":[ ]}"#);
    for (options, expected) in [
        ("", r#"{"store":false,"stream_options":{"include_usage":true},"model":"m","messages":[],"stream":true}"#),
        (
            r#","stream_options":null"#,
            r#"{"store":false,"model":"m","messages":[],"stream":true,"stream_options":{"include_usage":true}}"#,
        ),
        (
            r#","stream_options":{}"#,
            r#"{"store":false,"model":"m","messages":[],"stream":true,"stream_options":{"include_usage":true}}"#,
        ),
        (
            r#","stream_options":{"include_usage":false}"#,
            r#"{"store":false,"model":"m","messages":[],"stream":true,"stream_options":{"include_usage":true}}"#,
        ),
        (
            r#","stream_options":{"a":1}"#,
            r#"{"store":false,"model":"m","messages":[],"stream":true,"stream_options":{"include_usage":true,"a":1}}"#,
        ),
    ] {
        assert_eq!(edited(&format!(r#"{{"model":"m","messages":[],"stream":true{options}}}"#), "m"), expected);
    }
    let asked = r#"{"store":null,"model":"m","messages":[],"stream":true,"stream_options":{"include_usage":true}}"#;
    assert_eq!(edited(asked, "m"), asked.replace("null", "false"));
}
/// Vertex AI has the model of Anthropic's format in the path, and the version in the body.
#[test]
fn a_model_can_be_left_out_for_a_server_that_has_it_in_the_path() {
    let rules = ApiRules {
        fields: ["messages", "max_tokens", "stream"].map(String::from).into(),
        strip: vec!["model".into()],
        force: vec![("anthropic_version".into(), r#""vertex-2023-10-16""#.into())],
        ..ApiRules::plain(Api::Messages)
    };
    let patched = |body: &str| {
        let request = inspect(body.as_bytes(), Api::Messages).ok().unwrap();
        request.check(ProviderKind::Hosted, &rules).unwrap();
        let mut out = ContentBuf::new();
        request.edits(&Change { model: "another", pseudonym: "p", cache: false }, &rules).apply(body.as_bytes(), &mut out);
        String::from_utf8(out.expose().to_vec()).unwrap()
    };
    let forced = r#""anthropic_version":"vertex-2023-10-16","#;
    for (body, rest) in [
        (r#"{"model":"m","max_tokens":1,"messages":[]}"#, r#""max_tokens":1,"messages":[]}"#),
        (r#"{"max_tokens":1,"model":"m","messages":[]}"#, r#""max_tokens":1,"messages":[]}"#),
        (r#"{"max_tokens":1,"messages":[], "model":"m"}"#, r#""max_tokens":1,"messages":[]}"#),
    ] {
        assert_eq!(patched(body), ["{", forced, rest].concat());
    }
}

#[test]
fn quirks_of_a_server_are_patched() {
    let rules = ApiRules {
        fields: ["messages", "model", "max_completion_tokens"].map(String::from).into(),
        strip: vec!["user".into()],
        rename: vec![("max_completion_tokens".into(), "max_tokens".into())],
        force: vec![("provider".into(), r#"{"zdr":true}"#.into())],
        ..ApiRules::plain(Api::Chat)
    };
    let patched = |body: &str| {
        let request = inspect(body.as_bytes(), Api::Chat).ok().unwrap();
        request.check(ProviderKind::Hosted, &rules).unwrap();
        let mut out = ContentBuf::new();
        request.edits(&Change { model: "m", pseudonym: "p", cache: false }, &rules).apply(body.as_bytes(), &mut out);
        String::from_utf8(out.expose().to_vec()).unwrap()
    };
    assert_eq!(patched(r#"{"model":"m","messages":[],"user":"u"}"#), r#"{"provider":{"zdr":true},"model":"m","messages":[]}"#);
    assert_eq!(patched(r#"{"user":"u" , "model":"m","messages":[]}"#), r#"{"provider":{"zdr":true},"model":"m","messages":[]}"#);
    assert_eq!(
        patched(r#"{"model":"m","messages":[],"max_completion_tokens":5}"#),
        r#"{"provider":{"zdr":true},"model":"m","messages":[],"max_tokens":5}"#
    );
}

#[test]
fn neighbours_are_left_out_together() {
    let rules = ApiRules {
        fields: ["messages", "model"].map(String::from).into(),
        strip: ["store", "stream_options", "user"].map(String::from).into(),
        ..ApiRules::plain(Api::Chat)
    };
    let patched = |body: &str| {
        let request = inspect(body.as_bytes(), Api::Chat).ok().unwrap();
        request.check(ProviderKind::Hosted, &rules).unwrap();
        let mut out = ContentBuf::new();
        request.edits(&Change { model: "n", pseudonym: "p", cache: false }, &rules).apply(body.as_bytes(), &mut out);
        String::from_utf8(out.expose().to_vec()).unwrap()
    };
    for body in [
        r#"{"model":"m","messages":[],"store":false,"user":"u"}"#,
        r#"{"model":"m","messages":[],"store":false,"user":"u","stream_options":{}}"#,
        r#"{"user":"u","store":false,"model":"m","messages":[]}"#,
        r#"{"model":"m","user":"u","store":false,"messages":[]}"#,
        r#"{"store":false,"model":"m","user":"u","messages":[],"stream_options":{}}"#,
    ] {
        assert_eq!(patched(body), r#"{"model":"n","messages":[]}"#, "{body}");
    }
}

fn patched(body: &str, rules: &ApiRules) -> (String, bool) {
    let request = inspect(body.as_bytes(), Api::Chat).ok().unwrap();
    let mut out = ContentBuf::new();
    request.edits(&Change { model: "m", pseudonym: "p", cache: false }, rules).apply(body.as_bytes(), &mut out);
    (String::from_utf8(out.expose().to_vec()).unwrap(), request.loses_thoughts(rules))
}

/// Mistral takes ids of nine letters or digits only; a call keeps its own result.
#[test]
fn ids_of_calls_are_shortened_where_a_server_wants_it() {
    let body = r#"{"model":"m","messages":[{"role":"assistant","tool_calls":[{"id":"call_\u0061bc","type":"function","function":{"name":"f","arguments":"{}"}},{"id":"D681PevKs"}]},{"role":"tool","tool_call_id":"call_abc","content":"x"},{"role":"tool","tool_call_id":"D681PevKs","content":"y"}]}"#;
    let rules = ApiRules { short_call_ids: true, ..ApiRules::plain(Api::Chat) };
    let value: serde_json::Value = serde_json::from_str(&patched(body, &rules).0).unwrap();
    let messages = &value["messages"];
    let short = messages[0]["tool_calls"][0]["id"].as_str().unwrap();
    assert!(short.len() == 9 && short.bytes().all(|byte| byte.is_ascii_alphanumeric()), "{short}");
    assert_eq!(messages[1]["tool_call_id"], short);
    assert_eq!((&messages[0]["tool_calls"][1]["id"], &messages[2]["tool_call_id"]), (&"D681PevKs".into(), &"D681PevKs".into()));
    assert_eq!(patched(body, &ApiRules::plain(Api::Chat)).0, body, "only where it is wanted");
}

/// Servers refuse thoughts in fields that they do not know.
#[test]
fn thoughts_go_back_only_where_they_are_taken() {
    let rules = |names: &[&str]| ApiRules {
        thoughts: names.iter().map(|name| (*name).to_owned()).collect(),
        ..ApiRules::plain(Api::Chat)
    };
    let body = |message: &str| format!(r#"{{"model":"m","messages":[{{{message}}},{{"role":"user","content":"x"}}]}}"#);
    let rest = r#""role":"assistant","content":"a""#;
    for message in [
        r#""role":"assistant","reasoning_content":"t","content":"a""#,
        r#""role":"assistant", "reasoning_content":"t", "reasoning_details":[{"a":1}],"content":"a""#,
        r#""reasoning_content":"t","role":"assistant","content":"a""#,
        r#""reasoning_content":"t" , "reasoning":"t","role":"assistant","content":"a""#,
        r#""role":"assistant","content":"a","reasoning_details":[],"reasoning_content":"t""#,
    ] {
        let (patched, loses) = patched(&body(message), &rules(&[]));
        assert_eq!((patched, loses), (body(rest), true), "{message}");
        let all = rules(&["reasoning", "reasoning_content", "reasoning_details"]);
        assert_eq!(self::patched(&body(message), &all), (body(message), false));
    }
    let own = body(r#""role":"assistant","reasoning_content":"t","content":"a""#);
    assert_eq!(
        patched(&own, &rules(&["reasoning"])),
        (own.replace("reasoning_content", "reasoning"), false),
        "by the server's name"
    );
    assert_eq!(patched(&body(rest), &rules(&[])), (body(rest), false));
}
