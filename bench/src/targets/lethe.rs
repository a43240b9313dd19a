//! Lethe as it is run: `lethe up`, every part confined, authentication and metering on.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::{Target, beside};
use crate::problem::{Problem, While as _};
use crate::process::Running;
use crate::workload::Workload;

/// A start makes keys, databases and confinement, and may load a model.
const START_LIMIT: Duration = Duration::from_secs(60);

/// A running Lethe; drains and ends when dropped.
pub(crate) struct Lethe {
    _running: Running,
    api: SocketAddr,
    api_key: String,
    pids: Vec<(String, u32)>,
    // After the process: its state goes when it has gone.
    _folder: tempfile::TempDir,
}

impl Lethe {
    /// Before a mock upstream, both legs in the clear as nginx's are.
    pub(crate) fn before(upstream: SocketAddr, workers: usize) -> Result<Self, Problem> {
        let folder = super::folder()?;
        let key = folder.path().join("provider-key");
        fs::write(&key, "sk-bench-0123456789abcdef").doing("write the provider's key")?;
        Self::start(folder, &gateway_configuration(upstream, workers, &key))
    }

    /// With the embedded engine alone.
    pub(crate) fn engine(model: &Path, threads: usize) -> Result<Self, Problem> {
        let folder = super::folder()?;
        let model = fs::canonicalize(model).doing(&format!("find {}", model.display()))?;
        let config = format!(
            "[gateway]\nlisten = \"127.0.0.1:0\"\n\n[engine]\nenabled = true\nthreads = {threads}\nconcurrent = 1\nmodel = {}\n",
            Value::from(model.display().to_string())
        );
        Self::start(folder, &config)
    }

    fn start(folder: tempfile::TempDir, config: &str) -> Result<Self, Problem> {
        let executable = install(&folder.path().join("bin"))?;
        let path = folder.path().join("lethe.toml");
        fs::write(&path, config).doing("write Lethe's configuration")?;
        let state = folder.path().join("state");
        let printed = folder.path().join("printed");
        let out = fs::File::create(&printed).doing("make a file")?;
        let mut command = Command::new(executable);
        command.arg("up").arg("--config").arg(&path).arg("--state").arg(&state);
        command.args(["--console", "127.0.0.1:0", "--probes", "127.0.0.1:0"]).current_dir(folder.path());
        let mut running =
            Running::start(command.stdin(Stdio::null()).stdout(out.try_clone()?).stderr(out)).doing("start lethe")?;
        let start = Instant::now();
        let ready = loop {
            // Written in one piece; with this process's number in it, everything is up.
            if let Ok(text) = fs::read(state.join("ready.json"))
                && let Ok(ready) = serde_json::from_slice::<Value>(&text)
                && ready["pids"]["supervisor"].as_u64() == Some(running.pid().into())
            {
                break ready;
            }
            let ended = running.ended();
            if ended.is_some() || start.elapsed() > START_LIMIT {
                let said = fs::read_to_string(&printed).unwrap_or_default();
                let how = ended.unwrap_or_else(|| "not ready in time".to_owned());
                return Err(Problem::new(format!("lethe up did not start ({how}): {said}")));
            }
            std::thread::sleep(Duration::from_millis(20));
        };
        let text = |name: &str| ready[name].as_str().ok_or_else(|| Problem::new(format!("ready.json has no `{name}`")));
        let api = text("api")?.trim_start_matches("http://").trim_end_matches('/').parse().doing("read the API's address")?;
        let api_key = text("api_key")?.to_owned();
        let pids = pids(&ready["pids"]);
        Ok(Self { _running: running, api, api_key, pids, _folder: folder })
    }

    /// The processes of one role.
    pub(crate) fn pids(&self, role: &str) -> Vec<u32> {
        self.pids.iter().filter(|(name, _)| name == role).map(|(_, pid)| *pid).collect()
    }

    pub(crate) const fn api(&self) -> SocketAddr {
        self.api
    }

    pub(crate) fn key(&self) -> &str {
        &self.api_key
    }
}

impl Target for Lethe {
    fn name(&self) -> &'static str {
        "lethe"
    }

    fn address(&self, _: Workload) -> SocketAddr {
        self.api
    }

    fn api_key(&self) -> Option<&str> {
        Some(&self.api_key)
    }

    fn processes(&self) -> Vec<(String, u32)> {
        self.pids.clone()
    }
}

/// `lethe --version`, for the report.
pub(crate) fn version() -> Option<String> {
    let output = Command::new(beside("lethe").ok()?).arg("--version").output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    (output.status.success() && !text.is_empty()).then_some(text)
}

/// Copies the executables to `to`: there every user may run them, which the parts do when this runs as root, and no build replaces
/// them while they are measured.
fn install(to: &Path) -> Result<PathBuf, Problem> {
    fs::create_dir_all(to).doing("make a folder")?;
    for name in ["lethe", "lethe-dataplane", "lethe-engine"] {
        fs::copy(beside(name)?, to.join(name)).doing("copy an executable")?;
    }
    Ok(to.join("lethe"))
}

/// A role's value is a process number or a list of them.
fn pids(roles: &Value) -> Vec<(String, u32)> {
    let number = |value: &Value| value.as_u64().and_then(|pid| u32::try_from(pid).ok());
    let mut pids = Vec::new();
    for (role, value) in roles.as_object().into_iter().flatten() {
        let list = value.as_array().map_or_else(|| std::slice::from_ref(value), Vec::as_slice);
        pids.extend(list.iter().filter_map(number).map(|pid| (role.clone(), pid)));
    }
    pids
}

fn gateway_configuration(upstream: SocketAddr, workers: usize, key: &Path) -> String {
    let models: String = [Workload::Chat, Workload::Paced]
        .map(|workload| {
            let id = workload.model();
            format!(
                "[[model]]\nid = \"{id}\"\noperations = [\"chat\"]\nroutes = [{{ provider = \"mock\", model = \"{id}\" }}]\n\n"
            )
        })
        .concat();
    format!(
        "[gateway]\nlisten = \"127.0.0.1:0\"\nworkers = {workers}\n\n\
         [[provider]]\nid = \"mock\"\npreset = \"openai-compatible\"\nbase_url = \"http://{upstream}/v1\"\n\
         api_key = {{ file = {} }}\nallow_private_network = true\n\n\
         [provider.terms]\ntraining = \"never\"\nretention_days = 0\nagreement = \"a mock on this machine\"\n\
         reviewed = 2026-01-01\nreview_due = 2099-01-01\n\n{models}",
        Value::from(key.display().to_string())
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::pids;

    #[test]
    fn a_role_may_have_several_processes() {
        let pids = pids(&json!({"control": 7, "gateway": [8, 9], "note": "x"}));
        assert_eq!(pids, [("control".to_owned(), 7), ("gateway".to_owned(), 8), ("gateway".to_owned(), 9)]);
    }
}
