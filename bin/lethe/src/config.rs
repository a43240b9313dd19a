//! `lethe config check`.

use std::path::PathBuf;

use serde_json::json;

use crate::{failure::Failure, say};

#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  lethe config check lethe.toml
  lethe config check lethe.toml --json")]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    /// Say everything that is wrong with a configuration file, and what to write instead; secrets are looked up and not shown
    #[command(after_help = "Example:\n  lethe config check lethe.toml")]
    Check {
        /// The file
        file: PathBuf,
        /// One JSON object
        #[arg(long)]
        json: bool,
    },
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let Command::Check { file, json } = &args.command;
    let checked = lethe_config::load(file);
    if *json {
        let list = |problems: &[lethe_config::Problem]| -> Vec<serde_json::Value> {
            problems.iter().map(|at| json!({ "line": at.line, "column": at.column, "message": at.message })).collect()
        };
        let (problems, notices) = match &checked {
            Ok(config) => (Vec::new(), list(&config.notices)),
            Err(error) => (list(&error.problems), Vec::new()),
        };
        say::line(&json!({ "file": file, "good": checked.is_ok(), "problems": problems, "notices": notices }).to_string());
    }
    let config = checked.map_err(|error| Failure::usage(error.to_string()))?;
    if !json {
        notices(file, &config);
        say::line(&format!("{}: good, {} providers, {} models", file.display(), config.providers.len(), config.models.len()));
    }
    Ok(())
}

/// Says what an operator should know.
pub(crate) fn notices(file: &std::path::Path, config: &lethe_config::Config) {
    for notice in &config.notices {
        say::complain(&format!("{}:{}:{}: note: {}", file.display(), notice.line, notice.column, notice.message));
    }
}
