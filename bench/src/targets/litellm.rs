//! LiteLLM's proxy, from PyPI, with the smallest configuration that serves: no database, one key, no logging.

use std::fmt::Write as _;
use std::fs;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::{Door, Site, Target, free_ports};
use crate::ask::Ask;
use crate::install;
use crate::problem::{Problem, While as _};
use crate::process::{Running, family};
use crate::rows::Row;

/// It reads a great deal of Python first.
const START_LIMIT: Duration = Duration::from_secs(300);

/// What clients show it.
const KEY: &str = "sk-bench";

/// A running LiteLLM; ends when dropped.
pub(super) struct Litellm {
    running: Running,
    door: Door,
    // After `running`: the folder goes when the process has gone.
    _folder: tempfile::TempDir,
}

impl Litellm {
    pub(super) fn start(site: &Site<'_>) -> Result<Self, Problem> {
        let executable = install::litellm()?;
        let folder = super::folder()?;
        let [address] = free_ports()?;
        let mut config = "model_list:\n".to_owned();
        for model in Ask::models() {
            // Writing to a String does not fail.
            let _ = writeln!(
                config,
                "  - model_name: {model}\n    litellm_params:\n      model: openai/{model}\n      api_base: http://{}/v1\n      \
                 api_key: sk-bench",
                site.upstream()
            );
        }
        config += "litellm_settings:\n  turn_off_message_logging: true\n";
        let path = folder.path().join("config.yaml");
        fs::write(&path, config).doing("write LiteLLM's configuration")?;
        let printed = folder.path().join("printed");
        let out = fs::File::create(&printed).doing("make a file")?;
        let mut command = Command::new(executable);
        command.arg("--config").arg(&path).args(["--host", "127.0.0.1", "--telemetry", "False"]);
        command.args(["--port", &address.port().to_string(), "--num_workers", &site.workers.to_string()]);
        // Its own price list, instead of one that it would fetch.
        command.env("LITELLM_LOCAL_MODEL_COST_MAP", "True").env("LITELLM_LOG", "ERROR").env("LITELLM_MODE", "PRODUCTION");
        // Without one it does not start.
        command.env("LITELLM_MASTER_KEY", KEY);
        command.current_dir(folder.path()).stdin(Stdio::null()).stdout(out.try_clone()?).stderr(out);
        let mut running = Running::start(&mut command).doing("start litellm")?;
        let door =
            Door { label: "litellm".to_owned(), address, keys: vec![KEY.to_owned()], headers: String::new(), rewritten: true };
        super::wait_until_it_answers(&mut running, &door, START_LIMIT, || last_lines(&printed))?;
        Ok(Self { running, door, _folder: folder })
    }
}

impl Target for Litellm {
    fn doors(&self, _: &Row) -> Vec<Door> {
        vec![self.door.clone()]
    }

    fn processes(&self) -> Vec<(String, u32)> {
        family(self.running.pid()).into_iter().map(|pid| ("litellm".to_owned(), pid)).collect()
    }

    fn since(&self) -> Instant {
        self.running.since()
    }
}

/// The end of what a target printed.
pub(super) fn last_lines(path: &std::path::Path) -> String {
    let text = fs::read_to_string(path).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(8)..].join("\n")
}
