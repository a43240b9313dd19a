//! `DIR/supervisor.sock`: what each part reported of itself, for `lethe posture`. One JSON line in, one JSON line out.

use std::{sync::Arc, time::Duration};

use lethe_handover::{Posture, Role};
use serde::{Deserialize, Serialize};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{UnixListener, UnixStream},
    sync::{mpsc, oneshot},
    task::JoinSet,
    time::timeout,
};

use crate::{
    Answer, ExitCount, FailedStarts, Order, PanicCount,
    roster::{Entry, Roster},
};

/// Longest question.
const QUESTION_BYTES: u64 = 1024;
/// For the question, for a self-test of one part, and for the answer to be taken.
const PATIENCE: Duration = Duration::from_secs(10);
/// For an order: every part may be started anew, one after the other.
const ORDER_PATIENCE: Duration = Duration::from_secs(300);
/// Questions at once.
const AT_ONCE: usize = 16;

/// The question.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReportRequest {
    /// Have every part try its ways out again now.
    #[serde(default)]
    pub probe: bool,
    /// Carry this out; the answer is an [`Answer`] then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order: Option<Order>,
}

/// The answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// Process id of the supervisor.
    pub supervisor: u32,
    /// Every part that runs.
    pub parts: Vec<PartReport>,
    /// Roles that should run and are being started again.
    #[serde(default)]
    pub missing: Vec<Role>,
    /// How parts ended that were not asked to.
    #[serde(default)]
    pub exits: Vec<ExitCount>,
    /// Starts after such an end that failed.
    #[serde(default)]
    pub failed_starts: Vec<FailedStarts>,
    /// Panics, by place.
    #[serde(default)]
    pub panics: Vec<PanicCount>,
}

/// One part.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartReport {
    /// Which one.
    pub role: Role,
    /// Process id.
    pub pid: u32,
    /// What it reported of itself when it started, or just now after a probe; control reports nothing.
    pub posture: Option<Posture>,
    /// A probe was asked for, and the part did not answer it.
    pub silent: bool,
    /// Another has taken its place; it finishes what is open.
    #[serde(default)]
    pub retired: bool,
}

/// An order, and where its answer goes.
pub(crate) type Ordered = (Order, oneshot::Sender<Answer>);

/// Answers questions for ever.
pub(crate) async fn serve(listener: UnixListener, roster: Arc<Roster>, orders: mpsc::UnboundedSender<Ordered>) {
    let mut open = JoinSet::new();
    loop {
        tokio::select! {
            Some(_) = open.join_next() => {}
            accepted = listener.accept(), if open.len() < AT_ONCE => match accepted {
                Ok((stream, _)) => {
                    let (roster, orders) = (Arc::clone(&roster), orders.clone());
                    open.spawn(async move { timeout(ORDER_PATIENCE, answer(stream, &roster, &orders)).await });
                }
                // A failed accept is the asker's affair; the pause keeps a machine without free descriptors from spinning.
                Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
            },
        }
    }
}

async fn answer(mut stream: UnixStream, roster: &Roster, orders: &mpsc::UnboundedSender<Ordered>) -> Option<()> {
    let mut line = String::new();
    let (read, mut write) = stream.split();
    timeout(PATIENCE, BufReader::new(read.take(QUESTION_BYTES)).read_line(&mut line)).await.ok()?.ok()?;
    let request: ReportRequest = serde_json::from_str(&line).ok()?;
    let mut text = match request.order {
        Some(order) => {
            let (asker, answer) = oneshot::channel();
            orders.send((order, asker)).ok()?;
            serde_json::to_vec(&answer.await.ok()?).ok()?
        }
        None => serde_json::to_vec(&everything(roster, request).await).ok()?,
    };
    text.push(b'\n');
    timeout(PATIENCE, write.write_all(&text)).await.ok()?.ok()
}

async fn everything(roster: &Roster, request: ReportRequest) -> Report {
    let mut parts = Vec::new();
    for part in roster.entries().iter().filter(|part| part.handle.status().is_none()) {
        parts.push(report(part, request).await);
    }
    let missing = roster.missing();
    roster.tally(|tally| Report {
        supervisor: std::process::id(),
        parts,
        missing,
        exits: tally.exits(),
        failed_starts: tally.failed_starts(),
        panics: tally.panics(),
    })
}

async fn report(Entry { handle, retired, .. }: &Entry, request: ReportRequest) -> PartReport {
    let (role, pid, known, retired) = (handle.role, handle.pid, handle.posture(), *retired);
    if !request.probe || known.is_none() {
        return PartReport { role, pid, posture: known, silent: false, retired };
    }
    let fresh = timeout(PATIENCE, handle.self_test()).await.ok().flatten();
    PartReport { role, pid, silent: fresh.is_none(), posture: fresh.or(known), retired }
}
