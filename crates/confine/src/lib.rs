//! Confinement of the processes that hold content.

pub mod secret;
