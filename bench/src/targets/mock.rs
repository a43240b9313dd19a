//! The mock upstream in a process of its own, and the way to it with nothing between.

use std::io::{BufRead as _, BufReader};
use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Command, Stdio};
use std::time::Instant;

use super::{Door, Site, Target};
use crate::problem::{Problem, While as _};
use crate::process::Running;
use crate::rows::Row;
use crate::tls::Pki;

/// A running mock upstream; ends when dropped.
pub(crate) struct Mock {
    running: Running,
    plain: SocketAddr,
    encrypted: SocketAddr,
}

impl Mock {
    pub(crate) fn start(pki: &Pki) -> Result<Self, Problem> {
        let own = std::env::current_exe().doing("find this executable")?;
        let mut command = Command::new(own);
        command.arg("upstream").arg(&pki.chain).arg(&pki.key);
        let mut running =
            Running::start(command.stdin(Stdio::piped()).stdout(Stdio::piped())).doing("start the mock upstream")?;
        let mut line = String::new();
        if let Some(out) = running.child().stdout.take() {
            BufReader::new(out).read_line(&mut line)?;
        }
        let mut ports = line.split_whitespace().map(|port| port.parse::<u16>().doing("read the mock upstream's ports"));
        let mut next = || ports.next().unwrap_or_else(|| Err(Problem::new("the mock upstream did not start")));
        let (plain, encrypted) = (next()?, next()?);
        let at = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        Ok(Self { running, plain: at(plain), encrypted: at(encrypted) })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.running.pid()
    }

    pub(crate) const fn plain(&self) -> SocketAddr {
        self.plain
    }

    pub(crate) const fn encrypted(&self) -> SocketAddr {
        self.encrypted
    }
}

/// Straight to the mock upstream.
pub(super) struct Direct {
    address: SocketAddr,
    since: Instant,
}

impl Direct {
    pub(super) fn of(site: &Site<'_>) -> Self {
        let address = if site.legs.inward { site.mock.encrypted() } else { site.mock.plain() };
        Self { address, since: Instant::now() }
    }
}

impl Target for Direct {
    fn doors(&self, _: &Row) -> Vec<Door> {
        let (label, headers) = ("direct".to_owned(), String::new());
        vec![Door { label, address: self.address, keys: Vec::new(), headers, rewritten: false }]
    }

    fn processes(&self) -> Vec<(String, u32)> {
        Vec::new()
    }

    fn since(&self) -> Instant {
        self.since
    }
}
