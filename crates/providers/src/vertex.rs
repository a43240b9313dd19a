//! Google's Vertex AI (<https://cloud.google.com/vertex-ai/generative-ai/docs/reference/rest>), whose base path is `/v1/projects/PROJECT/locations/LOCATION`.
//!
//! Anthropic's models take Anthropic's format, with the model in the path and not in the body, and the version in the body: presets say so by
//! `strip = ["model"]` and `force = { anthropic_version = "vertex-2023-10-16" }`. Counting names no model in the path and keeps it in the body.

pub mod embed;

use lethe_types::Api;

use crate::call::Call;
use crate::gemini;
use crate::head::Place;

/// Where a request goes.
pub(crate) fn place(call: &Call<'_>) -> Option<Place> {
    let model = || call.model_segment();
    let path = match (call.api, call.stream) {
        (Api::Chat, _) => "/endpoints/openapi/chat/completions".to_owned(),
        (Api::CountMessageTokens, _) => "/publishers/anthropic/models/count-tokens:rawPredict".to_owned(),
        (Api::CountTokens | Api::GenerateContent, _) => ["/publishers/google/models/", &model(), gemini::action(call)?].concat(),
        (Api::Messages, false) => ["/publishers/anthropic/models/", &model(), ":rawPredict"].concat(),
        (Api::Messages, true) => ["/publishers/anthropic/models/", &model(), ":streamRawPredict"].concat(),
        (Api::VertexEmbed, _) => ["/publishers/google/models/", &model(), ":predict"].concat(),
        _ => return None,
    };
    Some(Place::bearer(path))
}
