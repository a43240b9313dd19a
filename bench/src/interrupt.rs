//! Ctrl-C: whatever is measured is given up, and every process that was started is ended before this one.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::signal::unix::{SignalKind, signal};

use crate::problem::Problem;

/// How soon a wait notices.
const STEP: Duration = Duration::from_millis(50);

static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// Turns SIGINT and SIGTERM into a note that every wait here looks at.
pub(crate) fn watch() {
    std::thread::spawn(|| {
        let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else { return };
        runtime.block_on(async {
            let (Ok(mut interrupt), Ok(mut terminate)) = (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
            else {
                return;
            };
            loop {
                tokio::select! {
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                }
                INTERRUPTED.store(true, Ordering::Relaxed);
            }
        });
    });
}

pub(crate) fn is_interrupted() -> bool {
    INTERRUPTED.load(Ordering::Relaxed)
}

/// # Errors
/// Somebody wants this to end.
pub(crate) fn check() -> Result<(), Problem> {
    if is_interrupted() { Err(Problem::new("interrupted")) } else { Ok(()) }
}

/// Waits so long.
///
/// # Errors
/// Somebody wants this to end.
pub(crate) async fn wait(duration: Duration) -> Result<(), Problem> {
    let end = Instant::now() + duration;
    loop {
        check()?;
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(());
        }
        tokio::time::sleep(left.min(STEP)).await;
    }
}
