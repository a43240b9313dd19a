//! The audit is audited: each way to leak is caught, what keeps nothing is clean, and a report cannot be changed unnoticed.

mod bad_input;
mod leaks;
mod lethe;
mod nginx;
mod report;

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use lethe_testkit::lethe::executable;
use serde_json::Value;

/// A run of `lethe audit` and what it wrote.
struct Audited {
    code: i32,
    report: Value,
    printed: String,
    folder: tempfile::TempDir,
}

impl Audited {
    /// The findings whose sink is this one.
    fn findings(&self, sink: &str) -> Vec<&Value> {
        let all = self.report["findings"].as_array().into_iter().flatten();
        all.filter(|finding| finding["place"]["sink"] == sink).collect()
    }

    /// What to show when a check fails: the report holds no marker.
    fn shown(&self) -> String {
        let parts = ["verdict", "because", "findings", "rows"].map(|part| format!("{part}: {:#}", self.report[part]));
        format!("{}\n{}", self.printed, parts.join("\n"))
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

/// The links that a report shows: name, how they are protected, and what that means.
fn links(report: &Value) -> Vec<(&str, &str, &str)> {
    let settings = report["settings"].as_array().into_iter().flatten();
    settings
        .filter_map(|setting| {
            Some((setting["name"].as_str()?.strip_prefix("link: ")?, setting["value"].as_str()?, setting["state"].as_str()?))
        })
        .collect()
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// Runs `lethe audit` with these arguments, in a folder of its own where the report goes.
fn audit(arguments: &[&str]) -> Audited {
    audit_by(&mut Command::new(executable("lethe")), arguments)
}

fn audit_by(command: &mut Command, arguments: &[&str]) -> Audited {
    let folder = tempfile::Builder::new().prefix("audit-").tempdir_in("/var/tmp").expect("a folder");
    std::os::unix::fs::chown(folder.path(), owner(command), None).expect("ownership");
    command.arg("audit").args(arguments).arg("--out").arg(folder.path()).current_dir(folder.path());
    let output = command.output().expect("lethe audit");
    let report = fs::read(folder.path().join("lethe-audit.json")).ok();
    let report = report.and_then(|bytes| serde_json::from_slice::<Value>(&bytes).ok()).unwrap_or_default()["payload"].take();
    Audited { code: output.status.code().unwrap_or(-1), report, printed: text(&output), folder }
}

/// The user that a command runs as by `setpriv`.
fn owner(command: &Command) -> Option<u32> {
    let argument = command.get_args().find_map(|argument| argument.to_str()?.strip_prefix("--reuid="));
    argument.and_then(|user| user.parse().ok())
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address").port()
}

fn verify(file: &Path, more: &[&str]) -> (i32, String) {
    let output = Command::new(executable("lethe")).arg("verify").arg(file).args(more).output().expect("lethe verify");
    (output.status.code().unwrap_or(-1), text(&output))
}
