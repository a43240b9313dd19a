//! A stream of any provider's format becomes the same stream of a client's format whatever pieces it comes in, and the same figures for the meter. What
//! the client gets is of its format all the way: events of JSON, or one JSON array; also where the stream breaks, when an error ends it.

use super::Cuts;
use super::reply_translation::client;
use lethe_content::ContentBuf;
use lethe_providers::formats::reader;
use lethe_types::Api;
use lethe_wire::conversation::{Str, Usage};
use lethe_wire::error::{ErrorBody, ErrorType};
use lethe_wire::passage::{Framing, Passage};
use lethe_wire::sse::next_event;
use serde::de::IgnoredAny;

/// Formats that are read, by the first byte of an input.
pub const SOURCES: [Api; 8] = [
    Api::Chat,
    Api::Responses,
    Api::Messages,
    Api::GenerateContent,
    Api::CohereChat,
    Api::Converse,
    Api::OllamaChat,
    Api::Completions,
];
/// Formats that are written, and whether as an array, by the second byte; after them, none: the stream passes as it is.
pub const CLIENTS: [(Api, bool); 5] = [
    (Api::Chat, false),
    (Api::Responses, false),
    (Api::Messages, false),
    (Api::GenerateContent, false),
    (Api::GenerateContent, true),
];

#[derive(PartialEq)]
struct Passed {
    good: bool,
    out: Vec<u8>,
    usage: Option<Usage>,
    deltas: u32,
    done: bool,
    failed: bool,
}

fn pass<'a>(source: Api, to: Option<(Api, bool)>, pieces: impl Iterator<Item = &'a [u8]>) -> Option<Passed> {
    let (framing, reader) = reader(source, to.is_none())?;
    let writer = match to {
        Some((api, array)) => Some(client(api, array).writer()?),
        None => None,
    };
    let mut passage = Passage::new(framing, reader, writer);
    let (mut pending, mut out) = (ContentBuf::new(), ContentBuf::new());
    let mut good = true;
    for piece in pieces {
        pending.extend(piece);
        good = passage.pass(&mut pending, &mut out).is_ok();
        if !good {
            break;
        }
    }
    good = good && passage.end(&mut pending, &mut out).is_ok();
    let (api, message) = (to.map_or(source, |(api, _)| api), Str::constant("The provider's answer stopped before its end."));
    if !good && !passage.failed {
        passage.fail(api, &ErrorBody { status: 502, message, kind: ErrorType::Provider, param: None, code: "cut" }, &mut out);
    }
    let Passage { usage, deltas, done, failed, .. } = passage;
    Some(Passed { good, out: out.expose().to_vec(), usage, deltas, done, failed })
}

/// Every event of what the client gets.
fn look(out: &[u8]) {
    let mut from = 0;
    while let Some(event) = next_event(out, from).expect("events") {
        from = event.span.end;
        let data: Vec<&[u8]> = event.data.iter().chain(&event.more).map(|span| &out[span.clone()]).collect();
        if !data.is_empty() && data != [b"[DONE]"] {
            assert!(
                serde_json::from_slice::<IgnoredAny>(&data.join(&b'\n')).is_ok(),
                "no JSON: {:?}",
                data.join(&b'\n').escape_ascii().to_string()
            );
        }
    }
    assert_eq!(from, out.len(), "whole events only");
}

/// Lines as messages of AWS' event stream: up to the first space is the name, the rest is the payload.
fn messages(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    for line in text.split(|byte| *byte == b'\n') {
        let (name, payload) =
            line.iter().position(|byte| *byte == b' ').map_or((line, &[][..]), |at| (&line[..at], &line[at + 1..]));
        let mut headers = Vec::new();
        let kind: &[u8] = if name.ends_with(b"Exception") { b"exception" } else { b"event" };
        for (key, value) in [(&b":message-type"[..], kind), (&[b":", kind, b"-type"].concat(), name)] {
            headers.push(u8::try_from(key.len()).unwrap_or(0));
            headers.extend_from_slice(key);
            headers.push(7);
            headers.extend_from_slice(&u16::try_from(value.len()).unwrap_or(0).to_be_bytes());
            headers.extend_from_slice(value);
        }
        let total = u32::try_from(16 + headers.len() + payload.len()).unwrap_or(0);
        let start = out.len();
        out.extend_from_slice(&total.to_be_bytes());
        out.extend_from_slice(&u32::try_from(headers.len()).unwrap_or(0).to_be_bytes());
        out.extend_from_slice(&crc32(&out[start..]).to_be_bytes());
        out.extend_from_slice(&headers);
        out.extend_from_slice(payload);
        out.extend_from_slice(&crc32(&out[start..]).to_be_bytes());
    }
    out
}

/// The checksum of ISO 3309, bit by bit.
fn crc32(bytes: &[u8]) -> u32 {
    let step = |crc: u32, _| if crc & 1 == 1 { (crc >> 1) ^ 0xedb8_8320 } else { crc >> 1 };
    !bytes.iter().fold(!0, |crc, byte| (0..8).fold(crc ^ u32::from(*byte), step))
}

/// Panics when the property does not hold for `input`.
pub fn holds(input: &[u8]) {
    let Some(([which, whom], rest)) = input.split_first_chunk() else { return };
    let Some((cuts, text)) = Cuts::split_off(rest) else { return };
    let source = SOURCES[usize::from(*which) % SOURCES.len()];
    let to = CLIENTS.get(usize::from(*whom) % (CLIENTS.len() + 1)).copied();
    let framed;
    let text = if reader(source, false).is_some_and(|(framing, _)| framing == Framing::Messages) {
        framed = messages(text);
        &framed
    } else {
        text
    };
    let Some(whole) = pass(source, to, std::iter::once(text)) else { return };
    let pieces = pass(source, to, cuts.pieces(text)).expect("the same");
    let figures = |passed: &Passed| (passed.good, passed.usage, passed.deltas, passed.done, passed.failed);
    assert_eq!(figures(&whole), figures(&pieces), "the figures depend on the pieces");
    assert!(whole.out == pieces.out, "{}\nor\n{}", whole.out.escape_ascii(), pieces.out.escape_ascii());
    match to {
        Some((_, true)) if whole.good || !whole.out.is_empty() => {
            assert!(serde_json::from_slice::<Vec<IgnoredAny>>(&whole.out).is_ok(), "one array: {}", whole.out.escape_ascii());
        }
        Some(_) => look(&whole.out),
        None => {}
    }
}
