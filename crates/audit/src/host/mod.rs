//! What can be seen of this machine: files that change, memory, descriptors and destinations of processes, system calls, kernel settings.
//!
//! Nothing here looks for canaries: bytes are handed over as they are. Paths, command lines and names of what a target made may hold one, so
//! that the types with them have no `Debug`, and gaps are told without them.

pub mod calls;
pub mod cores;
pub mod digest;
pub mod fanotify;
pub mod files;
pub mod folders;
pub mod gaps;
pub mod inotify;
pub mod journal;
pub mod memory;
pub mod mounts;
pub mod network;
pub mod packets;
pub mod posture;
pub mod process;
pub mod records;
pub mod snapshot;
pub mod sockets;
pub mod swap;
pub mod trace;
pub mod tracee;
mod tracer;

#[cfg(test)]
mod files_tests;
#[cfg(test)]
mod process_tests;
#[cfg(test)]
mod trace_tests;
