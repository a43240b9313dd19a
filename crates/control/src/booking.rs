//! From a frame to a row: what a linked gateway delivers is checked, gathered, committed, and only then acknowledged.

use std::time::Duration;

use lethe_link::{Beat, Counted, Hello, Level, Tally, Up};
use lethe_store::{Delivery, StoreError};
use lethe_types::{AccountPseudonym, Millis, RouteId};
use lethe_usage::{Kind, UnitClass, UsageRecord};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until};

use crate::Alarm;
use crate::durable::Failing;
use crate::link_server::LinkServer;
use crate::links::Entry;

/// Between two commits of one link under load: at most 10 a second, each durable before its acknowledgement. A commit costs about a
/// millisecond of a processor, and nobody waits for it but a reserve, which does not wait for this.
const SPACING: Duration = Duration::from_millis(100);
/// Records of one commit; a link that has delivered so many waits for it.
const BATCH: usize = 8192;
/// Records per second that one gateway may deliver; more is more than it can serve. The rest waits, nothing is dropped.
const RECORDS_PER_SECOND: usize = 100_000;
/// A record's time may differ from control's clock by this much, ms: a gateway keeps records while control is away.
const RECORD_AGE: Millis = 24 * 60 * 60 * 1000;
/// How often a quiet gateway is noted in the store, ms; far below the deduplication window.
const SEEN_EVERY: Millis = 60 * 60 * 1000;
/// Between two attempts to commit what could not be committed.
const RETRY: Duration = Duration::from_millis(250);

/// One link's way into the ledger.
pub(crate) struct Booking<'a> {
    server: &'a LinkServer,
    entry: &'a Entry,
    hello: Hello,
    acks: watch::Sender<u64>,
    batch: Vec<UsageRecord>,
    /// Somebody waits for a record of the batch.
    urgent: bool,
    beat: Beat,
    /// Of the beat: what the store knows.
    noted: Option<u64>,
    seen: Millis,
    /// The next commit of what nobody waits for.
    next: Instant,
    budget: Budget,
    failing: Option<Failing>,
}

impl<'a> Booking<'a> {
    pub(crate) fn new(server: &'a LinkServer, entry: &'a Entry, hello: Hello, acks: watch::Sender<u64>) -> Self {
        Self {
            server,
            entry,
            hello,
            acks,
            batch: Vec::new(),
            urgent: false,
            beat: Beat::default(),
            noted: None,
            seen: 0,
            next: Instant::now(),
            budget: Budget::new(),
            failing: None,
        }
    }

    /// Takes a record over; it is booked later.
    pub(crate) fn add(&mut self, record: UsageRecord) -> Result<(), Alarm> {
        if record.instance() != self.hello.instance {
            return Err(Alarm::Protocol);
        }
        self.urgent |= record.usage().kind == Kind::Reserve;
        self.batch.push(record);
        Ok(())
    }

    /// Takes the gateway's counters over.
    pub(crate) fn hear(&mut self, beat: Beat) {
        let now = self.server.clock.now();
        self.beat = beat;
        self.entry.update(|linked| (linked.beat, linked.heard) = (beat, now));
        self.server.meters.beat(self.hello.instance, beat, now);
    }

    /// Adds a total up, if its route exists.
    pub(crate) fn count(&self, tally: Tally) {
        let exists = match tally.of {
            Counted::Failure(route, _) => route == RouteId::NONE || self.has(route),
            Counted::Refused(_) => true,
            Counted::Routed(route, _) => self.has(route),
        };
        if exists {
            self.server.meters.tally(self.hello.instance, tally, self.server.clock.now());
        }
    }

    /// Takes over how the gateway sees a provider, if the route that stands for it exists.
    pub(crate) fn measure(&self, level: Level) {
        if self.has(level.route) {
            self.entry.update(|linked| match level.value {
                0 => drop(linked.levels.remove(&(level.of, level.route))),
                value => drop(linked.levels.insert((level.of, level.route), value)),
            });
        }
    }

    /// Whether the catalogue has, or has had, this route; a gateway that says otherwise is wrong.
    fn has(&self, route: RouteId) -> bool {
        let exists = self.server.catalogue.now().route(route).is_some();
        if !exists {
            self.server.alarms.raise(Alarm::RefusedTally);
        }
        exists
    }

    /// Whether a gateway that said this hello may say this.
    pub(crate) const fn may_say(&self, frame: &Up) -> bool {
        frame.since() <= self.hello.protocol
    }

    /// Nothing waits here, and nothing is on its way.
    pub(crate) fn is_drained(&self) -> bool {
        self.batch.is_empty() && self.beat.pending == 0 && self.beat.started == self.beat.finished
    }

    /// Waits until what has been added is to be booked; for ever if it is nothing.
    pub(crate) async fn due(&self) {
        if self.batch.is_empty() {
            std::future::pending::<()>().await;
        }
        sleep_until(self.next).await;
    }

    /// Books everything that is left: the link has ended.
    pub(crate) async fn end(&mut self) -> Result<(), Alarm> {
        self.next = Instant::now();
        self.book().await
    }

    /// Books what is due: records at once if somebody waits for them or there are many, else once in a while; and the counters
    /// if they say more than the store knows. Comes back when it is durable, however long the disk is full.
    pub(crate) async fn book(&mut self) -> Result<(), Alarm> {
        if self.batch.is_empty() {
            let quiet = self.server.clock.now().saturating_sub(self.seen) > SEEN_EVERY;
            return if self.noted == Some(self.beat.started) && !quiet { Ok(()) } else { self.note().await };
        }
        if !self.urgent && self.batch.len() < BATCH && Instant::now() < self.next {
            return Ok(());
        }
        let records = self.check();
        loop {
            let now = self.server.clock.now();
            match self.server.store.deliver(self.hello.instance, &records, self.beat.started, now).await {
                Ok(delivered) => {
                    self.committed(now);
                    self.entry.update(|linked| (linked.mark, linked.heard) = (delivered.mark, now));
                    self.acks.send_replace(delivered.mark);
                    // What had come before is at the front: the numbers of a batch only rise.
                    let new = usize::try_from(delivered.duplicates).ok().and_then(|known| records.get(known..));
                    self.server.meters.booked(new.unwrap_or_default());
                    break;
                }
                Err(StoreError::Gap) => return Err(Alarm::RecordGap),
                Err(_) => self.failed().await,
            }
        }
        if self.budget.spend(records.len()) {
            self.server.alarms.raise(Alarm::RecordRate);
            self.budget.wait().await;
        }
        Ok(())
    }

    /// Notes in the store that the gateway is there, and its counters.
    async fn note(&mut self) -> Result<(), Alarm> {
        loop {
            let now = self.server.clock.now();
            match self.server.store.seen(self.hello.instance, self.beat.started, now).await {
                Ok(_) => {
                    self.committed(now);
                    return Ok(());
                }
                Err(_) => self.failed().await,
            }
        }
    }

    fn committed(&mut self, now: Millis) {
        (self.failing, self.noted, self.seen) = (None, Some(self.beat.started), now);
        self.next = Instant::now() + SPACING;
    }

    /// Nothing was committed: all gateways are told, and it is tried again.
    async fn failed(&mut self) {
        if self.failing.is_none() {
            self.server.alarms.raise(Alarm::StoreFailed);
            self.failing = Some(self.server.durable.fail());
        }
        sleep(RETRY).await;
    }

    /// Empties the batch. Bounds of what a record may say: a refused one uses up its number, so that those behind it are not
    /// held up.
    fn check(&mut self) -> Vec<Delivery> {
        self.urgent = false;
        let now = self.server.clock.now();
        let catalogue = self.server.catalogue.now();
        let known = self.server.keys.accounts();
        let check = |record: UsageRecord| {
            let usage = record.usage();
            // A request that was refused before its key was known has no account: then it has used nothing either.
            let nobody =
                usage.account == AccountPseudonym(0) && usage.route == RouteId::NONE && usage.unit_class == UnitClass::None;
            let account = nobody || known.contains(usage.account);
            let route = usage.route == RouteId::NONE || catalogue.route(usage.route).is_some();
            let time = usage.timestamp.abs_diff(now) <= RECORD_AGE;
            if account && route && time {
                Delivery::Keep(record)
            } else {
                self.server.alarms.raise(Alarm::RefusedRecord);
                Delivery::Refused(record)
            }
        };
        self.batch.drain(..).map(check).collect()
    }
}

/// Records that a link may still deliver in this second.
struct Budget {
    until: Instant,
    left: usize,
}

impl Budget {
    fn new() -> Self {
        Self { until: Instant::now() + Duration::from_secs(1), left: RECORDS_PER_SECOND }
    }

    /// Whether `count` records are more than was left.
    fn spend(&mut self, count: usize) -> bool {
        if Instant::now() >= self.until {
            *self = Self::new();
        }
        let over = count > self.left;
        self.left = self.left.saturating_sub(count);
        over
    }

    async fn wait(&self) {
        sleep_until(self.until).await;
    }
}
