//! What a gateway says on one connection, in order and without waiting: the hello, then records with the counters behind them.
//!
//! Apart from the connection, so that the same code runs over a simulated one.

use crate::PROTOCOL;
use crate::frame::{Frame, FrameError, Hello, Up};
use crate::outbox::Outbox;

/// Records in one write.
const BATCH: usize = 1024;

/// One connection's place in the outbox.
pub struct Courier {
    /// Until it has been said.
    hello: Option<Hello>,
    /// Sequence number of the last record that was loaded.
    sent: u64,
}

/// What was loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Load {
    /// As much as one write takes: there may be more.
    Full,
    /// All there is.
    Last,
}

impl Courier {
    /// A new connection of this outbox: sending begins after what control has acknowledged. `build` is the hash of the gateway's build.
    #[must_use]
    pub fn new(outbox: &Outbox, build: u64) -> Self {
        let hello = Hello { protocol: PROTOCOL, build, instance: outbox.instance() };
        Self { hello: Some(hello), sent: outbox.acknowledged() }
    }

    /// Appends the next records of the same outbox to `bytes`, and the counters: behind records always, so that control knows of every request that
    /// had begun when they left, else if `beat`.
    ///
    /// # Errors
    /// [`FrameError`], as [`Frame::encode`] says.
    pub fn load(&mut self, outbox: &Outbox, beat: bool, bytes: &mut Vec<u8>) -> Result<Load, FrameError> {
        if let Some(hello) = self.hello.take() {
            Up::Hello(hello).encode(bytes)?;
        }
        let batch = outbox.unsent(self.sent, BATCH);
        for record in &batch {
            Up::Record(*record).encode(bytes)?;
            self.sent = record.sequence();
        }
        if beat || !batch.is_empty() {
            // Taken after the records: it counts at least them.
            Up::Heartbeat(outbox.beat()).encode(bytes)?;
        }
        Ok(if batch.len() == BATCH { Load::Full } else { Load::Last })
    }
}
