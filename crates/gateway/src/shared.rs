//! What the workers share: the catalogue, the keys in force, the outbox, and whether this gateway may serve.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use lethe_confine::dial;
use lethe_handover::GatewayLimits;
use lethe_link::{Outbox, Permit};
use lethe_policy::KeyEntry;
use lethe_types::{KeyHash, KeyId, Refused};
use tokio::sync::watch;

use crate::budget::Budget;
use crate::catalogue::Catalogue;

/// Why this gateway does not serve.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotReady {
    /// It finishes what is open and ends.
    Draining,
    /// Control has isolated it.
    Isolated,
    /// No snapshot has arrived yet.
    NoSnapshot,
    /// Control cannot commit records at the moment.
    NotDurable,
    /// Too many records wait for control.
    OutboxFull,
    /// No word from control for longer than the limit.
    Stale,
}

impl NotReady {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Draining => "draining",
            Self::Isolated => "isolated",
            Self::NoSnapshot => "no_snapshot",
            Self::NotDurable => "not_durable",
            Self::OutboxFull => "outbox_full",
            Self::Stale => "stale",
        }
    }

    /// What a client that is not served for this reason is counted as.
    pub(crate) const fn counted(self) -> Refused {
        match self {
            Self::Draining => Refused::Draining,
            Self::Isolated => Refused::Isolated,
            Self::NoSnapshot => Refused::NoSnapshot,
            Self::NotDurable => Refused::NotDurable,
            Self::OutboxFull => Refused::OutboxFull,
            Self::Stale => Refused::Stale,
        }
    }
}

pub(crate) struct Shared {
    pub(crate) limits: GatewayLimits,
    pub(crate) budget: Arc<Budget>,
    pub(crate) dialer: dial::Client,
    pub(crate) outbox: Arc<Outbox>,
    /// True from the moment that a drain begins.
    pub(crate) draining: watch::Receiver<bool>,
    catalogue: RwLock<Option<Arc<Catalogue>>>,
    /// Another gateway has taken this one's place: connections end with their next answer.
    retired: AtomicBool,
    /// True once there is a catalogue.
    filled: watch::Sender<bool>,
    keys: RwLock<HashMap<KeyHash, KeyEntry>>,
    version: AtomicU64,
    isolated: AtomicBool,
    /// Control's last word on whether it can commit records.
    durable: AtomicBool,
    born: Instant,
    /// Milliseconds from `born` to the last word from control, plus one; 0 is never.
    heard: AtomicU64,
}

impl Shared {
    pub(crate) fn new(limits: GatewayLimits, outbox: Arc<Outbox>, dialer: dial::Client, draining: watch::Receiver<bool>) -> Self {
        Self {
            limits,
            budget: Budget::new(limits.max_content_bytes),
            dialer,
            outbox,
            draining,
            catalogue: RwLock::new(None),
            retired: AtomicBool::new(false),
            filled: watch::Sender::new(false),
            keys: RwLock::new(HashMap::new()),
            // A worker's view begins at 0, which is none.
            version: AtomicU64::new(1),
            isolated: AtomicBool::new(false),
            durable: AtomicBool::new(true),
            born: Instant::now(),
            heard: AtomicU64::new(0),
        }
    }

    /// Rises with every change of the keys or the catalogue.
    pub(crate) fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    /// The key with this hash, if it is in force, and the version that this is true of.
    pub(crate) fn key(&self, hash: &KeyHash) -> (u64, Option<KeyEntry>) {
        let keys = self.keys.read().unwrap_or_else(PoisonError::into_inner);
        (self.version(), keys.get(hash).copied())
    }

    pub(crate) fn add_key(&self, entry: KeyEntry) {
        self.change_keys(|keys| {
            keys.insert(entry.hash, entry);
        });
    }

    pub(crate) fn revoke_key(&self, id: KeyId) {
        self.change_keys(|keys| keys.retain(|_, entry| entry.id != id));
    }

    fn change_keys(&self, change: impl FnOnce(&mut HashMap<KeyHash, KeyEntry>)) {
        let mut keys = self.keys.write().unwrap_or_else(PoisonError::into_inner);
        change(&mut keys);
        // Before the lock is given back, so that who reads under it never takes an old key for one of the new version.
        self.version.fetch_add(1, Ordering::Release);
    }

    /// Takes a new snapshot over, keys and all.
    pub(crate) fn replace(&self, catalogue: Catalogue, entries: &[KeyEntry]) {
        {
            let mut held = self.catalogue.write().unwrap_or_else(PoisonError::into_inner);
            *held = Some(Arc::new(catalogue));
            self.version.fetch_add(1, Ordering::Release);
        }
        self.change_keys(|keys| *keys = entries.iter().map(|entry| (entry.hash, *entry)).collect());
        self.filled.send_replace(true);
    }

    /// Has every connection end with its next answer.
    pub(crate) fn retire(&self) {
        self.retired.store(true, Ordering::Relaxed);
    }

    /// Whether connections end with their next answer.
    pub(crate) fn is_retired(&self) -> bool {
        self.retired.load(Ordering::Relaxed)
    }

    /// Waits until the first snapshot has been taken over.
    pub(crate) async fn filled(&self) {
        // The sender is this object's own: there is no error.
        let _ = self.filled.subscribe().wait_for(|filled| *filled).await;
    }

    pub(crate) fn isolate(&self) {
        self.isolated.store(true, Ordering::Relaxed);
    }

    /// Control can, or cannot, commit records at the moment.
    pub(crate) fn set_durable(&self, durable: bool) {
        self.durable.store(durable, Ordering::Relaxed);
    }

    /// Control has spoken.
    pub(crate) fn heard(&self) {
        self.heard.store(self.age_ms() + 1, Ordering::Relaxed);
    }

    fn age_ms(&self) -> u64 {
        u64::try_from(self.born.elapsed().as_millis()).unwrap_or(u64::MAX - 1)
    }

    /// The catalogue, and the version that it is of.
    pub(crate) fn catalogue(&self) -> Result<(u64, Arc<Catalogue>), NotReady> {
        let catalogue = self.catalogue.read().unwrap_or_else(PoisonError::into_inner);
        Ok((self.version(), catalogue.clone().ok_or(NotReady::NoSnapshot)?))
    }

    /// Whether control's word is recent enough, and does not say otherwise.
    pub(crate) fn may_serve(&self) -> Result<(), NotReady> {
        let max_stale = Duration::from_secs(self.limits.max_stale_seconds.into()).as_millis();
        match self.heard.load(Ordering::Relaxed).checked_sub(1) {
            _ if self.isolated.load(Ordering::Relaxed) => Err(NotReady::Isolated),
            None => Err(NotReady::NoSnapshot),
            Some(heard) if u128::from(self.age_ms().saturating_sub(heard)) <= max_stale => Ok(()),
            Some(_) => Err(NotReady::Stale),
        }
    }

    /// Room for the records of one request, which without it is not served.
    pub(crate) fn permit(&self) -> Option<Permit> {
        if self.limits.strict_metering { self.outbox.try_reserve_strict() } else { self.outbox.try_reserve() }
    }

    /// Whether control can commit records, as far as it has said.
    pub(crate) fn is_durable(&self) -> bool {
        self.durable.load(Ordering::Relaxed)
    }

    /// Whether new requests are served.
    pub(crate) fn readiness(&self) -> Result<(), NotReady> {
        if *self.draining.borrow() {
            return Err(NotReady::Draining);
        }
        self.may_serve()?;
        self.catalogue()?;
        // Requests are still served while there is room for their records; but new ones had better go elsewhere.
        if !self.is_durable() {
            return Err(NotReady::NotDurable);
        }
        if self.outbox.has_room(self.limits.strict_metering) { Ok(()) } else { Err(NotReady::OutboxFull) }
    }
}
