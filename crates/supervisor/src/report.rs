//! `DIR/supervisor.sock`: what each part reported of itself, for `lethe posture`. One JSON line in, one JSON line out.

use std::time::Duration;

use lethe_handover::{Posture, Role};
use serde::{Deserialize, Serialize};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{UnixListener, UnixStream},
    time::timeout,
};

use crate::part::Handle;

/// Longest question.
const QUESTION_BYTES: u64 = 1024;
/// For the question, for a self-test of one part, and for the answer to be taken.
const PATIENCE: Duration = Duration::from_secs(10);

/// The question.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReportRequest {
    /// Have every part try its ways out again now.
    #[serde(default)]
    pub probe: bool,
}

/// The answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// Process id of the supervisor.
    pub supervisor: u32,
    /// Every part that runs.
    pub parts: Vec<PartReport>,
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
}

/// Answers questions for ever.
pub(crate) async fn serve(listener: UnixListener, parts: Vec<Handle>) {
    loop {
        // One at a time: there is one operator, and no question takes long. A failed accept is the asker's affair; the pause
        // keeps a machine without free descriptors from spinning.
        match listener.accept().await {
            Ok((stream, _)) => {
                let _ = timeout(PATIENCE * 8, answer(stream, &parts)).await;
            }
            Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
        }
    }
}

async fn answer(mut stream: UnixStream, parts: &[Handle]) -> Option<()> {
    let mut line = String::new();
    let (read, mut write) = stream.split();
    timeout(PATIENCE, BufReader::new(read.take(QUESTION_BYTES)).read_line(&mut line)).await.ok()?.ok()?;
    let request: ReportRequest = serde_json::from_str(&line).ok()?;
    let mut reports = Vec::new();
    for part in parts.iter().filter(|part| part.status().is_none()) {
        reports.push(report(part, request).await);
    }
    let mut text = serde_json::to_vec(&Report { supervisor: std::process::id(), parts: reports }).ok()?;
    text.push(b'\n');
    timeout(PATIENCE, write.write_all(&text)).await.ok()?.ok()
}

async fn report(part: &Handle, request: ReportRequest) -> PartReport {
    let (role, pid, known) = (part.role, part.pid, part.posture());
    if !request.probe || known.is_none() {
        return PartReport { role, pid, posture: known, silent: false };
    }
    let fresh = timeout(PATIENCE, part.self_test()).await.ok().flatten();
    PartReport { role, pid, silent: fresh.is_none(), posture: fresh.or(known) }
}
