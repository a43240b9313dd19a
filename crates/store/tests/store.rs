//! Exactly once, the schema as reviewed, numbers that keep their meaning.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::{ErrorKind, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;

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

/// Delivers without a word about the counters.
async fn deliver(store: &Store, instance: InstanceId, records: &[Delivery], now: u64) -> Result<Delivered, StoreError> {
    store.deliver(instance, records, 0, now).await
}

async fn kept(store: &Store) -> Vec<Usage> {
    store.metadata_after(0, 1000).await.unwrap().into_iter().map(|row| row.usage).collect()
}

#[tokio::test]
async fn a_record_is_booked_once_however_often_it_comes() {
    let folder = Folder::new();
    let store = folder.open().await;
    assert_eq!(store.seen(A, 0, 1).await, Ok(0));
    assert_eq!((store.mark(A).await, store.mark(B).await), (Ok(0), Ok(0)));
    let delivered = deliver(&store, A, &records(A, 1..=3), 1).await.unwrap();
    assert_eq!(delivered, Delivered { mark: 3, kept: 3, duplicates: 0 });
    // A replay, and one that goes further; a record twice in one delivery.
    assert_eq!(deliver(&store, A, &records(A, 1..=3), 2).await.unwrap(), Delivered { mark: 3, kept: 0, duplicates: 3 });
    assert_eq!(deliver(&store, A, &records(A, [2, 3, 4, 4, 5]), 2).await.unwrap(), Delivered { mark: 5, kept: 2, duplicates: 3 });
    // The other instance counts for itself.
    assert_eq!(deliver(&store, B, &records(B, 1..=1), 2).await.unwrap(), Delivered { mark: 1, kept: 1, duplicates: 0 });
    let expected: Vec<Usage> = [1, 2, 3, 4, 5, 1].map(usage).to_vec();
    assert_eq!(kept(&store).await, expected);
    assert_eq!(store.metadata_count().await, Ok(6));
    let ids: Vec<u64> = store.metadata_after(2, 3).await.unwrap().iter().map(|row| row.id).collect();
    assert_eq!(ids, [3, 4, 5]);
}

/// Rows go in by the hundred, the dozen and one by one: none is lost at a seam, and their order stays.
#[tokio::test]
async fn a_delivery_of_any_size_is_kept_whole_and_in_order() {
    let folder = Folder::new();
    let store = folder.open().await;
    let mut last = 0;
    for size in [0, 1, 3, 4, 15, 16, 17, 63, 65, 255, 256, 257, 341, 600] {
        let delivery = records(A, last + 1..=last + size);
        last += size;
        assert_eq!(deliver(&store, A, &delivery, 1).await.unwrap(), Delivered { mark: last, kept: size, duplicates: 0 });
    }
    let mut kept = Vec::new();
    while kept.len() < usize::try_from(last).unwrap() {
        let page = store.metadata_after(kept.len() as u64, 1000).await.unwrap();
        kept.extend(page.into_iter().map(|row| row.usage));
    }
    assert_eq!(kept, (1..=last).map(usage).collect::<Vec<_>>());
}

#[tokio::test]
async fn what_a_vanished_gateway_began_is_counted_until_it_comes_back() {
    let folder = Folder::new();
    let store = folder.open().await;
    let reserve = |sequence| Delivery::Keep(UsageRecord::new(&Usage { kind: Kind::Reserve, ..usage(sequence) }, A, sequence));
    // Nine begun, of which two are over; the third has only been reserved.
    let delivery = [records(A, 1..=2), vec![reserve(3)]].concat();
    store.deliver(A, &delivery, 8, DAY).await.unwrap();
    assert_eq!(store.seen(A, 9, DAY).await, Ok(3));
    // An older word does not take anything back.
    assert_eq!(store.seen(A, 4, DAY).await, Ok(3));
    store.deliver(B, &records(B, 1..=2), 2, DAY).await.unwrap();
    assert_eq!(store.unaccounted().await, Ok(0), "it may still tell");
    assert_eq!(store.present().await, Ok(vec![(A, DAY), (B, DAY)]));

    store.gone(&[A, B], 2 * DAY).await.unwrap();
    assert_eq!((store.unaccounted().await, store.present().await), (Ok(7), Ok(vec![])));
    // It was only cut off: it is back, delivers two more, and vanishes again.
    store.deliver(A, &records(A, 3..=5), 9, 3 * DAY).await.unwrap();
    assert_eq!((store.unaccounted().await, store.present().await), (Ok(0), Ok(vec![(A, 3 * DAY)])));
    store.gone(&[A], 4 * DAY).await.unwrap();
    assert_eq!(store.unaccounted().await, Ok(5));

    // After the window nothing tells which gateway it was; the number stays for as long as its time's metadata.
    assert_eq!(store.forget_deliveries(30 * DAY).await, Ok(2));
    assert_eq!(store.unaccounted().await, Ok(5));
    let raw = folder.raw().await;
    let left: Vec<(i64, i64)> = sqlx::query_as("SELECT at_ms, requests FROM unaccounted").fetch_all(&raw).await.unwrap();
    assert_eq!(left, [(4 * DAY as i64, 5)]);
    assert_eq!(store.forget_unaccounted(4 * DAY).await, Ok(0));
    assert_eq!(store.forget_unaccounted(4 * DAY + 1).await, Ok(1));
    assert_eq!(store.unaccounted().await, Ok(0));
}

/// A file system of this size, as root; taken away when dropped.
struct SmallDisk(TempDir);

impl SmallDisk {
    fn mount(kib: u32) -> Self {
        let folder = TempDir::new().unwrap();
        let options = format!("size={kib}k,mode=0700");
        let mount = Command::new("mount").args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(folder.path()).status().unwrap();
        assert!(mount.success(), "only root can mount the disk that this test fills");
        Self(folder)
    }

    /// Takes every byte that is left.
    fn fill(&self) {
        let mut ballast = std::fs::File::create(self.0.path().join("ballast")).unwrap();
        let error = loop {
            if let Err(error) = ballast.write_all(&[1; 4096]) {
                break error;
            }
        };
        assert_eq!(error.kind(), ErrorKind::StorageFull);
    }

    fn make_room(&self) {
        std::fs::remove_file(self.0.path().join("ballast")).unwrap();
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(self.0.path()).status();
    }
}

/// The disk is full in the middle of everything: what was committed stays, what was not is refused whole, and as soon as there is
/// room the same delivery is booked once.
#[tokio::test]
async fn a_full_disk_loses_nothing_and_books_nothing_twice() {
    let disk = SmallDisk::mount(2048);
    let store = Store::open(&disk.0.path().join("control.db")).await.unwrap();
    let mut mark = 0;
    for _ in 0..3 {
        deliver(&store, A, &records(A, mark + 1..=mark + 300), 1).await.unwrap();
        mark += 300;
        disk.fill();
        // Enough for one row may be left in the log's last page; for a thousand there is none.
        let delivery = records(A, mark + 1..=mark + 1000);
        for _ in 0..3 {
            assert_eq!(deliver(&store, A, &delivery, 1).await, Err(StoreError::Io));
            assert_eq!(
                (store.mark(A).await, store.metadata_count().await),
                (Ok(mark), Ok(mark)),
                "still readable, and as it was"
            );
        }
        disk.make_room();
        assert_eq!(deliver(&store, A, &delivery, 1).await.unwrap(), Delivered { mark: mark + 1000, kept: 1000, duplicates: 0 });
        mark += 1000;
    }
    assert_eq!(store.metadata_count().await, Ok(mark));
    store.close().await.unwrap();
}

#[tokio::test]
async fn a_gap_is_refused_and_nothing_of_its_delivery_is_kept() {
    let folder = Folder::new();
    let store = folder.open().await;
    assert_eq!(deliver(&store, A, &records(A, [2]), 1).await, Err(StoreError::Gap));
    deliver(&store, A, &records(A, 1..=2), 1).await.unwrap();
    assert_eq!(deliver(&store, A, &records(A, [3, 5]), 1).await, Err(StoreError::Gap));
    assert_eq!(deliver(&store, A, &records(A, [4, 3]), 1).await, Err(StoreError::Gap));
    assert_eq!(kept(&store).await, [1, 2].map(usage));
    assert_eq!(store.seen(A, 0, 1).await, Ok(2));
    // The control: without the gap it goes on.
    assert_eq!(deliver(&store, A, &records(A, 3..=5), 1).await.unwrap().mark, 5);
}

#[tokio::test]
async fn a_refused_record_uses_its_number_and_leaves_nothing() {
    let folder = Folder::new();
    let store = folder.open().await;
    let mut delivery = records(A, 1..=3);
    delivery[1] = Delivery::Refused(UsageRecord::new(&usage(2), A, 2));
    assert_eq!(deliver(&store, A, &delivery, 1).await.unwrap(), Delivered { mark: 3, kept: 2, duplicates: 0 });
    assert_eq!(kept(&store).await, [1, 3].map(usage));
}

/// Control dies after the commit and before the acknowledgement: the gateway sends everything again.
#[tokio::test]
async fn a_crash_before_the_acknowledgement_books_nothing_twice() {
    let folder = Folder::new();
    let store = folder.open().await;
    deliver(&store, A, &records(A, 1..=4), 1).await.unwrap();
    // No `close`: the log has not been written back, as after SIGKILL. The files are copied as they are.
    let copy = Folder::new();
    for name in ["control.db", "control.db-wal"] {
        std::fs::copy(folder.0.path().join(name), copy.0.path().join(name)).unwrap();
    }
    let reopened = copy.open().await;
    assert_eq!(reopened.seen(A, 0, 2).await, Ok(4));
    assert_eq!(deliver(&reopened, A, &records(A, 1..=6), 2).await.unwrap(), Delivered { mark: 6, kept: 2, duplicates: 4 });
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
        ("api_keys", "region"),
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
    deliver(&store, A, &records(A, 1..=1), 1).await.unwrap();
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
    assert_eq!(store.add_key(KeyHash([1; 32]), first, "first", None, 10).await, Ok(KeyId(1)));
    assert_eq!(store.add_key(KeyHash([2; 32]), second, &"ä".repeat(64), None, 11).await, Ok(KeyId(2)));
    assert_eq!(store.add_key(KeyHash([1; 32]), AccountPseudonym(9), "same hash", None, 12).await, Err(StoreError::Exists));
    assert_eq!(store.add_key(KeyHash([3; 32]), first, "same account", None, 12).await, Err(StoreError::Exists));
    for name in ["", "a\nb", "ä".repeat(65).as_str()] {
        assert_eq!(store.add_key(KeyHash([4; 32]), AccountPseudonym(4), name, None, 12).await, Err(StoreError::Name));
    }
    assert_eq!(store.revoke_key(KeyId(1), 20).await, Ok(Some(20)));
    assert_eq!(store.revoke_key(KeyId(1), 30).await, Ok(Some(20)));
    assert_eq!(store.revoke_key(KeyId(77), 30).await, Ok(None));
    let keys = store.keys().await.unwrap();
    let seen: Vec<_> = keys.iter().map(|key| (key.id.0, key.account, key.created, key.revoked)).collect();
    assert_eq!(seen, [(1, first, 10, Some(20)), (2, second, 11, None)]);
    assert!(keys[1].hash == KeyHash([2; 32]));
    for (after, limit, ids) in [(0, 1, vec![1]), (1, 9, vec![2]), (2, 9, vec![])] {
        let page = store.keys_after(KeyId(after), limit).await.unwrap();
        assert_eq!(page.iter().map(|key| key.id.0).collect::<Vec<_>>(), ids);
    }

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
    deliver(&store, A, &records(A, 1..=3), DAY).await.unwrap();
    deliver(&store, B, &records(B, 1..=1), 3 * DAY).await.unwrap();
    assert_eq!(store.forget_deliveries(8 * DAY).await, Ok(0));
    assert_eq!(store.forget_deliveries(8 * DAY + 1).await, Ok(1));
    assert_eq!(store.seen(B, 0, 3 * DAY).await, Ok(1));

    assert_eq!(store.forget_metadata(usage(3).timestamp).await, Ok(3));
    assert_eq!(kept(&store).await, [usage(3)]);
    assert_eq!(store.forget_metadata(u64::MAX >> 1).await, Ok(1));
    // A number is not used again: a reader that follows from the last row misses nothing.
    deliver(&store, B, &records(B, 2..=2), 3 * DAY).await.unwrap();
    assert_eq!(store.metadata_after(4, 9).await.unwrap().len(), 1);
}
