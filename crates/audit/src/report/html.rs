//! The report as one page that needs nothing else: no script runs, no address is asked.

use std::fmt::{self, Write as _};

use super::model::{Report, RowState, SearchState, SettingState, Verdict};
use super::seal::{STATEMENT, for_page};

const STYLE: &str = "\
:root{color-scheme:light dark;--line:#8884;--good:#1a7f37;--bad:#cf222e;--warn:#9a6700}
@media(prefers-color-scheme:dark){:root{--good:#3fb950;--bad:#f85149;--warn:#d29922}}
body{font:15px/1.5 system-ui,sans-serif;max-width:72rem;margin:2rem auto;padding:0 1rem}
h1{font-size:1.6rem;margin:0}h2{font-size:1.1rem;margin:2rem 0 .5rem}
table{border-collapse:collapse;width:100%}th,td{text-align:left;vertical-align:top;padding:.3rem .6rem .3rem 0;border-bottom:1px solid var(--line)}
td{overflow-wrap:anywhere}th{font-weight:600}.good{color:var(--good)}.bad{color:var(--bad)}.warn{color:var(--warn)}
.quiet{opacity:.7}details{margin:.5rem 0}summary{cursor:pointer}";

/// Text between tags and in attributes.
struct Escaped<'a>(&'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for part in self.0.split_inclusive(['&', '<', '>', '"', '\'']) {
            let (text, special) = match part.char_indices().next_back() {
                Some((at, last @ ('&' | '<' | '>' | '"' | '\''))) => (&part[..at], Some(last)),
                _ => (part, None),
            };
            f.write_str(text)?;
            match special {
                Some('&') => f.write_str("&amp;")?,
                Some('<') => f.write_str("&lt;")?,
                Some('>') => f.write_str("&gt;")?,
                Some('"') => f.write_str("&quot;")?,
                Some(_) => f.write_str("&#39;")?,
                None => {}
            }
        }
        Ok(())
    }
}

/// A cell: a class for its colour, and its text.
type Cell = (&'static str, String);

fn plain(text: impl Into<String>) -> Cell {
    ("", text.into())
}

fn table(page: &mut String, heading: &str, columns: &[&str], rows: impl Iterator<Item = Vec<Cell>>) {
    let rows: Vec<Vec<Cell>> = rows.collect();
    if rows.is_empty() {
        return;
    }
    // Writing to a String does not fail, here and below.
    let _ = write!(page, "<h2>{}</h2>\n<table><tr>", Escaped(heading));
    for column in columns {
        let _ = write!(page, "<th>{}</th>", Escaped(column));
    }
    page.push_str("</tr>\n");
    for row in rows {
        page.push_str("<tr>");
        for (class, text) in row {
            let _ = write!(page, "<td class=\"{class}\">{}</td>", Escaped(&text));
        }
        page.push_str("</tr>\n");
    }
    page.push_str("</table>\n");
}

fn list(page: &mut String, heading: &str, lines: &[String]) {
    if lines.is_empty() {
        return;
    }
    let _ = write!(page, "<h2>{}</h2>\n<ul>\n", Escaped(heading));
    for line in lines {
        let _ = writeln!(page, "<li>{}</li>", Escaped(line));
    }
    page.push_str("</ul>\n");
}

/// The page around a signed statement of this report. The same report and statement always give the same page, so that a page that was
/// changed is seen.
#[must_use]
pub fn html(report: &Report, statement: &str) -> String {
    let mut page = String::new();
    let class = match report.verdict {
        Verdict::Clean => "good",
        Verdict::CleanPartial | Verdict::None => "warn",
        Verdict::Findings => "bad",
    };
    let target = &report.target;
    let _ = write!(
        page,
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n\
         <title>Audit of {0}: {1}</title>\n<style>{STYLE}</style></head><body>\n\
         <h1 class=\"{class}\">{1}</h1>\n<p>{0} at {2} · {3}, model {4} · {5} · {6} plan, {7} ms</p>\n\
         <p class=\"quiet\">{8} {9}, {10}, {11}. Markers appear by label only. Check the signature with <code>lethe verify FILE</code>.</p>\n",
        Escaped(&target.name),
        report.verdict.name(),
        Escaped(&target.url),
        Escaped(&target.dialect),
        Escaped(&target.model),
        Escaped(&report.started),
        Escaped(&report.plan),
        report.duration_ms,
        Escaped(&report.tool.name),
        Escaped(&report.tool.version),
        Escaped(&report.tool.machine),
        if report.tool.as_root { "as root" } else { "as an ordinary user" },
    );
    list(&mut page, if report.verdict == Verdict::CleanPartial { "Partial because" } else { "Because" }, &report.because);
    findings(&mut page, report);
    list(
        &mut page,
        "Noticed beside",
        &report.observations.iter().map(|seen| format!("{} {}", seen.what, seen.advice)).collect::<Vec<_>>(),
    );
    matrix(&mut page, report);
    machine(&mut page, report);
    list(&mut page, "What no audit from outside can see", &report.limits);
    let _ = write!(page, "{STATEMENT}{}</script>\n</body></html>\n", for_page(statement));
    page
}

fn findings(page: &mut String, report: &Report) {
    let columns = ["clause", "where", "what", "encoding", "reproduce"];
    table(
        page,
        "Findings",
        &columns,
        report.findings.iter().map(|finding| {
            let by = finding.place.by.as_deref().map(|by| format!(" (by {by})")).unwrap_or_default();
            vec![
                ("bad", finding.clause.name().to_owned()),
                plain(format!("{}: {}{by}", finding.place.sink.name(), finding.place.name)),
                plain(
                    finding.content.as_ref().map_or_else(|| finding.note.clone(), |label| format!("{label}. {}", finding.note)),
                ),
                plain(
                    finding.encoding.as_ref().map(|encoding| format!("{encoding}, {} bytes", finding.bytes)).unwrap_or_default(),
                ),
                plain(&*finding.reproduce),
            ]
        }),
    );
}

fn matrix(page: &mut String, report: &Report) {
    table(
        page,
        "Sinks",
        &["sink", "searched", "how", "MB", "not looked at"],
        report.sinks.iter().map(|sink| {
            let state = match sink.state {
                SearchState::Searched => ("good", "yes".to_owned()),
                SearchState::Partly => ("warn", "partly".to_owned()),
                SearchState::NotSearched => ("warn", "no".to_owned()),
            };
            let megabytes = plain(format!("{}.{}", sink.bytes / 1_000_000, sink.bytes / 100_000 % 10));
            vec![plain(sink.sink.name()), state, plain(&*sink.how), megabytes, plain(sink.gaps.join("; "))]
        }),
    );
    table(
        page,
        "Requests",
        &["endpoint", "outcome", "stands for", "status", "state", "markers"],
        report.rows.iter().map(|row| {
            let state = match row.state {
                RowState::Exercised => ("good", "exercised".to_owned()),
                RowState::Refused => ("good", "refused by the target".to_owned()),
                RowState::NotServed => ("quiet", "not served".to_owned()),
                RowState::NotExercised => ("warn", row.why.clone().unwrap_or_default()),
            };
            let status = row.status.map(|status| status.to_string()).unwrap_or_default();
            let texts = [&*row.endpoint, &row.outcome, &row.class].map(plain);
            texts.into_iter().chain([plain(status), state, plain(row.canaries.to_string())]).collect()
        }),
    );
    table(
        page,
        "Controls: planted, and found by the same search",
        &["sink", "planted", "found"],
        report.controls.iter().map(|control| {
            let found = if control.found { ("good", "yes".to_owned()) } else { ("bad", "no".to_owned()) };
            vec![plain(control.sink.name()), plain(&*control.planted), found]
        }),
    );
}

fn machine(page: &mut String, report: &Report) {
    table(
        page,
        "Write-like system calls that succeeded",
        &["process", "call", "to", "calls", "bytes", "verdict"],
        report.writes.iter().map(|write| {
            let class = if matches!(&*write.verdict, "content" | "forbidden") { "bad" } else { "" };
            let texts = [&*write.process, &write.call, &write.target].map(plain);
            let counts = [plain(write.calls.to_string()), plain(write.bytes.to_string()), (class, write.verdict.clone())];
            texts.into_iter().chain(counts).collect()
        }),
    );
    table(
        page,
        "Ways out, tried from inside",
        &["process", "attempt", "result"],
        report.attempts.iter().map(|attempt| {
            let result = (if attempt.denied { "good" } else { "bad" }, attempt.result.clone());
            vec![plain(&*attempt.process), plain(&*attempt.attempt), result]
        }),
    );
    table(
        page,
        "Settings of this machine",
        &["setting", "value", "why it matters", "what to do"],
        report.settings.iter().map(|setting| {
            let class = match setting.state {
                SettingState::Good => "good",
                SettingState::Warn => "warn",
                SettingState::Bad => "bad",
                SettingState::Unknown => "quiet",
            };
            vec![plain(&*setting.name), (class, setting.value.clone()), plain(&*setting.why), plain(&*setting.advice)]
        }),
    );
}
