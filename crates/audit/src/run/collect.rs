//! What was found where, and which of it had been planted.

use std::collections::{BTreeMap, BTreeSet};

use crate::canary::{Canaries, Direction, Id};
use crate::detect::Hit;
use crate::encoding::Encoding;
use crate::report::{Finding, FindingKind, Place, Sink, clause_of};

/// Labels of further markers that a finding names.
const NAMED: usize = 3;

/// Markers of one place in one encoding.
#[derive(Default)]
struct Found {
    canaries: BTreeSet<Id>,
    bytes: usize,
}

/// Collects hits.
pub(super) struct Collect<'a> {
    canaries: &'a Canaries,
    found: BTreeMap<(Place, Encoding), Found>,
    planted: BTreeSet<(Sink, Id)>,
}

impl<'a> Collect<'a> {
    pub(super) fn new(canaries: &'a Canaries) -> Self {
        Self { canaries, found: BTreeMap::new(), planted: BTreeSet::new() }
    }

    /// Takes what was found in a place. What the audit planted itself is no finding; `own` belongs there.
    pub(super) fn add(&mut self, place: &Place, hits: Vec<Hit>, own: &[Id]) {
        for hit in hits {
            let control = self.canaries.label(hit.canary).is_some_and(|label| label.direction == Direction::Control);
            if control {
                self.planted.insert((place.sink, hit.canary));
            } else if !own.contains(&hit.canary) {
                let found = self.found.entry((place.clone(), hit.encoding)).or_default();
                found.canaries.insert(hit.canary);
                found.bytes = found.bytes.max(hit.bytes);
            }
        }
    }

    /// An empty one for the same markers.
    pub(super) fn beside(&self) -> Self {
        Self::new(self.canaries)
    }

    /// Whether a request's marker was found anywhere.
    pub(super) fn holds(&self, canary: Id) -> bool {
        self.found.values().any(|found| found.canaries.contains(&canary))
    }

    /// Whether something planted was found in this kind of place.
    pub(super) fn has(&self, sink: Sink, canary: Id) -> bool {
        self.planted.contains(&(sink, canary))
    }

    /// One finding for each place and encoding.
    pub(super) fn findings(&self) -> Vec<Finding> {
        let finding = |((place, encoding), found): (&(Place, Encoding), &Found)| {
            let mut labels = found.canaries.iter().filter_map(|id| self.canaries.label(*id));
            let first = labels.next().cloned();
            let others = found.canaries.len().saturating_sub(1);
            let named: Vec<String> = labels.take(NAMED).map(ToString::to_string).collect();
            let note = match others {
                0 => String::new(),
                _ if others > NAMED => format!("and {others} other markers: {}, …", named.join("; ")),
                _ => format!("and {others} other: {}", named.join("; ")),
            };
            let reproduce = first.as_ref().map_or_else(String::new, |label| {
                let endpoint = label.endpoint.rsplit(' ').next().unwrap_or_default();
                format!("lethe audit … --only '{endpoint}' (outcome: {})", label.outcome)
            });
            Finding {
                kind: FindingKind::Canary,
                clause: clause_of(place.sink),
                place: place.clone(),
                content: first,
                encoding: Some(encoding.clone()),
                bytes: found.bytes,
                note,
                reproduce,
            }
        };
        self.found.iter().map(finding).collect()
    }
}
