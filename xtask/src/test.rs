//! `cargo xtask test`: everything that has to hold, in the order that fails soonest. The tests come last, so that the last line
//! that is printed is their count.

use std::path::PathBuf;
use std::process::Command;
use std::time::Instant;

use crate::house::{Failed, House, output, run as run_command};
use crate::{binary, build, docs, graph, lint, size, tools};

/// What the later phases need of the earlier ones.
#[derive(Default)]
struct Found {
    nextest: PathBuf,
    python: PathBuf,
    node_modules: PathBuf,
    model: PathBuf,
}

type Phase = fn(&House, &mut Found) -> Result<(), Failed>;

const PHASES: &[(&str, Phase)] = &[
    ("tools", install),
    ("format", |house, _| lint::format(house)),
    ("size", |house, _| size::run(house)),
    ("docs", |house, _| docs::run(house)),
    ("graph", |house, _| graph::run(house, false)),
    ("clippy of the data plane", |house, _| lint::data_plane(house)),
    ("clippy", |house, _| lint::workspace(house)),
    ("build of the tests", list),
    ("documentation tests", |house, _| {
        run_command(&mut house.cargo(&["test", "--release", "--locked", "--quiet", "--doc", "--workspace"]))
    }),
    // The shipped executables come after everything that could leave others in their place (the features that the tests ask for
    // are not the shipped ones), and nothing is built from here on: what is looked into and tested is what is shipped.
    ("build with fault injection", |house, _| build::fault_injection(house)),
    ("build", |house, _| build::shipped(house)),
    ("binary", |house, _| binary::run(house)),
    ("model", model),
    ("tests", tests),
];

pub(crate) fn run(house: &House) -> Result<(), Failed> {
    let start = Instant::now();
    let mut found = Found::default();
    for (name, phase) in PHASES {
        println!("==> {name} ({} s)", start.elapsed().as_secs());
        phase(house, &mut found)
            .map_err(|failed| Failed::new(format!("{failed}\ncargo xtask test: the phase \"{name}\" failed")))?;
    }
    Ok(())
}

fn install(house: &House, found: &mut Found) -> Result<(), Failed> {
    tools::setpriv()?;
    tools::servers()?;
    found.nextest = tools::nextest()?;
    found.python = tools::clients(house)?;
    found.node_modules = tools::node_modules(house, &found.python)?;
    Ok(())
}

fn model(house: &House, found: &mut Found) -> Result<(), Failed> {
    if let Some(model) = std::env::var_os("LETHE_TEST_MODEL") {
        found.model = model.into();
    } else {
        // The virtual environment has the pip that is asked for.
        let path = tools::first_on_path(found.python.parent().unwrap_or(&house.root))?;
        let said = output(Command::new(house.built("lethe")).args(["model", "fetch"]).env("PATH", path))?;
        found.model = said.trim().into();
    }
    if found.model.is_file() { Ok(()) } else { Err(Failed::new(format!("{}: no such file", found.model.display()))) }
}

/// What cargo knows, and what it built, for a run of the tests that builds nothing.
const PLAN: [(&str, &str); 2] = [("--cargo-metadata", "nextest-metadata.json"), ("--binaries-metadata", "nextest-binaries.json")];

fn list(house: &House, found: &mut Found) -> Result<(), Failed> {
    let metadata = output(&mut house.cargo(&["metadata", "--locked", "--format-version", "1"]))?;
    let mut list = Command::new(&found.nextest);
    list.current_dir(&house.root).args(["nextest", "list", "--release", "--locked", "--workspace"]);
    let binaries = output(list.args(["--list-type", "binaries-only", "--message-format", "json"]))?;
    for ((_, name), text) in PLAN.iter().zip([metadata, binaries]) {
        let path = house.target.join(name);
        std::fs::write(&path, text).map_err(|error| Failed::new(format!("{}: {error}", path.display())))?;
    }
    Ok(())
}

fn tests(house: &House, found: &mut Found) -> Result<(), Failed> {
    let mut nextest = Command::new(&found.nextest);
    nextest.current_dir(&house.root).args(["nextest", "run"]);
    for (option, name) in PLAN {
        nextest.arg(option).arg(house.target.join(name));
    }
    nextest.env("LETHE_TEST_PYTHON", &found.python).env("LETHE_TEST_NODE_MODULES", &found.node_modules);
    run_command(nextest.env("LETHE_TEST_MODEL", &found.model))
}
