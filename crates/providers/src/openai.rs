//! Servers that speak OpenAI's dialect (<https://platform.openai.com/docs/api-reference>).

use lethe_types::Api;

use crate::call::Call;
use crate::head::Place;

/// Where a request goes.
pub(crate) fn place(call: &Call<'_>) -> Option<Place> {
    path(call.api).map(Place::bearer)
}

/// The path of a format below `/v1`. Compatible servers have Anthropic's format at Anthropic's path, and Cohere's rerank without its version.
pub(crate) const fn path(api: Api) -> Option<&'static str> {
    match api {
        Api::Chat => Some("/chat/completions"),
        Api::Completions => Some("/completions"),
        Api::CountMessageTokens => Some("/messages/count_tokens"),
        Api::Embeddings => Some("/embeddings"),
        Api::Messages => Some("/messages"),
        Api::Moderations => Some("/moderations"),
        Api::Rerank => Some("/rerank"),
        Api::Responses => Some("/responses"),
        Api::CohereChat
        | Api::CohereEmbed
        | Api::Converse
        | Api::CountTokens
        | Api::EmbedContent
        | Api::GenerateContent
        | Api::OllamaChat
        | Api::OllamaEmbed
        | Api::VertexEmbed => None,
    }
}
