//! A plain HTTP/1.1 client over TCP or TLS, with bytes in hand.

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};

/// For any one answer: far beyond what a test needs, so that a hang fails instead of hanging.
const LIMIT: Duration = Duration::from_secs(60);

enum Socket {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

/// One connection.
pub struct Client {
    socket: Socket,
    buffer: Vec<u8>,
    host: String,
    key: Option<String>,
}

/// One answer.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    /// Names in lower case.
    pub headers: HashMap<String, String>,
    pub body: Vec<u8>,
    /// A chunked body ended with its last chunk, or a counted one was complete.
    pub complete: bool,
}

impl Answer {
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    #[must_use]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("not JSON: {}", self.text()))
    }

    /// `error.code` of the body.
    #[must_use]
    pub fn code(&self) -> String {
        self.json()["error"]["code"].as_str().unwrap_or_default().to_owned()
    }
}

impl Client {
    /// Connects to `address` (`127.0.0.1:8080`), with TLS if `tls` is given.
    #[must_use]
    pub fn connect(address: &str, tls: Option<&Arc<ClientConfig>>) -> Self {
        Self::try_connect(address, tls).expect("a connection")
    }

    /// Connects, if the server takes connections.
    ///
    /// # Errors
    /// The socket's own.
    pub fn try_connect(address: &str, tls: Option<&Arc<ClientConfig>>) -> io::Result<Self> {
        let socket = TcpStream::connect(address)?;
        socket.set_read_timeout(Some(LIMIT))?;
        socket.set_nodelay(true)?;
        let socket = match tls {
            None => Socket::Plain(socket),
            Some(config) => {
                let name = ServerName::try_from("localhost").expect("name");
                let connection = ClientConnection::new(Arc::clone(config), name).expect("TLS");
                Socket::Tls(Box::new(StreamOwned::new(connection, socket)))
            }
        };
        Ok(Self { socket, buffer: Vec::new(), host: address.to_owned(), key: None })
    }

    /// Shows `key` from now on.
    #[must_use]
    pub fn with_key(mut self, key: &str) -> Self {
        self.key = Some(key.to_owned());
        self
    }

    pub fn get(&mut self, path: &str) -> Answer {
        self.send("GET", path, &[], b"");
        self.answer()
    }

    /// Posts JSON and reads the whole answer.
    pub fn post(&mut self, path: &str, body: &str) -> Answer {
        self.send("POST", path, &[("content-type", "application/json")], body.as_bytes());
        self.answer()
    }

    /// Sends a request with these further headers.
    pub fn send(&mut self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) {
        let mut head = format!("{method} {path} HTTP/1.1\r\nhost: {}\r\n", self.host);
        if let Some(key) = &self.key {
            head += &format!("authorization: Bearer {key}\r\n");
        }
        for (name, value) in headers {
            head += &format!("{name}: {value}\r\n");
        }
        if method != "GET" || !body.is_empty() {
            head += &format!("content-length: {}\r\n", body.len());
        }
        head += "\r\n";
        self.raw(&[head.as_bytes(), body].concat());
    }

    /// Sends bytes as they are. A server that has already closed is seen when its answer is read.
    pub fn raw(&mut self, bytes: &[u8]) {
        let _ = self.try_raw(bytes);
    }

    /// Sends bytes as they are.
    ///
    /// # Errors
    /// The socket's own.
    pub fn try_raw(&mut self, bytes: &[u8]) -> io::Result<()> {
        match &mut self.socket {
            Socket::Plain(socket) => socket.write_all(bytes),
            Socket::Tls(socket) => socket.write_all(bytes).and_then(|()| socket.flush()),
        }
    }

    /// Reads one whole answer.
    pub fn answer(&mut self) -> Answer {
        self.try_answer().expect("an answer")
    }

    /// Reads one whole answer, if one comes.
    pub fn try_answer(&mut self) -> Option<Answer> {
        let end = self.until(b"\r\n\r\n")?;
        let head = String::from_utf8(self.buffer.drain(..end).collect()).expect("a head");
        let mut lines = head.lines();
        let status: u16 = lines.next()?.split(' ').nth(1)?.parse().ok()?;
        let headers: HashMap<_, _> = lines
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
            .collect();
        let (body, complete) = if (100..200).contains(&status) {
            (Vec::new(), true)
        } else if headers.get("transfer-encoding").is_some_and(|coding| coding == "chunked") {
            self.chunks()
        } else if let Some(length) = headers.get("content-length") {
            let length = length.parse().expect("a length");
            let complete = self.at_least(length);
            (self.buffer.drain(..length.min(self.buffer.len())).collect(), complete)
        } else {
            while self.more() {}
            (std::mem::take(&mut self.buffer), true)
        };
        Some(Answer { status, headers, body, complete })
    }

    /// Reads the head of an answer to `HEAD`, which has no body: its status.
    pub fn head_only(&mut self) -> u16 {
        let end = self.until(b"\r\n\r\n").expect("an answer");
        let head = String::from_utf8(self.buffer.drain(..end).collect()).expect("a head");
        head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status")
    }

    /// Reads until `text` has arrived in a streamed answer, and leaves it all in the buffer.
    pub fn wait_for(&mut self, text: &str) {
        while !self.buffer.windows(text.len()).any(|window| window == text.as_bytes()) {
            assert!(self.more(), "the answer ended before it said {text:?}: {}", String::from_utf8_lossy(&self.buffer));
        }
    }

    /// The next `count` bytes, if so many come.
    pub fn take(&mut self, count: usize) -> Option<Vec<u8>> {
        self.at_least(count).then(|| self.buffer.drain(..count).collect())
    }

    fn chunks(&mut self) -> (Vec<u8>, bool) {
        let mut body = Vec::new();
        loop {
            let Some(end) = self.until(b"\r\n") else { return (body, false) };
            let line: Vec<u8> = self.buffer.drain(..end).collect();
            let text = std::str::from_utf8(&line[..end - 2]).expect("a chunk size");
            let size = usize::from_str_radix(text, 16).expect("a chunk size");
            if !self.at_least(size + 2) {
                body.append(&mut self.buffer);
                return (body, false);
            }
            body.extend(self.buffer.drain(..size));
            self.buffer.drain(..2);
            if size == 0 {
                return (body, true);
            }
        }
    }

    fn until(&mut self, mark: &[u8]) -> Option<usize> {
        loop {
            if let Some(at) = self.buffer.windows(mark.len()).position(|window| window == mark) {
                return Some(at + mark.len());
            }
            if !self.more() {
                return None;
            }
        }
    }

    fn at_least(&mut self, count: usize) -> bool {
        while self.buffer.len() < count {
            if !self.more() {
                return false;
            }
        }
        true
    }

    fn more(&mut self) -> bool {
        let mut block = [0; 16 * 1024];
        let read = match &mut self.socket {
            Socket::Plain(socket) => socket.read(&mut block),
            Socket::Tls(socket) => socket.read(&mut block),
        };
        match read {
            Ok(read) => {
                self.buffer.extend_from_slice(&block[..read]);
                read > 0
            }
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                panic!("nothing arrived within {LIMIT:?}")
            }
            Err(_) => false,
        }
    }
}
