//! Who is linked, and what is missing from those who are not any more.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use lethe_link::{Beat, Hello};
use lethe_types::Millis;
use lethe_usage::InstanceId;

/// Gateway starts whose link has ended that are remembered for the count of what they still owe.
const GONE_LIMIT: usize = 1024;

/// What is known of a linked gateway.
#[derive(Clone)]
pub(crate) struct Linked {
    /// Its id, from its certificate.
    pub(crate) gateway: String,
    pub(crate) hello: Hello,
    pub(crate) since: Millis,
    pub(crate) heard: Millis,
    pub(crate) beat: Beat,
    /// Records of it that are committed.
    pub(crate) mark: u64,
}

impl Linked {
    /// Requests that began and whose record is not here.
    const fn owed(&self) -> u64 {
        self.beat.started.saturating_sub(self.mark)
    }
}

/// The links of this control process.
#[derive(Default)]
pub(crate) struct Links(Mutex<Inner>);

#[derive(Default)]
struct Inner {
    next: u64,
    linked: BTreeMap<u64, Linked>,
    /// What gateway starts without a link owe.
    gone: BTreeMap<InstanceId, u64>,
}

/// Another certificate is linked as this gateway start.
pub(crate) struct Taken;

/// The entry of one link; dropping it takes it out.
pub(crate) struct Entry {
    links: Arc<Links>,
    number: u64,
}

impl Links {
    pub(crate) fn enter(self: &Arc<Self>, linked: Linked) -> Result<Entry, Taken> {
        let mut inner = self.lock();
        let instance = linked.hello.instance;
        if inner.linked.values().any(|other| other.hello.instance == instance && other.gateway != linked.gateway) {
            return Err(Taken);
        }
        let number = inner.next;
        inner.next += 1;
        inner.gone.remove(&instance);
        inner.linked.insert(number, linked);
        Ok(Entry { links: Arc::clone(self), number })
    }

    pub(crate) fn list(&self) -> Vec<Linked> {
        self.lock().linked.values().cloned().collect()
    }

    /// Requests of vanished gateways whose records never came: never billed, but not hidden either.
    pub(crate) fn unaccounted(&self) -> u64 {
        self.lock().gone.values().sum()
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
        let mut inner = self.links.lock();
        if let Some(linked) = inner.linked.remove(&self.number) {
            let instance = linked.hello.instance;
            let again = inner.linked.values().any(|other| other.hello.instance == instance);
            if linked.owed() > 0 && !again && inner.gone.len() < GONE_LIMIT {
                inner.gone.insert(instance, linked.owed());
            }
        }
    }
}
