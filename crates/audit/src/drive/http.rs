//! HTTP/1.1 messages as they come in (RFC 9112), for the client and for the provider: bounded in bytes and in time.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use rustls::{ClientConnection, ServerConnection, StreamOwned};

/// How long one read or write of a socket may block before the limits are looked at again.
pub(super) const TICK: Duration = Duration::from_millis(25);
/// Of a message's head.
const HEAD_BYTES: usize = 256 * 1024;
/// Header lines of one message.
const HEADER_LINES: usize = 128;
/// Of a chunk's size line or of a trailer line.
const LINE_BYTES: usize = 16 * 1024;
/// Read at once.
const BLOCK: usize = 64 * 1024;

/// A connection of either end.
pub(super) enum Stream {
    Plain(TcpStream),
    Client(Box<StreamOwned<ClientConnection, TcpStream>>),
    Server(Box<StreamOwned<ServerConnection, TcpStream>>),
}

impl Stream {
    fn socket(&self) -> &TcpStream {
        match self {
            Self::Plain(socket) => socket,
            Self::Client(stream) => &stream.sock,
            Self::Server(stream) => &stream.sock,
        }
    }

    /// Makes each read and write come back after a moment.
    pub(super) fn make_limited(&self) -> io::Result<()> {
        let socket = self.socket();
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(TICK))?;
        socket.set_write_timeout(Some(TICK))
    }

    /// How long one read may block from now on.
    pub(super) fn set_tick(&self, tick: Duration) {
        // A socket that takes no such setting has gone, as its next read says.
        let _ = self.socket().set_read_timeout(Some(tick));
    }

    /// Says that nothing more will come, as a process that ends would.
    pub(super) fn shut(&self) {
        let _ = self.socket().shutdown(std::net::Shutdown::Both);
    }

    fn read_some(&mut self, block: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(socket) => socket.read(block),
            Self::Client(stream) => stream.read(block),
            Self::Server(stream) => stream.read(block),
        }
    }

    fn write_some(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(socket) => socket.write(bytes),
            Self::Client(stream) => stream.write(bytes),
            Self::Server(stream) => stream.write(bytes),
        }
    }

    fn flush_some(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(socket) => socket.flush(),
            Self::Client(stream) => stream.flush(),
            Self::Server(stream) => stream.flush(),
        }
    }

    /// Writes everything, or says why not.
    pub(super) fn write_within(&mut self, mut bytes: &[u8], wait: &Wait<'_>) -> io::Result<()> {
        while !bytes.is_empty() {
            match self.write_some(bytes) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => bytes = &bytes[count..],
                Err(error) if is_moment(&error) => wait.check()?,
                Err(error) => return Err(error),
            }
        }
        loop {
            match self.flush_some() {
                Err(error) if is_moment(&error) => wait.check()?,
                done => return done,
            }
        }
    }
}

fn is_moment(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut | io::ErrorKind::Interrupted)
}

/// Until when to wait.
pub(super) struct Wait<'a> {
    pub(super) until: Instant,
    /// Ends the wait before its time.
    pub(super) stop: Option<&'a dyn Fn() -> bool>,
}

impl Wait<'_> {
    pub(super) fn of(limit: Duration) -> Self {
        Self { until: Instant::now() + limit, stop: None }
    }

    pub(super) fn check(&self) -> io::Result<()> {
        if Instant::now() >= self.until || self.stop.is_some_and(|stop| stop()) {
            return Err(io::ErrorKind::TimedOut.into());
        }
        Ok(())
    }
}

/// How a body's end is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    Nothing,
    Length(u64),
    Chunked,
    UntilClose,
}

/// How a body ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// As it was announced.
    Complete,
    /// Before what was announced.
    Cut,
    /// Its end is the connection's, so that a cut cannot be seen.
    Closed,
    /// Not within the limit.
    TimedOut,
}

/// Header lines, names in lower case.
#[derive(Clone, Default)]
pub(super) struct Headers(pub(super) Vec<(String, String)>);

impl Headers {
    fn from(parsed: &[httparse::Header<'_>]) -> Self {
        let line = |header: &httparse::Header<'_>| {
            (header.name.to_ascii_lowercase(), String::from_utf8_lossy(header.value).into_owned())
        };
        Self(parsed.iter().map(line).collect())
    }

    pub(super) fn value(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// Whether the other side wants no further request on this connection (RFC 9112 section 9.6).
    pub(super) fn close(&self) -> bool {
        self.value("connection").is_some_and(|options| options.to_ascii_lowercase().contains("close"))
    }

    fn is_chunked(&self) -> bool {
        self.value("transfer-encoding").is_some_and(|coding| coding.to_ascii_lowercase().contains("chunked"))
    }

    fn length(&self) -> Option<u64> {
        self.value("content-length")?.trim().parse().ok()
    }

    /// Of a request: without a length there is no body.
    pub(super) fn request_framing(&self) -> Framing {
        if self.is_chunked() { Framing::Chunked } else { self.length().map_or(Framing::Nothing, Framing::Length) }
    }

    /// Of an answer: without a length it goes on until the connection ends.
    pub(super) fn answer_framing(&self, status: u16) -> Framing {
        if matches!(status, 100..200 | 204 | 304) {
            Framing::Nothing
        } else if self.is_chunked() {
            Framing::Chunked
        } else {
            self.length().map_or(Framing::UntilClose, Framing::Length)
        }
    }
}

/// The head of a request or of an answer.
pub(super) struct Head {
    pub(super) method: String,
    pub(super) path: String,
    /// 0 of a request.
    pub(super) status: u16,
    pub(super) headers: Headers,
}

/// What has come and was not used yet.
#[derive(Default)]
pub(super) struct Incoming {
    pub(super) buffer: Vec<u8>,
}

impl Incoming {
    /// Reads more; 0 at the end.
    pub(super) fn fill(&mut self, stream: &mut Stream, wait: &Wait<'_>) -> io::Result<usize> {
        let mut block = [0; BLOCK];
        loop {
            match stream.read_some(&mut block) {
                Ok(count) => {
                    self.buffer.extend_from_slice(&block[..count]);
                    return Ok(count);
                }
                Err(error) if is_moment(&error) => wait.check()?,
                // A peer that closes TLS without saying so has closed all the same.
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(0),
                Err(error) => return Err(error),
            }
        }
    }

    fn head<T>(
        &mut self,
        stream: &mut Stream,
        wait: &Wait<'_>,
        parse: impl Fn(&[u8]) -> Result<Option<(usize, T)>, httparse::Error>,
    ) -> io::Result<Option<T>> {
        loop {
            if !self.buffer.is_empty() {
                match parse(&self.buffer) {
                    Ok(Some((end, head))) => {
                        self.buffer.drain(..end);
                        return Ok(Some(head));
                    }
                    Ok(None) if self.buffer.len() < HEAD_BYTES => {}
                    Ok(None) | Err(_) => return Err(io::ErrorKind::InvalidData.into()),
                }
            }
            if self.fill(stream, wait)? == 0 {
                return if self.buffer.is_empty() { Ok(None) } else { Err(io::ErrorKind::UnexpectedEof.into()) };
            }
        }
    }

    /// The next request's head; none if the connection ends before it.
    pub(super) fn request(&mut self, stream: &mut Stream, wait: &Wait<'_>) -> io::Result<Option<Head>> {
        self.head(stream, wait, |bytes| {
            let mut lines = [httparse::EMPTY_HEADER; HEADER_LINES];
            let mut parsed = httparse::Request::new(&mut lines);
            let httparse::Status::Complete(end) = parsed.parse(bytes)? else { return Ok(None) };
            let (method, path) = (parsed.method.unwrap_or_default(), parsed.path.unwrap_or_default());
            Ok(Some((
                end,
                Head { method: method.to_owned(), path: path.to_owned(), status: 0, headers: Headers::from(parsed.headers) },
            )))
        })
    }

    /// The next answer's head; none if the connection ends before it. Interim answers (`100 Continue`) are passed over.
    pub(super) fn answer(&mut self, stream: &mut Stream, wait: &Wait<'_>) -> io::Result<Option<Head>> {
        loop {
            let head = self.head(stream, wait, |bytes| {
                let mut lines = [httparse::EMPTY_HEADER; HEADER_LINES];
                let mut parsed = httparse::Response::new(&mut lines);
                let httparse::Status::Complete(end) = parsed.parse(bytes)? else { return Ok(None) };
                let status = parsed.code.unwrap_or_default();
                Ok(Some((
                    end,
                    Head { method: String::new(), path: String::new(), status, headers: Headers::from(parsed.headers) },
                )))
            })?;
            match head {
                Some(Head { status: 100 | 102 | 103, .. }) => {}
                head => return Ok(head),
            }
        }
    }

    /// A body: at most `keep` bytes of it are kept, the rest is read and forgotten.
    pub(super) fn body(&mut self, stream: &mut Stream, framing: Framing, keep: usize, wait: &Wait<'_>) -> (Vec<u8>, End) {
        let mut kept = Vec::new();
        let end = match framing {
            Framing::Nothing => Ok(true),
            Framing::Length(length) => self.counted(stream, length, &mut kept, keep, wait),
            Framing::Chunked => self.chunks(stream, &mut kept, keep, wait),
            Framing::UntilClose => self.until_close(stream, &mut kept, keep, wait),
        };
        let end = match (end, framing) {
            (Err(error), _) if error.kind() == io::ErrorKind::TimedOut => End::TimedOut,
            (_, Framing::UntilClose) => End::Closed,
            (Ok(true), _) => End::Complete,
            (Ok(false) | Err(_), _) => End::Cut,
        };
        (kept, end)
    }

    fn until_close(&mut self, stream: &mut Stream, kept: &mut Vec<u8>, keep: usize, wait: &Wait<'_>) -> io::Result<bool> {
        loop {
            self.take(self.buffer.len(), kept, keep);
            wait.check()?;
            if self.fill(stream, wait)? == 0 {
                return Ok(true);
            }
        }
    }

    fn take(&mut self, count: usize, kept: &mut Vec<u8>, keep: usize) {
        let room = keep.saturating_sub(kept.len()).min(count);
        kept.extend_from_slice(&self.buffer[..room]);
        self.buffer.drain(..count);
    }

    fn counted(
        &mut self,
        stream: &mut Stream,
        mut left: u64,
        kept: &mut Vec<u8>,
        keep: usize,
        wait: &Wait<'_>,
    ) -> io::Result<bool> {
        loop {
            let count = usize::try_from(left).unwrap_or(usize::MAX).min(self.buffer.len());
            self.take(count, kept, keep);
            left -= count as u64;
            if left == 0 {
                return Ok(true);
            }
            // A peer that always has something to say is still bound.
            wait.check()?;
            if self.fill(stream, wait)? == 0 {
                return Ok(false);
            }
        }
    }

    fn line(&mut self, stream: &mut Stream, wait: &Wait<'_>) -> io::Result<Option<Vec<u8>>> {
        loop {
            if let Some(at) = memchr::memchr(b'\n', &self.buffer) {
                let mut line: Vec<u8> = self.buffer.drain(..=at).collect();
                line.truncate(line.trim_ascii_end().len());
                return Ok(Some(line));
            }
            if self.buffer.len() > LINE_BYTES {
                return Err(io::ErrorKind::InvalidData.into());
            }
            if self.fill(stream, wait)? == 0 {
                return Ok(None);
            }
        }
    }

    fn chunks(&mut self, stream: &mut Stream, kept: &mut Vec<u8>, keep: usize, wait: &Wait<'_>) -> io::Result<bool> {
        loop {
            let Some(line) = self.line(stream, wait)? else { return Ok(false) };
            let digits = line.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
            let size = std::str::from_utf8(digits).ok().and_then(|text| u64::from_str_radix(text, 16).ok());
            let Some(size) = size else { return Err(io::ErrorKind::InvalidData.into()) };
            if size == 0 {
                while let Some(line) = self.line(stream, wait)? {
                    if line.is_empty() {
                        return Ok(true);
                    }
                }
                return Ok(false);
            }
            if !self.counted(stream, size, kept, keep, wait)? || self.line(stream, wait)?.is_none() {
                return Ok(false);
            }
        }
    }
}
