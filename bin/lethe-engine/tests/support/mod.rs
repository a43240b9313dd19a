//! What the tests share: where the model is, and a plain HTTP/1.1 client.
#![expect(clippy::expect_used, clippy::panic, reason = "a test's helpers fail the test")]

use std::path::PathBuf;

use serde_json::Value;

/// The model's path: `LETHE_TEST_MODEL`, else in the cache folder.
pub(crate) fn model_path() -> PathBuf {
    if let Some(path) = std::env::var_os("LETHE_TEST_MODEL") {
        return path.into();
    }
    let cache = std::env::var_os("XDG_CACHE_HOME").map_or_else(
        || PathBuf::from(std::env::var_os("HOME").expect("LETHE_TEST_MODEL, XDG_CACHE_HOME or HOME is set")).join(".cache"),
        PathBuf::from,
    );
    cache.join("lethe/models/SmolLM2-135M-Instruct.Q4_1.gguf")
}

/// The model file. A test that needs it fails without it.
pub(crate) fn model_file() -> Vec<u8> {
    let path = model_path();
    std::fs::read(&path).unwrap_or_else(|error| panic!("the tests need the model at {}: {error}", path.display()))
}

/// A response, its chunks joined.
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Reply {
    /// Parses all that a server sent before it closed.
    pub(crate) fn parse(bytes: &[u8]) -> Self {
        let text = std::str::from_utf8(bytes).expect("a response in UTF-8");
        let (head, body) = text.split_once("\r\n\r\n").expect("a whole head");
        let head = head.to_ascii_lowercase();
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
        let body = if head.contains("transfer-encoding: chunked") { unchunk(body) } else { body.to_owned() };
        Self { status, head, body }
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("no JSON: {error}: {}", self.body))
    }

    /// The objects of a stream, after checking that it ended as it should.
    pub(crate) fn events(&self) -> Vec<Value> {
        assert!(self.head.contains("content-type: text/event-stream"), "{}", self.head);
        let mut events: Vec<&str> =
            self.body.split_terminator("\n\n").map(|event| event.strip_prefix("data: ").expect("an event")).collect();
        assert_eq!(events.pop(), Some("[DONE]"));
        events.into_iter().map(|event| serde_json::from_str(event).expect("an object")).collect()
    }

    /// The text of a stream.
    pub(crate) fn streamed(&self) -> String {
        self.events().iter().filter_map(|event| event["choices"][0]["delta"]["content"].as_str()).collect()
    }

    /// The text of a whole answer.
    pub(crate) fn content(&self) -> String {
        assert_eq!(self.status, 200, "{}", self.body);
        self.json()["choices"][0]["message"]["content"].as_str().expect("content").to_owned()
    }
}

fn unchunk(mut rest: &str) -> String {
    let mut body = String::new();
    loop {
        let (length, after) = rest.split_once("\r\n").expect("a chunk's length");
        let length = usize::from_str_radix(length, 16).expect("a hexadecimal length");
        if length == 0 {
            return body;
        }
        body.push_str(&after[..length]);
        rest = after[length..].strip_prefix("\r\n").expect("a chunk's end");
    }
}

/// A request to the chat endpoint, after which the connection closes.
pub(crate) fn post(body: &Value) -> Vec<u8> {
    let body = body.to_string();
    let length = body.len();
    format!("POST /v1/chat/completions HTTP/1.1\r\nhost: engine\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}")
        .into_bytes()
}
