//! A command that the audit starts: its environment names the scripted provider and the telemetry sink, what it prints is searched and shown to
//! nobody.

use std::io::{self, Read};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

/// Of each stream; what is printed beyond is counted and not searched.
const KEPT: usize = 64 << 20;
/// From the request to end until it is ended.
const PATIENCE: Duration = Duration::from_secs(5);

/// What a command printed.
#[derive(Clone, Default)]
pub struct Printed {
    pub bytes: Vec<u8>,
    /// Printed, but not kept.
    pub beyond: u64,
}

/// A running command and its process group.
pub struct Spawned {
    child: Child,
    output: [(&'static str, Arc<Mutex<Printed>>); 2],
}

fn gather(mut stream: impl Read + Send + 'static) -> Arc<Mutex<Printed>> {
    let printed = Arc::new(Mutex::new(Printed::default()));
    let shared = Arc::clone(&printed);
    thread::spawn(move || {
        let mut block = vec![0; 64 * 1024];
        while let Ok(read @ 1..) = stream.read(&mut block) {
            let mut printed = shared.lock().unwrap_or_else(PoisonError::into_inner);
            let kept = read.min(KEPT - printed.bytes.len());
            printed.bytes.extend_from_slice(block.get(..kept).unwrap_or_default());
            printed.beyond += (read - kept) as u64;
        }
    });
    printed
}

impl Spawned {
    /// Starts `command` by `sh -c` in a process group of its own, with these variables besides the audit's own environment.
    ///
    /// # Errors
    /// There is no shell, or no process to be had.
    pub fn start(command: &str, environment: &[(&str, String)]) -> io::Result<Self> {
        let mut shell = Command::new("sh");
        // The shell makes way where the command is a single one, so that the process that is looked at is the command's own.
        shell.args(["-c", command]).process_group(0).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        shell.envs(environment.iter().map(|(name, value)| (name, value)));
        let mut child = shell.spawn()?;
        let none = || io::Error::from(io::ErrorKind::BrokenPipe);
        let stdout = gather(child.stdout.take().ok_or_else(none)?);
        let stderr = gather(child.stderr.take().ok_or_else(none)?);
        Ok(Self { child, output: [("standard output", stdout), ("standard error", stderr)] })
    }

    /// Its process.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// How it ended, if it did.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// Waits until everything that was printed has been read, which is when nobody has the other ends any more, or until then.
    pub fn settle(&self, until: Instant) {
        while self.output.iter().any(|(_, shared)| Arc::strong_count(shared) > 1) && Instant::now() < until {
            thread::sleep(Duration::from_millis(2));
        }
    }

    /// What it printed so far, by stream.
    #[must_use]
    pub fn printed(&self) -> Vec<(&'static str, Printed)> {
        let copy = |shared: &Arc<Mutex<Printed>>| shared.lock().unwrap_or_else(PoisonError::into_inner).clone();
        self.output.iter().map(|(name, shared)| (*name, copy(shared))).collect()
    }
}

impl Drop for Spawned {
    /// Asks the group to end, and ends it if it does not.
    fn drop(&mut self) {
        let group = Pid::from_raw(i32::try_from(self.child.id()).unwrap_or(i32::MAX));
        let _ = killpg(group, Signal::SIGTERM);
        let deadline = Instant::now() + PATIENCE;
        while self.ended().is_none() && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(20));
        }
        let _ = killpg(group, Signal::SIGKILL);
        let _ = self.child.wait();
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed expectation is a failed test")]

    use std::time::{Duration, Instant};

    use super::Spawned;

    #[test]
    fn it_sees_the_environment_and_what_it_prints_is_kept() {
        let mut spawned = Spawned::start("echo \"$GREETING\"; echo oops >&2", &[("GREETING", "hello".to_owned())]).unwrap();
        let deadline = Instant::now() + Duration::from_secs(10);
        let printed = || spawned.printed().into_iter().map(|(name, printed)| (name, printed.bytes)).collect::<Vec<_>>();
        let expected = vec![("standard output", b"hello\n".to_vec()), ("standard error", b"oops\n".to_vec())];
        while printed() != expected {
            assert!(Instant::now() < deadline, "{:?}", printed());
        }
        while spawned.ended().is_none() {
            assert!(Instant::now() < deadline);
        }
    }

    #[test]
    fn it_ends_with_everything_that_it_started() {
        let spawned = Spawned::start("sleep 600 & echo $!; trap '' TERM; wait; sleep 600", &[]).unwrap();
        let deadline = Instant::now() + Duration::from_secs(10);
        let grandchild = loop {
            let printed = String::from_utf8(spawned.printed()[0].1.bytes.clone()).unwrap();
            if let Ok(pid) = printed.trim().parse::<u32>() {
                break pid;
            }
            assert!(Instant::now() < deadline);
        };
        drop(spawned);
        let gone = || std::fs::read_to_string(format!("/proc/{grandchild}/stat")).map_or(true, |stat| stat.contains(") Z "));
        while !gone() {
            assert!(Instant::now() < deadline, "the grandchild goes on");
        }
    }
}
