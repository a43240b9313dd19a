//! `lethe config check`.

mod compare;
mod describe;
mod show;

use std::path::{Path, PathBuf};

use lethe_config::{Config, ConfigError, Problem};
use lethe_supervisor::{Answer, Order, Outcome, ReportRequest};
use lethe_types::{Clock, SystemClock};
use serde_json::json;

use crate::{failure::Failure, place::SUPERVISOR_SOCKET, posture::ask, say};
use compare::Changes;
pub(crate) use describe::Description;

/// Where a Lethe runs on this machine unless something else is said.
const STATE: &str = "./lethe-state";

#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  lethe config check lethe.toml
  lethe config check lethe.toml --json
  lethe config check lethe.toml --state /var/lib/lethe      also what would change there")]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    /// Say what a configuration file would do, or everything that is wrong with it; secrets are looked up and not shown
    #[command(after_help = "\
Examples:
  lethe config check
  lethe config check lethe.toml --json

What is shown: listeners, providers with the standing of their terms, and for each model where it is served, which formats pass as they
are, which are translated, and what is refused and why. If a Lethe runs on the state folder, also what a reload would change there;
credentials are not compared. Nothing is changed.")]
    Check {
        /// The file
        #[arg(value_name = "FILE", env = "LETHE_CONFIG", default_value = "lethe.toml")]
        file: PathBuf,
        /// State folder of a Lethe on this machine, to compare with; default: ./lethe-state where one runs there
        #[arg(long, value_name = "DIR", env = "LETHE_STATE")]
        state: Option<PathBuf>,
        /// One JSON object
        #[arg(long)]
        json: bool,
    },
}

pub(crate) async fn run(args: Args) -> Result<(), Failure> {
    let Command::Check { file, state, json } = args.command;
    let config = match lethe_config::load(&file) {
        Ok(config) => config,
        Err(error) => return Err(wrong(&file, &error, json)),
    };
    let does = Description::of(&config, SystemClock.now());
    let running = running(state).await?;
    let changes = running.map(|(state, before)| (state, Changes::between(&before, &does)));
    if json {
        let changes = changes.as_ref().map(|(state, changes)| json!({ "state": state, "changes": changes }));
        let found = json!({
            "file": file, "good": true, "problems": [], "notices": list(&config.notices), "does": does, "running": changes,
        });
        say::line(&found.to_string());
        return Ok(());
    }
    notices(&file, &config);
    show::description(&file, &does);
    if let Some((state, changes)) = changes {
        show::changes(&state, &changes);
    }
    Ok(())
}

fn wrong(file: &Path, error: &ConfigError, json: bool) -> Failure {
    if json {
        say::line(&json!({ "file": file, "good": false, "problems": list(&error.problems), "notices": [] }).to_string());
    }
    Failure::usage(error.to_string())
}

fn list(problems: &[Problem]) -> Vec<serde_json::Value> {
    problems.iter().map(|at| json!({ "line": at.line, "column": at.column, "message": at.message })).collect()
}

/// What the Lethe on `state` does, if one runs there.
async fn running(state: Option<PathBuf>) -> Result<Option<(PathBuf, Description)>, Failure> {
    let asked = state.is_some();
    let state = state.unwrap_or_else(|| PathBuf::from(STATE));
    if !asked && !state.join(SUPERVISOR_SOCKET).exists() {
        return Ok(None);
    }
    let request = ReportRequest { order: Some(Order::Describe), ..ReportRequest::default() };
    match ask::<Answer>(&state, &request).await {
        Ok(Answer { outcome: Outcome::Done, said }) => {
            let told = said.first().and_then(|text| serde_json::from_str(text).ok());
            let told =
                told.ok_or_else(|| Failure::failed("the Lethe that runs there is of another version: upgrade it first"))?;
            Ok(Some((state, told)))
        }
        Ok(Answer { said, .. }) => Err(Failure::failed(said.join("\n"))),
        Err(failure) if asked => Err(failure),
        Err(_) => Ok(None),
    }
}

/// Says what an operator should know.
pub(crate) fn notices(file: &Path, config: &Config) {
    for notice in &config.notices {
        say::complain(&format!("{}:{}:{}: note: {}", file.display(), notice.line, notice.column, notice.message));
    }
}
