//! Measures Lethe against a plain reverse proxy, on one machine, in one run.

mod answer;
mod engine;
mod load;
mod machine;
mod problem;
mod process;
mod report;
mod rounds;
mod targets;
mod upstream;
mod workload;

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

use crate::machine::{Machine, processors};
use crate::problem::{Problem, While as _};
use crate::report::Report;
use crate::rounds::Plan;
use crate::targets::{Lethe, Mock, Nginx, Target};
use crate::workload::Workload;

const EXAMPLES: &str = "Examples:
  cargo xtask bench                       every target, 5 rounds of 3 s
  cargo xtask bench --quick               2 rounds of 1 s, to see that it works
  cargo xtask bench --keep                also write bench/results/DATE-MACHINE.{md,json}
  lethe-bench --only paced --rounds 9     one workload, more rounds
  lethe-bench --skip lethe                nginx and direct alone
  lethe-bench engine --model model.gguf   the embedded engine on one processor

Exit codes: 0 all measured, 1 something could not be measured, 2 wrong arguments.";

/// Measures chat completions directly, through nginx and through `lethe up`, side by side.
///
/// The executables of Lethe are taken from the folder of this one. Nothing else should run on the machine meanwhile.
#[derive(Parser)]
#[command(name = "lethe-bench", after_help = EXAMPLES, args_conflicts_with_subcommands = true)]
struct Command {
    #[command(subcommand)]
    special: Option<Special>,
    #[command(flatten)]
    proxies: Proxies,
    #[command(flatten)]
    output: Output,
}

#[derive(Args)]
struct Proxies {
    /// Rounds; every target once in each
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..=1000))]
    rounds: u16,
    /// Length of a round, in seconds
    #[arg(long, default_value_t = 3.0)]
    seconds: f64,
    /// 2 rounds of 1 s
    #[arg(long, conflicts_with_all = ["rounds", "seconds"])]
    quick: bool,
    /// Keep-alive connections
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..=4096))]
    connections: u16,
    /// Only this workload: chat, stream or paced
    #[arg(long, value_parser = workload)]
    only: Vec<Workload>,
    /// Leave a target out: direct, nginx or lethe
    #[arg(long, value_parser = ["direct", "nginx", "lethe"])]
    skip: Vec<String>,
}

#[derive(Args)]
struct Output {
    /// Print the figures as JSON instead of a page
    #[arg(long, global = true)]
    json: bool,
    /// Also write page and figures into this folder
    #[arg(long, global = true, value_name = "FOLDER", num_args = 0..=1, default_missing_value = "bench/results")]
    keep: Option<PathBuf>,
}

#[derive(Subcommand)]
enum Special {
    /// Measure the embedded engine: tokens a second of prompt and answer
    Engine {
        /// The model, a GGUF file (`lethe model fetch` brings the pinned one)
        #[arg(long)]
        model: PathBuf,
        /// Processors that the engine is kept on
        #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=256))]
        processors: u16,
        /// Answers
        #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..=1000))]
        rounds: u16,
        /// Tokens of each answer, at most
        #[arg(long, default_value_t = 128, value_parser = clap::value_parser!(u32).range(8..=4096))]
        tokens: u32,
    },
    /// Run the mock upstream alone; it prints its port and ends with its standard input
    Upstream,
}

fn workload(name: &str) -> Result<Workload, String> {
    match name {
        "chat" => Ok(Workload::Chat),
        "stream" => Ok(Workload::Stream),
        "paced" => Ok(Workload::Paced),
        _ => Err("one of chat, stream, paced".to_owned()),
    }
}

fn main() -> ExitCode {
    let command = Command::parse();
    let result = match command.special {
        Some(Special::Upstream) => upstream::serve().doing("serve as the mock upstream").map(|()| true),
        Some(Special::Engine { model, processors, rounds, tokens }) => {
            engine::measure(&model, usize::from(processors), usize::from(rounds), tokens, progress).and_then(|engine| {
                let good = engine.meets_target();
                let report =
                    Report { machine: Machine::read(), plan: None, rows: Vec::new(), engine: Some(engine), missing: Vec::new() };
                finish(&report, &command.output).map(|()| good)
            })
        }
        None => proxies(&command.proxies).and_then(|report| finish(&report, &command.output).map(|()| report.is_complete())),
    };
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(problem) => {
            progress(&format!("lethe-bench: {problem}"));
            ExitCode::FAILURE
        }
    }
}

fn proxies(wanted: &Proxies) -> Result<Report, Problem> {
    let machine = Machine::read();
    let (rounds, seconds) = if wanted.quick { (2, 1.0) } else { (wanted.rounds, wanted.seconds) };
    let window = Duration::try_from_secs_f64(seconds).doing("--seconds")?;
    let plan = Plan { rounds: usize::from(rounds), connections: usize::from(wanted.connections), window };
    let workloads = if wanted.only.is_empty() { Workload::ALL.to_vec() } else { wanted.only.clone() };
    let wants = |name: &str| !wanted.skip.iter().any(|skipped| skipped == name);
    let mut missing = Vec::new();
    let mut note = |name: &str, problem: &Problem| {
        progress(&format!("NOT MEASURED: {name}: {problem}"));
        missing.push(format!("{name}: {problem}"));
    };
    let mock = Mock::start()?;
    let nginx =
        wants("nginx").then(|| Nginx::start(mock.at(), processors()).map_err(|problem| note("nginx", &problem)).ok()).flatten();
    let lethe =
        wants("lethe").then(|| Lethe::before(mock.at(), processors()).map_err(|problem| note("lethe", &problem)).ok()).flatten();
    let mut targets: Vec<&dyn Target> = Vec::new();
    if wants("direct") {
        targets.push(&mock);
    }
    targets.extend(nginx.iter().map(|nginx| nginx as &dyn Target));
    targets.extend(lethe.iter().map(|lethe| lethe as &dyn Target));
    if targets.is_empty() {
        return Err(Problem::new("nothing is left to measure"));
    }
    let rows = rounds::run(plan, &workloads, &targets, mock.pid(), progress);
    Ok(Report { machine, plan: Some(plan), rows, engine: None, missing })
}

fn finish(report: &Report, output: &Output) -> Result<(), Problem> {
    if let Some(folder) = &output.keep {
        let page = report.keep(folder)?;
        progress(&format!("kept in {}", page.display()));
    }
    let text = if output.json { serde_json::to_string_pretty(report).doing("write the figures")? } else { report.markdown() };
    writeln!(std::io::stdout(), "{text}").doing("print")
}

/// To standard error, so that standard output is the report alone.
fn progress(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}
