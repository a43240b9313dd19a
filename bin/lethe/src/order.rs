//! `lethe reload` and `lethe upgrade`: orders to a running Lethe, through its supervisor's socket.

use std::path::PathBuf;

use lethe_supervisor::{Answer, Order, Outcome, ReportRequest};

use crate::{failure::Failure, posture::ask, say};

#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  lethe reload
  lethe reload --state /var/lib/lethe

Providers, models, keys, terms, and certificate and key of the client port change at once: open requests end as they began, new ones
follow the new file. A file that is wrong changes nothing and ends with code 64. SIGHUP to `lethe up` does the same.")]
pub(crate) struct Reload {
    /// State folder of the Lethe on this machine
    #[arg(long, value_name = "DIR", env = "LETHE_STATE", default_value = "./lethe-state")]
    state: PathBuf,
}

#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  lethe upgrade
  lethe upgrade --state /var/lib/lethe

New parts start on the same ports, then the old ones finish what is open. If a new part does not start, the old one goes on and the
command ends with code 1. The supervisor itself (`lethe up`) stays as it is until it is started again. SIGUSR2 to `lethe up` does the
same.")]
pub(crate) struct Upgrade {
    /// State folder of the Lethe on this machine
    #[arg(long, value_name = "DIR", env = "LETHE_STATE", default_value = "./lethe-state")]
    state: PathBuf,
}

pub(crate) async fn reload(args: Reload) -> Result<(), Failure> {
    give(&args.state, Order::Reload).await
}

pub(crate) async fn upgrade(args: Upgrade) -> Result<(), Failure> {
    give(&args.state, Order::Upgrade).await
}

async fn give(state: &std::path::Path, order: Order) -> Result<(), Failure> {
    let Answer { outcome, said } = ask(state, &ReportRequest { order: Some(order), ..ReportRequest::default() }).await?;
    let text = said.join("\n");
    match outcome {
        Outcome::Done => {
            said.iter().for_each(|line| say::line(line));
            Ok(())
        }
        Outcome::Failed => Err(Failure::failed(text)),
        Outcome::Refused => Err(Failure::usage(text)),
    }
}
