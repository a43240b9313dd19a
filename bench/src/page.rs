//! The figures as a page to read: one table a row, each with the columns that say something there.

use std::fmt::Write as _;

use crate::chart::{Bar, Panel};
use crate::rows::{How, Row};
use crate::series::{LOAD, MOCK, Series};

/// A column: its heading, and what stands in it.
type Column = (String, fn(&Series) -> String);

/// The table of one row.
pub(crate) fn table(page: &mut String, row: &Row, all: &[&Series]) -> std::fmt::Result {
    writeln!(page, "\n## `{}`: {}\n", row.name, row.title)?;
    let columns = columns(row);
    let headings: Vec<&str> = columns.iter().map(|(heading, _)| heading.as_str()).collect();
    writeln!(page, "| through | {} |\n|---|{}", headings.join(" | "), "---:|".repeat(columns.len()))?;
    for series in all {
        if let Some(failure) = &series.failure {
            // One line, whatever was said.
            writeln!(page, "| {} | **failed**: {} |", series.target, failure.replace(['\n', '|'], " "))?;
            continue;
        }
        let cells: Vec<String> = columns.iter().map(|(_, cell)| cell(series)).collect();
        writeln!(page, "| {} | {} |", series.target, cells.join(" | "))?;
    }
    compared(page, row, all)?;
    doubts(page, all)
}

fn columns(row: &Row) -> Vec<Column> {
    let unit = row.unit();
    let column = |heading: &str, cell: fn(&Series) -> String| (heading.to_owned(), cell);
    let rate: Column = (format!("{unit}s/s"), |series| spread(series, "per_second", 0));
    let cpu: [Column; 4] = [
        (format!("CPU µs/{unit}"), |series| number(series.own_cpu(), 1)),
        column("of which", parts),
        column("mock", |series| number(series.cpu_of(MOCK), 1)),
        column("load", |series| number(series.cpu_of(LOAD), 1)),
    ];
    let mut columns = match row.how {
        How::Closed(_) | How::Fresh(_) | How::Keys(_) => vec![
            rate,
            column("p50", |series| time(series.median("p50_us"))),
            column("p99", |series| time(series.median("p99_us"))),
        ],
        How::Open(_) => vec![
            rate,
            column("p50", |series| time(series.median("p50_us"))),
            column("p99", |series| time(series.median("p99_us"))),
            column("added p50", |series| spread(series, "added_p50_us", 0) + " µs"),
            column("added p99", |series| spread(series, "added_p99_us", 0) + " µs"),
        ],
        How::Paced(_) => vec![
            rate,
            column("first event p50", |series| time(series.median("first_p50_us"))),
            column("added p50", |series| time(series.median("added_first_p50_us"))),
            column("added p99", |series| time(series.median("added_first_p99_us"))),
            column("event p50", |series| time(series.median("event_p50_us"))),
            column("added p50", |series| time(series.median("added_event_p50_us"))),
            column("added p99", |series| time(series.median("added_event_p99_us"))),
        ],
        How::Held(_) => {
            return vec![
                column("KiB a stream", |series| spread(series, "stream_kib", 1)),
                column("of the gateway alone", |series| number(series.median("gateway_stream_kib"), 1)),
                column("MiB before", |series| number(series.median("before_mib"), 1)),
                column("MiB with all open", |series| number(series.median("open_mib"), 1)),
            ];
        }
        How::Start => return vec![column("ms", |series| spread(series, "start_ms", 0))],
    };
    columns.extend(cpu);
    columns
}

/// The figures that count: Lethe against the yardstick.
fn compared(page: &mut String, row: &Row, all: &[&Series]) -> std::fmt::Result {
    let good = |series: &&&Series| series.failure.is_none() && !series.rounds.is_empty();
    if let How::Keys(_) = row.how {
        let [one, many] = all else { return Ok(()) };
        return match (ratio(many, one, "per_second"), many.own_cpu(), one.own_cpu()) {
            (Some(rate), Some(many), Some(one)) => {
                writeln!(page, "\nMany keys to one: {rate:.2} of the requests/s, {:.2} of the CPU.", many / one)
            }
            _ => Ok(()),
        };
    }
    let Some(lethe) = all.iter().filter(good).find(|series| series.target == "lethe") else { return Ok(()) };
    for nginx in all.iter().filter(good).filter(|series| series.target.starts_with("nginx")) {
        let mut said = Vec::new();
        match row.how {
            How::Held(_) => {
                said.extend(ratio(lethe, nginx, "stream_kib").map(|ratio| format!("{ratio:.2} of the memory a stream")))
            }
            How::Closed(_) | How::Fresh(_) => {
                said.extend(ratio(lethe, nginx, "per_second").map(|ratio| format!("{ratio:.2} of the {}s/s", row.unit())));
            }
            _ => {}
        }
        if let (Some(own), Some(gateway), Some(all)) = (nginx.own_cpu(), lethe.cpu_of("gateway"), lethe.own_cpu()) {
            said.push(format!("{:.2} of the CPU in the gateway, {:.2} in all its processes", gateway / own, all / own));
        }
        if !said.is_empty() {
            writeln!(page, "\nLethe to {}: {}.", nginx.target, said.join(", "))?;
        }
    }
    Ok(())
}

/// Figures that contradict each other.
fn doubts(page: &mut String, all: &[&Series]) -> std::fmt::Result {
    for series in all {
        if let Some(little) = series.median("little").filter(|little| !(0.9..=1.1).contains(little)) {
            writeln!(page, "\n**Doubtful:** {}: rate × time is {little:.2} of the connections.", series.target)?;
        }
        if let Some(others) = series.median("others_share").filter(|others| *others < -0.03) {
            writeln!(
                page,
                "\n**Doubtful:** {}: its processes used {:.0} % more than the machine has.",
                series.target,
                -others * 100.0
            )?;
        }
    }
    Ok(())
}

/// The row as bars; `None` where it has no figures.
pub(crate) fn panel(row: &Row, all: &[&Series]) -> Option<Panel> {
    let (name, what) = match row.how {
        How::Closed(_) | How::Fresh(_) | How::Keys(_) => ("per_second", format!("{}s/s, more is better", row.unit())),
        How::Open(_) => ("added_p50_us", "added p50 in µs, less is better".to_owned()),
        How::Paced(_) => ("added_event_p50_us", "added p50 of an event in µs, less is better".to_owned()),
        How::Held(_) => ("stream_kib", "KiB a stream, less is better".to_owned()),
        How::Start => ("start_ms", "ms, less is better".to_owned()),
    };
    let bars: Vec<Bar> = all
        .iter()
        .filter(|series| series.failure.is_none())
        .filter_map(|series| {
            let (value, spread) = (series.median(name)?, series.spread(name)?);
            Some(Bar { label: series.target.clone(), value, spread, shown: grouped(value) })
        })
        .collect();
    (!bars.is_empty()).then(|| Panel { title: format!("{}: {}", row.name, row.title), what, bars })
}

fn ratio(one: &Series, other: &Series, name: &str) -> Option<f64> {
    Some(one.median(name)? / other.median(name)?)
}

/// Roles with their processor time.
fn parts(series: &Series) -> String {
    let part = |role: &String| Some(format!("{role} {:.1}", series.cpu_of(role).filter(|cpu| *cpu >= 0.05)?));
    series.own_roles.iter().filter_map(part).collect::<Vec<_>>().join(", ")
}

fn number(value: Option<f64>, digits: usize) -> String {
    value.map_or_else(|| "–".to_owned(), |value| format!("{value:.digits$}"))
}

fn spread(series: &Series, name: &str, digits: usize) -> String {
    match (series.median(name), series.spread(name)) {
        (Some(median), Some((least, most))) => format!("{median:.digits$} ({least:.digits$}–{most:.digits$})"),
        _ => "–".to_owned(),
    }
}

fn time(micros: Option<f64>) -> String {
    match micros {
        None => "–".to_owned(),
        Some(micros) if micros.abs() < 1000.0 => format!("{micros:.0} µs"),
        Some(micros) => format!("{:.2} ms", micros / 1000.0),
    }
}

/// Three digits that count, thousands apart.
fn grouped(value: f64) -> String {
    if value.abs() < 100.0 {
        return format!("{value:.1}");
    }
    let digits = format!("{value:.0}");
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::{grouped, panel, table};
    use crate::rows::named;
    use crate::series::{Round, Series};

    fn series(target: &str, rate: f64) -> Series {
        let mut series = Series::new("chat", target, vec!["gateway".to_owned()]);
        series.rounds.push(Round {
            figures: [("per_second", rate), ("little", 1.0)].into(),
            cpu_us: [("gateway".to_owned(), 20.0)].into(),
        });
        series
    }

    #[test]
    fn a_row_has_a_table_a_comparison_and_bars() {
        let Some(row) = named("chat") else { return };
        let (lethe, nginx) = (series("lethe", 900.0), series("nginx", 1000.0));
        let mut page = String::new();
        assert!(table(&mut page, row, &[&nginx, &lethe]).is_ok());
        assert!(page.contains("| lethe | 900 (900–900) |"), "{page}");
        assert!(page.contains("Lethe to nginx: 0.90 of the requests/s, 1.00 of the CPU"), "{page}");
        assert!(!page.contains("Doubtful"), "{page}");
        assert_eq!(panel(row, &[&nginx, &lethe]).map(|panel| panel.bars.len()), Some(2));
    }

    #[test]
    fn figures_that_contradict_each_other_are_called_doubtful() {
        let Some(row) = named("chat") else { return };
        let mut wrong = series("nginx", 1000.0);
        wrong.rounds[0].figures.insert("little", 0.5);
        let mut page = String::new();
        assert!(table(&mut page, row, &[&wrong]).is_ok());
        assert!(page.contains("Doubtful"), "{page}");
    }

    #[test]
    fn thousands_stand_apart() {
        assert_eq!(grouped(1_234_567.4), "1,234,567");
        assert_eq!(grouped(123.4), "123");
        assert_eq!(grouped(12.34), "12.3");
    }
}
