//! Where each format's own code is found.

use lethe_content::ContentBuf;
use lethe_types::Api;

use crate::conversation::{Identity, Malformed, Reply, Request, StreamWriter, Wanted};
use crate::inspect::Shape;
use crate::refusal::Refusal;
use crate::responses::Echo;
use crate::{anthropic, gemini, openai, responses};

/// What `api`'s requests look like to who only passes them on.
pub(crate) fn shape(api: Api) -> &'static dyn Shape {
    match api {
        Api::Chat | Api::CohereChat | Api::Converse | Api::OllamaChat => &openai::ChatShape,
        Api::Completions => &openai::CompletionsShape,
        Api::CountMessageTokens => &anthropic::CountShape,
        Api::CountTokens => &gemini::CountShape,
        Api::EmbedContent => &gemini::EmbedShape,
        Api::CohereEmbed | Api::Embeddings | Api::OllamaEmbed => &openai::EmbeddingsShape,
        Api::GenerateContent => &gemini::GenerateShape,
        Api::Messages => &anthropic::MessagesShape,
        Api::Moderations => &openai::ModerationsShape,
        Api::Rerank => &openai::RerankShape,
        Api::Responses => &responses::ResponsesShape,
    }
}

/// Reads a client's request to go on with a conversation.
///
/// # Errors
/// [`Refusal`] for what is not as documented or has no place in another format.
pub fn read_request(api: Api, body: &[u8]) -> Result<Request<'_>, Refusal> {
    match api {
        Api::Chat => openai::read_request(body),
        Api::Responses => responses::read_request(body),
        _ => Err(Refusal::Untranslatable { field: "the format", target: api }),
    }
}

/// What an answer to a client that speaks `api` repeats of its request.
///
/// # Errors
/// [`Refusal`] for what is no request.
pub fn echo(api: Api, body: &[u8]) -> Result<Echo, Refusal> {
    match api {
        Api::Responses => Echo::of(body),
        _ => Ok(Echo::none()),
    }
}

/// Writes an answer for a client that speaks `api`.
///
/// # Errors
/// [`Malformed`] for what the format cannot say.
pub fn write_reply(
    api: Api,
    reply: &Reply<'_>,
    identity: &Identity,
    wanted: Wanted,
    echo: &Echo,
    out: &mut ContentBuf,
) -> Result<(), Malformed> {
    match api {
        Api::Chat => openai::write_reply(reply, identity, out),
        Api::Responses => responses::write_reply(reply, identity, wanted, echo, out),
        _ => Err(Malformed),
    }
}

/// What writes a stream for a client that speaks `api`; `None` for formats that no client speaks.
#[must_use]
pub fn writer(api: Api, identity: Identity, wanted: Wanted, echo: Echo) -> Option<Box<dyn StreamWriter>> {
    match api {
        Api::Chat => Some(Box::new(openai::Writer::new(identity, wanted))),
        Api::Responses => Some(Box::new(responses::Writer::new(identity, wanted, echo))),
        _ => None,
    }
}
