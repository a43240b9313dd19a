//! Confinement of the processes that hold content.

pub mod boot;
pub mod channel;
mod confinement;
mod descriptors;
mod facts;
mod filesystem;
mod identity;
mod limits;
pub mod panic;
pub mod secret;
pub mod selftest;
mod sys;
mod syscalls;

pub use confinement::{Confined, Watch, confine, role_of};
