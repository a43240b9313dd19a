//! What could not be looked at, told once each.

use std::collections::BTreeMap;

/// Different gaps that are kept; a target cannot make the list long.
const LIMIT: usize = 200;

/// Sentences with how often each was so. None contains a name that a target chose.
#[derive(Clone, Debug, Default)]
pub struct Gaps(BTreeMap<String, u64>);

impl Gaps {
    /// One more of this kind.
    pub fn add(&mut self, what: impl Into<String>) {
        let what = what.into();
        if self.0.len() < LIMIT || self.0.contains_key(&what) {
            *self.0.entry(what).or_default() += 1;
        }
    }

    /// Everything of `other` too.
    pub fn join(&mut self, other: Self) {
        for (what, times) in other.0 {
            if self.0.len() < LIMIT || self.0.contains_key(&what) {
                *self.0.entry(what).or_default() += times;
            }
        }
    }

    /// What a second look of the same kind missed: not twice what the first told.
    pub fn also(&mut self, other: Self) {
        for (what, times) in other.0 {
            if self.0.len() < LIMIT || self.0.contains_key(&what) {
                let told = self.0.entry(what).or_default();
                *told = times.max(*told);
            }
        }
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The sentences, each with its count where that is more than one.
    #[must_use]
    pub fn into_list(self) -> Vec<String> {
        let told = |(what, times)| if times == 1 { what } else { format!("{what} ({times} times)") };
        self.0.into_iter().map(told).collect()
    }
}
