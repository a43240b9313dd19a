//! One running child.

use std::{
    collections::VecDeque,
    io,
    os::fd::{AsFd, OwnedFd},
    process::{Child, ExitStatus},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use lethe_confine::channel::AsyncChannel;
use lethe_handover::{FromChild, PanicReport, Posture, Role, SecretBytes, ToChild};
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::{mpsc, oneshot, watch},
    task::JoinHandle,
    time::timeout,
};

/// What a child did.
pub enum PartEvent {
    /// It ended.
    Exited(Role, ExitStatus),
    /// A panic was caught in it, or is about to end it.
    Panicked(Role, PanicReport),
    /// It took a new certificate and key, or did not.
    Rotated(Role, bool),
    /// Control said something in its own encoding.
    Said(SecretBytes),
}

enum Command {
    Kill,
    SelfTest(oneshot::Sender<Posture>),
    Send(Box<ToChild>, Vec<OwnedFd>),
}

/// For a child to take a message: one that takes none for so long is stopped or stuck, and must not keep its other commands waiting.
const SEND_LIMIT: Duration = Duration::from_secs(5);

/// A running child: commands go in, events come out at [`Part::events`].
pub struct Part {
    handle: Handle,
    events: mpsc::UnboundedReceiver<PartEvent>,
    task: JoinHandle<()>,
}

/// What others may do with a child.
#[derive(Clone)]
pub(crate) struct Handle {
    pub(crate) role: Role,
    pub(crate) pid: u32,
    posture: Arc<Mutex<Option<Posture>>>,
    commands: mpsc::UnboundedSender<Command>,
    linked: watch::Receiver<bool>,
    exit: watch::Receiver<Option<ExitStatus>>,
}

impl Handle {
    /// The last posture that the child reported; control reports none.
    pub(crate) fn posture(&self) -> Option<Posture> {
        self.posture.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Has the child try every way out again. `None` when it is gone, or has none to report.
    pub(crate) async fn self_test(&self) -> Option<Posture> {
        self.posture()?;
        let (answer, posture) = oneshot::channel();
        self.commands.send(Command::SelfTest(answer)).ok()?;
        posture.await.ok()
    }

    /// Asks the child to finish what is open and end.
    pub(crate) fn drain(&self) {
        self.send(ToChild::Drain, Vec::new());
    }

    /// Sends the child a message.
    pub(crate) fn send(&self, message: ToChild, descriptors: Vec<OwnedFd>) {
        // A child that is gone needs no command.
        let _ = self.commands.send(Command::Send(Box::new(message), descriptors));
    }

    /// Ends the child at once.
    pub(crate) fn kill(&self) {
        let _ = self.commands.send(Command::Kill);
    }

    /// Waits for the child's end.
    pub(crate) async fn ended(&mut self) {
        // An error means that the task is gone, and the child with it.
        let _ = self.exit.wait_for(Option::is_some).await;
    }

    /// How the child ended, if it has.
    pub(crate) fn status(&self) -> Option<ExitStatus> {
        *self.exit.borrow()
    }
}

impl Part {
    pub(crate) fn run(role: Role, child: Child, channel: AsyncChannel, posture: Option<Posture>) -> io::Result<Self> {
        let deaths = deaths()?;
        let (commands, inbox) = mpsc::unbounded_channel();
        let (outbox, events) = mpsc::unbounded_channel();
        let (exited, exit) = watch::channel(None);
        let (links, linked) = watch::channel(false);
        let posture = Arc::new(Mutex::new(posture));
        let handle = Handle { role, pid: child.id(), posture: Arc::clone(&posture), commands, linked, exit };
        let runner = Runner { role, child, channel, deaths, posture, waiting: VecDeque::new(), outbox, links, exited };
        Ok(Self { handle, events, task: tokio::spawn(runner.run(inbox)) })
    }

    /// Which part this is.
    #[must_use]
    pub const fn role(&self) -> Role {
        self.handle.role
    }

    /// Process id.
    #[must_use]
    pub const fn pid(&self) -> u32 {
        self.handle.pid
    }

    /// The last posture that the child reported; control reports none.
    #[must_use]
    pub fn posture(&self) -> Option<Posture> {
        self.handle.posture()
    }

    /// Waits until a gateway has its first snapshot from control; false if it ends first, or has none within `limit`.
    pub async fn linked(&self, limit: Duration) -> bool {
        let (mut linked, mut end) = (self.handle.linked.clone(), self.handle.clone());
        tokio::select! {
            linked = timeout(limit, linked.wait_for(|linked| *linked)) => matches!(linked, Ok(Ok(_))),
            () = end.ended() => false,
        }
    }

    /// Ends the child: asks, waits, and kills it after `limit`. For a start that failed half-way.
    pub async fn stop(mut self, limit: Duration) {
        self.handle.drain();
        if timeout(limit, self.handle.ended()).await.is_err() {
            self.handle.kill();
            self.handle.ended().await;
        }
        // The task has told the end and has nothing left to do.
        let _ = self.task.await;
    }

    pub(crate) fn into_parts(self) -> (Handle, mpsc::UnboundedReceiver<PartEvent>) {
        (self.handle, self.events)
    }
}

/// Waits until `child` has ended. `deaths` must have been made before this is called for the first time, because SIGCHLD is told
/// once and not again.
pub(crate) async fn death(child: &mut Child, deaths: &mut Signal) -> io::Result<ExitStatus> {
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        // SIGCHLD of any child wakes everybody who waits; who is not meant looks and waits on.
        if deaths.recv().await.is_none() {
            return child.wait();
        }
    }
}

/// SIGCHLD, told to everybody who has one of these.
pub(crate) fn deaths() -> io::Result<Signal> {
    signal(SignalKind::child())
}

/// The task behind a part.
struct Runner {
    role: Role,
    child: Child,
    channel: AsyncChannel,
    deaths: Signal,
    posture: Arc<Mutex<Option<Posture>>>,
    waiting: VecDeque<oneshot::Sender<Posture>>,
    outbox: mpsc::UnboundedSender<PartEvent>,
    links: watch::Sender<bool>,
    exited: watch::Sender<Option<ExitStatus>>,
}

impl Runner {
    async fn run(mut self, mut inbox: mpsc::UnboundedReceiver<Command>) {
        let (mut open, mut watched) = (true, true);
        let status = loop {
            tokio::select! {
                status = death(&mut self.child, &mut self.deaths) => break status,
                message = self.channel.recv::<FromChild>(), if open => match message {
                    Ok((message, _descriptors)) => self.hear(message),
                    // The child is ending, or no longer makes sense: its exit is what counts, and it must come.
                    Err(_) => {
                        open = false;
                        self.waiting.clear();
                    }
                },
                command = inbox.recv(), if watched => match command {
                    Some(command) => self.obey(command).await,
                    // Nobody is left who would wait for it.
                    None => {
                        watched = false;
                        self.kill();
                    }
                },
            }
        };
        // What it said last is still in the socket.
        while open {
            match timeout(Duration::ZERO, self.channel.recv::<FromChild>()).await {
                Ok(Ok((message, _descriptors))) => self.hear(message),
                _ => open = false,
            }
        }
        if let Ok(status) = status {
            let _ = self.outbox.send(PartEvent::Exited(self.role, status));
            let _ = self.exited.send(Some(status));
        }
    }

    fn hear(&mut self, message: FromChild) {
        match message {
            FromChild::Posture(posture) => {
                *self.posture.lock().unwrap_or_else(PoisonError::into_inner) = Some((*posture).clone());
                if let Some(asker) = self.waiting.pop_front() {
                    let _ = asker.send(*posture);
                }
            }
            FromChild::Panicked(report) => {
                let _ = self.outbox.send(PartEvent::Panicked(self.role, report));
            }
            FromChild::Rotated(taken) => {
                let _ = self.outbox.send(PartEvent::Rotated(self.role, taken));
            }
            FromChild::FromControl(said) if self.role == Role::Control => {
                let _ = self.outbox.send(PartEvent::Said(said));
            }
            FromChild::Linked => drop(self.links.send_replace(true)),
            FromChild::FromControl(_) | FromChild::Ready(_) | FromChild::Drained => {}
        }
    }

    async fn obey(&mut self, command: Command) {
        let sent = match command {
            Command::Kill => {
                self.kill();
                true
            }
            Command::SelfTest(answer) => {
                self.waiting.push_back(answer);
                self.send(&ToChild::SelfTest, &[]).await
            }
            Command::Send(message, descriptors) => self.send(&message, &descriptors).await,
        };
        if !sent {
            self.waiting.clear();
        }
    }

    async fn send(&self, message: &ToChild, descriptors: &[OwnedFd]) -> bool {
        let descriptors: Vec<_> = descriptors.iter().map(AsFd::as_fd).collect();
        matches!(timeout(SEND_LIMIT, self.channel.send(message, &descriptors)).await, Ok(Ok(())))
    }

    fn kill(&mut self) {
        // An error means that it is gone.
        let _ = self.child.kill();
    }
}
