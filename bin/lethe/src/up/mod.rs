//! `lethe up`: everything on one machine.

mod announce;
mod board;
mod bounds;
mod listen;
mod memory_limit;
mod parts;
mod ready;
mod reload;
mod setup;
mod state;
mod upgrade;

use std::{net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use lethe_config::{ClientTls, Config};
use lethe_handover::Role;
use lethe_supervisor::{Answer, DrainLimits, End, Launcher, Notice, Outcome, Pauses, RoleUsers, Rules, Signals, supervise};
use tokio::sync::oneshot;

use crate::{config::notices, failure::Failure, model, say};
use board::Board;
use listen::Listeners;
use parts::{Executables, Parts, Plan};
pub(crate) use ready::Ready;
use state::State;

/// Beyond what the gateway itself gives open requests, and for parts that have none.
const DRAIN_MARGIN: Duration = Duration::from_secs(10);

#[derive(Clone, clap::Args)]
#[command(after_help = "\
Examples:
  lethe up
  lethe up --config lethe.toml --state /var/lib/lethe
  lethe up --api 127.0.0.1:0 --probes 127.0.0.1:0 --console 127.0.0.1:0    free ports; see DIR/ready.json

Started as root, each part gets a user of its own: lethe-control, lethe-gateway, lethe-dialer, lethe-node and lethe-engine where
they exist, else the numbers 64610 to 64614. SIGTERM or an interrupt drains and ends with code 0; a second one kills.
SIGHUP reads the configuration file again (`lethe reload`), SIGUSR2 replaces every part (`lethe upgrade`). A second
`lethe up` on the same state folder ends with code 1.")]
pub(crate) struct Args {
    /// Configuration file; without one the embedded engine serves
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Where accounts and records are kept; made if it is not there
    #[arg(long, value_name = "DIR", env = "LETHE_STATE", default_value = "./lethe-state")]
    state: PathBuf,
    /// Client address instead of `[gateway] listen`; port 0 picks a free one
    #[arg(long, value_name = "ADDR")]
    api: Option<SocketAddr>,
    /// Operator address instead of `[control] console`
    #[arg(long, value_name = "ADDR")]
    console: Option<SocketAddr>,
    /// Liveness and readiness address instead of `[gateway] probes`
    #[arg(long, value_name = "ADDR")]
    probes: Option<SocketAddr>,
    /// Model file (GGUF) for the embedded engine, or the https:// address of the pinned one; switches the engine on
    #[arg(long, value_name = "PATH|URL")]
    model: Option<String>,
    /// For development where confinement cannot be had: loopback only, and shown wherever anything is claimed
    #[arg(long)]
    unconfined: bool,
    /// Print what `DIR/ready.json` holds, as one line
    #[arg(long)]
    json: bool,
    /// Longest pause before a part that ended by itself is started again, in milliseconds; for tests that end one often
    #[arg(long, value_name = "MS", hide = true)]
    restart_pause_ms: Option<u64>,
    /// A gateway this old is replaced, in milliseconds, instead of `[gateway] recycle_hours`; for tests
    #[arg(long, value_name = "MS", hide = true)]
    recycle_ms: Option<u64>,
}

pub(crate) fn run(args: Args) -> Result<(), Failure> {
    // First of all: nothing may be open yet.
    lethe_supervisor::shed_inherited_descriptors()
        .map_err(|error| Failure::failed(format!("inherited descriptors cannot be given up: {error}")))?;
    let launcher = Launcher::new().map_err(|error| Failure::failed(error.to_string()))?;
    rustix::process::umask(rustix::fs::Mode::RWXG | rustix::fs::Mode::RWXO);

    let config = configuration(&args)?;
    let users = RoleUsers::of_this_machine().map_err(|error| Failure::failed(error.to_string()))?;
    let executables = Executables::find(config.engine.enabled)?;
    let state = State::open(&args.state, users.as_ref().map(|users| users.of(Role::Control)))?;
    let board = Arc::new(Board::new(state.path()));
    let (state, unconfined) = (Arc::new(state), args.unconfined);
    let written = config.gateway.clone();
    let plan = Plan { launcher, args: args.clone(), config, written, state, executables, engine: None, users, unconfined, board };
    crate::runtime()?.block_on(serve(&args, plan))
}

/// The configuration file with the command line over it.
fn configuration(args: &Args) -> Result<Config, Failure> {
    let mut config = match &args.config {
        None => Config::default(),
        Some(path) => {
            let config = lethe_config::load(path).map_err(|error| Failure::usage(error.to_string()))?;
            notices(path, &config);
            config
        }
    };
    config.gateway.listen = args.api.unwrap_or(config.gateway.listen);
    config.gateway.probes = args.probes.unwrap_or(config.gateway.probes);
    config.control.console = args.console.unwrap_or(config.control.console);
    if let Some(model) = &args.model {
        config.engine.enabled = true;
        if !model.contains("://") {
            config.engine.model = Some(PathBuf::from(model));
        }
    }
    let (api, probes, console) = (config.gateway.listen, config.gateway.probes, config.control.console);
    if matches!(config.gateway.tls, ClientTls::None) && !api.ip().is_loopback() {
        return Err(Failure::usage(format!(
            "{api} can be reached from outside, and nothing protects it in transit: write tls = {{ cert = \"…\", key = \"…\" }} in \
             [gateway], or --api 127.0.0.1:{}",
            api.port()
        )));
    }
    if !console.ip().is_loopback() {
        return Err(Failure::usage("the console listens on loopback only in this version: write --console 127.0.0.1:8443"));
    }
    if args.unconfined && ![api, probes].iter().all(|address| address.ip().is_loopback()) {
        return Err(Failure::usage("--unconfined is for loopback only: write --api 127.0.0.1:8080 and --probes 127.0.0.1:8081"));
    }
    Ok(config)
}

/// Fields of the file over which the command line was written.
fn by_command_line(args: &Args) -> Vec<String> {
    let said = [
        ("[gateway] listen", args.api.is_some()),
        ("[gateway] probes", args.probes.is_some()),
        ("[control] console", args.console.is_some()),
        ("[engine] enabled", args.model.is_some()),
    ];
    said.into_iter().filter(|(_, said)| *said).map(|(name, _)| name.to_owned()).collect()
}

async fn serve(args: &Args, mut plan: Plan) -> Result<(), Failure> {
    let (state, board) = (Arc::clone(&plan.state), Arc::clone(&plan.board));
    let mut signals = Signals::new().map_err(|error| Failure::failed(format!("signals cannot be listened for: {error}")))?;
    let previous = Ready::load(state.path());
    // Whoever waits for this file must not take the last run's for this one's.
    previous.without_process().save(state.path())?;
    let model = tokio::select! {
        model = engine_model(args, &plan.config) => model?,
        () = signals.end() => return Ok(()),
    };
    plan.engine = setup::engine(&plan.config, model)?;
    bounds::fit(&mut plan.config.gateway, plan.engine.as_ref().map(|engine| engine.path.as_path()))?;
    let listeners = Listeners::bind(&plan.config, &state)?;
    if args.unconfined {
        say::complain("lethe: UNCONFINED: nothing keeps content in memory but the program itself; for development only");
    }

    let reports = listeners.reports()?;
    let rules = rules(args, &plan.config);
    let parts = Parts::new(plan, listeners)?;
    let started = tokio::select! {
        started = parts.start_all() => started,
        // Parts end with their channels, which end with this process. None has served anybody yet.
        () = signals.end() => {
            state.remove_sockets();
            return Ok(());
        }
    };
    let started = started.inspect_err(|_| state.remove_sockets())?;
    let known = parts.known().map_err(Failure::failed)?;
    state.write_console_ca(&known.authority)?;
    let config = parts.config();
    let ready = announce::Announcement {
        addresses: parts.addresses,
        tls: matches!(config.gateway.tls, ClientTls::Own { .. }),
        model: config
            .models
            .first()
            .map(|model| model.id.clone())
            .or_else(|| parts.engine.as_ref().map(|engine| engine.id.clone())),
        first_key: known.first_key,
        unconfined: args.unconfined,
        json: args.json,
    };

    let (give_up, given_up) = oneshot::channel::<()>();
    let asked = async {
        // A sender that is gone without a word means that all is well.
        if given_up.await.is_err() {
            std::future::pending::<()>().await;
        }
    };
    let announcing = async {
        let announced = ready.make(&state, &previous, &board).await;
        if announced.is_err() {
            let _ = give_up.send(());
        }
        announced
    };
    let running = supervise(Arc::clone(&parts), started, reports, rules, signals, asked);
    let (end, announced) = both(running, announcing).await;
    board.take_down();
    let kept = Ready::load(state.path()).without_process().save(state.path());
    state.remove_sockets();
    announced.unwrap_or(Ok(()))?;
    outcome(&end)?;
    kept
}

fn rules(args: &Args, config: &Config) -> Rules {
    let serving = Duration::from_secs(config.gateway.drain_seconds.into()) + DRAIN_MARGIN;
    let mut pauses = Pauses::default();
    if let Some(longest) = args.restart_pause_ms {
        pauses.longest = Duration::from_millis(longest);
    }
    let hours = Duration::from_secs(u64::from(config.gateway.recycle_hours) * 60 * 60);
    let recycle_after = args.recycle_ms.map_or(hours, Duration::from_millis);
    Rules { drain: DrainLimits { serving, other: DRAIN_MARGIN }, pauses, recycle_after }
}

/// Runs both until the first is done; the second may be cut short then.
async fn both<A, B>(first: impl Future<Output = A>, second: impl Future<Output = B>) -> (A, Option<B>) {
    let (mut first, mut second) = (std::pin::pin!(first), std::pin::pin!(second));
    tokio::select! {
        a = first.as_mut() => (a, None),
        b = second.as_mut() => (first.await, Some(b)),
    }
}

/// The model's path and the id that clients name it by; `None` when the engine is off.
async fn engine_model(args: &Args, config: &Config) -> Result<Option<(PathBuf, String)>, Failure> {
    if !config.engine.enabled {
        return Ok(None);
    }
    if let Some(path) = &config.engine.model {
        return Ok(Some((path.clone(), setup::model_id(path)?)));
    }
    let from = args.model.as_deref().filter(|model| model.contains("://"));
    let path = model::fetch(from, &model::Wanted::pinned()).await?;
    Ok(Some((path, model::PINNED_ID.to_owned())))
}

fn tell(notice: &Notice) {
    match notice {
        Notice::Answered(order, Answer { outcome, said }) => {
            let text = said.join("\n");
            match outcome {
                Outcome::Done => say::complain(&format!("lethe: {}: {text}", order.name())),
                Outcome::Failed | Outcome::Refused => say::complain(&format!("lethe: no {}: {text}", order.name())),
            }
        }
        Notice::Draining => say::progress("draining; interrupt again to kill"),
        Notice::Ended { role, exit, times, pause } => say::complain(&format!(
            "lethe: the {} ended by itself ({exit}; {times} in all); it is started again in {} ms",
            role.name(),
            pause.as_millis()
        )),
        Notice::Late(role) => say::complain(&format!("lethe: the {} did not finish in time and was killed", role.name())),
        Notice::NotRotated(role) => {
            say::complain(&format!("lethe: the {} did not take its new certificate: the old one stays", role.name()));
        }
        // The reason says who.
        Notice::NotStarted { role: _, reason, pause } => {
            say::complain(&format!("lethe: {reason}; it is tried again in {} ms", pause.as_millis()));
        }
        Notice::Panicked(role, report) => say::complain(&format!(
            "lethe: panic in the {} at {:016x}:{}, build {:016x}",
            role.name(),
            report.location,
            report.line,
            report.build
        )),
        Notice::Replaced(role) => say::complain(&format!("lethe: the {} serves again", role.name())),
    }
}

fn outcome(end: &End) -> Result<(), Failure> {
    match end {
        End::Asked => Ok(()),
        End::Swap => Err(Failure::failed(
            "swap was switched on while memory was not locked, and content could have reached the disk: the data plane was ended at \
             once; switch swap off (swapoff -a) or allow locked memory (ulimit -l unlimited), and start again",
        )),
        End::Killed => Err(Failure::failed("killed before everything was drained")),
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

    use super::{Args, configuration};

    fn args(api: &str, unconfined: bool) -> Args {
        Args {
            config: None,
            state: "state".into(),
            api: Some(api.parse().unwrap()),
            console: None,
            probes: None,
            model: None,
            unconfined,
            json: false,
            restart_pause_ms: None,
            recycle_ms: None,
        }
    }

    #[test]
    fn the_command_line_cannot_open_what_the_file_may_not() {
        assert_eq!(configuration(&args("127.0.0.1:0", false)).ok().unwrap().gateway.listen.port(), 0);
        let refused = configuration(&args("0.0.0.0:8080", false)).err().unwrap();
        assert!(refused.message().contains("--api 127.0.0.1:8080"));
        let mut console = args("127.0.0.1:0", false);
        console.console = Some("0.0.0.0:1".parse().unwrap());
        assert!(configuration(&console).err().unwrap().message().contains("loopback only"));
        let mut probes = args("127.0.0.1:0", true);
        probes.probes = Some("0.0.0.0:1".parse().unwrap());
        assert!(configuration(&probes).err().unwrap().message().contains("--unconfined"));
    }
}
