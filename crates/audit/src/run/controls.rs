//! Positive controls: a marker in every kind of place and in every encoding. What is planted and not found leaves the audit without a verdict.

use std::fs;
use std::io::Write;
use std::net::{TcpStream, UdpSocket};
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::collect::Collect;
use super::{Audit, NotBegun, Spawned};
use tempfile::TempDir;

use crate::canary::{Canaries, Direction, Id, Label, Modality, NoRandomness};
use crate::detect::Detector;
use crate::drive::{self, Client};
use crate::encode;
use crate::encoding::Encoding;
use crate::host::journal;
use crate::report::{Control, Sink};
use crate::store::{Postgres, Redis};

/// Numbers of a control's vector.
const NUMBERS: usize = 16;
const LIMIT: Duration = Duration::from_secs(10);
const KEY: &str = "lethe-audit-control";
/// How a process that keeps a control for a while is told what to keep.
const VARIABLE: &str = "LETHE_AUDIT_CONTROL";

/// One marker that was planted.
struct Planted {
    sink: Sink,
    what: String,
    id: Id,
}

/// Everything that was planted, and what has to be taken away again.
pub(super) struct Controls {
    planted: Vec<Planted>,
    /// Kinds of place in which nothing could be planted, and why.
    pub(super) gaps: Vec<(Sink, String)>,
    files: Vec<PathBuf>,
    folder: Option<TempDir>,
    children: Vec<Child>,
    /// A command whose output is a control.
    pub(super) printer: Option<Spawned>,
    open: Option<Open>,
}

/// A request that is held open.
struct Open {
    client: Option<Client>,
    id: Id,
    found: Option<bool>,
}

fn label(place: &str) -> Label {
    Label { endpoint: place.to_owned(), outcome: "planted".to_owned(), direction: Direction::Control, modality: Modality::Text }
}

/// Every encoding of a marker is found in what the audit itself encodes.
pub(super) fn encodings() -> Result<(), NotBegun> {
    let mut canaries = Canaries::new()?;
    let (text, numbers) = (canaries.text(label("encodings"))?, canaries.vector(label("encodings"), NUMBERS)?);
    let detector = Detector::new(&canaries);
    let found = |encoding: &Encoding| {
        let bytes = encode::encode(&text, &numbers, encoding);
        bytes.is_some_and(|bytes| detector.bytes(&bytes).iter().any(|hit| hit.encoding == *encoding))
    };
    let missed: Vec<String> = encode::all().iter().filter(|encoding| !found(encoding)).map(ToString::to_string).collect();
    if missed.is_empty() { Ok(()) } else { Err(NotBegun::Controls(missed)) }
}

/// A new file, written by another process: what the audit itself writes is not looked at.
fn write_by_other(path: &PathBuf, bytes: &[u8]) -> bool {
    let tee = Command::new("tee").arg(path).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    let Ok(mut tee) = tee else { return false };
    let written = tee.stdin.take().is_some_and(|mut stdin| stdin.write_all(bytes).is_ok());
    tee.wait().is_ok_and(|status| status.success()) && written
}

impl Controls {
    /// Plants everything that can be planted before the first row.
    pub(super) fn plant(canaries: &mut Canaries, audit: &Audit, watched: &[PathBuf]) -> Result<Self, NotBegun> {
        // Gone with everything in it when the audit is.
        let folder = tempfile::Builder::new().prefix("lethe-audit-controls-").tempdir().ok();
        let mut controls = Self {
            planted: Vec::new(),
            gaps: Vec::new(),
            files: Vec::new(),
            folder,
            children: Vec::new(),
            printer: None,
            open: None,
        };
        controls.encoded_files(canaries)?;
        controls.core(canaries)?;
        controls.watched_folders(canaries, watched)?;
        controls.processes(canaries)?;
        controls.telemetry(canaries, audit)?;
        controls.journal(canaries)?;
        controls.stores(canaries, audit)?;
        Ok(controls)
    }

    fn marker(&mut self, canaries: &mut Canaries, sink: Sink, what: String) -> Result<String, NoRandomness> {
        let text = canaries.text(label(&what))?;
        self.planted.push(Planted { sink, what, id: Self::last(canaries) });
        Ok(text)
    }

    fn last(canaries: &Canaries) -> Id {
        Id(u32::try_from(canaries.len()).unwrap_or(u32::MAX).saturating_sub(1))
    }

    /// A file for each encoding.
    fn encoded_files(&mut self, canaries: &mut Canaries) -> Result<(), NoRandomness> {
        let Some(folder) = self.folder.as_ref().map(|folder| folder.path().to_owned()) else {
            self.gaps
                .push((Sink::File, "the folder for temporary files cannot be written to: no controls of encodings".to_owned()));
            return Ok(());
        };
        for (number, encoding) in encode::all().into_iter().enumerate() {
            let what = format!("a file, {encoding}");
            let (text, numbers) = if encoding.form.is_of_numbers() {
                (String::new(), canaries.vector(label(&what), NUMBERS)?)
            } else {
                (canaries.text(label(&what))?, Vec::new())
            };
            let id = Self::last(canaries);
            let path = folder.join(format!("{number}.bin"));
            // One that cannot be written is one that will not be found.
            let _ = encode::encode(&text, &numbers, &encoding).is_some_and(|bytes| write_by_other(&path, &bytes));
            self.planted.push(Planted { sink: Sink::File, what, id });
        }
        Ok(())
    }

    /// A file that looks like a core, with the marker somewhere in it.
    fn core(&mut self, canaries: &mut Canaries) -> Result<(), NoRandomness> {
        let Some(path) = self.folder.as_ref().map(|folder| folder.path().join("core.0")) else { return Ok(()) };
        let text = self.marker(canaries, Sink::Core, "a core file".to_owned())?;
        let memory = [b"\x7fELF\x02\x01\x01\0".as_slice(), &[0; 8000], text.as_bytes(), &[0; 8000]].concat();
        // One that cannot be written is one that will not be found.
        let _ = write_by_other(&path, &memory);
        Ok(())
    }

    /// A file in each watched folder.
    fn watched_folders(&mut self, canaries: &mut Canaries, watched: &[PathBuf]) -> Result<(), NoRandomness> {
        for folder in watched.iter().filter(|folder| folder.is_dir()) {
            let path = folder.join(format!("lethe-audit-control-{}", std::process::id()));
            let text = canaries.text(label(&format!("a file in {}", folder.display())))?;
            let id = Self::last(canaries);
            if write_by_other(&path, text.as_bytes()) {
                let sink = super::places::kind(&path);
                self.planted.push(Planted { sink, what: format!("a file in {}", folder.display()), id });
                self.files.push(path);
            } else {
                self.gaps.push((Sink::File, format!("{}: no control could be planted there", folder.display())));
            }
        }
        Ok(())
    }

    /// A process with a marker in its environment, another with one in a deleted file; what is printed.
    fn processes(&mut self, canaries: &mut Canaries) -> Result<(), NoRandomness> {
        let text = self.marker(canaries, Sink::CommandLine, "the environment of a process".to_owned())?;
        let sleeper = Command::new("sleep").arg("600").env(VARIABLE, text).stdin(Stdio::null()).stdout(Stdio::null()).spawn();
        self.children.extend(sleeper);
        self.deleted_file(canaries)?;
        let text = self.marker(canaries, Sink::Output, "what a command prints".to_owned())?;
        self.printer = Spawned::start(&format!("echo \"${VARIABLE}\""), &[(VARIABLE, text)]).ok();
        let deadline = Instant::now() + LIMIT;
        while Instant::now() < deadline && self.printer.as_mut().is_some_and(|printer| printer.ended().is_none()) {
            std::thread::sleep(Duration::from_millis(2));
        }
        Ok(())
    }

    fn deleted_file(&mut self, canaries: &mut Canaries) -> Result<(), NoRandomness> {
        let Some(path) = self.folder.as_ref().map(|folder| folder.path().join("deleted")) else { return Ok(()) };
        let text = self.marker(canaries, Sink::DeletedFile, "a deleted file that a process holds open".to_owned())?;

        let script = "exec 3>\"$0\"; cat >&3; rm \"$0\"; exec sleep 600";
        let holder = Command::new("sh").args(["-c", script]).arg(&path).stdin(Stdio::piped()).stdout(Stdio::null()).spawn();
        if let Ok(mut holder) = holder {
            if let Some(mut stdin) = holder.stdin.take() {
                let _ = stdin.write_all(text.as_bytes());
            }
            // Until the name is gone it is an ordinary file.
            let deadline = Instant::now() + LIMIT;
            let held = |pid: u32| {
                fs::read_link(format!("/proc/{pid}/fd/3")).is_ok_and(|path| path.to_string_lossy().ends_with("(deleted)"))
            };
            while !held(holder.id()) && Instant::now() < deadline {
                std::thread::sleep(Duration::from_millis(2));
            }
            self.children.push(holder);
        }
        Ok(())
    }

    /// A span, sent as an exporter would.
    fn telemetry(&mut self, canaries: &mut Canaries, audit: &Audit) -> Result<(), NoRandomness> {
        let Some(sink) = &audit.telemetry else { return Ok(()) };
        let text = self.marker(canaries, Sink::Telemetry, "a span's attribute".to_owned())?;
        let send = || {
            let mut socket = TcpStream::connect_timeout(&sink.address(), LIMIT)?;
            socket.set_read_timeout(Some(LIMIT))?;
            let head = "POST /v1/traces HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\nconnection: close\r\n";
            write!(socket, "{head}content-length: {}\r\n\r\n{text}", text.len())?;
            std::io::copy(&mut socket, &mut std::io::sink())
        };
        // Not sent is not found.
        let _ = send();
        Ok(())
    }

    /// An entry of the journal, where one is kept: it stays there, as every entry does.
    fn journal(&mut self, canaries: &mut Canaries) -> Result<(), NoRandomness> {
        if journal::is_running() && journal::is_kept() {
            let text = self.marker(canaries, Sink::Journal, "an entry of the journal".to_owned())?;
            let entry = format!("MESSAGE=lethe audit, control: {text}\nPRIORITY=7\nSYSLOG_IDENTIFIER=lethe-audit\n");
            // Not taken is not found.
            let _ = UnixDatagram::unbound().and_then(|socket| socket.send_to(entry.as_bytes(), journal::SOCKET));
        }
        Ok(())
    }

    /// A datagram that a packet socket sees; where there is none there is a gap, and no control.
    pub(super) fn network(&mut self, canaries: &mut Canaries, captured: bool) -> Result<(), NoRandomness> {
        if captured {
            let text = self.marker(canaries, Sink::Network, "a datagram".to_owned())?;
            // Whether somebody listens does not matter.
            let _ = UdpSocket::bind("127.0.0.1:0").and_then(|socket| socket.send_to(text.as_bytes(), "127.0.0.1:9"));
        }
        Ok(())
    }

    /// A key, and a table with a row.
    fn stores(&mut self, canaries: &mut Canaries, audit: &Audit) -> Result<(), NoRandomness> {
        // What cannot be reached now is told by the look itself; what may not be written to is told here.
        if let Some(mut redis) = audit.redis.as_deref().and_then(|url| Redis::connect(url).ok()) {
            let text = self.marker(canaries, Sink::Redis, "a key that expires in two minutes".to_owned())?;
            if let Err(why) = redis.plant(KEY, text.as_bytes()) {
                self.forget(Sink::Redis);
                self.gaps.push((Sink::Redis, format!("no control could be planted: {why}")));
            }
        }
        if let Some(mut postgres) = audit.postgres.as_deref().and_then(|url| Postgres::connect(url).ok()) {
            let text = self.marker(canaries, Sink::Postgres, "a row of a table made for it".to_owned())?;
            if let Err(why) = postgres.plant(&text) {
                self.forget(Sink::Postgres);
                self.gaps.push((Sink::Postgres, format!("no control could be planted: {why}")));
            }
        }
        Ok(())
    }

    /// Takes away what was planted in servers.
    pub(super) fn clear_stores(audit: &Audit) {
        // Both go by themselves or are replaced by the next run.
        if let Some(Ok(mut redis)) = audit.redis.as_deref().map(Redis::connect) {
            let _ = redis.remove(KEY);
        }
        if let Some(Ok(mut postgres)) = audit.postgres.as_deref().map(Postgres::connect) {
            let _ = postgres.remove();
        }
    }

    /// A request that stays open: its prompt has to be in the memory of one of the target's processes.
    pub(super) fn open_request(&mut self, canaries: &mut Canaries, audit: &Audit) -> Result<(), NoRandomness> {
        if audit.pids.is_empty() {
            return Ok(());
        }
        let Some(provider) = &audit.provider else { return Ok(()) };
        // While it is open it is a control; what is left of it afterwards is a finding like any other.
        let held = Label {
            endpoint: "POST /v1/chat/completions".to_owned(),
            outcome: "held open, then left".to_owned(),
            direction: Direction::Prompt,
            modality: Modality::Text,
        };
        let text = canaries.text(held)?;
        let id = Self::last(canaries);
        // Where the provider does not get it there is no control, and so no verdict about memory.
        let client = match drive::hold(&audit.target, provider, &text, LIMIT) {
            Ok((client, true)) => Some(client),
            Ok((_, false)) | Err(_) => None,
        };
        self.open = Some(Open { client, id, found: None });
        Ok(())
    }

    /// Ends the open request.
    pub(super) fn close_request(&mut self) {
        if let Some(client) = self.open.as_mut().and_then(|open| open.client.take()) {
            client.leave();
        }
    }

    /// The marker of the request that is held open, if one was tried.
    pub(super) fn open(&self) -> Option<Id> {
        self.open.as_ref().map(|open| open.id)
    }

    /// Whether it was found in memory; `None` if that cannot be told.
    pub(super) fn found_open(&mut self, found: Option<bool>) {
        match (found, &mut self.open) {
            (Some(found), Some(open)) => open.found = Some(found),
            _ => self.open = None,
        }
    }

    /// Nothing of this kind can be looked at, which is said there: no control either.
    pub(super) fn forget(&mut self, sink: Sink) {
        self.planted.retain(|planted| planted.sink != sink);
    }

    /// Processes that keep something planted.
    pub(super) fn pids(&self) -> Vec<u32> {
        self.children.iter().map(Child::id).collect()
    }

    /// Every control, and whether it was found in its kind of place.
    pub(super) fn shown(&self, collect: &Collect<'_>) -> Vec<Control> {
        let shown = |planted: &Planted| Control {
            sink: planted.sink,
            planted: planted.what.clone(),
            found: collect.has(planted.sink, planted.id),
        };
        let open = self.open.as_ref().map(|open| Control {
            sink: Sink::Memory,
            planted: "the prompt of a request that is open".to_owned(),
            found: open.found == Some(true),
        });
        self.planted.iter().map(shown).chain(open).collect()
    }
}

impl Drop for Controls {
    fn drop(&mut self) {
        for child in &mut self.children {
            let _ = child.kill();
            let _ = child.wait();
        }
        for file in &self.files {
            let _ = fs::remove_file(file);
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed expectation is a failed test")]

    use super::*;

    #[test]
    fn every_encoding_is_found() {
        assert!(encode::all().len() >= 34);
        encodings().unwrap();
    }
}
