//! Many rows of operational metadata with few statements: what a record costs the database is mostly what a statement costs.

use std::sync::LazyLock;

use lethe_usage::Usage;
use sqlx::sqlite::SqliteConnection;

use crate::StoreError;
use crate::open::{TxError, signed};

const INSERT: &str = "INSERT INTO operational_metadata (at_ms, operation, route, input_units, output_units, unit_class, \
     quality, kind, account, status, total_ms, first_byte_ms) VALUES ";
/// One row's placeholders. Without numbers: SQLite looks a numbered one up by its name, in a list, for each value that is bound.
const ROW: &str = "(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
/// Rows of one statement, the largest first; 12 values each, far below SQLite's 32,766 (<https://www.sqlite.org/limits.html>).
const SIZES: [usize; 5] = [256, 64, 16, 4, 1];

/// One text for each size, so that each is prepared once for a connection's life.
static STATEMENTS: LazyLock<[String; SIZES.len()]> = LazyLock::new(|| {
    SIZES.map(|size| {
        let rows = vec![ROW; size].join(",");
        format!("{INSERT}{rows}")
    })
});

/// Appends `rows` in their order.
pub(crate) async fn insert(connection: &mut SqliteConnection, mut rows: &[Usage]) -> Result<(), TxError> {
    for (size, statement) in SIZES.into_iter().zip(STATEMENTS.iter()) {
        while let Some((some, rest)) = rows.split_at_checked(size) {
            rows = rest;
            let mut query = sqlx::query(statement.as_str());
            for usage in some {
                query = query
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
                    .bind(i64::from(usage.first_byte_ms));
            }
            query.execute(&mut *connection).await?;
        }
    }
    Ok(())
}
