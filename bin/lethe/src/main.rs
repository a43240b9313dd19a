//! `lethe`: what people run. It starts Lethe, asks a running one, and holds no content.

mod audit;
mod call;
mod config;
mod control;
mod diagnose;
mod failure;
mod import;
mod key;
mod metrics;
mod model;
mod order;
mod place;
mod posture;
mod provider;
mod records;
mod say;
#[cfg(test)]
mod tests;
mod up;
mod verify;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::failure::Failure;

/// One API for every AI model, self-hosted, that cannot remember what passes through it.
#[derive(Parser)]
#[command(name = "lethe", version, after_help = EXAMPLES, disable_help_subcommand = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
Examples:
  lethe up                                  everything on this machine, with the embedded engine
  lethe up --config lethe.toml              the same with your providers
  lethe posture --probe                     what the kernel says of each part; every way out tried again
  lethe records --json                      all that is kept of the requests
  lethe key create --name ci                a further API key
  lethe diagnose                            what went wrong, and what to do
  lethe config check lethe.toml             what a configuration file would do
  lethe import litellm config.yaml          another gateway's configuration, translated
  lethe provider test openai                whether a provider answers, step by step
  lethe audit                               prove that nothing is kept: start a Lethe, exercise it, look everywhere
  lethe verify lethe-audit.html             whether a report is what its signer wrote

Exit codes: 0 good, 1 a check failed or something went wrong, 2 an audit without a verdict,\n64 wrong usage or configuration.";

#[derive(Subcommand)]
enum Command {
    /// Start everything on this machine and run until stopped
    Up(up::Args),
    /// Show the operational metadata that is held: all that is kept of requests
    Records(records::Args),
    /// Make, list and revoke API keys
    Key(key::Args),
    /// Show what the kernel reports of each running part
    Posture(posture::Args),
    /// Have the running Lethe read its configuration file again
    Reload(order::Reload),
    /// Replace every running part by one from the executables that are installed now
    Upgrade(order::Upgrade),
    /// Say what went wrong, what it means and what to do
    Diagnose(diagnose::Args),
    /// Print the metrics in Prometheus' text format
    Metrics(metrics::Args),
    /// Send markers through every endpoint and outcome, and search every place where one could have stayed
    Audit(audit::Args),
    /// Check a signed audit report
    Verify(verify::Args),
    /// List providers, or test one
    Provider(provider::Args),
    /// Say what a configuration file would do
    Config(config::Args),
    /// Translate another gateway's configuration
    Import(import::Args),
    /// Fetch the embedded engine's model
    Model(model::Args),
    /// The control process; started by `lethe up` only
    #[command(hide = true)]
    Control,
}

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return usage(&error),
    };
    let result = match cli.command {
        Command::Audit(args) => audit::run(args),
        Command::Config(args) => asynchronous(config::run(args)),
        Command::Control => control::run(),
        Command::Diagnose(args) => diagnose::run(args),
        Command::Import(args) => import::run(&args),
        Command::Key(args) => asynchronous(key::run(args)),
        Command::Metrics(args) => asynchronous(metrics::run(args)),
        Command::Model(args) => asynchronous(model::run(args)),
        Command::Posture(args) => asynchronous(posture::run(args)),
        Command::Provider(args) => asynchronous(provider::run(args)),
        Command::Records(args) => asynchronous(records::run(args)),
        Command::Reload(args) => asynchronous(order::reload(args)),
        Command::Upgrade(args) => asynchronous(order::upgrade(args)),
        Command::Up(args) => up::run(args),
        Command::Verify(args) => verify::run(&args),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}

/// Runs a command that asks a running Lethe or the network.
fn asynchronous(command: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    runtime()?.block_on(command)
}

fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::failed(format!("the runtime does not start: {error}")))
}

/// Help goes to standard output and is no error; anything else is wrong usage, with clap's own words.
fn usage(error: &clap::Error) -> ExitCode {
    let text = error.render().to_string();
    if error.use_stderr() {
        say::complain(text.trim_end());
        ExitCode::from(failure::USAGE)
    } else {
        say::line(text.trim_end());
        ExitCode::SUCCESS
    }
}
