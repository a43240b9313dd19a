//! A running `lethe up`, from the executables that were built beside this test.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use rustls::ClientConfig;
use serde_json::Value;
use tempfile::TempDir;

use crate::client::Client;
use crate::pki::Pki;
use crate::provider::{MODELS, Provider};

/// For a start on a busy machine.
const START_LIMIT: Duration = Duration::from_secs(60);
/// For a drain.
const STOP_LIMIT: Duration = Duration::from_secs(45);
/// An ordinary user for the runs that are not root's: far from any account.
pub const ORDINARY_USER: u32 = 61_987;
/// The credential that the gateway shows to the scripted provider.
pub const PROVIDER_KEY: &str = "sk-provider-Q7T2LZ9W4XN8VB3KD6MHRJ5F";

/// How to start.
pub struct Setup {
    pub config: Option<String>,
    pub as_ordinary_user: bool,
    /// Use the test-only executable that panics with content on demand.
    pub fault_injection: bool,
    pub tls: Option<Arc<ClientConfig>>,
    /// A control group's folder that everything is started in.
    pub control_group: Option<PathBuf>,
    /// Further arguments of `lethe up`.
    pub arguments: Vec<String>,
    folder: TempDir,
}

impl Setup {
    /// A start with the embedded engine and no configuration.
    #[must_use]
    pub fn engine() -> Self {
        let folder = TempDir::with_prefix("lethe-test-").expect("a folder");
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).expect("rights");
        Self {
            config: None,
            as_ordinary_user: false,
            fault_injection: false,
            tls: None,
            control_group: None,
            arguments: Vec::new(),
            folder,
        }
    }

    /// A start with a server at `port` behind these models, in the clear on both legs, with these lines in `[gateway]`.
    #[must_use]
    pub fn plain(port: u16, models: &[&str], gateway: &str) -> Self {
        let mut setup = Self::engine();
        let secret = setup.folder.path().join("provider-key");
        fs::write(&secret, PROVIDER_KEY).expect("a file");
        let table = provider_table("mock", &format!("http://localhost:{port}/v1"), "", &secret.display().to_string());
        let mut config = format!("[gateway]\nlisten = \"127.0.0.1:0\"\n{gateway}\n\n{}", table.replace("ca = \"\"\n", ""));
        for model in models {
            config += &model_table(model, "mock", model);
        }
        setup.config = Some(config);
        setup
    }

    /// A start with the scripted provider behind every model of its script, TLS on both legs.
    #[must_use]
    pub fn provider(provider: &Provider, pki: &Pki) -> Self {
        let mut setup = Self::engine();
        let write = |name: &str, text: &str| {
            let path = setup.folder.path().join(name);
            fs::write(&path, text).expect("a file");
            fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).expect("rights");
            path.display().to_string()
        };
        let (ca, chain, key) =
            (write("ca.pem", &pki.authority_pem), write("chain.pem", &pki.chain_pem), write("key.pem", &pki.key_pem));
        let secret = write("provider-key", PROVIDER_KEY);
        let mut config =
            format!("[gateway]\nlisten = \"127.0.0.1:0\"\ntls = {{ cert = \"{chain}\", key = \"{key}\" }}\nmax_body_mib = 4\n\n");
        config += &provider_table("mock", &format!("https://localhost:{}/v1", provider.address.port()), &ca, &secret);
        for model in MODELS {
            config += &model_table(model, "mock", model);
        }
        setup.config = Some(config);
        setup.tls = Some(pki.client());
        setup
    }

    /// The folder that holds everything of this run.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Starts and waits until it is ready.
    #[must_use]
    pub fn start(self) -> Lethe {
        match self.try_start() {
            Ok(lethe) => lethe,
            Err(output) => panic!("lethe up did not start: {output}"),
        }
    }

    /// Starts; what it printed if it ends before it is ready.
    ///
    /// # Errors
    /// Everything that was printed, and the exit status.
    pub fn try_start(self) -> Result<Lethe, String> {
        let folder = self.folder.path().to_owned();
        let state = folder.join("state");
        let bin = install(&folder.join("bin"), self.fault_injection);
        let mut arguments = vec!["up".to_owned(), "--state".into(), state.display().to_string()];
        for (flag, address) in [("--console", "127.0.0.1:0"), ("--probes", "127.0.0.1:0")] {
            arguments.extend([flag.to_owned(), address.to_owned()]);
        }
        if let Some(config) = &self.config {
            let path = folder.join("lethe.toml");
            fs::write(&path, config).expect("a configuration");
            arguments.extend(["--config".to_owned(), path.display().to_string()]);
        } else {
            let model = std::env::var("LETHE_TEST_MODEL").ok().map_or_else(default_model, PathBuf::from);
            // Clients name a model of the operator's own by its file's name.
            let shown = folder.join("smollm2-135m-instruct.gguf");
            fs::copy(&model, &shown)
                .unwrap_or_else(|_| panic!("the model is missing: {} (run `lethe model fetch`)", model.display()));
            arguments.extend(["--api".to_owned(), "127.0.0.1:0".into(), "--model".into(), shown.display().to_string()]);
        }
        arguments.extend(self.arguments);
        // It dies with the thread that started it: what a test keeps until its process ends is never dropped.
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL"]);
        if let Some(group) = &self.control_group {
            command.args(["sh", "-c", "echo $$ > \"$0\"/cgroup.procs && exec \"$@\""]).arg(group);
        } else if self.as_ordinary_user {
            std::os::unix::fs::chown(&folder, Some(ORDINARY_USER), Some(ORDINARY_USER)).expect("ownership");
            let user = ORDINARY_USER.to_string();
            command.args([&format!("--reuid={user}"), &format!("--regid={user}"), "--clear-groups"]);
        }
        command.arg(bin.join("lethe"));
        let output = folder.join("output");
        let log = fs::File::create(&output).expect("a file");
        command.args(&arguments).current_dir(&folder).stdin(Stdio::null());
        command.stdout(log.try_clone().expect("a file")).stderr(log);
        let child = command.spawn().expect("lethe up");
        let lethe = Lethe { child, state, bin, output, ready: Value::Null, command, tls: self.tls, folder: self.folder };
        lethe.wait_ready()
    }
}

impl Lethe {
    /// Drains it and starts it again on the same state.
    #[must_use]
    pub fn restart(mut self) -> Self {
        assert_eq!(self.stop(), Some(0), "{}", self.printed());
        self.child = self.command.spawn().expect("lethe up");
        self.wait_ready().unwrap_or_else(|output| panic!("lethe up did not start again: {output}"))
    }

    fn wait_ready(mut self) -> Result<Self, String> {
        let lethe = &mut self;
        let deadline = Instant::now() + START_LIMIT;
        let ready = lethe.state.join("ready.json");
        loop {
            if let Some(status) = lethe.child.try_wait().expect("a child") {
                return Err(format!("{status}\n{}", lethe.printed()));
            }
            // Written atomically when everything is up: its being there with this process's number is the signal.
            if let Ok(text) = fs::read(&ready)
                && let Ok(value) = serde_json::from_slice::<Value>(&text)
                && value["pids"]["supervisor"].as_u64() == Some(lethe.child.id().into())
            {
                lethe.ready = value;
                return Ok(self);
            }
            if Instant::now() > deadline {
                let printed = lethe.printed();
                return Err(format!("not ready within {START_LIMIT:?}\n{printed}"));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// A `[[provider]]` table with reviewed terms.
#[must_use]
pub fn provider_table(id: &str, base_url: &str, ca: &str, key_file: &str) -> String {
    format!(
        "[[provider]]\nid = \"{id}\"\ndialect = \"openai\"\npreset = \"openai-compatible\"\nbase_url = \"{base_url}\"\n\
         api_key = {{ file = \"{key_file}\" }}\nallow_private_network = true\nca = \"{ca}\"\n\
         first_byte_seconds = 3\nidle_seconds = 3\n\
         [provider.terms]\ntraining = \"never\"\nretention_days = 0\nagreement = \"test\"\nreviewed = 2026-01-01\nreview_due = 2099-01-01\n\n"
    )
}

/// A `[[model]]` table with one route.
#[must_use]
pub fn model_table(id: &str, provider: &str, upstream: &str) -> String {
    let operations = if id.contains("embed") { "\"embeddings\"" } else { "\"chat\"" };
    let mut table = String::new();
    let _ = write!(
        table,
        "[[model]]\nid = \"{id}\"\noperations = [{operations}]\nroutes = [{{ provider = \"{provider}\", model = \"{upstream}\" }}]\n\n"
    );
    table
}

/// Where `lethe model fetch` puts the pinned model.
fn default_model() -> PathBuf {
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let cache = cache.unwrap_or_else(|| PathBuf::from(std::env::var_os("HOME").unwrap_or_default()).join(".cache"));
    cache.join("lethe/models/SmolLM2-135M-Instruct.Q4_1.gguf")
}

/// An executable of this build, for whoever may read the folder of the build.
#[must_use]
pub fn executable(name: &str) -> PathBuf {
    built().join(name)
}

/// Copies the executables to `to`, where any user may run them.
#[must_use]
pub fn install(to: &Path, fault_injection: bool) -> PathBuf {
    fs::create_dir_all(to).expect("a folder");
    let built = built();
    for name in ["lethe", "lethe-dataplane", "lethe-engine"] {
        let from = if fault_injection && name == "lethe-dataplane" { "fault-injection/lethe-dataplane" } else { name };
        let from = built.join(from);
        fs::copy(&from, to.join(name))
            .unwrap_or_else(|_| panic!("{} is not built: run the tests through `cargo xtask test`", from.display()));
    }
    to.to_owned()
}

/// The folder of the executables: two above this test's own.
#[must_use]
pub fn built() -> PathBuf {
    let own = std::env::current_exe().expect("an executable");
    own.ancestors().nth(2).expect("target/release").to_owned()
}

/// A running Lethe; dropped, it is killed with everything that belongs to it.
pub struct Lethe {
    pub ready: Value,
    pub state: PathBuf,
    child: Child,
    command: Command,
    bin: PathBuf,
    output: PathBuf,
    tls: Option<Arc<ClientConfig>>,
    folder: TempDir,
}

impl Lethe {
    /// The first API key.
    #[must_use]
    pub fn key(&self) -> &str {
        self.ready["api_key"].as_str().expect("a key")
    }

    /// `host:port` of the client port.
    #[must_use]
    pub fn api(&self) -> String {
        address(&self.ready["api"])
    }

    /// `host:port` of the probe port.
    #[must_use]
    pub fn probes(&self) -> String {
        address(&self.ready["probes"])
    }

    /// A connection that shows the first API key.
    #[must_use]
    pub fn client(&self) -> Client {
        self.stranger().with_key(self.key())
    }

    /// A connection that shows no key.
    #[must_use]
    pub fn stranger(&self) -> Client {
        Client::connect(&self.api(), self.tls.as_ref())
    }

    /// Process numbers of a role.
    #[must_use]
    pub fn pids(&self, role: &str) -> Vec<u32> {
        let value = &self.ready["pids"][role];
        let one = |value: &Value| value.as_u64().and_then(|pid| u32::try_from(pid).ok());
        value.as_array().map_or_else(|| one(value).into_iter().collect(), |list| list.iter().filter_map(one).collect())
    }

    /// Process number of a role as `ready.json` says it now; `None` while it is being started again.
    #[must_use]
    pub fn pid_now(&self, role: &str) -> Option<u32> {
        let ready: Value = serde_json::from_slice(&fs::read(self.state.join("ready.json")).ok()?).ok()?;
        ready["pids"][role].as_u64().and_then(|pid| u32::try_from(pid).ok())
    }

    /// Process numbers of every part, as `ready.json` says them now.
    #[must_use]
    pub fn pids_now(&self) -> Vec<(String, u32)> {
        let ready: Value = serde_json::from_slice(&fs::read(self.state.join("ready.json")).expect("ready.json")).expect("JSON");
        let pids = ready["pids"].as_object().expect("pids").iter();
        pids.filter_map(|(role, pid)| Some((role.clone(), u32::try_from(pid.as_u64()?).ok()?))).collect()
    }

    /// The folder of the executables that run.
    #[must_use]
    pub fn bin(&self) -> &Path {
        &self.bin
    }

    /// A moment before its first start: what it wrote is no older.
    #[must_use]
    pub fn born(&self) -> SystemTime {
        fs::metadata(&self.bin).and_then(|folder| folder.modified()).expect("the folder of the executables")
    }

    /// Process numbers of every part.
    #[must_use]
    pub fn all_pids(&self) -> Vec<(String, u32)> {
        let roles = self.ready["pids"].as_object().expect("pids");
        roles.keys().flat_map(|role| self.pids(role).into_iter().map(move |pid| (role.clone(), pid))).collect()
    }

    /// The folder that holds everything of this run.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Everything that was printed so far.
    #[must_use]
    pub fn printed(&self) -> String {
        let mut text = String::new();
        fs::File::open(&self.output).and_then(|mut file| file.read_to_string(&mut text)).expect("output");
        text
    }

    /// Runs `lethe` with these arguments on this state.
    #[must_use]
    pub fn run(&self, arguments: &[&str]) -> Output {
        Command::new(self.bin.join("lethe"))
            .args(arguments)
            .env("LETHE_STATE", &self.state)
            .current_dir(self.folder.path())
            .stdin(Stdio::null())
            .output()
            .expect("lethe")
    }

    /// What `lethe … --json` prints, one value a line.
    #[must_use]
    pub fn json(&self, arguments: &[&str]) -> Vec<Value> {
        let output = self.run(arguments);
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "lethe {arguments:?}: {text}{}", String::from_utf8_lossy(&output.stderr));
        serde_json::Deserializer::from_str(&text).into_iter().map(|value| value.expect("JSON")).collect()
    }

    /// What `lethe metrics` prints: each series with its value.
    #[must_use]
    pub fn metrics(&self) -> BTreeMap<String, f64> {
        let output = self.run(&["metrics"]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8(output.stdout).expect("text");
        let series = text.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.rsplit_once(' '));
        series.map(|(series, value)| (series.to_owned(), value.parse().expect("a number"))).collect()
    }

    /// The metrics once `holds` does; fails with them if it does not within 20 seconds.
    #[must_use]
    pub fn metrics_when(&self, holds: impl Fn(&BTreeMap<String, f64>) -> bool) -> BTreeMap<String, f64> {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            let metrics = self.metrics();
            if holds(&metrics) {
                return metrics;
            }
            assert!(Instant::now() < deadline, "the metrics never said so: {metrics:#?}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// The ledger once it holds at least `count` records; fails if it does not within ten seconds.
    #[must_use]
    pub fn records(&self, count: usize) -> Vec<Value> {
        let deadline = Instant::now() + Duration::from_secs(10);
        loop {
            let records = self.json(&["records", "--json"]);
            if records.len() >= count {
                return records;
            }
            assert!(Instant::now() < deadline, "{} records instead of {count}", records.len());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Sends a signal to the supervisor.
    pub fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, signal).expect("a signal");
    }

    /// Waits until the supervisor has ended: its exit code, `None` by a signal.
    pub fn wait(&mut self) -> Option<i32> {
        let deadline = Instant::now() + STOP_LIMIT;
        while Instant::now() < deadline {
            if let Some(status) = self.child.try_wait().expect("a child") {
                return status.code();
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        panic!("it did not end within {STOP_LIMIT:?}: {}", self.printed())
    }

    /// Asks it to drain, and waits.
    pub fn stop(&mut self) -> Option<i32> {
        self.signal(rustix::process::Signal::TERM);
        self.wait()
    }
}

impl Drop for Lethe {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn address(url: &Value) -> String {
    let url = url.as_str().expect("an address");
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    rest.split('/').next().unwrap_or(rest).to_owned()
}
