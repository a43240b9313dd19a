//! Opening, closing, transactions.

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

use sqlx::Sqlite;
use sqlx::pool::PoolConnection;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous};

use crate::{StoreError, schema};

const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// Takes the write lock at once: a transaction that reads first and writes later could find its read outdated.
const BEGIN: &str = "BEGIN IMMEDIATE";
const COMMIT: &str = "COMMIT";
const DURABILITY: &str = "SELECT s.synchronous, f.foreign_keys, d.secure_delete \
     FROM pragma_synchronous s, pragma_foreign_keys f, pragma_secure_delete d";
const CHECKPOINT: &str = "PRAGMA wal_checkpoint(TRUNCATE)";

/// The database of a deployment.
pub struct Store {
    /// One connection: SQLite has one writer at a time, so writers wait here in order instead of polling the lock.
    pub(crate) writer: SqlitePool,
    pub(crate) readers: SqlitePool,
}

impl Store {
    /// Opens the database at `path`, creates it if it is missing, and brings its schema up to date.
    ///
    /// `secure_delete` overwrites what is deleted with zeroes (<https://www.sqlite.org/pragma.html#pragma_secure_delete>);
    /// `synchronous = FULL` makes a commit durable before it returns, which is what an acknowledgement promises.
    ///
    /// # Errors
    /// [`StoreError::NewerSchema`] if a newer Lethe wrote it; [`StoreError::Io`] and others if it cannot be opened.
    pub async fn open(path: &Path) -> Result<Self, StoreError> {
        // Made here, for its mode: SQLite gives its log and index the mode of the database (os_unix.c, findCreateFileMode).
        OpenOptions::new().create(true).append(true).mode(0o600).open(path).map_err(|_| StoreError::Io)?;
        let options = SqliteConnectOptions::new()
            .filename(path)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .busy_timeout(BUSY_TIMEOUT)
            .pragma("secure_delete", "ON");
        let error = |error: sqlx::Error| StoreError::in_tx("open", &error);
        let writer = pool(1).connect_with(options.clone()).await.map_err(error)?;
        schema::migrate(&writer).await?;
        // Opened second: a read-only connection cannot create the file or change its journal mode.
        let readers = pool(2).connect_with(options.read_only(true)).await.map_err(error)?;
        Ok(Self { writer, readers })
    }

    /// What the writing connection says of itself: `synchronous` (2 is FULL), `foreign_keys` and `secure_delete` (1 is ON).
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn settings(&self) -> Result<[i64; 3], StoreError> {
        let row: (i64, i64, i64) =
            sqlx::query_as(DURABILITY).fetch_one(&self.writer).await.map_err(|error| StoreError::in_tx("settings", &error))?;
        Ok(row.into())
    }

    /// Writes the log back into the database and closes it.
    ///
    /// # Errors
    /// The log could not be written back; nothing is lost then, the next start does it.
    pub async fn close(&self) -> Result<(), StoreError> {
        self.readers.close().await;
        let checkpoint = sqlx::query(CHECKPOINT).execute(&self.writer).await;
        self.writer.close().await;
        checkpoint.map(|_| ()).map_err(|error| StoreError::in_tx("close", &error))
    }

    /// Begins a transaction. The name says later which one failed.
    pub(crate) async fn tx(&self, name: &'static str) -> Result<Tx, StoreError> {
        Tx::begin(&self.writer, name).await
    }
}

/// A transaction with a static name, by hand rather than through `sqlx::Transaction`: SQLite rolls a transaction back by itself when
/// the disk is full (<https://www.sqlite.org/lang_transaction.html>, "response to errors within a transaction"), and the library, which
/// counts what it began, would refuse every later one. One that does not end well ends with its connection; the next has a new one.
pub(crate) struct Tx {
    name: &'static str,
    /// Until the commit has succeeded.
    connection: Option<PoolConnection<Sqlite>>,
}

impl Tx {
    pub(crate) async fn begin(pool: &SqlitePool, name: &'static str) -> Result<Self, StoreError> {
        let failed = |error: sqlx::Error| StoreError::in_tx(name, &error);
        let connection = pool.acquire().await.map_err(failed)?;
        // Before the statement: a future that is dropped while it runs must not hand an open transaction to the next.
        let mut tx = Self { name, connection: Some(connection) };
        sqlx::query(BEGIN).execute(tx.on()?).await.map_err(failed)?;
        Ok(tx)
    }

    /// The connection to run a statement on.
    pub(crate) fn on(&mut self) -> Result<&mut SqliteConnection, StoreError> {
        self.connection.as_deref_mut().ok_or(StoreError::Other(self.name))
    }

    /// Commits if the work is done, rolls back if it failed.
    pub(crate) async fn end<T>(mut self, done: Result<T, TxError>) -> Result<T, StoreError> {
        let name = self.name;
        let failed = |error: sqlx::Error| StoreError::in_tx(name, &error);
        let value = done.map_err(|error| match error {
            TxError::Sql(error) => failed(error),
            TxError::Store(error) => error,
        })?;
        sqlx::query(COMMIT).execute(self.on()?).await.map_err(failed)?;
        self.connection = None;
        Ok(value)
    }
}

impl Drop for Tx {
    fn drop(&mut self) {
        if let Some(connection) = &mut self.connection {
            connection.close_on_drop();
        }
    }
}

/// Why a transaction was rolled back.
pub(crate) enum TxError {
    Sql(sqlx::Error),
    Store(StoreError),
}

impl From<sqlx::Error> for TxError {
    fn from(error: sqlx::Error) -> Self {
        Self::Sql(error)
    }
}

impl From<StoreError> for TxError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

fn pool(connections: u32) -> SqlitePoolOptions {
    SqlitePoolOptions::new()
        .min_connections(1)
        .max_connections(connections)
        .idle_timeout(None)
        .max_lifetime(None)
        .acquire_timeout(Duration::from_secs(10))
        // A connection is a file that is open in this process: there is nothing to ask it before each use.
        .test_before_acquire(false)
}

/// A `u64` as the signed number with the same bits.
pub(crate) const fn signed(number: u64) -> i64 {
    number.cast_signed()
}

/// A column as an unsigned number that fits its type.
pub(crate) fn narrow<T: TryFrom<i64>>(number: i64) -> Result<T, StoreError> {
    T::try_from(number).map_err(|_| StoreError::Corrupt)
}
