//! Confinement of the processes that hold content.

pub mod boot;
pub mod channel;
mod confinement;
mod descriptors;
pub mod dial;
pub mod dialer;
mod facts;
mod filesystem;
mod identity;
mod limits;
pub mod panic;
pub mod posture;
pub mod secret;
pub mod selftest;
pub mod start;
mod sys;
mod syscalls;

pub use confinement::{Confined, Watch, confine, role_of};
