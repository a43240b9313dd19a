//! Golden pairs of chat completions and the formats that only providers speak: what goes in stands in `<case>.in.json`, what comes out beside it in
//! `<case>.out.json`. Streams are given as frames, travel in their own framing, cut at every size, and come out as the client's events.
//!
//! The kind of message is the first word of the case's name. `LETHE_BLESS=1` writes what comes out; read it before it is committed.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a failed test")]

mod frames;

use std::path::Path;

use lethe_content::ContentBuf;
use lethe_providers::formats;
use lethe_types::Api;
use lethe_wire::conversation::{Identity, Sending, Wanted};
use lethe_wire::openai;
use lethe_wire::passage::Passage;
use serde_json::{Value, json};

fn identity() -> Identity {
    Identity { id: "r1".into(), created: 2, model: "m".into() }
}

const fn model(api: Api) -> &'static str {
    match api {
        Api::Converse => "eu.anthropic.claude-sonnet-4-5-20250929-v1:0",
        _ => "p",
    }
}

fn events(out: &[u8]) -> Value {
    let text = std::str::from_utf8(out).unwrap();
    let data = text.lines().filter_map(|line| line.strip_prefix("data: "));
    data.map(|data| serde_json::from_str(data).unwrap_or(json!(data))).collect()
}

/// The stream as the client gets it, in pieces of `size` bytes.
fn passed(api: Api, bytes: &[u8], size: usize) -> Vec<u8> {
    let (framing, reader) = formats::reader(api, false).unwrap();
    let wanted = Wanted { stream: true, usage: true, encrypted_reasoning: true };
    let mut passage = Passage::new(framing, reader, Some(Box::new(openai::Writer::new(identity(), wanted))));
    let (mut pending, mut out) = (ContentBuf::new(), ContentBuf::new());
    for piece in bytes.chunks(size) {
        pending.extend(piece);
        passage.pass(&mut pending, &mut out).unwrap();
    }
    passage.end(&mut out).unwrap();
    out.expose().to_vec()
}

fn translated(api: Api, kind: &str, input: &Value) -> Value {
    let body = input.to_string();
    let mut out = ContentBuf::new();
    match kind {
        "request" => {
            let request = openai::read_request(body.as_bytes()).unwrap_or_else(|refusal| panic!("{refusal:?}"));
            let to = Sending { model: model(api), max_output_tokens: Some(99) };
            formats::write_request(api, &request, &to, &mut out).unwrap();
        }
        "reply" => {
            let reply = formats::read_reply(api, body.as_bytes()).ok().unwrap();
            openai::write_reply(&reply, &identity(), &mut out).unwrap();
        }
        "stream" => {
            let bytes = frames::framed(api, input);
            let whole = passed(api, &bytes, bytes.len());
            for size in [1, 2, 3, 7, 64] {
                assert_eq!(passed(api, &bytes, size), whole, "in pieces of {size}");
            }
            return events(&whole);
        }
        _ => unreachable!("a case of another kind"),
    }
    serde_json::from_slice(out.expose()).unwrap()
}

fn check(api: Api, direction: &str) -> usize {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(direction);
    let mut cases = 0;
    for entry in std::fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        let Some(case) = name.strip_suffix(".in.json") else { continue };
        cases += 1;
        let input = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        let output = translated(api, case.split('-').next().unwrap(), &input);
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
fn chat_completions_become_converse_and_come_back() {
    assert_eq!((check(Api::Converse, "chat-converse"), check(Api::Converse, "converse-chat")), (3, 4));
}

#[test]
fn chat_completions_become_coheres_chat_and_come_back() {
    assert_eq!((check(Api::CohereChat, "chat-cohere"), check(Api::CohereChat, "cohere-chat")), (2, 3));
}

#[test]
fn chat_completions_become_ollamas_chat_and_come_back() {
    assert_eq!((check(Api::OllamaChat, "chat-ollama"), check(Api::OllamaChat, "ollama-chat")), (2, 3));
}
