//! The server's end of a connection.

use std::future::poll_fn;
use std::io;
use std::task::{Poll, ready};
use std::time::Duration;

use lethe_content::ContentBuf;
use lethe_tls::Readiness;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use crate::chunked::ChunkedDecoder;
use crate::head::{Framing, HeadError, RequestHead, end_of_head, parse_request};

/// Read at a time for heads and for what a client sends ahead of its turn.
const READ_BYTES: usize = 4 * 1024;
/// Read at a time for bodies.
const BODY_READ_BYTES: usize = 64 * 1024;
/// Bodies up to this size leave in one write with their head.
const JOINED: usize = 64 * 1024;
/// What a client may send ahead of its turn before it is left waiting.
const AHEAD_LIMIT: usize = 64 * 1024;
/// An unread body up to this size is read and wiped after an early answer, so that the connection can go on.
const DISCARD_LIMIT: u64 = 64 * 1024;
/// After an early answer to a larger body: how much is still read, and for how long, so that the answer is not lost to a
/// reset (RFC 9112 section 9.6).
const LINGER_BYTES: usize = 1024 * 1024;
const LINGER: Duration = Duration::from_secs(2);

/// Why a body could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyError {
    /// The client closed the connection, or stopped sending for longer than the limit.
    Gone,
    /// Not a chunked body.
    Malformed,
    /// Nothing arrived within the limit.
    Timeout,
    /// Longer than the limit.
    TooLarge,
}

/// What a response says beside its body. `Cache-Control: no-store` is always added.
#[derive(Clone, Copy, Debug, Default)]
pub struct Response<'a> {
    /// Status code.
    pub status: u16,
    /// Media type; empty for none.
    pub content_type: &'a str,
    /// `Retry-After`, in seconds.
    pub retry_after: Option<u32>,
    /// `Allow`, for 405.
    pub allow: Option<&'a str>,
}

#[derive(Clone, Copy)]
struct Current {
    keep_alive: bool,
    is_http10: bool,
    unread: Option<Framing>,
}

/// A connection that serves one request after another.
pub struct ServerConn<S> {
    socket: S,
    inbuf: ContentBuf,
    out: ContentBuf,
    idle: Duration,
    current: Current,
}

impl<S: Readiness> ServerConn<S> {
    /// Serves on `socket`; `idle` bounds each wait for a part of a body, and for the client to take a part of an answer.
    pub const fn new(socket: S, idle: Duration) -> Self {
        let current = Current { keep_alive: true, is_http10: false, unread: None };
        Self { socket, inbuf: ContentBuf::new(), out: ContentBuf::new(), idle, current }
    }

    /// The socket underneath.
    pub const fn socket(&self) -> &S {
        &self.socket
    }

    /// Waits, without holding a buffer, until something arrives; false when the client has closed.
    pub async fn readable(&mut self) -> bool {
        if !self.inbuf.is_empty() {
            return true;
        }
        self.inbuf.release();
        poll_fn(|cx| self.socket.poll_readable(cx)).await.is_ok() && self.fill().await.is_ok_and(|read| read > 0)
    }

    /// Reads the next request's head; `None` when the client has closed. The caller bounds the time.
    ///
    /// # Errors
    /// [`HeadError`]; the connection cannot go on after it.
    pub async fn read_head(&mut self) -> Result<Option<RequestHead>, HeadError> {
        let mut searched = 0;
        loop {
            // Empty lines before a request are skipped (RFC 9112 section 2.2).
            while self.inbuf.expose().starts_with(b"\r\n") {
                self.inbuf.consume(2);
            }
            if let Some(end) = self.head_end(searched)? {
                let parsed = parse_request(&self.inbuf.expose()[..end]);
                self.inbuf.consume(end);
                if parsed.is_err() {
                    self.current = Current { keep_alive: false, is_http10: false, unread: None };
                }
                let request = parsed?;
                let unread = Some(request.head.framing).filter(|framing| *framing != Framing::Length(0));
                self.current = Current { keep_alive: request.head.keep_alive, is_http10: request.head.is_http10, unread };
                return Ok(Some(request));
            }
            searched = self.inbuf.len();
            if !self.fill().await.is_ok_and(|read| read > 0) {
                return Ok(None);
            }
        }
    }

    fn head_end(&mut self, searched: usize) -> Result<Option<usize>, HeadError> {
        let end = end_of_head(self.inbuf.expose(), searched);
        if end.is_err() {
            self.current.keep_alive = false;
        }
        end
    }

    /// Reads the body of `request`, at most `limit` bytes. A longer one is refused before it is read where its length is
    /// announced.
    ///
    /// # Errors
    /// [`BodyError`].
    pub async fn read_body(&mut self, request: &RequestHead, limit: u64) -> Result<ContentBuf, BodyError> {
        let Some(framing) = self.current.unread else { return Ok(ContentBuf::new()) };
        if matches!(framing, Framing::Length(length) if length > limit) {
            return Err(BodyError::TooLarge);
        }
        if request.expects_continue && self.inbuf.is_empty() {
            self.out.extend(b"HTTP/1.1 100 Continue\r\n\r\n");
            self.send().await.map_err(|_| BodyError::Gone)?;
        }
        let mut body = match framing {
            // The caller has room for it; what does not arrive is never touched.
            Framing::Length(length) => ContentBuf::with_capacity(usize::try_from(length).map_err(|_| BodyError::TooLarge)?),
            Framing::Chunked | Framing::UntilClose => ContentBuf::new(),
        };
        match framing {
            Framing::Length(length) => self.read_exactly(length, &mut body).await?,
            Framing::Chunked | Framing::UntilClose => self.read_chunks(limit, &mut body).await?,
        }
        self.current.unread = None;
        if self.inbuf.is_empty() {
            self.inbuf.release();
        }
        Ok(body)
    }

    async fn read_exactly(&mut self, length: u64, body: &mut ContentBuf) -> Result<(), BodyError> {
        let mut missing = usize::try_from(length).map_err(|_| BodyError::TooLarge)?;
        let have = missing.min(self.inbuf.len());
        body.extend(&self.inbuf.expose()[..have]);
        self.inbuf.consume(have);
        missing -= have;
        while missing > 0 {
            // What follows the body belongs to the next request.
            let mut rest = (&mut self.socket).take(missing as u64);
            let read = timeout(self.idle, rest.read_buf(body.spare(missing.min(BODY_READ_BYTES)))).await;
            match read {
                Ok(Ok(count @ 1..)) => missing -= count,
                Ok(_) => return Err(BodyError::Gone),
                Err(_) => return Err(BodyError::Timeout),
            }
        }
        Ok(())
    }

    async fn read_chunks(&mut self, limit: u64, body: &mut ContentBuf) -> Result<(), BodyError> {
        let mut decoder = ChunkedDecoder::new();
        loop {
            let used = decoder.decode(self.inbuf.expose(), body).map_err(|_| BodyError::Malformed)?;
            self.inbuf.consume(used);
            if body.len() as u64 > limit {
                return Err(BodyError::TooLarge);
            }
            if decoder.is_done() {
                return Ok(());
            }
            match timeout(self.idle, self.fill()).await {
                Ok(Ok(1..)) => {}
                Ok(_) => return Err(BodyError::Gone),
                Err(_) => return Err(BodyError::Timeout),
            }
        }
    }

    /// Answers with a whole body.
    ///
    /// # Errors
    /// The socket's own, or that the client took nothing within the limit.
    pub async fn respond(&mut self, response: Response<'_>, body: &[u8]) -> io::Result<()> {
        self.discard_small_body().await;
        let length = body.len();
        self.stage_head(response, |out| {
            out.extend(b"content-length: ");
            out.extend(length.to_string().as_bytes());
            out.extend(b"\r\n");
        });
        if length <= JOINED {
            self.out.extend(body);
            self.send().await?;
        } else {
            self.send().await?;
            write(&mut self.socket, body, self.idle).await?;
        }
        self.out.release();
        timeout(self.idle, self.socket.flush()).await?
    }

    /// Begins a streamed answer; its head leaves with the first chunk.
    pub fn start(&mut self, response: Response<'_>) {
        if self.current.is_http10 {
            // No chunks in HTTP/1.0: the body ends with the connection.
            self.current.keep_alive = false;
            self.stage_head(response, |_| {});
        } else {
            self.stage_head(response, |out| out.extend(b"transfer-encoding: chunked\r\n"));
        }
    }

    /// Sends a part of a streamed answer.
    ///
    /// # Errors
    /// As [`Self::respond`].
    pub async fn chunk(&mut self, bytes: &[u8]) -> io::Result<()> {
        if bytes.is_empty() {
            return self.send().await;
        }
        if self.current.is_http10 {
            self.out.extend(bytes);
        } else {
            let (digits, from) = hexadecimal(bytes.len());
            self.out.extend(&digits[from..]);
            self.out.extend(b"\r\n");
            self.out.extend(bytes);
            self.out.extend(b"\r\n");
        }
        self.send().await
    }

    /// Ends a streamed answer cleanly. An answer that is dropped without this ends as an error for the client.
    ///
    /// # Errors
    /// As [`Self::respond`].
    pub async fn finish(&mut self) -> io::Result<()> {
        if !self.current.is_http10 {
            self.out.extend(b"0\r\n\r\n");
        }
        self.send().await?;
        self.out.release();
        Ok(())
    }

    /// Whether another request may follow.
    pub const fn may_go_on(&self) -> bool {
        self.current.keep_alive && self.current.unread.is_none()
    }

    /// After this answer the connection closes (draining, or an error that leaves it unusable).
    pub const fn close_after_this(&mut self) {
        self.current.keep_alive = false;
    }

    /// Resolves when the client has closed its side, while an answer is being waited for. What it sends ahead is kept.
    pub async fn gone(&mut self) {
        poll_fn(|cx| {
            loop {
                if self.inbuf.len() >= AHEAD_LIMIT {
                    return Poll::Pending;
                }
                if ready!(self.socket.poll_readable(cx)).is_err() {
                    return Poll::Ready(());
                }
                let result = self.socket.poll_read_into(cx, &mut self.inbuf, READ_BYTES);
                if self.inbuf.is_empty() {
                    self.inbuf.release();
                }
                match ready!(result) {
                    Ok(1..) => {}
                    _ => return Poll::Ready(()),
                }
            }
        })
        .await;
    }

    /// Closes: says so to the client, and takes in for a moment what it is still sending.
    pub async fn close(mut self) {
        let unread = self.current.unread.is_some() || !self.inbuf.is_empty();
        self.inbuf.release();
        self.out.release();
        let shut = timeout(self.idle.min(LINGER), self.socket.shutdown()).await;
        if !unread || shut.is_err() {
            return;
        }
        let linger = async {
            let mut left = LINGER_BYTES;
            let mut sink = ContentBuf::new();
            while left > 0 {
                match self.socket.read_buf(sink.spare(READ_BYTES)).await {
                    Ok(read) if read > 0 => left = left.saturating_sub(read),
                    _ => break,
                }
                sink.clear();
            }
        };
        // A client that goes on for longer is cut off, which is the purpose.
        drop(timeout(LINGER, linger).await);
    }

    async fn discard_small_body(&mut self) {
        let Some(framing) = self.current.unread else { return };
        if let Framing::Length(length) = framing
            && length <= DISCARD_LIMIT
        {
            let mut body = ContentBuf::new();
            if matches!(timeout(LINGER, self.read_exactly(length, &mut body)).await, Ok(Ok(()))) {
                self.current.unread = None;
                return;
            }
        }
        self.current.keep_alive = false;
    }

    fn stage_head(&mut self, response: Response<'_>, framing: impl FnOnce(&mut ContentBuf)) {
        let out = &mut self.out;
        out.extend(b"HTTP/1.1 ");
        out.extend(response.status.to_string().as_bytes());
        out.extend(b" ");
        out.extend(reason(response.status).as_bytes());
        out.extend(b"\r\ncache-control: no-store\r\nx-content-type-options: nosniff\r\n");
        for (name, value) in [("content-type", response.content_type), ("allow", response.allow.unwrap_or_default())] {
            if !value.is_empty() {
                for part in [name, ": ", value, "\r\n"] {
                    out.extend(part.as_bytes());
                }
            }
        }
        if let Some(seconds) = response.retry_after {
            out.extend(b"retry-after: ");
            out.extend(seconds.to_string().as_bytes());
            out.extend(b"\r\n");
        }
        if !self.current.keep_alive {
            out.extend(b"connection: close\r\n");
        } else if self.current.is_http10 {
            out.extend(b"connection: keep-alive\r\n");
        }
        framing(out);
        out.extend(b"\r\n");
    }

    async fn send(&mut self) -> io::Result<()> {
        write(&mut self.socket, self.out.expose(), self.idle).await?;
        self.out.clear();
        timeout(self.idle, self.socket.flush()).await?
    }

    async fn fill(&mut self) -> io::Result<usize> {
        self.socket.read_buf(self.inbuf.spare(READ_BYTES)).await
    }
}

/// Writes all of `bytes`; the peer has to take a part of it within `limit`, again and again.
async fn write<S: Readiness>(socket: &mut S, mut bytes: &[u8], limit: Duration) -> io::Result<()> {
    while !bytes.is_empty() {
        let sent = timeout(limit, socket.write(bytes)).await??;
        if sent == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        bytes = &bytes[sent..];
    }
    Ok(())
}

/// Hexadecimal digits of `number` and where they start in the array.
fn hexadecimal(mut number: usize) -> ([u8; 16], usize) {
    let mut digits = [0; 16];
    let mut from = digits.len();
    loop {
        from -= 1;
        digits[from] = b"0123456789abcdef"[number & 15];
        number >>= 4;
        if number == 0 || from == 0 {
            return (digits, from);
        }
    }
}

const fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        413 => "Content Too Large",
        414 => "URI Too Long",
        415 => "Unsupported Media Type",
        417 => "Expectation Failed",
        422 => "Unprocessable Content",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        505 => "HTTP Version Not Supported",
        _ => "",
    }
}
