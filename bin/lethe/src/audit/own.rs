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

/// What the model is called; it serves every operation.
pub(super) const MODEL: &str = "audit";
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

fn configuration(provider: SocketAddr, files: &Files) -> String {
    let Files { authority, chain, key, provider_key } = files;
    let (authority, chain) = (authority.display(), chain.display());
    // The time limits are short so that the rows about a silent provider are.
    format!(
        "[gateway]\nlisten = \"127.0.0.1:0\"\ntls = {{ cert = \"{chain}\", key = \"{}\" }}\nmax_body_mib = 4\nbody_idle_seconds = 2\n\n\
         [[provider]]\nid = \"scripted\"\ndialect = \"openai\"\npreset = \"openai-compatible\"\nbase_url = \"https://localhost:{}/v1\"\n\
         ca = \"{authority}\"\n\
         api_key = {{ file = \"{}\" }}\nallow_private_network = true\nfirst_byte_seconds = 2\nidle_seconds = 2\n\
         [provider.terms]\ntraining = \"never\"\nretention_days = 0\nagreement = \"the audit's own\"\nreviewed = 2026-01-01\n\
         review_due = 2099-01-01\n\n\
         [[model]]\nid = \"{MODEL}\"\noperations = [\"chat\", \"embeddings\"]\nroutes = [{{ provider = \"scripted\", model = \"{MODEL}\" }}]\n",
        key.display(),
        provider.port(),
        provider_key.display()
    )
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
