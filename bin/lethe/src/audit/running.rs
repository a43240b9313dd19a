//! A running Lethe on this machine.

use std::path::Path;

use crate::failure::Failure;
use crate::up::Ready;

/// Where it is and what it runs.
pub(super) fn of(state: &Path) -> Result<Ready, Failure> {
    let ready = Ready::load(state);
    if ready.api.is_none() || ready.pids.is_empty() {
        return Err(Failure::no_verdict(format!(
            "no running Lethe on {}: start it with `lethe up --state {0}`, or leave --state out",
            state.display()
        )));
    }
    if ready.api_key.is_none() {
        return Err(Failure::no_verdict(
            "the first API key is no longer kept in the state folder: use --target with --key, and --pid for its processes"
                .to_owned(),
        ));
    }
    Ok(ready)
}
