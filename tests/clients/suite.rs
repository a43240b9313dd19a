//! Runs the suites of the clients: scripts beside this file that use an unmodified client and say how much they checked.

use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

/// Where a suite goes, and what it expects there.
pub(crate) struct Suite<'a> {
    /// The file, without its ending, in `python/` or `node/`.
    pub(crate) name: &'a str,
    /// An origin.
    pub(crate) base: String,
    pub(crate) key: &'a str,
    /// What a client that signs signs with.
    pub(crate) secret: &'a str,
    /// What stands before the behaviour in a model's name.
    pub(crate) models: &'a str,
    /// Parts to run, with blanks between; none: all.
    pub(crate) parts: &'a str,
    /// Words of parts that are left out.
    pub(crate) without: &'a str,
    /// A gateway is in between, so that errors are its own.
    pub(crate) through: bool,
    /// Tokens that the provider reports as cached.
    pub(crate) cached: u64,
}

impl Suite<'_> {
    /// Runs it in Python; fails with what it printed.
    pub(crate) fn python(&self) {
        self.try_python().unwrap_or_else(|said| panic!("{said}"));
    }

    /// Runs it in Node.js; fails with what it printed.
    pub(crate) fn node(&self) {
        self.try_node().unwrap_or_else(|said| panic!("{said}"));
    }

    /// Runs it in Python; what it printed if it failed.
    pub(crate) fn try_python(&self) -> Result<(), String> {
        let mut command = Command::new(tool("LETHE_TEST_PYTHON"));
        command.arg(folder("python").join(format!("{}.py", self.name))).env("PYTHONDONTWRITEBYTECODE", "1");
        self.run(command)
    }

    /// Runs it in Node.js, which looks for packages beside the script: so the script is copied to where they are.
    pub(crate) fn try_node(&self) -> Result<(), String> {
        let place = TempDir::new().expect("a folder");
        for entry in std::fs::read_dir(folder("node")).expect("scripts") {
            let path = entry.expect("a script").path();
            if path.extension().is_some_and(|ending| ending == "js") {
                std::fs::copy(&path, place.path().join(path.file_name().expect("a name"))).expect("a copy");
            }
        }
        std::fs::write(place.path().join("package.json"), r#"{"type":"module"}"#).expect("a file");
        std::os::unix::fs::symlink(tool("LETHE_TEST_NODE_MODULES"), place.path().join("node_modules")).expect("a link");
        // The same environment holds both.
        let mut command = Command::new(tool("LETHE_TEST_PYTHON").with_file_name("node"));
        command.arg(place.path().join(format!("{}.js", self.name)));
        self.run(command)
    }

    fn run(&self, mut command: Command) -> Result<(), String> {
        command.env("CLIENT_BASE", &self.base).env("CLIENT_KEY", self.key).env("CLIENT_SECRET", self.secret);
        command.env("CLIENT_MODELS", self.models).env("CLIENT_PARTS", self.parts).env("CLIENT_WITHOUT", self.without);
        command.env("CLIENT_THROUGH", if self.through { "1" } else { "0" }).env("CLIENT_CACHED", self.cached.to_string());
        // None of them tells anybody how it is used.
        command.env("LANGSMITH_TRACING", "false").env("DO_NOT_TRACK", "1");
        let output = command.output().expect("the interpreter");
        let stdout = String::from_utf8_lossy(&output.stdout);
        // The suite says how much it did, so that one that does nothing fails.
        if output.status.success() && stdout.trim_end().ends_with("checks passed") {
            return Ok(());
        }
        Err(format!("{}: {}: {stdout}{}", self.name, output.status, String::from_utf8_lossy(&output.stderr)))
    }
}

fn tool(variable: &str) -> PathBuf {
    std::env::var_os(variable)
        .map(PathBuf::from)
        .unwrap_or_else(|| panic!("{variable}: run the tests through `cargo xtask test`"))
}

fn folder(language: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("clients").join(language)
}
