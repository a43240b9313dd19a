//! Azure OpenAI, both of its APIs: `/openai/v1`, which is OpenAI's own with the deployment as the model
//! (<https://learn.microsoft.com/azure/foundry/openai/api-version-lifecycle>), and the dated one, which has deployments in its paths and wants an `api-version`
//! (<https://learn.microsoft.com/azure/foundry/openai/reference>).

use lethe_types::Api;

use crate::call::{Call, Credential};
use crate::head::{KeyField, Place};
use crate::openai;

/// Where a request goes.
pub(crate) fn place(call: &Call<'_>) -> Option<Place> {
    let path = openai::path(call.api)?;
    let base = call.base();
    let path = if base.ends_with("/v1") {
        path.to_owned()
    } else {
        let dated = |text: &str| text.split(['?', '&']).any(|pair| pair.starts_with("api-version="));
        if !dated(call.base_query()) && !call.rules.path.as_deref().is_some_and(dated) {
            return None;
        }
        let root = if base.ends_with("/openai") { "" } else { "/openai" };
        match call.api {
            // Answers belong to a resource, not to a deployment: the model is in the body.
            Api::Responses => [root, path].concat(),
            Api::Chat | Api::Completions | Api::Embeddings => [root, "/deployments/", &call.model_segment(), path].concat(),
            _ => return None,
        }
    };
    Some(Place { default_base: "", path, key: key_field(call.credential) })
}

/// Keys stand in a field of their own; tokens of Entra ID, which are JSON Web Tokens (RFC 7519) and expire within hours, are bearers'.
fn key_field(credential: Credential<'_>) -> KeyField {
    match credential {
        Credential::Key(key) if key.starts_with(b"eyJ") && key.iter().filter(|byte| **byte == b'.').count() == 2 => {
            KeyField::Bearer
        }
        _ => KeyField::Named("api-key"),
    }
}
