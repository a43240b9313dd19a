//! Bytes both ways between a gateway and the engine, through buffers that are wiped and given back.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use lethe_content::ContentBuf;
use lethe_tls::Readiness;

const READ_BYTES: usize = 16 * 1024;

/// One direction's bytes on their way.
#[derive(Default)]
struct Flow {
    buffer: ContentBuf,
    flushed: bool,
}

impl Flow {
    /// Passes what can be passed; ready at the end of `from`. Between two reads it waits without a buffer.
    fn poll(&mut self, cx: &mut Context<'_>, from: &mut impl Readiness, to: &mut impl Readiness) -> Poll<io::Result<()>> {
        loop {
            while !self.buffer.is_empty() {
                let sent = ready!(Pin::new(&mut *to).poll_write(cx, self.buffer.expose()))?;
                if sent == 0 {
                    return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
                }
                self.buffer.consume(sent);
                self.flushed = false;
            }
            self.buffer.release();
            if !self.flushed {
                ready!(Pin::new(&mut *to).poll_flush(cx))?;
                self.flushed = true;
            }
            ready!(from.poll_readable(cx))?;
            if ready!(from.poll_read_into(cx, &mut self.buffer, READ_BYTES))? == 0 {
                return Poll::Ready(Ok(()));
            }
        }
    }
}

/// Passes bytes between `gateway` and `engine` until either side ends. Dropping both is left to the caller: an HTTP client that
/// has closed its side wants no answer any more, so the end of one direction is the end of both.
pub(crate) async fn splice(gateway: &mut impl Readiness, engine: &mut impl Readiness) {
    let (mut inward, mut outward) = (Flow::default(), Flow::default());
    poll_fn(|cx| {
        let ended = inward.poll(cx, gateway, engine).is_ready();
        // The engine's last bytes still go out before its end is seen.
        if outward.poll(cx, engine, gateway).is_ready() || ended { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed test")]

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::UnixStream;

    use super::splice;

    #[tokio::test]
    async fn bytes_pass_both_ways_and_one_end_ends_both() {
        let (mut client, mut front_a) = UnixStream::pair().unwrap();
        let (mut front_b, mut engine) = UnixStream::pair().unwrap();
        let spliced = async move {
            splice(&mut front_a, &mut front_b).await;
        };
        let talk = async {
            let large = vec![7; 300_000];
            let (sent, received) = tokio::join!(client.write_all(&large), async {
                let mut received = vec![0; 300_000];
                engine.read_exact(&mut received).await.map(|_| received)
            });
            sent.unwrap();
            assert_eq!(received.unwrap(), large);
            engine.write_all(b"answer").await.unwrap();
            let mut answer = [0; 6];
            client.read_exact(&mut answer).await.unwrap();
            assert_eq!(&answer, b"answer");
            drop(client);
            assert_eq!(engine.read(&mut [0; 8]).await.unwrap(), 0, "the engine sees that its client is gone");
        };
        tokio::join!(spliced, talk);
    }
}
