//! Gateway starts that are gone for good: what they began and never told of is booked as unaccounted.

use std::time::Duration;

use lethe_store::Store;
use lethe_types::{Clock, Millis};
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};

use crate::doors::stopped;
use crate::links::Links;

/// Between two looks.
const LOOK: Duration = Duration::from_secs(1);
/// A gateway that has no link for this long, ms, is gone: far longer than a link takes to come back. One that comes back all the same
/// takes its records out of the count again.
pub(crate) const GONE_AFTER: Millis = 30 * 1000;

/// Looks for them until `stop`.
pub(crate) async fn look(store: &Store, links: &Links, clock: &dyn Clock, mut stop: watch::Receiver<bool>) {
    let started = clock.now();
    let mut ticks = interval(LOOK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stopped(&mut stop) => return,
            _ = ticks.tick() => {}
        }
        // A store that cannot be read or written now is asked again in a second.
        let Ok(present) = store.present().await else { continue };
        let now = clock.now();
        let gone: Vec<_> = present
            .into_iter()
            // While control itself was away nobody could be seen.
            .map(|(instance, seen)| (instance, links.absent_since(instance, seen.max(started), now)))
            .filter(|(_, since)| now.saturating_sub(*since) >= GONE_AFTER)
            .map(|(instance, _)| instance)
            .collect();
        if !gone.is_empty() {
            let _ = store.gone(&gone, now).await;
        }
    }
}
