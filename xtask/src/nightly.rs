//! The long forms of what `test` does in short, and one result file for each run (the benchmark keeps its own beside it).
//! Everything runs, also after a failure: a night is long.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use clap::Args;

use crate::house::{Failed, House, cache, output};
use crate::{build, tools};

/// Where results are kept.
const RESULTS: &str = "bench/results";

#[derive(Args)]
pub(crate) struct Lengths {
    /// Minutes of chaos
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=1440))]
    minutes: u64,
    /// Minutes for each fuzz target
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=1440))]
    fuzz_minutes: u64,
    /// Seeds of the delivery model
    #[arg(long, default_value_t = 10_000)]
    seeds: u32,
    /// Seconds instead of minutes everywhere: does the command itself work?
    #[arg(long, conflicts_with_all = ["minutes", "fuzz_minutes", "seeds"])]
    short: bool,
    /// Only parts whose name begins so
    #[arg(long, value_name = "PART")]
    only: Vec<String>,
}

impl Lengths {
    fn chaos_seconds(&self) -> u64 {
        if self.short { 20 } else { self.minutes * 60 }
    }

    fn fuzz_seconds(&self) -> u64 {
        if self.short { 5 } else { self.fuzz_minutes * 60 }
    }

    fn seeds(&self) -> u32 {
        if self.short { 100 } else { self.seeds }
    }

    fn cases(&self) -> &'static str {
        if self.short { "500" } else { "10000" }
    }
}

/// Why a part has no good result.
enum Trouble {
    Failed(Failed),
    /// Something that it needs is not there.
    NotRun(String),
}

impl From<Failed> for Trouble {
    fn from(failed: Failed) -> Self {
        Self::Failed(failed)
    }
}

/// The figures of a part, for the table.
type Outcome = Result<String, Trouble>;

/// What every part needs.
struct Night<'a> {
    house: &'a House,
    lengths: &'a Lengths,
    /// Output of the parts.
    logs: PathBuf,
}

type Work = fn(&Night<'_>, &str) -> Outcome;

const PARTS: &[(&str, Work)] = &[
    ("build", build),
    ("dependencies", dependencies),
    ("chaos", chaos),
    ("delivery", delivery),
    ("properties", properties),
    ("memory", memory),
    ("audit", audit),
];
const LATE_PARTS: &[(&str, Work)] = &[("scan", scan), ("engine", engine), ("bench", bench)];

pub(crate) fn run(house: &House, lengths: &Lengths) -> Result<(), Failed> {
    let logs = house.target.join("nightly");
    let failed = |error: std::io::Error| Failed::new(format!("{}: {error}", logs.display()));
    fs::create_dir_all(&logs).map_err(failed)?;
    let night = Night { house, lengths, logs: logs.clone() };
    let fuzz = fuzz_targets(house)?.into_iter().map(|target| (format!("fuzz {target}"), fuzz as Work));
    let named = |parts: &[(&str, Work)]| parts.iter().map(|(name, work)| ((*name).to_owned(), *work)).collect::<Vec<_>>();
    let parts = named(PARTS).into_iter().chain(fuzz).chain(named(LATE_PARTS));
    let wanted = |name: &str| lengths.only.is_empty() || lengths.only.iter().any(|only| name.starts_with(only.as_str()));
    let start = Instant::now();
    let (mut rows, mut failures) = (String::new(), Vec::new());
    for (name, work) in parts.filter(|(name, _)| wanted(name)) {
        println!("==> {name} ({} s)", start.elapsed().as_secs());
        let begun = Instant::now();
        let (word, figures) = match work(&night, &name) {
            Ok(figures) => ("passed", figures),
            Err(Trouble::Failed(why)) => {
                println!("FAILED: {name}: {why}");
                failures.push(format!("{name} failed: {why}"));
                ("**failed**", first_line(&why.to_string()))
            }
            Err(Trouble::NotRun(why)) => {
                println!("NOT RUN: {name}: {why}");
                failures.push(format!("{name} was not run: {why}"));
                ("**not run**", first_line(&why))
            }
        };
        // Writing to a String does not fail.
        let _ = writeln!(rows, "| {name} | {word} | {} | {figures} |", begun.elapsed().as_secs());
    }
    let path = keep(house, lengths, &rows)?;
    println!("{rows}\nkept in {}; commit it", path.display());
    Failed::unless_empty("nightly:", &failures)
}

fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().replace('|', " ")
}

/// Writes the result file; a second run of a day stands beside the first.
fn keep(house: &House, lengths: &Lengths, rows: &str) -> Result<PathBuf, Failed> {
    let date = jiff::Timestamp::now().strftime("%Y-%m-%d").to_string();
    let commit =
        output(Command::new("git").current_dir(&house.root).args(["rev-parse", "--short=12", "HEAD"])).unwrap_or_default();
    let short = if lengths.short { ", short form: shows that the command works, and nothing else" } else { "" };
    let text = format!(
        "# Nightly run of {date}{short}\n\nCommit {}. {}\n\n| part | result | seconds | figures |\n|---|---|---:|---|\n{rows}",
        commit.trim(),
        machine()
    );
    let folder = house.root.join(RESULTS);
    let name = if lengths.short { format!("nightly-{date}-short") } else { format!("nightly-{date}") };
    let mut names = (1..).map(|run| if run == 1 { format!("{name}.md") } else { format!("{name}-{run}.md") });
    let path = names.find_map(|name| Some(folder.join(name)).filter(|path| !path.exists())).unwrap_or_else(|| folder.join(&name));
    let write = || {
        fs::create_dir_all(&folder)?;
        fs::write(&path, &text)
    };
    write().map_err(|error| Failed::new(format!("{}: {error}", path.display())))?;
    Ok(path)
}

fn machine() -> String {
    let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or_default();
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    format!("{processors} × {}, Linux {}.", model.trim_start_matches(['\t', ':', ' ']), kernel.trim())
}

impl Night<'_> {
    /// Runs to its end, its output into a file; a bad exit is a failure that shows the file's end.
    fn logged(&self, name: &str, command: &mut Command) -> Result<String, Failed> {
        let path = self.logs.join(format!("{}.log", name.replace(' ', "-")));
        println!("    output: {}", path.display());
        let failed = |error: std::io::Error| Failed::new(format!("{}: {error}", path.display()));
        let log = File::create(&path).map_err(failed)?;
        let program = command.get_program().to_string_lossy().into_owned();
        let status = command.stdout(log.try_clone().map_err(failed)?).stderr(log).status();
        let status = status.map_err(|error| Failed::new(format!("{program}: {error}")))?;
        let text = String::from_utf8_lossy(&fs::read(&path).map_err(failed)?).into_owned();
        if status.success() {
            return Ok(text);
        }
        let lines: Vec<&str> = text.lines().collect();
        let end = lines[lines.len().saturating_sub(25)..].join("\n");
        Err(Failed::new(format!("{program}: {status}, see {}\n{end}", path.display())))
    }

    /// `cargo nextest run` with patience.
    fn nextest(&self) -> Result<Command, Failed> {
        let mut nextest = Command::new(tools::nextest()?);
        nextest.current_dir(&self.house.root).args(["nextest", "run", "--release", "--locked", "--profile", "nightly"]);
        Ok(nextest)
    }
}

/// What nextest says at its end.
fn summary(log: &str) -> String {
    let line = log.lines().rev().find(|line| line.contains("tests run:") || line.contains("test run:"));
    line.and_then(|line| Some(line.split_once(']')?.1.trim().to_owned())).unwrap_or_default()
}

fn build(night: &Night<'_>, _: &str) -> Outcome {
    build::fault_injection(night.house)?;
    build::shipped(night.house)?;
    Ok(String::new())
}

fn dependencies(night: &Night<'_>, name: &str) -> Outcome {
    let deny = tools::cargo_deny()?;
    // Advisories need a database from the network: another check's matter, so that this one fails for one reason only.
    let mut command = Command::new(deny);
    night.logged(name, command.current_dir(&night.house.root).args(["check", "bans", "licenses", "sources"]))?;
    Ok("bans, licences, sources".to_owned())
}

fn chaos(night: &Night<'_>, name: &str) -> Outcome {
    if !night.house.root.join("tests/chaos/main.rs").is_file() {
        return Err(Trouble::NotRun("tests/chaos is not there".to_owned()));
    }
    let mut nextest = night.nextest()?;
    nextest.args(["-p", "lethe-tests", "--test", "chaos", "--no-capture"]);
    let log = night.logged(name, nextest.env("LETHE_CHAOS_SECONDS", night.lengths.chaos_seconds().to_string()))?;
    // The driver says what it did.
    let said = log.lines().rev().find_map(|line| line.trim().strip_prefix("chaos: "));
    said.map(str::to_owned).ok_or_else(|| Trouble::NotRun("the driver said nothing of what it did".to_owned()))
}

fn delivery(night: &Night<'_>, name: &str) -> Outcome {
    if !night.house.root.join("crates/control/tests/delivery.rs").is_file() {
        return Err(Trouble::NotRun("crates/control/tests/delivery.rs is not there".to_owned()));
    }
    let seeds = night.lengths.seeds().to_string();
    let mut nextest = night.nextest()?;
    nextest.args(["-p", "lethe-control", "--test", "delivery"]).env("LETHE_SEEDS", &seeds);
    let log = night.logged(name, &mut nextest)?;
    Ok(format!("{seeds} seeds; {}", summary(&log)))
}

/// The tests of every package whose tests use proptest.
fn properties(night: &Night<'_>, name: &str) -> Outcome {
    let mut nextest = night.nextest()?;
    let uses = night.house.packages.iter();
    let uses = uses.filter(|package| package.dependencies.iter().any(|dependency| dependency.name == "proptest"));
    for package in uses {
        nextest.args(["-p", &package.name]);
    }
    let log = night.logged(name, nextest.env("PROPTEST_CASES", night.lengths.cases()))?;
    Ok(format!("{} cases each; {}", night.lengths.cases(), summary(&log)))
}

/// `cargo xtask memcheck`, as a person would run it.
fn memory(night: &Night<'_>, name: &str) -> Outcome {
    let own = std::env::current_exe().map_err(|error| Failed::new(format!("this executable: {error}")))?;
    let help = Command::new(&own).args(["memcheck", "--help"]).output();
    if !help.is_ok_and(|help| help.status.success()) {
        return Err(Trouble::NotRun("there is no `cargo xtask memcheck`".to_owned()));
    }
    let log = night.logged(name, Command::new(own).current_dir(&night.house.root).arg("memcheck"))?;
    Ok(first_line(log.lines().last().unwrap_or_default()))
}

/// Ten full audits of a Lethe, one after the other: each is clean, or one is a false alarm.
fn audit(night: &Night<'_>, name: &str) -> Outcome {
    let runs = if night.lengths.short { 1 } else { 10 };
    let out = night.logs.join("audit");
    for run in 1..=runs {
        let mut audit = Command::new(night.house.built("lethe"));
        audit.args(["audit", "--full", "--out"]).arg(&out);
        night.logged(&format!("{name} {run}"), &mut audit)?;
    }
    Ok(format!("{runs} full audits, nothing found in any"))
}

/// How fast the audit scans, by kind of data.
fn scan(night: &Night<'_>, name: &str) -> Outcome {
    let mut nextest = night.nextest()?;
    nextest.args(["-p", "lethe-audit", "--run-ignored", "only", "--no-capture", "how_fast"]);
    let log = night.logged(name, &mut nextest)?;
    let figures: Vec<&str> = log.lines().map(str::trim).filter(|line| line.contains("MB/s")).collect();
    if figures.is_empty() { Err(Trouble::NotRun("it said nothing of its speed".to_owned())) } else { Ok(figures.join("; ")) }
}

/// The targets by the names of their files, as `fuzz/run` takes them.
fn fuzz_targets(house: &House) -> Result<Vec<String>, Failed> {
    let folder = house.root.join("fuzz/fuzz_targets");
    let files = crate::house::files(&folder, ".rs")?;
    Ok(files.iter().filter_map(|path| Some(path.file_stem()?.to_str()?.to_owned())).collect())
}

fn fuzz(night: &Night<'_>, name: &str) -> Outcome {
    let target = name.rsplit(' ').next().unwrap_or(name);
    let mut command = Command::new(night.house.root.join("fuzz/run"));
    // A workspace of its own; under `cargo run` the variable would put its flags' output among ours.
    command.env("CARGO_TARGET_DIR", night.house.target.join("fuzz"));
    let log = night.logged(name, command.arg(target).arg(night.lengths.fuzz_seconds().to_string()))?;
    let stat =
        |name: &str| log.lines().rev().find_map(|line| Some(line.strip_prefix("stat::")?.strip_prefix(name)?.trim().to_owned()));
    match stat("number_of_executed_units:") {
        Some(units) => Ok(format!("{units} inputs, nothing found")),
        None => Err(Trouble::NotRun("the fuzzer printed no figures".to_owned())),
    }
}

fn engine(night: &Night<'_>, name: &str) -> Outcome {
    built_bench(night)?;
    let model = model(night.house)?;
    let mut command = Command::new(night.house.built("lethe-bench"));
    command.current_dir(&night.house.root).arg("engine").arg("--model").arg(model);
    if night.lengths.short {
        command.args(["--rounds", "1", "--tokens", "32"]);
    }
    let log = night.logged(name, &mut command)?;
    let target = log.lines().find(|line| line.starts_with("Target of")).unwrap_or_default();
    let row = log.lines().find(|line| line.starts_with("| ") && line.contains("tokens)")).unwrap_or_default();
    let rate = row.split('|').nth(3).unwrap_or_default().trim();
    Ok(format!("{rate} answer tokens/s. {target}"))
}

fn bench(night: &Night<'_>, name: &str) -> Outcome {
    built_bench(night)?;
    let mut command = Command::new(night.house.built("lethe-bench"));
    command.current_dir(&night.house.root).args(["--peers", "nginx,litellm,portkey"]);
    if night.lengths.short {
        command.args(["--rounds", "1", "--seconds", "1"]);
    } else {
        command.args(["--keep", RESULTS]);
    }
    let log = night.logged(name, &mut command)?;
    let compared = log.lines().filter(|line| line.starts_with("Lethe to nginx")).count();
    let kept =
        log.lines().find_map(|line| Some(Path::new(line.strip_prefix("kept in ")?).file_name()?.to_string_lossy().into_owned()));
    Ok(kept.map_or_else(
        || format!("{compared} rows beside nginx"),
        |page| format!("{compared} rows beside nginx: [{page}]({page})"),
    ))
}

fn built_bench(night: &Night<'_>) -> Result<(), Failed> {
    crate::house::run(&mut night.house.cargo(&["build", "--release", "--locked", "-p", "lethe-bench"]))?;
    build::shipped(night.house)
}

/// The pinned model, fetched if it is missing.
fn model(house: &House) -> Result<PathBuf, Failed> {
    if let Some(model) = std::env::var_os("LETHE_TEST_MODEL") {
        return Ok(model.into());
    }
    let known = cache()?.join("models/SmolLM2-135M-Instruct.Q4_1.gguf");
    if known.is_file() {
        return Ok(known);
    }
    let mut fetch = Command::new(house.built("lethe"));
    if let Some(folder) = tools::pip()? {
        fetch.env("PATH", tools::first_on_path(&folder)?);
    }
    Ok(output(fetch.args(["model", "fetch"]))?.trim().into())
}

#[cfg(test)]
mod tests {
    use super::{first_line, summary};

    #[test]
    fn figures_are_read_out_of_logs() {
        let log = "x\n     Summary [   1.234s] 12 tests run: 12 passed (1 slow), 0 skipped\n";
        assert_eq!(summary(log), "12 tests run: 12 passed (1 slow), 0 skipped");
        assert_eq!(summary("nothing"), "");
        assert_eq!(first_line("a | b\nc"), "a   b");
    }
}
