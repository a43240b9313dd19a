//! Migrations: numbered, append-only, embedded.

use sqlx::sqlite::SqlitePool;

use crate::StoreError;
use crate::open::Tx;

/// Position `n` brings version `n` to version `n + 1`.
const MIGRATIONS: &[&str] = &[
    include_str!("../../../migrations/sqlite/0001_start.sql"),
    include_str!("../../../migrations/sqlite/0002_unaccounted.sql"),
    include_str!("../../../migrations/sqlite/0003_region.sql"),
];

/// The schema's version that this code reads and writes.
pub const VERSION: i64 = MIGRATIONS.len() as i64;

const HAS_VERSION: &str = "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name = 'schema_version'";
const READ: &str = "SELECT version FROM schema_version";
const FORGET: &str = "DELETE FROM schema_version";
const WRITE: &str = "INSERT INTO schema_version (version) VALUES ($1)";

/// Brings the schema up to date, in one transaction.
pub(crate) async fn migrate(pool: &SqlitePool) -> Result<(), StoreError> {
    let mut tx = Tx::begin(pool, "migrate").await?;
    let done = async {
        let tables: i64 = sqlx::query_scalar(HAS_VERSION).fetch_one(tx.on()?).await?;
        let found: i64 = if tables == 0 { 0 } else { sqlx::query_scalar(READ).fetch_one(tx.on()?).await? };
        if found > VERSION {
            return Err(StoreError::NewerSchema.into());
        }
        let done = usize::try_from(found).map_err(|_| StoreError::Corrupt)?;
        if done == MIGRATIONS.len() {
            return Ok(());
        }
        for migration in &MIGRATIONS[done..] {
            sqlx::raw_sql(*migration).execute(tx.on()?).await?;
        }
        sqlx::query(FORGET).execute(tx.on()?).await?;
        sqlx::query(WRITE).bind(VERSION).execute(tx.on()?).await?;
        Ok(())
    }
    .await;
    tx.end(done).await
}
