//! Where the code of each format that providers are asked in is found.

use lethe_content::ContentBuf;
use lethe_types::Api;
use lethe_wire::conversation::{Malformed, Reply, Request, Sending, StreamReader};
use lethe_wire::embeddings::{self, EmbedReply, EmbedRequest};
use lethe_wire::passage::Framing;
use lethe_wire::refusal::Refusal;
use lethe_wire::{anthropic, gemini, openai, responses};

use crate::{bedrock, cohere, ollama, vertex};

/// Writes a request in the format `target`: to go on with a conversation, or to count its tokens.
///
/// # Errors
/// [`Refusal::Untranslatable`] for what the format cannot express.
pub fn write_request(target: Api, request: &Request<'_>, to: &Sending<'_>, out: &mut ContentBuf) -> Result<(), Refusal> {
    match target {
        Api::Chat => openai::write_request(request, to, out),
        Api::CohereChat => cohere::write_request(request, to, out),
        Api::Converse => bedrock::write_request(request, to, out),
        Api::OllamaChat => ollama::write_request(request, to, out),
        Api::CountMessageTokens => anthropic::write_count_request(request, to, out),
        Api::CountTokens => gemini::write_count_request(request, to, out),
        Api::GenerateContent => gemini::write_request(request, to, out),
        Api::Messages => anthropic::write_request(request, to, out),
        Api::Responses => responses::write_request(request, to, out),
        _ => Err(Refusal::Untranslatable { field: "the request", target }),
    }
}

/// Whether each wish to cache of `request` is passed on by [`write_request`] toward `model`: a wish changes nothing of the answer, so that formats and models
/// without caches go without it.
#[must_use]
pub fn keeps_caches(target: Api, request: &Request<'_>, model: &str) -> bool {
    target == Api::Converse && bedrock::keeps_caches(request, model)
}

/// Writes a request for vectors.
///
/// # Errors
/// As [`write_request`].
pub fn write_embed_request(
    target: Api,
    request: &EmbedRequest<'_>,
    to: &Sending<'_>,
    out: &mut ContentBuf,
) -> Result<(), Refusal> {
    match target {
        Api::CohereEmbed => cohere::embed::write_request(request, to, out),
        Api::Embeddings => embeddings::openai::write_request(request, to, out),
        Api::EmbedContent => embeddings::gemini::write_request(request, to, out),
        Api::OllamaEmbed => ollama::embed::write_request(request, to, out),
        Api::VertexEmbed => vertex::embed::write_request(request, to, out),
        _ => Err(Refusal::Untranslatable { field: "the request", target }),
    }
}

/// Reads an answer in the format `target`.
///
/// # Errors
/// [`Malformed`] for what is none.
pub fn read_reply(target: Api, body: &[u8]) -> Result<Reply<'_>, Malformed> {
    match target {
        Api::Chat => openai::read_reply(body),
        Api::CohereChat => cohere::read_reply(body),
        Api::Converse => bedrock::read_reply(body),
        Api::OllamaChat => ollama::read_reply(body),
        Api::GenerateContent => gemini::read_reply(body),
        Api::Messages => anthropic::read_reply(body),
        Api::Responses => responses::read_reply(body),
        _ => Err(Malformed),
    }
}

/// Reads a count of tokens.
///
/// # Errors
/// [`Malformed`] for what is none.
pub fn read_count(target: Api, body: &[u8]) -> Result<u32, Malformed> {
    match target {
        Api::CountMessageTokens => anthropic::read_count(body),
        Api::CountTokens => gemini::read_count_reply(body),
        _ => Err(Malformed),
    }
}

/// Reads vectors.
///
/// # Errors
/// [`Malformed`] for what are none.
pub fn read_vectors(target: Api, body: &[u8]) -> Result<EmbedReply<'_>, Malformed> {
    match target {
        Api::CohereEmbed => cohere::embed::read_reply(body),
        Api::Embeddings => embeddings::openai::read_reply(body),
        Api::EmbedContent => embeddings::gemini::read_reply(body),
        Api::OllamaEmbed => ollama::embed::read_reply(body),
        Api::VertexEmbed => vertex::embed::read_reply(body),
        _ => Err(Malformed),
    }
}

/// What reads a stream in the format `target`, and how the stream is framed; `None` for formats that do not stream. One that is `passing` only
/// watches a stream that goes to the client as it is.
#[must_use]
pub fn reader(target: Api, passing: bool) -> Option<(Framing, Box<dyn StreamReader>)> {
    Some(match target {
        Api::Chat | Api::Completions => (Framing::Events, Box::new(openai::Reader::default())),
        Api::GenerateContent => (Framing::Events, Box::new(gemini::Reader::default())),
        Api::Messages => (Framing::Events, Box::new(anthropic::Reader::default())),
        Api::Responses if passing => (Framing::Events, Box::new(responses::Reader::passing())),
        Api::Responses => (Framing::Events, Box::new(responses::Reader::default())),
        Api::CohereChat => (Framing::Events, Box::new(cohere::Reader::default())),
        Api::Converse => (Framing::Messages, Box::new(bedrock::Reader::default())),
        Api::OllamaChat => (Framing::Lines, Box::new(ollama::Reader::default())),
        _ => return None,
    })
}

/// Whether clients speak `api` too: then what is written in it can be inspected like theirs.
#[must_use]
pub const fn is_spoken_by_clients(api: Api) -> bool {
    !matches!(api, Api::CohereChat | Api::CohereEmbed | Api::Converse | Api::OllamaChat | Api::OllamaEmbed | Api::VertexEmbed)
}
