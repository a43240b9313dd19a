//! The row that ends a process: a handler dies while a request is open in it, and afterwards core files, memory, logs and files are looked at as after
//! every other row. Some servers write a dump of themselves where the kernel writes none.

use std::thread;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::Audit;
use super::look::Look;
use crate::canary::{Canaries, Direction, Id, Label, Modality, NoRandomness};
use crate::drive::{self, Interrupted, Observation, Observed};
use crate::host::process;
use crate::report::{RowShown, RowState};

/// In a report, and for `--only`.
pub const OUTCOME: &str = "handler crash";

/// For the request to be open.
const LIMIT: Duration = Duration::from_secs(10);
/// For a completion's first words to reach the client, after the provider has said them.
const PATIENCE: Duration = Duration::from_secs(1);
/// For the kernel to write a core of many gigabytes.
const DUMP: Duration = Duration::from_secs(60);
/// Until a signal that a process handles by itself is taken for one that it survives.
const SURVIVED: Duration = Duration::from_secs(3);
/// Until whatever restarts the handler has.
const RETURN: Duration = Duration::from_secs(20);
/// The same, where nothing is known that would.
const NO_RETURN: Duration = Duration::from_secs(3);

/// Whether the handler may be ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Crash {
    Allowed,
    /// Other rows were asked for.
    LeftOut,
    /// It is somebody's process, who has not said so.
    #[default]
    NotAllowed,
}

/// The row with its markers, before it is played.
pub(super) struct Row {
    prompt: (String, Id),
    header: String,
    completion: Option<String>,
    markers: usize,
}

/// What came of it.
pub(super) struct Played {
    pub(super) row: RowShown,
    /// The target did not come back.
    pub(super) gone: Option<Observed>,
}

fn endpoint(audit: &Audit) -> &'static str {
    match audit.target.dialect() {
        drive::Dialect::Anthropic => "POST /v1/messages",
        drive::Dialect::Gemini => "POST /v1beta/models/{model}:generateContent",
        drive::Dialect::OpenAi => "POST /v1/chat/completions",
    }
}

impl Row {
    /// Makes the markers; `None` if the row is not part of this run.
    pub(super) fn prepare(audit: &Audit, canaries: &mut Canaries) -> Result<Option<Self>, NoRandomness> {
        if audit.crash == Crash::LeftOut {
            return Ok(None);
        }
        let mut marker = |direction, modality| {
            let label = Label { endpoint: endpoint(audit).to_owned(), outcome: OUTCOME.to_owned(), direction, modality };
            let text = canaries.text(label)?;
            let id = Id(u32::try_from(canaries.len()).unwrap_or(u32::MAX).saturating_sub(1));
            Ok::<_, NoRandomness>((text, id))
        };
        let prompt = marker(Direction::Prompt, Modality::Text)?;
        let (header, _) = marker(Direction::Prompt, Modality::Header)?;
        let completion = match &audit.provider {
            Some(_) => Some(marker(Direction::Completion, Modality::Text)?.0),
            None => None,
        };
        let markers = 2 + usize::from(completion.is_some());
        Ok(Some(Self { prompt, header, completion, markers }))
    }

    /// Ends the process that has the request, and waits until there is another.
    pub(super) fn play(&self, audit: &Audit, look: &Look<'_, '_>) -> Played {
        let shown = |state, why: Option<&str>, markers| RowShown {
            endpoint: endpoint(audit).to_owned(),
            outcome: OUTCOME.to_owned(),
            class: drive::Class::Process.name().to_owned(),
            status: None,
            state,
            why: why.map(str::to_owned),
            canaries: markers,
        };
        let not = |why: &str| Played { row: shown(RowState::NotExercised, Some(why), 0), gone: None };
        if audit.crash != Crash::Allowed {
            return not("it ends a process of the target: give --crash");
        }
        if audit.pids.is_empty() {
            return not("the target's processes are not known: give --pid or --spawn");
        }
        let request = Interrupted { prompt: &self.prompt.0, header: &self.header, completion: self.completion.as_deref() };
        let client = match drive::interrupt(&audit.target, audit.provider.as_ref(), &request, LIMIT, PATIENCE) {
            Ok((client, true)) => client,
            Ok((_, false)) => return not("no request could be held open"),
            Err(broken) => return not(&format!("no connection: {broken}")),
        };
        let handlers = self.handlers(audit, look);
        if handlers.is_empty() {
            return not("the process that has the request could not be told from the others");
        }
        let survived = handlers.iter().filter(|pid| !crash(**pid)).count();
        client.leave();
        if survived > 0 {
            return not("its handler survives SIGABRT and SIGSEGV");
        }
        let gone = !returns(audit);
        let observed = Observed { endpoint: endpoint(audit), outcome: OUTCOME, what: Observation::TargetGone };
        Played { row: shown(RowState::Exercised, None, self.markers), gone: gone.then_some(observed) }
    }
}

impl Row {
    /// The only process that there is, those that are known to be it, or whoever has the prompt.
    fn handlers(&self, audit: &Audit, look: &Look<'_, '_>) -> Vec<u32> {
        let alive: Vec<u32> = process::tree(&audit.pids).into_iter().filter(|pid| process::is_alive(*pid)).collect();
        match (&audit.handlers[..], &alive[..]) {
            (known @ [_, ..], _) => known.to_vec(),
            (_, [only]) => vec![*only],
            _ => look.holders(self.prompt.1),
        }
    }
}

/// Ends a process as its own fault would; false if it goes on.
fn crash(pid: u32) -> bool {
    let Ok(number) = i32::try_from(pid) else { return false };
    // SIGABRT first: runtimes that look for overflowing stacks take the first SIGSEGV for one, and go on.
    [Signal::SIGABRT, Signal::SIGSEGV, Signal::SIGSEGV].into_iter().any(|signal| {
        match kill(Pid::from_raw(number), signal) {
            Ok(()) => {}
            Err(error) => return error == Errno::ESRCH,
        }
        let sent = Instant::now();
        while process::is_alive(pid) {
            // While a core is written there is nothing left that runs, and that takes its time.
            let limit = if process::dumps_core(pid) { DUMP } else { SURVIVED };
            if sent.elapsed() > limit {
                return false;
            }
            thread::sleep(Duration::from_millis(10));
        }
        true
    })
}

/// Whether the target answers again.
fn returns(audit: &Audit) -> bool {
    let began = Instant::now();
    loop {
        if drive::probe(&audit.target, audit.provider.as_ref(), LIMIT).is_ok() {
            return true;
        }
        let some = process::tree(&audit.pids).into_iter().any(process::is_alive);
        if began.elapsed() > if some { RETURN } else { NO_RETURN } {
            return false;
        }
        thread::sleep(Duration::from_millis(50));
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed expectation is a failed test")]

    use std::os::unix::process::ExitStatusExt;
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn a_process_is_ended_and_one_that_cannot_be_is_told() {
        let mut child = Command::new("sleep").arg("600").spawn().unwrap();
        assert!(crash(child.id()));
        assert_eq!(child.wait().unwrap().signal(), Some(Signal::SIGABRT as i32));

        let mut deaf = Command::new("sh")
            .args(["-c", "trap '' ABRT SEGV; echo ready; exec sleep 600"])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        std::io::Read::read_exact(deaf.stdout.as_mut().unwrap(), &mut [0; 6]).unwrap();
        assert!(!crash(deaf.id()));
        deaf.kill().unwrap();
        deaf.wait().unwrap();
    }
}
