//! What a server accepts, as its preset says.

use serde::{Deserialize, Serialize};

/// Field rules of one provider. Toward hosted providers a field that is not listed is refused with its name, so that
/// tomorrow's `persist: true` cannot slip through; own nodes get unknown fields intact.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FieldRules {
    /// Top-level fields of a chat completion request that the server may be sent; sorted, lower case.
    pub chat_fields: Vec<String>,
    /// Top-level fields of an embeddings request; sorted, lower case.
    pub embeddings_fields: Vec<String>,
    /// Values of `tools[].type` that the server may be sent.
    pub tool_types: Vec<String>,
    /// The server accepts `store`; `false` is forced on every request.
    pub force_store_false: bool,
    /// The server accepts `stream_options.include_usage`; it is asked for on every stream.
    pub stream_usage: bool,
}
