//! Where each format's own code is found.

use lethe_types::Api;

use crate::inspect::Shape;
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
