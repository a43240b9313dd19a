//! A plain WebSocket client (RFC 6455) on top of [`Client`], frame by frame, so that each can be wrong.

use serde_json::{Value, json};

use crate::client::{Answer, Client};

/// What a handshake says; the key is the RFC's example.
pub const HANDSHAKE: &[(&str, &str)] = &[
    ("connection", "Upgrade"),
    ("upgrade", "websocket"),
    ("sec-websocket-version", "13"),
    ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
];
/// And how it is answered.
pub const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";
const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// A connection that speaks WebSocket.
pub struct WebSocket {
    client: Client,
}

/// What the server sends: the frame's opcode, and what it carries.
pub type Sent = (u8, Vec<u8>);

/// A frame as a client writes it, in the shortest form.
#[must_use]
pub fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![first];
    match payload.len() {
        short @ ..126 => bytes.push(0x80 | u8::try_from(short).expect("short")),
        middle @ ..65_536 => {
            bytes.push(0x80 | 126);
            bytes.extend(u16::try_from(middle).expect("not long").to_be_bytes());
        }
        long => {
            bytes.push(0x80 | 127);
            bytes.extend((long as u64).to_be_bytes());
        }
    }
    bytes.extend(MASK);
    bytes.extend(payload.iter().zip(MASK.into_iter().cycle()).map(|(byte, mask)| byte ^ mask));
    bytes
}

impl WebSocket {
    /// Changes `client` to WebSocket at `path`, with these further headers.
    #[must_use]
    pub fn open(client: Client, path: &str, headers: &[(&str, &str)]) -> Self {
        Self::try_open(client, path, headers).unwrap_or_else(|(answer, _)| panic!("{}: {}", answer.status, answer.text()))
    }

    /// The same; the answer if it is a refusal, and the connection that is still one of HTTP.
    ///
    /// # Errors
    /// What was answered instead.
    pub fn try_open(mut client: Client, path: &str, headers: &[(&str, &str)]) -> Result<Self, (Box<Answer>, Client)> {
        client.send("GET", path, &[HANDSHAKE, headers].concat(), b"");
        let answer = client.answer();
        if answer.status != 101 {
            return Err((Box::new(answer), client));
        }
        assert_eq!(answer.headers.get("sec-websocket-accept").map(String::as_str), Some(ACCEPT));
        assert!(!answer.headers.contains_key("sec-websocket-extensions"), "none is agreed on");
        Ok(Self { client })
    }

    /// Sends bytes as they are.
    pub fn raw(&mut self, bytes: &[u8]) {
        self.client.raw(bytes);
    }

    /// Sends a whole text message.
    pub fn send(&mut self, text: &str) {
        self.raw(&frame(0x81, text.as_bytes()));
    }

    /// Sends `body` as a `response.create`.
    pub fn create(&mut self, mut body: Value) {
        body["type"] = json!("response.create");
        self.send(&body.to_string());
    }

    /// The next frame, `None` at the end of the connection.
    pub fn frame(&mut self) -> Option<Sent> {
        let head = self.client.take(2)?;
        let length = match head[1] {
            126 => self.client.take(2)?.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)),
            127 => self.client.take(8)?.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)),
            short => {
                assert!(short < 126, "a server masks nothing");
                short.into()
            }
        };
        assert_eq!(head[0] & 0xf0, 0x80, "whole messages, without extensions");
        Some((head[0] & 0x0f, self.client.take(length)?))
    }

    /// The next event.
    pub fn event(&mut self) -> Value {
        match self.frame() {
            Some((1, text)) => serde_json::from_slice(&text).expect("JSON"),
            other => panic!("no event but {other:?}"),
        }
    }

    /// The events of one answer: up to the one that ends it.
    pub fn answer(&mut self) -> Vec<Value> {
        let mut events = Vec::new();
        loop {
            let event = self.event();
            let kind = event["type"].as_str().unwrap_or_default();
            let ends = matches!(kind, "response.completed" | "response.incomplete" | "response.failed" | "error");
            events.push(event);
            if ends {
                return events;
            }
        }
    }

    /// The code with which the server closes, once all else has passed; and after it nothing more comes. `None` for an end without one.
    pub fn closed(&mut self) -> Option<u16> {
        loop {
            match self.frame()? {
                (8, payload) => {
                    assert_eq!(self.frame(), None, "nothing follows a close frame");
                    return Some(u16::from_be_bytes([payload[0], payload[1]]));
                }
                (kind, _) => assert!(matches!(kind, 1 | 10), "opcode {kind}"),
            }
        }
    }
}

/// The text of an answer, from its events.
#[must_use]
pub fn text(events: &[Value]) -> String {
    events
        .iter()
        .filter(|event| event["type"] == "response.output_text.delta")
        .filter_map(|event| event["delta"].as_str())
        .collect()
}

/// The code of the error that ends an answer.
#[must_use]
pub fn error_code(events: &[Value]) -> String {
    let last = events.last().expect("an event");
    assert_eq!(last["type"], "error", "{last}");
    last["error"]["code"].as_str().unwrap_or_default().to_owned()
}
