//! Descriptors 3 and 4, kept free so that a child can be given its channel and its boot pipe under these numbers.
//!
//! posix_spawn(3) and execve(2) hand down every descriptor that is not close-on-exec, under its own number. So both numbers are
//! held by `/dev/null`, close-on-exec; for the moment of a start they stand for the child's ends instead (dup2(2)), without
//! that mark. Everything else that this process opens is close-on-exec.

use std::{
    io,
    os::fd::{AsFd, AsRawFd, OwnedFd},
    process::{Child, Command},
};

use lethe_handover::{BOOT_FD, CHANNEL_FD};
use rustix::{
    fs::{Mode, OFlags},
    io::DupFlags,
};

/// Why the numbers could not be reserved.
#[derive(Debug)]
pub enum SlotError {
    /// `/dev/null` cannot be opened.
    Null(io::Error),
    /// Something else has descriptor 3 or 4: [`crate::shed_inherited_descriptors`] comes first.
    Taken,
}

impl std::fmt::Display for SlotError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Null(error) => write!(f, "/dev/null cannot be opened: {error}"),
            Self::Taken => f.write_str("descriptors 3 and 4 are in use"),
        }
    }
}

impl std::error::Error for SlotError {}

/// Both numbers.
pub(crate) struct Slots {
    channel: OwnedFd,
    boot: OwnedFd,
    null: OwnedFd,
}

impl Slots {
    /// Reserves them. Nothing may have been opened before.
    pub(crate) fn reserve() -> Result<Self, SlotError> {
        let open = || {
            rustix::fs::open(c"/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())
                .map_err(|errno| SlotError::Null(errno.into()))
        };
        // Each gets the lowest number that is free (open(2)).
        let (channel, boot, null) = (open()?, open()?, open()?);
        if channel.as_raw_fd() == CHANNEL_FD && boot.as_raw_fd() == BOOT_FD {
            Ok(Self { channel, boot, null })
        } else {
            Err(SlotError::Taken)
        }
    }

    /// Starts `command` with `channel` and `boot` under their numbers.
    pub(crate) fn spawn(&mut self, command: &mut Command, channel: &OwnedFd, boot: &OwnedFd) -> io::Result<Child> {
        let child = rustix::io::dup2(channel, &mut self.channel)
            .and_then(|()| rustix::io::dup2(boot, &mut self.boot))
            .map_err(io::Error::from)
            .and_then(|()| command.spawn());
        for slot in [&mut self.channel, &mut self.boot] {
            rustix::io::dup3(self.null.as_fd(), slot, DupFlags::CLOEXEC)?;
        }
        child
    }
}
