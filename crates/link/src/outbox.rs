//! The records that wait for control: in memory, bounded, in order.
//!
//! A request reserves room before it starts and so is never unmetered; when control has been away for too long there is no
//! room, and the gateway answers 503. Acknowledgements are cumulative. The outbox is shared by the worker threads of one
//! process; its lock is held for a few instructions only.
//!
//! A metered request leaves one record at its end. Where metering is strict it leaves two: a reserve, which has to be committed
//! before anything goes upstream, and a settle at its end.

use std::collections::VecDeque;
use std::sync::{Arc, PoisonError};
#[cfg(not(test))]
use std::sync::{Mutex, MutexGuard};

use lethe_usage::{InstanceId, Usage, UsageRecord};
// In this crate's own unit tests, and nowhere else, every lock is a place where loom lets the other threads go first.
#[cfg(test)]
use loom::sync::{Mutex, MutexGuard};
use tokio::sync::Notify;

use crate::frame::Beat;

/// Control acknowledged something that was never sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AckError;

/// The queue of one gateway start.
pub struct Outbox {
    capacity: usize,
    instance: InstanceId,
    state: Mutex<State>,
    /// Wakes the link: there is a new record.
    news: Notify,
    /// Wakes the link while it gathers: somebody waits for a record to be committed.
    urgent: Notify,
    /// Wakes whoever waits for the end or for a commit: room was given back.
    room: Notify,
}

#[derive(Default)]
struct State {
    /// Unacknowledged records, with consecutive sequence numbers up to `last`.
    records: VecDeque<UsageRecord>,
    /// Sequence number of the newest record.
    last: u64,
    /// Room that permits hold.
    reserved: usize,
    /// Permits given out. Never less than before, so that control can tell an old word from a new one.
    started: u64,
    /// Permits that have left their last record.
    finished: u64,
}

/// Room for the records of one request that has begun. Dropped without its last record it gives the room back, and its request is one of
/// which no record tells: unaccounted.
pub struct Permit {
    /// Until the last record.
    outbox: Option<Arc<Outbox>>,
    /// Records that there is still room for; at least one.
    room: usize,
}

impl Outbox {
    /// An empty outbox for a gateway start with this random `instance`, with room for `capacity` records.
    #[must_use]
    pub fn new(instance: InstanceId, capacity: usize) -> Arc<Self> {
        let state = Mutex::new(State::default());
        Arc::new(Self { capacity, instance, state, news: Notify::new(), urgent: Notify::new(), room: Notify::new() })
    }

    /// Which gateway start the records come from.
    #[must_use]
    pub fn instance(&self) -> InstanceId {
        self.instance
    }

    /// Reserves room for the one record of a request that is about to start; `None` when there is none (answer 503).
    #[must_use]
    pub fn try_reserve(self: &Arc<Self>) -> Option<Permit> {
        self.room_for(1)
    }

    /// Reserves room for a request that leaves a reserve too ([`Permit::reserve`]).
    #[must_use]
    pub fn try_reserve_strict(self: &Arc<Self>) -> Option<Permit> {
        self.room_for(2)
    }

    fn room_for(self: &Arc<Self>, records: usize) -> Option<Permit> {
        let mut state = self.lock();
        if state.records.len() + state.reserved + records > self.capacity {
            return None;
        }
        state.reserved += records;
        state.started += 1;
        Some(Permit { outbox: Some(Arc::clone(self)), room: records })
    }

    /// Whether there is room for the records of a request now.
    #[must_use]
    pub fn has_room(&self, strict: bool) -> bool {
        let state = self.lock();
        state.records.len() + state.reserved + 1 + usize::from(strict) <= self.capacity
    }

    /// How many records control has not acknowledged.
    #[must_use]
    pub fn pending(&self) -> usize {
        self.lock().records.len()
    }

    /// The counters of a heartbeat: `started` counts permits, `finished` those that have left their last record.
    #[must_use]
    pub fn beat(&self) -> Beat {
        let state = self.lock();
        let pending = u32::try_from(state.records.len()).unwrap_or(u32::MAX);
        Beat { started: state.started, finished: state.finished, pending }
    }

    /// Sequence number of the newest acknowledged record, 0 before the first: on a new connection, sending begins after it.
    #[must_use]
    pub fn acknowledged(&self) -> u64 {
        let state = self.lock();
        state.last - state.records.len() as u64
    }

    /// Up to `limit` unacknowledged records after the sequence number `after`, in order.
    #[must_use]
    pub fn unsent(&self, after: u64, limit: usize) -> Vec<UsageRecord> {
        let state = self.lock();
        let acknowledged = state.last - state.records.len() as u64;
        let skip = usize::try_from(after.saturating_sub(acknowledged)).unwrap_or(usize::MAX);
        state.records.range(skip.min(state.records.len())..).take(limit).copied().collect()
    }

    /// Waits until there may be records after those that [`Outbox::unsent`] last gave. For one waiter, the link; a record
    /// that came before the call ends the wait at once.
    pub async fn news(&self) {
        self.news.notified().await;
    }

    /// Waits until somebody waits for a record to be committed: gathering more before it is sent would hold that one up. For one
    /// waiter, the link.
    pub async fn urgent(&self) {
        self.urgent.notified().await;
    }

    /// Waits until control has committed the record with this number.
    pub async fn committed(&self, sequence: u64) {
        loop {
            let room = self.room.notified();
            if self.acknowledged() >= sequence {
                return;
            }
            room.await;
        }
    }

    /// Waits until no permit is out and nothing is unacknowledged.
    pub async fn settled(&self) {
        loop {
            let room = self.room.notified();
            {
                let state = self.lock();
                if state.records.is_empty() && state.reserved == 0 {
                    return;
                }
            }
            // `notify_waiters` wakes every `Notified` that was made before it, polled or not (tokio documentation of `Notify`).
            room.await;
        }
    }

    /// Control has committed every record up to and with `sequence`: they are dropped.
    ///
    /// # Errors
    /// [`AckError`] if there is no such record yet; nothing is dropped then.
    pub fn ack(&self, sequence: u64) -> Result<(), AckError> {
        let mut state = self.lock();
        if sequence > state.last {
            return Err(AckError);
        }
        while state.records.front().is_some_and(|record| record.sequence() <= sequence) {
            state.records.pop_front();
        }
        drop(state);
        self.room.notify_waiters();
        Ok(())
    }

    /// A panic elsewhere cannot leave the state half changed: no code between its changes can panic.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Permit {
    /// Records that a request is about to start, and has the link send it at once: [`Outbox::committed`] says when it is safe to go on.
    /// Returns its sequence number; `None` if there is room for the last record only.
    pub fn reserve(&mut self, usage: &Usage) -> Option<u64> {
        let outbox = self.outbox.as_ref().filter(|_| self.room > 1)?;
        let mut state = outbox.lock();
        self.room -= 1;
        let sequence = state.push(usage, outbox.instance);
        drop(state);
        outbox.news.notify_one();
        outbox.urgent.notify_one();
        Some(sequence)
    }

    /// Turns the room into the request's last record, which the link sends as soon as it can. Returns its sequence number.
    pub fn record(mut self, usage: &Usage) -> u64 {
        let Some(outbox) = self.outbox.take() else { return 0 };
        let mut state = outbox.lock();
        // Room for a reserve that was not needed goes back with it.
        state.reserved -= self.room - 1;
        state.finished += 1;
        let sequence = state.push(usage, outbox.instance);
        drop(state);
        outbox.news.notify_one();
        sequence
    }
}

impl State {
    /// Appends a record in room that a permit held.
    fn push(&mut self, usage: &Usage, instance: InstanceId) -> u64 {
        self.reserved -= 1;
        self.last += 1;
        self.records.push_back(UsageRecord::new(usage, instance, self.last));
        self.last
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if let Some(outbox) = self.outbox.take() {
            let mut state = outbox.lock();
            state.reserved -= self.room;
            drop(state);
            outbox.room.notify_waiters();
        }
    }
}
