//! The supervisor: starts the processes that Lethe consists of, hands over what they need, watches them and ends them in
//! order. It holds no content.
//!
//! One child after the other is started with [`Launcher`] and becomes a [`Part`]; [`supervise`] then runs until a signal, a
//! death or appearing swap ends it. Children that die are not restarted yet: the whole ends, and says why.

mod control_side;
mod explain;
mod inherited;
mod launch;
mod part;
mod report;
mod slots;
mod start;
mod supervise;
mod swap;
mod users;

pub use control_side::{ControlBoot, ControlChannel, give_up_rights};
pub use inherited::shed_inherited_descriptors;
pub use launch::{Control, Launcher, beside, packet_pair};
pub use lethe_confine::{
    channel::ChannelError,
    panic::BUILD,
    posture::{KernelView, of_process},
};
pub use part::{Part, PartEvent};
pub use report::{PartReport, Report, ReportRequest};
pub use slots::SlotError;
pub use start::{Failure, StartError};
pub use supervise::{DrainLimits, End, Notice, Signals, supervise};
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
