//! Portkey's gateway, from npm. It has no switch for workers: one process.

use std::fs;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::litellm::last_lines;
use super::{Door, Site, Target, free_ports};
use crate::install;
use crate::problem::{Problem, While as _};
use crate::process::{Running, family};
use crate::rows::Row;

const START_LIMIT: Duration = Duration::from_secs(60);

/// A running Portkey gateway; ends when dropped.
pub(super) struct Portkey {
    running: Running,
    door: Door,
    // After `running`: the folder goes when the process has gone.
    _folder: tempfile::TempDir,
}

impl Portkey {
    pub(super) fn start(site: &Site<'_>) -> Result<Self, Problem> {
        let script = install::portkey()?;
        let folder = super::folder()?;
        let [address] = free_ports()?;
        let printed = folder.path().join("printed");
        let out = fs::File::create(&printed).doing("make a file")?;
        let mut command = Command::new("node");
        command.arg(script).args(["--headless", &format!("--port={}", address.port())]);
        command.env("NODE_ENV", "production").env("TRUSTED_CUSTOM_HOSTS", "127.0.0.1,localhost");
        command.current_dir(folder.path()).stdin(Stdio::null()).stdout(out.try_clone()?).stderr(out);
        let mut running = Running::start(&mut command).doing("start node")?;
        let door = Door {
            label: "portkey".to_owned(),
            address,
            keys: Vec::new(),
            headers: format!("x-portkey-provider: openai\r\nx-portkey-custom-host: http://{}/v1\r\n", site.upstream()),
            rewritten: true,
        };
        super::wait_until_it_answers(&mut running, &door, START_LIMIT, || last_lines(&printed))?;
        Ok(Self { running, door, _folder: folder })
    }
}

impl Target for Portkey {
    fn doors(&self, _: &Row) -> Vec<Door> {
        vec![self.door.clone()]
    }

    fn processes(&self) -> Vec<(String, u32)> {
        family(self.running.pid()).into_iter().map(|pid| ("node".to_owned(), pid)).collect()
    }

    fn since(&self) -> Instant {
        self.running.since()
    }
}
