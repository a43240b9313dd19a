//! Streams of responses: what a client's SDK makes of them, and that they are heard as they were told.

#![expect(clippy::panic, clippy::unwrap_used, reason = "a failed test")]

use lethe_content::ContentBuf;
use lethe_wire::conversation::{
    Arguments, Event, Finish, Identity, Malformed, Message, PartKind, Str, StreamReader, StreamWriter, ToolCall, Usage, Wanted,
};
use lethe_wire::error::{ErrorBody, ErrorType};
use lethe_wire::responses::{Echo, Reader, Writer, read_reply, read_request, write_reply};
use lethe_wire::sse;
use proptest::prelude::*;
use serde_json::{Value, json};

fn identity() -> Identity {
    Identity { id: "1".into(), created: 2, model: "m".into() }
}

fn parsed(out: &ContentBuf) -> Value {
    serde_json::from_slice(out.expose()).unwrap()
}

/// Data of the events in a stream.
fn events(stream: &[u8]) -> Vec<Value> {
    let (mut events, mut from) = (Vec::new(), 0);
    while let Some(event) = sse::next_event(stream, from).unwrap() {
        let data = &stream[event.data.unwrap()];
        if data != b"[DONE]" {
            events.push(serde_json::from_slice(data).unwrap());
        }
        from = event.span.end;
    }
    assert_eq!(from, stream.len(), "nothing stands behind the last event");
    events
}

#[test]
fn the_proof_of_a_call_comes_back_with_it() {
    let wanted = Wanted { encrypted_reasoning: true, ..Wanted::default() };
    let mut writer = Writer::new(identity(), wanted, Echo::default());
    let mut out = ContentBuf::new();
    let (id, name, signature) = (Str::constant("c"), Str::constant("f"), Some(Str::constant("P")));
    writer.write(&Event::ToolCall { index: 0, id, name, signature }, &mut out).unwrap();
    writer.write(&Event::Finish(Finish::ToolCalls), &mut out).unwrap();
    writer.end(&mut out);
    let output = events(out.expose()).pop().unwrap()["response"]["output"].clone();
    let body = json!({"model": "m", "input": output}).to_string();
    let request = read_request(body.as_bytes()).ok().unwrap();
    let [Message { parts, .. }] = request.messages.as_slice() else { panic!("one message") };
    let PartKind::ToolCall(ToolCall { signature, arguments: Arguments::Text(arguments), .. }) = &parts[0].kind else {
        panic!("a call")
    };
    assert_eq!((signature.as_ref().map(Str::raw), arguments.raw()), (Some("P"), "{}"));
}

fn failing(kind: ErrorType) -> ErrorBody<'static> {
    ErrorBody { status: 502, message: Str::constant("gone"), kind, param: None, code: "c" }
}

#[test]
fn an_error_in_the_middle_is_the_last_that_comes() {
    for (kind, code) in [(ErrorType::Provider, "server_error"), (ErrorType::RateLimit, "rate_limit_exceeded")] {
        let mut writer = Writer::new(identity(), Wanted::default(), Echo::default());
        let mut out = ContentBuf::new();
        writer.write(&Event::Text(Str::constant("a")), &mut out).unwrap();
        writer.fail(&failing(kind), &mut out);
        let length = out.len();
        writer.write(&Event::Text(Str::constant("b")), &mut out).unwrap();
        writer.fail(&failing(kind), &mut out);
        writer.end(&mut out);
        assert_eq!(out.len(), length);
        let events = events(out.expose());
        let [.., error, failed] = events.as_slice() else { panic!("two events") };
        assert_eq!(
            (&error["type"], &error["error"]["message"], &error["message"]),
            (&json!("error"), &json!("gone"), &json!("gone"))
        );
        assert_eq!((&failed["type"], &failed["response"]["status"]), (&json!("response.failed"), &json!("failed")));
        assert_eq!(failed["response"]["error"], json!({"code": code, "message": "gone"}));
    }
}

#[test]
fn a_cut_answer_is_incomplete() {
    let mut writer = Writer::new(identity(), Wanted::default(), Echo::default());
    let mut out = ContentBuf::new();
    for event in [Event::Refusal(Str::constant("n")), Event::Text(Str::constant("a")), Event::Finish(Finish::Length)] {
        writer.write(&event, &mut out).unwrap();
    }
    writer.end(&mut out);
    let last = events(out.expose()).pop().unwrap();
    assert_eq!(last["type"], "response.incomplete");
    assert_eq!(last["response"]["incomplete_details"], json!({"reason": "max_output_tokens"}));
    assert_eq!(
        (&last["response"]["completed_at"], &last["response"]["output"][0]["status"]),
        (&Value::Null, &json!("incomplete"))
    );
    assert_eq!(last["response"]["output"][0]["content"].as_array().map(Vec::len), Some(2));
    let mut out = ContentBuf::new();
    Writer::new(identity(), Wanted::default(), Echo::default()).end(&mut out);
    assert_eq!(events(out.expose()).pop().unwrap()["response"]["output"], json!([]), "nothing said is an answer too");
}

#[test]
fn what_is_held_is_bounded_and_counted() {
    let mut writer = Writer::new(identity(), Wanted::default(), Echo::default());
    let piece = "x".repeat(1 << 20);
    let mut out = ContentBuf::new();
    let mut written = 0;
    let fault = loop {
        out.clear();
        match writer.write(&Event::Text(Str::of(&piece)), &mut out) {
            Ok(()) => written += 1,
            Err(fault) => break fault,
        }
        assert!(writer.held() >= written * piece.len());
    };
    assert_eq!((fault, written), (Malformed, 15));
    writer.fail(&failing(ErrorType::Server), &mut out);
    assert_eq!(writer.held(), 0, "nothing is held behind the end");
}

/// A part of an answer, as a test makes it up.
#[derive(Clone, Debug, PartialEq)]
enum Said {
    Call(String, String),
    Refusal(String),
    Text(String),
    Thought(String, String),
}

fn said() -> impl Strategy<Value = Vec<(Said, usize)>> {
    let text = "[a-zé\"\\\\\n😀]{1,12}";
    let part = prop_oneof![
        ("[a-z]{1,5}", text).prop_map(|(name, arguments)| Said::Call(name, arguments)),
        text.prop_map(Said::Refusal),
        text.prop_map(Said::Text),
        (prop_oneof![Just(String::new()), text.prop_map(|text| text)], "[A-Z]{1,4}")
            .prop_map(|(text, proof)| Said::Thought(text, proof)),
    ];
    prop::collection::vec((part, 1usize..4), 0..8)
}

/// `text` in pieces of so many characters.
fn pieces(text: &str, size: usize) -> Vec<Str<'static>> {
    let chars: Vec<char> = text.chars().collect();
    chars.chunks(size).map(|piece| Str::of(&piece.iter().collect::<String>())).collect()
}

fn tell(parts: &[(Said, usize)], mut sink: impl FnMut(Event<'_>)) {
    let (mut calls, mut thoughts) = (0, 0);
    for (part, size) in parts {
        match part {
            Said::Call(name, arguments) => {
                sink(Event::ToolCall { index: calls, id: Str::of(&format!("c{calls}")), name: Str::of(name), signature: None });
                pieces(arguments, *size).into_iter().for_each(|piece| sink(Event::ToolArguments { index: calls, piece }));
                calls += 1;
            }
            Said::Refusal(text) => pieces(text, *size).into_iter().for_each(|piece| sink(Event::Refusal(piece))),
            Said::Text(text) => pieces(text, *size).into_iter().for_each(|piece| sink(Event::Text(piece))),
            Said::Thought(text, proof) => {
                pieces(text, *size).into_iter().for_each(|piece| sink(Event::Reasoning { index: thoughts, piece }));
                sink(Event::ReasoningSignature { index: thoughts, signature: Str::of(proof) });
                thoughts += 1;
            }
        }
    }
    sink(Event::Finish(if calls > 0 { Finish::ToolCalls } else { Finish::Stop }));
    sink(Event::Usage(Usage { input: 1, output: 2, ..Usage::default() }));
}

/// Puts pieces together again.
#[derive(Default)]
struct Heard {
    said: Vec<Said>,
    calls: Vec<usize>,
    thoughts: Vec<usize>,
    finished: bool,
}

impl Heard {
    fn hear(&mut self, event: &Event<'_>) {
        match event {
            Event::ToolCall { name, .. } => {
                self.calls.push(self.said.len());
                self.said.push(Said::Call(name.plain().into(), String::new()));
            }
            Event::ToolArguments { index, piece } => match &mut self.said[self.calls[*index as usize]] {
                Said::Call(_, arguments) => arguments.push_str(&piece.plain()),
                _ => panic!("no call"),
            },
            Event::Refusal(piece) => match self.said.last_mut() {
                Some(Said::Refusal(text)) => text.push_str(&piece.plain()),
                _ => self.said.push(Said::Refusal(piece.plain().into())),
            },
            Event::Text(piece) => match self.said.last_mut() {
                Some(Said::Text(text)) => text.push_str(&piece.plain()),
                _ => self.said.push(Said::Text(piece.plain().into())),
            },
            Event::Reasoning { index, piece } => self.thought(*index).0.push_str(&piece.plain()),
            Event::ReasoningSignature { index, signature } => *self.thought(*index).1 = signature.plain().into(),
            Event::Finish(_) => self.finished = true,
            Event::Start { .. } | Event::Usage(_) | Event::Error { .. } => {}
        }
    }

    fn thought(&mut self, index: u32) -> (&mut String, &mut String) {
        if self.thoughts.len() <= index as usize {
            self.thoughts.push(self.said.len());
            self.said.push(Said::Thought(String::new(), String::new()));
        }
        match &mut self.said[self.thoughts[index as usize]] {
            Said::Thought(text, proof) => (text, proof),
            _ => panic!("no thought"),
        }
    }
}

/// What OpenAI's SDK makes of the events before the last one (`lib/streaming/responses/_responses.py`).
fn accumulated(events: &[Value]) -> Vec<Value> {
    let mut output: Vec<Value> = Vec::new();
    for event in events {
        let index = event["output_index"].as_u64().unwrap_or_default() as usize;
        let append = |value: &mut Value| *value = json!(value.as_str().unwrap().to_owned() + event["delta"].as_str().unwrap());
        match event["type"].as_str().unwrap() {
            "response.output_item.added" => {
                assert_eq!(index, output.len());
                output.push(event["item"].clone());
            }
            "response.content_part.added" => {
                let content = output[index]["content"].as_array_mut().unwrap();
                assert_eq!(event["content_index"], content.len());
                content.push(event["part"].clone());
            }
            "response.output_text.delta" => {
                let part = event["content_index"].as_u64().unwrap() as usize;
                append(&mut output[index]["content"][part]["text"]);
            }
            "response.refusal.delta" => {
                let part = event["content_index"].as_u64().unwrap() as usize;
                append(&mut output[index]["content"][part]["refusal"]);
            }
            "response.function_call_arguments.delta" => append(&mut output[index]["arguments"]),
            "response.output_item.done" => {
                if output[index]["type"] == "reasoning" {
                    output[index] = event["item"].clone();
                }
                output[index]["status"] = event["item"]["status"].clone();
                assert_eq!(output[index]["id"], event["item"]["id"]);
            }
            _ => {}
        }
    }
    output
}

proptest! {
    #[test]
    fn a_stream_is_heard_as_it_was_told(parts in said()) {
        let wanted = Wanted { stream: true, encrypted_reasoning: true, ..Wanted::default() };
        let (mut writer, mut out) = (Writer::new(identity(), wanted, Echo::default()), ContentBuf::new());
        let (mut told, mut heard) = (Heard::default(), Heard::default());
        tell(&parts, |event| {
            told.hear(&event);
            writer.write(&event, &mut out).unwrap();
        });
        prop_assert!(writer.held() > 0);
        writer.end(&mut out);
        prop_assert_eq!(writer.held(), 0);
        let events = events(out.expose());
        let mut reader = Reader::default();
        for event in &events {
            reader.read(b"", event.to_string().as_bytes(), &mut |event| heard.hear(&event)).unwrap();
        }
        prop_assert!(reader.is_complete() && heard.finished);
        prop_assert_eq!(&heard.said, &told.said);
        let last = &events.last().unwrap()["response"];
        let mut accumulated = Value::Array(accumulated(&events));
        for item in accumulated.as_array_mut().unwrap() {
            item.as_object_mut().unwrap().retain(|_, value| !value.is_null());
        }
        prop_assert_eq!(&accumulated, &last["output"]);
        // The same answer in one piece, read back.
        let body = last.to_string();
        let reply = read_reply(body.as_bytes()).unwrap();
        let mut again = ContentBuf::new();
        write_reply(&reply, &identity(), wanted, &Echo::default(), &mut again).unwrap();
        prop_assert_eq!(&parsed(&again)["output"], &last["output"]);
    }
}
