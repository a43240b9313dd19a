//! The mock upstream: answers fixed bytes as fast as one thread can, so that what is measured is what stands before it.
//!
//! It runs in a process of its own, which prints its two ports (in the clear, with TLS) and ends with its standard input.

use std::io::{self, Write as _};
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use memchr::memmem;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::{LocalSet, spawn_local};
use tokio::time::{Instant, MissedTickBehavior, interval_at};

use crate::ask::{Ask, STAMP, events, json_answer, stamp, stamp_at};
use crate::clock;
use crate::problem::{Problem, While as _};
use crate::tls;

/// More than this is no request of ours.
const REQUEST_LIMIT: usize = 64 * 1024 * 1024;
/// A body up to this size is kept to see what it asks for; a larger one asks for one JSON answer.
const KEPT: usize = 64 * 1024;
const READ_BYTES: usize = 64 * 1024;

struct Answers {
    json: Vec<u8>,
    stream_head: Vec<u8>,
    /// As chunks of the transfer coding, and where the stamp of each belongs; the last one carries the end of the body.
    chunks: Vec<(Vec<u8>, Option<usize>)>,
    /// Head and chunks in one.
    stream: Vec<u8>,
}

impl Answers {
    fn new() -> Self {
        let body = json_answer();
        let head = format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n", body.len());
        let json = [head.as_bytes(), &body].concat();
        let stream_head =
            b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncache-control: no-cache\r\ntransfer-encoding: chunked\r\n\r\n".to_vec();
        let chunk = |event: Vec<u8>| [format!("{:x}\r\n", event.len()).as_bytes(), &event, b"\r\n"].concat();
        let mut chunks: Vec<Vec<u8>> = events().into_iter().map(chunk).collect();
        if let Some(last) = chunks.last_mut() {
            last.extend_from_slice(b"0\r\n\r\n");
        }
        let stream = [stream_head.clone(), chunks.concat()].concat();
        let with_place = |chunk: Vec<u8>| {
            let place = stamp_at(&chunk);
            (chunk, place)
        };
        Self { json, stream_head, chunks: chunks.into_iter().map(with_place).collect(), stream }
    }
}

/// Serves until standard input ends.
///
/// # Errors
/// No port, or no way to say which.
pub(crate) fn serve(chain: &Path, key: &Path) -> Result<(), Problem> {
    let acceptor = tls::acceptor(chain, key)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    LocalSet::new().block_on(&runtime, async {
        let (plain, encrypted) = (listen()?, listen()?);
        let mut out = io::stdout();
        writeln!(out, "{} {}", plain.local_addr()?.port(), encrypted.local_addr()?.port())?;
        out.flush()?;
        let answers = Rc::new(Answers::new());
        let shared = Rc::clone(&answers);
        spawn_local(async move {
            while let Ok((socket, _)) = plain.accept().await {
                let _ = socket.set_nodelay(true);
                spawn_local(connection(socket, Rc::clone(&shared)));
            }
        });
        spawn_local(async move {
            while let Ok((socket, _)) = encrypted.accept().await {
                let (acceptor, answers) = (acceptor.clone(), Rc::clone(&answers));
                spawn_local(async move {
                    socket.set_nodelay(true)?;
                    connection(acceptor.accept(socket).await?, answers).await
                });
            }
        });
        // On a thread, since a pipe is not always pollable.
        let (ended, end) = tokio::sync::oneshot::channel();
        std::thread::spawn(move || {
            let _ = io::copy(&mut io::stdin(), &mut io::sink());
            let _ = ended.send(());
        });
        let _ = end.await;
        Ok(())
    })
}

/// With a backlog for every stream that is opened at once.
fn listen() -> Result<TcpListener, Problem> {
    let socket = tokio::net::TcpSocket::new_v4()?;
    socket.bind(([127, 0, 0, 1], 0).into()).doing("find a port for the mock upstream")?;
    Ok(socket.listen(4096)?)
}

async fn connection<S: AsyncRead + AsyncWrite + Unpin>(mut socket: S, answers: Rc<Answers>) -> io::Result<()> {
    let mut inbuf = Vec::with_capacity(READ_BYTES);
    while let Some(ask) = request(&mut socket, &mut inbuf).await? {
        match ask {
            Ask::Chat | Ask::Image(_) => socket.write_all(&answers.json).await?,
            Ask::Stream | Ask::Translated => socket.write_all(&answers.stream).await?,
            Ask::Paced(pause) => paced(&mut socket, &answers, Duration::from_millis(pause.into())).await?,
        }
        // A TLS stream keeps what the socket did not take.
        socket.flush().await?;
    }
    Ok(())
}

/// Reads one request to its end; `None` when the other side has closed.
async fn request<S: AsyncRead + Unpin>(socket: &mut S, inbuf: &mut Vec<u8>) -> io::Result<Option<Ask>> {
    let (head, body) = loop {
        if let Some(found) = lengths(inbuf)? {
            break found;
        }
        if socket.read_buf(inbuf).await? == 0 {
            return Ok(None);
        }
        inbuf.reserve(READ_BYTES);
    };
    let large = body > KEPT;
    let mut left = (head + body).saturating_sub(inbuf.len());
    if large {
        // All that has come belongs to it: a client here sends nothing before its answer.
        inbuf.clear();
    }
    while left > 0 {
        inbuf.reserve(READ_BYTES);
        match socket.read_buf(inbuf).await? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            read => left = left.saturating_sub(read),
        }
        if large {
            inbuf.clear();
        }
    }
    if large {
        return Ok(Some(Ask::Chat));
    }
    let ask = Ask::read(&inbuf[head..head + body]);
    inbuf.drain(..head + body);
    Ok(Some(ask))
}

async fn paced<S: AsyncWrite + Unpin>(socket: &mut S, answers: &Answers, pause: Duration) -> io::Result<()> {
    let mut beat = interval_at(Instant::now() + pause, pause);
    beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut out = answers.stream_head.clone();
    for (number, (chunk, place)) in answers.chunks.iter().enumerate() {
        // The head goes with the first event, at once.
        if number > 0 {
            beat.tick().await;
            out.clear();
        }
        let start = out.len();
        out.extend_from_slice(chunk);
        if let Some(place) = place {
            out[start + place..start + place + STAMP].copy_from_slice(stamp(clock::now()).as_bytes());
        }
        socket.write_all(&out).await?;
        socket.flush().await?;
    }
    Ok(())
}

/// Length of the head at the start of `bytes`, once it is there, and of the body that follows it.
fn lengths(bytes: &[u8]) -> io::Result<Option<(usize, usize)>> {
    let Some(end) = memmem::find(bytes, b"\r\n\r\n") else {
        return if bytes.len() > KEPT { Err(io::ErrorKind::InvalidData.into()) } else { Ok(None) };
    };
    let mut length = 0;
    for line in bytes[..end].split(|byte| *byte == b'\n') {
        if let Some(value) = field(line, b"content-length") {
            length = value.trim().parse().map_err(|_| io::ErrorKind::InvalidData)?;
        } else if field(line, b"transfer-encoding").is_some() {
            // No target sends chunks when the client did not; answering would measure something else.
            return Err(io::ErrorKind::Unsupported.into());
        }
    }
    if length > REQUEST_LIMIT { Err(io::ErrorKind::InvalidData.into()) } else { Ok(Some((end + 4, length))) }
}

/// The value of the header field `name` if `line` is one.
fn field<'a>(line: &'a [u8], name: &[u8]) -> Option<&'a str> {
    let (found, value) = line.split_at_checked(name.len())?;
    let value = value.strip_prefix(b":")?;
    found.eq_ignore_ascii_case(name).then(|| std::str::from_utf8(value).ok()).flatten()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

    use super::{lengths, request};
    use crate::ask::Ask;

    #[test]
    fn a_request_is_as_long_as_it_says() {
        let (bytes, _) = Ask::Chat.request("key", "");
        let (head, body) = lengths(&bytes).unwrap().unwrap();
        assert_eq!(head + body, bytes.len());
        assert_eq!(lengths(&bytes[..20]).unwrap(), None);
        assert!(lengths(b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n").is_err());
    }

    #[test]
    fn small_and_large_requests_are_read_one_after_the_other() {
        let asks = [Ask::Stream, Ask::Image(300_000), Ask::Paced(10)];
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        for ask in asks {
            let bytes = ask.request("key", "").0;
            let mut inbuf = Vec::new();
            let read = runtime.block_on(request(&mut bytes.as_slice(), &mut inbuf)).unwrap();
            assert_eq!(read, Some(if matches!(ask, Ask::Image(_)) { Ask::Chat } else { ask }));
            assert!(inbuf.is_empty());
        }
    }
}
