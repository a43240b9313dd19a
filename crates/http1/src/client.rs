//! The client's end of a connection.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Waker};

use lethe_content::ContentBuf;
use lethe_tls::Readiness;
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadBuf};

use crate::chunked::ChunkedDecoder;
use crate::head::{Framing, ResponseHead, end_of_head, parse_response};

/// Read at a time for heads, and what comes with them: most answers are small, and the block is wiped as a whole.
const HEAD_READ_BYTES: usize = 4 * 1024;
/// Read at a time for the rest of a body.
const READ_BYTES: usize = 16 * 1024;
/// Read at a time for all of a stream: what has arrived leaves in one write.
const STREAM_READ_BYTES: usize = 32 * 1024;
/// Interim answers (RFC 9110 section 15.2) before the real one.
const INTERIM_LIMIT: usize = 8;

/// Why an exchange failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientError {
    /// The connection ended before the answer did.
    Cut,
    /// The connection ended before the answer began.
    NoAnswer,
    /// Not HTTP.
    Malformed,
}

enum Body {
    Chunked(ChunkedDecoder),
    Done,
    Length(u64),
    UntilClose,
}

/// A connection that carries one exchange after another. Dropping it in the middle of an answer cancels the exchange.
pub struct ClientConn<S> {
    socket: S,
    inbuf: ContentBuf,
    body: Body,
    keep_alive: bool,
    streams: bool,
}

impl<S: Readiness> ClientConn<S> {
    /// Exchanges over `socket`.
    pub const fn new(socket: S) -> Self {
        Self { socket, inbuf: ContentBuf::new(), body: Body::Done, keep_alive: true, streams: false }
    }

    /// Whether a stream is expected: then more is read at a time.
    pub const fn expect_stream(&mut self, streams: bool) {
        self.streams = streams;
    }

    /// Sends the parts of a request (head and body). The caller bounds the time.
    ///
    /// # Errors
    /// The socket's own. The server may have answered early all the same: [`Self::read_head`] tells.
    pub async fn send(&mut self, parts: &[&[u8]]) -> io::Result<()> {
        for part in parts {
            self.socket.write_all(part).await?;
        }
        self.socket.flush().await
    }

    /// Reads the answer's head. The caller bounds the time.
    ///
    /// # Errors
    /// [`ClientError`]; the connection cannot be used again after it.
    pub async fn read_head(&mut self) -> Result<ResponseHead, ClientError> {
        self.keep_alive = false;
        let mut interim = 0;
        let mut searched = 0;
        let mut heard = false;
        loop {
            if let Some(end) = end_of_head(self.inbuf.expose(), searched).map_err(|_| ClientError::Malformed)? {
                let parsed = parse_response(&self.inbuf.expose()[..end]);
                self.inbuf.consume(end);
                let response = parsed.map_err(|_| ClientError::Malformed)?;
                if response.status < 200 {
                    interim += 1;
                    // 101 would leave HTTP, which was not asked for.
                    if response.status == 101 || interim > INTERIM_LIMIT {
                        return Err(ClientError::Malformed);
                    }
                    searched = 0;
                    continue;
                }
                self.body = match response.head.framing {
                    Framing::Chunked => Body::Chunked(ChunkedDecoder::new()),
                    Framing::Length(0) => Body::Done,
                    Framing::Length(length) => Body::Length(length),
                    Framing::UntilClose => Body::UntilClose,
                };
                self.keep_alive = response.head.keep_alive;
                return Ok(response);
            }
            searched = self.inbuf.len();
            // After an interim answer the request has been read: it is not one that may be sent again.
            heard |= searched > 0 || interim > 0;
            if !matches!(self.fill(if self.streams { STREAM_READ_BYTES } else { HEAD_READ_BYTES }).await, Ok(1..)) {
                return Err(if heard { ClientError::Cut } else { ClientError::NoAnswer });
            }
        }
    }

    /// Appends to `out` what has arrived of the body, waiting for at least one byte; false at its end.
    ///
    /// # Errors
    /// [`ClientError::Cut`] when the connection ends first, [`ClientError::Malformed`] on bad chunks.
    pub async fn read_some(&mut self, out: &mut ContentBuf) -> Result<bool, ClientError> {
        let before = out.len();
        loop {
            let used = match &mut self.body {
                Body::Done => {
                    self.end_exchange();
                    return Ok(false);
                }
                Body::Length(left) => {
                    let take = usize::try_from(*left).unwrap_or(usize::MAX).min(self.inbuf.len());
                    out.extend(&self.inbuf.expose()[..take]);
                    *left -= take as u64;
                    if *left == 0 {
                        self.body = Body::Done;
                    }
                    take
                }
                Body::UntilClose => {
                    out.extend(self.inbuf.expose());
                    self.inbuf.len()
                }
                Body::Chunked(decoder) => {
                    out.reserve(self.inbuf.len());
                    let used = decoder.decode(self.inbuf.expose(), out).map_err(|_| {
                        self.keep_alive = false;
                        ClientError::Malformed
                    })?;
                    if decoder.is_done() {
                        self.body = Body::Done;
                    }
                    used
                }
            };
            self.inbuf.consume(used);
            if self.inbuf.is_empty() {
                // Whoever takes this may take long.
                self.inbuf.release();
            }
            if out.len() > before {
                if matches!(self.body, Body::Done) {
                    self.end_exchange();
                }
                return Ok(true);
            }
            if matches!(self.body, Body::Done) {
                continue;
            }
            match self.fill(if self.streams { STREAM_READ_BYTES } else { READ_BYTES }).await {
                Ok(0) if matches!(self.body, Body::UntilClose) => self.body = Body::Done,
                Ok(0) | Err(_) => {
                    self.keep_alive = false;
                    return Err(ClientError::Cut);
                }
                Ok(_) => {}
            }
        }
    }

    /// Bytes after the end belong to no exchange: such a connection is not used again. An idle one holds no buffer.
    fn end_exchange(&mut self) {
        self.keep_alive &= self.inbuf.is_empty();
        self.inbuf.release();
    }

    /// Whether the whole answer has been read and the server keeps the connection.
    pub fn is_reusable(&self) -> bool {
        self.keep_alive && matches!(self.body, Body::Done) && self.inbuf.is_empty()
    }

    /// Whether an idle connection was closed (or spoken on) by the server meanwhile.
    pub fn is_stale(&mut self) -> bool {
        let mut byte = [0];
        let mut buf = ReadBuf::new(&mut byte);
        let mut cx = Context::from_waker(Waker::noop());
        Pin::new(&mut self.socket).poll_read(&mut cx, &mut buf).is_ready()
    }

    async fn fill(&mut self, room: usize) -> Result<usize, ClientError> {
        if self.inbuf.is_empty() {
            // Wait without a buffer.
            self.inbuf.release();
            poll_fn(|cx| self.socket.poll_readable(cx)).await.map_err(|_| ClientError::Cut)?;
        }
        self.socket.read_buf(self.inbuf.spare(room)).await.map_err(|_| ClientError::Cut)
    }
}
