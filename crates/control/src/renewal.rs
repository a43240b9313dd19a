//! Certificates before they end: control's own are replaced in place, those of the parts are told to the supervisor, which hands
//! them over. Connections that are open go on with what they were made with.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use lethe_handover::Role;
use lethe_types::{Clock, Millis};
use rustls::ServerConfig;
use tokio::sync::{mpsc, watch};
use tokio::time::{MissedTickBehavior, interval};

use crate::authority::RENEW_AFTER;
use crate::doors::stopped;
use crate::start::FromControl;
use crate::{Authority, ControlError, doors, link_server};

/// Between two looks at the clock.
const LOOK: Duration = Duration::from_secs(60 * 60);

/// Control's own TLS toward gateways and toward console clients.
pub(crate) struct OwnTls {
    pub(crate) link: Arc<ServerConfig>,
    pub(crate) console: Arc<ServerConfig>,
}

impl OwnTls {
    pub(crate) fn issue(authority: &Authority, console: IpAddr, now: Millis) -> Result<Self, ControlError> {
        Ok(Self {
            link: Arc::new(link_server::tls_config(&authority.issue(Role::Control, now)?)?),
            console: Arc::new(doors::tls_config(&authority.issue_console(console, now)?)?),
        })
    }
}

/// Issues anew what was issued at the start.
pub(crate) struct Renewal<'a> {
    pub(crate) authority: &'a Authority,
    /// The parts that have an identity.
    pub(crate) roles: &'a [Role],
    pub(crate) console: IpAddr,
    pub(crate) link_tls: watch::Sender<Arc<ServerConfig>>,
    pub(crate) console_tls: watch::Sender<Arc<ServerConfig>>,
    pub(crate) news: mpsc::UnboundedSender<FromControl>,
    pub(crate) clock: &'a dyn Clock,
    /// When everything was issued last.
    pub(crate) issued: AtomicU64,
}

impl Renewal<'_> {
    /// Looks at the clock until `stop` turns true.
    pub(crate) async fn keep(&self, mut stop: watch::Receiver<bool>) {
        let mut ticks = interval(LOOK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stopped(&mut stop) => return,
                _ = ticks.tick() => self.look(),
            }
        }
    }

    /// Issues everything anew if two thirds of its life are over. A failure is tried again at the next look: a third is left.
    fn look(&self) {
        if self.clock.now().saturating_sub(self.issued.load(Ordering::Relaxed)) >= RENEW_AFTER {
            let _ = self.issue();
        }
    }

    /// Issues everything anew now.
    pub(crate) fn issue(&self) -> Result<(), ControlError> {
        let now = self.clock.now();
        let own = OwnTls::issue(self.authority, self.console, now)?;
        let identities = self.authority.issue_all(self.roles, now)?;
        self.link_tls.send_replace(own.link);
        self.console_tls.send_replace(own.console);
        self.issued.store(now, Ordering::Relaxed);
        // Nobody listens any more at the end.
        let _ = self.news.send(FromControl::Issued(identities));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

    use std::net::IpAddr;
    use std::sync::atomic::{AtomicU64, Ordering};

    use lethe_handover::Role;
    use lethe_types::{Clock, Millis};
    use tokio::sync::{mpsc, watch};

    use super::{OwnTls, RENEW_AFTER, Renewal};
    use crate::Authority;
    use crate::start::FromControl;

    const START: Millis = 1_800_000_000_000;

    struct Set(AtomicU64);

    impl Clock for Set {
        fn now(&self) -> Millis {
            self.0.load(Ordering::Relaxed)
        }
    }

    #[test]
    fn everything_is_issued_anew_at_two_thirds_of_its_life() {
        let folder = tempfile::tempdir().unwrap();
        let clock = Set(AtomicU64::new(START));
        let authority = Authority::open(folder.path(), START).unwrap();
        let console = IpAddr::from([127, 0, 0, 1]);
        let own = OwnTls::issue(&authority, console, START).unwrap();
        let (link_tls, console_tls) = (watch::Sender::new(own.link), watch::Sender::new(own.console));
        let (mut link, mut doors) = (link_tls.subscribe(), console_tls.subscribe());
        let (news, mut heard) = mpsc::unbounded_channel();
        let roles = [Role::Gateway, Role::Node];
        let issued = AtomicU64::new(START);
        let renewal =
            Renewal { authority: &authority, roles: &roles, console, link_tls, console_tls, news, clock: &clock, issued };
        clock.0.store(START + RENEW_AFTER - 1, Ordering::Relaxed);
        renewal.look();
        assert!(heard.try_recv().is_err() && !link.has_changed().unwrap());
        let mut chains = Vec::new();
        for round in 1..=2 {
            clock.0.store(START + round * RENEW_AFTER, Ordering::Relaxed);
            renewal.look();
            renewal.look();
            let Ok(FromControl::Issued(identities)) = heard.try_recv() else { panic!("nothing was issued") };
            assert!(heard.try_recv().is_err(), "once");
            assert_eq!(identities.iter().map(|(role, _)| *role).collect::<Vec<_>>(), roles);
            chains.extend(identities.into_iter().map(|(_, identity)| identity.chain));
            assert!(link.has_changed().unwrap() && doors.has_changed().unwrap());
            link.mark_unchanged();
            doors.mark_unchanged();
        }
        chains.dedup();
        assert_eq!(chains.len(), 4, "each is a new one");
    }
}
