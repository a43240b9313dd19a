//! Which operation a request's method and path ask for.

use lethe_http1::RequestHead;
use lethe_policy::conflict;
use lethe_types::Operation;

use crate::problem::Problem;

/// Headers that ask a provider for features beyond the body.
const REFUSED_HEADERS: [&str; 1] = ["openai-beta"];

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Endpoint {
    /// A body goes to a provider or node.
    Exchange(Operation),
    /// One model's entry.
    Model(String),
    /// The list of models.
    Models,
}

impl Endpoint {
    /// The operation that is recorded.
    pub(crate) const fn operation(&self) -> Operation {
        match self {
            Self::Exchange(operation) => *operation,
            Self::Model(_) | Self::Models => Operation::Models,
        }
    }
}

/// Finds the endpoint, or says what is wrong with asking for it.
pub(crate) fn find(request: &RequestHead) -> Result<Endpoint, Problem> {
    let (method, path) = (request.method(), request.path());
    if let Some(conflict) = conflict::endpoint(method, path) {
        return Err(Problem::conflict(&conflict));
    }
    let (allow, endpoint) = match path {
        "/v1/chat/completions" => ("POST", Endpoint::Exchange(Operation::Chat)),
        "/v1/embeddings" => ("POST", Endpoint::Exchange(Operation::Embeddings)),
        "/v1/models" => ("GET", Endpoint::Models),
        _ => match path.strip_prefix("/v1/models/").and_then(percent_decoded) {
            Some(id) => ("GET", Endpoint::Model(id)),
            None => return Err(Problem::not_found()),
        },
    };
    if method != allow {
        return Err(Problem::method(allow));
    }
    if request.query().is_some() {
        return Err(Problem::query());
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
    #![expect(clippy::unwrap_used, reason = "a failed test")]

    use lethe_http1::parse_request;
    use lethe_types::Operation;

    use super::{Endpoint, find};

    fn ask(line: &str) -> Result<Endpoint, u16> {
        let head = format!("{line} HTTP/1.1\r\nHost: a\r\n\r\n");
        find(&parse_request(head.as_bytes()).ok().unwrap()).map_err(|problem| problem.status)
    }

    #[test]
    fn endpoints_are_found_or_refused() {
        assert_eq!(ask("POST /v1/chat/completions"), Ok(Endpoint::Exchange(Operation::Chat)));
        assert_eq!(ask("GET /v1/models/meta%2Fllama"), Ok(Endpoint::Model("meta/llama".into())));
        assert_eq!(ask("GET /v1/models/a/b"), Ok(Endpoint::Model("a/b".into())));
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
}
