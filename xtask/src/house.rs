//! Where things are, and running other programs.

use std::ffi::OsStr;
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde::Deserialize;

/// Why a task ended: what to print, for a person.
#[derive(Debug)]
pub(crate) struct Failed(String);

impl Failed {
    pub(crate) fn new(why: impl Into<String>) -> Self {
        Self(why.into())
    }

    /// One headline and a line for each finding; `Ok` where there is none.
    pub(crate) fn unless_empty(headline: &str, findings: &[String]) -> Result<(), Self> {
        if findings.is_empty() {
            return Ok(());
        }
        Err(Self(format!("{headline}\n  {}", findings.join("\n  "))))
    }
}

impl fmt::Display for Failed {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// A clone of the repository, and the folder that cargo builds it in.
pub(crate) struct House {
    pub(crate) root: PathBuf,
    pub(crate) target: PathBuf,
    pub(crate) packages: Vec<Package>,
}

/// What `cargo metadata` says of one of our own packages.
#[derive(Deserialize)]
pub(crate) struct Package {
    pub(crate) name: String,
    pub(crate) dependencies: Vec<Dependency>,
}

#[derive(Deserialize)]
pub(crate) struct Dependency {
    pub(crate) name: String,
    /// `None` for a normal one, else `dev` or `build`.
    pub(crate) kind: Option<String>,
}

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
    target_directory: PathBuf,
}

impl House {
    pub(crate) fn find() -> Result<Self, Failed> {
        // `cargo run` sets the variable: a clone that was moved after it was built still finds itself.
        let manifest = std::env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
        let root = Path::new(&manifest).parent().ok_or_else(|| Failed::new("no folder above xtask"))?.to_owned();
        let text = output(Command::new(cargo()).current_dir(&root).args(["metadata", "--no-deps", "--format-version", "1"]))?;
        let metadata: Metadata = serde_json::from_str(&text).map_err(|error| Failed::new(format!("cargo metadata: {error}")))?;
        Ok(Self { root, target: metadata.target_directory, packages: metadata.packages })
    }

    /// `cargo …` in the root of the clone.
    pub(crate) fn cargo(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(cargo());
        command.current_dir(&self.root).args(arguments);
        command
    }

    /// A built executable.
    pub(crate) fn built(&self, name: &str) -> PathBuf {
        self.target.join("release").join(name)
    }
}

/// The cargo that started us, so that a toolchain chosen on the command line stays chosen.
fn cargo() -> std::ffi::OsString {
    std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into())
}

/// `$XDG_CACHE_HOME/lethe`, by default `~/.cache/lethe`.
pub(crate) fn cache() -> Result<PathBuf, Failed> {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let folder = set("XDG_CACHE_HOME").or_else(|| set("HOME").map(|home| home.join(".cache")));
    Ok(folder.ok_or_else(|| Failed::new("neither XDG_CACHE_HOME nor HOME is set"))?.join("lethe"))
}

/// Runs to its end; a bad exit is a failure.
pub(crate) fn run(command: &mut Command) -> Result<(), Failed> {
    let status = command.status().map_err(|error| Failed::new(format!("{}: {error}", shown(command))))?;
    if status.success() { Ok(()) } else { Err(Failed::new(format!("{}: {status}", shown(command)))) }
}

/// Runs to its end; what it printed on standard output.
pub(crate) fn output(command: &mut Command) -> Result<String, Failed> {
    let output =
        command.stderr(Stdio::inherit()).output().map_err(|error| Failed::new(format!("{}: {error}", shown(command))))?;
    if !output.status.success() {
        return Err(Failed::new(format!("{}: {}", shown(command), output.status)));
    }
    String::from_utf8(output.stdout).map_err(|_| Failed::new(format!("{}: not text", shown(command))))
}

/// Whether it can be started and ends well; its output is dropped.
pub(crate) fn succeeds(command: &mut Command) -> bool {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
}

fn shown(command: &Command) -> String {
    let mut text = command.get_program().to_string_lossy().into_owned();
    for argument in command.get_args() {
        text.push(' ');
        text.push_str(&OsStr::to_string_lossy(argument));
    }
    text
}

/// A text file of the repository.
pub(crate) fn read(path: &Path) -> Result<String, Failed> {
    std::fs::read_to_string(path).map_err(|error| Failed::new(format!("{}: {error}", path.display())))
}

/// Every file below `folder` whose name ends so, sorted; build output and hidden folders left out.
pub(crate) fn files(folder: &Path, ending: &str) -> Result<Vec<PathBuf>, Failed> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        let failed = |error: std::io::Error| Failed::new(format!("{}: {error}", folder.display()));
        for entry in std::fs::read_dir(&folder).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let name = entry.file_name();
            let name = name.to_string_lossy();
            if entry.file_type().map_err(failed)?.is_dir() {
                if name != "target" && name != "node_modules" && !name.starts_with('.') {
                    folders.push(entry.path());
                }
            } else if name.ends_with(ending) {
                found.push(entry.path());
            }
        }
    }
    found.sort();
    Ok(found)
}
