//! Which operation a request's method and path ask for.

use lethe_http1::RequestHead;
use lethe_policy::conflict;
use lethe_types::{Api, Operation};

use crate::handshake;
use crate::problem::Problem;
use crate::served::{self, Leads};

/// Headers that ask a provider for features beyond the body.
const REFUSED_HEADERS: [&str; 1] = ["openai-beta"];

/// A request in one of the formats that clients speak.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Asked {
    pub(crate) api: Api,
    /// The model, where the path names it.
    pub(crate) model: Option<String>,
    /// A stream is wanted, where the path says so.
    pub(crate) stream: bool,
    /// The stream is wanted as a JSON array (Gemini, without `alt=sse`).
    pub(crate) array: bool,
    /// Several inputs at once (Gemini's `batchEmbedContents`).
    pub(crate) batch: bool,
}

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Endpoint {
    /// A body goes to a provider or node.
    Exchange(Asked),
    /// One model's entry, in Gemini's form or OpenAI's.
    Model(String, Api),
    /// The list of models.
    Models(Api),
    /// What this API is, as an OpenAPI document.
    OpenApi,
    /// Responses over WebSocket, with what the handshake is answered with.
    WebSocket(String),
}

impl Asked {
    /// What stands in the body of a request in `api`.
    pub(crate) const fn body(api: Api) -> Self {
        Self { api, model: None, stream: false, array: false, batch: false }
    }
}

impl Endpoint {
    /// The operation that is recorded.
    pub(crate) const fn operation(&self) -> Operation {
        match self {
            Self::Exchange(asked) => asked.api.operation(),
            Self::Model(..) | Self::Models(_) | Self::OpenApi => Operation::Models,
            Self::WebSocket(_) => Api::Responses.operation(),
        }
    }
}

/// The format that a client speaks who asks for `path`: also of what is refused.
pub(crate) fn dialect(path: &str) -> Api {
    if path.starts_with("/v1beta/") || path.starts_with("/v1/models/") && path.contains(':') {
        Api::GenerateContent
    } else if path.starts_with("/v1/messages") || path.starts_with("/messages") {
        Api::Messages
    } else if path.starts_with("/v1/responses") {
        Api::Responses
    } else {
        Api::Chat
    }
}

/// Finds the endpoint, or says what is wrong with asking for it.
pub(crate) fn find(request: &RequestHead) -> Result<Endpoint, Problem> {
    let (method, path) = (request.method(), request.path());
    if handshake::is_asked_for(request) {
        if !served::speaks_websocket(path) {
            return Err(Problem::websocket());
        }
        return handshake::accept(request).map(Endpoint::WebSocket);
    }
    if let Some(conflict) = conflict::endpoint(method, path) {
        return Err(Problem::conflict(&conflict));
    }
    let (served, model) = served::at(path).ok_or_else(Problem::not_found)?;
    let allow = served.method;
    let model = match model {
        None => None,
        Some(model) => Some(percent_decoded(model).ok_or_else(Problem::not_found)?),
    };
    let mut query = request.query();
    let endpoint = match served.leads {
        Leads::Exchange(api) => {
            let stream = served.path.ends_with(":streamGenerateContent");
            let array = stream && query != Some("alt=sse");
            if model.is_some() {
                query = query.filter(|query| !matches!(*query, "alt=sse" | "alt=json"));
            }
            Endpoint::Exchange(Asked { api, model, stream, array, batch: served.path.ends_with(":batchEmbedContents") })
        }
        Leads::Model(api) => Endpoint::Model(model.unwrap_or_default(), api),
        Leads::Models(api) => Endpoint::Models(api),
        Leads::OpenApi => Endpoint::OpenApi,
        // Only behind an upgrade.
        Leads::WebSocket => return Err(Problem::not_found()),
    };
    if method != allow {
        return Err(Problem::method(allow));
    }
    // Clients page through lists: there is one page, and nothing of anybody's in such a query.
    let digits = |text: &str| !text.is_empty() && text.len() <= 4 && text.bytes().all(|byte| byte.is_ascii_digit());
    let pages = |query: &str| {
        query.split('&').all(|part| {
            let count = part.strip_prefix("pageSize=").or_else(|| part.strip_prefix("limit="));
            count.is_some_and(digits)
        })
    };
    if let Some(query) = query
        && !(matches!(endpoint, Endpoint::Models(_)) && pages(query))
        // Anthropic's SDK says in the query that it uses beta features, which its header lists.
        && !(dialect(path) == Api::Messages && query == "beta=true")
    {
        return Err(Problem::query(query));
    }
    if let Some(name) = REFUSED_HEADERS.into_iter().find(|name| request.headers().get(name).is_some()) {
        return Err(Problem::header(name));
    }
    Ok(endpoint)
}

/// RFC 3986 section 2.1; `None` for broken escapes, bytes that are not UTF-8, or nothing at all.
fn percent_decoded(text: &str) -> Option<String> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        if *first == b'%' {
            let digits = std::str::from_utf8(tail.get(..2)?).ok()?;
            out.push(u8::from_str_radix(digits, 16).ok()?);
            rest = &tail[2..];
        } else {
            out.push(*first);
            rest = tail;
        }
    }
    String::from_utf8(out).ok().filter(|id| !id.is_empty())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::panic, clippy::unwrap_used, reason = "a failed test")]

    use lethe_http1::parse_request;
    use lethe_types::Api;

    use super::{Asked, Endpoint, find};
    use crate::served::{Leads, SERVED};

    fn ask(line: &str) -> Result<Endpoint, u16> {
        let head = format!("{line} HTTP/1.1\r\nHost: a\r\n\r\n");
        find(&parse_request(head.as_bytes()).ok().unwrap()).map_err(|problem| problem.status)
    }

    fn upgrade(line: &str) -> Result<Endpoint, u16> {
        let fields = "Host: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13";
        let head = format!("{line} HTTP/1.1\r\n{fields}\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n");
        find(&parse_request(head.as_bytes()).ok().unwrap()).map_err(|problem| problem.status)
    }

    fn body(api: Api) -> Result<Endpoint, u16> {
        Ok(Endpoint::Exchange(Asked::body(api)))
    }

    #[test]
    fn endpoints_are_found_or_refused() {
        assert_eq!(ask("POST /v1/chat/completions"), body(Api::Chat));
        assert_eq!(ask("POST /v1/messages?beta=true"), body(Api::Messages));
        assert_eq!(ask("POST /messages"), body(Api::Messages));
        assert_eq!(ask("POST /v1/responses"), body(Api::Responses));
        assert_eq!(ask("GET /v1/models/meta%2Fllama"), Ok(Endpoint::Model("meta/llama".into(), Api::Chat)));
        assert_eq!(ask("GET /v1beta/models?pageSize=50"), Ok(Endpoint::Models(Api::GenerateContent)));
        assert_eq!(ask("GET /v1beta/models?pageSize=a-secret"), Err(400), "no content in a URL");
        assert_eq!(ask("GET /v1/models/%zz"), Err(404));
        assert_eq!(ask("GET /v1/models/"), Err(404));
        assert_eq!(ask("DELETE /v1/models/a"), Err(405));
        assert_eq!(ask("GET /v1/embeddings"), Err(405));
        assert_eq!(ask("GET /v1/chat/completions"), Err(400));
        assert_eq!(ask("POST /v1/files"), Err(400));
        assert_eq!(ask("POST /v1/batches"), Err(400));
        assert_eq!(ask("POST /v1/embeddings?a=b"), Err(400));
        assert_eq!(ask("GET /"), Err(404));
    }

    #[test]
    fn a_websocket_is_refused_by_name_wherever_there_is_none() {
        for line in [
            "POST /responses/compact",
            "GET /v1/realtime?model=m",
            "GET /v1beta/models/a:generateContent",
            "GET /",
            "POST /v1/messages",
        ] {
            let upgrade = |to: &str| {
                let head = format!("{line} HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: {to}\r\n\r\n");
                find(&parse_request(head.as_bytes()).ok().unwrap()).map_err(|problem| problem.code())
            };
            assert_eq!(upgrade("WebSocket").err(), Some("websocket_not_supported"), "{line}");
            assert_ne!(upgrade("h2c").err(), Some("websocket_not_supported"), "{line}");
        }
    }

    #[test]
    fn geminis_paths_name_model_and_method() {
        let asked = |stream, array| {
            Ok(Endpoint::Exchange(Asked { api: Api::GenerateContent, model: Some("a/b".into()), stream, array, batch: false }))
        };
        assert_eq!(ask("POST /v1beta/models/a%2Fb:generateContent"), asked(false, false));
        assert_eq!(ask("POST /v1beta/models/a/b:streamGenerateContent?alt=sse"), asked(true, false));
        assert_eq!(ask("POST /v1/models/a/b:streamGenerateContent"), asked(true, true));
        assert_eq!(ask("POST /v1beta/models/a:generateContent?key=secret"), Err(400));
        assert_eq!(ask("POST /v1beta/models/a:batchGenerateContent"), Err(405), "a model might be called so");
        assert_eq!(ask("GET /v1beta/models/a:generateContent"), Err(405));
    }

    #[test]
    fn every_operation_of_the_list_is_found() {
        let mut seen = std::collections::HashSet::new();
        for served in SERVED {
            assert!(seen.insert((served.method, served.path)) && seen.insert(("id", served.id)), "{}", served.path);
            let line = format!("{} {}", served.method, served.path.replace("{model}", "m"));
            let found = if served.leads == Leads::WebSocket { upgrade(&line) } else { ask(&line) };
            let leads = match &found {
                Ok(Endpoint::Exchange(asked)) => Leads::Exchange(asked.api),
                Ok(Endpoint::Model(id, api)) if id == "m" => Leads::Model(*api),
                Ok(Endpoint::Models(api)) => Leads::Models(*api),
                Ok(Endpoint::OpenApi) => Leads::OpenApi,
                Ok(Endpoint::WebSocket(_)) => Leads::WebSocket,
                other => panic!("{line}: {other:?}"),
            };
            assert_eq!(leads, served.leads, "{line}");
            if let Some(of) = served.alias_of {
                assert!(SERVED.iter().any(|other| other.path == of && other.leads == served.leads), "{line}");
            }
        }
    }
}
