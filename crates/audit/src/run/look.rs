//! The look into every kind of place, with what was looked at and what could not be.

mod databases;
mod journal;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use super::collect::Collect;
use super::controls::Controls;
use super::{Says, Spawned, places};
use crate::canary::Id;
use crate::detect::{Detector, Limits, Source};
use crate::drive::{Answered, Sink as OtlpSink};
use crate::host::files::{Changes, How, Method};
use crate::host::memory::Memory;
use crate::host::network::{Place as Destination, Seen};
use crate::host::packets::Captured;
use crate::host::process::{self, DescriptorKind};
use crate::host::tracee::Sent;
use crate::host::{cores, swap};
use crate::report::{Place, SearchState, Searched, Sink};

/// Of one changed file; what is beyond is said.
const FILE: u64 = 2 << 30;
/// The smallest page, to judge how much was not read.
const PAGE: u64 = 4096;
/// Of a swap area.
const SWAP: u64 = 8 << 30;

/// A look in progress.
pub(super) struct Look<'a, 'c> {
    detector: &'a Detector<'c>,
    collect: &'a mut Collect<'c>,
    roots: &'a [u32],
    sinks: BTreeMap<Sink, Searched>,
}

impl<'a, 'c> Look<'a, 'c> {
    pub(super) fn new(detector: &'a Detector<'c>, collect: &'a mut Collect<'c>, roots: &'a [u32]) -> Self {
        Self { detector, collect, roots, sinks: BTreeMap::new() }
    }

    fn sink(&mut self, sink: Sink) -> &mut Searched {
        let new = || Searched { sink, state: SearchState::Searched, how: String::new(), bytes: 0, gaps: Vec::new() };
        self.sinks.entry(sink).or_insert_with(new)
    }

    fn how(&mut self, sink: Sink, how: &str) {
        let searched = self.sink(sink);
        if !searched.how.contains(how) {
            searched.how = if searched.how.is_empty() { how.to_owned() } else { format!("{}; {how}", searched.how) };
        }
    }

    fn gap(&mut self, sink: Sink, gap: impl Into<String>) {
        let (searched, gap) = (self.sink(sink), gap.into());
        if searched.state == SearchState::Searched {
            searched.state = SearchState::Partly;
        }
        if !searched.gaps.contains(&gap) {
            searched.gaps.push(gap);
        }
    }

    fn not_searched(&mut self, sink: Sink, gap: impl Into<String>) {
        self.gap(sink, gap);
        self.sink(sink).state = SearchState::NotSearched;
    }

    /// Searches a source and collects.
    fn source(&mut self, place: &Place, source: &dyn Source, range: Range<u64>) {
        match self.detector.source(source, range, &Limits::default()) {
            Ok(looked) => {
                self.sink(place.sink).bytes += looked.bytes;
                if let Some(why) = looked.incomplete {
                    self.gap(place.sink, format!("{}: {}", place.name, why.name()));
                }
                self.collect.add(place, looked.hits, &[]);
            }
            Err(error) => self.gap(place.sink, format!("{} could not be read ({})", place.name, error.kind())),
        }
    }

    fn bytes(&mut self, place: &Place, bytes: &[u8], own: &[Id]) {
        let hits = self.detector.bytes(bytes);
        self.sink(place.sink).bytes += bytes.len() as u64;
        self.collect.add(place, hits, own);
    }

    fn place(&self, sink: Sink, name: &str) -> Place {
        Place { sink, name: places::shown(self.detector, name), by: None }
    }

    fn pids(&self) -> Vec<u32> {
        process::tree(self.roots).into_iter().collect()
    }

    /// The memory of every process of the target. Returns whether all of it could be read.
    pub(super) fn memory(&mut self, when: &str) -> bool {
        if self.roots.is_empty() {
            self.not_searched(Sink::Memory, "the target's processes are not known: give --pid or --spawn");
            return false;
        }
        let pids = self.pids();
        if pids.iter().all(|pid| !process::is_alive(*pid)) {
            self.gap(Sink::Memory, format!("no process of the target was there any more, {when}"));
            return false;
        }
        let mut all = true;
        for pid in pids {
            all &= self.memory_of(pid);
        }
        self.how(Sink::Memory, &format!("every readable mapping, {when}"));
        all
    }

    fn memory_of(&mut self, pid: u32) -> bool {
        let who = places::process(pid);
        let memory = match Memory::of(pid) {
            Ok(memory) => memory,
            // It ended meanwhile.
            Err(_) if !process::is_alive(pid) => return true,
            Err(error) => {
                self.gap(Sink::Memory, format!("{who} could not be read ({}): run as root", error.kind()));
                return false;
            }
        };
        for span in memory.spans() {
            let looked = match self.detector.source(&span, 0..span.range.end - span.range.start, &Limits::default()) {
                Ok(looked) => looked,
                Err(error) => {
                    self.gap(Sink::Memory, format!("a part of {who} could not be read ({})", error.kind()));
                    continue;
                }
            };
            self.sink(Sink::Memory).bytes += looked.bytes;
            if let Some(why) = looked.incomplete {
                self.gap(Sink::Memory, format!("{who}: {}", why.name()));
            }
            for hit in looked.hits {
                let mapping = memory.mapping_at(span.range.start + hit.offset).map(|mapping| mapping.name.as_str());
                let name = mapping.filter(|name| !name.is_empty()).unwrap_or("anonymous memory");
                let place = self.place(Sink::Memory, &format!("{who}: {name}"));
                self.collect.add(&place, vec![hit], &[]);
            }
        }
        // Read as zeros: keys in secret memory, which nobody outside of the process can read, or all of it.
        match memory.unreadable_pages() {
            0 => {}
            pages if pages * PAGE >= memory.size() / 2 => {
                self.gap(Sink::Memory, format!("{pages} pages of {who} could not be read"));
                return false;
            }
            pages => {
                self.how(Sink::Memory, &format!("{pages} pages of {who} are unreadable for everybody (secret memory, devices)"))
            }
        }
        true
    }

    /// The processes whose memory holds this marker just now.
    pub(super) fn holders(&self, id: Id) -> Vec<u32> {
        let holds = |pid: &u32| {
            let mut aside = self.collect.beside();
            Look::new(self.detector, &mut aside, self.roots).memory_of(*pid);
            aside.holds(id)
        };
        self.pids().into_iter().filter(holds).collect()
    }

    /// The memory of whatever came after a crash. Where nothing did, nothing is left.
    pub(super) fn memory_after_crash(&mut self) {
        if self.pids().into_iter().any(process::is_alive) {
            self.memory("after the crash");
        } else {
            self.how(Sink::Memory, "no process is left after the crash");
        }
    }

    /// Looks for the open request of the controls.
    pub(super) fn memory_control(&mut self, controls: &mut Controls) {
        let Some(id) = controls.open() else {
            if !self.roots.is_empty() {
                let gap = "no request could be held open to see that memory is searched: it needs the scripted provider";
                self.gap(Sink::Memory, gap);
            }
            return;
        };
        // Markers of requests that have just ended may still be there: only this one counts now.
        let mut aside = self.collect.beside();
        let all = Look::new(self.detector, &mut aside, self.roots).memory("a request open");
        // A process that may not be read is a gap already, and may be the one that has it.
        controls.found_open(if all { Some(aside.holds(id)) } else { aside.holds(id).then_some(true) });
    }

    /// Files that changed.
    pub(super) fn changes(&mut self, changes: Changes, method: Method, controls: &Controls) {
        let how = match method {
            Method::FileSystems => {
                "every file that changed on any file system (fanotify), and the watched folders before and after"
            }
            Method::Folders => "watched folders (inotify), before and after",
            Method::Snapshots => "watched folders, before and after",
        };
        self.how(Sink::File, how);
        if method != Method::FileSystems {
            self.gap(Sink::File, "only watched folders: whole file systems are watched as root");
        }
        for gap in changes.gaps {
            self.gap(Sink::File, gap);
        }
        for (sink, gap) in &controls.gaps {
            self.gap(*sink, gap.clone());
        }
        for change in changes.changed {
            if super::verdicts::is_own(&change.path) {
                continue;
            }
            let sink = match change.how {
                How::Deleted => Sink::DeletedFile,
                How::Created | How::Modified => places::kind(&change.path),
            };
            let path = change.path.to_string_lossy().into_owned();
            let mut place = self.place(sink, &path);
            place.by = change.writers.first().map(|writer| format!("{} ({})", writer.name, writer.pid));
            // A name can be content too.
            self.bytes(&place, path.as_bytes(), &[]);
            match change.file {
                Some(file) => {
                    if change.size > FILE {
                        self.gap(sink, format!("{}: only its first {} GiB", place.name, FILE >> 30));
                    }
                    self.source(&place, &file, 0..change.size.min(FILE));
                }
                None if change.how == How::Deleted => self.gap(sink, format!("{}: deleted before it could be kept", place.name)),
                None => self.gap(sink, format!("{} could not be opened", place.name)),
            }
        }
    }

    /// Environment, arguments, deleted files and memory files of every process, of the target and of the controls.
    pub(super) fn processes(&mut self, controls: &[u32]) {
        for sink in [Sink::CommandLine, Sink::DeletedFile] {
            if self.roots.is_empty() {
                self.not_searched(sink, "the target's processes are not known: give --pid or --spawn");
            }
        }
        let targets = self.pids();
        for pid in targets.iter().chain(controls).copied() {
            let who = places::process(pid);
            for (what, bytes) in [("arguments", process::command_line(pid)), ("environment", process::environment(pid))] {
                match bytes {
                    Ok(bytes) => {
                        let place = self.place(Sink::CommandLine, &format!("{who}: {what}"));
                        self.bytes(&place, &bytes, &[]);
                    }
                    Err(_) if !process::is_alive(pid) => {}
                    Err(error) => self.gap(Sink::CommandLine, format!("{who}: {what} ({})", error.kind())),
                }
            }
            self.descriptors(pid, &who);
        }
        for segment in process::segments().unwrap_or_default() {
            // Attached ones are in a process's memory.
            if segment.attached == 0 && (targets.contains(&segment.creator) || targets.contains(&segment.last)) {
                self.gap(
                    Sink::SharedMemory,
                    format!("System V segment {} of {} bytes, which no process has attached", segment.id, segment.bytes),
                );
            }
        }
        self.how(Sink::CommandLine, "/proc/PID/environ and cmdline");
        self.how(Sink::DeletedFile, "/proc/PID/fd, and files deleted during the run");
    }

    fn descriptors(&mut self, pid: u32, who: &str) {
        let descriptors = match process::descriptors(pid) {
            Ok(descriptors) => descriptors,
            Err(_) if !process::is_alive(pid) => return,
            Err(error) => return self.gap(Sink::DeletedFile, format!("descriptors of {who} ({})", error.kind())),
        };
        for descriptor in descriptors {
            let sink = match descriptor.kind {
                DescriptorKind::Deleted => Sink::DeletedFile,
                DescriptorKind::MemoryFile => Sink::SharedMemory,
                _ => continue,
            };
            let place = self.place(sink, &format!("{who}: descriptor {}, {}", descriptor.number, descriptor.name.display()));
            match descriptor.open().and_then(|file| Ok((file.metadata()?.len(), file))) {
                Ok((size, file)) => self.source(&place, &file, 0..size.min(FILE)),
                Err(error) => self.gap(sink, format!("{} ({})", place.name, error.kind())),
            }
        }
        if let Ok(shared) = process::shared_memory(pid) {
            for object in shared {
                let place = self.place(Sink::SharedMemory, &format!("{who}: {}", object.name));
                if let Some(file) = object.file
                    && let Ok(metadata) = file.metadata()
                {
                    self.source(&place, &file, 0..metadata.len().min(FILE));
                }
            }
        }
    }

    /// Swap, and where core files would go.
    pub(super) fn machine(&mut self) {
        let areas = swap::areas().unwrap_or_default();
        self.how(Sink::Swap, if areas.is_empty() { "there is none" } else { "the areas of /proc/swaps, as they are on disk" });
        for area in areas {
            let place = self.place(Sink::Swap, &area.path.display().to_string());
            if area.is_zram() {
                self.gap(Sink::Swap, format!("{} is compressed memory, which is not readable", place.name));
                continue;
            }
            match area.open(SWAP) {
                Ok(source) => self.source(&place, &source, 0..area.bytes.min(SWAP)),
                Err(error) => self.gap(Sink::Swap, format!("{} ({}): run as root", place.name, error.kind())),
            }
        }
        match cores::CoreTarget::now() {
            Ok(cores::CoreTarget::Nowhere) => self.how(Sink::Core, "the kernel writes none"),
            Ok(cores::CoreTarget::File(_)) => self.how(Sink::Core, "the folders that core files would go to are watched"),
            Ok(_) => self
                .gap(Sink::Core, "core dumps go to a program or a socket, which decides what it keeps: see kernel.core_pattern"),
            Err(error) => self.gap(Sink::Core, format!("kernel.core_pattern ({})", error.kind())),
        }
    }

    /// Where the processes connected to or sent, as their sockets and their system calls show; what of it leaves this machine.
    pub(super) fn network<'t>(
        &mut self,
        seen: Option<&std::io::Result<Seen>>,
        traced: impl Iterator<Item = &'t Sent>,
    ) -> Vec<String> {
        let none = Seen::default();
        let seen = match seen {
            Some(Ok(seen)) => seen,
            Some(Err(error)) => {
                self.gap(Sink::Network, format!("sockets could not be watched ({})", error.kind()));
                &none
            }
            None => {
                self.gap(Sink::Network, "the target's processes are not known: give --pid or --spawn");
                return Vec::new();
            }
        };
        self.how(
            Sink::Network,
            &format!("destinations of the processes' sockets, looked at {} times, and of their calls", seen.looks),
        );
        for gap in &seen.gaps {
            self.gap(Sink::Network, gap.clone());
        }
        let sockets = seen.destinations.iter().filter(|destination| !destination.accepted);
        let sockets = sockets.map(|destination| (destination.pid, &destination.name, &destination.place));
        let all = sockets.chain(traced.map(|sent| (sent.pid, &sent.name, &sent.place)));
        // Peers on this machine are seen as files, memory and databases; what leaves it is not.
        let leaves = |(pid, name, place): (u32, &String, &Destination)| match place {
            Destination::Address(address, port) if !address.is_loopback() && !address.is_unspecified() => {
                let name = places::shown(self.detector, name);
                let what = if matches!(port, 53 | 853 | 5353 | 5355) { "asks for names at" } else { "connects or sends to" };
                Some(format!("{name} ({pid}) {what} {address} port {port}"))
            }
            _ => None,
        };
        all.filter_map(leaves).collect::<BTreeSet<_>>().into_iter().collect()
    }

    /// What passed over the network in the clear, between others than the target, its clients and its provider.
    pub(super) fn packets(&mut self, captured: Result<&Captured, &std::io::Error>) {
        let captured = match captured {
            Ok(captured) => captured,
            Err(error) => {
                return self.gap(Sink::Network, format!("packets could not be captured ({}): run as root", error.kind()));
            }
        };
        self.how(Sink::Network, &format!("{} packets of this network namespace", captured.packets));
        for gap in &captured.gaps {
            self.gap(Sink::Network, gap.clone());
        }
        for flow in &captured.flows {
            let what = if flow.is_dns() { " (DNS)" } else { "" };
            let place = self.place(Sink::Network, &format!("{} from {} to {}{what}", flow.protocol, flow.from, flow.to));
            self.source(&place, flow, 0..flow.bytes);
        }
    }

    /// What a command printed.
    pub(super) fn printed(&mut self, spawned: &[&Spawned]) {
        for spawned in spawned {
            for (stream, printed) in spawned.printed() {
                let place = self.place(Sink::Output, stream);
                if printed.beyond > 0 {
                    self.gap(Sink::Output, format!("{stream}: {} further bytes", printed.beyond));
                }
                let size = printed.bytes.len() as u64;
                self.source(&place, &printed.bytes, 0..size);
            }
        }
        self.how(Sink::Output, "standard output and error");
    }

    /// What the telemetry sink got.
    pub(super) fn telemetry(&mut self, sink: Option<&OtlpSink>, exports: bool) {
        let Some(sink) = sink else {
            // Lethe exports none.
            if exports {
                self.not_searched(Sink::Telemetry, "a sink for OTLP is there for commands of --spawn");
            }
            return;
        };
        if sink.dropped() > 0 {
            self.gap(Sink::Telemetry, format!("{} exports, or ends of them, were too large", sink.dropped()));
        }
        for export in sink.received() {
            let place = self.place(Sink::Telemetry, &export.path);
            let size = export.bytes.len() as u64;
            self.source(&place, &export.bytes, 0..size);
        }
        self.how(Sink::Telemetry, "an OTLP sink at OTEL_EXPORTER_OTLP_ENDPOINT");
    }

    /// Answers, each for markers that are not its own.
    pub(super) fn answers(&mut self, answers: &[Answered]) {
        for answer in answers {
            let sink = if answer.own.is_empty() { Sink::Metrics } else { Sink::Answer };
            let place = self.place(sink, &answer.from);
            self.bytes(&place, &answer.bytes, &answer.own);
        }
        self.how(Sink::Answer, "every answer, for the markers of other requests");
        self.how(Sink::Metrics, "health, metrics and similar addresses after the run");
    }

    /// What the target says of itself.
    pub(super) fn says(&mut self, says: Vec<(String, Says)>) {
        for (name, ask) in says {
            match ask() {
                Ok(bytes) => {
                    let place = self.place(Sink::Metrics, &name);
                    self.bytes(&place, &bytes, &[]);
                    self.how(Sink::Metrics, &name);
                }
                Err(why) => self.gap(Sink::Metrics, why),
            }
        }
    }

    /// Every kind of place that was looked at, or could not be.
    pub(super) fn into_sinks(self) -> Vec<Searched> {
        self.sinks.into_values().collect()
    }
}
