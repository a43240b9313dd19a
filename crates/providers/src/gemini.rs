//! Google's Gemini API (<https://ai.google.dev/api>). The key goes in a field, never in the query, which ends up in logs.

use lethe_content::ContentBuf;
use lethe_types::Api;
use lethe_wire::json::Cursor;

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
pub(crate) fn action(call: &Call<'_>) -> Option<&'static str> {
    match (call.api, call.stream) {
        (Api::CountTokens, _) => Some(":countTokens"),
        (Api::EmbedContent, _) if has_requests(call.body) => Some(":batchEmbedContents"),
        (Api::EmbedContent, _) => Some(":embedContent"),
        (Api::GenerateContent, false) => Some(":generateContent"),
        (Api::GenerateContent, true) => Some(":streamGenerateContent?alt=sse"),
        _ => None,
    }
}

/// Whether a body for embeddings has several requests in it: they go elsewhere than one alone.
fn has_requests(pieces: &[&[u8]]) -> bool {
    let mut body = ContentBuf::with_capacity(pieces.iter().map(|piece| piece.len()).sum());
    pieces.iter().for_each(|piece| body.extend(piece));
    let mut found = false;
    let walk = Cursor::new(body.expose()).and_then(|mut cursor| {
        cursor.object(|key, _, value| {
            found |= key.is("requests");
            value.skip().map(drop)
        })
    });
    walk.is_ok() && found
}
