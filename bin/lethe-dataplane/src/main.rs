//! The executable that holds content: gateway, dialer and node front, each confined before it does anything else.
//!
//! Started by a supervisor with the role as only argument, an empty environment, the channel as descriptor 3 and the boot pipe
//! as descriptor 4. It says nothing on any stream: how far it came is on the boot pipe, and the exit code is the number of
//! the stage that failed.

use std::process::ExitCode;

use lethe_confine::{
    boot, dialer, role_of,
    start::{DialerStart, GatewayStart, NodeStart},
};
use lethe_content::alloc::ZeroOnFree;
use lethe_handover::{Role, Stage};

#[global_allocator]
static ALLOCATOR: ZeroOnFree = ZeroOnFree;

/// Not one of this executable's roles (sysexits.h, `EX_USAGE`).
const USAGE: u8 = 64;

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let role = arguments.next().as_deref().and_then(role_of);
    let (Some(role @ (Role::Dialer | Role::Gateway | Role::Node)), None) = (role, arguments.next()) else {
        return ExitCode::from(USAGE);
    };
    match run(role) {
        Ok(()) => ExitCode::SUCCESS,
        Err(stage) => ExitCode::from(stage.code()),
    }
}

fn run(role: Role) -> Result<(), Stage> {
    let booted = boot::start(role).map_err(|_| Stage::Boot)?;
    match role {
        Role::Dialer => dialer::run(DialerStart::confined(booted)?),
        Role::Gateway => lethe_gateway::run(GatewayStart::confined(booted)?),
        Role::Node => lethe_node::run(NodeStart::confined(booted)?),
        Role::Control | Role::Engine => Err(Stage::Boot),
    }
}
