//! Watches the running parts: starts again what ends by itself, and ends all of them in order.

use std::{sync::Arc, time::Duration};

use lethe_handover::{Role, ToChild};
use tokio::{
    net::UnixListener,
    sync::mpsc,
    time::{MissedTickBehavior, interval},
};

use crate::{
    Crew, DrainLimits, Notice, Order, Part, PartEvent, Pauses, Signals, drain::drain, part::Handle, posts::Posts, report,
    roster::Roster, signals::Asked, swap,
};

/// How often swap is looked for.
const SWAP_CHECK: Duration = Duration::from_secs(10);
/// How often the gateway's age is looked at.
const AGE_CHECK: Duration = Duration::from_millis(500);
/// How often the files of secrets are looked at.
const SECRETS_CHECK: Duration = Duration::from_secs(2);

/// How [`supervise`] goes about it.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// How long parts get to finish.
    pub drain: DrainLimits,
    /// Pauses before new starts.
    pub pauses: Pauses,
    /// A gateway that has run for so long is replaced.
    pub recycle_after: Duration,
}

/// Why [`supervise`] came back.
#[derive(Debug)]
pub enum End {
    /// Somebody asked (SIGTERM, SIGINT, `asked`), and everything was drained.
    Asked,
    /// Swap appeared while memory was not locked; the data plane was ended at once.
    Swap,
    /// Somebody asked twice: everything was killed.
    Killed,
}

/// Runs until something ends it: a signal, swap, or `asked`. A part that ends by itself is started again by `crew`, for ever.
/// Every part is gone when it returns. `reports` is `DIR/supervisor.sock`.
pub async fn supervise<C: Crew>(
    crew: Arc<C>,
    parts: Vec<Part>,
    reports: UnixListener,
    rules: Rules,
    mut signals: Signals,
    asked: impl Future<Output = ()>,
) -> End {
    let (sender, mut events) = mpsc::unbounded_channel();
    let mut posts = Posts::new(Arc::clone(&crew), rules.pauses, sender);
    posts.adopt(parts);
    let roster = Arc::clone(&posts.roster);
    let (orders, mut ordered) = mpsc::unbounded_channel();
    let reporter = tokio::spawn(report::serve(reports, Arc::clone(&roster), orders));
    let mut age_check = interval(AGE_CHECK);
    age_check.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut secrets_check = interval(SECRETS_CHECK);
    secrets_check.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut swap_check = interval(SWAP_CHECK);
    swap_check.set_missed_tick_behavior(MissedTickBehavior::Delay);

    let mut asked = std::pin::pin!(asked);
    let end = loop {
        tokio::select! {
            asked = signals.next() => match asked {
                Asked::End => break End::Asked,
                Asked::Order(order) => posts.order(order, None),
            },
            () = asked.as_mut() => break End::Asked,
            Some((number, event)) = events.recv() => {
                match event {
                    PartEvent::Exited(role, status) => posts.ended(number, role, status.into()),
                    PartEvent::Panicked(role, report) => panicked(&roster, crew.as_ref(), role, report),
                    PartEvent::Rotated(_, true) => {}
                    PartEvent::Rotated(role, false) => crew.tell(Notice::NotRotated(role)),
                    PartEvent::Said(said) => posts.heard(&said),
                }
                tell_control(&roster);
            },
            job = posts.next_job() => {
                posts.go_on(job);
                // It may have brought a new control, which has been told nothing yet.
                tell_control(&roster);
            },
            Some((order, asker)) = ordered.recv() => posts.order(order, Some(asker)),
            _ = age_check.tick() => {
                if posts.gateway_age().is_some_and(|age| age >= rules.recycle_after) {
                    posts.order(Order::Recycle, None);
                }
            }
            _ = secrets_check.tick() => {
                if crew.has_new_secrets() {
                    posts.refresh();
                }
            }
            _ = swap_check.tick(), if needs_no_swap(&roster) => {
                // /proc/swaps that cannot be read is no proof of absence.
                if swap::present().unwrap_or(true) {
                    break End::Swap;
                }
            },
        }
    };
    reporter.abort();
    let mut handles: Vec<Handle> = roster.entries().into_iter().map(|entry| entry.handle).collect();
    if matches!(end, End::Swap) {
        // Content could be on disk with the next page that is swapped out: no drain.
        handles.iter().filter(|handle| handle.role != Role::Control).for_each(Handle::kill);
    }
    posts.stop().await;
    crew.tell(Notice::Draining);
    let tell = |notice| crew.tell(notice);
    let killed = tokio::select! {
        () = drain(&handles, rules.drain, &tell) => false,
        () = signals.end() => true,
    };
    while let Ok((_, event)) = events.try_recv() {
        if let PartEvent::Panicked(role, report) = event {
            panicked(&roster, crew.as_ref(), role, report);
        }
    }
    if killed {
        handles.iter().for_each(Handle::kill);
        for handle in &mut handles {
            handle.ended().await;
        }
        return End::Killed;
    }
    end
}

fn panicked<C: Crew>(roster: &Roster, crew: &C, role: Role, report: lethe_handover::PanicReport) {
    roster.tally(|tally| tally.panicked(role, report));
    crew.tell(Notice::Panicked(role, report));
}

/// Control shows what befell the others to whoever asks it.
fn tell_control(roster: &Roster) {
    if let Some((_, control)) = roster.current(Role::Control) {
        control.send(ToChild::Mishaps(roster.tally(|tally| tally.mishaps())), Vec::new());
    }
}

/// Whether a part counts on it that there is no swap.
fn needs_no_swap(roster: &Roster) -> bool {
    let postures = roster.entries().into_iter().filter_map(|entry| entry.handle.posture());
    postures.into_iter().any(|posture| !posture.memory_locked && !posture.unconfined)
}
