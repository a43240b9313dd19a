//! An answer on the wire, well or in the way that the scene says.

use std::io;
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use super::super::http::{Incoming, Stream, Wait};
use super::scene::{Scene, Way};
use super::{Asked, anthropic, gemini, openai, responses};

/// Longer than what comes.
const MISSING: usize = 512;
/// Pieces of a slow answer.
const PIECES: usize = 8;

/// A good answer before it goes out.
pub(super) enum Reply {
    Whole { content_type: &'static str, bytes: Vec<u8> },
    Events { events: Vec<String>, told: usize },
}

impl Reply {
    pub(super) fn json(value: &Value) -> Self {
        Self::Whole { content_type: "application/json", bytes: value.to_string().into_bytes() }
    }

    /// Events, of which the one at `told` is the first that carries the completion.
    pub(super) fn events(events: Vec<String>, told: usize) -> Self {
        Self::Events { events, told: told + 1 }
    }
}

/// What becomes of the connection.
#[derive(PartialEq, Eq)]
pub(super) enum Then {
    Next,
    Close,
    PeerLeft,
}

/// Answers one request.
pub(super) fn give(
    stream: &mut Stream,
    incoming: &mut Incoming,
    scene: &Scene,
    asked: &Asked,
    wait: &Wait<'_>,
) -> io::Result<Then> {
    let reply = reply(asked, scene);
    let Some(reply) = reply else {
        let body = json!({"error": {"message": "Unknown request URL.", "type": "invalid_request_error", "param": null, "code": "unknown_url"}});
        return whole(stream, 404, "application/json", body.to_string().as_bytes(), 0, wait);
    };
    // A list of models is asked for by the target itself, or by a look at what it shows: never part of a scene.
    let way = if asked.path.ends_with("/models") { Way::Well } else { scene.way };
    match way {
        Way::Well => well(stream, &reply, wait),
        Way::Error(status) => {
            let body = error(asked, scene, status).to_string();
            whole(stream, status, "application/json", body.as_bytes(), 0, wait)
        }
        Way::HtmlError => {
            let page = format!(
                "<!DOCTYPE html>\n<html><head><title>502 Bad Gateway</title></head>\n<body><h1>{}</h1><pre>{}</pre></body></html>\n",
                scene.script.error, asked.echo
            );
            whole(stream, 502, "text/html; charset=utf-8", page.as_bytes(), 0, wait)
        }
        Way::TextError => {
            let line = format!("upstream failure: {} while reading {}\n", scene.script.error, asked.echo);
            whole(stream, 503, "text/plain", line.as_bytes(), 0, wait)
        }
        Way::ErrorEvent => match reply {
            Reply::Events { mut events, told } => {
                events.truncate(told);
                events.push(error_event(asked, scene));
                let reply = Reply::Events { events, told };
                well(stream, &reply, wait)
            }
            Reply::Whole { .. } => {
                whole(stream, 500, "application/json", error(asked, scene, 500).to_string().as_bytes(), 0, wait)
            }
        },
        Way::MalformedJson => {
            let bytes = match reply {
                Reply::Whole { mut bytes, .. } => {
                    bytes.truncate(bytes.len().saturating_sub(2));
                    bytes
                }
                Reply::Events { events, told } => events[..told].concat().into_bytes(),
            };
            let bytes = [&bytes, b",, \"oops\": ".as_slice()].concat();
            whole(stream, 200, "application/json", &bytes, 0, wait)
        }
        Way::MalformedEvents => match reply {
            Reply::Events { events, told } => {
                let mut bad = events[..told].to_vec();
                // The event's JSON stops in the middle; its canary has passed by then.
                let mut broken = events[told - 1].trim_end().to_owned();
                broken.truncate(broken.len() - 2);
                bad.push(broken + "\n\n");
                bad.push(format!("<html>{}</html>\n\n", scene.script.text));
                well(stream, &Reply::Events { events: bad, told }, wait)
            }
            reply @ Reply::Whole { .. } => well(stream, &reply, wait),
        },
        Way::CutBody => match reply {
            Reply::Whole { content_type, bytes } => whole(stream, 200, content_type, &bytes, MISSING, wait).map(|_| Then::Close),
            Reply::Events { events, told } => cut(stream, &events[..told], wait),
        },
        Way::CutStream => match reply {
            Reply::Events { events, told } => cut(stream, &events[..told], wait),
            Reply::Whole { content_type, bytes } => whole(stream, 200, content_type, &bytes, MISSING, wait).map(|_| Then::Close),
        },
        Way::Hang => hang(stream, incoming, wait),
        Way::HoldStream => {
            match reply {
                Reply::Events { events, told } => cut(stream, &events[..told], wait)?,
                Reply::Whole { content_type, bytes } => whole(stream, 200, content_type, &bytes, MISSING, wait)?,
            };
            hang(stream, incoming, wait)
        }
        Way::Drop => Ok(Then::Close),
        Way::Slow(pause) => slowly(stream, &reply, pause, wait),
    }
}

fn reply(asked: &Asked, scene: &Scene) -> Option<Reply> {
    anthropic::reply(asked, &scene.script)
        .or_else(|| gemini::reply(asked, &scene.script))
        .or_else(|| responses::reply(asked, &scene.script))
        .or_else(|| openai::reply(asked, &scene.script))
}

fn error(asked: &Asked, scene: &Scene, status: u16) -> Value {
    if anthropic::is_of(&asked.path) {
        anthropic::error(asked, &scene.script, status)
    } else if gemini::is_of(&asked.path) {
        gemini::error(asked, &scene.script, status)
    } else {
        openai::error(asked, &scene.script, status)
    }
}

fn error_event(asked: &Asked, scene: &Scene) -> String {
    let error = error(asked, scene, 500);
    if anthropic::is_of(&asked.path) { format!("event: error\ndata: {error}\n\n") } else { format!("data: {error}\n\n") }
}

fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        400 => "Bad Request",
        401 => "Unauthorized",
        404 => "Not Found",
        429 => "Too Many Requests",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        _ => "Internal Server Error",
    }
}

fn whole(stream: &mut Stream, status: u16, content_type: &str, body: &[u8], missing: usize, wait: &Wait<'_>) -> io::Result<Then> {
    let head = format!(
        "HTTP/1.1 {status} {}\r\ncontent-type: {content_type}\r\nx-request-id: req_audit\r\ncontent-length: {}\r\n\r\n",
        reason(status),
        body.len() + missing
    );
    stream.write_within(&[head.as_bytes(), body].concat(), wait)?;
    Ok(Then::Next)
}

const EVENTS_HEAD: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\ncache-control: no-cache\r\n\
    x-request-id: req_audit\r\ntransfer-encoding: chunked\r\n\r\n";

fn as_chunk(event: &str) -> Vec<u8> {
    format!("{:x}\r\n{event}\r\n", event.len()).into_bytes()
}

fn well(stream: &mut Stream, reply: &Reply, wait: &Wait<'_>) -> io::Result<Then> {
    match reply {
        Reply::Whole { content_type, bytes } => whole(stream, 200, content_type, bytes, 0, wait),
        Reply::Events { events, .. } => {
            cut(stream, events, wait)?;
            stream.write_within(b"0\r\n\r\n", wait)?;
            Ok(Then::Next)
        }
    }
}

/// Events without the end of the stream.
fn cut(stream: &mut Stream, events: &[String], wait: &Wait<'_>) -> io::Result<Then> {
    stream.write_within(EVENTS_HEAD, wait)?;
    for event in events {
        stream.write_within(&as_chunk(event), wait)?;
    }
    Ok(Then::Close)
}

/// Says nothing until the peer closes or the scene is over.
fn hang(stream: &mut Stream, incoming: &mut Incoming, wait: &Wait<'_>) -> io::Result<Then> {
    loop {
        match incoming.fill(stream, wait) {
            Ok(0) => return Ok(Then::PeerLeft),
            // A next request on a connection whose last one is not answered is not for now.
            Ok(_) => incoming.buffer.clear(),
            Err(error) if error.kind() == io::ErrorKind::TimedOut => return Ok(Then::Close),
            Err(_) => return Ok(Then::PeerLeft),
        }
    }
}

fn slowly(stream: &mut Stream, reply: &Reply, pause: Duration, wait: &Wait<'_>) -> io::Result<Then> {
    match reply {
        Reply::Whole { content_type, bytes } => {
            let head = format!("HTTP/1.1 200 OK\r\ncontent-type: {content_type}\r\ncontent-length: {}\r\n\r\n", bytes.len());
            stream.write_within(head.as_bytes(), wait)?;
            for piece in bytes.chunks(bytes.len().div_ceil(PIECES).max(1)) {
                thread::sleep(pause);
                stream.write_within(piece, wait)?;
            }
        }
        Reply::Events { events, .. } => {
            stream.write_within(EVENTS_HEAD, wait)?;
            for event in events {
                thread::sleep(pause);
                stream.write_within(&as_chunk(event), wait)?;
            }
            stream.write_within(b"0\r\n\r\n", wait)?;
        }
    }
    Ok(Then::Next)
}
