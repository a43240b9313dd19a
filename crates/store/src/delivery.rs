//! Exactly once: a record and the mark that says it came are committed together, and only then acknowledged.

use lethe_types::Millis;
use lethe_usage::{InstanceId, Kind, UsageRecord};

use crate::open::{narrow, signed};
use crate::{Store, StoreError, rows};

/// How long a gateway start that is no longer heard of is remembered, ms (7 days). Afterwards a record of it that came
/// again would be a gap, not a duplicate: it is refused.
pub(crate) const WINDOW: Millis = 7 * 24 * 60 * 60 * 1000;

const MARK: &str = "SELECT sequence FROM delivery WHERE instance = $1";
// A start that is heard of again is not gone.
const MOVE_MARK: &str = "INSERT INTO delivery (instance, sequence, last_seen_ms, started, finished) VALUES ($1, $2, $3, $4, $5) \
     ON CONFLICT (instance) DO UPDATE SET sequence = excluded.sequence, last_seen_ms = excluded.last_seen_ms, gone_ms = NULL, \
     started = CASE WHEN excluded.started > delivery.started THEN excluded.started ELSE delivery.started END, \
     finished = delivery.finished + excluded.finished";
const SEEN: &str = "INSERT INTO delivery (instance, sequence, last_seen_ms, started) VALUES ($1, 0, $2, $3) \
     ON CONFLICT (instance) DO UPDATE SET last_seen_ms = excluded.last_seen_ms, gone_ms = NULL, \
     started = CASE WHEN excluded.started > delivery.started THEN excluded.started ELSE delivery.started END RETURNING sequence";

/// A record as it is to be booked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// Keep it.
    Keep(UsageRecord),
    /// Control refused it: its number is used up, nothing of it is kept.
    Refused(UsageRecord),
}

impl Delivery {
    const fn record(&self) -> &UsageRecord {
        match self {
            Self::Keep(record) | Self::Refused(record) => record,
        }
    }
}

/// What became of a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delivered {
    /// Everything up to and with this sequence number is committed.
    pub mark: u64,
    /// Records that are new and kept.
    pub kept: u64,
    /// Records that had come before.
    pub duplicates: u64,
}

impl Store {
    /// Books records of one gateway start, in the order of their sequence numbers, all or none. `started` is how many requests
    /// it says that it has begun.
    ///
    /// # Errors
    /// [`StoreError::Gap`] if a number is missing before one of them: nothing of this delivery is kept.
    pub async fn deliver(
        &self,
        instance: InstanceId,
        records: &[Delivery],
        started: u64,
        now: Millis,
    ) -> Result<Delivered, StoreError> {
        let mut tx = self.tx("deliver").await?;
        let done = async {
            let found: Option<i64> = sqlx::query_scalar(MARK).bind(instance.0.as_slice()).fetch_optional(tx.on()?).await?;
            let mut delivered = Delivered { mark: narrow(found.unwrap_or(0))?, kept: 0, duplicates: 0 };
            let mut finished: i64 = 0;
            let mut kept = Vec::with_capacity(records.len());
            for delivery in records {
                let record = delivery.record();
                if record.sequence() <= delivered.mark {
                    delivered.duplicates += 1;
                    continue;
                }
                if record.sequence() - delivered.mark != 1 {
                    return Err(StoreError::Gap.into());
                }
                delivered.mark = record.sequence();
                let usage = record.usage();
                finished += i64::from(usage.kind != Kind::Reserve);
                if matches!(delivery, Delivery::Keep(_)) {
                    kept.push(usage);
                }
            }
            rows::insert(tx.on()?, &kept).await?;
            delivered.kept = kept.len() as u64;
            let mark = i64::try_from(delivered.mark).map_err(|_| StoreError::Gap)?;
            sqlx::query(MOVE_MARK)
                .bind(instance.0.as_slice())
                .bind(mark)
                .bind(signed(now))
                .bind(i64::try_from(started).map_err(|_| StoreError::Corrupt)?)
                .bind(finished)
                .execute(tx.on()?)
                .await?;
            Ok(delivered)
        }
        .await;
        tx.end(done).await
    }

    /// Notes that a gateway start is there and has begun `started` requests, and returns its mark. To be called when it links,
    /// when that number has risen without a record, and now and then while it is linked, so that one that is idle for longer
    /// than the window is not forgotten.
    ///
    /// # Errors
    /// The database cannot be written.
    pub async fn seen(&self, instance: InstanceId, started: u64, now: Millis) -> Result<u64, StoreError> {
        let mut tx = self.tx("seen").await?;
        let done = async {
            let mark: i64 = sqlx::query_scalar(SEEN)
                .bind(instance.0.as_slice())
                .bind(signed(now))
                .bind(i64::try_from(started).map_err(|_| StoreError::Corrupt)?)
                .fetch_one(tx.on()?)
                .await?;
            Ok(narrow(mark)?)
        }
        .await;
        tx.end(done).await
    }

    /// Everything of this gateway start up to and with this number is committed: 0 for one that is not known. Only reads.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn mark(&self, instance: InstanceId) -> Result<u64, StoreError> {
        let found: Option<i64> = sqlx::query_scalar(MARK)
            .bind(instance.0.as_slice())
            .fetch_optional(&self.readers)
            .await
            .map_err(|error| StoreError::in_tx("mark", &error))?;
        narrow(found.unwrap_or(0))
    }
}
