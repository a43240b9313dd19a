//! Google's Gemini API (<https://ai.google.dev/api>). The key goes in a field, never in the query, which ends up in logs.

use lethe_types::Api;

use crate::call::Call;
use crate::head::{KeyField, Place};

/// Where a request goes.
pub(crate) fn place(call: &Call<'_>) -> Option<Place> {
    let action = action(call)?;
    // Google's own lists name models with this prefix.
    let model = Call { model: call.model.strip_prefix("models/").unwrap_or(call.model), ..*call }.model_segment();
    let path = ["/models/", &model, action].concat();
    Some(Place { default_base: "/v1beta", path, key: KeyField::Named("x-goog-api-key") })
}

/// What is done with the model.
pub(crate) const fn action(call: &Call<'_>) -> Option<&'static str> {
    match (call.api, call.stream) {
        (Api::CountTokens, _) => Some(":countTokens"),
        (Api::EmbedContent, _) if call.batch => Some(":batchEmbedContents"),
        (Api::EmbedContent, _) => Some(":embedContent"),
        (Api::GenerateContent, false) => Some(":generateContent"),
        (Api::GenerateContent, true) => Some(":streamGenerateContent?alt=sse"),
        _ => None,
    }
}
