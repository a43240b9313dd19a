//! `lethe import`: configurations of other gateways, translated.

mod deployment;
mod emit;
mod litellm;
mod settings;
mod upstream;
mod yaml;

use std::{
    ffi::OsString,
    fs::OpenOptions,
    io::Write,
    path::{Path, PathBuf},
};

use crate::{failure::Failure, say};

#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  lethe import litellm config.yaml
  lethe import litellm config.yaml --out lethe.toml")]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    /// Translate a LiteLLM proxy's config.yaml
    #[command(after_help = "\
Example:
  lethe import litellm config.yaml --out lethe.toml

Models, providers, weights, strategies, fallbacks and wildcards are carried over; what has no place here is named in comments, with the
reason. A key that stands in the file is not copied: the variable that it belongs into is named. Terms are yours to review: until they
are written, routes answer 503.")]
    Litellm {
        /// The file
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// Where to write; default: standard output. An existing file is not overwritten
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
}

/// A larger file is no configuration.
const LIMIT_BYTES: u64 = 4 * 1024 * 1024;

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let Command::Litellm { file, out } = &args.command;
    let text = read(file)?;
    let translated =
        litellm::translate(&text, &process_environment).map_err(|why| Failure::usage(format!("{}:{why}", file.display())))?;
    match out {
        None => say::line(translated.toml.trim_end()),
        Some(out) => write(out, &translated.toml)?,
    }
    say::complain(&format!(
        "{}: {} providers, {} models, {} things without a place here (see the comments)",
        file.display(),
        translated.providers,
        translated.models,
        translated.left
    ));
    let name = out.as_deref().unwrap_or(Path::new("lethe.toml"));
    // Whatever the variables hold: only what is written is looked at.
    match lethe_config::parse(&translated.toml, name, &|_| Some(OsString::from("AKIAIOSFODNN7EXAMPLE"))) {
        Ok(_) => Ok(()),
        Err(error) => Err(Failure::failed(format!("to be put right by hand:\n{error}"))),
    }
}

fn process_environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

fn read(file: &Path) -> Result<String, Failure> {
    let unreadable = |error: std::io::Error| Failure::usage(format!("{} cannot be read ({})", file.display(), error.kind()));
    if std::fs::metadata(file).map_err(unreadable)?.len() > LIMIT_BYTES {
        return Err(Failure::usage(format!("{} is larger than any configuration", file.display())));
    }
    std::fs::read_to_string(file).map_err(unreadable)
}

fn write(out: &Path, text: &str) -> Result<(), Failure> {
    let failed = |error: std::io::Error| match error.kind() {
        std::io::ErrorKind::AlreadyExists => {
            Failure::usage(format!("{} exists: name another file with --out, or move it away", out.display()))
        }
        kind => Failure::failed(format!("{} cannot be written ({kind})", out.display())),
    };
    let mut file = OpenOptions::new().write(true).create_new(true).open(out).map_err(failed)?;
    file.write_all(text.as_bytes()).map_err(failed)
}
