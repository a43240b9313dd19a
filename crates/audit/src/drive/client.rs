//! One client of the target on one connection, that can also behave badly.

use std::fmt;
use std::io;
use std::net::TcpStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::{ClientConnection, StreamOwned};

use super::http::{End, Incoming, Stream, TICK, Wait};
use super::target::{Dialect, Target};

/// Of an answer's body; the rest is read and not kept.
const ANSWER_BYTES: usize = 1024 * 1024;
/// Sent between two looks for an early answer.
const PIECE: usize = 64 * 1024;
/// Waited for an early answer, between two pieces.
const GLANCE: Duration = Duration::from_millis(1);

/// Why there is no answer. Nothing in it is of the exchange's content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Broken {
    /// The host's name has no address, or nothing listens there.
    Unreachable,
    /// No TLS connection: an untrusted certificate, or not TLS at all.
    Tls,
    /// The connection ended before an answer.
    Closed,
    /// What came is not HTTP/1.1.
    NotHttp,
    /// Nothing within the limit.
    TimedOut,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unreachable => "nothing listens there",
            Self::Tls => "no TLS connection could be made",
            Self::Closed => "the connection ended without an answer",
            Self::NotHttp => "what answered does not speak HTTP/1.1",
            Self::TimedOut => "no answer within the limit",
        })
    }
}

impl std::error::Error for Broken {}

impl From<io::Error> for Broken {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => Self::TimedOut,
            io::ErrorKind::InvalidData => Self::NotHttp,
            _ => Self::Closed,
        }
    }
}

/// A request, not yet sent.
#[derive(Clone, Default)]
pub struct Request {
    pub method: &'static str,
    /// From the root, with query.
    pub path: String,
    /// Whose header the key stands in; the target's own dialect's if none is said.
    pub dialect: Option<Dialect>,
    /// Besides host, key, length and type.
    pub headers: Vec<(String, String)>,
    pub content_type: String,
    pub body: Vec<u8>,
    /// Shown in place of the target's key.
    pub key: Option<String>,
    /// Announced in place of the body's own length.
    pub announce: Option<u64>,
}

/// An answer. It may hold canaries, so that nothing prints it.
pub struct Answer {
    pub status: u16,
    pub content_type: String,
    /// All header lines as text: they are searched as the body is.
    pub head: Vec<u8>,
    /// At most a mebibyte of it.
    pub body: Vec<u8>,
    pub end: End,
}

/// One connection to the target. It stays open until this is dropped.
pub struct Client {
    stream: Stream,
    incoming: Incoming,
    host: String,
    key: String,
    dialect: Dialect,
    headers: Vec<(String, String)>,
}

impl Client {
    /// Connects, with TLS if the target's address says so.
    ///
    /// # Errors
    /// [`Broken::Unreachable`], [`Broken::Tls`] or [`Broken::TimedOut`].
    pub fn connect(target: &Target, limit: Duration) -> Result<Self, Broken> {
        let wait = Wait::of(limit);
        let mut socket = None;
        for address in target.addresses() {
            let left = wait.until.saturating_duration_since(Instant::now()).max(GLANCE);
            if let Ok(connected) = TcpStream::connect_timeout(&address, left) {
                socket = Some(connected);
                break;
            }
        }
        let socket = socket.ok_or(Broken::Unreachable)?;
        let mut stream = match &target.tls {
            None => Stream::Plain(socket),
            Some((config, name)) => {
                let connection = ClientConnection::new(Arc::clone(config), name.clone()).map_err(|_| Broken::Tls)?;
                Stream::Client(Box::new(StreamOwned::new(connection, socket)))
            }
        };
        stream.make_limited()?;
        handshake(&mut stream, &wait)?;
        let host = if matches!(target.port, 80 | 443) { target.host.clone() } else { format!("{}:{}", target.host, target.port) };
        Ok(Self {
            stream,
            incoming: Incoming::default(),
            host,
            key: target.key.reveal().to_owned(),
            dialect: target.dialect,
            headers: target.headers.clone(),
        })
    }

    /// The bytes of a request's head, up to and with its empty line.
    #[must_use]
    pub fn head(&self, request: &Request) -> Vec<u8> {
        let key = request.key.as_deref().unwrap_or(&self.key);
        let mut head = format!(
            "{} {} HTTP/1.1\r\nhost: {}\r\nuser-agent: lethe-audit\r\naccept: */*\r\n",
            request.method, request.path, self.host
        );
        match request.dialect.unwrap_or(self.dialect) {
            Dialect::Anthropic => head += &format!("x-api-key: {key}\r\nanthropic-version: 2023-06-01\r\n"),
            Dialect::Gemini => head += &format!("x-goog-api-key: {key}\r\n"),
            Dialect::OpenAi => head += &format!("authorization: Bearer {key}\r\n"),
        }
        for (name, value) in self.headers.iter().chain(&request.headers) {
            head += &format!("{name}: {value}\r\n");
        }
        if request.method != "GET" {
            let length = request.announce.unwrap_or(request.body.len() as u64);
            head += &format!("content-type: {}\r\ncontent-length: {length}\r\n", request.content_type);
        }
        (head + "\r\n").into_bytes()
    }

    /// Sends a request and reads its answer. What a target answers before it has read everything is taken as its answer.
    ///
    /// # Errors
    /// [`Broken`].
    pub fn exchange(&mut self, request: &Request, limit: Duration) -> Result<Answer, Broken> {
        self.send(request, limit);
        self.answer(limit)
    }

    /// Sends a request, as far as the target takes it: one that it stops reading shows itself in the answer.
    pub fn send(&mut self, request: &Request, limit: Duration) {
        let head = self.head(request);
        if request.body.len() <= PIECE {
            self.raw(&[head.as_slice(), &request.body].concat(), limit);
            return;
        }
        let mut went = self.raw(&head, limit);
        for piece in request.body.chunks(PIECE) {
            if !went || self.glance() {
                return;
            }
            went = self.raw(piece, limit);
        }
    }

    /// Sends bytes as they are; false if the target does not take them.
    pub fn raw(&mut self, bytes: &[u8], limit: Duration) -> bool {
        self.stream.write_within(bytes, &Wait::of(limit)).is_ok()
    }

    /// Whether an answer has begun to come.
    pub fn glance(&mut self) -> bool {
        self.stream.set_tick(GLANCE);
        let _ = self.incoming.fill(&mut self.stream, &Wait { until: Instant::now(), stop: None });
        self.stream.set_tick(TICK);
        !self.incoming.buffer.is_empty()
    }

    /// Reads one whole answer.
    ///
    /// # Errors
    /// [`Broken`], if there is not even a head; a body that does not come whole is in [`Answer::end`].
    pub fn answer(&mut self, limit: Duration) -> Result<Answer, Broken> {
        let wait = Wait::of(limit);
        let head = self.incoming.answer(&mut self.stream, &wait)?.ok_or(Broken::Closed)?;
        let framing = head.headers.answer_framing(head.status);
        let (body, end) = self.incoming.body(&mut self.stream, framing, ANSWER_BYTES, &wait);
        let lines = head.headers.0.iter().map(|(name, value)| format!("{name}: {value}\n")).collect::<String>();
        let content_type = head.headers.value("content-type").unwrap_or_default().to_owned();
        Ok(Answer { status: head.status, content_type, head: lines.into_bytes(), body, end })
    }

    /// Reads an answer's bytes until `text` has come, and no further; what came, and whether it did.
    pub fn read_until(&mut self, text: &[u8], limit: Duration) -> (Vec<u8>, bool) {
        let wait = Wait::of(limit);
        let found = loop {
            if memchr::memmem::find(&self.incoming.buffer, text).is_some() {
                break true;
            }
            if self.incoming.buffer.len() > ANSWER_BYTES || !matches!(self.incoming.fill(&mut self.stream, &wait), Ok(1..)) {
                break false;
            }
        };
        (std::mem::take(&mut self.incoming.buffer), found)
    }

    /// Goes away in the middle, whatever was under way.
    pub fn leave(self) {
        self.stream.shut();
    }
}

/// Makes a certificate that is not trusted an error of its own, not of the first request.
fn handshake(stream: &mut Stream, wait: &Wait<'_>) -> Result<(), Broken> {
    let Stream::Client(tls) = stream else { return Ok(()) };
    while tls.conn.is_handshaking() {
        match tls.conn.complete_io(&mut tls.sock) {
            Ok(_) => {}
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => wait.check()?,
            Err(_) => return Err(Broken::Tls),
        }
    }
    Ok(())
}
