//! Who is linked, and since when others are not any more.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use lethe_link::{Beat, Gauge, Hello};
use lethe_types::{Clock, Millis, RouteId};
use lethe_usage::InstanceId;

/// Gateway starts whose link has ended that are remembered here.
const ENDED_LIMIT: usize = 1024;

/// What is known of a linked gateway.
#[derive(Clone)]
pub(crate) struct Linked {
    /// Its id, from its certificate.
    pub(crate) gateway: String,
    pub(crate) hello: Hello,
    pub(crate) since: Millis,
    pub(crate) heard: Millis,
    pub(crate) beat: Beat,
    /// How it sees the providers, each by one of its routes; what is not here is 0.
    pub(crate) levels: BTreeMap<(Gauge, RouteId), u32>,
    /// Records of it that are committed.
    pub(crate) mark: u64,
}

/// The links of this control process.
#[derive(Default)]
pub(crate) struct Links(Mutex<Inner>);

#[derive(Default)]
struct Inner {
    next: u64,
    linked: BTreeMap<u64, Linked>,
    /// Gateway starts without a link.
    ended: BTreeMap<InstanceId, Ended>,
}

/// The end of a link.
struct Ended {
    gateway: String,
    at: Millis,
}

/// Another certificate is linked as this gateway start.
pub(crate) struct Taken;

/// The entry of one link; dropping it takes it out.
pub(crate) struct Entry {
    links: Arc<Links>,
    clock: Arc<dyn Clock>,
    number: u64,
}

impl Links {
    pub(crate) fn enter(self: &Arc<Self>, linked: Linked, clock: &Arc<dyn Clock>) -> Result<Entry, Taken> {
        let mut inner = self.lock();
        let instance = linked.hello.instance;
        if inner.linked.values().any(|other| other.hello.instance == instance && other.gateway != linked.gateway) {
            return Err(Taken);
        }
        let number = inner.next;
        inner.next += 1;
        inner.ended.remove(&instance);
        inner.linked.insert(number, linked);
        Ok(Entry { links: Arc::clone(self), clock: Arc::clone(clock), number })
    }

    pub(crate) fn list(&self) -> Vec<Linked> {
        self.lock().linked.values().cloned().collect()
    }

    /// Since when a gateway start has had no link: `now` for one that has, `unless_known` for one whose link this process has not seen,
    /// 0 for one whose gateway has started anew meanwhile.
    pub(crate) fn absent_since(&self, instance: InstanceId, unless_known: Millis, now: Millis) -> Millis {
        let inner = self.lock();
        if inner.linked.values().any(|linked| linked.hello.instance == instance) {
            return now;
        }
        match inner.ended.get(&instance) {
            None => unless_known,
            Some(ended) if inner.linked.values().any(|linked| linked.gateway == ended.gateway) => 0,
            Some(ended) => ended.at,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entry {
    /// Changes what is known of this link.
    pub(crate) fn update(&self, change: impl FnOnce(&mut Linked)) {
        if let Some(linked) = self.links.lock().linked.get_mut(&self.number) {
            change(linked);
        }
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        let at = self.clock.now();
        let mut inner = self.links.lock();
        let Some(Linked { gateway, hello, .. }) = inner.linked.remove(&self.number) else { return };
        if inner.ended.len() >= ENDED_LIMIT {
            let oldest = inner.ended.iter().min_by_key(|(_, ended)| ended.at).map(|(instance, _)| *instance);
            oldest.and_then(|oldest| inner.ended.remove(&oldest));
        }
        inner.ended.insert(hello.instance, Ended { gateway, at });
    }
}
