//! Exactly once: a record and the mark that says it came are committed together, and only then acknowledged.

use lethe_types::Millis;
use lethe_usage::{InstanceId, Usage, UsageRecord};
use sqlx::sqlite::SqliteConnection;

use crate::open::{TxError, narrow, signed};
use crate::{Store, StoreError};

/// How long a gateway start that is no longer heard of is remembered, ms (7 days). Afterwards a record of it that came
/// again would be a gap, not a duplicate: it is refused.
const WINDOW: Millis = 7 * 24 * 60 * 60 * 1000;

const MARK: &str = "SELECT sequence FROM delivery WHERE instance = $1";
const MOVE_MARK: &str = "INSERT INTO delivery (instance, sequence, last_seen_ms) VALUES ($1, $2, $3) \
     ON CONFLICT (instance) DO UPDATE SET sequence = excluded.sequence, last_seen_ms = excluded.last_seen_ms";
const SEEN: &str = "INSERT INTO delivery (instance, sequence, last_seen_ms) VALUES ($1, 0, $2) \
     ON CONFLICT (instance) DO UPDATE SET last_seen_ms = excluded.last_seen_ms RETURNING sequence";
const FORGET: &str = "DELETE FROM delivery WHERE last_seen_ms < $1";
const INSERT: &str = "INSERT INTO operational_metadata (at_ms, operation, route, input_units, output_units, unit_class, \
     quality, kind, account, status, total_ms, first_byte_ms) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)";

/// A record as it is to be booked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// Keep it.
    Keep(UsageRecord),
    /// Control refused it: its number is used up, nothing of it is kept.
    Refused(u64),
}

impl Delivery {
    const fn sequence(&self) -> u64 {
        match self {
            Self::Keep(record) => record.sequence(),
            Self::Refused(sequence) => *sequence,
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
    /// Books records of one gateway start, in the order of their sequence numbers, all or none.
    ///
    /// # Errors
    /// [`StoreError::Gap`] if a number is missing before one of them: nothing of this delivery is kept.
    pub async fn deliver(&self, instance: InstanceId, records: &[Delivery], now: Millis) -> Result<Delivered, StoreError> {
        let mut tx = self.tx("deliver").await?;
        let done = async {
            let found: Option<i64> = sqlx::query_scalar(MARK).bind(instance.0.as_slice()).fetch_optional(tx.on()).await?;
            let mut delivered = Delivered { mark: narrow(found.unwrap_or(0))?, kept: 0, duplicates: 0 };
            for record in records {
                if record.sequence() <= delivered.mark {
                    delivered.duplicates += 1;
                    continue;
                }
                if record.sequence() - delivered.mark != 1 {
                    return Err(StoreError::Gap.into());
                }
                if let Delivery::Keep(record) = record {
                    insert(tx.on(), &record.usage()).await?;
                    delivered.kept += 1;
                }
                delivered.mark = record.sequence();
            }
            let mark = i64::try_from(delivered.mark).map_err(|_| StoreError::Gap)?;
            sqlx::query(MOVE_MARK).bind(instance.0.as_slice()).bind(mark).bind(signed(now)).execute(tx.on()).await?;
            Ok(delivered)
        }
        .await;
        tx.end(done).await
    }

    /// Notes that a gateway start is there, and returns its mark. To be called when it links and now and then while it is
    /// linked, so that one that is idle for longer than the window is not forgotten.
    ///
    /// # Errors
    /// The database cannot be written.
    pub async fn seen(&self, instance: InstanceId, now: Millis) -> Result<u64, StoreError> {
        let mut tx = self.tx("seen").await?;
        let done = async {
            let mark: i64 = sqlx::query_scalar(SEEN).bind(instance.0.as_slice()).bind(signed(now)).fetch_one(tx.on()).await?;
            Ok(narrow(mark)?)
        }
        .await;
        tx.end(done).await
    }

    /// Forgets gateway starts that were last seen before the deduplication window.
    ///
    /// # Errors
    /// The database cannot be written.
    pub async fn forget_deliveries(&self, now: Millis) -> Result<u64, StoreError> {
        let mut tx = self.tx("forget_deliveries").await?;
        let done = async {
            let gone = sqlx::query(FORGET).bind(signed(now.saturating_sub(WINDOW))).execute(tx.on()).await?;
            Ok(gone.rows_affected())
        }
        .await;
        tx.end(done).await
    }
}

async fn insert(connection: &mut SqliteConnection, usage: &Usage) -> Result<(), TxError> {
    sqlx::query(INSERT)
        .bind(i64::try_from(usage.timestamp).map_err(|_| StoreError::Corrupt)?)
        .bind(i64::from(usage.operation.code()))
        .bind(i64::from(usage.route.0))
        .bind(i64::from(usage.input_units))
        .bind(i64::from(usage.output_units))
        .bind(i64::from(usage.unit_class.code()))
        .bind(i64::from(usage.quality.code()))
        .bind(i64::from(usage.kind.code()))
        .bind(signed(usage.account.0))
        .bind(i64::from(usage.status))
        .bind(i64::from(usage.total_ms))
        .bind(i64::from(usage.first_byte_ms))
        .execute(connection)
        .await?;
    Ok(())
}
