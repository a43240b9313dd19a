//! A server that says exactly the bytes it is told to and keeps exactly the bytes it gets, connection by connection.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use crate::gauge::within;

/// What is said to a request.
#[derive(Clone)]
pub enum Say {
    /// These bytes after a while; the connection stays open.
    After(Duration, Vec<u8>),
    /// These bytes; the connection stays open.
    Bytes(Vec<u8>),
    /// These bytes, then the end.
    BytesAndClose(Vec<u8>),
    /// The first once, then the second ten times a second, until nobody takes them.
    Drip(Vec<u8>, Vec<u8>),
    /// The first once, then the second over and over, until nobody takes them.
    Forever(Vec<u8>, Vec<u8>),
}

/// One connection, as it was used.
#[derive(Clone, Default)]
pub struct Connection {
    /// Everything that arrived.
    pub bytes: Vec<u8>,
    /// How many whole requests that was, read by their `content-length`.
    pub requests: usize,
    /// The other side has closed it.
    pub closed: bool,
}

struct State {
    say: Say,
    connections: Vec<Connection>,
}

/// A running server.
pub struct Wire {
    pub address: SocketAddr,
    state: Arc<Mutex<State>>,
}

impl Wire {
    /// Starts on a free port of the loopback.
    #[must_use]
    pub fn start(say: Say) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let state = Arc::new(Mutex::new(State { say, connections: Vec::new() }));
        let shared = Arc::clone(&state);
        thread::spawn(move || {
            for socket in listener.incoming().flatten() {
                let state = Arc::clone(&shared);
                thread::spawn(move || serve(socket, &state));
            }
        });
        Self { address, state }
    }

    /// What is said from the next request on.
    pub fn say(&self, say: Say) {
        self.state.lock().expect("state").say = say;
    }

    /// Every connection so far.
    #[must_use]
    pub fn connections(&self) -> Vec<Connection> {
        self.state.lock().expect("state").connections.clone()
    }

    /// Whole requests so far.
    #[must_use]
    pub fn requests(&self) -> usize {
        self.connections().iter().map(|connection| connection.requests).sum()
    }

    /// Waits until `count` connections were closed by the other side; false if they are not within `limit`.
    #[must_use]
    pub fn closed_within(&self, count: usize, limit: Duration) -> bool {
        within(limit, || self.connections().iter().filter(|connection| connection.closed).count() >= count)
    }
}

fn serve(mut socket: TcpStream, state: &Mutex<State>) {
    let index = {
        let mut state = state.lock().expect("state");
        state.connections.push(Connection::default());
        state.connections.len() - 1
    };
    let mut pending = Vec::new();
    let mut block = [0; 64 * 1024];
    'connection: while let Ok(read @ 1..) = socket.read(&mut block) {
        pending.extend_from_slice(&block[..read]);
        state.lock().expect("state").connections[index].bytes.extend_from_slice(&block[..read]);
        while let Some(length) = whole_request(&pending) {
            pending.drain(..length);
            let say = {
                let mut state = state.lock().expect("state");
                state.connections[index].requests += 1;
                state.say.clone()
            };
            let goes_on = match say {
                Say::After(time, bytes) => {
                    thread::sleep(time);
                    socket.write_all(&bytes).is_ok()
                }
                Say::Bytes(bytes) => socket.write_all(&bytes).is_ok(),
                Say::BytesAndClose(bytes) => {
                    let _ = socket.write_all(&bytes);
                    false
                }
                Say::Drip(first, rest) => {
                    let _ = socket.write_all(&first);
                    while socket.write_all(&rest).is_ok() {
                        thread::sleep(Duration::from_millis(100));
                    }
                    false
                }
                Say::Forever(first, rest) => {
                    let _ = socket.write_all(&first);
                    while socket.write_all(&rest).is_ok() {}
                    false
                }
            };
            if !goes_on {
                break 'connection;
            }
        }
    }
    state.lock().expect("state").connections[index].closed = true;
}

/// The length of the request that `bytes` begins with, if it is whole.
fn whole_request(bytes: &[u8]) -> Option<usize> {
    let head = bytes.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
    let text = String::from_utf8_lossy(&bytes[..head]).to_ascii_lowercase();
    let length = text.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok()).unwrap_or(0);
    (bytes.len() >= head + length).then_some(head + length)
}

/// A whole answer of status 200 with this body.
#[must_use]
pub fn answer(body: &str) -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

/// A chat completion.
pub const COMPLETION: &str = r#"{"id":"c","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"Hi"},"finish_reason":"stop"}],"usage":{"prompt_tokens":1,"completion_tokens":1,"total_tokens":2}}"#;

/// The head of a streamed answer.
pub const STREAM_HEAD: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";

/// One event of a streamed answer that says `text`, as a chunk.
#[must_use]
pub fn event(text: &str) -> Vec<u8> {
    let event = format!(
        "data: {{\"id\":\"c\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"m\",\"choices\":[{{\"index\":0,\"delta\":{{\"content\":\"{text}\"}},\"finish_reason\":null}}]}}\n\n"
    );
    format!("{:x}\r\n{event}\r\n", event.len()).into_bytes()
}
