//! Mistral's own API (<https://docs.mistral.ai/api>): OpenAI's chat completions with some other names, which its preset's rules give.

use lethe_types::Api;

use crate::call::Call;
use crate::head::{KeyField, Place};
use crate::openai;

/// Where a request goes.
pub(crate) fn place(call: &Call<'_>) -> Option<Place> {
    let path = match call.api {
        Api::Chat | Api::Embeddings | Api::Moderations => openai::path(call.api)?,
        _ => return None,
    };
    Some(Place { default_base: "/v1", path: path.into(), key: KeyField::Bearer })
}
