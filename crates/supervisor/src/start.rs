//! Follows the start of one child, and says why it failed.

use std::{fmt, os::fd::OwnedFd, process::ExitStatus, time::Duration};

use lethe_confine::channel::{AsyncChannel, ChannelError};
use lethe_handover::{FromChild, Outcome, PanicReport, Posture, Role, Stage};
use tokio::{io::AsyncReadExt, net::unix::pipe::Receiver, time::timeout};

use crate::explain;

/// A start that failed. `Display` says which step, what that means and how to fix it.
#[derive(Debug)]
pub struct StartError {
    /// Who did not start.
    pub role: Role,
    /// What happened.
    pub failure: Failure,
    /// How the process ended, if it had begun.
    pub status: Option<ExitStatus>,
    /// Where it panicked, if it did.
    pub panic: Option<PanicReport>,
}

/// What happened to a start.
#[derive(Debug)]
pub enum Failure {
    /// The channel failed before the child could say anything.
    Channel(ChannelError),
    /// The child said why in words of its own (control, which holds no content).
    Message(String),
    /// The child answered something else than it should.
    Protocol,
    /// The executable could not be started.
    Spawn(std::io::Error),
    /// A step failed.
    Stage {
        /// The last step that began; `None` if not even the first did.
        stage: Option<Stage>,
        /// Ways out that were still open.
        open_ways: Vec<String>,
    },
    /// A step took longer than this many seconds.
    TimedOut {
        /// The step; `None` before the first.
        stage: Option<Stage>,
        /// The limit.
        seconds: u64,
    },
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the {} did not start: ", self.role.name())?;
        match &self.failure {
            Failure::Channel(error) => write!(f, "{error} while it was handed what it needs")?,
            Failure::Message(message) => f.write_str(message)?,
            Failure::Protocol => {
                f.write_str("it does not speak this version's language: install all executables of Lethe together")?
            }
            Failure::Spawn(error) => write!(f, "its executable cannot be started: {error}")?,
            Failure::Stage { stage: None, .. } => {
                f.write_str("it ended before its first step: is the executable of this version and machine?")?
            }
            Failure::Stage { stage: Some(stage), open_ways } => {
                let (meaning, fix) = explain::stage(*stage);
                write!(f, "step {} ({} of {}) failed: {meaning}", explain::name(*stage), stage.code(), Stage::ALL.len())?;
                if !open_ways.is_empty() {
                    write!(f, " ({})", open_ways.join(", "))?;
                }
                write!(f, "; {fix}")?;
            }
            Failure::TimedOut { stage, seconds } => {
                let step = stage.map_or("the first step", explain::name);
                write!(f, "step {step} took longer than {seconds} s: the machine may be overloaded")?;
            }
        }
        if let Some(panic) = self.panic {
            write!(f, " [panic at {:016x}:{}, build {:016x}]", panic.location, panic.line, panic.build)?;
        }
        self.status.map_or(Ok(()), |status| write!(f, " [{status}]"))
    }
}

impl std::error::Error for StartError {}

/// Reads stage codes until the boot pipe closes, then the child's own word that it is ready. `limit` is for each step.
pub(crate) async fn follow(
    role: Role,
    pipe: OwnedFd,
    channel: &AsyncChannel,
    limit: Duration,
) -> Result<Posture, (Failure, Option<PanicReport>)> {
    let plain = |failure| (failure, None);
    let mut pipe = Receiver::from_owned_fd(pipe).map_err(|error| plain(Failure::Spawn(error)))?;
    let mut stage = None;
    loop {
        let mut code = [0];
        match timeout(limit, pipe.read(&mut code)).await {
            Err(_) => return Err(plain(Failure::TimedOut { stage, seconds: limit.as_secs() })),
            Ok(Ok(1)) => stage = Some(Stage::from_code(code[0]).ok_or_else(|| plain(Failure::Protocol))?),
            Ok(_) => break,
        }
    }
    let (mut open_ways, mut panic) = (Vec::new(), None);
    loop {
        let failed = |open_ways| Failure::Stage { stage, open_ways };
        match timeout(limit, channel.recv::<FromChild>()).await {
            Err(_) if stage == Some(Stage::Serving) => {
                return Err((Failure::TimedOut { stage, seconds: limit.as_secs() }, panic));
            }
            Ok(Ok((FromChild::Ready(posture), _))) if stage == Some(Stage::Serving) && posture.role == role => {
                return Ok(*posture);
            }
            Ok(Ok((FromChild::Posture(posture), _))) => open_ways = open(&posture),
            Ok(Ok((FromChild::Panicked(report), _))) => panic = Some(report),
            Err(_) | Ok(Err(_)) => return Err((failed(open_ways), panic)),
            Ok(Ok(_)) => return Err((Failure::Protocol, panic)),
        }
    }
}

/// Ways out that the self-test found open.
fn open(posture: &Posture) -> Vec<String> {
    let succeeded = posture.attempts.iter().filter(|attempt| attempt.outcome == Outcome::Succeeded);
    succeeded.map(|attempt| attempt.name.clone()).collect()
}
