//! Starts children: their channel, their boot message, their descriptors.

use std::{
    io,
    os::fd::{BorrowedFd, OwnedFd},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use lethe_confine::channel::{AsyncChannel, Channel, ChannelError};
use lethe_handover::{Posture, Role, ToChild};
use rustix::{
    net::{AddressFamily, SocketFlags, SocketType},
    pipe::PipeFlags,
};
use serde::{Serialize, de::DeserializeOwned};
use tokio::time::timeout;

use crate::{Failure, Part, SlotError, StartError, slots::Slots, start};

/// A step of a start may take this long.
const STEP: Duration = Duration::from_secs(10);
/// The engine reads its model in one step, and control may have a database to bring up to date.
const LONG_STEP: Duration = Duration::from_secs(60);
/// How long a child that failed gets to end by itself before it is killed.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Starts children. Made first thing in `main`, because it reserves descriptors 3 and 4.
pub struct Launcher {
    slots: Mutex<Slots>,
    step: Duration,
    long_step: Duration,
}

/// Control as it was started: the part, and what it answered.
pub struct Control<T> {
    /// The process.
    pub part: Part,
    /// Its answer.
    pub ready: T,
}

impl Launcher {
    /// Reserves what starts need.
    ///
    /// # Errors
    /// Descriptors 3 and 4 are not free.
    pub fn new() -> Result<Self, SlotError> {
        Slots::reserve().map(|slots| Self { slots: Mutex::new(slots), step: STEP, long_step: LONG_STEP })
    }

    /// The same with `limit` for every step of a start.
    #[must_use]
    pub fn with_step_limit(self, limit: Duration) -> Self {
        Self { slots: self.slots, step: limit, long_step: limit }
    }

    /// Starts a confined child and waits until it serves. `executable` is `lethe-dataplane` or `lethe-engine`; `descriptors`
    /// come in the order that `boot` documents.
    ///
    /// # Errors
    /// Which step failed and why; the process is gone then.
    pub async fn confined(
        &self,
        executable: &Path,
        role: Role,
        boot: &ToChild,
        descriptors: &[BorrowedFd<'_>],
    ) -> Result<Part, StartError> {
        let limit = if role == Role::Engine { self.long_step } else { self.step };
        let (child, channel, pipe) = self.exec(executable, role).map_err(|failure| failed(role, failure))?;
        let mut child = Newborn(Some(child));
        let outcome = confined_start(role, boot, descriptors, channel, pipe, limit).await;
        match outcome {
            Ok((channel, posture)) => part(role, child.grown(role)?, channel, Some(posture)),
            Err((failure, panic)) => {
                let status = child.end().await;
                Err(StartError { role, failure, status, panic })
            }
        }
    }

    /// Starts control (`executable` is `lethe` itself): its channel is its standard input, its complaints go to our standard
    /// error. Waits for its one answer: `Ok` when it is about to accept, `Err` with its reason otherwise.
    ///
    /// # Errors
    /// Control's own reason, or why there was no answer; the process is gone then.
    pub async fn control<B, T>(
        &self,
        executable: &Path,
        boot: &B,
        descriptors: &[BorrowedFd<'_>],
    ) -> Result<Control<T>, StartError>
    where
        B: Serialize,
        T: DeserializeOwned,
    {
        let role = Role::Control;
        let channel = |error| failed(role, Failure::Channel(error));
        let (own, other) = Channel::pair().map_err(channel)?;
        let mut command = command(executable, role);
        command.stdin(other).stdout(Stdio::null()).stderr(Stdio::inherit());
        let child = command.spawn().map_err(|error| failed(role, Failure::Spawn(error)))?;
        let mut child = Newborn(Some(child));
        drop(command);
        match control_start(boot, descriptors, own, self.long_step).await {
            Ok((channel, ready)) => part(role, child.grown(role)?, channel, None).map(|part| Control { part, ready }),
            Err(failure) => {
                let status = child.end().await;
                Err(StartError { role, failure, status, panic: None })
            }
        }
    }

    fn exec(&self, executable: &Path, role: Role) -> Result<(Child, Channel, OwnedFd), Failure> {
        let (own, other) = Channel::pair().map_err(Failure::Channel)?;
        let (read, write) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC).map_err(|errno| Failure::Spawn(errno.into()))?;
        let mut command = command(executable, role);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        let child = slots.spawn(&mut command, &other, &write).map_err(Failure::Spawn)?;
        Ok((child, own, read))
    }
}

/// An empty environment, the role as the only argument, and a process group of its own: an interrupt from the terminal is for
/// the supervisor, which then drains in order.
fn command(executable: &Path, role: Role) -> Command {
    let mut command = Command::new(executable);
    command.arg(role.name()).env_clear().current_dir("/").process_group(0);
    command
}

fn failed(role: Role, failure: Failure) -> StartError {
    StartError { role, failure, status: None, panic: None }
}

fn part(role: Role, child: Child, channel: AsyncChannel, posture: Option<Posture>) -> Result<Part, StartError> {
    Part::run(role, child, channel, posture).map_err(|error| failed(role, Failure::Spawn(error)))
}

async fn confined_start(
    role: Role,
    boot: &ToChild,
    descriptors: &[BorrowedFd<'_>],
    channel: Channel,
    pipe: OwnedFd,
    limit: Duration,
) -> Result<(AsyncChannel, Posture), (Failure, Option<lethe_handover::PanicReport>)> {
    let channel = channel.into_async().map_err(|error| (Failure::Channel(error), None))?;
    match channel.send(boot, descriptors).await {
        // A child that is gone already has told why on the boot pipe.
        Ok(()) | Err(ChannelError::Closed) => {}
        Err(error) => return Err((Failure::Channel(error), None)),
    }
    let posture = start::follow(role, pipe, &channel, limit).await?;
    Ok((channel, posture))
}

async fn control_start<B: Serialize, T: DeserializeOwned>(
    boot: &B,
    descriptors: &[BorrowedFd<'_>],
    channel: Channel,
    limit: Duration,
) -> Result<(AsyncChannel, T), Failure> {
    let channel = channel.into_async().map_err(Failure::Channel)?;
    channel.send(boot, descriptors).await.map_err(Failure::Channel)?;
    let seconds = limit.as_secs();
    match timeout(limit, channel.recv::<Result<T, String>>()).await {
        Err(_) => Err(Failure::TimedOut { stage: None, seconds }),
        Ok(Ok((Ok(ready), _))) => Ok((channel, ready)),
        Ok(Ok((Err(message), _))) => Err(Failure::Message(message)),
        Ok(Err(ChannelError::Malformed)) => Err(Failure::Protocol),
        Ok(Err(error)) => Err(Failure::Channel(error)),
    }
}

/// A child that does not serve yet. Dropped, it is killed: a start that is given up leaves no process behind.
struct Newborn(Option<Child>);

impl Newborn {
    fn grown(&mut self, role: Role) -> Result<Child, StartError> {
        self.0.take().ok_or_else(|| failed(role, Failure::Protocol))
    }

    /// How the process ended, after a moment to do so by itself.
    async fn end(&mut self) -> Option<std::process::ExitStatus> {
        let child = self.0.as_mut()?;
        if let Ok(mut deaths) = crate::part::deaths()
            && let Ok(status) = timeout(LAST_WORDS, crate::part::death(child, &mut deaths)).await
        {
            return status.ok();
        }
        // It is gone either way.
        let _ = child.kill();
        child.wait().ok()
    }
}

impl Drop for Newborn {
    fn drop(&mut self) {
        if let Some(child) = &mut self.0 {
            // It is gone either way.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Two ends of a `SOCK_SEQPACKET` pair for two children to speak over (gateway and dialer, node and engine).
///
/// # Errors
/// No descriptor or memory left.
pub fn packet_pair() -> io::Result<(OwnedFd, OwnedFd)> {
    Ok(rustix::net::socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?)
}

/// The executable called `name` beside the running one.
///
/// # Errors
/// Where it was looked for.
pub fn beside(name: &str) -> Result<PathBuf, String> {
    let own = std::env::current_exe().map_err(|error| format!("the path of this executable is unknown: {error}"))?;
    let path = own.with_file_name(name);
    if path.is_file() {
        Ok(path)
    } else {
        Err(format!("{} is missing: install lethe, lethe-dataplane and lethe-engine in one folder", path.display()))
    }
}
