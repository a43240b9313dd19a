//! `cargo xtask bench`: the benchmark beside the executables that it measures.

use std::ffi::OsStr;
use std::process::Command;

use crate::build;
use crate::house::{Failed, House, run as run_command};

pub(crate) fn run(house: &House, rest: &[impl AsRef<OsStr>]) -> Result<(), Failed> {
    run_command(&mut house.cargo(&["build", "--release", "--locked", "-p", "lethe-bench"]))?;
    build::shipped(house)?;
    run_command(Command::new(house.built("lethe-bench")).current_dir(&house.root).args(rest))
}
