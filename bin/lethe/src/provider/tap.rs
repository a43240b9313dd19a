//! A connection that remembers the first bytes that came in, so that they can be shown.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use lethe_tls::Readiness;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

/// Bytes that are remembered.
const KEPT: usize = 64 * 1024;

pub(crate) enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

pub(crate) struct Tap<'a> {
    stream: Stream,
    seen: &'a mut Vec<u8>,
}

impl<'a> Tap<'a> {
    pub(crate) const fn new(stream: Stream, seen: &'a mut Vec<u8>) -> Self {
        Self { stream, seen }
    }
}

impl Readiness for Tap<'_> {
    fn poll_readable(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &self.stream {
            Stream::Plain(stream) => stream.poll_read_ready(cx),
            Stream::Tls(stream) => stream.get_ref().0.poll_read_ready(cx),
        }
    }
}

impl AsyncRead for Tap<'_> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let tap = self.get_mut();
        let before = buf.filled().len();
        let polled = match &mut tap.stream {
            Stream::Plain(stream) => Pin::new(stream).poll_read(cx, buf),
            Stream::Tls(stream) => Pin::new(stream.as_mut()).poll_read(cx, buf),
        };
        let new = &buf.filled()[before..];
        let room = KEPT.saturating_sub(tap.seen.len()).min(new.len());
        tap.seen.extend_from_slice(&new[..room]);
        polled
    }
}

impl AsyncWrite for Tap<'_> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match &mut self.get_mut().stream {
            Stream::Plain(stream) => Pin::new(stream).poll_write(cx, buf),
            Stream::Tls(stream) => Pin::new(stream.as_mut()).poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().stream {
            Stream::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Stream::Tls(stream) => Pin::new(stream.as_mut()).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().stream {
            Stream::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Stream::Tls(stream) => Pin::new(stream.as_mut()).poll_shutdown(cx),
        }
    }
}
