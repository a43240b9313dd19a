//! The supervisor: starts the processes that Lethe consists of, hands over what they need, watches them and ends them in
//! order. It holds no content.
//!
//! One child after the other is started with [`Launcher`] and becomes a [`Part`]; [`supervise`] then runs until a signal or
//! appearing swap ends it. A part that ends by itself is counted and started again by the [`Crew`], after a pause that doubles.

mod backoff;
mod control_side;
mod crew;
mod drain;
mod explain;
mod inherited;
mod launch;
mod order;
mod part;
mod posts;
mod report;
mod roster;
mod signals;
mod slots;
mod start;
mod supervise;
mod swap;
mod tally;
mod users;

pub use backoff::Pauses;
pub use control_side::{ControlBoot, ControlChannel, give_up_rights};
pub use crew::{Crew, Crewmates, Errand, Notice, Obeyed, Started};
pub use drain::DrainLimits;
pub use inherited::shed_inherited_descriptors;
pub use launch::{Control, Launcher, beside, packet_pair};
pub use lethe_confine::{
    channel::ChannelError,
    panic::BUILD,
    posture::{KernelView, of_process},
};
pub use order::{Answer, Order, Outcome};
pub use part::{Part, PartEvent};
pub use report::{PartReport, Report, ReportRequest};
pub use signals::Signals;
pub use slots::SlotError;
pub use start::{Failure, StartError};
pub use supervise::{End, Rules, supervise};
pub use tally::{Exit, ExitCount, FailedStarts, PanicCount};
pub use users::{FIRST_ROLE_ID, RoleUsers, UserError};

/// Lets children have `wanted` descriptors, as far as the hard limit goes, which only root may raise (getrlimit(2)). Children
/// inherit it. Returns how many they have.
///
/// # Errors
/// The kernel's refusal.
pub fn raise_descriptor_limit(wanted: u64) -> std::io::Result<u64> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let maximum = getrlimit(Resource::Nofile).maximum;
    let enough = maximum.map(|maximum| maximum.max(wanted));
    if setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum: enough }).is_ok() {
        return Ok(wanted);
    }
    let granted = maximum.map_or(wanted, |maximum| wanted.min(maximum));
    setrlimit(Resource::Nofile, Rlimit { current: Some(granted), maximum })?;
    Ok(granted)
}
