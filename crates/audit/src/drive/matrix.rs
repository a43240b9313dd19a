//! The matrix of endpoint × outcome, which of it a run plays, and what came of it.

use std::time::{Duration, Instant};

use crate::canary::{Canaries, Id, NoRandomness};

use super::client::{Broken, Client};
use super::provider::Provider;
use super::rows;
use super::stage::{Kept, Shape, Stage, Step, Stop};
use super::target::{Dialect, Target};

/// How systems of this kind have leaked: the class of public reports that a row stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// API keys in error texts, logs and spend records.
    Credentials,
    /// Bodies and uploads spooled to disk, conversations stored unasked.
    Disk,
    /// Error texts and validation answers that repeat what was sent.
    Errors,
    /// Request bodies in log lines.
    Logs,
    /// Memory that still holds what passed.
    Process,
    /// A path that a redaction forgot: failed requests, streams, reasoning, other endpoints.
    Redaction,
    /// Caches that answer one caller with what another sent.
    Shared,
    /// Span attributes, baggage, metric labels.
    Telemetry,
}

impl Class {
    /// In a report.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Credentials => "credentials",
            Self::Disk => "disk",
            Self::Errors => "errors and validation",
            Self::Logs => "logs",
            Self::Process => "process",
            Self::Redaction => "redaction that missed a path",
            Self::Shared => "shared state",
            Self::Telemetry => "telemetry",
        }
    }
}

/// One cell of the matrix.
#[derive(Clone, Copy)]
pub struct Row {
    pub endpoint: &'static str,
    pub outcome: &'static str,
    pub class: Class,
    pub(super) quick: bool,
    pub(super) shape: &'static Shape,
    pub(super) play: fn(&mut Stage<'_>, &Shape) -> Step,
}

impl Row {
    /// Whether its endpoint (`/v1/chat` or `POST /v1/chat`) or its outcome begins so.
    #[must_use]
    pub fn begins(&self, start: &str) -> bool {
        let path = self.endpoint.split_once(' ').map_or(self.endpoint, |(_, path)| path);
        [self.endpoint, path, self.outcome].iter().any(|name| name.starts_with(start))
    }
}

/// What bounds a run.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// For one answer.
    pub answer: Duration,
    /// A client whose provider hangs goes away after this.
    pub patience: Duration,
    /// For one row, whatever it does.
    pub row: Duration,
    /// Connections that stay open after their answer; the oldest is closed for a further one.
    pub open: usize,
    /// Of the body that is too large: what is announced, and how much of it is sent at most.
    pub oversized: (u64, usize),
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            answer: Duration::from_secs(20),
            patience: Duration::from_secs(1),
            row: Duration::from_secs(30),
            open: 64,
            oversized: (1 << 30, 8 << 20),
        }
    }
}

/// The rows of a run, in order.
#[derive(Clone)]
pub struct Plan {
    pub rows: Vec<Row>,
    pub limits: Limits,
}

impl Plan {
    /// Every row of the dialect.
    #[must_use]
    pub fn full(dialect: Dialect) -> Self {
        Self { rows: rows::all(dialect), limits: Limits::default() }
    }

    /// One row of each kind of outcome.
    #[must_use]
    pub fn quick(dialect: Dialect) -> Self {
        let rows = rows::all(dialect).into_iter().filter(|row| row.quick).collect();
        Self { rows, limits: Limits { patience: Duration::from_millis(400), ..Limits::default() } }
    }

    /// Every row of every dialect, for a target that speaks them all.
    #[must_use]
    pub fn full_of_every_dialect() -> Self {
        Self { rows: rows::of_every_dialect(), limits: Limits::default() }
    }

    /// One row of each kind of outcome, and of each dialect and endpoint what goes well.
    #[must_use]
    pub fn quick_of_every_dialect() -> Self {
        let rows = rows::of_every_dialect().into_iter().filter(|row| row.quick).collect();
        Self { rows, ..Self::quick(Dialect::OpenAi) }
    }

    /// Leaves the rows that begin with each of these ([`Row::begins`]).
    #[must_use]
    pub fn only(mut self, starts: &[&str]) -> Self {
        self.rows.retain(|row| starts.iter().all(|start| row.begins(start)));
        self
    }
}

/// Why a row could not be played.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// It needs a scripted provider, and the target's is its own.
    NeedsProvider,
    /// No connection to the target.
    Unreachable(Broken),
    /// The target did not answer, and the provider saw nothing.
    NoAnswer(Broken),
}

impl std::fmt::Display for Why {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NeedsProvider => f.write_str("it needs the scripted provider"),
            Self::Unreachable(broken) => write!(f, "no connection: {broken}"),
            Self::NoAnswer(broken) => write!(f, "no answer: {broken}"),
        }
    }
}

/// What came of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// The canaries went where they should.
    Exercised,
    /// The target itself said no. It has had the prompt's canaries all the same.
    Refused,
    /// The target has no such endpoint. It has had the prompt's canaries all the same.
    NotServed,
    NotExercised {
        why: Why,
    },
}

/// A row that was played, or could not be.
#[derive(Clone, Debug)]
pub struct RowResult {
    pub endpoint: &'static str,
    pub outcome: &'static str,
    pub class: Class,
    /// Of the answer, if there was one.
    pub status: Option<u16>,
    pub state: State,
    /// The canaries made for it.
    pub canaries: Vec<Id>,
    /// Requests that the provider saw.
    pub provider_requests: usize,
    /// A prompt's canary arrived at the provider.
    pub prompt_arrived: bool,
    pub took: Duration,
}

/// Something an auditor should know that is not a canary in a wrong place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Observation {
    /// The provider did not hear that the client had gone.
    ClientGoneUnnoticed,
    /// A stream or body that the provider cut reached the client as if it were complete.
    CutLooksComplete,
    /// The client's key was in the request to the provider.
    KeyReachedProvider,
    /// The provider's error text, with the prompt in it, reached the client.
    ProviderErrorReachedClient,
    /// A request that said `store: false` reached the provider with `store: true`.
    StoreForced,
    /// The second of two equal requests was answered without the provider.
    AnsweredFromCache,
    /// After this row the target takes no connections.
    TargetGone,
    /// A key that is none was taken.
    WrongKeyTaken,
}

impl Observation {
    /// In a report.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::AnsweredFromCache => "an equal request was answered from a cache",
            Self::ClientGoneUnnoticed => "the provider was not told that the client had gone",
            Self::CutLooksComplete => "an answer that the provider cut looks complete to the client",
            Self::KeyReachedProvider => "the client's key was passed on to the provider",
            Self::ProviderErrorReachedClient => "a provider's error text with the prompt in it was passed on to the client",
            Self::StoreForced => "the provider was asked to store what the client asked not to be stored",
            Self::TargetGone => "the target stopped taking connections",
            Self::WrongKeyTaken => "a key that is none was taken",
        }
    }

    /// What to do about it.
    #[must_use]
    pub const fn advice(self) -> &'static str {
        match self {
            Self::AnsweredFromCache => "Switch the cache of answers off: what is in it was kept, and may answer somebody else.",
            Self::ClientGoneUnnoticed => "The provider goes on computing, and the gateway receiving, what nobody wants any more.",
            Self::CutLooksComplete => "Clients take half an answer for a whole one: the stream has to end with an error.",
            Self::KeyReachedProvider => "Have the gateway replace the client's key by its own.",
            Self::ProviderErrorReachedClient => {
                "No retention by itself, but clients log what they get; some gateways log it too."
            }
            Self::StoreForced => "The provider keeps the exchange: forbid the gateway to change `store`.",
            Self::TargetGone => "It crashed or closed: look for core files, and at what restarts it.",
            Self::WrongKeyTaken => "Anybody who reaches the port may use it.",
        }
    }
}

/// An observation and the row it was made in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Observed {
    pub endpoint: &'static str,
    pub outcome: &'static str,
    pub what: Observation,
}

/// What the target answered: to be searched for canaries other than the ones that belong there.
pub struct Answered {
    /// The row or the address asked.
    pub from: String,
    /// Canaries that may be in it.
    pub own: Vec<Id>,
    pub bytes: Vec<u8>,
}

/// How far a run is.
#[derive(Clone, Copy, Debug)]
pub enum Progress {
    Begins {
        row: usize,
        of: usize,
        endpoint: &'static str,
        outcome: &'static str,
    },
    Ended {
        row: usize,
        of: usize,
        state: State,
        status: Option<u16>,
    },
    /// Health, metrics and the like are asked for.
    Polls,
}

/// A run's outcome.
pub struct Ran {
    pub rows: Vec<RowResult>,
    /// Connections that are still open: to be kept until the target's memory has been searched.
    pub open: Vec<Client>,
    pub answers: Vec<Answered>,
    pub observed: Vec<Observed>,
}

/// Plays the plan's rows, one after the other. Without a provider, rows that need its misbehaviour are not exercised.
///
/// # Errors
/// [`NoRandomness`].
pub fn run(
    plan: &Plan,
    target: &Target,
    provider: Option<&Provider>,
    canaries: &mut Canaries,
    progress: &mut dyn FnMut(Progress),
) -> Result<Ran, NoRandomness> {
    let mut kept = Kept::default();
    let mut results = Vec::with_capacity(plan.rows.len());
    let of = plan.rows.len();
    for (index, row) in plan.rows.iter().enumerate() {
        progress(Progress::Begins { row: index + 1, of, endpoint: row.endpoint, outcome: row.outcome });
        let began = Instant::now();
        let mut stage = Stage::new(row, target, provider, canaries, plan.limits, &mut kept);
        let stopped = match (row.play)(&mut stage, row.shape) {
            Ok(()) => None,
            Err(Stop::NoRandomness) => return Err(NoRandomness),
            Err(Stop::NotExercised(why)) => Some(why),
        };
        let result = stage.end(row, stopped, began);
        progress(Progress::Ended { row: index + 1, of, state: result.state, status: result.status });
        results.push(result);
    }
    progress(Progress::Polls);
    let alive = rows::polls::poll(target, provider, plan.limits, &mut kept);
    // Whichever row it was: the last that was played is where it is known.
    let last = results.iter().rev().find(|row: &&RowResult| !matches!(row.state, State::NotExercised { .. }));
    if let (false, Some(row)) = (alive, last) {
        let gone = Observed { endpoint: row.endpoint, outcome: row.outcome, what: Observation::TargetGone };
        if !kept.observed.contains(&gone) {
            kept.observed.push(gone);
        }
    }
    Ok(Ran { rows: results, open: kept.open.into_iter().collect(), answers: kept.answers, observed: kept.observed })
}
