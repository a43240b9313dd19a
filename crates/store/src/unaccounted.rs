//! Requests whose gateway vanished before it could tell of them: counted, never billed.
//!
//! While a gateway start is remembered the count follows from its row, so that one that was only cut off and comes back takes
//! its share of the count back, record by record. When it is forgotten, a number and a time are left.

use lethe_types::Millis;
use lethe_usage::InstanceId;

use crate::delivery::WINDOW;
use crate::open::{narrow, signed};
use crate::{Store, StoreError};

const PRESENT: &str = "SELECT instance, last_seen_ms FROM delivery WHERE gone_ms IS NULL ORDER BY instance";
const GONE: &str = "UPDATE delivery SET gone_ms = $2 WHERE instance = $1 AND gone_ms IS NULL";
const OWED: &str = "SELECT CASE WHEN started > finished THEN started - finished ELSE 0 END FROM delivery WHERE instance = $1";
const SUM: &str = "SELECT coalesce((SELECT sum(requests) FROM unaccounted), 0) \
     + coalesce((SELECT sum(started - finished) FROM delivery WHERE gone_ms IS NOT NULL AND started > finished), 0)";
const FOLD: &str = "INSERT INTO unaccounted (at_ms, requests) SELECT coalesce(gone_ms, last_seen_ms), started - finished \
     FROM delivery WHERE last_seen_ms < $1 AND started > finished";
const FORGET_STARTS: &str = "DELETE FROM delivery WHERE last_seen_ms < $1";
const FORGET_COUNTS: &str = "DELETE FROM unaccounted WHERE at_ms < $1";

impl Store {
    /// Every gateway start that is not known to be gone, and when it was last seen.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn present(&self) -> Result<Vec<(InstanceId, Millis)>, StoreError> {
        let rows: Vec<(Vec<u8>, i64)> =
            sqlx::query_as(PRESENT).fetch_all(&self.readers).await.map_err(|error| StoreError::in_tx("present", &error))?;
        rows.into_iter()
            .map(|(instance, seen)| Ok((InstanceId(instance.try_into().map_err(|_| StoreError::Corrupt)?), seen.cast_unsigned())))
            .collect()
    }

    /// Books these gateway starts as gone: what they began and never told of is unaccounted from now on, until they are heard
    /// of again.
    ///
    /// # Errors
    /// The database cannot be written.
    pub async fn gone(&self, instances: &[InstanceId], now: Millis) -> Result<(), StoreError> {
        let mut tx = self.tx("gone").await?;
        let done = async {
            for instance in instances {
                sqlx::query(GONE).bind(instance.0.as_slice()).bind(signed(now)).execute(tx.on()?).await?;
            }
            Ok(())
        }
        .await;
        tx.end(done).await
    }

    /// Requests of this gateway start that have begun and not finished, as far as control knows. Only reads.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn owed(&self, instance: InstanceId) -> Result<u64, StoreError> {
        let owed: Option<i64> = sqlx::query_scalar(OWED)
            .bind(instance.0.as_slice())
            .fetch_optional(&self.readers)
            .await
            .map_err(|error| StoreError::in_tx("owed", &error))?;
        narrow(owed.unwrap_or(0))
    }

    /// Requests of vanished gateways whose records never came, as far as they are still counted.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn unaccounted(&self) -> Result<u64, StoreError> {
        let sum: i64 =
            sqlx::query_scalar(SUM).fetch_one(&self.readers).await.map_err(|error| StoreError::in_tx("unaccounted", &error))?;
        narrow(sum)
    }

    /// Forgets gateway starts that were last seen before the deduplication window; what they left unaccounted stays as a number.
    ///
    /// # Errors
    /// The database cannot be written.
    pub async fn forget_deliveries(&self, now: Millis) -> Result<u64, StoreError> {
        let mut tx = self.tx("forget_deliveries").await?;
        let before = signed(now.saturating_sub(WINDOW));
        let done = async {
            sqlx::query(FOLD).bind(before).execute(tx.on()?).await?;
            let gone = sqlx::query(FORGET_STARTS).bind(before).execute(tx.on()?).await?;
            Ok(gone.rows_affected())
        }
        .await;
        tx.end(done).await
    }

    /// Forgets unaccounted requests that were booked before `before` (ms), as operational metadata of that time is.
    ///
    /// # Errors
    /// The database cannot be written.
    pub async fn forget_unaccounted(&self, before: Millis) -> Result<u64, StoreError> {
        let mut tx = self.tx("forget_unaccounted").await?;
        let done = async { Ok(sqlx::query(FORGET_COUNTS).bind(signed(before)).execute(tx.on()?).await?.rows_affected()) }.await;
        tx.end(done).await
    }
}
