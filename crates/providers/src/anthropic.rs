//! Anthropic's own API (<https://platform.claude.com/docs/en/api/overview>).

use lethe_types::Api;

use crate::call::Call;
use crate::head::{KeyField, Place};

/// The one version of the API that there is.
pub(crate) const VERSION: &str = "2023-06-01";

/// Where a request goes.
pub(crate) fn place(call: &Call<'_>) -> Option<Place> {
    let path = match call.api {
        Api::CountMessageTokens => "/messages/count_tokens",
        Api::Messages => "/messages",
        _ => return None,
    };
    Some(Place { default_base: "/v1", path: path.into(), key: KeyField::Named("x-api-key") })
}
