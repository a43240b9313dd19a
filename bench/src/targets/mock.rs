//! The mock upstream in a process of its own.

use std::io::{BufRead as _, BufReader};
use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Command, Stdio};

use super::Target;
use crate::problem::{Problem, While as _};
use crate::process::Running;
use crate::workload::Workload;

/// A running mock upstream; ends when dropped.
pub(crate) struct Mock {
    running: Running,
    address: SocketAddr,
}

impl Mock {
    pub(crate) fn start() -> Result<Self, Problem> {
        let own = std::env::current_exe().doing("find this executable")?;
        let mut command = Command::new(own);
        let mut running = Running::start(command.arg("upstream").stdin(Stdio::piped()).stdout(Stdio::piped()))
            .doing("start the mock upstream")?;
        let mut line = String::new();
        if let Some(out) = running.child().stdout.take() {
            BufReader::new(out).read_line(&mut line)?;
        }
        let port: u16 = line.trim().parse().doing("read the mock upstream's port")?;
        Ok(Self { running, address: (Ipv4Addr::LOCALHOST, port).into() })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.running.pid()
    }

    pub(crate) const fn at(&self) -> SocketAddr {
        self.address
    }
}

impl Target for Mock {
    fn name(&self) -> &'static str {
        "direct"
    }

    fn address(&self, _: Workload) -> SocketAddr {
        self.address
    }

    fn processes(&self) -> Vec<(String, u32)> {
        Vec::new()
    }
}
