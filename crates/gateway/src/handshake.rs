//! Whether a client may change to WebSocket (RFC 6455 section 4.2.1).

use aws_lc_rs::digest;
use lethe_http1::{Framing, RequestHead};
use lethe_wire::media::base64;

use crate::problem::Problem;

/// Appended to a client's key (section 1.3).
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
const VERSION: &[u8] = b"13";
/// Clients name the mode itself as a feature in `openai-beta`, with a date that changes nothing here.
const MODE: &[u8] = b"responses_websockets=";

/// A handshake, whatever it is for: said as such, since its method and query would be found at fault instead.
pub(crate) fn is_asked_for(request: &RequestHead) -> bool {
    lists(request, "upgrade", b"websocket")
}

/// What a client is answered with whose handshake is as it should be.
pub(crate) fn accept(request: &RequestHead) -> Result<String, Problem> {
    let headers = request.headers();
    let only = |name: &'static str| {
        let mut values = headers.all(name);
        values.next().filter(|_| values.next().is_none())
    };
    if request.method() != "GET" || request.head.is_http10 || request.head.framing != Framing::Length(0) {
        return Err(Problem::handshake("It is a GET of HTTP/1.1 without a body."));
    }
    if !lists(request, "connection", b"upgrade") {
        return Err(Problem::handshake("`Connection` must list `Upgrade`."));
    }
    if only("sec-websocket-version") != Some(VERSION) {
        return Err(Problem::websocket_version());
    }
    // Sixteen bytes in base64; what they are does not matter.
    let key = only("sec-websocket-key").filter(|key| key.len() == 24);
    let bytes = key.and_then(|key| base64::decode(std::str::from_utf8(key).ok()?));
    let (Some(key), Some(16)) = (key, bytes.map(|bytes| bytes.len())) else {
        return Err(Problem::handshake("`Sec-WebSocket-Key` must be sixteen bytes in base64."));
    };
    if let Some(query) = request.query() {
        return Err(Problem::query(query));
    }
    let features = headers.all("openai-beta").flat_map(|value| value.split(|byte| *byte == b','));
    if !features.map(<[u8]>::trim_ascii).all(|feature| feature.starts_with(MODE)) {
        return Err(Problem::header("openai-beta"));
    }
    let digest = digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, &[key, GUID].concat());
    Ok(base64::encode(digest.as_ref()))
}

fn lists(request: &RequestHead, name: &str, token: &[u8]) -> bool {
    let mut tokens = request.headers().all(name).flat_map(|value| value.split(|byte| *byte == b','));
    tokens.any(|listed| listed.trim_ascii().eq_ignore_ascii_case(token))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed test")]

    use lethe_http1::parse_request;

    use super::accept;

    const GOOD: &str = "Connection: keep-alive, Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                        Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

    fn asked(line: &str, fields: &str) -> Result<String, &'static str> {
        let head = format!("{line}\r\nHost: a\r\n{fields}\r\n");
        accept(&parse_request(head.as_bytes()).ok().unwrap()).map_err(|problem| problem.code())
    }

    #[test]
    fn the_rfcs_example_is_accepted() {
        let line = "GET /v1/responses HTTP/1.1";
        assert_eq!(asked(line, GOOD).as_deref(), Ok("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
        let beta = format!("{GOOD}OpenAI-Beta: responses_websockets=2026-02-06\r\n");
        assert!(asked(line, &beta).is_ok());
    }

    #[test]
    fn a_handshake_that_is_none_is_refused_by_name() {
        let get = "GET /v1/responses HTTP/1.1";
        let with = |from: &str, to: &str| asked(get, &GOOD.replace(from, to));
        for (answer, code) in [
            (asked("POST /v1/responses HTTP/1.1", GOOD), "bad_handshake"),
            (asked("GET /v1/responses HTTP/1.0", GOOD), "bad_handshake"),
            (with("Upgrade\r\nUpgrade", "close\r\nUpgrade"), "bad_handshake"),
            (asked(get, &format!("{GOOD}Content-Length: 5\r\n")), "bad_handshake"),
            (with("Sec-WebSocket-Key", "X-Key"), "bad_handshake"),
            (with("dGhl", "dGh="), "bad_handshake"),
            (with("dGhl", ""), "bad_handshake"),
            (asked(get, &format!("{GOOD}{GOOD}")), "unsupported_websocket_version"),
            (with(": 13", ": 8"), "unsupported_websocket_version"),
            (with("Sec-WebSocket-Version: 13\r\n", ""), "unsupported_websocket_version"),
            (asked("GET /v1/responses?model=m HTTP/1.1", GOOD), "query_not_accepted"),
            (asked(get, &format!("{GOOD}OpenAI-Beta: responses_multi_agent=v1\r\n")), "unsupported_header"),
        ] {
            assert_eq!(answer, Err(code));
        }
    }
}
