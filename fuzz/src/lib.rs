//! One property a module, each for any bytes: `fuzz_targets/` gives it to the fuzzer, `tests/fuzz_corpus` replays the corpora. Here is what
//! they share: bytes cut into pieces, and a connection that delivers them so.

pub mod chunked;
pub mod eventstream;
pub mod http1_request;
pub mod http1_response;
pub mod json_cursor;
pub mod link_decoder;
pub mod ndjson_lines;
pub mod reply_translation;
pub mod request_edits;
pub mod request_translation;
pub mod sse_stream;
pub mod stream_translation;
pub mod usage_record;
pub mod websocket_events;
pub mod websocket_frames;

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use lethe_tls::Readiness;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::runtime::{Builder, Runtime};

/// Two sizes in turn, 1 to 256 each: enough to cut any token at any place.
#[derive(Clone, Copy)]
pub struct Cuts([u8; 2]);

impl Cuts {
    /// Takes the cuts off the front of a fuzzer's input; the rest is the text.
    #[must_use]
    pub fn split_off(input: &[u8]) -> Option<(Self, &[u8])> {
        let (cuts, text) = input.split_first_chunk()?;
        Some((Self(*cuts), text))
    }

    /// The pieces of `text`.
    pub fn pieces(self, text: &[u8]) -> impl Iterator<Item = &[u8]> {
        let mut rest = text;
        let mut turn = 0;
        std::iter::from_fn(move || {
            let size = (usize::from(self.0[turn]) + 1).min(rest.len());
            turn = 1 - turn;
            let (piece, left) = rest.split_at(size);
            rest = left;
            (!piece.is_empty()).then_some(piece)
        })
    }
}

/// A peer that says its text in pieces, takes everything and then closes. Never waits.
pub struct Peer<'a> {
    rest: &'a [u8],
    cuts: Option<Cuts>,
    turn: usize,
}

impl<'a> Peer<'a> {
    /// Says `text` in these pieces, or as fast as it is read.
    #[must_use]
    pub const fn new(text: &'a [u8], cuts: Option<Cuts>) -> Self {
        Self { rest: text, cuts, turn: 0 }
    }
}

impl Readiness for Peer<'_> {
    fn poll_readable(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

impl AsyncRead for Peer<'_> {
    fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let peer = self.get_mut();
        let most = peer.cuts.map_or(usize::MAX, |cuts| usize::from(cuts.0[peer.turn]) + 1);
        peer.turn = 1 - peer.turn;
        let (piece, left) = peer.rest.split_at(most.min(buf.remaining()).min(peer.rest.len()));
        buf.put_slice(piece);
        peer.rest = left;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Peer<'_> {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(buf.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

thread_local! {
    static RUNTIME: RefCell<Runtime> =
        RefCell::new(Builder::new_current_thread().enable_time().build().expect("a runtime"));
}

/// Runs `future` on this thread.
pub fn block_on<F: Future>(future: F) -> F::Output {
    RUNTIME.with_borrow(|runtime| runtime.block_on(future))
}
