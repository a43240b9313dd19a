//! Anthropic's own API (<https://platform.claude.com/docs/en/api/overview>).

use lethe_types::Api;

use crate::call::Call;
use crate::head::{KeyField, Place};

/// The version in which Lethe itself asks: it can say everything that the newer one can, and sampling as well.
pub(crate) const VERSION: &str = "2023-06-01";

/// Versions of the API in which a client may ask where its request passes as it is
/// (<https://platform.claude.com/docs/en/api/versioning>).
pub const VERSIONS: [&str; 2] = [VERSION, "2026-10-21"];

/// Where a request goes.
pub(crate) fn place(call: &Call<'_>) -> Option<Place> {
    let path = match call.api {
        Api::CountMessageTokens => "/messages/count_tokens",
        Api::Messages => "/messages",
        _ => return None,
    };
    Some(Place { default_base: "/v1", path: path.into(), key: KeyField::Named("x-api-key") })
}
