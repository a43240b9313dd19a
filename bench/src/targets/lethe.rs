//! Lethe as it is run: `lethe up`, every part confined, authentication and metering on.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::{Door, Site, Target, beside};
use crate::ask::Ask;
use crate::interrupt;
use crate::problem::{Problem, While as _};
use crate::process::Running;
use crate::rows::Row;
use crate::tls;

/// A start makes keys, databases and confinement, and may load a model.
const START_LIMIT: Duration = Duration::from_secs(60);

/// Puts hashes of new keys into the database in this folder, and prints the keys. With the module that Python brings: one
/// transaction, where the operator's API would make a hundred thousand.
const INSERT_KEYS: &str = "
import hashlib, pathlib, secrets, sqlite3, sys, time
(path,) = pathlib.Path(sys.argv[1]).rglob('*.db')
keys = ['lethe_' + secrets.token_urlsafe(32) for _ in range(int(sys.argv[2]))]
database = sqlite3.connect(path)
now = int(time.time() * 1000)
rows = ((hashlib.sha256(key.encode()).digest(), number + 1, 'bench', now) for number, key in enumerate(keys))
database.executemany('INSERT INTO api_keys (hash, account, name, created_ms) VALUES (?, ?, ?, ?)', rows)
database.commit()
database.close()
print('\\n'.join(keys))
";

/// A running Lethe; drains and ends when dropped.
pub(crate) struct Lethe {
    running: Option<Running>,
    since: Instant,
    api: SocketAddr,
    keys: Vec<String>,
    pids: Vec<(String, u32)>,
    executable: PathBuf,
    state: PathBuf,
    // After the process: its state goes when it has gone.
    folder: tempfile::TempDir,
}

impl Lethe {
    /// Before the mock upstream, with one key.
    pub(crate) fn before(site: &Site<'_>) -> Result<Self, Problem> {
        let folder = super::folder()?;
        let key = folder.path().join("provider-key");
        fs::write(&key, "sk-bench-0123456789abcdef").doing("write the provider's key")?;
        Self::start(folder, &gateway_configuration(site, &key))
    }

    /// The same with so many keys, made by putting their hashes into the database of a stopped Lethe.
    pub(crate) fn with_keys(site: &Site<'_>, keys: usize) -> Result<Self, Problem> {
        let mut lethe = Self::before(site)?;
        drop(lethe.running.take());
        let output = Command::new("python3")
            .args(["-c", INSERT_KEYS])
            .arg(lethe.state.join("control"))
            .arg(keys.to_string())
            .output()
            .doing("run python3, which puts keys into the database")?;
        if !output.status.success() {
            return Err(Problem::new(format!("keys: {}", String::from_utf8_lossy(&output.stderr))));
        }
        let mut all = std::mem::take(&mut lethe.keys);
        all.extend(String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned));
        let mut lethe = lethe.again()?;
        lethe.keys = all;
        Ok(lethe)
    }

    /// Ends it if it runs, and starts it again on its state.
    pub(crate) fn again(mut self) -> Result<Self, Problem> {
        drop(self.running.take());
        self.spawn()?;
        Ok(self)
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
        fs::write(folder.path().join("lethe.toml"), config).doing("write Lethe's configuration")?;
        let state = folder.path().join("state");
        let mut lethe = Self {
            running: None,
            since: Instant::now(),
            api: SocketAddr::from(([127, 0, 0, 1], 0)),
            keys: Vec::new(),
            pids: Vec::new(),
            executable,
            state,
            folder,
        };
        lethe.spawn()?;
        Ok(lethe)
    }

    fn spawn(&mut self) -> Result<(), Problem> {
        let printed = self.folder.path().join("printed");
        let out = fs::File::create(&printed).doing("make a file")?;
        let mut command = Command::new(&self.executable);
        command.arg("up").arg("--config").arg(self.folder.path().join("lethe.toml")).arg("--state").arg(&self.state);
        command.args(["--console", "127.0.0.1:0", "--probes", "127.0.0.1:0"]).current_dir(self.folder.path());
        let mut running =
            Running::start(command.stdin(Stdio::null()).stdout(out.try_clone()?).stderr(out)).doing("start lethe")?;
        self.since = running.since();
        let ready = loop {
            // Written in one piece; with this process's number in it, everything is up.
            if let Ok(text) = fs::read(self.state.join("ready.json"))
                && let Ok(ready) = serde_json::from_slice::<Value>(&text)
                && ready["pids"]["supervisor"].as_u64() == Some(running.pid().into())
            {
                break ready;
            }
            interrupt::check()?;
            let ended = running.ended();
            if ended.is_some() || self.since.elapsed() > START_LIMIT {
                let said = fs::read_to_string(&printed).unwrap_or_default();
                let how = ended.unwrap_or_else(|| "not ready in time".to_owned());
                return Err(Problem::new(format!("lethe up did not start ({how}): {said}")));
            }
            std::thread::sleep(Duration::from_millis(2));
        };
        let text = |name: &str| ready[name].as_str().ok_or_else(|| Problem::new(format!("ready.json has no `{name}`")));
        let (_, address) = text("api")?.split_once("://").ok_or_else(|| Problem::new("the API's address has no scheme"))?;
        self.api = address.trim_end_matches('/').parse().doing("read the API's address")?;
        self.keys = vec![text("api_key")?.to_owned()];
        self.pids = pids(&ready["pids"]);
        self.running = Some(running);
        Ok(())
    }

    /// The processes of one role.
    pub(crate) fn pids(&self, role: &str) -> Vec<u32> {
        self.pids.iter().filter(|(name, _)| name == role).map(|(_, pid)| *pid).collect()
    }

    pub(crate) const fn api(&self) -> SocketAddr {
        self.api
    }

    pub(crate) fn key(&self) -> &str {
        self.keys.first().map_or("", String::as_str)
    }

    /// As it stands in the report.
    pub(crate) fn door(&self, label: &str) -> Door {
        Door { label: label.to_owned(), address: self.api, keys: self.keys.clone(), headers: String::new(), rewritten: false }
    }
}

impl Target for Lethe {
    fn doors(&self, _: &Row) -> Vec<Door> {
        vec![self.door("lethe")]
    }

    fn processes(&self) -> Vec<(String, u32)> {
        self.pids.clone()
    }

    fn since(&self) -> Instant {
        self.since
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

fn gateway_configuration(site: &Site<'_>, key: &Path) -> String {
    // TOML's basic strings are JSON's.
    let text = |path: &Path| Value::from(path.display().to_string());
    let models: String = Ask::models()
        .iter()
        .map(|id| {
            format!(
                "[[model]]\nid = \"{id}\"\noperations = [\"chat\"]\nroutes = [{{ provider = \"mock\", model = \"{id}\" }}]\n\n"
            )
        })
        .collect();
    let tls = if site.legs.inward {
        format!("tls = {{ cert = {}, key = {} }}\n", text(&site.pki.chain), text(&site.pki.key))
    } else {
        String::new()
    };
    let upstream = site.upstream();
    let (base_url, ca) = if site.legs.outward {
        (format!("https://{}:{}/v1", tls::NAME, upstream.port()), format!("ca = {}\n", text(&site.pki.authority)))
    } else {
        (format!("http://{upstream}/v1"), String::new())
    };
    format!(
        "[gateway]\nlisten = \"127.0.0.1:0\"\nworkers = {}\nmax_body_mib = 64\n{tls}\n\
         [[provider]]\nid = \"mock\"\npreset = \"openai-compatible\"\nbase_url = \"{base_url}\"\n{ca}\
         api_key = {{ file = {} }}\nallow_private_network = true\n\n\
         [provider.terms]\ntraining = \"never\"\nretention_days = 0\nagreement = \"a mock on this machine\"\n\
         reviewed = 2026-01-01\nreview_due = 2099-01-01\n\n{models}",
        site.workers,
        text(key)
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
