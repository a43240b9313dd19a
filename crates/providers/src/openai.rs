//! Servers that speak OpenAI's dialect (<https://platform.openai.com/docs/api-reference>).

use lethe_content::ContentBuf;
use lethe_types::Operation;

/// Where and how a request goes.
pub struct Target<'a> {
    /// The `Host` field: name, and port unless it is the scheme's own.
    pub host: &'a str,
    /// Path before the operation's own, such as `/v1`.
    pub base_path: &'a str,
    /// The bearer token, if the server wants one.
    pub bearer: Option<&'a [u8]>,
    /// A stream is wanted.
    pub stream: bool,
}

/// The path of an operation below the base path; `None` for operations that are answered without asking a provider.
#[must_use]
pub const fn path(operation: Operation) -> Option<&'static str> {
    match operation {
        Operation::Chat => Some("/chat/completions"),
        Operation::Embeddings => Some("/embeddings"),
        Operation::Models => None,
    }
}

/// The head of a `POST` of `length` bytes of JSON, in a buffer with room for `room` bytes more. Nothing of the client's own head
/// is in it.
///
/// ```
/// use lethe_providers::openai::{Target, request_head};
/// let target = Target { host: "api.example.com", base_path: "/v1", bearer: Some(b"key"), stream: false };
/// let head = request_head(&target, "/embeddings", 2, 0);
/// assert!(head.expose().starts_with(b"POST /v1/embeddings HTTP/1.1\r\nhost: api.example.com\r\n"));
/// assert!(head.expose().ends_with(b"content-length: 2\r\n\r\n"));
/// ```
#[must_use]
pub fn request_head(target: &Target<'_>, path: &str, length: usize, room: usize) -> ContentBuf {
    let mut head = ContentBuf::with_capacity(512 + room);
    let accept = if target.stream { "text/event-stream" } else { "application/json" };
    for part in [
        "POST ",
        target.base_path,
        path,
        " HTTP/1.1\r\nhost: ",
        target.host,
        "\r\nuser-agent: lethe\r\naccept-encoding: identity\r\ncontent-type: application/json\r\naccept: ",
        accept,
        "\r\n",
    ] {
        head.extend(part.as_bytes());
    }
    if let Some(bearer) = target.bearer {
        head.extend(b"authorization: Bearer ");
        head.extend(bearer);
        head.extend(b"\r\n");
    }
    head.extend(b"content-length: ");
    head.extend(length.to_string().as_bytes());
    head.extend(b"\r\n\r\n");
    head
}
