//! Who starts the parts: what the watch over them needs to know of the rest of the program.

use std::{os::fd::OwnedFd, sync::Arc, time::Duration};

use lethe_handover::{PanicReport, Role, SecretBytes, ToChild};

use tokio::time::timeout;

use crate::{Answer, Exit, Order, Part, roster::Roster};

/// Starts parts again, and is told what happens.
pub trait Crew: Send + Sync + 'static {
    /// Starts the part with this role, and what can only be started with it. Dropping the future leaves no process behind.
    ///
    /// The error says why it did not start; it is told as it is, so it must be free of content.
    fn start(self: Arc<Self>, role: Role) -> impl Future<Output = Result<Started, String>> + Send;

    /// Carries an order out. `mates` are the parts that run.
    fn obey(self: Arc<Self>, order: Order, mates: Crewmates) -> impl Future<Output = Obeyed> + Send;

    /// Control said this, in its own encoding.
    fn heard(&self, said: &SecretBytes, mates: &Crewmates);

    /// Whether a file that a secret was read from has been replaced. Asked every two seconds; [`Order::Refresh`] follows.
    fn has_new_secrets(&self) -> bool;

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

/// What came of an order.
pub struct Obeyed {
    /// What was started; those that had its places before retire and finish what is open, however long it takes.
    pub started: Vec<Part>,
    /// What the one who gave the order is told.
    pub answer: Answer,
}

/// The parts that run, for those who have to tell them something.
#[derive(Clone)]
pub struct Crewmates(pub(crate) Arc<Roster>);

impl Crewmates {
    /// Sends a message to the part with this role; false if there is none now.
    pub fn send(&self, to: Role, message: ToChild) -> bool {
        self.0.current(to).map(|(_, part)| part.send(message, Vec::new())).is_some()
    }
}

impl Crewmates {
    /// Has the part with this role end, and waits until another has its place: started as after any end. False if none has within
    /// `limit`.
    pub async fn replace(&self, role: Role, limit: Duration) -> bool {
        let Some((old, mut part)) = self.0.current(role) else { return false };
        self.0.expect_end(old);
        part.drain();
        let replaced = async {
            part.ended().await;
            self.0.successor(role, old).await;
        };
        timeout(limit, replaced).await.is_ok()
    }
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
    /// An order that nobody waits for was carried out, or not.
    Answered(Order, Answer),
    /// A part did not finish in time and was killed.
    Late(Role),
    /// A part did not take a new certificate: the old one stays.
    NotRotated(Role),
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
