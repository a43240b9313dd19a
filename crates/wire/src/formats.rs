//! Where each format's own code is found.

use lethe_types::Api;

use crate::conversation::Request;
use crate::embeddings::{self, EmbedRequest};
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
        Api::CohereEmbed | Api::Embeddings | Api::OllamaEmbed | Api::VertexEmbed => &openai::EmbeddingsShape,
        Api::GenerateContent => &gemini::GenerateShape,
        Api::Messages => &anthropic::MessagesShape,
        Api::Moderations => &openai::ModerationsShape,
        Api::Rerank => &openai::RerankShape,
        Api::Responses => &responses::ResponsesShape,
    }
}

/// Reads a client's request to go on with a conversation, or to count its tokens.
///
/// # Errors
/// [`Refusal`] for what is not as documented or has no place in another format.
pub fn read_request(api: Api, body: &[u8]) -> Result<Request<'_>, Refusal> {
    match api {
        Api::Chat => openai::read_request(body),
        Api::CountMessageTokens => anthropic::read_count_request(body),
        Api::CountTokens => gemini::read_count_request(body),
        Api::GenerateContent => gemini::read_request(body),
        Api::Messages => anthropic::read_request(body),
        Api::Responses => responses::read_request(body),
        _ => Err(Refusal::Untranslatable { field: "the request", target: api }),
    }
}

/// Reads a client's request for vectors.
///
/// # Errors
/// As [`read_request`].
pub fn read_embed_request(api: Api, body: &[u8]) -> Result<EmbedRequest<'_>, Refusal> {
    match api {
        Api::Embeddings => embeddings::openai::read_request(body),
        Api::EmbedContent => embeddings::gemini::read_request(body),
        _ => Err(Refusal::Untranslatable { field: "the request", target: api }),
    }
}
