//! One audit from beginning to end: watch, plant controls, exercise, wait, look everywhere, judge.

mod collect;
mod controls;
mod crash;
mod links;
mod look;
mod places;
mod spawned;
mod verdicts;

use std::fmt;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use crate::canary::{Canaries, NoRandomness};
use crate::detect::Detector;
use crate::drive::{self, NoVerdict, Plan, Progress, Provider, Sink as OtlpSink, Target};
use crate::host::files::{Watch, WatchRequest};
use crate::host::network::Sampler;
use crate::host::packets::Capture;
use crate::host::trace::Trace;
use crate::host::{folders, process};
use crate::report::{Attempt, FORMAT, Report, RowState, Tool, Verdict};

use collect::Collect;
use controls::Controls;
pub use crash::{Crash, OUTCOME as CRASH};
pub use links::Door;
use look::Look;
pub use spawned::{Printed, Spawned};

/// From the last answer until what passed has to be gone: the time in which Lethe promises it.
const GRACE: Duration = Duration::from_secs(2);
/// For a target to notice that its clients have gone.
const CLOSED: Duration = Duration::from_secs(1);
/// Until a target that was just started answers.
const START: Duration = Duration::from_secs(60);

/// Of the first answer.
const ANSWER: Duration = Duration::from_secs(10);

/// What is audited, and how far it can be looked into.
pub struct Audit {
    pub name: String,
    pub url: String,
    pub target: Target,
    pub plan: Plan,
    /// `quick` or `full`.
    pub plan_name: &'static str,
    pub provider: Option<Provider>,
    pub telemetry: Option<OtlpSink>,
    /// The processes, with everything below them.
    pub pids: Vec<u32>,
    /// Those that may write no file at all.
    pub confined: Vec<u32>,
    pub spawned: Option<Spawned>,
    /// Whether a handler may be ended with a request in it, and which processes are handlers, where that is known.
    pub crash: Crash,
    pub handlers: Vec<u32>,
    /// Asked after a crash: `parts` and `confined`, of which some are other processes now.
    pub again: Option<Again>,
    /// Ports and processes whose part in the target is known.
    pub doors: Vec<Door>,
    pub parts: Vec<(String, u32)>,
    pub watch: Vec<PathBuf>,
    pub postgres: Option<String>,
    pub redis: Option<String>,
    /// Tries every way out from inside, where the target can be asked to.
    pub attempts: Option<Attempts>,
    /// What the target says of itself, by name: metadata, metrics.
    pub says: Vec<(String, Says)>,
    pub version: String,
}

/// Tries ways out; or why they could not be tried.
pub type Attempts = Box<dyn FnOnce() -> Result<Vec<Attempt>, String>>;

/// Processes by the name of their part, and those that may write no file.
pub type Again = Box<dyn Fn() -> (Vec<(String, u32)>, Vec<u32>)>;

/// Asks the target for what it says of itself; or why it did not say it.
pub type Says = Box<dyn FnOnce() -> Result<Vec<u8>, String>>;

impl Audit {
    /// An audit of this target that looks at nothing yet.
    #[must_use]
    pub fn new(name: &str, url: &str, target: Target) -> Self {
        Self {
            name: name.to_owned(),
            url: url.to_owned(),
            plan: Plan::quick(target.dialect()),
            plan_name: "quick",
            target,
            provider: None,
            telemetry: None,
            pids: Vec::new(),
            confined: Vec::new(),
            spawned: None,
            crash: Crash::default(),
            handlers: Vec::new(),
            again: None,
            doors: Vec::new(),
            parts: Vec::new(),
            watch: Vec::new(),
            postgres: None,
            redis: None,
            attempts: None,
            says: Vec::new(),
            version: String::new(),
        }
    }
}

/// What is going on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    Preparing,
    Exercising,
    Waiting,
    Looking,
}

impl Phase {
    /// For somebody who is watching.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Preparing => "preparing",
            Self::Exercising => "exercising",
            Self::Waiting => "waiting",
            Self::Looking => "looking",
        }
    }
}

/// How far an audit is.
#[derive(Clone, Debug)]
pub struct Step {
    pub phase: Phase,
    /// A row's endpoint and outcome, or a sink.
    pub what: String,
    pub done: usize,
    pub of: usize,
}

/// Takes each step.
pub type Tell<'a> = &'a mut dyn FnMut(Step);

/// Why an audit could not even begin.
#[derive(Debug)]
pub enum NotBegun {
    NoRandomness,
    /// The target does not answer as it has to.
    Target(NoVerdict),
    /// The command of `--spawn` ended.
    Ended(std::process::ExitStatus),
    /// The report would have held a marker's value, or cannot be written.
    Report,
    /// The encodings that could not be found in what the audit wrote itself.
    Controls(Vec<String>),
}

impl fmt::Display for NotBegun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoRandomness => NoRandomness.fmt(f),
            Self::Target(why) => write!(f, "no verdict: {why}"),
            Self::Ended(status) => write!(f, "no verdict: the command of --spawn ended before it answered ({status})"),
            Self::Report => f.write_str("no verdict: the report would have held a marker; please report this as an error"),
            Self::Controls(missed) => write!(f, "no verdict: planted and not found: {}", missed.join(", ")),
        }
    }
}

impl std::error::Error for NotBegun {}

impl From<NoRandomness> for NotBegun {
    fn from(_: NoRandomness) -> Self {
        Self::NoRandomness
    }
}

fn step(phase: Phase, what: &str) -> Step {
    Step { phase, what: what.to_owned(), done: 0, of: 0 }
}

/// Waits until the target answers as its clients expect; a command that was just started may take its time.
fn wait_for(audit: &mut Audit) -> Result<(), NotBegun> {
    let deadline = Instant::now() + if audit.spawned.is_some() { START } else { Duration::ZERO };
    loop {
        let why = match drive::probe(&audit.target, audit.provider.as_ref(), ANSWER) {
            Ok(_) => return Ok(()),
            Err(why) => why,
        };
        if let Some(status) = audit.spawned.as_mut().and_then(Spawned::ended) {
            return Err(NotBegun::Ended(status));
        }
        if !why.may_pass() || Instant::now() >= deadline {
            return Err(NotBegun::Target(why));
        }
        thread::sleep(Duration::from_millis(200));
    }
}

/// The whole audit.
///
/// # Errors
/// [`NotBegun`]: there is no verdict, and no report either. Everything later is in the report.
pub fn run(mut audit: Audit, tell: Tell<'_>) -> Result<Report, NotBegun> {
    let began = Instant::now();
    let started = jiff::Timestamp::now();
    tell(step(Phase::Preparing, "the target"));
    let mut canaries = Canaries::new()?;
    controls::encodings()?;
    wait_for(&mut audit)?;

    tell(step(Phase::Preparing, "links"));
    let doors = links::try_doors(&audit);

    tell(step(Phase::Preparing, "watches"));
    let processes: Vec<u32> = process::tree(&audit.pids).into_iter().collect();
    let mut watched = folders::default_folders(&processes);
    watched.extend(audit.watch.iter().cloned());
    let watch = Watch::start(WatchRequest {
        folders: watched.clone(),
        whole_mounts: true,
        pids: processes.clone(),
        ..WatchRequest::default()
    });
    let method = watch.method();
    let tracer = (!audit.pids.is_empty()).then(|| Trace::start(&processes));
    let capture = Capture::start(places::own_ports(&audit));
    let sampler = (!audit.pids.is_empty()).then(|| Sampler::start(audit.pids.clone()));

    tell(step(Phase::Preparing, "controls"));
    let mut controls = Controls::plant(&mut canaries, &audit, &watched)?;
    controls.network(&mut canaries, capture.is_ok())?;

    let ran = drive::run(&audit.plan, &audit.target, audit.provider.as_ref(), &mut canaries, &mut |progress| {
        if let Progress::Begins { row, of, endpoint, outcome } = progress {
            tell(Step { phase: Phase::Exercising, what: format!("{endpoint}, {outcome}"), done: row, of });
        }
    })?;
    controls.open_request(&mut canaries, &audit)?;
    let crash = crash::Row::prepare(&audit, &mut canaries)?;

    let detector = Detector::new(&canaries);
    let mut collect = Collect::new(&canaries);
    let mut look = Look::new(&detector, &mut collect, &audit.pids);
    tell(step(Phase::Looking, "process memory, a request open"));
    look.memory_control(&mut controls);
    controls.close_request();

    tell(step(Phase::Waiting, "until what passed has to be gone"));
    thread::sleep(GRACE);
    tell(step(Phase::Looking, "process memory, connections open"));
    look.memory("connections open");
    drop(ran.open);
    // What is of a process is looked at while it is there.
    tell(step(Phase::Looking, "processes and answers"));
    let (shown, settings) = (verdicts::target(&audit), verdicts::settings(&audit.pids));
    look.processes(&controls.pids());
    look.machine();
    look.answers(&ran.answers);
    thread::sleep(CLOSED);
    tell(step(Phase::Looking, "process memory, connections closed"));
    look.memory("connections closed");
    let crashed = crash.map(|crash| {
        tell(step(Phase::Exercising, "a handler that crashes"));
        let played = crash.play(&audit, &look);
        if played.row.state == RowState::Exercised {
            tell(step(Phase::Waiting, "until what passed has to be gone"));
            thread::sleep(GRACE);
            tell(step(Phase::Looking, "process memory, after the crash"));
            look.memory_after_crash();
        }
        played
    });
    if let Some(again) = &audit.again {
        let (parts, confined) = again();
        audit.parts.extend(parts);
        audit.confined.extend(confined);
    }
    tell(step(Phase::Looking, "system calls and files"));
    let traced = tracer.map(|tracer| tracer.map(Trace::finish));
    look.changes(watch.finish(), method, &controls);
    tell(step(Phase::Looking, "network"));
    let destinations = traced.iter().flatten().flat_map(|traced| &traced.destinations);
    let (seen, captured) = (sampler.map(|sampler| sampler.map(Sampler::finish)), capture.map(Capture::finish));
    let unexpected = look.network(seen.as_ref(), destinations);
    look.packets(captured.as_ref());
    let seen = seen.as_ref().and_then(|seen| seen.as_ref().ok());
    let links = links::shown(&audit, &doors, seen, captured.as_ref().ok());
    tell(step(Phase::Looking, "output, telemetry, what the target says"));
    look.printed(&[audit.spawned.as_ref(), controls.printer.as_ref()].into_iter().flatten().collect::<Vec<_>>());
    look.telemetry(audit.telemetry.as_ref(), audit.confined.is_empty());
    look.says(std::mem::take(&mut audit.says));
    tell(step(Phase::Looking, "the journal"));
    look.journal(started.as_second());
    tell(step(Phase::Looking, "databases"));
    look.redis(audit.redis.as_deref());
    look.postgres(audit.postgres.as_deref());
    Controls::clear_stores(&audit);
    tell(step(Phase::Looking, "ways out"));
    let attempts = audit.attempts.take().map(|attempts| attempts());
    let sinks = look.into_sinks();
    let (mut rows, mut observed) = (verdicts::rows(&ran.rows), ran.observed);
    if let Some(crash::Played { row, gone }) = crashed {
        rows.push(row);
        observed.extend(gone);
    }

    let mut report = Report {
        format: FORMAT.to_owned(),
        tool: Tool {
            name: "lethe audit".to_owned(),
            version: audit.version.clone(),
            machine: places::machine(),
            as_root: places::as_root(),
        },
        started: started.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
        duration_ms: 0,
        plan: audit.plan_name.to_owned(),
        target: shown,
        verdict: Verdict::None,
        because: Vec::new(),
        findings: Vec::new(),
        observations: verdicts::observations(&observed, unexpected),
        rows,
        sinks,
        controls: Vec::new(),
        writes: Vec::new(),
        attempts: Vec::new(),
        settings: links.into_iter().chain(settings).collect(),
        limits: verdicts::limits(&audit, &ran.rows, began.elapsed()),
    };
    report.controls = controls.shown(&collect);
    report.findings = collect.findings();
    verdicts::writes(&mut report, traced, &audit, &detector);
    verdicts::attempts(&mut report, attempts);
    report.sinks.sort_by_key(|sink| sink.sink);
    report.duration_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    (report.verdict, report.because) = report.judge();
    // Names of every kind were looked at one by one; this is for the one that was forgotten.
    let shown = serde_json::to_vec(&report).map_err(|_| NotBegun::Report)?;
    if detector.bytes(&shown).is_empty() { Ok(report) } else { Err(NotBegun::Report) }
}
