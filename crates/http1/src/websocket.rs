//! The server's end of a connection that was upgraded to WebSocket: one message after another.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use lethe_content::ContentBuf;
use lethe_tls::Readiness;
use tokio::io::AsyncReadExt;

use crate::BodyError;
use crate::frame::{CloseCode, Frame, FrameDecoder, write_close, write_pong, write_text};
use crate::pace::{Pace, Rate, within};
use crate::server::{make_room, part, write};

/// Read at a time between messages, and while an answer is being waited for: what the client sends ahead of its turn stays with the kernel.
const READ_BYTES: usize = 4 * 1024;
/// Read at a time for messages.
const MESSAGE_READ_BYTES: usize = 16 * 1024;

/// What a client has sent.
pub enum Incoming {
    /// The connection is over: the client has closed it, or does not speak WebSocket as it should.
    Closed,
    /// A message.
    Message(ContentBuf),
    /// Signs of life only, which have been answered.
    Nothing,
}

/// How far the end of a connection has come.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    /// Nothing more can be read or written.
    Gone,
    /// What the client sends is not WebSocket, and is not looked at again.
    Fault(CloseCode),
    /// The client has said that it sends nothing more.
    Said,
}

/// A connection that carries messages. A ping is answered before anything else is read, so that nobody can have more than one answer pile up.
pub struct WebSocketConn<S> {
    socket: S,
    inbuf: ContentBuf,
    out: ContentBuf,
    decoder: FrameDecoder,
    rate: Rate,
    limit: u64,
    end: Option<End>,
}

impl<S: Readiness> WebSocketConn<S> {
    pub(crate) fn new(socket: S, inbuf: ContentBuf, rate: Rate, limit: u64) -> Self {
        Self { socket, inbuf, out: ContentBuf::new(), decoder: FrameDecoder::new(limit), rate, limit, end: None }
    }

    /// Waits, without holding a buffer, until something arrives; false when the client has gone.
    pub async fn readable(&mut self) -> bool {
        if !self.inbuf.is_empty() {
            return true;
        }
        self.inbuf.release();
        self.out.release();
        let readable =
            poll_fn(|cx| self.socket.poll_readable(cx)).await.is_ok() && self.fill(READ_BYTES).await.is_ok_and(|read| read > 0);
        if !readable {
            self.end = Some(End::Gone);
        }
        readable
    }

    /// Reads until a message is whole, or signs of life have been answered and nothing has begun. `room` is asked before the message's block
    /// grows to so many bytes. The message's pace is bounded as a body's is.
    ///
    /// # Errors
    /// [`BodyError`], of a message that had begun; the connection cannot go on after it.
    pub async fn read(&mut self, room: &mut dyn FnMut(usize) -> bool) -> Result<Incoming, BodyError> {
        let mut message = ContentBuf::new();
        let mut pace = Pace::start(self.rate);
        loop {
            let most = message.len() + self.inbuf.len();
            if most > message.capacity() {
                let larger = (message.capacity() * 2).min(usize::try_from(self.limit).unwrap_or(usize::MAX));
                make_room(&mut message, most.max(larger), room)?;
            }
            let before = message.len();
            let decoded = self.decoder.decode(&mut self.inbuf, &mut message);
            // Only what a message carries buys time: frames without anything in them could go on for ever.
            pace.passed(message.len() - before);
            match decoded {
                Ok(Some(Frame::Message)) => {
                    if self.inbuf.is_empty() {
                        self.inbuf.release();
                    }
                    return Ok(Incoming::Message(message));
                }
                Ok(Some(frame)) => {
                    if self.hears(frame) {
                        return Ok(Incoming::Closed);
                    }
                    if self.send().await.is_err() {
                        return Err(BodyError::Gone);
                    }
                }
                Ok(None) if self.decoder.is_between() && self.inbuf.is_empty() => return Ok(Incoming::Nothing),
                Ok(None) => match within(pace.left(), self.fill(MESSAGE_READ_BYTES)).await {
                    Ok(Ok(1..)) => {}
                    Ok(_) => {
                        self.end = Some(End::Gone);
                        return Err(BodyError::Gone);
                    }
                    Err(_) => return Err(BodyError::Timeout),
                },
                Err(CloseCode::TooLarge) => {
                    self.end = Some(End::Fault(CloseCode::TooLarge));
                    return Err(BodyError::TooLarge);
                }
                Err(code) => {
                    self.end = Some(End::Fault(code));
                    return Ok(Incoming::Closed);
                }
            }
        }
    }

    /// Resolves when the client has gone or wants to go, while an answer is being waited for. Pings are answered meanwhile, until the next
    /// message begins: that one waits for its turn, and what follows it with it.
    pub async fn gone(&mut self) {
        poll_fn(|cx| self.poll_gone(cx)).await;
    }

    fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            if self.end.is_some() {
                return Poll::Ready(());
            }
            if ready!(self.poll_send(cx)).is_err() {
                self.end = Some(End::Gone);
                return Poll::Ready(());
            }
            match self.decoder.control(&mut self.inbuf) {
                Ok(Some(Frame::Message)) => return Poll::Pending,
                Ok(Some(frame)) => {
                    self.hears(frame);
                    continue;
                }
                Ok(None) => {}
                Err(code) => {
                    self.end = Some(End::Fault(code));
                    continue;
                }
            }
            let readable = ready!(self.socket.poll_readable(cx));
            let read = readable.map(|()| self.socket.poll_read_into(cx, &mut self.inbuf, READ_BYTES));
            if self.inbuf.is_empty() {
                self.inbuf.release();
            }
            match read {
                Ok(Poll::Pending) => return Poll::Pending,
                Ok(Poll::Ready(Ok(1..))) => {}
                _ => self.end = Some(End::Gone),
            }
        }
    }

    /// Takes note of a control frame; true for the last one.
    fn hears(&mut self, frame: Frame) -> bool {
        match frame {
            Frame::Close => self.end = Some(End::Said),
            Frame::Ping => write_pong(self.decoder.take_ping().expose(), &mut self.out),
            Frame::Message | Frame::Pong => {}
        }
        frame == Frame::Close
    }

    /// Adds a message, made of `parts`, to what leaves next.
    pub fn stage(&mut self, parts: &[&[u8]]) {
        write_text(parts, &mut self.out);
    }

    /// Sends what is staged.
    ///
    /// # Errors
    /// The socket's own, or that the client took nothing within the limit.
    pub async fn send(&mut self) -> io::Result<()> {
        let sent = match write(&mut self.socket, self.out.expose(), self.rate).await {
            Ok(()) => within(self.rate.idle, poll_fn(|cx| Pin::new(&mut self.socket).poll_flush(cx)))
                .await
                .unwrap_or_else(|late| Err(late.into())),
            Err(error) => Err(error),
        };
        self.out.clear();
        if sent.is_err() {
            self.end = Some(End::Gone);
        }
        sent
    }

    /// The same for who must not wait: what has not left stays first in the row.
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.out.is_empty() {
            match ready!(Pin::new(&mut self.socket).poll_write(cx, self.out.expose()))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                sent => self.out.consume(sent),
            }
        }
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    /// Whether another message may follow.
    pub const fn may_go_on(&self) -> bool {
        self.end.is_none()
    }

    /// The code with which a client is turned away that does not speak WebSocket as it should.
    pub const fn fault(&self) -> Option<CloseCode> {
        match self.end {
            Some(End::Fault(code)) => Some(code),
            _ => None,
        }
    }

    /// Closes with `code`, or with the one that the client's fault demands: says so, and takes in for a moment what it is still sending
    /// (RFC 6455 section 7.1.1).
    pub async fn close(mut self, code: CloseCode) {
        if self.end == Some(End::Gone) {
            return;
        }
        self.inbuf.release();
        write_close(self.fault().unwrap_or(code), &mut self.out);
        if self.send().await.is_ok() {
            self.out.release();
            let expected = self.end != Some(End::Said);
            part(self.socket, self.rate, expected).await;
        }
    }

    async fn fill(&mut self, room: usize) -> io::Result<usize> {
        self.socket.read_buf(self.inbuf.spare(room)).await
    }
}
