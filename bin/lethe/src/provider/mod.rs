//! `lethe provider`: what the configuration says of providers, and whether one answers.

mod certificate;
mod exchange;
mod list;
mod reach;
mod report;
mod tap;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use lethe_config::{Config, Model, Provider};
use lethe_confine::dialer::Names;
use lethe_control::{NotObtained, Outbound, Trust};
use lethe_policy::{Credential, Grant, Standing, Terms};
use lethe_types::{Api, Capability, Clock, Failure as Code, SystemClock};

use crate::{control::Resolver, failure::Failure, say};
use report::Report;

#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  lethe provider list --config lethe.toml
  lethe provider test openai --config lethe.toml
  lethe provider test openai --model gpt-5-mini --stream --json")]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    /// List the providers of a configuration file, with the standing of their terms
    #[command(after_help = "Example:\n  lethe provider list --config lethe.toml --json")]
    List {
        #[command(flatten)]
        file: File,
        /// One JSON object per line
        #[arg(long)]
        json: bool,
    },
    /// Send a synthetic text to one provider, from this process, and show every step
    #[command(after_help = "\
Example:
  lethe provider test openai --config lethe.toml

The text is \"Reply with the single word: ready\". The credential is sent and never shown. Redirects are not followed. It is sent as the
gateway would send it, from this user's network: where the two differ, so may the outcome.")]
    Test(Test),
}

#[derive(clap::Args)]
struct File {
    /// Configuration file
    #[arg(long, value_name = "FILE", env = "LETHE_CONFIG", default_value = "lethe.toml")]
    config: PathBuf,
}

#[derive(clap::Args)]
struct Test {
    /// Id of the provider, as `lethe provider list` shows it
    id: String,
    #[command(flatten)]
    file: File,
    /// A model of the configuration that is routed to it; default: the first
    #[arg(long, value_name = "MODEL")]
    model: Option<String>,
    /// Ask for a stream
    #[arg(long)]
    stream: bool,
    /// Send the synthetic text even if the provider's terms let nothing else through
    #[arg(long)]
    ignore_terms: bool,
    /// One JSON object
    #[arg(long)]
    json: bool,
}

/// What is asked of whom.
struct Subject<'a> {
    provider: &'a Provider,
    /// The provider's own name of the model.
    upstream_model: &'a str,
    api: Api,
    stream: bool,
    /// Obtained, where the configuration only says how.
    credential: Credential,
}

pub(crate) async fn run(args: Args) -> Result<(), Failure> {
    match args.command {
        Command::List { file, json } => list::run(&load(&file.config)?, json),
        Command::Test(test) => self::test(&test).await,
    }
}

fn load(path: &Path) -> Result<Config, Failure> {
    lethe_config::load(path).map_err(|error| Failure::usage(error.to_string()))
}

/// Models that lead to the provider at this position, with its own names of them.
fn routed(config: &Config, position: usize) -> impl Iterator<Item = (&Model, &str)> {
    let routes = config.models.iter().flat_map(|model| model.routes.iter().map(move |route| (model, route)));
    routes.filter(move |(_, route)| route.provider == position).map(|(model, route)| (model, route.model.as_str()))
}

fn standing(provider: &Provider) -> Standing {
    Terms::standing(provider.terms.as_ref().map(|terms| &terms.terms), SystemClock.now())
}

async fn test(test: &Test) -> Result<(), Failure> {
    let config = load(&test.file.config)?;
    let file = test.file.config.display();
    let Some(position) = config.providers.iter().position(|provider| provider.id == test.id) else {
        let known: Vec<&str> = config.providers.iter().map(|provider| provider.id.as_str()).collect();
        return Err(Failure::usage(format!("{file}: there is no provider \"{}\": write one of {}", test.id, known.join(", "))));
    };
    // A wildcard is no name that could be asked for.
    let wanted = |model: &Model| !model.id.contains('*') && test.model.as_ref().is_none_or(|id| *id == model.id);
    let Some((model, upstream_model)) = routed(&config, position).find(|(model, _)| wanted(model)) else {
        let known: Vec<&str> = routed(&config, position).map(|(model, _)| model.id.as_str()).collect();
        return Err(Failure::usage(format!(
            "{file}: no such model is routed to \"{}\": write --model with one of {}",
            test.id,
            known.join(", ")
        )));
    };
    let provider = &config.providers[position];
    let api = if model.capabilities.contains(&Capability::Chat) { Api::Chat } else { Api::Embeddings };
    let stream = test.stream && api == Api::Chat;
    let credential = provider.credential.clone();
    let mut subject = Subject { provider, upstream_model, api, stream, credential };
    let mut report = Report::new(&subject, &model.id);
    let standing = report.terms(standing(provider));
    let outcome = if standing == Standing::Good || test.ignore_terms {
        let exchanged = attempt(&mut subject, &mut report).await;
        // What the gateway would say comes first: it would not have asked.
        if standing == Standing::Good { exchanged } else { exchanged.and(Err(Code::Terms)) }
    } else {
        Err(Code::Terms)
    };
    report.conclude(outcome);
    if test.json {
        say::line(&report.json().to_string())
    } else {
        report.text().lines().for_each(say::line)
    }
    outcome.map_err(|_| Failure::quiet())
}

/// A credential that control would obtain, with the server's own words if it gives none out.
async fn obtain(provider: &Provider, grant: &Grant, report: &mut Report) -> Result<Credential, Code> {
    let mut step = report.begin("credential");
    step.fact("grant", grant.name());
    step.fact("server", &grant.server().url());
    let trust = Trust { allow_private: provider.allow_private_network, extra_roots: provider.extra_roots.clone() };
    let outbound = Outbound::new(Arc::new(Resolver(Names::from_system())));
    let now = SystemClock.now();
    match lethe_control::obtain(&outbound, grant, &trust, now).await {
        Ok(obtained) => {
            step.fact("holds", &format!("{} s", obtained.expires.saturating_sub(now) / 1000));
            report.good(step);
            Ok(obtained.credential)
        }
        Err(NotObtained { failure, said }) => {
            if let Some(said) = said {
                step.text("said", &said);
            }
            Err(report.end(step, Err("it was not given out"), failure))
        }
    }
}

/// Every step, until one fails.
async fn attempt(subject: &mut Subject<'_>, report: &mut Report) -> Result<(), Code> {
    if let Some(grant) = &subject.provider.grant {
        subject.credential = obtain(subject.provider, grant, report).await?;
        report.hide(&subject.credential);
    }
    let addresses = reach::resolve(subject.provider, report).await?;
    let socket = reach::connect(subject.provider, &addresses, report).await?;
    let stream = reach::protect(subject.provider, socket, report).await?;
    exchange::run(subject, stream, report).await
}
