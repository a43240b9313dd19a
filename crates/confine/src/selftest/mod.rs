//! Every way out of a confined process, tried for real.
//!
//! Each attempt is the system call itself, with arguments whose success would do no harm. It runs inside the walls at every
//! start, and again on [`lethe_handover::ToChild::SelfTest`]. The filter must have stopped it: any other errno than the
//! filter's own means that the kernel looked at the arguments, and counts as a way out.

mod call;
mod probes;

use lethe_handover::{Attempt, Outcome, Role};

use crate::sys;

/// What a role legitimately does, and so is not tried as a way out: role, attempt, why.
pub const EXCEPTIONS: &[(Role, &str, &str)] = &[
    (Role::Dialer, "bind", "name resolution from a random UDP port; Landlock refuses TCP"),
    (Role::Dialer, "connect", "the dialer opens connections"),
    (Role::Dialer, "send_to_address", "name resolution over UDP"),
    (Role::Dialer, "socket_inet", "the dialer opens connections"),
    (Role::Dialer, "socket_udp", "name resolution over UDP"),
    (Role::Node, "socketpair", "one pair per connection to the engine"),
];

/// What the attempts need to know and cannot ask inside the walls.
#[derive(Clone, Copy)]
pub struct Context {
    parent: i32,
    own: i32,
}

impl Context {
    /// Asked before the walls.
    #[must_use]
    pub fn new() -> Self {
        let number = |pid: Option<rustix::process::Pid>| pid.map_or(0, |pid| pid.as_raw_nonzero().get());
        Self { parent: number(rustix::process::getppid()), own: number(Some(rustix::process::getpid())) }
    }
}

impl Default for Context {
    fn default() -> Self {
        Self::new()
    }
}

/// Names of all attempts, in order.
pub fn names() -> impl Iterator<Item = &'static str> {
    probes::ALL.iter().map(|probe| probe.name)
}

/// Tries every way out that `role` has no business with; all of them for `None`.
#[must_use]
pub fn run(role: Option<Role>, context: Context) -> Vec<Attempt> {
    let excepted = |name| EXCEPTIONS.iter().any(|(of, attempt, _)| Some(*of) == role && *attempt == name);
    probes::ALL
        .iter()
        .filter(|probe| !excepted(probe.name))
        .map(|probe| Attempt {
            name: probe.name.to_owned(),
            outcome: match (probe.run)(context) {
                Ok(()) => Outcome::Succeeded,
                Err(errno) => Outcome::Refused(errno),
            },
        })
        .collect()
}

/// Whether the filter stopped every attempt.
#[must_use]
pub fn holds(attempts: &[Attempt]) -> bool {
    !attempts.is_empty() && attempts.iter().all(|attempt| stopped(attempt.outcome))
}

/// Whether this is the filter's answer, and not one of the call behind it.
#[must_use]
pub fn stopped(outcome: Outcome) -> bool {
    matches!(outcome, Outcome::Refused(libc::EPERM | libc::ENOSYS))
}

/// An entry for swap that was switched on since the start, if it was: without locked pages it is a way to the disk.
pub(crate) fn swap_attempt() -> Option<Attempt> {
    let absent = sys::swap_total() == Ok(0);
    (!absent).then(|| Attempt { name: "swap_out".to_owned(), outcome: Outcome::Succeeded })
}
