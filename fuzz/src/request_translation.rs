//! A request that is read is written in every provider's format, or refused; what is written is a JSON object, which whoever reads that format
//! takes for a request of it.

use lethe_content::ContentBuf;
use lethe_providers::formats::{is_spoken_by_clients, write_embed_request, write_request};
use lethe_types::{Api, Capability};
use lethe_wire::conversation::Sending;
use lethe_wire::formats::{read_embed_request, read_request};
use lethe_wire::inspect::inspect;
use lethe_wire::refusal::Refusal;
use lethe_wire::responses::Echo;
use serde::de::IgnoredAny;

/// Formats that are read, by the first byte of an input.
pub const SOURCES: [Api; 8] = [
    Api::Chat,
    Api::Responses,
    Api::Messages,
    Api::GenerateContent,
    Api::CountMessageTokens,
    Api::CountTokens,
    Api::Embeddings,
    Api::EmbedContent,
];

fn is_of(target: Api, written: &[u8]) {
    assert!(written.starts_with(b"{"), "{target:?}: an object");
    assert!(serde_json::from_slice::<IgnoredAny>(written).is_ok(), "{target:?}: JSON");
    if is_spoken_by_clients(target) {
        // What only a provider can judge may be refused; but it is no other thing than a request.
        let taken = inspect(written, target);
        assert!(
            !matches!(taken, Err(Refusal::Json(_) | Refusal::MissingField(_) | Refusal::DuplicateField(_))),
            "{target:?}: a request"
        );
    }
}

/// Panics when the property does not hold for `input`.
pub fn holds(input: &[u8]) {
    let Some((which, body)) = input.split_first() else { return };
    let source = SOURCES[usize::from(*which) % SOURCES.len()];
    let to = Sending { model: "routed/\"model\"", max_output_tokens: Some(64) };
    let mut out = ContentBuf::new();
    if source.capability() == Capability::Embeddings {
        let Ok(request) = read_embed_request(source, body) else { return };
        for target in Api::ALL {
            out = ContentBuf::new();
            if target.capability() == source.capability() && write_embed_request(target, &request, &to, &mut out).is_ok() {
                is_of(target, out.expose());
            }
        }
        return;
    }
    let Ok(request) = read_request(source, body) else { return };
    // The gateway passes on only what both accept.
    if inspect(body, source).is_err() {
        return;
    }
    if source == Api::Responses {
        drop(Echo::of(body));
    }
    for target in Api::ALL {
        out = ContentBuf::new();
        if write_request(target, &request, &to, &mut out).is_ok() {
            is_of(target, out.expose());
        }
    }
    drop(out);
}
