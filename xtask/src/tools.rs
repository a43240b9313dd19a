//! What the tests need and a fresh machine lacks. Everything that is installed lands in Lethe's cache folder, so that nothing
//! that a person installed is changed; system packages only where we are root.

use std::ffi::OsString;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::house::{Failed, House, cache, output, read, run, succeeds};

const NEXTEST: &str = "0.9.143";
const CARGO_DENY: &str = "0.20.2";
const CLIENTS: &str = "tests/clients/requirements.txt";
/// The same and all they depend on, with digests.
const CLIENTS_LOCKED: &str = "tests/clients/requirements.lock";
/// The same for Node.js, in npm's form.
const NODE_CLIENTS: &str = "tests/clients/node";

/// The executable `cargo-nextest`.
pub(crate) fn nextest() -> Result<PathBuf, Failed> {
    cargo_tool("cargo-nextest", NEXTEST, "nextest")
}

/// The executable `cargo-deny`.
pub(crate) fn cargo_deny() -> Result<PathBuf, Failed> {
    cargo_tool("cargo-deny", CARGO_DENY, "deny")
}

/// The one on the path if it has the pinned version, else the cache folder's, installed if it is missing.
fn cargo_tool(name: &str, version: &str, subcommand: &str) -> Result<PathBuf, Failed> {
    let is_it = |program: &Path| {
        let said = Command::new(program).args([subcommand, "--version"]).output();
        said.is_ok_and(|said| String::from_utf8_lossy(&said.stdout).split_whitespace().nth(1) == Some(version))
    };
    let installed = PathBuf::from(name);
    if is_it(&installed) {
        return Ok(installed);
    }
    let folder = cache()?.join("tools");
    let own = folder.join("bin").join(name);
    if !is_it(&own) {
        println!("installing {name} {version} into {}", folder.display());
        let mut install = Command::new("cargo");
        // Away from the clone: the tools need none of its compiler flags, and none of its build folder.
        install.current_dir("/").env_remove("CARGO_TARGET_DIR");
        run(install.args(["install", name, "--locked", "--force", "--version", version, "--root"]).arg(&folder))?;
    }
    Ok(own)
}

/// A Python with the official clients, each file of the pinned digest.
pub(crate) fn clients(house: &House) -> Result<PathBuf, Failed> {
    let locked = read(&house.root.join(CLIENTS_LOCKED))?;
    Failed::unless_empty(
        &format!(
            "{CLIENTS_LOCKED} is behind {CLIENTS}; in tests/clients: uv pip compile --universal --generate-hashes --no-header \
             --no-annotate --python-version 3.11 requirements.txt -o requirements.lock"
        ),
        &not_locked(&read(&house.root.join(CLIENTS))?, &locked),
    )?;
    let version = output(Command::new("python3").args(["-c", "import sys; print(sys.version, sys.prefix)"]))
        .map_err(|failed| Failed::new(format!("{failed}: Python 3 is needed")))?;
    let mut key = DefaultHasher::new();
    (&locked, &version).hash(&mut key);
    let folder = cache()?.join(format!("venv-{:016x}", key.finish()));
    let (python, complete) = (folder.join("bin/python"), folder.join("complete"));
    if !complete.exists() {
        virtual_environment(&folder)?;
        let mut install = Command::new(&python);
        install.args([
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
            "--no-input",
            "--only-binary=:all:",
            "--require-hashes",
        ]);
        run(install.arg("-r").arg(house.root.join(CLIENTS_LOCKED)))?;
        std::fs::write(&complete, "").map_err(|error| Failed::new(format!("{}: {error}", complete.display())))?;
    }
    Ok(python)
}

/// The folder `node_modules` of the clients for Node.js, which comes with those for Python. Nothing of a package runs while it is
/// installed, and npm compares each with its digest.
pub(crate) fn node_modules(house: &House, python: &Path) -> Result<PathBuf, Failed> {
    let path = first_on_path(python.parent().unwrap_or(&house.root))?;
    let files = ["package.json", "package-lock.json", ".npmrc"];
    let mut key = DefaultHasher::new();
    for name in files {
        read(&house.root.join(NODE_CLIENTS).join(name))?.hash(&mut key);
    }
    output(Command::new("node").arg("--version").env("PATH", &path))?.hash(&mut key);
    let folder = cache()?.join(format!("node-{:016x}", key.finish()));
    let complete = folder.join("complete");
    if !complete.exists() {
        let failed = |error: std::io::Error| Failed::new(format!("{}: {error}", folder.display()));
        std::fs::create_dir_all(&folder).map_err(failed)?;
        for name in files {
            std::fs::copy(house.root.join(NODE_CLIENTS).join(name), folder.join(name)).map_err(failed)?;
        }
        let mut install = Command::new("npm");
        install.args(["ci", "--silent", "--cache"]).arg(cache()?.join("npm"));
        run(install.current_dir(&folder).env("PATH", &path))?;
        std::fs::write(&complete, "").map_err(failed)?;
    }
    Ok(folder.join("node_modules"))
}

/// Lines of `wanted` that `locked` does not have.
fn not_locked(wanted: &str, locked: &str) -> Vec<String> {
    let pins: Vec<&str> = locked.lines().filter_map(|line| line.split_whitespace().next()).collect();
    let wanted = wanted.lines().map(|line| line.split('#').next().unwrap_or_default().trim()).filter(|line| !line.is_empty());
    wanted.filter(|line| !pins.contains(line)).map(str::to_owned).collect()
}

/// A folder to put first on the path, where `python3` has no pip of its own: `lethe model fetch` asks for `python3 -m pip`.
pub(crate) fn pip() -> Result<Option<PathBuf>, Failed> {
    if succeeds(Command::new("python3").args(["-m", "pip", "--version"])) {
        return Ok(None);
    }
    let folder = cache()?.join("pip");
    if !succeeds(Command::new(folder.join("bin/python3")).args(["-m", "pip", "--version"])) {
        virtual_environment(&folder)?;
    }
    Ok(Some(folder.join("bin")))
}

/// `PATH` with `folder` before everything else.
pub(crate) fn first_on_path(folder: &Path) -> Result<OsString, Failed> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::iter::once(folder.to_owned()).chain(std::env::split_paths(&path));
    std::env::join_paths(folders).map_err(|error| Failed::new(format!("PATH: {error}")))
}

fn virtual_environment(folder: &Path) -> Result<(), Failed> {
    // Debian ships `venv` without what it needs.
    if !succeeds(Command::new("python3").args(["-c", "import ensurepip"])) {
        system_package("python3-venv")?;
    }
    run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(folder))
}

/// `setpriv`, with which the tests start Lethe as an ordinary user.
pub(crate) fn setpriv() -> Result<(), Failed> {
    if succeeds(Command::new("setpriv").arg("--version")) {
        return Ok(());
    }
    system_package("util-linux")
}

/// Servers that the audit is tried on.
pub(crate) fn servers() -> Result<(), Failed> {
    for (program, version, package) in [("nginx", "-v", "nginx"), ("redis-server", "--version", "redis-server")] {
        // Where Debian puts servers is not on every user's path.
        let there = |program: &Path| succeeds(Command::new(program).arg(version));
        if !there(Path::new(program)) && !there(&Path::new("/usr/sbin").join(program)) {
            system_package(package)?;
        }
    }
    // Clients stand in the same folders.
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    if !versions.into_iter().any(|version| version.path().join("bin/initdb").exists()) {
        system_package("postgresql")?;
    }
    Ok(())
}

fn system_package(name: &str) -> Result<(), Failed> {
    let missing = |_| Failed::new(format!("the system package {name} is missing: apt-get install {name}"));
    if !succeeds(Command::new("apt-get").arg("--version")) || output(Command::new("id").arg("-u")).map_err(missing)?.trim() != "0"
    {
        return Err(missing(Failed::new("")));
    }
    let apt = || {
        let mut apt = Command::new("apt-get");
        // At this run level invoke-rc.d starts no service.
        apt.env("DEBIAN_FRONTEND", "noninteractive").env("RUNLEVEL", "1");
        apt
    };
    if !succeeds(apt().args(["install", "-y", "--no-install-recommends", name])) {
        run(apt().args(["update", "-q"])).map_err(missing)?;
        run(apt().args(["install", "-y", "--no-install-recommends", name])).map_err(missing)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::not_locked;

    #[test]
    fn a_requirement_must_be_locked_in_the_same_version() {
        let locked = "openai==3.54.0 \\\n    --hash=sha256:00\nidna==3.20 ; python_version >= '3.11' \\\n    --hash=sha256:01\n";
        assert_eq!(not_locked("# official\nopenai==3.54.0  # newest\n\nidna==3.20\n", locked), Vec::<String>::new());
        assert_eq!(not_locked("openai==3.55.0\nanthropic==2.12.0\n", locked), ["openai==3.55.0", "anthropic==2.12.0"]);
    }
}
