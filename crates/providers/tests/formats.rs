//! What the formats that only providers speak cannot say is refused by its name, and what is no answer of theirs is a fault.

#![expect(clippy::unwrap_used, reason = "a failed test")]

mod frames;

use lethe_content::ContentBuf;
use lethe_providers::{bedrock, cohere, formats, ollama};
use lethe_types::Api;
use lethe_wire::conversation::{
    Event, Finish, Identity, Malformed, Message, PartKind, Request, Role, Sending, Str, StreamReader, StreamWriter, Thinking,
    Usage, Wanted,
};
use lethe_wire::openai;
use lethe_wire::passage::Passage;
use lethe_wire::refusal::Refusal;
use proptest::prelude::*;
use serde_json::{Value, json};

const CLAUDE: &str = "anthropic.claude-sonnet-4-5-20250929-v1:0";
const APIS: [Api; 3] = [Api::Converse, Api::CohereChat, Api::OllamaChat];

fn written(api: Api, model: &str, fields: &str, content: &str) -> Result<Value, Refusal> {
    let body = format!(r#"{{"model":"m","messages":[{{"role":"user","content":{content}}}]{fields}}}"#);
    let request = openai::read_request(body.as_bytes()).ok().unwrap();
    let mut out = ContentBuf::new();
    formats::write_request(api, &request, &Sending { model, max_output_tokens: None }, &mut out)?;
    Ok(serde_json::from_slice(out.expose()).unwrap())
}

fn refused(api: Api, fields: &str, content: &str) -> Option<&'static str> {
    match written(api, CLAUDE, fields, content) {
        Err(Refusal::Untranslatable { field, target }) if target == api => Some(field),
        _ => None,
    }
}

#[test]
fn what_cannot_be_said_is_refused_by_name() {
    for api in APIS {
        assert_eq!(refused(api, "", "\"x\""), None, "control");
        assert_eq!(refused(api, r#","logit_bias":{"1":2}"#, "\"x\""), Some("logit_bias"));
        assert_eq!(refused(api, r#","n":2"#, "\"x\""), Some("n"));
        // The gateway sees to it that no more than one comes.
        assert_eq!(refused(api, r#","parallel_tool_calls":false"#, "\"x\""), None);
    }
    for (field, name) in [
        (r#","seed":1"#, "seed"),
        (r#","frequency_penalty":1"#, "frequency_penalty"),
        (r#","presence_penalty":1"#, "presence_penalty"),
        (r#","response_format":{"type":"json_object"}"#, "response_format"),
    ] {
        assert_eq!(refused(Api::Converse, field, "\"x\""), Some(name));
        assert_eq!(refused(Api::OllamaChat, field, "\"x\""), None);
    }
    let required = r#","tool_choice":"required","tools":[{"type":"function","function":{"name":"f"}}]"#;
    assert_eq!(refused(Api::OllamaChat, required, "\"x\""), Some("tool_choice"));
    let one_of_two = r#","tool_choice":{"type":"function","function":{"name":"f"}},"tools":[{"type":"function","function":{"name":"f"}},{"type":"function","function":{"name":"g"}}]"#;
    assert_eq!(refused(Api::CohereChat, one_of_two, "\"x\""), Some("tool_choice"));
    assert_eq!(refused(Api::Converse, one_of_two, "\"x\""), None);
    let document = r#"[{"type":"file","file":{"filename":"a.pdf","file_data":"data:application/pdf;base64,AAAA"}}]"#;
    assert_eq!(refused(Api::CohereChat, "", document), Some("messages.content.file"));
    assert_eq!(refused(Api::OllamaChat, "", document), Some("messages.content.file"));
    let sheet = r#"[{"type":"file","file":{"file_data":"data:application/zip;base64,AAAA"}}]"#;
    assert_eq!(refused(Api::Converse, "", sheet), Some("messages.content.file"));
    let detailed = r#"[{"type":"image_url","image_url":{"url":"data:image/png;base64,AAAA","detail":"low"}}]"#;
    assert_eq!(refused(Api::Converse, "", detailed), Some("messages.content.image_url.detail"));
    assert_eq!(refused(Api::OllamaChat, "", detailed), Some("messages.content.image_url.detail"));
    let sound = r#"[{"type":"input_audio","input_audio":{"data":"AAAA","format":"wav"}}]"#;
    assert_eq!(refused(Api::CohereChat, "", sound), Some("messages.content.input_audio"));
}

#[test]
fn each_family_on_bedrock_reasons_in_its_own_words() {
    let own = |model: &str, fields: &str| {
        written(Api::Converse, model, fields, "\"x\"").map(|mut body| body["additionalModelRequestFields"].take())
    };
    let budget = |tokens: u64| json!({"thinking": {"type": "enabled", "budget_tokens": tokens}});
    assert_eq!(own(CLAUDE, ""), Ok(Value::Null));
    assert_eq!(own(CLAUDE, r#","reasoning_effort":"high""#), Ok(budget(16_384)));
    assert_eq!(own(CLAUDE, r#","reasoning_effort":"high","max_tokens":4000"#), Ok(budget(3999)), "it leaves something to say");
    assert_eq!(own(CLAUDE, r#","reasoning_effort":"none""#), Ok(json!({"thinking": {"type": "disabled"}})));
    let newer = "global.anthropic.claude-opus-5";
    assert_eq!(own(newer, r#","reasoning_effort":"high""#), Ok(json!({"thinking": {"type": "adaptive"}})));
    assert_eq!(own(newer, r#","reasoning_effort":"none""#), Ok(json!({"thinking": {"type": "disabled"}})));
    let effort = written(Api::Converse, newer, r#","reasoning_effort":"minimal""#, "\"x\"").unwrap();
    assert_eq!(effort["outputConfig"], json!({"effort": "low"}));
    assert_eq!(own("us.amazon.nova-2-lite-v1:0", r#","top_k":3"#), Ok(json!({"inferenceConfig": {"topK": 3}})));
    let nova = json!({"reasoningConfig": {"type": "enabled", "maxReasoningEffort": "low"}});
    assert_eq!(own("us.amazon.nova-2-lite-v1:0", r#","reasoning_effort":"minimal""#), Ok(nova));
    let gpt = json!({"reasoning_effort": "medium"});
    assert_eq!(own("openai.gpt-oss-120b-1:0", r#","reasoning_effort":"medium""#), Ok(gpt));
    for (model, fields, field) in [
        ("openai.gpt-oss-120b-1:0", r#","reasoning_effort":"none""#, "reasoning_effort"),
        ("us.deepseek.r1-v1:0", r#","reasoning_effort":"low""#, "reasoning_effort"),
        ("us.deepseek.r1-v1:0", r#","top_k":3"#, "top_k"),
    ] {
        assert_eq!(own(model, fields), Err(Refusal::Untranslatable { field, target: Api::Converse }));
    }
}

#[test]
fn calls_are_not_left_without_their_functions() {
    let tools = r#""tools":[{"type":"function","function":{"name":"f"}}],"tool_choice":"none""#;
    let body = format!(r#"{{"model":"m",{tools},"messages":[{{"role":"user","content":"x"}}]}}"#);
    let called = body.replace(
        r#""content":"x"}"#,
        r#""content":"x"},{"role":"assistant","tool_calls":[{"id":"c","type":"function","function":{"name":"f","arguments":"{}"}}]}"#,
    );
    let write = |body: &str| {
        let request = openai::read_request(body.as_bytes()).ok().unwrap();
        let mut out = ContentBuf::new();
        bedrock::write_request(&request, &Sending { model: CLAUDE, max_output_tokens: None }, &mut out)?;
        Ok::<Value, Refusal>(serde_json::from_slice(out.expose()).unwrap())
    };
    assert_eq!(write(&body).unwrap()["toolConfig"], Value::Null);
    assert_eq!(write(&called), Err(Refusal::Untranslatable { field: "tool_choice", target: Api::Converse }));
    assert!(write(&called.replace(r#","tool_choice":"none""#, "")).is_ok(), "control");
}

/// Thoughts of which only an id is known say nothing here, and a content without parts would be refused.
#[test]
fn thoughts_without_content_are_left_out() {
    let thought = || PartKind::Reasoning(Thinking { id: Some(Str::of("rs_1")), ..Thinking::default() });
    let mut request = Request::new(Api::Chat);
    for (role, parts) in [
        (Role::User, vec![PartKind::Text(Str::of("a")).into()]),
        (Role::Assistant, vec![thought().into()]),
        (Role::User, vec![PartKind::Text(Str::of("b")).into()]),
    ] {
        request.messages.push(Message { role, name: None, parts });
    }
    let mut out = ContentBuf::new();
    formats::write_request(Api::GenerateContent, &request, &Sending { model: "m", max_output_tokens: None }, &mut out).unwrap();
    let expected = json!({"contents": [{"role": "user", "parts": [{"text": "a"}]}, {"role": "user", "parts": [{"text": "b"}]}]});
    assert_eq!(serde_json::from_slice::<Value>(out.expose()).unwrap(), expected);
}

#[test]
fn what_is_no_answer_is_a_fault() {
    for api in APIS {
        for bad in ["", "{}", "[]", "{\"error\":\"x\"}", "{\"message\":\"x\"}", "{\"done\":true", "<html>"] {
            assert!(formats::read_reply(api, bad.as_bytes()).is_err(), "{api:?} {bad}");
        }
    }
    let converse = |content: &str, reason: &str| {
        let body = format!(r#"{{"output":{{"message":{{"content":[{content}]}}}},"stopReason":"{reason}"}}"#);
        bedrock::read_reply(body.as_bytes()).is_ok()
    };
    assert!(converse(r#"{"text":"x"}"#, "end_turn"), "control");
    assert!(!converse(r#"{"video":{}}"#, "end_turn"), "content that no client's format has");
    assert!(!converse(r#"{"text":"x"}"#, "malformed_tool_use"));
    let broken = r#"{"finish_reason":"ERROR","message":{"content":[{"type":"text","text":"x"}]}}"#;
    assert!(cohere::read_reply(broken.as_bytes()).is_err());
    assert!(cohere::read_reply(broken.replace("ERROR", "COMPLETE").as_bytes()).is_ok(), "control");
    let unfinished = r#"{"message":{"content":"x"},"done":false}"#;
    assert!(ollama::read_reply(unfinished.as_bytes()).is_err());
    assert!(ollama::read_reply(unfinished.replace("false", "true").as_bytes()).is_ok(), "control");
}

/// What a reader says of frames, shortly, and how it stands after them.
fn told(reader: &mut dyn StreamReader, frames: &[(&str, &str)]) -> Result<(Vec<String>, bool, bool), Malformed> {
    let mut told = Vec::new();
    for (name, data) in frames {
        reader.read(name.as_bytes(), data.as_bytes(), &mut |event| {
            told.push(match event {
                Event::Error { message } => format!("error {}", message.plain()),
                Event::Finish(Finish::ContentFilter) => "filtered".to_owned(),
                Event::Finish(_) => "finish".to_owned(),
                Event::Text(piece) => piece.plain().into_owned(),
                Event::Usage(Usage { input, output, .. }) => format!("{input} {output}"),
                _ => "other".to_owned(),
            });
        })?;
    }
    Ok((told, reader.is_complete(), reader.has_ended()))
}

#[test]
fn an_end_is_an_end_and_an_error_is_told() {
    let start = ("messageStart", "{}");
    let stop = ("messageStop", r#"{"stopReason":"guardrail_intervened"}"#);
    let metadata = ("metadata", r#"{"usage":{"inputTokens":1,"outputTokens":2}}"#);
    let read = |frames: &[(&str, &str)]| {
        let (told, complete, ended) = told(&mut bedrock::Reader::default(), frames).ok()?;
        Some((told.join(","), complete, ended))
    };
    let seen = |told: &str, complete, ended| Some((told.to_owned(), complete, ended));
    assert_eq!(read(&[start]), seen("other", false, false));
    assert_eq!(read(&[start, stop]), seen("other,filtered", true, false), "usage may follow");
    assert_eq!(read(&[start, stop, metadata]), seen("other,filtered,1 2", true, true));
    assert_eq!(read(&[start, metadata]), seen("other,1 2", false, false), "usage is no end");
    let exception = ("modelStreamErrorException", r#"{"message":"mo\"del","originalStatusCode":500}"#);
    assert_eq!(read(&[start, exception]), seen("other,error mo\"del", false, false));
    assert_eq!(read(&[("error", "words \" of a header")]), seen("error words \" of a header", false, false));
    assert_eq!(read(&[("contentBlockDelta", r#"{"contentBlockIndex":0,"delta":{"image":{}}}"#)]), None);
    assert_eq!(
        read(&[("contentBlockDelta", r#"{"contentBlockIndex":0,"delta":{"toolUse":{"input":"x"}}}"#)]),
        None,
        "of no call"
    );

    let mut cohere = cohere::Reader::default();
    let failed = r#"{"type":"message-end","delta":{"finish_reason":"ERROR","error":"no luck"}}"#;
    assert_eq!(told(&mut cohere, &[("", failed)]).ok(), Some((vec!["error no luck".to_owned()], false, false)));
    assert_eq!(told(&mut cohere, &[("", r#"{"message":"odd"}"#)]).ok(), Some((vec!["error odd".to_owned()], false, false)));
    let mut ollama = ollama::Reader::default();
    let done = r#"{"message":{"content":"x"},"done":true,"eval_count":3}"#;
    let all = ["other", "x", "0 3", "finish"].map(str::to_owned).to_vec();
    assert_eq!(told(&mut ollama, &[("", done)]).ok(), Some((all, true, true)));
}

/// Each line ends with a line feed but the last one, which a server may leave open; one that is half a line is a cut.
#[test]
fn a_last_line_needs_no_line_feed() {
    let passed = |bytes: &[u8], writes: bool| {
        let (framing, reader) = formats::reader(Api::OllamaChat, !writes).unwrap();
        let identity = Identity { id: "1".into(), created: 2, model: "m".into() };
        let writer = writes.then(|| Box::new(openai::Writer::new(identity, Wanted::default())) as Box<dyn StreamWriter>);
        let mut passage = Passage::new(framing, reader, writer);
        let (mut pending, mut out) = (ContentBuf::new(), ContentBuf::new());
        pending.extend(bytes);
        passage.pass(&mut pending, &mut out).unwrap();
        passage.end(&mut pending, &mut out).map(|()| out.expose().to_vec())
    };
    let bytes = frames::framed(Api::OllamaChat, &json!([{"message": {"content": "x"}}, {"message": {}, "done": true}]));
    let open = bytes.strip_suffix(b"\n").unwrap();
    for writes in [false, true] {
        let whole = passed(&bytes, writes).unwrap();
        assert!(!whole.is_empty());
        assert_eq!(passed(open, writes).unwrap(), whole);
        assert_eq!(passed(&open[..open.len() - 1], writes), Err(Malformed));
        assert_eq!(passed(&open[..3], writes), Err(Malformed));
    }
}

#[test]
fn framing_is_checked_by_other_code_than_it_is_made_with() {
    let bytes = frames::framed(Api::Converse, &json!([{"messageStart": {"role": "assistant"}}]));
    assert!(lethe_wire::eventstream::next_message(&bytes, 0).ok().flatten().is_some());
}

proptest! {
    #[test]
    fn no_input_panics(
        name in "(messageStart|contentBlockStart|contentBlockDelta|messageStop|metadata|xException|error|)",
        junk in r#"[\{\}\[\]:,"a0-9.e\\-]{0,40}"#,
        key in "(contentBlockIndex|delta|start|usage|stopReason|type|message|done|error|output|tool_calls)",
    ) {
        let nested = [
            junk.clone(),
            format!(r#"{{"{key}":{junk}}}"#),
            format!(r#"{{"contentBlockIndex":0,"delta":{{"{key}":{junk}}}}}"#),
            format!(r#"{{"type":"content-delta","delta":{{"message":{{"{key}":{junk}}}}}}}"#),
            format!(r#"{{"message":{{"{key}":{junk}}},"done":true}}"#),
            format!(r#"{{"output":{{"message":{{"content":[{{"{key}":{junk}}}]}}}},"stopReason":"end_turn"}}"#),
        ];
        for api in APIS {
            let (_, mut reader) = formats::reader(api, false).unwrap();
            for data in &nested {
                let _ = formats::read_reply(api, data.as_bytes());
                let _ = reader.read(name.as_bytes(), data.as_bytes(), &mut |_| {});
            }
        }
    }
}
