//! Measures Lethe against a plain reverse proxy, on one machine, in one run.

mod answer;
mod ask;
mod chart;
mod clock;
mod engine;
mod install;
mod interrupt;
mod load;
mod machine;
mod page;
mod problem;
mod process;
mod report;
mod rounds;
mod rows;
mod series;
mod targets;
mod tls;
mod upstream;
mod visit;

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

use crate::machine::{Machine, processors};
use crate::problem::{Problem, While as _};
use crate::report::Report;
use crate::rounds::{Bench, Plan};
use crate::rows::{ROWS, Row, named};
use crate::targets::{Kind, Mock};
use crate::tls::Pki;

const EXAMPLES: &str = "Examples:
  cargo xtask bench                          every row through nginx and lethe: 5 rounds of 3 s, about 15 minutes
  cargo xtask bench --quick                  2 rounds of 1 s, to see that it works: about 4 minutes
  cargo xtask bench --list                   the rows
  cargo xtask bench --only chat --rounds 9   one row, more rounds
  cargo xtask bench --peers nginx,litellm,portkey --keep
                                             every peer; also write bench/results/DATE-MACHINE.{md,json,svg}
  cargo xtask bench --only chat --skip lethe nginx and direct alone
  cargo xtask bench engine --model FILE      the embedded engine on one processor

A peer that is missing is installed: nginx from Debian where this runs as root, LiteLLM and Portkey's gateway into ~/.cache/lethe/peers.
Exit codes: 0 all measured, 1 something could not be measured, 2 wrong arguments, 130 interrupted.";

/// Measures chat completions directly, through nginx and through `lethe up`, side by side.
///
/// The executables of Lethe are taken from the folder of this one. Nothing else should run on the machine meanwhile. Memory of
/// confined processes can be looked at by root only.
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
    /// Only these rows (`--list` names them)
    #[arg(long, value_delimiter = ',', value_parser = row)]
    only: Vec<&'static Row>,
    /// Who else is measured: nginx, litellm, portkey
    #[arg(long, value_delimiter = ',', default_value = "nginx", value_parser = ["nginx", "litellm", "portkey"])]
    peers: Vec<String>,
    /// Leave a target out: direct, nginx or lethe
    #[arg(long, value_delimiter = ',', value_parser = ["direct", "nginx", "lethe"])]
    skip: Vec<String>,
    /// Say which rows there are
    #[arg(long)]
    list: bool,
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
    /// Run the mock upstream alone; it prints its ports (in the clear, with TLS) and ends with its standard input
    Upstream {
        /// Certificate for TLS
        chain: PathBuf,
        /// Its key
        key: PathBuf,
    },
}

fn row(name: &str) -> Result<&'static Row, String> {
    named(name).ok_or_else(|| format!("one of {}", ROWS.iter().map(|row| row.name).collect::<Vec<_>>().join(", ")))
}

fn main() -> ExitCode {
    let command = Command::parse();
    if command.proxies.list {
        let lines: String = ROWS.iter().map(|row| format!("{:<12}{}\n", row.name, row.title)).collect();
        let _ = write!(std::io::stdout(), "{lines}");
        return ExitCode::SUCCESS;
    }
    process::raise_descriptor_limit();
    // The mock upstream ends with the one that started it.
    if !matches!(command.special, Some(Special::Upstream { .. })) {
        interrupt::watch();
    }
    let result = match command.special {
        Some(Special::Upstream { chain, key }) => upstream::serve(&chain, &key).map(|()| true),
        Some(Special::Engine { model, processors, rounds, tokens }) => {
            engine::measure(&model, usize::from(processors), usize::from(rounds), tokens, progress).and_then(|engine| {
                let good = engine.meets_target();
                let report = Report {
                    machine: Machine::read(),
                    plan: None,
                    series: Vec::new(),
                    engine: Some(engine),
                    missing: Vec::new(),
                };
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
            if interrupt::is_interrupted() { ExitCode::from(130) } else { ExitCode::FAILURE }
        }
    }
}

fn proxies(wanted: &Proxies) -> Result<Report, Problem> {
    let mut machine = Machine::read();
    let (rounds, seconds) = if wanted.quick { (2, 1.0) } else { (wanted.rounds, wanted.seconds) };
    let window = Duration::try_from_secs_f64(seconds).doing("--seconds")?;
    let asked_for = |kind: &Kind| match kind {
        Kind::Direct | Kind::Lethe => !wanted.skip.iter().any(|name| name == kind.name()),
        _ => wanted.peers.iter().any(|name| name == kind.name()) && !wanted.skip.iter().any(|name| name == kind.name()),
    };
    let all = [Kind::Direct, Kind::Nginx, Kind::Lethe, Kind::Litellm, Kind::Portkey];
    let targets: Vec<Kind> = all.into_iter().filter(asked_for).collect();
    if targets.is_empty() {
        return Err(Problem::new("nothing is left to measure"));
    }
    let plan = Plan { rounds: rounds.into(), window, targets };
    for kind in &plan.targets {
        match kind {
            Kind::Litellm => machine.peers.push(format!("LiteLLM {}", install::litellm_version())),
            Kind::Portkey => machine.peers.push(format!("Portkey's gateway {}", install::portkey_version())),
            Kind::Direct | Kind::Lethe | Kind::Nginx => {}
        }
    }
    let rows: Vec<&'static Row> =
        ROWS.iter().filter(|row| wanted.only.is_empty() || wanted.only.iter().any(|only| only.name == row.name)).collect();
    let folder = targets::folder()?;
    let pki = Pki::make(folder.path())?;
    let mock = Mock::start(&pki)?;
    let connector = pki.connector()?;
    let mut bench =
        Bench { plan: &plan, mock: &mock, pki: &pki, connector, workers: processors(), missing: Vec::new(), progress };
    let series = bench.run(&rows)?;
    let missing = std::mem::take(&mut bench.missing);
    machine.nginx = targets::nginx_version();
    Ok(Report { machine, plan: Some(plan), series, engine: None, missing })
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
