//! Golden pairs of Gemini and chat completions: what goes in stands in `<case>.in.json`, what comes out beside it in `<case>.out.json`.
//!
//! The kind of message is the first word of the case's name. `LETHE_BLESS=1` writes what comes out; read it before it is committed.

#![expect(clippy::unwrap_used, reason = "a failed test")]

use std::path::Path;

use lethe_content::ContentBuf;
use lethe_wire::conversation::{Identity, Sending, StreamReader, StreamWriter, Wanted};
use lethe_wire::{gemini, openai};
use serde_json::{Value, json};

const TO: Sending<'_> = Sending { model: "gemini-3-pro-preview", max_output_tokens: None };

fn identity() -> Identity {
    Identity { id: "r1".into(), created: 2, model: "m".into() }
}

fn frames(reader: &mut dyn StreamReader, writer: &mut dyn StreamWriter, frames: &Value) -> ContentBuf {
    let mut out = ContentBuf::new();
    for frame in frames.as_array().unwrap() {
        let sink = &mut |event: lethe_wire::conversation::Event<'_>| writer.write(&event, &mut out).unwrap();
        reader.read(b"", frame.to_string().as_bytes(), sink).unwrap();
    }
    assert!(reader.is_complete());
    writer.end(&mut out);
    out
}

fn events(out: &ContentBuf) -> Value {
    let text = std::str::from_utf8(out.expose()).unwrap();
    text.lines()
        .filter_map(|line| line.strip_prefix("data: "))
        .map(|data| serde_json::from_str(data).unwrap_or(json!(data)))
        .collect()
}

fn translated(direction: &str, kind: &str, input: &Value) -> Value {
    let body = input.to_string();
    let body = body.as_bytes();
    let wanted = Wanted { stream: true, usage: true, encrypted_reasoning: true };
    let mut out = ContentBuf::new();
    match (direction, kind) {
        ("chat-gemini", "request") => gemini::write_request(&openai::read_request(body).ok().unwrap(), &TO, &mut out).unwrap(),
        ("chat-gemini", "reply") => gemini::write_reply(&openai::read_reply(body).ok().unwrap(), &identity(), &mut out).unwrap(),
        ("chat-gemini", "stream") => {
            let mut writer = gemini::Writer::new(identity(), wanted, gemini::Framing::Events);
            return events(&frames(&mut openai::Reader::default(), &mut writer, input));
        }
        ("gemini-chat", "request") => openai::write_request(&gemini::read_request(body).ok().unwrap(), &TO, &mut out).unwrap(),
        ("gemini-chat", "reply") => openai::write_reply(&gemini::read_reply(body).ok().unwrap(), &identity(), &mut out).unwrap(),
        ("gemini-chat", "stream") => {
            let mut writer = openai::Writer::new(identity(), wanted);
            return events(&frames(&mut gemini::Reader::default(), &mut writer, input));
        }
        _ => unreachable!("a case of another kind"),
    }
    serde_json::from_slice(out.expose()).unwrap()
}

fn check(direction: &str) -> usize {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/gemini").join(direction);
    let mut cases = 0;
    for entry in std::fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        let Some(case) = name.strip_suffix(".in.json") else { continue };
        cases += 1;
        let input = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        let output = translated(direction, case.split('-').next().unwrap(), &input);
        let expected = folder.join(format!("{case}.out.json"));
        if std::env::var_os("LETHE_BLESS").is_some() {
            std::fs::write(&expected, serde_json::to_string_pretty(&output).unwrap() + "\n").unwrap();
        }
        let expected: Value = serde_json::from_slice(&std::fs::read(&expected).unwrap()).unwrap();
        assert_eq!(output, expected, "{direction}/{case}");
    }
    cases
}

#[test]
fn chat_completions_become_gemini() {
    assert_eq!(check("chat-gemini"), 4);
}

#[test]
fn gemini_becomes_chat_completions() {
    assert_eq!(check("gemini-chat"), 5);
}

/// Thoughts of which only an id is known say nothing here, and a content without parts would be refused.
#[test]
fn thoughts_without_content_are_left_out() {
    use lethe_wire::conversation::{Message, PartKind, Request, Role, Str, Thinking};
    let thought = || PartKind::Reasoning(Thinking { id: Some(Str::of("rs_1")), ..Thinking::default() });
    let mut request = Request::new(lethe_types::Api::Chat);
    for (role, parts) in [
        (Role::User, vec![PartKind::Text(Str::of("a")).into()]),
        (Role::Assistant, vec![thought().into()]),
        (Role::User, vec![PartKind::Text(Str::of("b")).into()]),
    ] {
        request.messages.push(Message { role, name: None, parts });
    }
    let mut out = ContentBuf::new();
    gemini::write_request(&request, &TO, &mut out).unwrap();
    let expected = json!({"contents": [{"role": "user", "parts": [{"text": "a"}]}, {"role": "user", "parts": [{"text": "b"}]}]});
    assert_eq!(serde_json::from_slice::<Value>(out.expose()).unwrap(), expected);
}
