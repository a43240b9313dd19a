//! Watches the running parts, and ends them in order.

use std::{process::ExitStatus, time::Duration};

use lethe_handover::{PanicReport, Role};
use tokio::{
    net::UnixListener,
    signal::unix::{Signal, SignalKind, signal},
    sync::mpsc,
    time::{MissedTickBehavior, interval, timeout},
};

use crate::{Part, PartEvent, part::Handle, report, swap};

/// How often swap is looked for.
const SWAP_CHECK: Duration = Duration::from_secs(10);

/// The order of the end: who takes requests first, who keeps the books last.
const ORDER: [Role; 5] = [Role::Gateway, Role::Node, Role::Engine, Role::Dialer, Role::Control];

/// How long parts get to finish.
#[derive(Clone, Copy, Debug)]
pub struct DrainLimits {
    /// The gateway and the node, which have requests to finish.
    pub serving: Duration,
    /// Every other part.
    pub other: Duration,
}

/// Why [`supervise`] came back.
#[derive(Debug)]
pub enum End {
    /// Somebody asked (SIGTERM, SIGINT, SIGHUP, `asked`), and everything was drained.
    Asked,
    /// A part ended by itself; the others were drained.
    Died(Role, ExitStatus),
    /// Swap appeared while memory was not locked; the data plane was ended at once.
    Swap,
    /// Somebody asked twice: everything was killed.
    Killed,
}

/// What a person at the terminal may want to know meanwhile.
#[derive(Debug)]
pub enum Notice {
    /// Draining began.
    Draining,
    /// A part did not finish in time and was killed.
    Late(Role),
    /// A panic was caught in a part.
    Panicked(Role, PanicReport),
}

/// Runs until something ends it: a signal, a death, swap, or `asked`. Every part is gone when it returns. `reports` is
/// `DIR/supervisor.sock`.
pub async fn supervise(
    parts: Vec<Part>,
    reports: UnixListener,
    limits: DrainLimits,
    mut signals: Signals,
    asked: impl Future<Output = ()>,
    tell: impl Fn(Notice),
) -> End {
    let watch_swap = parts.iter().filter_map(Part::posture).any(|posture| !posture.memory_locked && !posture.unconfined);
    let (mut handles, mut events) = gather(parts);
    handles.sort_by_key(|handle| ORDER.iter().position(|role| *role == handle.role));
    let reporter = tokio::spawn(report::serve(reports, handles.clone()));
    let mut swap_check = interval(SWAP_CHECK);
    swap_check.set_missed_tick_behavior(MissedTickBehavior::Delay);

    let mut asked = std::pin::pin!(asked);
    let end = loop {
        tokio::select! {
            () = signals.any() => break End::Asked,
            () = asked.as_mut() => break End::Asked,
            event = events.recv() => match event {
                Some(PartEvent::Exited(role, status)) => break End::Died(role, status),
                Some(PartEvent::Panicked(role, report)) => tell(Notice::Panicked(role, report)),
                // Every part is gone, and none said so: there is nothing left to watch.
                None => break End::Killed,
            },
            _ = swap_check.tick(), if watch_swap => {
                // /proc/swaps that cannot be read is no proof of absence.
                if swap::present().unwrap_or(true) {
                    break End::Swap;
                }
            },
        }
    };
    reporter.abort();
    if matches!(end, End::Swap) {
        // Content could be on disk with the next page that is swapped out: no drain.
        handles.iter().filter(|handle| handle.role != Role::Control).for_each(Handle::kill);
    }
    tell(Notice::Draining);
    let mut draining = handles.clone();
    let killed = tokio::select! {
        () = drain(&mut draining, limits, &tell) => false,
        () = signals.any() => true,
    };
    while let Ok(event) = events.try_recv() {
        if let PartEvent::Panicked(role, report) = event {
            tell(Notice::Panicked(role, report));
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

/// One after the other: a part that is draining may still need those that come later.
async fn drain(handles: &mut [Handle], limits: DrainLimits, tell: &impl Fn(Notice)) {
    for handle in handles {
        let limit = if matches!(handle.role, Role::Gateway | Role::Node) { limits.serving } else { limits.other };
        handle.drain();
        if timeout(limit, handle.ended()).await.is_err() {
            tell(Notice::Late(handle.role));
            handle.kill();
            handle.ended().await;
        }
    }
}

fn gather(parts: Vec<Part>) -> (Vec<Handle>, mpsc::UnboundedReceiver<PartEvent>) {
    let (outbox, events) = mpsc::unbounded_channel();
    let handles = parts.into_iter().map(|part| {
        let (handle, mut own) = part.into_parts();
        let outbox = outbox.clone();
        tokio::spawn(async move {
            while let Some(event) = own.recv().await {
                // Nobody listens any more after the end.
                if outbox.send(event).is_err() {
                    break;
                }
            }
        });
        handle
    });
    (handles.collect(), events)
}

/// The signals that ask for the end: SIGTERM, SIGINT, SIGHUP. From the first of these on, they no longer end this process by
/// themselves.
pub struct Signals {
    hangup: Signal,
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    /// Begins to listen; within a tokio runtime.
    ///
    /// # Errors
    /// The kernel's refusal.
    pub fn new() -> std::io::Result<Self> {
        Ok(Self {
            hangup: signal(SignalKind::hangup())?,
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    /// Waits for one of them.
    pub async fn any(&mut self) {
        tokio::select! {
            _ = self.hangup.recv() => {},
            _ = self.interrupt.recv() => {},
            _ = self.terminate.recv() => {},
        }
    }
}
