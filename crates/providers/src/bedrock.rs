//! AWS Bedrock (<https://docs.aws.amazon.com/bedrock/latest/APIReference/API_Operations_Amazon_Bedrock_Runtime.html>): the Converse format, and requests signed with
//! Signature Version 4 or sent with one of Bedrock's own API keys.

mod cache;
mod content;
mod family;
mod reply;
mod request;
pub(crate) mod signature;
mod stream;

use lethe_types::Api;
use lethe_wire::conversation::Request;

use crate::call::Call;
use crate::head::Place;

pub use reply::read_reply;
pub use request::write_request;
pub use stream::Reader;

/// Whether each wish to cache of `request` is passed on toward `model`.
#[must_use]
pub fn keeps_caches(request: &Request<'_>, model: &str) -> bool {
    cache::Points::of(model).keep(request)
}

/// Where a request goes.
pub(crate) fn place(call: &Call<'_>) -> Option<Place> {
    match (call.api, call.stream) {
        // <https://docs.aws.amazon.com/bedrock/latest/userguide/inference-chat-completions.html>
        (Api::Chat, _) => Some(Place::bearer("/openai/v1/chat/completions")),
        (Api::Converse, false) => Some(Place::bearer(["/model/", &call.model_segment(), "/converse"].concat())),
        (Api::Converse, true) => Some(Place::bearer(["/model/", &call.model_segment(), "/converse-stream"].concat())),
        _ => None,
    }
}
