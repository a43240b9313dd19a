//! How an answer reaches the client, well or badly: the words of the model's name choose.
//!
//! * `cut`: the connection ends in the middle of it. `stall`: nothing comes after that, and the connection stays until the client ends it. `hang`:
//!   nothing comes at all. `midstream-error`: the dialect's own error in the middle of a stream, and a
//!   clean end of HTTP. `no-done`: without what marks a stream's end (`[DONE]`), where the dialect has that.
//! * `crlf`: lines of server-sent events end with CR and LF. `comments`: comments between the events. `split`: every byte is a write of
//!   its own. `slow`: a pause before each event.

use std::io::{self, Write};
use std::thread;
use std::time::Duration;

use serde_json::Value;

use super::script::Words;

/// Before each event of a slow stream.
const PAUSE: Duration = Duration::from_millis(100);

/// What is answered.
pub(super) struct Answer {
    pub(super) status: u16,
    /// Beside the media type and the length.
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) media_type: &'static str,
    pub(super) body: Body,
}

pub(super) enum Body {
    Whole(Vec<u8>),
    Stream(Stream),
}

/// Events as they stand on the wire.
#[derive(Default)]
pub(super) struct Stream {
    pub(super) events: Vec<Vec<u8>>,
    /// What marks the end.
    pub(super) done: Option<Vec<u8>>,
    /// What stands in place of the rest if the model fails in the middle.
    pub(super) failure: Vec<u8>,
}

impl Answer {
    pub(super) fn json(status: u16, body: &Value) -> Self {
        Self { status, headers: Vec::new(), media_type: "application/json", body: Body::Whole(body.to_string().into_bytes()) }
    }

    pub(super) fn events(stream: Stream) -> Self {
        Self { status: 200, headers: Vec::new(), media_type: "text/event-stream", body: Body::Stream(stream) }
    }

    pub(super) fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }
}

/// A server-sent event of data only.
pub(super) fn data(value: &Value) -> Vec<u8> {
    format!("data: {value}\n\n").into_bytes()
}

/// A server-sent event with a name.
pub(super) fn named(name: &str, value: &Value) -> Vec<u8> {
    format!("event: {name}\ndata: {value}\n\n").into_bytes()
}

/// Whether only half of an answer comes.
fn is_cut(words: &Words<'_>) -> bool {
    words.has("cut") || words.has("stall")
}

/// Writes the answer; false when the connection ends with it.
pub(super) fn deliver<S: Write>(socket: &mut S, answer: Answer, words: &Words<'_>) -> io::Result<bool> {
    let mut head = format!("HTTP/1.1 {} X\r\ncontent-type: {}\r\n", answer.status, answer.media_type);
    for (name, value) in &answer.headers {
        head += &format!("{name}: {value}\r\n");
    }
    match answer.body {
        Body::Whole(body) => {
            socket.write_all(format!("{head}content-length: {}\r\n\r\n", body.len()).as_bytes())?;
            let cut = is_cut(words) && answer.status == 200;
            let sent = if cut { &body[..body.len() / 2] } else { &body[..] };
            let pieces = if words.has("split") { 1 } else { sent.len().max(1) };
            for piece in sent.chunks(pieces) {
                socket.write_all(piece)?;
                socket.flush()?;
            }
            socket.flush()?;
            Ok(!cut)
        }
        Body::Stream(stream) => {
            socket.write_all(format!("{head}transfer-encoding: chunked\r\n\r\n").as_bytes())?;
            let whole = send_events(socket, stream, answer.media_type, words)?;
            if whole {
                socket.write_all(b"0\r\n\r\n")?;
            }
            socket.flush()?;
            Ok(whole)
        }
    }
}

fn send_events<S: Write>(socket: &mut S, stream: Stream, media_type: &str, words: &Words<'_>) -> io::Result<bool> {
    let lines = media_type == "text/event-stream";
    let fails = words.has("midstream");
    let half = stream.events.len().div_ceil(2);
    let sent = if fails || is_cut(words) { half } else { stream.events.len() };
    let end = if fails { Some(stream.failure) } else { stream.done.filter(|_| !words.pair("no", "done") && !is_cut(words)) };
    for event in stream.events.into_iter().take(sent).chain(end) {
        if words.has("slow") {
            thread::sleep(PAUSE);
        }
        if lines && words.has("comments") {
            send_piece(socket, b": still here\n\n", words)?;
        }
        if lines && words.has("crlf") {
            // JSON has no line break of its own in it.
            send_piece(socket, String::from_utf8_lossy(&event).replace('\n', "\r\n").as_bytes(), words)?;
        } else {
            send_piece(socket, &event, words)?;
        }
    }
    Ok(!is_cut(words))
}

fn send_piece<S: Write>(socket: &mut S, piece: &[u8], words: &Words<'_>) -> io::Result<()> {
    for piece in piece.chunks(if words.has("split") { 1 } else { piece.len().max(1) }) {
        let mut chunk = format!("{:x}\r\n", piece.len()).into_bytes();
        chunk.extend_from_slice(piece);
        chunk.extend_from_slice(b"\r\n");
        socket.write_all(&chunk)?;
        socket.flush()?;
    }
    Ok(())
}
