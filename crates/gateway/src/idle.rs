//! Idle clients, closed to make room for new ones.
//!
//! At the limit of connections a new client is worth more than one that says nothing, and a client whose idle connection was closed
//! asks again on a new one (RFC 9112 section 9.3.1). nginx does the same with its keep-alive connections when it runs out of them.

use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Notify;

/// The idle connections of one worker.
#[derive(Default)]
pub(crate) struct Idle {
    count: AtomicUsize,
    /// Wakes the one that has waited longest.
    chosen: Notify,
}

/// Counts one connection among the idle ones for as long as it waits.
struct Counted<'a>(&'a Idle);

impl Idle {
    /// For a connection: waits until it is the one to be closed.
    pub(crate) async fn chosen(&self) {
        self.count.fetch_add(1, Ordering::Relaxed);
        let _counted = Counted(self);
        self.chosen.notified().await;
    }

    /// How many wait.
    pub(crate) fn count(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    /// For the listener: has the connection closed that has been idle longest; false if there is none. At worst the choice falls on
    /// one that becomes idle a moment later, which is closed in its place.
    pub(crate) fn close_one(&self) -> bool {
        let any = self.count() > 0;
        if any {
            self.chosen.notify_one();
        }
        any
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.count.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed test")]

    use std::future::poll_fn;
    use std::pin::pin;
    use std::task::Poll;

    use super::Idle;

    #[test]
    fn the_one_that_waited_longest_is_chosen() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let idle = Idle::default();
            assert!(!idle.close_one(), "nobody is idle");
            let (mut first, mut second) = (pin!(idle.chosen()), pin!(idle.chosen()));
            poll_fn(|cx| {
                assert!(first.as_mut().poll(cx).is_pending() && second.as_mut().poll(cx).is_pending());
                assert!(idle.close_one());
                assert!(second.as_mut().poll(cx).is_pending());
                assert!(first.as_mut().poll(cx).is_ready());
                Poll::Ready(())
            })
            .await;
        });
    }
}
