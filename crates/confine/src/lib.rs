//! Confinement of the processes that hold content: before one of them serves, the kernel lets it open nothing, make nothing
//! and connect to nothing.
//!
//! The only crate with `unsafe` (beside the allocator), and the only one that knows how a confined process starts:
//!
//! 1. [`boot::start`] takes over descriptors 3 (the [`channel`]) and 4 (the boot pipe) and reads the boot message.
//! 2. [`confine`] runs every step of the confinement in order ([`lethe_handover::Stage`]) and fails on the first that does not
//!    hold. Between the single-thread check and the first limit it calls the role's own `prepare`, which moves private keys
//!    into [`secret`] memory and reads what has to be read: the last moment for it.
//! 3. Inside the walls the process makes its runtimes and threads, tells [`boot::Progress::serving`], reports
//!    [`Watch::posture`], and answers a self-test with [`Watch::again`].
//!
//! [`start`] does this for the roles of `lethe-dataplane`. Another confined executable does it so:
//!
//! ```no_run
//! use lethe_confine::{Confined, boot, confine};
//! use lethe_handover::{FromChild, Role, Stage, ToChild};
//!
//! fn run() -> Result<(), Stage> {
//!     let booted = boot::start(Role::Engine).map_err(|_| Stage::Boot)?;
//!     let confined = confine(booted, |message, _arena, descriptors| {
//!         let ToChild::Engine(boot, _) = message else { return None };
//!         let file = descriptors.pop()?; // The model: read here and closed; afterwards no regular file may be open.
//!         drop(file);
//!         Some(boot.model)
//!     })?;
//!     let Confined { prepared: _model, descriptors: _acceptor, channel, mut progress, watch, .. } = confined;
//!     progress.begin(Stage::Role);
//!     // Runtimes (`enable_io` and `enable_time`) and threads are made here, inside the walls.
//!     channel.send(&FromChild::Ready(Box::new(watch.posture().clone())), &[]).map_err(|_| Stage::Role)?;
//!     progress.serving();
//!     while let Ok((command, _)) = channel.recv::<ToChild>() {
//!         match command {
//!             ToChild::SelfTest => {
//!                 let posture = FromChild::Posture(Box::new(watch.again()));
//!                 channel.send(&posture, &[]).map_err(|_| Stage::Serving)?;
//!             }
//!             _ => break,
//!         }
//!     }
//!     Ok(())
//! }
//! ```
//!
//! What a role may call is data: `policy/x86_64.json`, in seccompiler's form, each rule with its reason. To find a call that a
//! library newly needs, run the process under `strace -f` as root and look for `EPERM` after the filter was installed.

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
