//! Ollama's own API (<https://docs.ollama.com/api>).

mod reply;
mod request;
mod stream;

use lethe_types::Api;

use crate::call::Call;
use crate::head::{KeyField, Place};

pub use reply::read_reply;
pub use request::write_request;
pub use stream::Reader;

/// Where a request goes. Its server speaks others' APIs as well, beside this one: for them it is a server of another dialect.
pub(crate) fn place(call: &Call<'_>) -> Option<Place> {
    let path = match call.api {
        Api::OllamaChat => "/chat",
        Api::OllamaEmbed => "/embed",
        _ => return None,
    };
    Some(Place { default_base: "/api", path: path.into(), key: KeyField::Bearer })
}
