//! The mock upstream: answers fixed bytes as fast as one thread can, so that what is measured is what stands before it.
//!
//! It runs in a process of its own, which prints its port and ends with its standard input.

use std::io::{self, Write as _};
use std::sync::Arc;

use memchr::memmem;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, MissedTickBehavior, interval_at};

use crate::workload::{PACE, Workload, events, json_answer};

/// More than this before a request's end is no request of ours.
const REQUEST_LIMIT: usize = 1024 * 1024;
const READ_BYTES: usize = 16 * 1024;

struct Answers {
    json: Vec<u8>,
    stream_head: Vec<u8>,
    /// As chunks of the transfer coding; the last one carries the end of the body.
    chunks: Vec<Vec<u8>>,
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
        Self { json, stream_head, chunks, stream }
    }
}

/// Serves until standard input ends.
///
/// # Errors
/// No port, or no way to say which.
pub(crate) fn serve() -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let mut out = io::stdout();
        writeln!(out, "{}", listener.local_addr()?.port())?;
        out.flush()?;
        let answers = Arc::new(Answers::new());
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                tokio::spawn(connection(socket, Arc::clone(&answers)));
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

async fn connection(mut socket: TcpStream, answers: Arc<Answers>) -> io::Result<()> {
    socket.set_nodelay(true)?;
    let mut inbuf = Vec::with_capacity(READ_BYTES);
    loop {
        let request = loop {
            if let Some(length) = request_length(&inbuf)?
                && inbuf.len() >= length
            {
                break length;
            }
            inbuf.reserve(READ_BYTES);
            if socket.read_buf(&mut inbuf).await? == 0 {
                return Ok(());
            }
        };
        let asked = &inbuf[..request];
        let is_stream = memmem::find(asked, b"\"stream\":true").is_some();
        let is_paced = memmem::find(asked, Workload::Paced.model().as_bytes()).is_some();
        inbuf.drain(..request);
        match (is_stream, is_paced) {
            (false, _) => socket.write_all(&answers.json).await?,
            (true, false) => socket.write_all(&answers.stream).await?,
            (true, true) => paced(&mut socket, &answers).await?,
        }
    }
}

async fn paced(socket: &mut TcpStream, answers: &Answers) -> io::Result<()> {
    socket.write_all(&answers.stream_head).await?;
    let mut beat = interval_at(Instant::now() + PACE, PACE);
    beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for chunk in &answers.chunks {
        beat.tick().await;
        socket.write_all(chunk).await?;
    }
    Ok(())
}

/// Length of the first request in `bytes` with its body, once its head is there.
fn request_length(bytes: &[u8]) -> io::Result<Option<usize>> {
    let Some(end) = memmem::find(bytes, b"\r\n\r\n") else {
        return if bytes.len() > REQUEST_LIMIT { Err(io::ErrorKind::InvalidData.into()) } else { Ok(None) };
    };
    let mut length = 0;
    for line in bytes[..end].split(|byte| *byte == b'\n') {
        if let Some(value) = field(line, b"content-length") {
            length = value.trim().parse().map_err(|_| io::ErrorKind::InvalidData)?;
        } else if field(line, b"transfer-encoding").is_some() {
            // Neither nginx nor Lethe sends chunks when the client did not; answering would measure something else.
            return Err(io::ErrorKind::Unsupported.into());
        }
    }
    if length > REQUEST_LIMIT { Err(io::ErrorKind::InvalidData.into()) } else { Ok(Some(end + 4 + length)) }
}

/// The value of the header field `name` if `line` is one.
fn field<'a>(line: &'a [u8], name: &[u8]) -> Option<&'a str> {
    let (found, value) = line.split_at_checked(name.len())?;
    let value = value.strip_prefix(b":")?;
    found.eq_ignore_ascii_case(name).then(|| std::str::from_utf8(value).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::request_length;
    use crate::workload::Workload;

    #[test]
    fn a_request_is_as_long_as_it_says() {
        let request = Workload::Chat.request(Some("key"));
        assert_eq!(request_length(&request).ok(), Some(Some(request.len())));
        assert_eq!(request_length(&request[..20]).ok(), Some(None));
        assert!(request_length(b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n").is_err());
    }
}
