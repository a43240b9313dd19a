//! Looking for canaries in files and in the memory of processes.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aho_corasick::AhoCorasick;

use crate::canary::Canary;

const BLOCK: usize = 1024 * 1024;
/// Twice the longest piece less one: no piece is lost between two blocks.
const OVERLAP: usize = 32;

/// Finds the pieces of some canaries.
pub struct Scanner {
    pieces: AhoCorasick,
    labels: Vec<String>,
}

impl Scanner {
    #[must_use]
    pub fn new(canaries: &[Canary]) -> Self {
        Self::of(canaries.iter().flat_map(|canary| canary.pieces().map(|piece| (canary.label.clone(), piece.to_vec()))))
    }

    /// Finds pieces of at most [`OVERLAP`] bytes, each under its label.
    #[must_use]
    pub fn of(pieces: impl IntoIterator<Item = (String, Vec<u8>)>) -> Self {
        let (labels, pieces): (Vec<String>, Vec<Vec<u8>>) = pieces.into_iter().unzip();
        assert!(pieces.iter().all(|piece| piece.len() <= OVERLAP), "a piece that could be lost between two blocks");
        Self { pieces: AhoCorasick::new(pieces).expect("pieces"), labels }
    }

    /// Labels of the canaries in `bytes`.
    #[must_use]
    pub fn bytes(&self, bytes: &[u8]) -> BTreeSet<String> {
        self.pieces.find_iter(bytes).map(|found| self.labels[found.pattern().as_usize()].clone()).collect()
    }

    /// Finds in every file below `path` that has changed since then: `path:label`. Sockets, pipes and files that vanish are passed over.
    #[must_use]
    pub fn files(&self, path: &Path, since: SystemTime) -> BTreeSet<String> {
        let mut found = BTreeSet::new();
        let Ok(metadata) = fs::symlink_metadata(path) else { return found };
        if metadata.is_dir() {
            for entry in fs::read_dir(path).into_iter().flatten().flatten() {
                found.extend(self.files(&entry.path(), since));
            }
        } else if metadata.is_file()
            // Nobody sets this time but the kernel.
            && u64::try_from(metadata.ctime()).is_ok_and(|changed| UNIX_EPOCH + Duration::from_secs(changed + 1) >= since)
            && let Ok(mut file) = File::open(path)
        {
            let mut window = Vec::new();
            let mut block = vec![0; BLOCK];
            while let Ok(read @ 1..) = file.read(&mut block) {
                window.extend_from_slice(&block[..read]);
                found.extend(self.bytes(&window).into_iter().map(|label| format!("{}:{label}", path.display())));
                window.drain(..window.len().saturating_sub(OVERLAP));
            }
        }
        found
    }

    /// Finds in the readable memory of a process: `pid:label@mapping`. The caller must be allowed to read it.
    #[must_use]
    pub fn memory(&self, pid: u32) -> BTreeSet<String> {
        let mut found = BTreeSet::new();
        let maps = fs::read_to_string(format!("/proc/{pid}/maps")).expect("maps of a running process");
        let memory = File::open(format!("/proc/{pid}/mem")).expect("memory of a running process");
        let mut read_any = false;
        for line in maps.lines() {
            let mut fields = line.split_whitespace();
            let (Some(range), Some(rights)) = (fields.next(), fields.next()) else { continue };
            let Some((start, end)) = range.split_once('-') else { continue };
            let (Ok(start), Ok(end)) = (u64::from_str_radix(start, 16), u64::from_str_radix(end, 16)) else { continue };
            if !rights.starts_with('r') {
                continue;
            }
            let name = fields.nth(3).unwrap_or("anonymous");
            let mut at = start;
            let mut block = vec![0; BLOCK + OVERLAP];
            while at < end {
                let want = usize::try_from((end - at).min((BLOCK + OVERLAP) as u64)).expect("a block");
                // Secret memory and guard pages cannot be read, which is what they are for.
                let Ok(read @ 1..) = memory.read_at(&mut block[..want], at) else { break };
                read_any = true;
                // What was reserved and never touched is most of it.
                if block[..read].iter().any(|byte| *byte != 0) {
                    found.extend(self.bytes(&block[..read]).into_iter().map(|label| format!("{pid}:{label}@{name}")));
                }
                at += (read as u64).min(BLOCK as u64);
            }
        }
        assert!(read_any, "no memory of process {pid} could be read: the scan would prove nothing");
        found
    }
}
