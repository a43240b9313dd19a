//! Who runs at the moment, and what was counted: shared by the watch and by the socket that reports it.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use lethe_handover::Role;
use tokio::sync::watch;

use crate::{part::Handle, tally::Tally};

/// Number of a part in this supervisor's life; process ids come again, these do not.
pub(crate) type Number = u64;

#[derive(Clone)]
pub(crate) struct Entry {
    pub(crate) handle: Handle,
    /// Another has taken its place; it finishes what is open.
    pub(crate) retired: bool,
    /// It was asked to end, for another to take its place.
    pub(crate) expected: bool,
}

#[derive(Default)]
pub(crate) struct Roster {
    inner: Mutex<Inner>,
    /// Rises with every part that is added.
    changes: watch::Sender<u64>,
}

#[derive(Default)]
struct Inner {
    next: Number,
    entries: BTreeMap<Number, Entry>,
    /// Roles that should run and do not.
    missing: Vec<Role>,
    tally: Tally,
}

impl Roster {
    pub(crate) fn add(&self, handle: Handle) -> Number {
        let mut inner = self.lock();
        let number = inner.next;
        inner.next += 1;
        inner.missing.retain(|role| *role != handle.role);
        self.changes.send_modify(|changes| *changes += 1);
        inner.entries.insert(number, Entry { handle, retired: false, expected: false });
        number
    }

    /// Takes a part out that has ended.
    pub(crate) fn remove(&self, number: Number) -> Option<Entry> {
        let mut inner = self.lock();
        let entry = inner.entries.remove(&number)?;
        let role = entry.handle.role;
        if !entry.retired && !inner.missing.contains(&role) {
            inner.missing.push(role);
        }
        Some(entry)
    }

    /// Marks a part as one whose end is wanted.
    pub(crate) fn retire(&self, number: Number) -> Option<Handle> {
        let mut inner = self.lock();
        let entry = inner.entries.get_mut(&number)?;
        entry.retired = true;
        Some(entry.handle.clone())
    }

    /// Marks a part as one whose end is asked for, and which is started again then.
    pub(crate) fn expect_end(&self, number: Number) {
        if let Some(entry) = self.lock().entries.get_mut(&number) {
            entry.expected = true;
        }
    }

    /// Waits until another part than `old` holds `role`.
    pub(crate) async fn successor(&self, role: Role, old: Number) {
        let mut changes = self.changes.subscribe();
        while self.current(role).is_none_or(|(number, _)| number == old) {
            // The sender is this object's own: there is no error.
            let _ = changes.changed().await;
        }
    }

    /// The part that holds `role` now.
    pub(crate) fn current(&self, role: Role) -> Option<(Number, Handle)> {
        let inner = self.lock();
        let found = inner.entries.iter().find(|(_, entry)| entry.handle.role == role && !entry.retired);
        found.map(|(number, entry)| (*number, entry.handle.clone()))
    }

    /// Every part, in the order of their starts.
    pub(crate) fn entries(&self) -> Vec<Entry> {
        self.lock().entries.values().cloned().collect()
    }

    pub(crate) fn missing(&self) -> Vec<Role> {
        self.lock().missing.clone()
    }

    /// Changes the counters, or reads them.
    pub(crate) fn tally<T>(&self, with: impl FnOnce(&mut Tally) -> T) -> T {
        with(&mut self.lock().tally)
    }

    /// No code that holds the lock can panic between two changes.
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
