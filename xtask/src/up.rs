//! `cargo xtask up`: the shortest way from a clone to an answer.

use std::ffi::OsString;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use crate::house::{Failed, House};
use crate::{build, tools};

/// Builds, then becomes `lethe up`: signals and the exit code are its own.
pub(crate) fn run(house: &House, rest: &[OsString]) -> Result<(), Failed> {
    build::shipped(house)?;
    let mut lethe = Command::new(house.built("lethe"));
    match tools::pip() {
        Ok(None) => {}
        Ok(Some(folder)) => {
            lethe.env("PATH", tools::first_on_path(&folder)?);
        }
        // Not needed where the model is there, or where a configuration names other models: Lethe says so if it is.
        Err(failed) => println!("{failed}"),
    }
    let error = lethe.arg("up").args(rest).exec();
    Err(Failed::new(format!("{}: {error}", house.built("lethe").display())))
}
