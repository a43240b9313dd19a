//! The long forms of what `test` does in short, one result file a day (the
//! benchmark keeps its own beside it). Everything runs, also after a failure: a night is long.

use std::fmt::Write as _;
use std::time::Instant;

use crate::house::{Failed, House, output, run as run_command};
use crate::{bench, tools};

const PROPERTY_CASES: &str = "10000";
const DELIVERY_SEEDS: &str = "10000";

pub(crate) fn run(house: &House, fuzz_minutes: u32) -> Result<(), Failed> {
    let date = jiff::Timestamp::now().strftime("%Y-%m-%d").to_string();
    let mut report = format!("# Nightly run of {date}\n\n| part | result | seconds |\n|---|---|---:|\n");
    let mut failures = Vec::new();
    let mut part = |name: &str, work: &dyn Fn() -> Result<(), Failed>| {
        println!("==> {name}");
        let start = Instant::now();
        let result = work();
        let word = if result.is_ok() { "passed" } else { "failed" };
        let _ = writeln!(report, "| {name} | {word} | {} |", start.elapsed().as_secs());
        failures.extend(result.err().map(|failed| format!("{name}: {failed}")));
    };
    part("dependencies (cargo-deny)", &|| deny(house));
    part("property tests, 10,000 cases each", &|| properties(house));
    part("delivery, 10,000 seeds", &|| delivery(house));
    for target in fuzz_targets(house)? {
        part(&format!("fuzzing `{target}`, {fuzz_minutes} min"), &|| fuzz(house, &target, fuzz_minutes));
    }
    part("benchmark", &|| bench::run(house, &["--keep"]));
    let path = house.root.join(format!("bench/results/nightly-{date}.md"));
    let write = || {
        std::fs::create_dir_all(house.root.join("bench/results"))?;
        std::fs::write(&path, &report)
    };
    write().map_err(|error| Failed::new(format!("{}: {error}", path.display())))?;
    print!("{report}");
    Failed::unless_empty("nightly:", &failures)
}

fn deny(house: &House) -> Result<(), Failed> {
    let deny = tools::cargo_deny()?;
    // Advisories need a database from the network: another check's matter, so that this one fails for one reason only.
    run_command(std::process::Command::new(deny).current_dir(&house.root).args(["check", "bans", "licenses", "sources"]))
}

/// The tests of every package whose tests use proptest.
fn properties(house: &House) -> Result<(), Failed> {
    let mut nextest = std::process::Command::new(tools::nextest()?);
    nextest.current_dir(&house.root).args(["nextest", "run", "--release", "--locked"]);
    let uses =
        house.packages.iter().filter(|package| package.dependencies.iter().any(|dependency| dependency.name == "proptest"));
    for package in uses {
        nextest.args(["-p", &package.name]);
    }
    // A case count of its own makes these tests slow on purpose.
    run_command(nextest.args(["--profile", "nightly"]).env("PROPTEST_CASES", PROPERTY_CASES))
}

/// The simulation of records on their way to the ledger, with more seeds than a test run has time for.
fn delivery(house: &House) -> Result<(), Failed> {
    let mut nextest = std::process::Command::new(tools::nextest()?);
    nextest.current_dir(&house.root).args(["nextest", "run", "--release", "--locked", "--profile", "nightly"]);
    run_command(nextest.args(["-p", "lethe-control", "--test", "delivery"]).env("LETHE_SEEDS", DELIVERY_SEEDS))
}

fn fuzz_targets(house: &House) -> Result<Vec<String>, Failed> {
    if !house.root.join("fuzz/Cargo.toml").is_file() {
        return Ok(Vec::new());
    }
    let list = output(std::process::Command::new("cargo").current_dir(&house.root).args(["+nightly", "fuzz", "list"]))?;
    Ok(list.lines().map(str::to_owned).collect())
}

fn fuzz(house: &House, target: &str, minutes: u32) -> Result<(), Failed> {
    let limit = format!("-max_total_time={}", minutes * 60);
    let mut cargo = std::process::Command::new("cargo");
    run_command(cargo.current_dir(&house.root).args(["+nightly", "fuzz", "run", target, "--", &limit]))
}
