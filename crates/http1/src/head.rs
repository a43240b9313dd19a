//! Message heads: the request or status line and the header fields.

use std::mem::MaybeUninit;
use std::ops::Range;

use lethe_content::ContentBuf;

use crate::{HEAD_LIMIT, HEADER_LIMIT, TARGET_LIMIT};

/// Why a head was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeadError {
    /// An expectation other than `100-continue` (417).
    Expectation,
    /// Not HTTP/1.x, or ambiguous: two framings, two lengths, bare line feeds, folding, no host (400).
    Malformed,
    /// Head or number of fields over the limit (431).
    TooLarge,
    /// Target over the limit (414).
    TargetTooLong,
    /// A transfer coding other than `chunked` (501).
    TransferCoding,
    /// HTTP of another major version (505).
    Version,
}

/// How a body ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// By chunks.
    Chunked,
    /// After so many bytes; 0 is no body.
    Length(u64),
    /// When the connection closes (responses only).
    UntilClose,
}

struct Field {
    name: Range<usize>,
    value: Range<usize>,
}

/// Header fields, kept as spans of the head's own bytes (which are wiped when it is dropped).
pub struct Headers {
    bytes: ContentBuf,
    fields: Vec<Field>,
}

impl Headers {
    /// The first value of the field called `name` (any case).
    #[must_use]
    pub fn get<'a>(&'a self, name: &'a str) -> Option<&'a [u8]> {
        self.all(name).next()
    }

    /// Every value of the field called `name`.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        let bytes = self.bytes.expose();
        self.fields
            .iter()
            .filter(move |field| bytes[field.name.clone()].eq_ignore_ascii_case(name.as_bytes()))
            .map(move |field| &bytes[field.value.clone()])
    }

    /// The only value of the field called `name`; an error if there are several.
    fn single<'a>(&'a self, name: &'a str) -> Result<Option<&'a [u8]>, HeadError> {
        let mut values = self.all(name);
        let first = values.next();
        if values.next().is_some() { Err(HeadError::Malformed) } else { Ok(first) }
    }

    fn is_token_listed(&self, name: &str, token: &[u8]) -> bool {
        self.all(name).any(|value| value.split(|byte| *byte == b',').any(|item| item.trim_ascii().eq_ignore_ascii_case(token)))
    }
}

/// What request and response heads have in common.
pub struct Head {
    /// Header fields.
    pub headers: Headers,
    /// How the body ends.
    pub framing: Framing,
    /// The connection may serve another message after this one.
    pub keep_alive: bool,
    /// HTTP/1.0: no chunks toward this peer.
    pub is_http10: bool,
}

/// A request's head.
pub struct RequestHead {
    /// What both kinds of heads have.
    pub head: Head,
    method: Range<usize>,
    target: Range<usize>,
    /// The client waits for `100 Continue` before it sends the body.
    pub expects_continue: bool,
}

impl RequestHead {
    /// The method, as sent (methods are case-sensitive).
    #[must_use]
    pub fn method(&self) -> &str {
        self.text(&self.method)
    }

    /// The target's path, without the query.
    #[must_use]
    pub fn path(&self) -> &str {
        self.text(&self.target).split_once('?').map_or_else(|| self.text(&self.target), |(path, _)| path)
    }

    /// The target's query, without the question mark.
    #[must_use]
    pub fn query(&self) -> Option<&str> {
        self.text(&self.target).split_once('?').map(|(_, query)| query)
    }

    /// The header fields.
    #[must_use]
    pub const fn headers(&self) -> &Headers {
        &self.head.headers
    }

    fn text(&self, span: &Range<usize>) -> &str {
        std::str::from_utf8(&self.head.headers.bytes.expose()[span.clone()]).unwrap_or_default()
    }
}

/// A response's head.
pub struct ResponseHead {
    /// What both kinds of heads have.
    pub head: Head,
    /// Status code, 100 to 599.
    pub status: u16,
}

impl ResponseHead {
    /// The header fields.
    #[must_use]
    pub const fn headers(&self) -> &Headers {
        &self.head.headers
    }
}

/// Where a head ends in `bytes` (after its empty line), if it has arrived. `searched` bytes are known not to end it.
pub(crate) fn end_of_head(bytes: &[u8], searched: usize) -> Result<Option<usize>, HeadError> {
    let from = searched.saturating_sub(3).min(bytes.len());
    match memchr::memmem::find(&bytes[from..], b"\r\n\r\n") {
        Some(at) if from + at + 4 <= HEAD_LIMIT => Ok(Some(from + at + 4)),
        None if bytes.len() < HEAD_LIMIT => Ok(None),
        _ => Err(HeadError::TooLarge),
    }
}

/// Line feeds alone end lines for some parsers and not for others: refuse them (RFC 9112 section 2.2 allows it).
/// The first `searched` bytes are known to have none.
pub(crate) fn has_bare_line_feed(bytes: &[u8], searched: usize) -> bool {
    let searched = searched.min(bytes.len());
    memchr::memchr_iter(b'\n', &bytes[searched..]).any(|at| {
        let before = (searched + at).checked_sub(1);
        before.is_none_or(|before| bytes[before] != b'\r')
    })
}

fn span(of: &[u8], within: &[u8]) -> Range<usize> {
    let start = of.as_ptr().addr() - within.as_ptr().addr();
    start..start + of.len()
}

fn fields_of(parsed: &[httparse::Header<'_>], bytes: &[u8]) -> Vec<Field> {
    parsed.iter().map(|header| Field { name: span(header.name.as_bytes(), bytes), value: span(header.value, bytes) }).collect()
}

const fn refused(error: httparse::Error) -> HeadError {
    match error {
        httparse::Error::TooManyHeaders => HeadError::TooLarge,
        httparse::Error::Version => HeadError::Version,
        _ => HeadError::Malformed,
    }
}

/// Parses a complete request head (it ends with its empty line).
///
/// # Errors
/// [`HeadError`], each with one status code.
pub fn parse_request(bytes: &[u8]) -> Result<RequestHead, HeadError> {
    // First, as where a head arrives in pieces: the refusal is the same whatever the pieces are.
    if has_bare_line_feed(bytes, 0) {
        return Err(HeadError::Malformed);
    }
    let mut fields = [const { MaybeUninit::uninit() }; HEADER_LIMIT];
    let mut parsed = httparse::Request::new(&mut []);
    match parsed.parse_with_uninit_headers(bytes, &mut fields) {
        Ok(httparse::Status::Complete(used)) if used == bytes.len() => {}
        Ok(_) => return Err(HeadError::Malformed),
        Err(error) => return Err(refused(error)),
    }
    let (Some(method), Some(target), Some(minor)) = (parsed.method, parsed.path, parsed.version) else {
        return Err(HeadError::Malformed);
    };
    if target.len() > TARGET_LIMIT {
        return Err(HeadError::TargetTooLong);
    }
    // Origin form only (RFC 9112 section 3.2.1), and ASCII, so that nothing is decoded twice.
    if !target.starts_with('/') || !target.is_ascii() {
        return Err(HeadError::Malformed);
    }
    let (method, target) = (span(method.as_bytes(), bytes), span(target.as_bytes(), bytes));
    let mut copy = ContentBuf::with_capacity(bytes.len());
    copy.extend(bytes);
    let headers = Headers { fields: fields_of(parsed.headers, bytes), bytes: copy };
    let is_http10 = minor == 0;
    let host = headers.single("host")?;
    match host {
        Some(host) if !is_host(host) => return Err(HeadError::Malformed),
        None if !is_http10 => return Err(HeadError::Malformed),
        _ => {}
    }
    let framing = match (headers.single("transfer-encoding")?, length(&headers)?) {
        (None, None) => Framing::Length(0),
        (None, Some(length)) => Framing::Length(length),
        // Chunked and a length, or chunked in HTTP/1.0: the two readers of a smuggled request (RFC 9112 section 6.1).
        (Some(_), Some(_)) => return Err(HeadError::Malformed),
        (Some(_), None) if is_http10 => return Err(HeadError::Malformed),
        (Some(coding), None) if coding.eq_ignore_ascii_case(b"chunked") => Framing::Chunked,
        (Some(_), None) => return Err(HeadError::TransferCoding),
    };
    let expects_continue = match headers.single("expect")? {
        None => false,
        Some(value) if value.eq_ignore_ascii_case(b"100-continue") => !is_http10,
        Some(_) => return Err(HeadError::Expectation),
    };
    let keep_alive = keep_alive(&headers, is_http10);
    Ok(RequestHead { head: Head { headers, framing, keep_alive, is_http10 }, method, target, expects_continue })
}

/// Parses a complete response head to a request that was not `HEAD` or `CONNECT`.
///
/// # Errors
/// [`HeadError`].
pub fn parse_response(bytes: &[u8]) -> Result<ResponseHead, HeadError> {
    let mut fields = [const { MaybeUninit::uninit() }; HEADER_LIMIT];
    let mut parsed = httparse::Response::new(&mut []);
    match httparse::ParserConfig::default().parse_response_with_uninit_headers(&mut parsed, bytes, &mut fields) {
        Ok(httparse::Status::Complete(used)) if used == bytes.len() => {}
        Ok(_) => return Err(HeadError::Malformed),
        Err(error) => return Err(refused(error)),
    }
    let (Some(status), Some(minor)) = (parsed.code, parsed.version) else {
        return Err(HeadError::Malformed);
    };
    if !(100..600).contains(&status) {
        return Err(HeadError::Malformed);
    }
    let mut copy = ContentBuf::with_capacity(bytes.len());
    copy.extend(bytes);
    let headers = Headers { fields: fields_of(parsed.headers, bytes), bytes: copy };
    let is_http10 = minor == 0;
    let mut keep_alive = keep_alive(&headers, is_http10);
    let framing = if status < 200 || status == 204 || status == 304 {
        Framing::Length(0)
    } else {
        match (headers.single("transfer-encoding")?, length(&headers)?) {
            (None, Some(length)) => Framing::Length(length),
            (None, None) => {
                keep_alive = false;
                Framing::UntilClose
            }
            (Some(coding), None) if coding.eq_ignore_ascii_case(b"chunked") && !is_http10 => Framing::Chunked,
            _ => return Err(HeadError::Malformed),
        }
    };
    Ok(ResponseHead { head: Head { headers, framing, keep_alive, is_http10 }, status })
}

fn length(headers: &Headers) -> Result<Option<u64>, HeadError> {
    let Some(value) = headers.single("content-length")? else { return Ok(None) };
    if value.is_empty() || value.len() > 19 || !value.iter().all(u8::is_ascii_digit) {
        return Err(HeadError::Malformed);
    }
    Ok(Some(value.iter().fold(0, |length, digit| length * 10 + u64::from(digit - b'0'))))
}

/// Whether `value` has only what a host and a port are written with (RFC 9112 section 3.2, RFC 3986 section 3.2): a second host, user
/// data or a path would mean another place to another reader.
fn is_host(value: &[u8]) -> bool {
    value.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-._~!$&'()*+;=%:[]".contains(byte))
}

/// RFC 9112 section 9.3; `close` wins over everything.
fn keep_alive(headers: &Headers, is_http10: bool) -> bool {
    !headers.is_token_listed("connection", b"close") && (!is_http10 || headers.is_token_listed("connection", b"keep-alive"))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed test")]

    use proptest::prelude::*;

    use super::{Framing, HeadError, parse_request, parse_response};

    fn request(lines: &str) -> Result<Framing, HeadError> {
        parse_request(lines.replace('\n', "\r\n").as_bytes()).map(|request| request.head.framing)
    }

    #[test]
    fn framing_is_never_ambiguous() {
        let start = "POST /v1/chat/completions HTTP/1.1\nHost: a\n";
        let with = |fields: &str| request(&format!("{start}{fields}\n"));
        assert_eq!(with("Content-Length: 5\n"), Ok(Framing::Length(5)));
        assert_eq!(with("Transfer-Encoding: chunked\n"), Ok(Framing::Chunked));
        assert_eq!(with(""), Ok(Framing::Length(0)));
        for bad in [
            "Content-Length: 5\nContent-Length: 5\n",
            "Content-Length: 5\nContent-Length: 6\n",
            "Content-Length: 5, 5\n",
            "Content-Length: +5\n",
            "Content-Length: -1\n",
            "Content-Length: 0x5\n",
            "Content-Length: \n",
            "Content-Length: 99999999999999999999\n",
            "Content-Length : 5\n",
            "Content-Length: 5\nTransfer-Encoding: chunked\n",
            "Transfer-Encoding: chunked\nTransfer-Encoding: chunked\n",
            "Transfer-Encoding: chunked\n Content-Length: 5\n",
            "Host: b\n",
        ] {
            assert_eq!(with(bad), Err(HeadError::Malformed), "{bad:?}");
        }
        for coding in ["gzip", "gzip, chunked", "chunked, identity", "xchunked", "chunked;q=1"] {
            assert_eq!(with(&format!("Transfer-Encoding: {coding}\n")), Err(HeadError::TransferCoding), "{coding}");
        }
        assert_eq!(with("Expect: 200-ok\n"), Err(HeadError::Expectation));
        assert_eq!(request("POST / HTTP/1.0\nTransfer-Encoding: chunked\n\n"), Err(HeadError::Malformed));
        assert_eq!(request("GET / HTTP/1.1\n\n"), Err(HeadError::Malformed), "no host");
        for host in ["a b", "a, b", "a,b", "a@b", "a/b", "a?b", "\u{e9}", "\"a\""] {
            assert_eq!(request(&format!("GET / HTTP/1.1\nHost: {host}\n\n")), Err(HeadError::Malformed), "{host}");
        }
        for host in ["", "a", "a:80", "[::1]:80", "xn--a.example"] {
            assert!(request(&format!("GET / HTTP/1.1\nHost: {host}\n\n")).is_ok(), "control: {host}");
        }
        assert_eq!(request("GET http://a/ HTTP/1.1\nHost: a\n\n"), Err(HeadError::Malformed), "absolute form");
        assert_eq!(request("GET / HTTP/2.0\nHost: a\n\n"), Err(HeadError::Version));
        assert_eq!(parse_request(b"GET / HTTP/1.1\nHost: a\r\n\r\n").err(), Some(HeadError::Malformed), "bare line feed");
        let many = "A: b\n".repeat(101);
        assert_eq!(with(&many), Err(HeadError::TooLarge));
    }

    #[test]
    fn parts_of_a_request_are_found() {
        let parsed =
            parse_request(b"GET /v1/models?limit=1 HTTP/1.1\r\nHost: a\r\nX-A: 1\r\nx-a: 2\r\nConnection: Close\r\n\r\n")
                .ok()
                .unwrap();
        assert_eq!((parsed.method(), parsed.path(), parsed.query()), ("GET", "/v1/models", Some("limit=1")));
        assert_eq!(parsed.headers().all("X-a").collect::<Vec<_>>(), [b"1", b"2"]);
        assert!(!parsed.head.keep_alive);
    }

    #[test]
    fn connections_stay_only_where_both_sides_say_so() {
        let keeps = |version: &str, field: &str| {
            let parsed = parse_request(format!("GET / {version}\r\nHost: a\r\n{field}\r\n").as_bytes());
            parsed.ok().unwrap().head.keep_alive
        };
        for (version, field, expected) in [
            ("HTTP/1.1", "", true),
            ("HTTP/1.1", "Connection: keep-alive, close\r\n", false),
            ("HTTP/1.1", "Connection: upgrade\r\nConnection: Close\r\n", false),
            ("HTTP/1.0", "", false),
            ("HTTP/1.0", "Connection: Keep-Alive\r\n", true),
            ("HTTP/1.0", "Connection: keep-alive, close\r\n", false),
        ] {
            assert_eq!(keeps(version, field), expected, "{version} {field:?}");
        }
    }

    #[test]
    fn a_response_without_framing_ends_with_its_connection() {
        let parsed = parse_response(b"HTTP/1.1 200 OK\r\nContent-Type: a\r\n\r\n").ok().unwrap();
        assert_eq!((parsed.status, parsed.head.framing, parsed.head.keep_alive), (200, Framing::UntilClose, false));
        let parsed = parse_response(b"HTTP/1.1 204 No Content\r\n\r\n").ok().unwrap();
        assert_eq!((parsed.head.framing, parsed.head.keep_alive), (Framing::Length(0), true));
    }

    proptest! {
        #[test]
        fn no_input_panics(input in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse_request(&input);
            let _ = parse_response(&input);
        }
    }
}
