//! An answer that is read is written in every client's format, or is none; what is written is one JSON object. So are counts and vectors.

use lethe_content::ContentBuf;
use lethe_providers::formats::{read_count, read_reply, read_vectors};
use lethe_types::{Api, Capability};
use lethe_wire::client::Client;
use lethe_wire::conversation::{Identity, Wanted};
use lethe_wire::embeddings::EmbedWanted;
use lethe_wire::responses::Echo;
use serde::de::IgnoredAny;

/// Formats that are read, by the first byte of an input.
pub const SOURCES: [Api; 14] = [
    Api::Chat,
    Api::Responses,
    Api::Messages,
    Api::GenerateContent,
    Api::CohereChat,
    Api::Converse,
    Api::OllamaChat,
    Api::CountMessageTokens,
    Api::CountTokens,
    Api::Embeddings,
    Api::EmbedContent,
    Api::CohereEmbed,
    Api::OllamaEmbed,
    Api::VertexEmbed,
];

/// Whoever asked in `api`.
pub(crate) fn client(api: Api, array: bool) -> Client {
    Client {
        api,
        array,
        identity: Identity { id: "00ff".repeat(6), created: 1_700_000_000, model: "a \"model\"\n".into() },
        wanted: Wanted { stream: true, usage: true, encrypted_reasoning: true },
        echo: Echo::none(),
        one_call: false,
        vectors: EmbedWanted::default(),
    }
}

fn is_json(api: Api, out: &ContentBuf) {
    assert!(out.expose().starts_with(b"{"), "{api:?}: an object");
    assert!(serde_json::from_slice::<IgnoredAny>(out.expose()).is_ok(), "{api:?}: JSON");
}

/// Panics when the property does not hold for `input`.
pub fn holds(input: &[u8]) {
    let Some((which, body)) = input.split_first() else { return };
    let source = SOURCES[usize::from(*which) % SOURCES.len()];
    match source.capability() {
        Capability::CountTokens => {
            let Ok(tokens) = read_count(source, body) else { return };
            for api in [Api::CountMessageTokens, Api::CountTokens] {
                let mut out = ContentBuf::new();
                assert!(client(api, false).write_count(tokens, &mut out).is_ok(), "{api:?} counts");
                is_json(api, &out);
            }
        }
        Capability::Embeddings => {
            let Ok(reply) = read_vectors(source, body) else { return };
            for (api, base64, batch) in [
                (Api::Embeddings, false, true),
                (Api::Embeddings, true, true),
                (Api::EmbedContent, false, true),
                (Api::EmbedContent, false, false),
            ] {
                let mut client = client(api, false);
                client.vectors = EmbedWanted { base64, batch, texts: None };
                let mut out = ContentBuf::new();
                if client.write_vectors(&reply, &mut out).is_ok() {
                    is_json(api, &out);
                }
            }
        }
        _ => {
            let Ok(mut reply) = read_reply(source, body) else { return };
            for api in [Api::Chat, Api::GenerateContent, Api::Messages, Api::Responses] {
                let mut out = ContentBuf::new();
                if client(api, false).write_reply(&mut reply, &mut out).is_ok() {
                    is_json(api, &out);
                }
            }
        }
    }
}
