//! The parts of a report. Members are only ever added; what changes its meaning gets a new [`FORMAT`].

use nix::errno::Errno;
use serde::{Deserialize, Serialize};

use super::clause::Clause;
use crate::canary::Label;
use crate::encoding::Encoding;

/// Name and version of the form.
pub const FORMAT: &str = "lethe-audit-report/1";

/// What was found out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Nothing was found in any sink.
    Clean,
    /// Nothing was found in the sinks that could be searched; some could not.
    CleanPartial,
    Findings,
    /// A control was not found, or the target could not be exercised: nothing is known.
    None,
}

impl Verdict {
    /// The exit code of `lethe audit`.
    #[must_use]
    pub const fn exit_code(self) -> u8 {
        match self {
            Self::Clean | Self::CleanPartial => 0,
            Self::Findings => 1,
            Self::None => 2,
        }
    }

    /// In a headline.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Clean => "nothing was kept",
            Self::CleanPartial => "nothing was found (partial)",
            Self::Findings => "content was kept",
            Self::None => "no verdict",
        }
    }
}

/// A kind of place in which content could stay.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sink {
    /// An answer to another request than the one that carried it.
    Answer,
    Backup,
    /// A way out of a confined process.
    Breakout,
    /// Environment and arguments, as /proc shows them.
    CommandLine,
    Core,
    /// Deleted, but still open.
    DeletedFile,
    File,
    Journal,
    Log,
    Memory,
    Metrics,
    /// A destination that nobody expected, or content on its way to one.
    Network,
    /// Standard output and error of a command that the audit started.
    Output,
    Postgres,
    Redis,
    SharedMemory,
    Sqlite,
    Swap,
    /// Traces, metrics and logs that a target sends by OTLP.
    Telemetry,
    /// A system call that wrote.
    Write,
}

impl Sink {
    /// In a report.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Answer => "answers to others",
            Self::Backup => "backups",
            Self::Breakout => "ways out",
            Self::CommandLine => "environment and arguments",
            Self::Core => "core files",
            Self::DeletedFile => "deleted, open files",
            Self::File => "files",
            Self::Journal => "journal",
            Self::Log => "log files",
            Self::Memory => "process memory",
            Self::Metrics => "metrics and health",
            Self::Network => "network",
            Self::Output => "printed output",
            Self::Postgres => "PostgreSQL",
            Self::Redis => "Redis",
            Self::SharedMemory => "shared memory",
            Self::Sqlite => "SQLite",
            Self::Swap => "swap",
            Self::Telemetry => "telemetry (OTLP)",
            Self::Write => "write-like system calls",
        }
    }
}

/// What ran.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tool {
    pub name: String,
    pub version: String,
    /// Kernel and architecture of the machine that the audit ran on.
    pub machine: String,
    pub as_root: bool,
}

/// What was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    /// What it was called on the command line.
    pub name: String,
    pub url: String,
    pub dialect: String,
    pub model: String,
    /// `name (pid)` of each process.
    pub processes: Vec<String>,
    /// Whether the audit's own scripted provider stood behind it.
    pub scripted_provider: bool,
}

/// Something that was planted, and has to be found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Control {
    pub sink: Sink,
    /// What was planted where.
    pub planted: String,
    pub found: bool,
}

/// How a row of the matrix went.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RowState {
    /// The content went through the target.
    Exercised,
    /// The target refused it, having seen it.
    Refused,
    NotServed,
    NotExercised,
}

/// A row of the matrix.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RowShown {
    pub endpoint: String,
    pub outcome: String,
    /// The class of known leaks that it stands for.
    pub class: String,
    pub status: Option<u16>,
    pub state: RowState,
    /// Why it was not exercised.
    pub why: Option<String>,
    /// How many markers it sent and received.
    pub canaries: usize,
}

/// How far a sink was searched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SearchState {
    Searched,
    Partly,
    NotSearched,
}

/// A sink, and how it was searched.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Searched {
    pub sink: Sink,
    pub state: SearchState,
    /// What was looked at: method, places.
    pub how: String,
    pub bytes: u64,
    /// What was not looked at, and what to do about it.
    pub gaps: Vec<String>,
}

/// Why something is a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FindingKind {
    /// A marker, or a piece of one, stood there.
    Canary,
    /// A process that holds content wrote to a file.
    Write,
    /// A way out of a confined process was open.
    WayOut,
}

/// Where a marker stood.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Place {
    pub sink: Sink,
    /// A path, `process (pid): mapping`, a table, a destination.
    pub name: String,
    /// Who wrote it, where that is known.
    pub by: Option<String>,
}

/// One thing that should not be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    pub kind: FindingKind,
    pub clause: Clause,
    pub place: Place,
    /// What the marker had been put into.
    pub content: Option<Label>,
    pub encoding: Option<Encoding>,
    /// How many bytes of the marker stood there.
    pub bytes: usize,
    /// How often and where else.
    pub note: String,
    /// What to do to see it again.
    pub reproduce: String,
}

/// Something that is no retention, but that whoever asked will want to know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Observation {
    pub what: String,
    pub advice: String,
}

/// Successful write-like system calls of one process to one target.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WriteShown {
    pub process: String,
    pub call: String,
    pub target: String,
    pub calls: u64,
    pub bytes: u64,
    /// `expected` (a socket, an own pipe), `searched` (a file without a marker), `content` (a file with one), `forbidden` (any file, for a
    /// process that may write none).
    pub verdict: String,
}

/// One try to get out of a confined process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    pub process: String,
    pub attempt: String,
    /// The error name, or `succeeded`.
    pub result: String,
    pub denied: bool,
}

/// How a setting of the machine is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SettingState {
    Good,
    Warn,
    Bad,
    Unknown,
}

/// A setting of the machine that matters.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Setting {
    pub name: String,
    pub value: String,
    pub state: SettingState,
    pub why: String,
    pub advice: String,
}

/// Everything.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Report {
    pub format: String,
    pub tool: Tool,
    /// RFC 3339, UTC.
    pub started: String,
    pub duration_ms: u64,
    /// `quick` or `full`.
    pub plan: String,
    pub target: Target,
    pub verdict: Verdict,
    /// Why the verdict is partial, or why there is none.
    pub because: Vec<String>,
    pub findings: Vec<Finding>,
    pub observations: Vec<Observation>,
    pub rows: Vec<RowShown>,
    pub sinks: Vec<Searched>,
    pub controls: Vec<Control>,
    pub writes: Vec<WriteShown>,
    pub attempts: Vec<Attempt>,
    pub settings: Vec<Setting>,
    /// What this audit cannot see, whatever it finds.
    pub limits: Vec<String>,
}

impl Report {
    /// The verdict that the rest of the report gives, with its reasons: a control that was not found or a target that was not exercised allows
    /// none; a finding is a finding however little was searched.
    #[must_use]
    pub fn judge(&self) -> (Verdict, Vec<String>) {
        let missed: Vec<String> = self
            .controls
            .iter()
            .filter(|control| !control.found)
            .map(|control| format!("control not found: {} ({})", control.planted, control.sink.name()))
            .collect();
        let exercised = self.rows.iter().any(|row| row.state == RowState::Exercised);
        let gaps = self
            .sinks
            .iter()
            .filter(|sink| sink.state != SearchState::Searched)
            .flat_map(|sink| sink.gaps.iter().map(|gap| format!("{}: {gap}", sink.sink.name())));
        if !self.findings.is_empty() {
            return (Verdict::Findings, missed);
        }
        if !missed.is_empty() {
            return (Verdict::None, missed);
        }
        if self.controls.is_empty() || !exercised {
            return (Verdict::None, vec!["the target could not be exercised".to_owned()]);
        }
        let unsent = self.rows.iter().filter(|row| row.state == RowState::NotExercised).map(|row| {
            format!("not exercised: {}, {}: {}", row.endpoint, row.outcome, row.why.as_deref().unwrap_or("no reason is known"))
        });
        let because: Vec<String> = gaps.chain(unsent).collect();
        if because.is_empty() { (Verdict::Clean, because) } else { (Verdict::CleanPartial, because) }
    }
}

impl Attempt {
    /// What came of an attempt: an error number of the kernel, or nothing, which is a way out.
    #[must_use]
    pub fn new(process: &str, attempt: &str, refused: Option<i32>) -> Self {
        let result = refused.map_or_else(|| "succeeded".to_owned(), |error| format!("{:?}", Errno::from_raw(error)));
        Self { process: process.to_owned(), attempt: attempt.to_owned(), result, denied: refused.is_some() }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A report in which everything is well.
    pub(crate) fn clean() -> Report {
        let target = Target {
            name: "a target".into(),
            url: "http://127.0.0.1:1".into(),
            dialect: "openai".into(),
            model: "m".into(),
            processes: Vec::new(),
            scripted_provider: true,
        };
        let row = RowShown {
            endpoint: "POST /v1/chat/completions".into(),
            outcome: "success".into(),
            class: "logs".into(),
            status: Some(200),
            state: RowState::Exercised,
            why: None,
            canaries: 2,
        };
        let sink = Searched { sink: Sink::File, state: SearchState::Searched, how: "<all>".into(), bytes: 1, gaps: Vec::new() };
        Report {
            format: FORMAT.into(),
            tool: Tool { name: "lethe audit".into(), version: "0".into(), machine: "Linux".into(), as_root: true },
            started: "2026-01-01T00:00:00Z".into(),
            duration_ms: 1,
            plan: "quick".into(),
            target,
            verdict: Verdict::Clean,
            because: Vec::new(),
            findings: Vec::new(),
            observations: Vec::new(),
            rows: vec![row],
            sinks: vec![sink],
            controls: vec![Control { sink: Sink::File, planted: "a file".into(), found: true }],
            writes: Vec::new(),
            attempts: Vec::new(),
            settings: Vec::new(),
            limits: Vec::new(),
        }
    }

    fn judged(change: impl FnOnce(&mut Report)) -> (Verdict, u8, String) {
        let mut report = clean();
        change(&mut report);
        let (verdict, because) = report.judge();
        (verdict, verdict.exit_code(), because.join("; "))
    }

    fn finding() -> Finding {
        Finding {
            kind: FindingKind::WayOut,
            clause: Clause::Architecture,
            place: Place { sink: Sink::Breakout, name: "socket".into(), by: None },
            content: None,
            encoding: None,
            bytes: 0,
            note: String::new(),
            reproduce: String::new(),
        }
    }

    #[test]
    fn the_verdict_follows_from_the_parts() {
        assert_eq!(judged(|_| {}), (Verdict::Clean, 0, String::new()));
        let (verdict, code, because) = judged(|report| {
            report.sinks[0].state = SearchState::Partly;
            report.sinks[0].gaps.push("one folder".into());
        });
        assert_eq!((verdict, code, &*because), (Verdict::CleanPartial, 0, "files: one folder"));
        let (verdict, code, because) = judged(|report| {
            let unsent = RowShown { state: RowState::NotExercised, why: Some("no provider".into()), ..report.rows[0].clone() };
            report.rows.push(unsent);
        });
        assert_eq!((verdict, code), (Verdict::CleanPartial, 0));
        assert!(because.contains("no provider"), "{because}");
        let (verdict, code, because) = judged(|report| report.controls[0].found = false);
        assert_eq!((verdict, code, &*because), (Verdict::None, 2, "control not found: a file (files)"));
        assert_eq!(judged(|report| report.controls.clear()).0, Verdict::None, "without controls nothing is known");
        assert_eq!(judged(|report| report.rows[0].state = RowState::NotServed).0, Verdict::None, "nor without a request");
        assert_eq!(judged(|report| report.findings.push(finding())).1, 1);
        // However little was searched.
        let (verdict, ..) = judged(|report| {
            report.findings.push(finding());
            report.controls[0].found = false;
        });
        assert_eq!(verdict, Verdict::Findings);
    }
}
