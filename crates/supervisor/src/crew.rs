//! Who starts the parts: what the watch over them needs to know of the rest of the program.

use std::{os::fd::OwnedFd, sync::Arc, time::Duration};

use lethe_handover::{PanicReport, Role, ToChild};

use crate::{Exit, Part};

/// Starts parts again, and is told what happens.
pub trait Crew: Send + Sync + 'static {
    /// Starts the part with this role, and what can only be started with it. Dropping the future leaves no process behind.
    ///
    /// The error says why it did not start; it is told as it is, so it must be free of content.
    fn start(self: Arc<Self>, role: Role) -> impl Future<Output = Result<Started, String>> + Send;

    /// These run now.
    fn running(&self, parts: &[(Role, u32)]);

    /// Something happened.
    fn tell(&self, notice: Notice);
}

/// What was started.
#[derive(Default)]
pub struct Started {
    /// The parts; each takes the place of the one before it in its role.
    pub parts: Vec<Part>,
    /// What other parts have to be told of it.
    pub errands: Vec<Errand>,
}

/// A message for a part that runs already.
pub struct Errand {
    /// Who gets it. When nobody has this role, the parts that were started are of no use and are stopped.
    pub to: Role,
    /// The message.
    pub message: ToChild,
    /// What goes with it.
    pub descriptors: Vec<OwnedFd>,
}

/// What a person at the terminal may want to know meanwhile.
#[derive(Debug)]
pub enum Notice {
    /// Draining began.
    Draining,
    /// A part ended by itself.
    Ended {
        /// Who.
        role: Role,
        /// How.
        exit: Exit,
        /// How often this role has ended since the supervisor's start.
        times: u64,
        /// When it is started again.
        pause: Duration,
    },
    /// A part did not finish in time and was killed.
    Late(Role),
    /// A part could not be started again.
    NotStarted {
        /// Who.
        role: Role,
        /// Why.
        reason: String,
        /// When it is tried again.
        pause: Duration,
    },
    /// A panic was caught in a part.
    Panicked(Role, PanicReport),
    /// A part serves again.
    Replaced(Role),
}
