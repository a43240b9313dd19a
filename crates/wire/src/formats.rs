//! Where each format's own code is found.

use lethe_content::ContentBuf;
use lethe_types::Api;

use crate::conversation::{Identity, Malformed, Reply, Request, StreamWriter, Wanted};
use crate::inspect::Shape;
use crate::refusal::Refusal;
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
        _ => Err(Refusal::Untranslatable { field: "the format", target: api }),
    }
}

/// Writes an answer for a client that speaks `api`.
///
/// # Errors
/// [`Malformed`] for what the format cannot say.
pub fn write_reply(api: Api, reply: &Reply<'_>, identity: &Identity, out: &mut ContentBuf) -> Result<(), Malformed> {
    match api {
        Api::Chat => openai::write_reply(reply, identity, out),
        _ => Err(Malformed),
    }
}

/// What writes a stream for a client that speaks `api`, where asked for as a JSON `array`; `None` for formats that do not stream.
#[must_use]
pub fn writer(api: Api, array: bool, identity: Identity, wanted: Wanted) -> Option<Box<dyn StreamWriter>> {
    let _ = array;
    match api {
        Api::Chat => Some(Box::new(openai::Writer::new(identity, wanted))),
        _ => None,
    }
}
