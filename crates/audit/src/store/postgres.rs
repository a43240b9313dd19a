//! PostgreSQL: every table as `COPY` gives it, what the server remembers of statements, and where its files are.

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{AssertSqlSafe, ConnectOptions, Row};

use super::{Passed, StoreError, Take};

const FORM: &str = "postgres://user:password@host:port/database";
const LIMIT: Duration = Duration::from_secs(10);
/// Of a whole table.
const TABLE_LIMIT: Duration = Duration::from_secs(120);
const CONTROL: &str = "lethe_audit_control";

/// Tables of users, and materialised views; quoted by the server itself.
const TABLES: &str = "SELECT format('%I.%I', n.nspname, c.relname) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
     WHERE c.relkind IN ('r', 'm') AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast') \
     AND n.nspname NOT LIKE 'pg\\_toast\\_temp%' ORDER BY 1";
/// Large objects, and the places where a statement's text stays: the relation, and what is read of it.
const REMEMBERED: &[(&str, &str)] = &[
    ("pg_largeobject", "(SELECT data FROM pg_largeobject)"),
    ("pg_stat_activity", "(SELECT query FROM pg_stat_activity)"),
    ("pg_stat_statements", "(SELECT query FROM pg_stat_statements)"),
];
/// Over the network, by others; on a unix socket there is nothing to protect.
const PROTECTED: &str = "SELECT CASE WHEN s.ssl THEN s.version || ', ' || s.cipher END, \
     a.client_addr <<= inet '127.0.0.0/8' OR a.client_addr = inet '::1', count(*) \
     FROM pg_stat_ssl s JOIN pg_stat_activity a USING (pid) WHERE a.client_addr IS NOT NULL AND pid <> pg_backend_pid() \
     GROUP BY 1, 2 ORDER BY 1, 2";
const IS_THERE: &str = "SELECT to_regclass($1) IS NOT NULL";

/// Connections of clients that are alike.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connections {
    /// Version and suite; nothing where they are in the clear.
    pub protected: Option<String>,
    /// The client is on the server's machine.
    pub from_here: bool,
    pub count: u64,
}

/// A connection.
pub struct Postgres {
    runtime: tokio::runtime::Runtime,
    connection: PgConnection,
}

fn gone(error: &sqlx::Error) -> StoreError {
    match error {
        sqlx::Error::Io(error) => StoreError::Gone(error.kind()),
        // Class 28: invalid authorization (PostgreSQL, appendix A).
        sqlx::Error::Database(error) if error.code().is_some_and(|code| code.starts_with("28")) => StoreError::Password,
        sqlx::Error::Database(_) => StoreError::Command("a statement"),
        _ => StoreError::Protocol,
    }
}

impl Postgres {
    /// Connects.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn connect(url: &str) -> Result<Self, StoreError> {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|error| StoreError::Gone(error.kind()))?;
        let options = PgConnectOptions::from_str(url).map_err(|_| StoreError::Url(FORM))?.application_name("lethe audit");
        let connected =
            runtime.block_on(async { tokio::time::timeout(LIMIT, options.disable_statement_logging().connect()).await });
        let connection = connected.map_err(|_| StoreError::Gone(std::io::ErrorKind::TimedOut))?.map_err(|error| gone(&error))?;
        Ok(Self { runtime, connection })
    }

    /// Makes a table with this value in it, so that the search for it can be tried.
    ///
    /// # Errors
    /// [`StoreError`]: most of all, that this user may not make a table.
    pub fn plant(&mut self, value: &str) -> Result<(), StoreError> {
        self.remove()?;
        let Self { runtime, connection } = self;
        runtime.block_on(async {
            let create = format!("CREATE TABLE {CONTROL} (value text)");
            sqlx::query(AssertSqlSafe(create))
                .execute(&mut *connection)
                .await
                .map_err(|_| StoreError::Command("CREATE TABLE"))?;
            let insert = format!("INSERT INTO {CONTROL} VALUES ($1)");
            sqlx::query(AssertSqlSafe(insert))
                .bind(value)
                .execute(&mut *connection)
                .await
                .map_err(|_| StoreError::Command("INSERT"))
        })?;
        Ok(())
    }

    /// Removes that table.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn remove(&mut self) -> Result<(), StoreError> {
        let Self { runtime, connection } = self;
        let drop = format!("DROP TABLE IF EXISTS {CONTROL}");
        runtime.block_on(async { sqlx::query(AssertSqlSafe(drop)).execute(connection).await }).map_err(|error| gone(&error))?;
        Ok(())
    }

    /// How other clients' connections over the network are protected, as the server has it.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn connections(&mut self) -> Result<Vec<Connections>, StoreError> {
        let Self { runtime, connection } = self;
        let rows =
            runtime.block_on(async { sqlx::query(PROTECTED).fetch_all(connection).await }).map_err(|error| gone(&error))?;
        let shown = |row: &sqlx::postgres::PgRow| {
            let count = u64::try_from(row.try_get::<i64, _>(2).ok()?).ok()?;
            Some(Connections { protected: row.try_get(0).ok()?, from_here: row.try_get(1).ok()?, count })
        };
        Ok(rows.iter().filter_map(shown).collect())
    }

    /// Everything that this user may read.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn pass(&mut self, take: Take<'_>) -> Result<Passed, StoreError> {
        let Self { runtime, connection } = self;
        runtime.block_on(async {
            let mut passed = Passed::default();
            let rows = sqlx::query(TABLES).fetch_all(&mut *connection).await.map_err(|error| gone(&error))?;
            let tables: Vec<String> = rows.iter().filter_map(|row| row.try_get(0).ok()).collect();
            for table in tables {
                passed.places += 1;
                if !copy(connection, &table, take, &mut passed).await? {
                    passed.gaps.push(format!("table {table} could not be read"));
                }
            }
            for (relation, read) in REMEMBERED {
                let there =
                    sqlx::query(IS_THERE).bind(*relation).fetch_one(&mut *connection).await.map_err(|error| gone(&error))?;
                if there.try_get(0).unwrap_or(false) && !copy(connection, read, take, &mut passed).await? {
                    passed.gaps.push(format!("{relation} could not be read"));
                }
            }
            Ok(passed)
        })
    }

    /// Its data folder, with everything written to the files that was only in memory: what was deleted still stands there until it is
    /// vacuumed.
    ///
    /// # Errors
    /// [`StoreError`]: most of all, that this user may not ask.
    pub fn data_folder(&mut self) -> Result<PathBuf, StoreError> {
        let Self { runtime, connection } = self;
        runtime.block_on(async {
            sqlx::raw_sql("CHECKPOINT").execute(&mut *connection).await.map_err(|_| StoreError::Command("CHECKPOINT"))?;
            let row = sqlx::query("SHOW data_directory").fetch_one(&mut *connection).await;
            let row = row.map_err(|_| StoreError::Command("SHOW data_directory"))?;
            row.try_get::<String, _>(0).map(PathBuf::from).map_err(|_| StoreError::Protocol)
        })
    }
}

/// Passes what `COPY … TO STDOUT` gives; false if it may not be read.
async fn copy(connection: &mut PgConnection, from: &str, take: Take<'_>, passed: &mut Passed) -> Result<bool, StoreError> {
    use std::future::poll_fn;
    let work = async {
        let statement = format!("COPY {from} TO STDOUT");
        let Ok(mut stream) = connection.copy_out_raw(&statement).await else { return Ok(false) };
        while let Some(chunk) = poll_fn(|context| stream.as_mut().poll_next(context)).await {
            let chunk = chunk.map_err(|error| gone(&error))?;
            passed.bytes += chunk.len() as u64;
            take(from, &chunk);
        }
        Ok(true)
    };
    tokio::time::timeout(TABLE_LIMIT, work).await.map_err(|_| StoreError::Gone(std::io::ErrorKind::TimedOut))?
}
