//! Which operation a request's method and path ask for.

use lethe_http1::RequestHead;
use lethe_policy::conflict;
use lethe_types::{Api, Operation};

use crate::problem::Problem;

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
}

impl Endpoint {
    /// The operation that is recorded.
    pub(crate) const fn operation(&self) -> Operation {
        match self {
            Self::Exchange(asked) => asked.api.operation(),
            Self::Model(..) | Self::Models(_) | Self::OpenApi => Operation::Models,
        }
    }
}

/// Paths that take a body, and its format. Anthropic's SDK puts `/v1` behind its base URL, others expect it in the base URL.
pub(crate) const POSTS: [(&str, Api); 14] = [
    ("/messages", Api::Messages),
    ("/messages/count_tokens", Api::CountMessageTokens),
    ("/v1/chat/completions", Api::Chat),
    ("/v1/completions", Api::Completions),
    ("/v1/embeddings", Api::Embeddings),
    ("/v1/messages", Api::Messages),
    ("/v1/messages/count_tokens", Api::CountMessageTokens),
    ("/v1/moderations", Api::Moderations),
    ("/v1/rerank", Api::Rerank),
    ("/v1/responses", Api::Responses),
    ("/v2/rerank", Api::Rerank),
    ("/rerank", Api::Rerank),
    ("/chat/completions", Api::Chat),
    ("/responses", Api::Responses),
];

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
    if let Some(conflict) = conflict::endpoint(method, path) {
        return Err(Problem::conflict(&conflict));
    }
    let mut query = request.query();
    let (allow, endpoint) = if let Some((_, api)) = POSTS.into_iter().find(|(post, _)| *post == path) {
        ("POST", Endpoint::Exchange(Asked { api, model: None, stream: false, array: false, batch: false }))
    } else if let Some(asked) = gemini(path) {
        let asked = Asked { array: asked.stream && query != Some("alt=sse"), ..asked };
        query = query.filter(|query| !matches!(*query, "alt=sse" | "alt=json"));
        ("POST", Endpoint::Exchange(asked))
    } else {
        let one = |prefix: &str| path.strip_prefix(prefix).and_then(percent_decoded);
        let endpoint = match path {
            "/openapi.json" => Endpoint::OpenApi,
            "/v1/models" | "/models" => Endpoint::Models(Api::Chat),
            "/v1beta/models" => Endpoint::Models(Api::GenerateContent),
            _ => match (one("/v1/models/").or_else(|| one("/models/")), one("/v1beta/models/")) {
                (Some(id), _) => Endpoint::Model(id, Api::Chat),
                (None, Some(id)) => Endpoint::Model(id, Api::GenerateContent),
                (None, None) => return Err(Problem::not_found()),
            },
        };
        ("GET", endpoint)
    };
    if method != allow {
        return Err(Problem::method(allow));
    }
    // Clients page through lists: there is one page, and nothing of anybody's in such a query.
    let pages = |query: &str| query.split('&').all(|part| part.starts_with("pageSize=") || part.starts_with("limit="));
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

/// `/v1beta/models/{model}:{method}` (<https://ai.google.dev/api/generate-content>).
fn gemini(path: &str) -> Option<Asked> {
    let rest = path.strip_prefix("/v1beta/models/").or_else(|| path.strip_prefix("/v1/models/"))?;
    let (model, method) = rest.rsplit_once(':')?;
    let (api, stream, batch) = match method {
        "generateContent" => (Api::GenerateContent, false, false),
        "streamGenerateContent" => (Api::GenerateContent, true, false),
        "countTokens" => (Api::CountTokens, false, false),
        "embedContent" => (Api::EmbedContent, false, false),
        "batchEmbedContents" => (Api::EmbedContent, false, true),
        _ => return None,
    };
    Some(Asked { api, model: Some(percent_decoded(model)?), stream, array: false, batch })
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
    #![expect(clippy::unwrap_used, reason = "a failed test")]

    use lethe_http1::parse_request;
    use lethe_types::Api;

    use super::{Asked, Endpoint, find};

    fn ask(line: &str) -> Result<Endpoint, u16> {
        let head = format!("{line} HTTP/1.1\r\nHost: a\r\n\r\n");
        find(&parse_request(head.as_bytes()).ok().unwrap()).map_err(|problem| problem.status)
    }

    fn body(api: Api) -> Result<Endpoint, u16> {
        Ok(Endpoint::Exchange(Asked { api, model: None, stream: false, array: false, batch: false }))
    }

    #[test]
    fn endpoints_are_found_or_refused() {
        assert_eq!(ask("POST /v1/chat/completions"), body(Api::Chat));
        assert_eq!(ask("POST /v1/messages?beta=true"), body(Api::Messages));
        assert_eq!(ask("POST /messages"), body(Api::Messages));
        assert_eq!(ask("POST /v1/responses"), body(Api::Responses));
        assert_eq!(ask("GET /v1/models/meta%2Fllama"), Ok(Endpoint::Model("meta/llama".into(), Api::Chat)));
        assert_eq!(ask("GET /v1beta/models?pageSize=50"), Ok(Endpoint::Models(Api::GenerateContent)));
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
    fn geminis_paths_name_model_and_method() {
        let asked = |stream, array| {
            Ok(Endpoint::Exchange(Asked { api: Api::GenerateContent, model: Some("a/b".into()), stream, array, batch: false }))
        };
        assert_eq!(ask("POST /v1beta/models/a%2Fb:generateContent"), asked(false, false));
        assert_eq!(ask("POST /v1beta/models/a/b:streamGenerateContent?alt=sse"), asked(true, false));
        assert_eq!(ask("POST /v1/models/a/b:streamGenerateContent"), asked(true, true));
        assert_eq!(ask("POST /v1beta/models/a:generateContent?key=secret"), Err(400));
        assert_eq!(ask("POST /v1beta/models/a:batchGenerateContent"), Err(405));
        assert_eq!(ask("GET /v1beta/models/a:generateContent"), Err(405));
    }
}
