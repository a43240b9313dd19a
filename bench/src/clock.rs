//! The one clock that two processes of a machine share, so that what one stamps the other can take the difference to.

use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::time::{
    ClockId, Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, clock_gettime, timerfd_create,
    timerfd_settime,
};
use tokio::net::unix::pipe::Receiver;

/// Nanoseconds of the monotonic clock.
pub(crate) fn now() -> u64 {
    let Timespec { tv_sec, tv_nsec } = clock_gettime(ClockId::Monotonic);
    tv_sec.cast_unsigned() * 1_000_000_000 + tv_nsec.cast_unsigned()
}

/// The time between two readings; nothing if they are the wrong way round.
pub(crate) const fn between(from: u64, to: u64) -> Duration {
    Duration::from_nanos(to.saturating_sub(from))
}

/// Wakes at a time to within some microseconds. The runtime's own timer counts in milliseconds, more than a proxy adds.
///
/// A timer descriptor is polled and read as the reading end of a pipe is (timerfd_create(2)).
pub(crate) struct Alarm(Receiver, OwnedFd);

impl Alarm {
    pub(crate) fn new() -> io::Result<Self> {
        let timer = timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC)?;
        Ok(Self(Receiver::from_owned_fd_unchecked(timer.try_clone()?)?, timer))
    }

    /// Waits until `at`.
    pub(crate) async fn wait_until(&self, at: u64) -> io::Result<()> {
        if now() >= at {
            return Ok(());
        }
        let (seconds, rest) = (at / 1_000_000_000, at % 1_000_000_000);
        let value = Timespec { tv_sec: seconds.cast_signed(), tv_nsec: rest.cast_signed() };
        let once = Itimerspec { it_interval: Timespec { tv_sec: 0, tv_nsec: 0 }, it_value: value };
        timerfd_settime(&self.1, TimerfdTimerFlags::ABSTIME, &once)?;
        while now() < at {
            self.0.readable().await?;
            let mut expirations = [0; 8];
            match self.0.try_read(&mut expirations) {
                Err(error) if error.kind() != io::ErrorKind::WouldBlock => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

    use super::{Alarm, between, now};
    use std::time::Duration;

    #[test]
    fn an_alarm_never_comes_early() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let alarm = Alarm::new().unwrap();
            for _ in 0..20 {
                let at = now() + 300_000;
                alarm.wait_until(at).await.unwrap();
                assert!(now() >= at);
                assert!(between(at, now()) < Duration::from_secs(1));
            }
            alarm.wait_until(now() - 1).await.unwrap();
        });
    }
}
