//! The signals that a supervisor obeys.

use tokio::signal::unix::{Signal, SignalKind, signal};

/// The signals that ask for the end: SIGTERM, SIGINT, SIGHUP. From the first of these on, they no longer end this process by
/// themselves.
pub struct Signals {
    hangup: Signal,
    interrupt: Signal,
    terminate: Signal,
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
        })
    }

    /// Waits for one of them.
    pub async fn any(&mut self) {
        tokio::select! {
            _ = self.hangup.recv() => {},
            _ = self.interrupt.recv() => {},
            _ = self.terminate.recv() => {},
        }
    }
}
