//! Whether records can be committed at the moment: one word for all links, whichever of them has found out.

use std::sync::Arc;

use tokio::sync::watch;

/// How many writes have failed and are being tried again.
pub(crate) struct Durable(watch::Sender<usize>);

/// A write that has failed; dropped when it has succeeded, or when nobody tries it any more.
pub(crate) struct Failing(Arc<Durable>);

impl Durable {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self(watch::Sender::new(0)))
    }

    /// Notes a failed write.
    pub(crate) fn fail(self: &Arc<Self>) -> Failing {
        self.0.send_modify(|failing| *failing += 1);
        Failing(Arc::clone(self))
    }

    /// The word now, and every change of it: 0 is good.
    pub(crate) fn watch(&self) -> watch::Receiver<usize> {
        self.0.subscribe()
    }

    /// Whether records can be committed, as far as is known.
    pub(crate) fn is_good(&self) -> bool {
        *self.0.borrow() == 0
    }
}

impl Drop for Failing {
    fn drop(&mut self) {
        self.0.0.send_modify(|failing| *failing -= 1);
    }
}
