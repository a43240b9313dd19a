//! Cohere's own API, version 2 (<https://docs.cohere.com/reference/about>): chat, embeddings and rerank.

mod reply;
mod request;
mod stream;

use lethe_types::Api;

use crate::call::Call;
use crate::head::{KeyField, Place};

pub use reply::read_reply;
pub use request::write_request;
pub use stream::Reader;

/// Where a request goes.
pub(crate) fn place(call: &Call<'_>) -> Option<Place> {
    let path = match call.api {
        Api::CohereChat => "/chat",
        Api::CohereEmbed => "/embed",
        Api::Rerank => "/rerank",
        _ => return None,
    };
    Some(Place { default_base: "/v2", path: path.into(), key: KeyField::Bearer })
}
