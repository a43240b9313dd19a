//! The figures as a page to read and as data.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::chart;
use crate::engine::EngineFigures;
use crate::machine::Machine;
use crate::page;
use crate::problem::{Problem, While as _};
use crate::rounds::Plan;
use crate::rows::{ROWS, Row};
use crate::series::Series;

/// All that one run found out.
#[derive(Serialize)]
pub(crate) struct Report {
    pub(crate) machine: Machine,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) plan: Option<Plan>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) series: Vec<Series>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) engine: Option<EngineFigures>,
    /// What was to be measured and could not be.
    pub(crate) missing: Vec<String>,
}

impl Report {
    /// Whether everything that was asked for has been measured.
    pub(crate) fn is_complete(&self) -> bool {
        self.missing.is_empty() && self.series.iter().all(|series| series.failure.is_none())
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
            "{} × {}, {} GiB, Linux {}; {}; {}; commit {}; built with `{}`; load average before: {}.",
            machine.processors,
            machine.processor,
            machine.memory_gib,
            machine.kernel,
            machine.nginx.as_deref().unwrap_or("nginx not installed"),
            machine.lethe.as_deref().unwrap_or("lethe not built"),
            machine.commit.as_deref().unwrap_or("unknown"),
            machine.flags,
            machine.load_before
        )?;
        if let Some(plan) = &self.plan {
            writeln!(
                page,
                "{} interleaved rounds of {} s: medians, with the smallest and the largest round in brackets. Load, mock upstream and \
                 target share the processors; CPU is user and system time per answer; what a target adds is the difference to \
                 the direct way in the same round. How each figure is made: bench/README.md.",
                plan.rounds,
                plan.window.as_secs_f64()
            )?;
        }
        if let Some((median, most)) = self.share("others_share") {
            writeln!(
                page,
                "Everything else on the machine used {:.0} % of the processors (median of the rounds; at most {:.0} %): rates and \
                 latencies suffer from it, CPU per answer hardly does.",
                median * 100.0,
                most * 100.0
            )?;
        }
        if let (Some((load, most)), Some((mock, _))) = (self.share("load_share"), self.share("mock_share")) {
            writeln!(
                page,
                "The load took {:.0} % of the processors (at most {:.0} %), the mock upstream {:.0} %.",
                load * 100.0,
                most * 100.0,
                mock * 100.0
            )?;
        }
        let peers: Vec<&str> = machine.peers.iter().map(String::as_str).collect();
        if !peers.is_empty() {
            writeln!(page, "Peers: {}.", peers.join("; "))?;
        }
        for missing in &self.missing {
            writeln!(page, "\n**Not measured:** {missing}")?;
        }
        for row in ROWS {
            let all = self.of(row);
            if !all.is_empty() {
                page::table(page, row, &all)?;
            }
        }
        if let Some(engine) = &self.engine {
            engine.write(page)?;
        }
        Ok(())
    }

    fn of(&self, row: &Row) -> Vec<&Series> {
        self.series.iter().filter(|series| series.row == row.name).collect()
    }

    /// A share of the processors over all rounds: median and most.
    fn share(&self, name: &str) -> Option<(f64, f64)> {
        let rounds = self.series.iter().flat_map(|series| &series.rounds);
        let mut rising: Vec<f64> = rounds.filter_map(|round| round.figure(name)).collect();
        rising.sort_by(f64::total_cmp);
        Some((*rising.get(rising.len() / 2)?, *rising.last()?))
    }

    /// The bars; `None` where nothing can be drawn.
    fn chart(&self) -> Option<String> {
        let panels: Vec<chart::Panel> = ROWS.iter().filter_map(|row| page::panel(row, &self.of(row))).collect();
        let title = format!("{} × {}, {}", self.machine.processors, self.machine.processor, self.machine.date);
        (!panels.is_empty()).then(|| chart::svg(&title, &panels))
    }

    /// Writes page, data and chart into `folder`, named after the day and the machine.
    pub(crate) fn keep(&self, folder: &Path) -> Result<PathBuf, Problem> {
        fs::create_dir_all(folder).doing(&format!("make {}", folder.display()))?;
        let engine = if self.series.is_empty() { "-engine" } else { "" };
        let name = format!("{}-{}{engine}", self.machine.date, self.machine.short_name());
        // A second run of a day stands beside the first: what has been kept is not replaced.
        let names = (1..).map(|run| if run == 1 { name.clone() } else { format!("{name}-{run}") });
        let name = names.into_iter().find(|name| !folder.join(format!("{name}.md")).exists()).unwrap_or(name);
        let page = folder.join(format!("{name}.md"));
        let mut text = self.markdown();
        if let Some(chart) = self.chart() {
            fs::write(folder.join(format!("{name}.svg")), chart).doing("write the chart")?;
            // Not a failure: a String takes it.
            let _ = writeln!(text, "\n![The same as bars]({name}.svg)");
        }
        fs::write(&page, text).doing("write the page")?;
        let data = serde_json::to_vec_pretty(self).doing("write the figures")?;
        fs::write(folder.join(format!("{name}.json")), data).doing("write the figures")?;
        Ok(page)
    }
}
