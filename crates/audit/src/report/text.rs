//! The report on a terminal.

use std::fmt::Write as _;

use super::model::{Report, RowState, SearchState, Verdict};

/// What to know, in a screenful; everything else is in the files.
///
/// ```text
/// nothing was kept: lethe up at http://127.0.0.1:8080
/// 26 rows exercised, 98 markers, 15 sinks, 47 of 47 controls found, 8210 ms
/// ```
#[must_use]
pub fn summary(report: &Report) -> String {
    let mut text = String::new();
    let exercised = report.rows.iter().filter(|row| matches!(row.state, RowState::Exercised | RowState::Refused)).count();
    let markers: usize = report.rows.iter().map(|row| row.canaries).sum();
    let searched = report.sinks.iter().filter(|sink| sink.state != SearchState::NotSearched).count();
    let found = report.controls.iter().filter(|control| control.found).count();
    // Writing to a String does not fail.
    let _ = writeln!(text, "{}: {} at {}", report.verdict.name(), report.target.name, report.target.url);
    let _ = writeln!(
        text,
        "{exercised} rows exercised, {markers} markers, {searched} sinks, {found} of {} controls found, {} ms",
        report.controls.len(),
        report.duration_ms
    );
    for finding in &report.findings {
        let _ = writeln!(text, "\n  {} (policy clause {})", finding.place.name, finding.clause);
        let by = finding.place.by.as_deref().map(|by| format!(", written by {by}")).unwrap_or_default();
        let content = finding.content.as_ref().map(ToString::to_string).unwrap_or_default();
        let encoding = finding.encoding.as_ref().map(|encoding| format!(", {encoding}, {} bytes of it", finding.bytes));
        let _ = writeln!(text, "    {}: {content}{}{by}", finding.place.sink.name(), encoding.unwrap_or_default());
        for line in [&finding.note, &finding.reproduce] {
            if !line.is_empty() {
                let _ = writeln!(text, "    {line}");
            }
        }
    }
    for observation in &report.observations {
        let _ = writeln!(text, "\n  also: {}\n    {}", observation.what, observation.advice);
    }
    if !report.because.is_empty() {
        let word = if report.verdict == Verdict::CleanPartial { "partial because" } else { "because" };
        let _ = writeln!(text, "\n{word}:");
        for reason in &report.because {
            let _ = writeln!(text, "  {reason}");
        }
    }
    text
}
