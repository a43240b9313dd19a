//! The executables as they are shipped, and the one that only the tests use.
//!
//! Cargo unites the features of everything that one command builds. Built together with the databases, the data plane would get
//! tokio's `fs` and tracing's `log`, which sqlx asks for; so it is built by a command of its own.

use crate::house::{Failed, House, run};

/// Built without anything that only the control side needs.
pub(crate) const DATA_PLANE: &[&str] = &["-p", "lethe-dataplane", "-p", "lethe-engine"];
const CONTROL_SIDE: &[&str] = &["-p", "lethe"];

/// `lethe`, `lethe-dataplane` and `lethe-engine`, in `target/release`.
pub(crate) fn shipped(house: &House) -> Result<(), Failed> {
    for packages in [DATA_PLANE, CONTROL_SIDE] {
        run(house.cargo(&["build", "--release", "--locked", "--bins"]).args(packages))?;
    }
    Ok(())
}

/// The data plane that panics on demand, in `target/release/fault-injection`. Cargo leaves it where the shipped one belongs:
/// build that afterwards.
pub(crate) fn fault_injection(house: &House) -> Result<(), Failed> {
    let build = ["build", "--release", "--locked", "--bins", "--features", "lethe-dataplane/fault-injection"];
    run(house.cargo(&build).args(DATA_PLANE))?;
    let (from, to) = (house.built("lethe-dataplane"), house.built("fault-injection/lethe-dataplane"));
    let copy = || {
        std::fs::create_dir_all(house.built("fault-injection"))?;
        // Not over the old one: it may be running.
        match std::fs::remove_file(&to) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
            _ => std::fs::copy(&from, &to),
        }
    };
    copy().map(drop).map_err(|error| Failed::new(format!("{}: {error}", to.display())))
}
