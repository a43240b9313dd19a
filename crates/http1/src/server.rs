//! The server's end of a connection.

use std::future::poll_fn;
use std::io;
use std::task::{Poll, ready};
use std::time::Duration;

use lethe_content::ContentBuf;
use lethe_tls::Readiness;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{sleep, timeout};

use crate::chunked::ChunkedDecoder;
use crate::head::{Framing, HeadError, RequestHead, end_of_head, has_bare_line_feed, parse_request};
use crate::pace::{Pace, Rate, within};
use crate::response::{Response, hexadecimal};
use crate::websocket::WebSocketConn;

/// Read at a time for heads and for what a client sends ahead of its turn.
const READ_BYTES: usize = 4 * 1024;
/// Read at a time for bodies.
const BODY_READ_BYTES: usize = 64 * 1024;
/// Bodies up to this size leave in one write with their head.
const JOINED: usize = 64 * 1024;
/// Sixteen digits, two line ends, and the last chunk.
const CHUNK_OVERHEAD: usize = 32;
/// What a client may send ahead of its turn before it is left waiting: it is held while an answer is computed.
const AHEAD_LIMIT: usize = 8 * 1024;
/// An unread body up to this size is read and wiped after an early answer, so that the connection can go on.
const DISCARD_LIMIT: u64 = 64 * 1024;
/// How long a connection is still read from after an answer that ends it, so that the answer is not lost to a reset
/// (RFC 9112 section 9.6).
const LINGER: Duration = Duration::from_secs(2);
/// Meanwhile a sender gets at most so many bytes through in so much time, about 3 MB a second: its window closes, and it waits.
const LINGER_BYTES: usize = 16 * 1024;
const LINGER_PAUSE: Duration = Duration::from_millis(5);

/// Why a body could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyError {
    /// The client closed the connection, or stopped sending for longer than the limit.
    Gone,
    /// Not a chunked body.
    Malformed,
    /// There is no room in memory for it.
    NoRoom,
    /// Nothing, or too little, arrived within the limit.
    Timeout,
    /// Longer than the limit.
    TooLarge,
}

#[derive(Clone, Copy)]
struct Current {
    keep_alive: bool,
    is_http10: bool,
    /// An answer to `HEAD` has no body (RFC 9110 section 9.3.2).
    is_head: bool,
    /// The client holds its body back until it is told to go on.
    waits_for_leave: bool,
    unread: Option<Framing>,
}

impl Current {
    /// Before the first request.
    const FIRST: Self = Self { keep_alive: true, is_http10: false, is_head: false, waits_for_leave: false, unread: None };
    /// After a head that is none: where the next request would begin is unknown.
    const LOST: Self = Self { keep_alive: false, unread: Some(Framing::UntilClose), ..Self::FIRST };
}

/// A connection that serves one request after another.
pub struct ServerConn<S> {
    socket: S,
    inbuf: ContentBuf,
    out: ContentBuf,
    rate: Rate,
    current: Current,
}

impl<S: Readiness> ServerConn<S> {
    /// Serves on `socket`; `idle` bounds each wait for a part of a body, and for the client to take a part of an answer.
    pub const fn new(socket: S, idle: Duration) -> Self {
        let rate = Rate { idle, bytes_per_second: 0 };
        Self { socket, inbuf: ContentBuf::new(), out: ContentBuf::new(), rate, current: Current::FIRST }
    }

    /// Also bounds each body and each part of an answer as a whole: beyond `idle` it gets one second more for each
    /// `bytes_per_second` that have passed. A byte now and then keeps nothing open for ever.
    #[must_use]
    pub const fn no_slower_than(mut self, bytes_per_second: u32) -> Self {
        self.rate.bytes_per_second = bytes_per_second;
        self
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
                let request = parsed.inspect_err(|_| self.current = Current::LOST)?;
                let unread = Some(request.head.framing).filter(|framing| *framing != Framing::Length(0));
                self.current = Current {
                    keep_alive: request.head.keep_alive,
                    is_http10: request.head.is_http10,
                    is_head: request.method() == "HEAD",
                    waits_for_leave: request.expects_continue && unread.is_some(),
                    unread,
                };
                return Ok(Some(request));
            }
            // What cannot become a head is refused now, not when its time is over.
            let arrived = self.inbuf.expose();
            let is_none = arrived.first().is_some_and(|byte| !byte.is_ascii_graphic() && *byte != b'\r');
            if is_none || has_bare_line_feed(arrived, searched) {
                self.current = Current::LOST;
                return Err(HeadError::Malformed);
            }
            searched = self.inbuf.len();
            if !self.fill().await.is_ok_and(|read| read > 0) {
                return Ok(None);
            }
        }
    }

    fn head_end(&mut self, searched: usize) -> Result<Option<usize>, HeadError> {
        end_of_head(self.inbuf.expose(), searched).inspect_err(|_| self.current = Current::LOST)
    }

    /// Reads the body of `request`, at most `limit` bytes. A longer one is refused before it is read where its length is
    /// announced.
    ///
    /// # Errors
    /// [`BodyError`]; the connection cannot go on after it, unless nothing of the body had been read.
    pub async fn read_body(&mut self, request: &RequestHead, limit: u64) -> Result<ContentBuf, BodyError> {
        self.read_body_into(request, limit, &mut |_| true).await
    }

    /// As [`Self::read_body`], asking `room` before the body's block grows to so many bytes: what is announced takes no memory
    /// before it arrives.
    ///
    /// # Errors
    /// As [`Self::read_body`], and [`BodyError::NoRoom`] when `room` says no.
    pub async fn read_body_into(
        &mut self,
        _: &RequestHead,
        limit: u64,
        room: &mut dyn FnMut(usize) -> bool,
    ) -> Result<ContentBuf, BodyError> {
        let Some(framing) = self.current.unread else { return Ok(ContentBuf::new()) };
        if matches!(framing, Framing::Length(length) if length > limit) {
            return Err(BodyError::TooLarge);
        }
        if self.current.waits_for_leave && self.inbuf.is_empty() {
            self.out.extend(b"HTTP/1.1 100 Continue\r\n\r\n");
            self.send().await.map_err(|_| BodyError::Gone)?;
        }
        self.current.waits_for_leave = false;
        let mut body = ContentBuf::new();
        let read = match framing {
            Framing::Length(length) => self.read_exactly(length, &mut body, room).await,
            Framing::Chunked | Framing::UntilClose => self.read_chunks(limit, &mut body, room).await,
        };
        if read.is_err() {
            // What is left of the body cannot be told from what follows it.
            self.current.keep_alive = false;
        }
        read?;
        self.current.unread = None;
        if self.inbuf.is_empty() {
            self.inbuf.release();
        }
        Ok(body)
    }

    async fn read_exactly(
        &mut self,
        length: u64,
        body: &mut ContentBuf,
        room: &mut dyn FnMut(usize) -> bool,
    ) -> Result<(), BodyError> {
        let length = usize::try_from(length).map_err(|_| BodyError::TooLarge)?;
        let have = length.min(self.inbuf.len());
        make_room(body, BODY_READ_BYTES.max(have).min(length), room)?;
        body.extend(&self.inbuf.expose()[..have]);
        self.inbuf.consume(have);
        let mut missing = length - have;
        let mut pace = Pace::start(self.rate);
        while missing > 0 {
            if body.len() == body.capacity() {
                make_room(body, (body.capacity() * 2).min(length), room)?;
            }
            let free = body.capacity() - body.len();
            // What follows the body belongs to the next request.
            let mut rest = (&mut self.socket).take(missing.min(free) as u64);
            match within(pace.left(), rest.read_buf(body.spare(free))).await {
                Ok(Ok(count @ 1..)) => {
                    pace.passed(count);
                    missing -= count;
                }
                Ok(_) => return Err(BodyError::Gone),
                Err(_) => return Err(BodyError::Timeout),
            }
        }
        Ok(())
    }

    async fn read_chunks(
        &mut self,
        limit: u64,
        body: &mut ContentBuf,
        room: &mut dyn FnMut(usize) -> bool,
    ) -> Result<(), BodyError> {
        let mut decoder = ChunkedDecoder::new();
        let mut pace = Pace::start(self.rate);
        loop {
            let most = body.len() + self.inbuf.len();
            if most > body.capacity() {
                let larger = (body.capacity() * 2).min(usize::try_from(limit).unwrap_or(usize::MAX));
                make_room(body, most.max(larger), room)?;
            }
            let used = decoder.decode(self.inbuf.expose(), body).map_err(|_| BodyError::Malformed)?;
            self.inbuf.consume(used);
            if body.len() as u64 > limit {
                return Err(BodyError::TooLarge);
            }
            if decoder.is_done() {
                return Ok(());
            }
            match within(pace.left(), self.fill()).await {
                Ok(Ok(read @ 1..)) => pace.passed(read),
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
        let body = if self.current.is_head { &[] } else { body };
        if length <= JOINED {
            self.out.extend(body);
            self.send().await?;
        } else {
            self.send().await?;
            write(&mut self.socket, body, self.rate).await?;
            within(self.rate.idle, self.socket.flush()).await??;
        }
        self.out.release();
        Ok(())
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
        self.stage_chunk(bytes);
        self.send().await
    }

    /// As [`Self::chunk`], and gives the block of `bytes` back before the client takes its time.
    ///
    /// # Errors
    /// As [`Self::respond`].
    pub async fn chunk_of(&mut self, bytes: &mut ContentBuf) -> io::Result<()> {
        self.stage_chunk(bytes.expose());
        bytes.release();
        self.send().await
    }

    fn stage_chunk(&mut self, bytes: &[u8]) {
        // With the length before it and the end behind it.
        self.out.reserve(bytes.len() + CHUNK_OVERHEAD);
        if self.current.is_http10 {
            self.out.extend(bytes);
        } else if !bytes.is_empty() {
            let (digits, from) = hexadecimal(bytes.len());
            for part in [&digits[from..], b"\r\n", bytes, b"\r\n"] {
                self.out.extend(part);
            }
        }
    }

    /// Ends a streamed answer cleanly, with its last part, which may be empty. An answer that is dropped without this ends as an
    /// error for the client.
    ///
    /// # Errors
    /// As [`Self::respond`].
    pub async fn finish(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stage_chunk(bytes);
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
        part(self.socket, self.rate, unread).await;
    }

    /// Agrees to speak WebSocket from here on (RFC 6455 section 4.2.2), for messages up to `limit` bytes; `accept` is the answer to the
    /// client's key.
    ///
    /// # Errors
    /// As [`Self::respond`].
    pub async fn upgrade(mut self, accept: &str, limit: u64) -> io::Result<WebSocketConn<S>> {
        let fields = [("upgrade", "websocket"), ("connection", "Upgrade"), ("sec-websocket-accept", accept)];
        let response = Response { status: 101, fields: &fields, ..Response::default() };
        response.write_head(&mut self.out, true, false, |_| {});
        self.send().await?;
        Ok(WebSocketConn::new(self.socket, self.inbuf, self.rate, limit))
    }

    async fn discard_small_body(&mut self) {
        let Some(framing) = self.current.unread else { return };
        // A client that waits for leave would wait while its body is waited for; whether it sends it after the answer is its own
        // choice, so that nothing more can be read from it (RFC 9110 section 10.1.1).
        let comes = !self.current.waits_for_leave || !self.inbuf.is_empty();
        if let Framing::Length(length @ ..=DISCARD_LIMIT) = framing
            && self.current.keep_alive
            && comes
            && timeout(LINGER, self.skip(length)).await.unwrap_or(false)
        {
            self.current.unread = None;
        } else {
            self.current.keep_alive = false;
        }
    }

    /// Takes in and wipes so many bytes; false when they do not come.
    async fn skip(&mut self, length: u64) -> bool {
        let mut left = usize::try_from(length).unwrap_or(usize::MAX);
        loop {
            let have = left.min(self.inbuf.len());
            self.inbuf.consume(have);
            left -= have;
            if left == 0 {
                return true;
            }
            if !self.fill().await.is_ok_and(|read| read > 0) {
                return false;
            }
        }
    }

    fn stage_head(&mut self, response: Response<'_>, framing: impl FnOnce(&mut ContentBuf)) {
        response.write_head(&mut self.out, self.current.keep_alive, self.current.is_http10, framing);
    }

    async fn send(&mut self) -> io::Result<()> {
        write(&mut self.socket, self.out.expose(), self.rate).await?;
        self.out.clear();
        within(self.rate.idle, self.socket.flush()).await?
    }

    async fn fill(&mut self) -> io::Result<usize> {
        self.socket.read_buf(self.inbuf.spare(READ_BYTES)).await
    }
}

/// Ends this side, and takes in for a moment what the client is still sending, if anything is `expected`.
pub(crate) async fn part<S: Readiness>(mut socket: S, rate: Rate, expected: bool) {
    let shut = timeout(rate.idle.min(LINGER), socket.shutdown()).await;
    if !expected || shut.is_err() {
        return;
    }
    let linger = async {
        let mut sink = ContentBuf::new();
        while let Ok(1..) = socket.read_buf(sink.spare(LINGER_BYTES)).await {
            sink.clear();
            sleep(LINGER_PAUSE).await;
        }
    };
    // A client that goes on for longer is cut off, which is the purpose.
    drop(timeout(LINGER, linger).await);
}

/// Writes all of `bytes`, which the peer has to take no slower than `rate`.
pub(crate) async fn write<S: Readiness>(socket: &mut S, mut bytes: &[u8], rate: Rate) -> io::Result<()> {
    let mut pace: Option<Pace> = None;
    while !bytes.is_empty() {
        let left = pace.as_ref().map_or(rate.idle, Pace::left);
        let sent = within(left, socket.write(bytes)).await??;
        if sent == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        bytes = &bytes[sent..];
        if !bytes.is_empty() {
            pace.get_or_insert_with(|| Pace::start(rate)).passed(sent);
        }
    }
    Ok(())
}

/// Makes `body`'s block as large as `wanted`, if `room` agrees.
pub(crate) fn make_room(body: &mut ContentBuf, wanted: usize, room: &mut dyn FnMut(usize) -> bool) -> Result<(), BodyError> {
    if !room(wanted) {
        return Err(BodyError::NoRoom);
    }
    body.reserve_exactly(wanted);
    Ok(())
}
