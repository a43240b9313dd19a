//! A Lethe that the audit starts for itself, with the audit's scripted provider behind it.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use lethe_audit::run::Spawned;
use tempfile::TempDir;

use super::certificates::Certificates;
use crate::failure::Failure;
use crate::up::Ready;

/// What the main model is called; its provider speaks OpenAI's dialect.
pub(super) const MODEL: &str = "audit";
/// The providers behind it, all of them the scripted one: id, dialect, preset, the base URL's path, and what its model serves besides the main one's.
const PROVIDERS: [(&str, &str, &str, &str, &[&str]); 5] = [
    ("scripted", "openai", "openai-compatible", "/v1", &["chat", "completions", "embeddings"]),
    ("anthropic", "anthropic", "anthropic", "/v1", &["chat", "count_tokens"]),
    ("gemini", "gemini", "gemini", "/v1beta", &["chat"]),
    ("moderations", "openai", "openai", "/v1", &["moderations"]),
    ("rerank", "openai", "jina", "/v1", &["rerank"]),
];
const START_LIMIT: Duration = Duration::from_secs(60);

/// It ends, and then its folder goes, when this is dropped.
pub(super) struct Own {
    spawned: Option<Spawned>,
    folder: TempDir,
    pub(super) ready: Ready,
}

/// The files that the configuration names.
struct Files {
    authority: PathBuf,
    chain: PathBuf,
    key: PathBuf,
    provider_key: PathBuf,
}

/// Models of endpoints that the main one does not serve, by the beginnings of their paths.
pub(super) fn models() -> Vec<(String, String)> {
    [("/messages", "anthropic"), ("/models/", "gemini"), ("/moderations", "moderations"), ("/rerank", "rerank")]
        .map(|(path, id)| (path.to_owned(), model_of(id)))
        .to_vec()
}

fn model_of(provider: &str) -> String {
    if provider == "scripted" { MODEL.to_owned() } else { format!("{MODEL}-{provider}") }
}

fn configuration(provider: SocketAddr, files: &Files) -> String {
    let Files { authority, chain, key, provider_key } = files;
    let mut text = format!(
        "[gateway]\nlisten = \"127.0.0.1:0\"\ntls = {{ cert = \"{}\", key = \"{}\" }}\nmax_body_mib = 4\nbody_idle_seconds = 2\n\n",
        chain.display(),
        key.display()
    );
    for (id, dialect, preset, path, operations) in PROVIDERS {
        let (port, model) = (provider.port(), model_of(id));
        // The time limits are short so that the rows about a silent provider are.
        text += &format!(
            "[[provider]]\nid = \"{id}\"\ndialect = \"{dialect}\"\npreset = \"{preset}\"\nbase_url = \"https://localhost:{port}{path}\"\n\
             ca = \"{}\"\napi_key = {{ file = \"{}\" }}\nallow_private_network = true\nfirst_byte_seconds = 2\nidle_seconds = 2\n\
             [provider.terms]\ntraining = \"never\"\nretention_days = 0\nagreement = \"the audit's own\"\nreviewed = 2026-01-01\n\
             review_due = 2099-01-01\n\n\
             [[model]]\nid = \"{model}\"\noperations = {operations:?}\nroutes = [{{ provider = \"{id}\", model = \"{model}\" }}]\n\n",
            authority.display(),
            provider_key.display()
        );
    }
    text
}

impl Own {
    /// Starts one and waits until it serves, with these certificates on the clients' side and the provider's.
    pub(super) fn start(provider: SocketAddr, certificates: &Certificates) -> Result<Self, Failure> {
        let broken = |error: std::io::Error| Failure::failed(format!("a Lethe to audit cannot be started: {error}"));
        let folder = tempfile::Builder::new().prefix("lethe-audit-").tempdir().map_err(broken)?;
        // Its parts have users of their own, who have to come through.
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o711)).map_err(broken)?;
        let write = |name: &str, text: &str| {
            let path = folder.path().join(name);
            fs::write(&path, text)?;
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600))?;
            Ok(path)
        };
        let files = Files {
            authority: write("authority.pem", &certificates.authority).map_err(broken)?,
            chain: write("chain.pem", &certificates.chain).map_err(broken)?,
            key: write("key.pem", &certificates.key).map_err(broken)?,
            provider_key: write("provider-key", "sk-audit-the-scripted-provider-takes-any").map_err(broken)?,
        };
        let config = write("lethe.toml", &configuration(provider, &files)).map_err(broken)?;
        let executable = std::env::current_exe().map_err(broken)?;
        // Paths of our own making, but an executable's may hold anything.
        let quoted = |path: &Path| format!("'{}'", path.display().to_string().replace('\'', "'\\''"));
        let command = format!(
            // What keeps cores away is to be Lethe's own doing, not a limit that it happens to be started with.
            "ulimit -c $(ulimit -H -c); exec {} up --config {} --state {} --console 127.0.0.1:0 --probes 127.0.0.1:0",
            quoted(&executable),
            quoted(&config),
            quoted(&folder.path().join("state"))
        );
        let spawned = Spawned::start(&command, &[]).map_err(broken)?;
        let mut own = Self { spawned: Some(spawned), folder, ready: Ready::default() };
        own.wait()?;
        Ok(own)
    }

    fn wait(&mut self) -> Result<(), Failure> {
        let deadline = Instant::now() + START_LIMIT;
        loop {
            self.ready = Ready::load(&self.state());
            let Some(spawned) = &mut self.spawned else { return Ok(()) };
            if self.ready.pids.get("supervisor") == Some(&spawned.pid()) && self.ready.api.is_some() {
                return Ok(());
            }
            if let Some(status) = spawned.ended() {
                // Nothing has been sent yet, so what it printed holds no content.
                let printed = spawned.printed().into_iter().map(|(_, printed)| printed.bytes).collect::<Vec<_>>().concat();
                let printed = String::from_utf8_lossy(&printed).trim().to_owned();
                return Err(Failure::failed(format!("the Lethe to audit ended ({status}): {printed}")));
            }
            if Instant::now() > deadline {
                return Err(Failure::failed(format!("the Lethe to audit was not ready within {} s", START_LIMIT.as_secs())));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Its state folder.
    pub(super) fn state(&self) -> PathBuf {
        self.folder.path().join("state")
    }

    /// Everything of it that is on disk.
    pub(super) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The command, whose output is searched.
    pub(super) fn take(&mut self) -> Option<Spawned> {
        self.spawned.take()
    }
}
