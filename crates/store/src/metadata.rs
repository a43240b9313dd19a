//! Operational metadata: reading it, and its end.

use lethe_types::{AccountPseudonym, Millis, Operation, RouteId};
use lethe_usage::{Kind, Quality, UnitClass, Usage};
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use crate::open::{narrow, signed};
use crate::{Store, StoreError};

const AFTER: &str = "SELECT id, at_ms, operation, route, input_units, output_units, unit_class, quality, kind, account, \
     status, total_ms, first_byte_ms FROM operational_metadata WHERE id > $1 ORDER BY id LIMIT $2";
const COUNT: &str = "SELECT count(*) FROM operational_metadata";
const FORGET: &str = "DELETE FROM operational_metadata WHERE at_ms < $1";

/// One row of operational metadata.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MetadataRow {
    /// Orders the rows; never used again.
    pub id: u64,
    /// Policy 2.1's facts.
    pub usage: Usage,
}

impl Store {
    /// Up to `limit` rows after the row `after` (0: from the first), in the order of their arrival.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn metadata_after(&self, after: u64, limit: u32) -> Result<Vec<MetadataRow>, StoreError> {
        let rows = sqlx::query(AFTER)
            .bind(i64::try_from(after).unwrap_or(i64::MAX))
            .bind(i64::from(limit))
            .fetch_all(&self.readers)
            .await
            .map_err(|error| StoreError::in_tx("metadata_after", &error))?;
        rows.iter().map(row).collect()
    }

    /// How many rows of operational metadata there are.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn metadata_count(&self) -> Result<u64, StoreError> {
        let count: i64 = sqlx::query_scalar(COUNT)
            .fetch_one(&self.readers)
            .await
            .map_err(|error| StoreError::in_tx("metadata_count", &error))?;
        narrow(count)
    }

    /// Deletes operational metadata of requests before `before` (ms) and returns how many rows there were.
    ///
    /// # Errors
    /// The database cannot be written.
    pub async fn forget_metadata(&self, before: Millis) -> Result<u64, StoreError> {
        let mut tx = self.tx("forget_metadata").await?;
        let done = async { Ok(sqlx::query(FORGET).bind(signed(before)).execute(tx.on()?).await?.rows_affected()) }.await;
        tx.end(done).await
    }
}

fn row(row: &SqliteRow) -> Result<MetadataRow, StoreError> {
    fn number<T: TryFrom<i64>>(row: &SqliteRow, column: usize) -> Result<T, StoreError> {
        narrow(row.try_get(column).map_err(|error| StoreError::in_tx("metadata_row", &error))?)
    }
    let account: i64 = number(row, 9)?;
    let usage = Usage {
        timestamp: number(row, 1)?,
        operation: Operation::from_code(number(row, 2)?).ok_or(StoreError::Corrupt)?,
        route: RouteId(number(row, 3)?),
        input_units: number(row, 4)?,
        output_units: number(row, 5)?,
        unit_class: UnitClass::from_code(number(row, 6)?).ok_or(StoreError::Corrupt)?,
        quality: Quality::from_code(number(row, 7)?).ok_or(StoreError::Corrupt)?,
        kind: Kind::from_code(number(row, 8)?).ok_or(StoreError::Corrupt)?,
        account: AccountPseudonym(account.cast_unsigned()),
        status: number(row, 10)?,
        total_ms: number(row, 11)?,
        first_byte_ms: number(row, 12)?,
    };
    Ok(MetadataRow { id: number(row, 0)?, usage })
}
