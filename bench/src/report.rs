//! The figures as a page to read and as data.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::engine::EngineFigures;
use crate::machine::Machine;
use crate::problem::{Problem, While as _};
use crate::rounds::{LOAD, MOCK, Plan, Row};
use crate::workload::Workload;

/// All that one run found out.
#[derive(Serialize)]
pub(crate) struct Report {
    pub(crate) machine: Machine,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) plan: Option<Plan>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) rows: Vec<Row>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) engine: Option<EngineFigures>,
    /// What was to be measured and could not be.
    pub(crate) missing: Vec<String>,
}

impl Report {
    /// Whether everything that was asked for has been measured.
    pub(crate) fn is_complete(&self) -> bool {
        self.missing.is_empty() && self.rows.iter().all(|row| row.failure.is_none())
    }

    /// The page.
    pub(crate) fn markdown(&self) -> String {
        let mut page = String::new();
        // Writing to a String does not fail.
        let _ = self.write(&mut page);
        page
    }

    fn write(&self, page: &mut String) -> std::fmt::Result {
        let machine = &self.machine;
        writeln!(page, "# Measured on {}\n", machine.date)?;
        writeln!(page, "`{}`\n", machine.command)?;
        writeln!(
            page,
            "{} × {}, {} GiB, Linux {}; {}; {}; load average before: {}.",
            machine.processors,
            machine.processor,
            machine.memory_gib,
            machine.kernel,
            machine.nginx.as_deref().unwrap_or("nginx not installed"),
            machine.lethe.as_deref().unwrap_or("lethe not built"),
            machine.load_before
        )?;
        if let Some(plan) = &self.plan {
            writeln!(
                page,
                "{} keep-alive connections, {} interleaved rounds of {} s: medians, with the smallest and the largest round in brackets. \
                 Load, mock upstream and target share the processors; CPU is user and system time per answer.",
                plan.connections,
                plan.rounds,
                plan.window.as_secs_f64()
            )?;
        }
        if let Some((median, most)) = self.others() {
            writeln!(
                page,
                "Everything else on the machine used {:.0} % of the processors (median of the rounds; at most {:.0} %): rates and \
                 latencies suffer from it, CPU per answer hardly does.",
                median * 100.0,
                most * 100.0
            )?;
        }
        for missing in &self.missing {
            writeln!(page, "\n**Not measured:** {missing}")?;
        }
        for workload in Workload::ALL {
            let rows: Vec<&Row> = self.rows.iter().filter(|row| row.workload == workload).collect();
            if !rows.is_empty() {
                table(page, workload, &rows)?;
            }
        }
        if let Some(engine) = &self.engine {
            engine.write(page)?;
        }
        Ok(())
    }

    /// What else used the processors, over all rounds: median and most.
    fn others(&self) -> Option<(f64, f64)> {
        let mut rising: Vec<f64> = self.rows.iter().flat_map(|row| &row.rounds).map(|round| round.others).collect();
        rising.sort_by(f64::total_cmp);
        Some((*rising.get(rising.len() / 2)?, *rising.last()?))
    }

    /// Writes page and data into `folder`, named after the day and the machine.
    pub(crate) fn keep(&self, folder: &Path) -> Result<PathBuf, Problem> {
        fs::create_dir_all(folder).doing(&format!("make {}", folder.display()))?;
        let engine = if self.rows.is_empty() { "-engine" } else { "" };
        let name = format!("{}-{}{engine}", self.machine.date, self.machine.short_name());
        // A second run of a day stands beside the first: what has been kept is not replaced.
        let names = (1..).map(|run| if run == 1 { name.clone() } else { format!("{name}-{run}") });
        let name = names.into_iter().find(|name| !folder.join(format!("{name}.md")).exists()).unwrap_or(name);
        let page = folder.join(format!("{name}.md"));
        fs::write(&page, self.markdown()).doing("write the page")?;
        let data = serde_json::to_vec_pretty(self).doing("write the figures")?;
        fs::write(folder.join(format!("{name}.json")), data).doing("write the figures")?;
        Ok(page)
    }
}

fn table(page: &mut String, workload: Workload, rows: &[&Row]) -> std::fmt::Result {
    let unit = workload.unit();
    writeln!(page, "\n## {}\n", workload.title())?;
    writeln!(
        page,
        "| through | {unit}s/s | first body byte p50 | p50 | p99 | CPU µs/{unit} | of which | mock | load |\n|---|---|---|---|---|---|---|---|---|"
    )?;
    for row in rows {
        if let Some(failure) = &row.failure {
            // One line, whatever was said.
            writeln!(page, "| {} | **failed**: {} |", row.target, failure.replace(['\n', '|'], " "))?;
            continue;
        }
        let (least, most) = row.spread(|round| round.per_second);
        let parts: Vec<String> = row
            .own_roles
            .iter()
            .map(|role| format!("{role} {:.1}", row.cpu_of(role)))
            .filter(|part| !part.ends_with(" 0.0"))
            .collect();
        writeln!(
            page,
            "| {} | {:.0} ({least:.0}–{most:.0}) | {} | {} | {} | {} | {} | {:.1} | {:.1} |",
            row.target,
            row.median(|round| round.per_second),
            time(row.median(|round| round.first_byte_p50_us)),
            time(row.median(|round| round.p50_us)),
            time(row.median(|round| round.p99_us)),
            if row.own_roles.is_empty() { "–".to_owned() } else { format!("{:.1}", row.own_cpu()) },
            parts.join(", "),
            row.cpu_of(MOCK),
            row.cpu_of(LOAD),
        )?;
    }
    ratio(page, workload, rows)
}

/// The figure that counts: Lethe against the yardstick.
fn ratio(page: &mut String, workload: Workload, rows: &[&Row]) -> std::fmt::Result {
    let find = |target: &str| rows.iter().find(|row| row.target == target && row.failure.is_none() && !row.rounds.is_empty());
    let (Some(nginx), Some(lethe)) = (find("nginx"), find("lethe")) else { return Ok(()) };
    let rate = lethe.median(|round| round.per_second) / nginx.median(|round| round.per_second);
    writeln!(
        page,
        "\nLethe to nginx: {rate:.2} of the {}s/s, {:.2} of the CPU in the gateway, {:.2} in all its processes.",
        workload.unit(),
        lethe.cpu_of("gateway") / nginx.own_cpu(),
        lethe.own_cpu() / nginx.own_cpu()
    )
}

fn time(micros: f64) -> String {
    if micros < 1000.0 { format!("{micros:.0} µs") } else { format!("{:.2} ms", micros / 1000.0) }
}
