//! From what the parts of the audit say to what the report shows.

use std::path::Path;
use std::time::Duration;

use super::{Audit, places};
use crate::detect::Detector;
use crate::drive::{Dialect, Observed, RowResult, State};
use crate::host::posture;
use crate::host::trace::{TraceError, Traced};
use crate::host::tracee::TargetKind;
use crate::report::{
    Attempt, Clause, Finding, FindingKind, Observation, Place, Report, RowShown, RowState, SearchState, Searched, Setting,
    SettingState, Sink, Target, WriteShown,
};

/// Bits of a usage record of 64 bytes.
const RECORD_BITS: f64 = 512.0;

pub(super) fn target(audit: &Audit) -> Target {
    Target {
        name: audit.name.clone(),
        url: audit.url.clone(),
        dialect: match audit.target.dialect() {
            Dialect::Anthropic => "anthropic".to_owned(),
            Dialect::Gemini => "gemini".to_owned(),
            Dialect::OpenAi => "openai".to_owned(),
        },
        model: audit.target.model().to_owned(),
        processes: crate::host::process::tree(&audit.pids).into_iter().map(places::process).collect(),
        scripted_provider: audit.provider.is_some(),
    }
}

pub(super) fn rows(results: &[RowResult]) -> Vec<RowShown> {
    let shown = |row: &RowResult| {
        let (state, why) = match row.state {
            State::Exercised => (RowState::Exercised, None),
            State::Refused => (RowState::Refused, None),
            State::NotServed => (RowState::NotServed, None),
            State::NotExercised { why } => (RowState::NotExercised, Some(why.to_string())),
        };
        RowShown {
            endpoint: row.endpoint.to_owned(),
            outcome: row.outcome.to_owned(),
            class: row.class.name().to_owned(),
            status: row.status,
            state,
            why,
            canaries: row.canaries.len(),
        }
    };
    results.iter().map(shown).collect()
}

pub(super) fn observations(observed: &[Observed], destinations: Vec<String>) -> Vec<Observation> {
    let shown = |seen: &Observed| Observation {
        what: format!("{}, {}: {}.", seen.endpoint, seen.outcome, seen.what.name()),
        advice: seen.what.advice().to_owned(),
    };
    let elsewhere = destinations.into_iter().map(|what| Observation {
        what: format!("A process of the target {what}."),
        advice: "Find out what it sends there: usage statistics, telemetry and update checks are on by default in many gateways."
            .to_owned(),
    });
    observed.iter().map(shown).chain(elsewhere).collect()
}

pub(super) fn settings(pids: &[u32]) -> Vec<Setting> {
    let state = |state: posture::State| match state {
        posture::State::Good => SettingState::Good,
        posture::State::Warn => SettingState::Warn,
        posture::State::Bad => SettingState::Bad,
        posture::State::Unknown => SettingState::Unknown,
    };
    let shown = |of: &str, fact: posture::Fact| Setting {
        name: format!("{of}{}", fact.name),
        value: fact.value,
        state: state(fact.state),
        why: fact.why,
        advice: fact.advice,
    };
    let machine = posture::of_machine().into_iter().map(|fact| shown("", fact));
    let of_process = |pid: u32| {
        let of = format!("{}: ", places::process(pid));
        posture::of_process(pid).into_iter().map(move |fact| shown(&of, fact)).collect::<Vec<_>>()
    };
    machine.chain(crate::host::process::tree(pids).into_iter().flat_map(of_process)).collect()
}

/// Write-like calls, with a verdict for each, and what of them is a finding.
pub(super) fn writes(report: &mut Report, traced: Option<Result<Traced, TraceError>>, audit: &Audit, detector: &Detector<'_>) {
    let mut searched =
        Searched { sink: Sink::Write, state: SearchState::Searched, how: String::new(), bytes: 0, gaps: Vec::new() };
    let traced = match traced {
        Some(Ok(traced)) => traced,
        Some(Err(why)) => {
            searched.state = SearchState::NotSearched;
            searched.gaps.push(format!("system calls could not be traced: {why}"));
            report.sinks.push(searched);
            return;
        }
        None => {
            searched.state = SearchState::NotSearched;
            searched.gaps.push("the target's processes are not known: give --pid or --spawn".to_owned());
            report.sinks.push(searched);
            return;
        }
    };
    searched.how = format!("ptrace of {} threads, {} system calls", traced.threads, traced.calls);
    searched.bytes = traced.written.iter().map(|written| written.bytes).sum();
    searched.gaps.extend(traced.gaps);
    if traced.calls == 0 {
        // Whoever answers calls the kernel: nothing seen is not nothing written.
        searched.gaps.push("not one system call was seen".to_owned());
    }
    if !searched.gaps.is_empty() {
        searched.state = SearchState::Partly;
    }
    report.sinks.push(searched);
    for mut written in traced.written {
        // The target chose both.
        written.target = places::shown(detector, &written.target);
        written.name = places::shown(detector, &written.name);
        let confined = audit.confined.contains(&written.pid);
        let content =
            report.findings.iter().any(|finding| finding.kind == FindingKind::Canary && finding.place.name == written.target);
        let verdict = match (written.kind, confined) {
            (TargetKind::File, true) => "forbidden",
            (TargetKind::File, false) if content => "content",
            (TargetKind::File, false) => "searched",
            _ => "expected",
        };
        let process = format!("{} ({})", written.name, written.pid);
        if verdict == "forbidden" {
            report.findings.push(Finding {
                kind: FindingKind::Write,
                clause: Clause::Architecture,
                place: Place { sink: Sink::Write, name: written.target.clone(), by: Some(process.clone()) },
                content: None,
                encoding: None,
                bytes: 0,
                note: format!("{} × {} by a process that may write no file", written.calls, written.call),
                reproduce: format!("strace -f -p {} while the target is used", written.pid),
            });
        }
        report.writes.push(WriteShown {
            process,
            call: written.call.to_owned(),
            target: written.target,
            calls: written.calls,
            bytes: written.bytes,
            verdict: verdict.to_owned(),
        });
    }
}

/// Ways out, and which of them were open.
pub(super) fn attempts(report: &mut Report, tried: Option<Result<Vec<Attempt>, String>>) {
    let Some(tried) = tried else { return };
    let mut searched =
        Searched { sink: Sink::Breakout, state: SearchState::Searched, how: String::new(), bytes: 0, gaps: Vec::new() };
    match tried {
        Ok(attempts) => {
            searched.how = format!("{} attempts from inside", attempts.len());
            for attempt in attempts.iter().filter(|attempt| !attempt.denied) {
                report.findings.push(Finding {
                    kind: FindingKind::WayOut,
                    clause: Clause::Architecture,
                    place: Place { sink: Sink::Breakout, name: attempt.attempt.clone(), by: Some(attempt.process.clone()) },
                    content: None,
                    encoding: None,
                    bytes: 0,
                    note: "the attempt succeeded".to_owned(),
                    reproduce: "lethe posture --probe".to_owned(),
                });
            }
            report.attempts = attempts;
        }
        Err(why) => {
            searched.state = SearchState::NotSearched;
            searched.gaps.push(why);
        }
    }
    report.sinks.push(searched);
}

/// What no look from outside can show; for Lethe with the capacity of the one channel that is left.
pub(super) fn limits(audit: &Audit, rows: &[RowResult], span: Duration) -> Vec<String> {
    let mut limits = vec![
        "Root on the target's machine and its hypervisor can read memory; an audit cannot show that they did not.".to_owned(),
        "Content that was encrypted with a key of the target's own, or cut into pieces of fewer than 12 bytes, is not recognised.".to_owned(),
        "Raw deflate and LZ4 blocks without a frame, and brotli at an unmarked place of a larger file, are not opened.".to_owned(),
        "What the real provider keeps is not seen here: its terms are a matter of contract and review.".to_owned(),
    ];
    if !audit.confined.is_empty() {
        let requests = u32::try_from(rows.len()).unwrap_or(u32::MAX);
        let rate = f64::from(requests) / span.as_secs_f64().max(0.001);
        limits.push(format!(
            "A compromised gateway could still signal through what it is allowed to send to control: at most {RECORD_BITS:.0} bits in each \
             64-byte usage record, {:.0} bits a second at this run's {rate:.1} requests a second, if every bit of a record went unchecked; through \
             the time at which records arrive, which are gathered for 10 ms and committed every 100 ms, about 10 bits a second.",
            rate * RECORD_BITS
        ));
    }
    limits
}

/// Whether a path can be shown as it is.
pub(super) fn is_own(path: &Path) -> bool {
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    matches!(&*name, "lethe-audit.json" | "lethe-audit.html" | "lethe-audit.key")
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed expectation is a failed test")]

    use super::*;
    use crate::canary::Canaries;
    use crate::drive::{Key, Target as Targeted};
    use crate::host::tracee::Written;
    use crate::report::model_tests::clean;

    fn written(pid: u32, kind: TargetKind, target: &str) -> Written {
        Written { pid, name: "gateway".into(), call: "write", target: target.into(), kind, calls: 2, bytes: 10 }
    }

    /// The controls of "no write to a file" and "every way out refused": both are findings where it is otherwise.
    #[test]
    fn a_write_of_a_confined_process_and_an_open_way_out_are_findings() {
        let target = Targeted::new("http://127.0.0.1:1", Key::new("k").unwrap(), "m", Dialect::OpenAi, None).unwrap();
        let mut audit = Audit::new("lethe", "http://127.0.0.1:1", target);
        audit.confined = vec![7];
        let canaries = Canaries::new().unwrap();
        let detector = Detector::new(&canaries);
        let mut report = clean();
        let calls = vec![
            written(7, TargetKind::Socket, "a client"),
            written(7, TargetKind::File, "/var/tmp/spool"),
            written(8, TargetKind::File, "/var/lib/control.db"),
        ];
        let traced = Traced { written: calls, calls: 6, ..Traced::default() };
        writes(&mut report, Some(Ok(traced)), &audit, &detector);
        let verdicts: Vec<&str> = report.writes.iter().map(|write| write.verdict.as_str()).collect();
        assert_eq!(verdicts, ["expected", "forbidden", "searched"]);
        assert_eq!(report.findings.len(), 1);
        assert_eq!(report.findings[0].place.name, "/var/tmp/spool");

        let tried = vec![Attempt::new("gateway (7)", "socket_inet", Some(1)), Attempt::new("gateway (7)", "memfd_create", None)];
        attempts(&mut report, Some(Ok(tried)));
        assert_eq!(report.findings.len(), 2);
        assert_eq!((report.findings[1].kind, &*report.findings[1].place.name), (FindingKind::WayOut, "memfd_create"));
        assert_eq!(report.attempts[0].result, "EPERM");

        // What could not be tried or traced is no clean result.
        let mut report = clean();
        attempts(&mut report, Some(Err("the supervisor did not answer".into())));
        writes(&mut report, None, &audit, &detector);
        assert_eq!(report.judge().0, crate::report::Verdict::CleanPartial);
    }
}
