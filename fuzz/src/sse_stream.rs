//! A stream gives the client the same bytes, and the meter the same figures, whatever pieces it comes in; what the client gets are
//! events of JSON, and no usage unless it asked.

use super::Cuts;
use lethe_content::ContentBuf;
use lethe_wire::openai::ChatStream;
use lethe_wire::sse::next_event;
use serde::de::IgnoredAny;

#[derive(Debug, PartialEq)]
struct Passed {
    good: bool,
    out: Vec<u8>,
    tokens: Option<(u32, u32)>,
    deltas: u32,
    done: bool,
    failed: bool,
    end: Option<Vec<u8>>,
}

fn pass<'a>(wants_usage: bool, pieces: impl Iterator<Item = &'a [u8]>) -> Passed {
    let mut stream = ChatStream::new(wants_usage);
    let (mut pending, mut out) = (ContentBuf::new(), ContentBuf::new());
    let mut good = true;
    for piece in pieces {
        pending.extend(piece);
        good = stream.pass(&mut pending, &mut out).is_ok();
        if !good {
            break;
        }
    }
    let mut last = ContentBuf::new();
    let end = stream.end(&mut last).ok().map(|()| last.expose().to_vec());
    let tokens = stream.usage.map(|tokens| (tokens.input, tokens.output));
    Passed { good, out: out.expose().to_vec(), tokens, deltas: stream.deltas, done: stream.done, failed: stream.failed, end }
}

/// Every event of what the client gets.
fn look(out: &[u8]) {
    let mut from = 0;
    while let Some(event) = next_event(out, from).expect("events") {
        from = event.span.end;
        let data: Vec<&[u8]> = event.data.iter().chain(&event.more).map(|span| &out[span.clone()]).collect();
        if !data.is_empty() && data != [b"[DONE]"] {
            assert!(serde_json::from_slice::<IgnoredAny>(&data.join(&b'\n')).is_ok(), "no JSON");
        }
    }
    assert_eq!(from, out.len(), "whole events only");
}

/// Panics when the property does not hold for `input`.
pub fn holds(input: &[u8]) {
    let Some((cuts, text)) = Cuts::split_off(input) else { return };
    let mut seen = Vec::new();
    for wants_usage in [true, false] {
        let whole = pass(wants_usage, std::iter::once(text));
        assert_eq!(whole, pass(wants_usage, cuts.pieces(text)));
        look(&whole.out);
        seen.push(whole);
    }
    if seen.iter().all(|passed| passed.good) {
        let figures = |passed: &Passed| (passed.tokens, passed.deltas, passed.done, passed.failed);
        assert_eq!(figures(&seen[0]), figures(&seen[1]), "the meter does not depend on who asked");
        assert!(text.starts_with(&seen[0].out), "who asked for usage gets the stream as it is");
    }
}
