//! Every way out, tried again from inside each confined process of a running Lethe.

use std::path::Path;

use lethe_audit::report::Attempt;
use lethe_handover::Outcome;
use lethe_supervisor::{Report, ReportRequest};

use crate::{failure::Failure, posture};

/// What came of it, attempt by attempt. A part that does not answer is an attempt that nobody can say anything of, and counts as open.
pub(super) fn try_all(state: &Path) -> Result<Vec<Attempt>, Failure> {
    let report: Report = crate::runtime()?.block_on(posture::ask(state, &ReportRequest { probe: true, order: None }))?;
    let mut attempts = Vec::new();
    for part in &report.parts {
        let process = format!("{} ({})", part.role.name(), part.pid);
        // Control is no part that sees content.
        let Some(posture) = &part.posture else { continue };
        if part.silent {
            attempts.push(Attempt {
                process: process.clone(),
                attempt: "to answer".into(),
                result: "silent".into(),
                denied: false,
            });
        }
        attempts.extend(posture.attempts.iter().map(|attempt| {
            let refused = match attempt.outcome {
                Outcome::Refused(error) => Some(error),
                Outcome::Succeeded => None,
            };
            Attempt::new(&process, &attempt.name, refused)
        }));
    }
    Ok(attempts)
}
