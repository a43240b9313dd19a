//! Exactly once, the schema as reviewed, numbers that keep their meaning.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use lethe_store::{Counter, Delivered, Delivery, RouteName, SCHEMA_VERSION, Store, StoreError};
use lethe_types::{AccountPseudonym, KeyHash, KeyId, Operation, RouteId};
use lethe_usage::{InstanceId, Kind, Quality, UnitClass, Usage, UsageRecord};
use sqlx::sqlite::{SqliteConnectOptions, SqlitePool};
use tempfile::TempDir;

const A: InstanceId = InstanceId([1; 12]);
const B: InstanceId = InstanceId([2; 12]);
const DAY: u64 = 24 * 60 * 60 * 1000;

struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        Self(TempDir::new().unwrap())
    }

    fn database(&self) -> PathBuf {
        self.0.path().join("control.db")
    }

    async fn open(&self) -> Store {
        Store::open(&self.database()).await.unwrap()
    }

    /// The database without this crate in between.
    async fn raw(&self) -> SqlitePool {
        SqlitePool::connect_with(SqliteConnectOptions::new().filename(self.database())).await.unwrap()
    }
}

fn usage(sequence: u64) -> Usage {
    Usage {
        kind: Kind::Charge,
        operation: Operation::Chat,
        unit_class: UnitClass::Tokens,
        quality: Quality::Reported,
        status: 200,
        timestamp: 1_764_000_000_000 + sequence,
        account: AccountPseudonym(u64::MAX - 1),
        route: RouteId(3),
        total_ms: 5,
        first_byte_ms: 4,
        input_units: 6,
        output_units: 7,
    }
}

fn records(instance: InstanceId, sequences: impl IntoIterator<Item = u64>) -> Vec<Delivery> {
    sequences.into_iter().map(|sequence| Delivery::Keep(UsageRecord::new(&usage(sequence), instance, sequence))).collect()
}

async fn kept(store: &Store) -> Vec<Usage> {
    store.metadata_after(0, 1000).await.unwrap().into_iter().map(|row| row.usage).collect()
}

#[tokio::test]
async fn a_record_is_booked_once_however_often_it_comes() {
    let folder = Folder::new();
    let store = folder.open().await;
    assert_eq!(store.seen(A, 1).await, Ok(0));
    let delivered = store.deliver(A, &records(A, 1..=3), 1).await.unwrap();
    assert_eq!(delivered, Delivered { mark: 3, kept: 3, duplicates: 0 });
    // A replay, and one that goes further; a record twice in one delivery.
    assert_eq!(store.deliver(A, &records(A, 1..=3), 2).await.unwrap(), Delivered { mark: 3, kept: 0, duplicates: 3 });
    assert_eq!(store.deliver(A, &records(A, [2, 3, 4, 4, 5]), 2).await.unwrap(), Delivered { mark: 5, kept: 2, duplicates: 3 });
    // The other instance counts for itself.
    assert_eq!(store.deliver(B, &records(B, 1..=1), 2).await.unwrap(), Delivered { mark: 1, kept: 1, duplicates: 0 });
    let expected: Vec<Usage> = [1, 2, 3, 4, 5, 1].map(usage).to_vec();
    assert_eq!(kept(&store).await, expected);
    assert_eq!(store.metadata_count().await, Ok(6));
    let ids: Vec<u64> = store.metadata_after(2, 3).await.unwrap().iter().map(|row| row.id).collect();
    assert_eq!(ids, [3, 4, 5]);
}

#[tokio::test]
async fn a_gap_is_refused_and_nothing_of_its_delivery_is_kept() {
    let folder = Folder::new();
    let store = folder.open().await;
    assert_eq!(store.deliver(A, &records(A, [2]), 1).await, Err(StoreError::Gap));
    store.deliver(A, &records(A, 1..=2), 1).await.unwrap();
    assert_eq!(store.deliver(A, &records(A, [3, 5]), 1).await, Err(StoreError::Gap));
    assert_eq!(store.deliver(A, &records(A, [4, 3]), 1).await, Err(StoreError::Gap));
    assert_eq!(kept(&store).await, [1, 2].map(usage));
    assert_eq!(store.seen(A, 1).await, Ok(2));
    // The control: without the gap it goes on.
    assert_eq!(store.deliver(A, &records(A, 3..=5), 1).await.unwrap().mark, 5);
}

#[tokio::test]
async fn a_refused_record_uses_its_number_and_leaves_nothing() {
    let folder = Folder::new();
    let store = folder.open().await;
    let mut delivery = records(A, 1..=3);
    delivery[1] = Delivery::Refused(2);
    assert_eq!(store.deliver(A, &delivery, 1).await.unwrap(), Delivered { mark: 3, kept: 2, duplicates: 0 });
    assert_eq!(kept(&store).await, [1, 3].map(usage));
}

/// Control dies after the commit and before the acknowledgement: the gateway sends everything again.
#[tokio::test]
async fn a_crash_before_the_acknowledgement_books_nothing_twice() {
    let folder = Folder::new();
    let store = folder.open().await;
    store.deliver(A, &records(A, 1..=4), 1).await.unwrap();
    // No `close`: the log has not been written back, as after SIGKILL. The files are copied as they are.
    let copy = Folder::new();
    for name in ["control.db", "control.db-wal"] {
        std::fs::copy(folder.0.path().join(name), copy.0.path().join(name)).unwrap();
    }
    let reopened = copy.open().await;
    assert_eq!(reopened.seen(A, 2).await, Ok(4));
    assert_eq!(reopened.deliver(A, &records(A, 1..=6), 2).await.unwrap(), Delivered { mark: 6, kept: 2, duplicates: 4 });
    assert_eq!(kept(&reopened).await, [1, 2, 3, 4, 5, 6].map(usage));
}

/// What leaves the data plane ends here: a new column, or a column of text, is a decision of the policy, not of a commit.
#[tokio::test]
async fn operational_metadata_has_the_reviewed_columns_and_no_text() {
    let folder = Folder::new();
    drop(folder.open().await);
    let raw = folder.raw().await;
    let columns: Vec<(String, String)> =
        sqlx::query_as("SELECT name, type FROM pragma_table_info('operational_metadata') ORDER BY cid")
            .fetch_all(&raw)
            .await
            .unwrap();
    let reviewed = [
        "id",
        "at_ms",
        "operation",
        "route",
        "input_units",
        "output_units",
        "unit_class",
        "quality",
        "kind",
        "account",
        "status",
        "total_ms",
        "first_byte_ms",
    ];
    let reviewed: Vec<(String, String)> = reviewed.map(|name| (name.to_owned(), "INTEGER".to_owned())).to_vec();
    assert_eq!(columns, reviewed);

    // STRICT makes the types hold: the same row is taken with a number and refused with a text.
    let insert = "INSERT INTO operational_metadata (at_ms, operation, route, input_units, output_units, unit_class, quality, \
         kind, account, status, total_ms, first_byte_ms) VALUES (1, 1, 1, 1, 1, 1, 1, 1, 1, $1, 1, 1)";
    assert!(sqlx::query(insert).bind(200).execute(&raw).await.is_ok());
    assert!(sqlx::query(insert).bind("a prompt").execute(&raw).await.is_err());
    assert!(sqlx::query(insert).bind(b"a prompt".as_slice()).execute(&raw).await.is_err());
}

#[tokio::test]
async fn text_is_only_where_an_operator_writes_it() {
    let folder = Folder::new();
    drop(folder.open().await);
    let raw = folder.raw().await;
    let text: Vec<(String, String)> = sqlx::query_as(
        "SELECT m.name, c.name FROM sqlite_schema m, pragma_table_info(m.name) c \
         WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite_%' AND c.type NOT IN ('INTEGER', 'BLOB') ORDER BY 1, 2",
    )
    .fetch_all(&raw)
    .await
    .unwrap();
    let reviewed = [
        ("api_keys", "name"),
        ("endpoints", "host"),
        ("routes", "model"),
        ("routes", "provider"),
        ("routes", "upstream"),
        ("settings", "name"),
    ];
    assert_eq!(text, reviewed.map(|(table, column)| (table.to_owned(), column.to_owned())).to_vec());
    let lax: Vec<String> = sqlx::query_scalar("SELECT name FROM pragma_table_list WHERE strict = 0 AND name NOT LIKE 'sqlite_%'")
        .fetch_all(&raw)
        .await
        .unwrap();
    assert_eq!(lax, Vec::<String>::new());
}

#[tokio::test]
async fn a_newer_schema_is_refused_and_the_own_one_is_taken_again() {
    let folder = Folder::new();
    folder.open().await.close().await.unwrap();
    folder.open().await.close().await.unwrap();
    let raw = folder.raw().await;
    sqlx::query("UPDATE schema_version SET version = $1").bind(SCHEMA_VERSION + 1).execute(&raw).await.unwrap();
    raw.close().await;
    assert_eq!(Store::open(&folder.database()).await.err(), Some(StoreError::NewerSchema));
}

#[tokio::test]
async fn the_connection_is_as_durable_and_forgetful_as_promised() {
    let folder = Folder::new();
    let store = folder.open().await;
    let mode = |name: &str| std::fs::metadata(folder.0.path().join(name)).unwrap().permissions().mode() & 0o777;
    store.deliver(A, &records(A, 1..=1), 1).await.unwrap();
    assert_eq!((mode("control.db"), mode("control.db-wal")), (0o600, 0o600));
    assert_eq!(store.settings().await, Ok([2, 1, 1]));
    store.close().await.unwrap();
    // The log is written back: nothing waits in it after a clean end.
    assert!(!folder.0.path().join("control.db-wal").exists());
}

#[tokio::test]
async fn keys_are_added_listed_and_revoked() {
    let folder = Folder::new();
    let store = folder.open().await;
    let (first, second) = (AccountPseudonym(1), AccountPseudonym(u64::MAX));
    assert_eq!(store.add_key(KeyHash([1; 32]), first, "first", 10).await, Ok(KeyId(1)));
    assert_eq!(store.add_key(KeyHash([2; 32]), second, &"ä".repeat(64), 11).await, Ok(KeyId(2)));
    assert_eq!(store.add_key(KeyHash([1; 32]), AccountPseudonym(9), "same hash", 12).await, Err(StoreError::Exists));
    assert_eq!(store.add_key(KeyHash([3; 32]), first, "same account", 12).await, Err(StoreError::Exists));
    for name in ["", "a\nb", "ä".repeat(65).as_str()] {
        assert_eq!(store.add_key(KeyHash([4; 32]), AccountPseudonym(4), name, 12).await, Err(StoreError::Name));
    }
    assert_eq!(store.revoke_key(KeyId(1), 20).await, Ok(Some(20)));
    assert_eq!(store.revoke_key(KeyId(1), 30).await, Ok(Some(20)));
    assert_eq!(store.revoke_key(KeyId(77), 30).await, Ok(None));
    let keys = store.keys().await.unwrap();
    let seen: Vec<_> = keys.iter().map(|key| (key.id.0, key.account, key.created, key.revoked)).collect();
    assert_eq!(seen, [(1, first, 10, Some(20)), (2, second, 11, None)]);
    assert!(keys[1].hash == KeyHash([2; 32]));

    assert_eq!(store.token_hashes().await, Ok(vec![]));
    store.add_token([7; 32], 1).await.unwrap();
    assert_eq!(store.token_hashes().await, Ok(vec![[7; 32]]));
}

#[tokio::test]
async fn numbers_keep_their_meaning_over_restarts() {
    let folder = Folder::new();
    let store = folder.open().await;
    let route = |model: &str| RouteName { provider: "p".into(), model: model.into(), upstream: "u".into() };
    assert_eq!(store.number_routes(&[route("a"), route("b"), route("a")]).await, Ok(vec![RouteId(1), RouteId(2), RouteId(1)]));
    let host = |name: &str| (name.to_owned(), 443);
    assert_eq!(store.number_endpoints(&[host("x"), host("y")]).await, Ok(vec![1, 2]));
    assert_eq!(store.raise(Counter::SnapshotVersion).await, Ok(1));
    store.close().await.unwrap();

    let store = folder.open().await;
    // "a" has left the configuration; its number has not.
    assert_eq!(store.number_routes(&[route("c"), route("b")]).await, Ok(vec![RouteId(3), RouteId(2)]));
    assert_eq!(store.routes().await.unwrap()[0], (RouteId(1), route("a")));
    assert_eq!(store.number_endpoints(&[host("z"), host("x")]).await, Ok(vec![3, 1]));
    assert_eq!(store.raise(Counter::SnapshotVersion).await, Ok(2));
    assert_eq!(store.raise(Counter::EndpointsVersion).await, Ok(1));
}

#[tokio::test]
async fn everything_has_an_end() {
    let folder = Folder::new();
    let store = folder.open().await;
    store.deliver(A, &records(A, 1..=3), DAY).await.unwrap();
    store.deliver(B, &records(B, 1..=1), 3 * DAY).await.unwrap();
    assert_eq!(store.forget_deliveries(8 * DAY).await, Ok(0));
    assert_eq!(store.forget_deliveries(8 * DAY + 1).await, Ok(1));
    assert_eq!(store.seen(B, 3 * DAY).await, Ok(1));

    assert_eq!(store.forget_metadata(usage(3).timestamp).await, Ok(3));
    assert_eq!(kept(&store).await, [usage(3)]);
    assert_eq!(store.forget_metadata(u64::MAX >> 1).await, Ok(1));
    // A number is not used again: a reader that follows from the last row misses nothing.
    store.deliver(B, &records(B, 2..=2), 3 * DAY).await.unwrap();
    assert_eq!(store.metadata_after(4, 9).await.unwrap().len(), 1);
}
