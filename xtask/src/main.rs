//! `cargo xtask`: builds, runs, tests and checks this house. One file per subcommand; none of our own crates is linked, so that
//! the checks compile and run while a room is broken.
#![expect(clippy::print_stdout, reason = "a command line tool: its output is for the person who called it")]

mod bench;
mod binary;
mod build;
mod docs;
mod graph;
mod house;
mod lint;
mod location;
mod memcheck;
mod nightly;
mod size;
mod test;
mod tools;
mod up;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::house::{Failed, House};

#[derive(Parser)]
#[command(
    name = "cargo xtask",
    about = "Builds, runs, tests and checks Lethe",
    after_help = "\
Examples:
  cargo xtask up                         build everything and run it on this machine
  cargo xtask up --config lethe.toml     the same, with a configuration
  cargo xtask test                       install what the tests need, then run every check and every test
  cargo xtask graph --bless              accept a change of the data plane's dependencies (then write the reasons)"
)]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Build the benchmark and run it; everything after `bench` goes to it
    #[command(disable_help_flag = true, after_help = "Example: cargo xtask bench --help")]
    Bench {
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        rest: Vec<OsString>,
    },
    /// Look into the built executables: no database, no log backend, no test-only panic in the data plane
    #[command(after_help = "Needs `cargo xtask build` first; `cargo xtask test` does that by itself.")]
    Binary,
    /// Build the executables, as `test` and `up` do
    Build {
        /// Also the data plane with the test-only panic, kept apart in target/release/fault-injection
        #[arg(long)]
        fault_injection: bool,
    },
    /// Check the documents: links, anchors, and that each promise names its test
    Docs,
    /// Compare the data plane's dependencies with the reviewed lists, and check who may see whom
    #[command(after_help = "Examples:\n  cargo xtask graph\n  cargo xtask graph --bless   (then replace each TODO by a reason)")]
    Graph {
        /// Rewrite the lists, keeping the reasons that are there
        #[arg(long)]
        bless: bool,
    },
    /// Say which source file a panic's location stands for: ours, a library's, or the standard library's
    #[command(after_help = "Example: cargo xtask location 29f3e2a1c0b45d67   (in a checkout of the build that panicked)")]
    Location {
        /// FNV-1a of the file's name, in hexadecimal, as `lethe diagnose` shows it
        hash: String,
    },
    /// Format and clippy, the data plane under its stricter rules
    Lint,
    /// The rooms with unsafe code under Miri (where a nightly toolchain has it) and AddressSanitizer
    #[command(after_help = "Example: cargo xtask memcheck")]
    Memcheck,
    /// The long forms of the tests, and the full benchmark; writes bench/results/nightly-DATE.md
    #[command(after_help = "\
The parts: build, dependencies (cargo-deny), chaos, delivery (seeds of its model), properties (10,000 cases each), memory (memcheck),
fuzz TARGET for each target, engine, bench (every row and peer). By default about 2 h 45 min: 30 min of chaos, 5 min for each fuzz
target, about 45 min of benchmark. A part that fails or cannot run does not stop the others; the exit code is 1 then.

Examples:
  cargo xtask nightly
  cargo xtask nightly --short                    every part for seconds, to test the command itself
  cargo xtask nightly --only fuzz --fuzz-minutes 60
  cargo xtask nightly --only chaos --minutes 120")]
    Nightly {
        #[command(flatten)]
        lengths: nightly::Lengths,
    },
    /// Check the length of source files
    Size,
    /// Install what the tests need, then run every check and every test
    Test,
    /// Build everything and run `lethe up`; everything after `up` goes to it
    #[command(disable_help_flag = true, after_help = "Example: cargo xtask up --config lethe.toml --state ./state")]
    Up {
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        rest: Vec<OsString>,
    },
}

fn main() -> ExitCode {
    match run(&Arguments::parse().task) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failed) => {
            println!("{failed}");
            ExitCode::FAILURE
        }
    }
}

fn run(task: &Task) -> Result<(), Failed> {
    let house = House::find()?;
    match task {
        Task::Bench { rest } => bench::run(&house, rest),
        Task::Binary => binary::run(&house),
        Task::Build { fault_injection } => {
            if *fault_injection {
                build::fault_injection(&house)?;
            }
            build::shipped(&house)
        }
        Task::Docs => docs::run(&house),
        Task::Graph { bless } => graph::run(&house, *bless),
        Task::Lint => {
            lint::format(&house)?;
            lint::data_plane(&house)?;
            lint::workspace(&house)
        }
        Task::Location { hash } => location::run(&house, hash),
        Task::Memcheck => memcheck::run(&house),
        Task::Nightly { lengths } => nightly::run(&house, lengths),
        Task::Size => size::run(&house),
        Task::Test => test::run(&house),
        Task::Up { rest } => up::run(&house, rest),
    }
}
