//! A TLS connection whose buffers are ours to wipe.

use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use lethe_content::ContentBuf;
use rustls::client::UnbufferedClientConnection;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::server::UnbufferedServerConnection;
use rustls::{ClientConfig, ServerConfig};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};

use crate::drive::{Step, Wish, step};

/// One TLS record with its header and expansion (RFC 8446 section 5.2: 2^14 + 256 + 5).
const READ_BYTES: usize = 16 * 1024 + 256 + 5;
/// Records waiting for the socket beyond which no more plaintext is taken.
const OUTGOING_LIMIT: usize = 64 * 1024;
/// Plaintext taken per write.
const WRITE_BYTES: usize = 32 * 1024;
/// A handshake flight (with a certificate chain) may span several records, but not without end.
const INCOMING_LIMIT: usize = 128 * 1024;

/// Why a connection failed; nothing of what was on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsError {
    /// The socket failed or was closed in the middle.
    Io,
    /// The peer broke the protocol, or its certificate was refused.
    Protocol,
}

impl From<TlsError> for io::Error {
    fn from(error: TlsError) -> Self {
        match error {
            TlsError::Io => Self::from(io::ErrorKind::UnexpectedEof),
            TlsError::Protocol => Self::from(io::ErrorKind::InvalidData),
        }
    }
}

/// A byte stream that can tell that there is something to read before a buffer is made for it, so that an idle connection
/// holds no memory.
pub trait Readiness: AsyncRead + AsyncWrite + Unpin {
    /// Ready when a read would not wait (data, end, or error).
    ///
    /// # Errors
    /// The socket's own.
    fn poll_readable(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// Reads once to the end of `buf`, which is given room for `room` bytes or more; 0 is the end.
    ///
    /// # Errors
    /// The socket's own.
    fn poll_read_into(&mut self, cx: &mut Context<'_>, buf: &mut ContentBuf, room: usize) -> Poll<io::Result<usize>>
    where
        Self: Sized,
    {
        pin!(self.read_buf(buf.spare(room))).poll(cx)
    }
}

impl Readiness for TcpStream {
    fn poll_readable(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_read_ready(cx)
    }
}

impl Readiness for UnixStream {
    fn poll_readable(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_read_ready(cx)
    }
}

enum Connection {
    Client(Box<UnbufferedClientConnection>),
    Server(Box<UnbufferedServerConnection>),
}

/// TLS over `S`. Made by [`TlsStream::accept`] or [`TlsStream::connect`], which finish the handshake.
pub struct TlsStream<S> {
    socket: S,
    connection: Connection,
    /// Records as they arrived; a later rustls may decrypt in place, so this counts as content.
    incoming: ContentBuf,
    /// Decrypted and not yet read.
    plain: ContentBuf,
    /// Records on their way out.
    outgoing: ContentBuf,
    peer_closed: bool,
    close_queued: bool,
    failed: Option<TlsError>,
}

impl<S: Readiness> TlsStream<S> {
    /// Server side: finishes the handshake on `socket`. The caller bounds the time.
    ///
    /// # Errors
    /// [`TlsError`] when the socket or the peer fails.
    pub async fn accept(socket: S, config: Arc<ServerConfig>) -> Result<Self, TlsError> {
        let connection = UnbufferedServerConnection::new(config).map_err(|_| TlsError::Protocol)?;
        Self::new(socket, Connection::Server(Box::new(connection))).handshake().await
    }

    /// Client side: finishes the handshake on `socket` with the server called `name`. The caller bounds the time.
    ///
    /// # Errors
    /// [`TlsError`] when the socket or the peer fails, or the server's certificate is refused.
    pub async fn connect(socket: S, config: Arc<ClientConfig>, name: ServerName<'static>) -> Result<Self, TlsError> {
        let connection = UnbufferedClientConnection::new(config, name).map_err(|_| TlsError::Protocol)?;
        Self::new(socket, Connection::Client(Box::new(connection))).handshake().await
    }

    const fn new(socket: S, connection: Connection) -> Self {
        Self {
            socket,
            connection,
            incoming: ContentBuf::new(),
            plain: ContentBuf::new(),
            outgoing: ContentBuf::new(),
            peer_closed: false,
            close_queued: false,
            failed: None,
        }
    }

    /// The certificates that the peer showed, leaf first.
    #[must_use]
    pub fn peer_certificates(&self) -> Option<&[CertificateDer<'static>]> {
        match &self.connection {
            Connection::Client(connection) => connection.peer_certificates(),
            Connection::Server(connection) => connection.peer_certificates(),
        }
    }

    /// The socket underneath.
    #[must_use]
    pub const fn socket(&self) -> &S {
        &self.socket
    }

    async fn handshake(mut self) -> Result<Self, TlsError> {
        std::future::poll_fn(|cx| {
            loop {
                let step = self.drive(&mut Wish::Nothing);
                let flushed = self.poll_send(cx);
                let step = match step {
                    Ok(step) => step,
                    // The alert that says why is already on its way if the socket took it.
                    Err(error) => return Poll::Ready(Err(error)),
                };
                ready!(flushed).map_err(|_| TlsError::Io)?;
                match step {
                    Step::Open => return Poll::Ready(Ok(())),
                    Step::Closed => return Poll::Ready(Err(TlsError::Io)),
                    Step::Again | Step::Blocked => match ready!(self.poll_receive(cx)) {
                        Ok(0) | Err(_) => return Poll::Ready(Err(TlsError::Io)),
                        Ok(_) => {}
                    },
                }
            }
        })
        .await?;
        Ok(self)
    }

    /// Runs the state machine until it is open, blocked or closed.
    fn drive(&mut self, wish: &mut Wish<'_>) -> Result<Step, TlsError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        loop {
            let Self { connection, incoming, plain, outgoing, peer_closed, .. } = self;
            let (discard, result) = match connection {
                Connection::Client(connection) => {
                    step(connection.process_tls_records(incoming.expose_mut()), wish, plain, outgoing, peer_closed)
                }
                Connection::Server(connection) => {
                    step(connection.process_tls_records(incoming.expose_mut()), wish, plain, outgoing, peer_closed)
                }
            };
            incoming.consume(discard);
            if incoming.is_empty() {
                incoming.release();
            }
            match result {
                Ok(Step::Again) => {}
                Ok(step) => return Ok(step),
                Err(error) => {
                    self.failed = Some(error);
                    return Err(error);
                }
            }
        }
    }

    /// Reads once from the socket into `incoming`; 0 is the end.
    fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        ready!(self.socket.poll_readable(cx))?;
        let before = self.incoming.len();
        if before > INCOMING_LIMIT {
            return Poll::Ready(Err(TlsError::Protocol.into()));
        }
        let result = self.socket.poll_read_into(cx, &mut self.incoming, READ_BYTES);
        if self.incoming.is_empty() {
            self.incoming.release();
        }
        result
    }

    /// Sends what is queued.
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.outgoing.is_empty() {
            let sent = ready!(Pin::new(&mut self.socket).poll_write(cx, self.outgoing.expose()))?;
            if sent == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.outgoing.consume(sent);
        }
        self.outgoing.release();
        Poll::Ready(Ok(()))
    }

    /// Makes `plain` non-empty; false is a clean end (close_notify).
    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        loop {
            if !self.plain.is_empty() {
                return Poll::Ready(Ok(true));
            }
            if self.peer_closed {
                return Poll::Ready(Ok(false));
            }
            let step = self.drive(&mut Wish::Nothing)?;
            // Key updates and tickets ride along; the socket's own pace is enough for them.
            if let Poll::Ready(Err(error)) = self.poll_send(cx) {
                return Poll::Ready(Err(error));
            }
            if !self.plain.is_empty() || self.peer_closed {
                continue;
            }
            if step == Step::Closed {
                return Poll::Ready(Ok(false));
            }
            if ready!(self.poll_receive(cx))? == 0 {
                // No close_notify: a truncation (RFC 8446 section 6.1).
                self.failed = Some(TlsError::Io);
                return Poll::Ready(Err(TlsError::Io.into()));
            }
        }
    }
}

impl<S: Readiness> Readiness for TlsStream<S> {
    fn poll_readable(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_fill(cx).map_ok(|_| ())
    }
}

impl<S: Readiness> AsyncRead for TlsStream<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if ready!(self.poll_fill(cx))? {
            let count = self.plain.len().min(buf.remaining());
            buf.put_slice(&self.plain.expose()[..count]);
            self.plain.consume(count);
            if self.plain.is_empty() {
                self.plain.release();
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: Readiness> AsyncWrite for TlsStream<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        if buf.is_empty() {
            return Poll::Ready(Ok(0));
        }
        if self.outgoing.len() >= OUTGOING_LIMIT {
            ready!(self.poll_send(cx))?;
        }
        let take = buf.len().min(WRITE_BYTES);
        match self.drive(&mut Wish::Encrypt(&buf[..take]))? {
            Step::Open => {}
            _ => return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
        }
        if let Poll::Ready(Err(error)) = self.poll_send(cx) {
            return Poll::Ready(Err(error));
        }
        Poll::Ready(Ok(take))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_send(cx))?;
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.failed.is_none() && !self.close_queued {
            self.close_queued = true;
            self.drive(&mut Wish::Close)?;
        }
        ready!(self.poll_send(cx))?;
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}
