//! Keeps `DIR/ready.json` true while parts come and go.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use lethe_handover::Role;

use super::ready::Ready;
use crate::{failure::Failure, say};

/// Who runs, and what the file says beside that once it is there.
pub(crate) struct Board {
    folder: PathBuf,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    pids: BTreeMap<String, u32>,
    posted: Option<Ready>,
}

impl Board {
    pub(crate) fn new(folder: &Path) -> Self {
        Self { folder: folder.to_owned(), inner: Mutex::default() }
    }

    /// These run now. A file that is there is written anew.
    pub(crate) fn running(&self, parts: &[(Role, u32)]) {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.pids = parts.iter().map(|(role, pid)| (role.name().to_owned(), *pid)).collect();
        inner.pids.insert("supervisor".to_owned(), std::process::id());
        let pids = inner.pids.clone();
        if let Some(ready) = &mut inner.posted {
            ready.pids = pids;
            if let Err(failure) = ready.save(&self.folder) {
                say::complain(&format!("lethe: {}", failure.text()));
            }
        }
    }

    /// Writes the file for the first time, with those that run now.
    pub(crate) fn post(&self, ready: Ready) -> Result<Ready, Failure> {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let ready = Ready { pids: inner.pids.clone(), ..ready };
        ready.save(&self.folder)?;
        inner.posted = Some(ready.clone());
        Ok(ready)
    }

    /// The file is no longer this object's.
    pub(crate) fn take_down(&self) {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner).posted = None;
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

    use lethe_handover::Role;

    use super::{Board, Ready};

    #[test]
    fn the_file_follows_the_parts_from_its_first_writing_on() {
        let folder = tempfile::tempdir().unwrap();
        let board = Board::new(folder.path());
        board.running(&[(Role::Gateway, 7)]);
        assert!(Ready::load(folder.path()).pids.is_empty(), "nothing is said before everything is up");
        let ready = board.post(Ready { api: Some("http://127.0.0.1:1".into()), ..Ready::default() }).unwrap();
        assert_eq!(ready.pids.get("gateway"), Some(&7));
        board.running(&[(Role::Gateway, 8)]);
        let ready = Ready::load(folder.path());
        assert_eq!((ready.pids.get("gateway"), ready.api.as_deref()), (Some(&8), Some("http://127.0.0.1:1")));
        board.running(&[]);
        assert_eq!(Ready::load(folder.path()).pids.keys().collect::<Vec<_>>(), ["supervisor"]);
        board.take_down();
        board.running(&[(Role::Gateway, 9)]);
        assert!(!Ready::load(folder.path()).pids.contains_key("gateway"));
    }
}
