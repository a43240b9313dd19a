//! What a worker has at hand of what all workers share.
//!
//! Every request needs the catalogue and a key. Taken from the shared place each time, the locks and counters there would pass from
//! processor to processor with each request; a worker looks at a version instead, which changes rarely.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use lethe_policy::KeyEntry;
use lethe_types::KeyHash;

use crate::catalogue::Catalogue;
use crate::shared::{NotReady, Shared};

/// Keys that a worker has at hand; beyond it begins anew.
const KEYS: usize = 4096;

/// The catalogue as a worker holds it.
pub(crate) type AtHand = Rc<Arc<Catalogue>>;

/// One worker's view.
#[derive(Default)]
pub(crate) struct View {
    catalogue: RefCell<Option<(u64, AtHand)>>,
    keys: RefCell<(u64, HashMap<KeyHash, KeyEntry>)>,
}

impl View {
    /// The catalogue, if this gateway may serve.
    pub(crate) fn catalogue(&self, shared: &Shared) -> Result<AtHand, NotReady> {
        shared.may_serve()?;
        let mut held = self.catalogue.borrow_mut();
        if let Some((version, catalogue)) = held.as_ref()
            && *version == shared.version()
        {
            return Ok(Rc::clone(catalogue));
        }
        let (version, catalogue) = shared.catalogue()?;
        let catalogue = Rc::new(catalogue);
        *held = Some((version, Rc::clone(&catalogue)));
        Ok(catalogue)
    }

    /// The key with this hash, if it is in force.
    pub(crate) fn key(&self, shared: &Shared, hash: &KeyHash) -> Option<KeyEntry> {
        let mut held = self.keys.borrow_mut();
        let (version, keys) = &mut *held;
        if *version == shared.version()
            && let Some(entry) = keys.get(hash)
        {
            return Some(*entry);
        }
        let (now, entry) = shared.key(hash);
        if *version != now || keys.len() >= KEYS {
            keys.clear();
            *version = now;
        }
        // Keys that are not in force are many; nobody could fill this with them.
        if let Some(entry) = entry {
            keys.insert(*hash, entry);
        }
        entry
    }
}
