//! The signals that a supervisor obeys.

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::Order;

/// The signals that ask for the end (SIGTERM, SIGINT) and those that give an order (SIGHUP: reload, SIGUSR2: upgrade, as nginx
/// has them). From the first of these on, they no longer end this process by themselves.
pub struct Signals {
    hangup: Signal,
    interrupt: Signal,
    terminate: Signal,
    user2: Signal,
}

/// What a signal asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    End,
    Order(Order),
}

impl Signals {
    /// Begins to listen; within a tokio runtime.
    ///
    /// # Errors
    /// The kernel's refusal.
    pub fn new() -> std::io::Result<Self> {
        Ok(Self {
            hangup: signal(SignalKind::hangup())?,
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            user2: signal(SignalKind::user_defined2())?,
        })
    }

    /// Waits for one that asks for the end.
    pub async fn end(&mut self) {
        while self.next().await != Asked::End {}
    }

    pub(crate) async fn next(&mut self) -> Asked {
        tokio::select! {
            _ = self.hangup.recv() => Asked::Order(Order::Reload),
            _ = self.interrupt.recv() => Asked::End,
            _ = self.terminate.recv() => Asked::End,
            _ = self.user2.recv() => Asked::Order(Order::Upgrade),
        }
    }
}
