//! Messages that a model answers with, whole and streamed: read into the common form and written again.

#![expect(clippy::unwrap_used, reason = "a failed test")]

use lethe_content::ContentBuf;
use lethe_wire::anthropic::{Reader, Writer, read_reply, read_request, write_reply};
use lethe_wire::conversation::{Event, Finish, Identity, Malformed, Sending, Str, StreamReader, StreamWriter, Usage, Wanted};
use lethe_wire::error::{ErrorBody, ErrorType};
use lethe_wire::openai;
use proptest::prelude::*;
use serde_json::{Value, json};

const TO: Sending<'static> = Sending { model: "m", max_output_tokens: None };

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

/// A stream in an order of keys and with events that the reference does not show.
const STREAM: [&str; 7] = [
    r#"{"message":{"usage":{"output_tokens":1,"input_tokens":3,"cache_read_input_tokens":2},"id":"msg_1"},"type":"message_start"}"#,
    r#"{"type":"ping"}"#,
    r#"{"content_block":{"text":"a","type":"text"},"index":4,"type":"content_block_start"}"#,
    r#"{"index":4,"delta":{"text":"b","type":"text_delta"},"type":"content_block_delta"}"#,
    r#"{"type":"content_block_start","index":5,"content_block":{"type":"tool_use","id":"c","name":"f","input":{"x":1}}}"#,
    r#"{"type":"vertex_event","v":1}"#,
    r#"{"type":"message_delta","delta":{"stop_reason":"stop_sequence","stop_sequence":"E"},"usage":{"output_tokens":9,"input_tokens":null}}"#,
];

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
    let (result, seen, complete, ended) = read(&STREAM);
    let expected =
        ["start msg_1", "usage 5 1", "text a", "text b", "call 0 c f", "arguments 0 {\"x\":1}", "usage 5 9", "stopped at E"];
    assert_eq!((result, seen.iter().map(String::as_str).collect::<Vec<_>>()), (Ok(()), expected.to_vec()));
    assert!(complete && !ended, "a reason to end is enough; the end itself need not be waited for");
    assert!(!read(&STREAM[..6]).2, "what is cut is not complete");
    let with_metrics = r#"{"type":"message_stop","amazon-bedrock-invocationMetrics":{"inputTokenCount":8}}"#;
    assert!(read(&[STREAM[0], STREAM[6], with_metrics]).3);
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

/// What the official SDKs make of a stream (`accumulate_event` of `anthropic` for Python).
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
    fn no_input_panics(input in prop::collection::vec(any::<u8>(), 0..200), cut in 0usize..200, at in 0usize..7) {
        let _ = read_reply(&input);
        let _ = Reader::default().read(b"", &input, &mut |_| {});
        let frame = STREAM[at].as_bytes();
        let _ = Reader::default().read(b"", &frame[..cut.min(frame.len())], &mut |_| {});
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
