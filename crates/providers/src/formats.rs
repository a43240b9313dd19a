//! Where the code of each format that providers are asked in is found.

use lethe_content::ContentBuf;
use lethe_types::Api;
use lethe_wire::conversation::{Malformed, Reply, Request, Sending, StreamReader};
use lethe_wire::openai;
use lethe_wire::passage::Framing;
use lethe_wire::refusal::Refusal;

use crate::{bedrock, cohere, ollama};

/// Writes a request in the format `target`.
///
/// # Errors
/// [`Refusal::Untranslatable`] for what the format cannot express.
pub fn write_request(target: Api, request: &Request<'_>, to: &Sending<'_>, out: &mut ContentBuf) -> Result<(), Refusal> {
    match target {
        Api::Chat => openai::write_request(request, to, out),
        Api::CohereChat => cohere::write_request(request, to, out),
        Api::Converse => bedrock::write_request(request, to, out),
        Api::OllamaChat => ollama::write_request(request, to, out),
        _ => Err(Refusal::Untranslatable { field: "the format", target }),
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
        _ => Err(Malformed),
    }
}

/// What reads a stream in the format `target`, and how the stream is framed; `None` for formats that do not stream.
#[must_use]
pub fn reader(target: Api) -> Option<(Framing, Box<dyn StreamReader>)> {
    match target {
        Api::Chat => Some((Framing::Events, Box::new(openai::Reader::default()))),
        Api::CohereChat => Some((Framing::Events, Box::new(cohere::Reader::default()))),
        Api::Converse => Some((Framing::Messages, Box::new(bedrock::Reader::default()))),
        Api::OllamaChat => Some((Framing::Lines, Box::new(ollama::Reader::default()))),
        _ => None,
    }
}

/// Whether clients speak `api` too: then what is written in it can be inspected like theirs.
#[must_use]
pub const fn is_spoken_by_clients(api: Api) -> bool {
    !matches!(api, Api::CohereChat | Api::CohereEmbed | Api::Converse | Api::OllamaChat | Api::OllamaEmbed)
}
