//! Translations between formats as files: `tests/golden/<client's format>-<provider's format>/<case>.<what>.in.*` and what comes out of it.
//!
//! Requests go from the client's format to the provider's, answers and streams the other way. With `LETHE_BLESS=1` what comes out is written
//! instead of compared: read it before it is committed.

#![expect(clippy::unwrap_used, clippy::panic, clippy::disallowed_methods, reason = "a test, which reads its own files")]

use std::path::Path;

use lethe_content::ContentBuf;
use lethe_wire::conversation::{Event, Identity, Malformed, Reply, Request, Sending, StreamReader, StreamWriter, Wanted};
use lethe_wire::refusal::Refusal;
use lethe_wire::sse::next_event;
use lethe_wire::{anthropic, openai};
use serde_json::Value;

/// A format as clients and providers speak it.
struct Format {
    read_request: for<'a> fn(&'a [u8]) -> Result<Request<'a>, Refusal>,
    write_request: fn(&Request<'_>, &Sending<'_>, &mut ContentBuf) -> Result<(), Refusal>,
    read_reply: for<'a> fn(&'a [u8]) -> Result<Reply<'a>, Malformed>,
    write_reply: fn(&Reply<'_>, &Identity, &mut ContentBuf) -> Result<(), Malformed>,
    reader: fn() -> Box<dyn StreamReader>,
    writer: fn(Identity, Wanted) -> Box<dyn StreamWriter>,
}

/// A format by its name; `None` for those whose own tests read their files.
fn format(name: &str) -> Option<Format> {
    Some(match name {
        "chat" => Format {
            read_request: openai::read_request,
            write_request: openai::write_request,
            read_reply: openai::read_reply,
            write_reply: openai::write_reply,
            reader: || Box::new(openai::Reader::default()),
            writer: |identity, wanted| Box::new(openai::Writer::new(identity, wanted)),
        },
        "messages" => Format {
            read_request: anthropic::read_request,
            write_request: anthropic::write_request,
            read_reply: anthropic::read_reply,
            write_reply: anthropic::write_reply,
            reader: || Box::new(anthropic::Reader::default()),
            writer: |identity, wanted| Box::new(anthropic::Writer::new(identity, wanted)),
        },
        "gemini" | "responses" => return None,
        other => panic!("no format {other}"),
    })
}

fn identity() -> Identity {
    Identity { id: "1".into(), created: 2, model: "client's".into() }
}

/// A stream as a list of events: each its name and its data.
fn events(stream: &[u8]) -> Vec<(String, String)> {
    let (mut from, mut events) = (0, Vec::new());
    let text = |span: Option<std::ops::Range<usize>>| {
        span.map(|span| String::from_utf8(stream[span].to_vec()).unwrap()).unwrap_or_default()
    };
    while let Some(event) = next_event(stream, from).unwrap() {
        from = event.span.end;
        events.push((text(event.name), text(event.data)));
    }
    assert_eq!(from, stream.len(), "whole events only");
    events
}

fn translated(client: &Format, provider: &Format, what: &str, input: &[u8]) -> Vec<u8> {
    let mut out = ContentBuf::new();
    match what {
        "request" => {
            let request = (client.read_request)(input).map_err(|refusal| format!("{refusal:?}")).unwrap();
            let to = Sending { model: "provider's", max_output_tokens: None };
            (provider.write_request)(&request, &to, &mut out).unwrap();
        }
        "reply" => {
            let reply = (provider.read_reply)(input).map_err(|_| "malformed").unwrap();
            (client.write_reply)(&reply, &identity(), &mut out).unwrap();
        }
        "stream" => {
            let (mut reader, mut writer) =
                ((provider.reader)(), (client.writer)(identity(), Wanted { usage: true, ..Wanted::default() }));
            for (name, data) in events(input) {
                let mut sink = |event: Event<'_>| writer.write(&event, &mut out).unwrap();
                reader.read(name.as_bytes(), data.as_bytes(), &mut sink).unwrap();
            }
            assert!(reader.is_complete());
            writer.end(&mut out);
            assert_eq!(writer.held(), 0);
        }
        other => panic!("nothing is called {other}"),
    }
    out.expose().to_vec()
}

/// What is compared: JSON as values, streams as lists of events with JSON in them.
fn shown(what: &str, bytes: &[u8]) -> Vec<Value> {
    if what != "stream" {
        return vec![serde_json::from_slice(bytes).unwrap()];
    }
    let event = |(name, data): (String, String)| {
        let data = serde_json::from_str(&data).unwrap_or(Value::String(data));
        serde_json::json!([name, data])
    };
    events(bytes).into_iter().map(event).collect()
}

#[test]
fn translations_are_as_they_were_read_and_approved() {
    let bless = std::env::var_os("LETHE_BLESS").is_some();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let mut cases = 0;
    for pair in std::fs::read_dir(root).unwrap() {
        let pair = pair.unwrap().path();
        let name = pair.file_name().unwrap().to_str().unwrap().to_owned();
        let (client, provider) = name.split_once('-').unwrap();
        let (Some(client), Some(provider)) = (format(client), format(provider)) else { continue };
        for file in std::fs::read_dir(&pair).unwrap() {
            let file = file.unwrap().path();
            let case = file.file_name().unwrap().to_str().unwrap().to_owned();
            let [_, what, "in", _] = case.split('.').collect::<Vec<_>>()[..] else { continue };
            let out = translated(&client, &provider, what, &std::fs::read(&file).unwrap());
            let golden = pair.join(case.replace(".in.", ".out."));
            if bless {
                let pretty = if what == "stream" {
                    out.clone()
                } else {
                    let value: Value = serde_json::from_slice(&out).unwrap();
                    format!("{}\n", serde_json::to_string_pretty(&value).unwrap()).into_bytes()
                };
                std::fs::write(&golden, pretty).unwrap();
            }
            let expected = std::fs::read(&golden).map_err(|error| format!("{}: {error}", golden.display())).unwrap();
            assert_eq!(shown(what, &out), shown(what, &expected), "{name}/{case}");
            cases += 1;
        }
    }
    assert!(cases >= 11, "{cases} cases were found");
}
