//! The steps of a confined start, in order, as one-byte codes.

use serde::{Deserialize, Serialize};

/// A step of the start (DESIGN section 2, "The confinement"). The child writes a step's code to the boot pipe when it *begins*
/// the step, so that the last code read is the step that failed; [`Stage::Serving`] is last, then the pipe closes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum Stage {
    /// Reading the boot message from the channel.
    Boot = 1,
    /// Exactly one thread, and the environment is empty.
    SingleThread = 2,
    /// Keys into `memfd_secret` or locked pages; all that is ever needed opened.
    Secrets = 3,
    /// Supplementary groups, group, user, capabilities dropped.
    Identity = 4,
    /// `RLIMIT_CORE` 0.
    CoreLimit = 5,
    /// `PR_SET_DUMPABLE` 0.
    Dumpable = 6,
    /// `RLIMIT_FSIZE` 0 and SIGXFSZ ignored.
    FileSizeLimit = 7,
    /// `PR_SET_NO_NEW_PRIVS`.
    NoNewPrivileges = 8,
    /// `mlockall`, or the proof that there is no swap.
    Swap = 9,
    /// stdin, stdout, stderr to /dev/null.
    StandardStreams = 10,
    /// No unexpected descriptor, no regular file.
    Descriptors = 11,
    /// Wall 2: Landlock, or an empty root in a user and mount namespace.
    Filesystem = 12,
    /// Wall 1: the seccomp filter.
    SystemCalls = 13,
    /// Every way out tried.
    SelfTest = 14,
    /// Configuration of the role (certificates, listeners) taken in.
    Role = 15,
    /// About to accept.
    Serving = 16,
}

impl Stage {
    /// Every stage in order.
    pub const ALL: [Self; 16] = [
        Self::Boot,
        Self::SingleThread,
        Self::Secrets,
        Self::Identity,
        Self::CoreLimit,
        Self::Dumpable,
        Self::FileSizeLimit,
        Self::NoNewPrivileges,
        Self::Swap,
        Self::StandardStreams,
        Self::Descriptors,
        Self::Filesystem,
        Self::SystemCalls,
        Self::SelfTest,
        Self::Role,
        Self::Serving,
    ];

    /// The code on the boot pipe.
    #[must_use]
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// The stage with this code.
    #[must_use]
    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|stage| stage.code() == code)
    }
}
