//! The first thing that a confined process does: take over its two descriptors and read its boot message.

use std::os::fd::{OwnedFd, RawFd};

use lethe_handover::{BOOT_FD, BootOptions, CHANNEL_FD, Role, Stage, ToChild};

use crate::{
    channel::{Channel, ChannelError},
    panic, sys,
};

/// Why there is no boot message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BootError {
    /// The channel failed.
    Channel(ChannelError),
    /// Not started by a supervisor: descriptors 3 and 4 are not what they should be.
    Descriptors,
    /// A message for another role, or no boot message at all.
    Message,
}

impl std::fmt::Display for BootError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Channel(_) => "no boot message",
            Self::Descriptors => "not started by a supervisor",
            Self::Message => "boot message of another role",
        })
    }
}

impl std::error::Error for BootError {}

/// A process that has read its boot message and is not confined yet: the only thing to do with it is
/// [`crate::confine`].
pub struct Booted {
    /// What this process is.
    pub role: Role,
    /// How it is to be confined.
    pub options: BootOptions,
    /// The boot message, private keys included: one of the `…Boot` variants that fits `role`.
    pub message: ToChild,
    /// What came along, in the order that the boot message documents.
    pub descriptors: Vec<OwnedFd>,
    /// The channel to the supervisor.
    pub channel: Channel,
    /// Where the start tells how far it is.
    pub progress: Progress,
    /// The panic hook's own descriptor of the channel.
    pub(crate) panic_fd: RawFd,
}

/// The boot pipe: one byte for each step as it begins. It closes at [`Progress::serving`], or when the start fails.
pub struct Progress {
    pipe: OwnedFd,
}

impl Progress {
    /// Tells that `stage` begins. A supervisor that is gone is noticed on the channel, not here.
    pub fn begin(&mut self, stage: Stage) {
        let _ = rustix::io::retry_on_intr(|| rustix::io::write(&self.pipe, &[stage.code()]));
    }

    /// Tells that the process is about to accept, and closes the pipe.
    pub fn serving(mut self) {
        self.begin(Stage::Serving);
    }

    pub(crate) fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        std::os::fd::AsFd::as_fd(&self.pipe)
    }
}

/// Takes over descriptors [`CHANNEL_FD`] and [`BOOT_FD`] and waits for the boot message of `role`.
///
/// Called once, first thing in `main`, before anything else can own those descriptors.
///
/// # Errors
/// [`BootError`]; the stage code [`Stage::Boot`] is then the last one on the boot pipe.
#[expect(unsafe_code, reason = "descriptors 3 and 4 are taken over by number")]
pub fn start(role: Role) -> Result<Booted, BootError> {
    // SAFETY: this runs first in `main`: no other code has opened or taken over a descriptor yet, and the standard library
    // opens none but 0 to 2.
    let (channel, pipe) = unsafe { (sys::take_descriptor(CHANNEL_FD), sys::take_descriptor(BOOT_FD)) };
    let pipe = pipe.map_err(|_| BootError::Descriptors)?;
    let is_pipe = rustix::fs::fstat(&pipe).is_ok_and(|stat| rustix::fs::FileType::from_raw_mode(stat.st_mode).is_fifo());
    if !is_pipe {
        return Err(BootError::Descriptors);
    }
    let mut progress = Progress { pipe };
    progress.begin(Stage::Boot);
    let channel = Channel::from_fd(channel.map_err(|_| BootError::Descriptors)?).map_err(|_| BootError::Descriptors)?;
    let panic_fd = panic::install(channel.as_fd()).map_err(|_| BootError::Descriptors)?;
    let (message, descriptors) = channel.recv::<ToChild>().map_err(BootError::Channel)?;
    let options = options(&message, role).ok_or(BootError::Message)?;
    Ok(Booted { role, options, message, descriptors, channel, progress, panic_fd })
}

/// The options of a boot message, if it is one for `role`.
fn options(message: &ToChild, role: Role) -> Option<BootOptions> {
    match (message, role) {
        (ToChild::Dialer(_, options), Role::Dialer)
        | (ToChild::Engine(_, options), Role::Engine)
        | (ToChild::Gateway(_, options), Role::Gateway)
        | (ToChild::Node(_, options), Role::Node) => Some(*options),
        _ => None,
    }
}
