//! What a confined process reports of itself: which walls stand, what it holds open, which ways out it tried.

use serde::{Deserialize, Serialize};

use crate::Role;

/// A wall that stands around a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Wall {
    /// An empty read-only root in a user and mount namespace.
    EmptyRoot,
    /// Landlock at the kernel's newest ABI, fully enforced.
    Landlock,
    /// The seccomp allow-list.
    Seccomp,
}

/// One open descriptor: number and kind, never a path.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Descriptor {
    /// Descriptor number.
    pub fd: i32,
    /// Kind as `fstat` and `getsockname` tell it: `socket:inet:stream`, `pipe`, `epoll`, `null`, …
    pub kind: String,
}

/// What became of one attempted way out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The kernel refused, with this errno.
    Refused(i32),
    /// It worked: the process may not serve.
    Succeeded,
}

/// One attempted way out of a confined process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// Stable name of the attempt, such as `create_file`.
    pub name: String,
    /// What became of it.
    pub outcome: Outcome,
}

/// What a confined process reports of itself when it starts, and again on [`crate::ToChild::SelfTest`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Posture {
    /// Which process this is.
    pub role: Role,
    /// Started with `--unconfined`: stamped on everything.
    pub unconfined: bool,
    /// Walls that stand; fewer than two is amber.
    pub walls: Vec<Wall>,
    /// Landlock ABI that is in force, if any.
    pub landlock_abi: Option<u32>,
    /// Own user and group were given to this role (started as root).
    pub own_user: bool,
    /// Private keys are in `memfd_secret` memory (else locked pages).
    pub secret_memory: bool,
    /// Pages are locked (`mlockall`); else swap was proved absent.
    pub memory_locked: bool,
    /// The descriptor table at the end of the start.
    pub descriptors: Vec<Descriptor>,
    /// Every way out that was tried.
    pub attempts: Vec<Attempt>,
}
