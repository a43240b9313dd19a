//! The head of a request: nothing of the client's own head is in it.

use lethe_content::ContentBuf;
use lethe_policy::Dialect;
use lethe_types::Api;

use crate::bedrock::signature;
use crate::call::{Call, Credential};
use crate::{anthropic, azure, bedrock, cohere, gemini, mistral, ollama, openai, vertex};

/// Where a request goes.
pub(crate) struct Place {
    /// Put before the operation's path where the configuration has no path at all, such as `/v1`.
    pub(crate) default_base: &'static str,
    /// Path below the base path, percent-encoded; may have a query.
    pub(crate) path: String,
    /// The field that a key stands in.
    pub(crate) key: KeyField,
}

/// The field that a key stands in.
pub(crate) enum KeyField {
    /// `authorization: Bearer`
    Bearer,
    /// Its own.
    Named(&'static str),
}

impl Place {
    /// At `path`, with the key as a bearer token.
    pub(crate) fn bearer(path: impl Into<String>) -> Self {
        Self { default_base: "", path: path.into(), key: KeyField::Bearer }
    }
}

/// The head of a `POST` of JSON, in a buffer with room for `room` bytes more. `None` for a format that the dialect has no
/// place for, for what cannot stand in a head, and for a signature that cannot be made (no region in the host's name).
///
/// ```
/// use lethe_policy::{ApiRules, Dialect};
/// use lethe_providers::{Call, Credential, head};
/// use lethe_types::Api;
/// let rules = ApiRules::plain(Api::Embeddings);
/// let call = Call {
///     dialect: Dialect::Openai, api: Api::Embeddings, rules: &rules, model: "m", stream: false, batch: false,
///     host: "api.example.com", base_path: "/v1", credential: Credential::Key(b"key"), now: 0, beta: &[], version: None,
///     body: &[b"{}"],
/// };
/// let head = head(&call, 0).expect("a place for embeddings");
/// assert!(head.expose().starts_with(b"POST /v1/embeddings HTTP/1.1\r\nhost: api.example.com\r\n"));
/// assert!(head.expose().ends_with(b"authorization: Bearer key\r\ncontent-length: 2\r\n\r\n"));
/// ```
#[must_use]
pub fn head(call: &Call<'_>, room: usize) -> Option<ContentBuf> {
    let place = place(call)?;
    let target = target(call, &place)?;
    let mut head = ContentBuf::with_capacity(1024 + room);
    for part in ["POST ", &target, " HTTP/1.1\r\nhost: ", call.host] {
        head.extend(part.as_bytes());
    }
    head.extend(b"\r\nuser-agent: lethe\r\naccept-encoding: identity\r\ncontent-type: application/json\r\n");
    field(&mut head, "accept", accept(call).as_bytes())?;
    if matches!(call.api, Api::CountMessageTokens | Api::Messages) {
        if call.dialect != Dialect::Vertex {
            field(&mut head, "anthropic-version", call.version.unwrap_or(anthropic::VERSION).as_bytes())?;
        }
        if !call.beta.is_empty() {
            field(&mut head, "anthropic-beta", call.beta.join(",").as_bytes())?;
        }
    }
    match (call.credential, &place.key) {
        (Credential::None, _) => {}
        (Credential::Key(key), KeyField::Named(name)) => field(&mut head, name, key)?,
        (Credential::Bearer(key), _) | (Credential::Key(key), KeyField::Bearer) => {
            head.extend(b"authorization: Bearer ");
            value(&mut head, key)?;
        }
        (Credential::Aws { access_key_id, secret_access_key, session_token }, _) => {
            if call.dialect != Dialect::Bedrock {
                return None;
            }
            let signer = signature::Signer { access_key_id, secret_access_key, session_token };
            signer.sign(call, &target, &mut head)?;
        }
    }
    head.extend(b"content-length: ");
    let length: usize = call.body.iter().map(|piece| piece.len()).sum();
    head.extend(length.to_string().as_bytes());
    head.extend(b"\r\n\r\n");
    Some(head)
}

fn place(call: &Call<'_>) -> Option<Place> {
    // A rule's path stands for the dialect's own; where the key goes stays the dialect's.
    let place = match call.dialect {
        Dialect::Anthropic => anthropic::place(call),
        Dialect::AzureOpenai => azure::place(call),
        Dialect::Bedrock => bedrock::place(call),
        Dialect::Cohere => cohere::place(call),
        Dialect::Gemini => gemini::place(call),
        Dialect::Mistral => mistral::place(call),
        Dialect::Ollama => ollama::place(call),
        Dialect::Openai => openai::place(call),
        Dialect::Vertex => vertex::place(call),
    };
    match &call.rules.path {
        None => place,
        Some(path) => {
            let path = path.replace("{model}", &call.model_segment());
            Some(match place {
                Some(place) => Place { path, ..place },
                None => Place::bearer(path),
            })
        }
    }
}

/// Path and query.
fn target(call: &Call<'_>, place: &Place) -> Option<String> {
    let base = call.base();
    let (path, own_query) = place.path.split_once('?').unwrap_or((&place.path, ""));
    let mut target = [if base.is_empty() { place.default_base } else { base }, path].concat();
    // `region` is for Lethe.
    let told = call.base_query().split('&').filter(|pair| !pair.is_empty() && !pair.starts_with("region="));
    let queries = Some(own_query).filter(|query| !query.is_empty()).into_iter().chain(told);
    for (query, mark) in queries.zip(std::iter::once('?').chain(std::iter::repeat('&'))) {
        target.push(mark);
        target.push_str(query);
    }
    (target.starts_with('/') && target.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#')).then_some(target)
}

const fn accept(call: &Call<'_>) -> &'static str {
    match (call.stream, call.api) {
        (false, _) => "application/json",
        (true, Api::Converse) => "application/vnd.amazon.eventstream",
        (true, Api::OllamaChat) => "application/x-ndjson",
        (true, _) => "text/event-stream",
    }
}

pub(crate) fn field(head: &mut ContentBuf, name: &str, text: &[u8]) -> Option<()> {
    head.extend(name.as_bytes());
    head.extend(b": ");
    value(head, text)
}

/// A value that ends its line, and that nothing can end before.
fn value(head: &mut ContentBuf, text: &[u8]) -> Option<()> {
    head.extend(text);
    head.extend(b"\r\n");
    text.iter().all(|byte| (0x20..0x7f).contains(byte)).then_some(())
}
