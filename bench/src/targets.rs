//! What is measured: the mock upstream itself, and what stands before it.

mod lethe;
mod litellm;
mod mock;
mod nginx;
mod portkey;

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::time::{Duration, Instant};

pub(crate) use lethe::{Lethe, version as lethe_version};
pub(crate) use mock::Mock;
pub(crate) use nginx::version as nginx_version;

use crate::interrupt;
use crate::load::{Load, ask_once};
use crate::problem::{Problem, While as _};
use crate::process::Running;
use crate::rows::{How, Legs, Row};
use crate::tls::Pki;

/// Who can be measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Direct,
    Lethe,
    Litellm,
    Nginx,
    Portkey,
}

impl Kind {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Lethe => "lethe",
            Self::Litellm => "litellm",
            Self::Nginx => "nginx",
            Self::Portkey => "portkey",
        }
    }

    /// Whether its figures at `row` would mean something. Peers are asked in the clear, as they stand behind a proxy that has
    /// the certificate.
    pub(crate) fn does(self, row: &Row) -> bool {
        match (self, row.how) {
            (Self::Direct, How::Held(_) | How::Keys(_) | How::Start) | (Self::Nginx, How::Keys(_)) => false,
            (Self::Litellm | Self::Portkey, how) => !row.legs.any() && !matches!(how, How::Keys(_)),
            _ => true,
        }
    }

    /// Starts it and waits until it answers.
    pub(crate) fn start(self, site: &Site<'_>) -> Result<Box<dyn Target>, Problem> {
        interrupt::check()?;
        Ok(match self {
            Self::Direct => Box::new(mock::Direct::of(site)),
            Self::Lethe => Box::new(Lethe::before(site)?),
            Self::Litellm => Box::new(litellm::Litellm::start(site)?),
            Self::Nginx => Box::new(nginx::Nginx::start(site)?),
            Self::Portkey => Box::new(portkey::Portkey::start(site)?),
        })
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What every target of a run stands between.
#[derive(Clone, Copy)]
pub(crate) struct Site<'a> {
    pub(crate) mock: &'a Mock,
    pub(crate) pki: &'a Pki,
    pub(crate) legs: Legs,
    /// Workers of each target that has such a switch: as many as there are processors.
    pub(crate) workers: usize,
}

impl Site<'_> {
    /// Where targets send requests.
    fn upstream(&self) -> SocketAddr {
        if self.legs.outward { self.mock.encrypted() } else { self.mock.plain() }
    }
}

/// One way to ask a target.
#[derive(Clone)]
pub(crate) struct Door {
    /// As it stands in the report.
    pub(crate) label: String,
    pub(crate) address: SocketAddr,
    /// One of them is shown with each request.
    pub(crate) keys: Vec<String>,
    /// Further header fields, each with its line's end.
    pub(crate) headers: String,
    /// Answers come in its own words, not byte for byte.
    pub(crate) rewritten: bool,
}

/// A running target; ends when dropped.
pub(crate) trait Target {
    /// The ways to ask it for `row`.
    fn doors(&self, row: &Row) -> Vec<Door>;

    /// Its processes by role.
    fn processes(&self) -> Vec<(String, u32)>;

    /// When it was started.
    fn since(&self) -> Instant;
}

/// The executable `name` in the folder of this one.
pub(crate) fn beside(name: &str) -> Result<PathBuf, Problem> {
    let own = std::env::current_exe().doing("find this executable")?;
    let path = own.with_file_name(name);
    if path.is_file() { Ok(path) } else { Err(Problem::new(format!("{} is not built: cargo xtask build", path.display()))) }
}

/// A folder under the system's one for temporary files that every user may enter: parts of Lethe and nginx's workers run as other
/// users when this runs as root.
pub(crate) fn folder() -> Result<tempfile::TempDir, Problem> {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::TempDir::with_prefix("lethe-bench-").doing("make a folder")?;
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).doing("open the folder")?;
    Ok(folder)
}

/// Bound together, so that they differ. Free when a target binds them unless somebody is quicker; then it says so.
fn free_ports<const N: usize>() -> Result<[SocketAddr; N], Problem> {
    let mut held = Vec::new();
    let mut ports = [SocketAddr::from((Ipv4Addr::LOCALHOST, 0)); N];
    for port in &mut ports {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).doing("find a free port")?;
        *port = listener.local_addr()?;
        held.push(listener);
    }
    Ok(ports)
}

/// Waits until `door` answers a chat completion; `said` is what the target printed.
fn wait_until_it_answers(running: &mut Running, door: &Door, limit: Duration, said: impl Fn() -> String) -> Result<(), Problem> {
    let load = Load::one(door, None);
    loop {
        interrupt::check()?;
        let ended = running.ended();
        match ask_once(&load) {
            Ok(()) => return Ok(()),
            Err(problem) if ended.is_some() || running.since().elapsed() > limit => {
                let how = ended.unwrap_or_else(|| "not ready in time".to_owned());
                return Err(Problem::new(format!("{} did not start ({how}; {problem}): {}", door.label, said())));
            }
            Err(_) => std::thread::sleep(Duration::from_millis(2)),
        }
    }
}
