//! `lethe upgrade` and recycling: new parts on the same listeners, then the old ones finish what is open.
//!
//! As nginx' USR2 and HAProxy's reload do: the new process accepts before the old one stops, on a socket that neither closes. The parts are
//! started from the executables that are on disk now. The supervisor itself stays: it holds the listeners.

use std::{process::Command, sync::Arc, time::Duration};

use lethe_handover::Role;
use lethe_supervisor::{Answer, Crewmates, Obeyed, Part};
use tokio::time::timeout;

use super::parts::Parts;

/// For a new gateway to be linked. Shorter than it waits itself before it lets clients in all the same.
const LINKED: Duration = Duration::from_secs(8);
/// For a new part that is of no use.
const STOP: Duration = Duration::from_secs(5);
/// For control to end, and for a new one to serve.
const CONTROL: Duration = Duration::from_secs(60);

/// A new gateway with its dialer.
pub(crate) async fn recycle(parts: &Arc<Parts>) -> Obeyed {
    match gateway(parts).await {
        Ok(started) => Obeyed { started, answer: Answer::done(vec!["a new gateway and dialer serve".to_owned()]) },
        Err(why) => Obeyed { started: Vec::new(), answer: Answer::failed(why) },
    }
}

/// Everything anew: what holds content first, because nobody notices if it fails.
pub(crate) async fn upgrade(parts: &Arc<Parts>, mates: &Crewmates) -> Obeyed {
    let mut started = Vec::new();
    match each(parts, mates, &mut started).await {
        Ok(said) => Obeyed { started, answer: Answer::done(said) },
        Err(why) => {
            for part in started {
                part.stop(STOP).await;
            }
            Obeyed { started: Vec::new(), answer: Answer::failed(format!("{why}; what was running goes on")) }
        }
    }
}

async fn each(parts: &Arc<Parts>, mates: &Crewmates, started: &mut Vec<Part>) -> Result<Vec<String>, String> {
    let mut said = Vec::new();
    if parts.engine.is_some() {
        started.push(parts.engine().await?);
        started.push(parts.node().await?);
        said.push("a new engine and node front serve".to_owned());
    }
    started.extend(gateway(parts).await?);
    said.push("a new gateway and dialer serve".to_owned());
    // Two controls on one database would not know of each other's keys: the new one starts when the old one has ended, and gateways
    // go on meanwhile. So what can be seen of the new executable is looked at first.
    parts.check_own_executable().await?;
    if !mates.replace(Role::Control, CONTROL).await {
        return Err("control did not come back: it is tried again".to_owned());
    }
    said.push("a new control serves".to_owned());
    said.push("the supervisor stays as it is until `lethe up` is started again".to_owned());
    Ok(said)
}

/// A new gateway with its dialer, linked to control.
async fn gateway(parts: &Arc<Parts>) -> Result<Vec<Part>, String> {
    let started = parts.serving().await?;
    let gateway = started.iter().find(|part| part.role() == Role::Gateway);
    let linked = match gateway {
        Some(gateway) => gateway.linked(LINKED).await,
        None => false,
    };
    if linked {
        return Ok(started);
    }
    for part in started {
        part.stop(STOP).await;
    }
    Err(format!("the new gateway had no word from control within {} s", LINKED.as_secs()))
}

/// Whether the executable at `path` runs and is a `lethe`.
pub(crate) async fn runs(path: &std::path::Path) -> Result<(), String> {
    let mut command = Command::new(path);
    command.arg("--version").env_clear().current_dir("/");
    let path = path.display().to_string();
    let looked = tokio::task::spawn_blocking(move || command.output());
    match timeout(STOP, looked).await {
        Ok(Ok(Ok(output))) if output.status.success() && output.stdout.starts_with(b"lethe ") => Ok(()),
        _ => Err(format!("{path} does not run as a lethe")),
    }
}
