//! One input in another format, by the code that the gateway uses.

use lethe_content::ContentBuf;
use lethe_providers::formats;
use lethe_types::Api;
use lethe_wire::client::Client;
use lethe_wire::conversation::{Identity, Sending, Wanted};
use lethe_wire::embeddings::EmbedWanted;
use lethe_wire::passage::Passage;
use lethe_wire::refusal::Refusal;
use lethe_wire::responses::Echo;
use lethe_wire::{error, sse};
use serde_json::Value;

use crate::frames;
use crate::golden::{Case, Kind};

/// A model of `api`'s provider.
pub(crate) const fn model(api: Api) -> &'static str {
    match api {
        Api::Converse => "eu.anthropic.claude-sonnet-4-5-20250929-v1:0",
        Api::GenerateContent | Api::CountTokens => "gemini-3-pro-preview",
        Api::Messages | Api::CountMessageTokens => "claude-opus-4-6",
        _ => "provider-model",
    }
}

/// Names another model wherever one is named.
pub(crate) fn rename(request: &mut Value, model: &str) {
    match request {
        Value::Array(items) => items.iter_mut().for_each(|item| rename(item, model)),
        Value::Object(members) => {
            for (name, value) in members {
                match value.as_str() {
                    Some(text) if name == "model" => {
                        *value =
                            Value::from(if text.starts_with("models/") { format!("models/{model}") } else { model.to_owned() });
                    }
                    _ => rename(value, model),
                }
            }
        }
        _ => {}
    }
}

pub(crate) const fn sending(api: Api) -> Sending<'static> {
    Sending { model: model(api), max_output_tokens: Some(64_000) }
}

/// A client who wants all that can be had.
pub(crate) fn client(api: Api) -> Client {
    Client {
        api,
        array: false,
        identity: Identity { id: "1".into(), created: 2, model: "client-model".into() },
        wanted: Wanted { stream: true, usage: true, encrypted_reasoning: true },
        echo: Echo::none(),
        one_call: false,
        vectors: EmbedWanted { base64: false, batch: true, texts: None },
    }
}

/// What becomes of `case` in the format `other`, or the field (or what else it is) that it is refused for.
pub(crate) fn translated(case: &Case, other: Api) -> Result<Value, String> {
    let body = case.input.to_string();
    let body = body.as_bytes();
    let mut out = ContentBuf::new();
    let broken = |what: &'static str| move |_| format!("{what} is malformed");
    match case.kind {
        Kind::Request | Kind::CountRequest => {
            let request = lethe_wire::formats::read_request(case.api, body)
                .unwrap_or_else(|refusal| panic!("{}: {refusal:?}", case.name()));
            formats::write_request(other, &request, &sending(other), &mut out).map_err(|refusal| field(refusal, other))?;
        }
        Kind::EmbedRequest => {
            let request = lethe_wire::formats::read_embed_request(case.api, body)
                .unwrap_or_else(|refusal| panic!("{}: {refusal:?}", case.name()));
            formats::write_embed_request(other, &request, &sending(other), &mut out).map_err(|refusal| field(refusal, other))?;
        }
        Kind::Answer => {
            let mut reply = formats::read_reply(case.api, body).map_err(broken("the answer"))?;
            client(other).write_reply(&mut reply, &mut out).map_err(broken("what comes of it"))?;
        }
        Kind::Vectors => {
            let reply = formats::read_vectors(case.api, body).map_err(broken("the answer"))?;
            client(other).write_vectors(&reply, &mut out).map_err(broken("what comes of it"))?;
        }
        Kind::Count => {
            let tokens = formats::read_count(case.api, body).map_err(broken("the answer"))?;
            client(other).write_count(tokens, &mut out).map_err(broken("what comes of it"))?;
        }
        Kind::Error => {
            let status = u16::try_from(case.input["status"].as_u64().unwrap()).unwrap();
            let body = case.input["body"].to_string();
            out = error::ErrorBody::of_provider(status, body.as_bytes()).write_wire(other);
        }
        Kind::Stream => return Ok(stream(case, other)),
    }
    let value = serde_json::from_slice(out.expose()).unwrap();
    Ok(if case.kind == Kind::Answer && other == Api::Responses { what_is_answered(value) } else { value })
}

fn field(refusal: Refusal, other: Api) -> String {
    match refusal {
        Refusal::Untranslatable { field, target } => {
            assert_eq!(target, other);
            field.to_owned()
        }
        other => panic!("{other:?}"),
    }
}

/// A stream as the client gets it: the same however it is cut.
fn stream(case: &Case, other: Api) -> Value {
    let bytes = frames::framed(case.api, &case.input);
    let whole = passed(case, other, &bytes, bytes.len());
    for size in [1, 2, 3, 7, 64] {
        assert_eq!(passed(case, other, &bytes, size), whole, "{} in pieces of {size}", case.name());
    }
    events(&whole)
}

fn passed(case: &Case, other: Api, bytes: &[u8], size: usize) -> Vec<u8> {
    let (framing, reader) = formats::reader(case.api, false).unwrap();
    let mut passage = Passage::new(framing, reader, client(other).writer());
    let (mut pending, mut out) = (ContentBuf::new(), ContentBuf::new());
    for piece in bytes.chunks(size) {
        pending.extend(piece);
        passage.pass(&mut pending, &mut out).map_err(|_| case.name()).unwrap();
    }
    passage.end(&mut pending, &mut out).map_err(|_| case.name()).unwrap();
    assert_eq!(passage.held(), 0, "nothing is kept back at the end");
    out.expose().to_vec()
}

/// The data of each event; its name, if it has one, is the data's `type`.
pub(crate) fn events(stream: &[u8]) -> Value {
    let (mut from, mut events) = (0, Vec::new());
    while let Some(event) = sse::next_event(stream, from).unwrap() {
        from = event.span.end;
        let Some(data) = event.data else { continue };
        let data = std::str::from_utf8(&stream[data]).unwrap();
        let data = serde_json::from_str(data).unwrap_or_else(|_| Value::from(data));
        if let Some(name) = event.name {
            assert_eq!(data["type"].as_str().unwrap().as_bytes(), &stream[name]);
        }
        events.push(in_short(data));
    }
    assert_eq!(from, stream.len(), "whole events only");
    Value::Array(events)
}

/// The response inside of an event shows its settings each time.
fn in_short(mut event: Value) -> Value {
    if event.get("response").is_some() {
        event["response"] = what_is_answered(event["response"].take());
    }
    event
}

/// A response without what it repeats of its request.
fn what_is_answered(mut response: Value) -> Value {
    const SHOWN: [&str; 9] =
        ["id", "object", "model", "status", "output", "usage", "error", "incomplete_details", "completed_at"];
    response.as_object_mut().unwrap().retain(|name, _| SHOWN.contains(&name.as_str()));
    response
}
