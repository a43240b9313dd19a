//! Peers that are missing. Python and Node packages go into Lethe's cache folder, each file of a pinned digest; system packages only
//! where this runs as root.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::interrupt;
use crate::problem::{Problem, While as _};

const LITELLM: &str = include_str!("../peers/litellm.txt");
const LITELLM_LOCKED: &str = include_str!("../peers/litellm.lock");
const PORTKEY: &str = include_str!("../peers/portkey/package.json");
const PORTKEY_LOCKED: &str = include_str!("../peers/portkey/package-lock.json");

/// The executable `litellm`, in a virtual environment.
pub(crate) fn litellm() -> Result<PathBuf, Problem> {
    let folder = cache(&format!("litellm-{}", litellm_version()))?;
    let executable = folder.join("bin/litellm");
    once(&folder, || {
        run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&folder))?;
        let locked = folder.join("requirements.lock");
        fs::write(&locked, LITELLM_LOCKED)?;
        let mut pip = Command::new(folder.join("bin/python"));
        pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input", "--only-binary=:all:"]);
        run(pip.args(["--require-hashes", "-r"]).arg(locked))
    })?;
    Ok(executable)
}

/// The start script of Portkey's gateway.
pub(crate) fn portkey() -> Result<PathBuf, Problem> {
    let folder = cache(&format!("portkey-{}", portkey_version()))?;
    once(&folder, || {
        fs::create_dir_all(&folder)?;
        fs::write(folder.join("package.json"), PORTKEY)?;
        fs::write(folder.join("package-lock.json"), PORTKEY_LOCKED)?;
        run(Command::new("npm").current_dir(&folder).args(["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--silent"]))
    })?;
    Ok(folder.join("node_modules/@portkey-ai/gateway/build/start-server.js"))
}

/// The pinned version.
pub(crate) fn litellm_version() -> &'static str {
    LITELLM.trim().rsplit_once("==").map_or("unknown", |(_, version)| version)
}

/// The pinned version.
pub(crate) fn portkey_version() -> String {
    let package: serde_json::Value = serde_json::from_str(PORTKEY).unwrap_or_default();
    package["dependencies"]["@portkey-ai/gateway"].as_str().unwrap_or("unknown").to_owned()
}

/// A Debian package.
pub(crate) fn system_package(name: &str) -> Result<(), Problem> {
    if !rustix::process::geteuid().is_root() {
        return Err(Problem::new(format!("{name} is not installed (as root it would be: apt-get install {name})")));
    }
    let install = || {
        let mut apt = Command::new("apt-get");
        // At this run level invoke-rc.d starts no service.
        apt.env("DEBIAN_FRONTEND", "noninteractive").env("RUNLEVEL", "1");
        run(apt.args(["install", "-y", "-q", "--no-install-recommends", name]))
    };
    if install().is_err() {
        run(Command::new("apt-get").args(["update", "-q"]))?;
        install()?;
    }
    Ok(())
}

/// Does `work` unless an earlier run has come to its end with it.
fn once(folder: &Path, work: impl FnOnce() -> Result<(), Problem>) -> Result<(), Problem> {
    let complete = folder.join("complete");
    if complete.exists() {
        return Ok(());
    }
    work()?;
    fs::write(complete, "").doing("note that it is installed")
}

/// `$XDG_CACHE_HOME/lethe/peers`, by default below `~/.cache`.
fn cache(name: &str) -> Result<PathBuf, Problem> {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let folder = set("XDG_CACHE_HOME").or_else(|| set("HOME").map(|home| home.join(".cache")));
    Ok(folder.ok_or_else(|| Problem::new("neither XDG_CACHE_HOME nor HOME is set"))?.join("lethe/peers").join(name))
}

/// Runs to its end, its output to standard error.
fn run(command: &mut Command) -> Result<(), Problem> {
    interrupt::check()?;
    let name = command.get_program().to_string_lossy().into_owned();
    let status = command.stdin(Stdio::null()).stdout(std::io::stderr()).status().doing(&format!("run {name}"))?;
    if status.success() { Ok(()) } else { Err(Problem::new(format!("{name}: {status}"))) }
}

#[cfg(test)]
mod tests {
    use super::{LITELLM_LOCKED, PORTKEY_LOCKED, litellm_version, portkey_version};

    #[test]
    fn what_is_pinned_is_locked() {
        assert!(LITELLM_LOCKED.contains(&format!("litellm=={} ", litellm_version())));
        let locked: serde_json::Value = serde_json::from_str(PORTKEY_LOCKED).unwrap_or_default();
        assert_eq!(locked["packages"]["node_modules/@portkey-ai/gateway"]["version"], portkey_version().as_str());
    }
}
