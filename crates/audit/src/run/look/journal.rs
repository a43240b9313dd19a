//! The look into the system's journal.

use std::thread;
use std::time::{Duration, Instant};

use super::Look;
use crate::host::journal;
use crate::report::Sink;
use crate::run::{Spawned, places};

/// Of the reader; it has a run's entries to print.
const LIMIT: Duration = Duration::from_secs(20);
/// What a shell says of a command that is not there.
const NOT_FOUND: i32 = 127;

impl Look<'_, '_> {
    /// Every entry since then, in Unix seconds.
    pub(in crate::run) fn journal(&mut self, since: i64) {
        if journal::is_kept() || journal::is_running() {
            self.journal_by("journalctl", since, LIMIT);
        } else {
            self.how(Sink::Journal, "this machine keeps none");
        }
    }

    fn journal_by(&mut self, reader: &str, since: i64, limit: Duration) {
        let mut spawned = match Spawned::start(&journal::command(reader, since), &[]) {
            Ok(spawned) => spawned,
            Err(error) => return self.not_searched(Sink::Journal, format!("its reader could not be started ({})", error.kind())),
        };
        let deadline = Instant::now() + limit;
        let status = loop {
            match spawned.ended() {
                None if Instant::now() < deadline => thread::sleep(Duration::from_millis(5)),
                status => break status,
            }
        };
        match status {
            Some(status) if status.success() => {}
            Some(status) if status.code() == Some(NOT_FOUND) => {
                let gap = "journalctl is not here: only the journal's files were searched, in which it compresses what is long";
                return self.gap(Sink::Journal, gap);
            }
            Some(status) => self.gap(Sink::Journal, format!("its reader failed ({status})")),
            None => self.gap(Sink::Journal, format!("its reader was not done within {} s", limit.as_secs())),
        }
        // The pipe may hold the last of what it printed for a moment longer than the process lives.
        spawned.settle(deadline.max(Instant::now() + Duration::from_secs(1)));
        for (_, printed) in spawned.printed().into_iter().filter(|(stream, _)| *stream == "standard output") {
            if printed.beyond > 0 {
                self.gap(Sink::Journal, format!("{} further bytes of it", printed.beyond));
            }
            let place = self.place(Sink::Journal, "the journal since the audit's beginning");
            let size = printed.bytes.len() as u64;
            self.source(&place, &printed.bytes, 0..size);
        }
        self.how(Sink::Journal, "its entries since the audit's beginning (journalctl), and its files");
        if !places::as_root() {
            self.gap(Sink::Journal, "only this user's own entries: run as root");
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed expectation is a failed test")]

    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::canary::{Canaries, Direction, Label, Modality};
    use crate::detect::Detector;
    use crate::report::{SearchState, Searched};
    use crate::run::collect::Collect;

    /// What a look finds and says of a journal whose reader is this script of the shell; `MARKER` in it is one.
    fn look(script: &str, limit: Duration) -> (usize, Searched) {
        let mut canaries = Canaries::new().unwrap();
        let label = Label {
            endpoint: "POST /v1/chat/completions".into(),
            outcome: "success".into(),
            direction: Direction::Prompt,
            modality: Modality::Text,
        };
        let marker = canaries.text(label).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let reader = folder.path().join("reader");
        fs::write(&reader, format!("#!/bin/sh\n[ \"$1\" = --sync ] && exit 0\n{}\n", script.replace("MARKER", &marker))).unwrap();
        fs::set_permissions(&reader, fs::Permissions::from_mode(0o755)).unwrap();
        let detector = Detector::new(&canaries);
        let mut collect = Collect::new(&canaries);
        let mut look = Look::new(&detector, &mut collect, &[]);
        look.journal_by(reader.to_str().unwrap(), 7, limit);
        let searched = look.into_sinks().into_iter().find(|searched| searched.sink == Sink::Journal).unwrap();
        (collect.findings().len(), searched)
    }

    #[test]
    fn what_the_reader_prints_is_searched() {
        let limit = Duration::from_secs(30);
        let (found, searched) = look("[ \"$2$3\" = \"\" ] || printf 'MESSAGE=POST MARKER\\n%s\\n' \"$1\"", limit);
        assert_eq!(found, 1, "{searched:?}");
        assert!(searched.bytes > 0 && searched.how.contains("journalctl"), "{searched:?}");
        let (found, searched) = look("printf 'MESSAGE=nothing\\n'", limit);
        assert_eq!((found, searched.bytes), (0, 16), "{searched:?}");
    }

    #[test]
    fn a_reader_that_fails_or_hangs_is_a_gap() {
        for (script, limit, gap) in [
            ("printf MARKER; exit 3", 30_000, "failed"),
            ("printf MARKER; exec sleep 600", 300, "was not done"),
            ("exit 127", 30_000, "is not here"),
        ] {
            let (found, searched) = look(script, Duration::from_millis(limit));
            assert_eq!(found, usize::from(gap != "is not here"), "{script}: {searched:?}");
            assert_eq!(searched.state, SearchState::Partly);
            assert!(searched.gaps.iter().any(|shown| shown.contains(gap)), "{script}: {searched:?}");
        }
    }
}
