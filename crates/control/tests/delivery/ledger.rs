//! The ledger twice: as a few lines that are easy to see through, and as it is.

use std::collections::BTreeMap;

use lethe_store::{Delivered, Delivery, Store, StoreError};
use lethe_usage::{InstanceId, Kind, Usage};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::world::Mutation;

/// What a delivery needs of the store.
pub(crate) trait Ledger {
    fn deliver(&mut self, instance: InstanceId, records: &[Delivery], started: u64) -> Result<Delivered, StoreError>;
    fn mark(&self, instance: InstanceId) -> u64;
    /// Requests begun and not over, as far as the ledger knows.
    fn owed(&self, instance: InstanceId) -> u64;
    /// Everything that is kept, in order.
    fn rows(&self) -> Vec<Usage>;
}

#[derive(Default)]
pub(crate) struct ModelLedger {
    starts: BTreeMap<InstanceId, Start>,
    rows: Vec<Usage>,
    mutation: Mutation,
}

#[derive(Clone, Copy, Default)]
struct Start {
    mark: u64,
    started: u64,
    finished: u64,
}

impl ModelLedger {
    pub(crate) fn new(mutation: Mutation) -> Self {
        Self { mutation, ..Self::default() }
    }
}

impl Ledger for ModelLedger {
    fn deliver(&mut self, instance: InstanceId, records: &[Delivery], started: u64) -> Result<Delivered, StoreError> {
        // Changed in a copy: all or nothing.
        let mut start = self.starts.get(&instance).copied().unwrap_or_default();
        let mut kept = Vec::new();
        let mut duplicates = 0;
        for delivery in records {
            let (Delivery::Keep(record) | Delivery::Refused(record)) = delivery;
            if record.sequence() <= start.mark && self.mutation != Mutation::NoDeduplication {
                duplicates += 1;
                continue;
            }
            if record.sequence() > start.mark + 1 {
                return Err(StoreError::Gap);
            }
            start.mark = start.mark.max(record.sequence());
            start.finished += u64::from(record.usage().kind != Kind::Reserve);
            if matches!(delivery, Delivery::Keep(_)) {
                kept.push(record.usage());
            }
        }
        if self.mutation != Mutation::ForgetCounters {
            start.started = start.started.max(started);
        }
        self.starts.insert(instance, start);
        let delivered = Delivered { mark: start.mark, kept: kept.len() as u64, duplicates };
        self.rows.extend(kept);
        Ok(delivered)
    }

    fn mark(&self, instance: InstanceId) -> u64 {
        self.starts.get(&instance).map_or(0, |start| start.mark)
    }

    fn owed(&self, instance: InstanceId) -> u64 {
        self.starts.get(&instance).map_or(0, |start| start.started.saturating_sub(start.finished))
    }

    fn rows(&self) -> Vec<Usage> {
        self.rows.clone()
    }
}

pub(crate) struct RealLedger {
    runtime: Runtime,
    store: Store,
    _folder: TempDir,
}

impl RealLedger {
    pub(crate) fn new() -> Self {
        // In memory: whether a commit outlives the machine is not what is asked here, and many tests share the disk.
        let folder = TempDir::new_in("/dev/shm").unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let store = runtime.block_on(Store::open(&folder.path().join("control.db"))).unwrap();
        Self { runtime, store, _folder: folder }
    }
}

impl Ledger for RealLedger {
    fn deliver(&mut self, instance: InstanceId, records: &[Delivery], started: u64) -> Result<Delivered, StoreError> {
        self.runtime.block_on(self.store.deliver(instance, records, started, 1))
    }

    fn mark(&self, instance: InstanceId) -> u64 {
        self.runtime.block_on(self.store.mark(instance)).unwrap()
    }

    fn owed(&self, instance: InstanceId) -> u64 {
        self.runtime.block_on(self.store.owed(instance)).unwrap()
    }

    fn rows(&self) -> Vec<Usage> {
        let (mut rows, mut after) = (Vec::new(), 0);
        loop {
            let page = self.runtime.block_on(self.store.metadata_after(after, 1000)).unwrap();
            let Some(last) = page.last() else { return rows };
            after = last.id;
            rows.extend(page.into_iter().map(|row| row.usage));
        }
    }
}
