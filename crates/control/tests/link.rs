//! The link over real mutual TLS on loopback.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
#![expect(dead_code, reason = "the harness is shared with the tests of the operator interface")]

mod harness;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use harness::{Control, INSTANCE, record, usage};
use lethe_control::Authority;
use lethe_control::start::{Address, ControlStart, FromControl, ToControl};
use lethe_handover::Role;
use lethe_link::{ALPN, ALPN_BEFORE, Beat, Counted, Down, PROTOCOL, Routed, Tally, Up};
use lethe_policy::endpoints::SignedEndpoints;
use lethe_store::Store;
use lethe_types::{AccountPseudonym, Clock, Failure, KeyId, Millis, RouteId, SystemClock};
use lethe_usage::{InstanceId, UnitClass, Usage, UsageRecord};
use tempfile::TempDir;
use tokio::io::AsyncWriteExt;
use tokio::time::timeout;

#[tokio::test]
async fn a_gateway_links_gets_its_snapshot_and_delivers_each_record_once() {
    let folder = TempDir::new().unwrap();
    let control = Control::start(&folder).await;
    let (mut gateway, endpoints, snapshot) = control.link(INSTANCE).await;

    let list = SignedEndpoints::verify(&endpoints, &control.ready.verify_key).unwrap();
    assert_eq!(endpoints, control.ready.endpoints);
    let seen: Vec<_> = list.endpoints.iter().map(|endpoint| (endpoint.id, endpoint.port, endpoint.allow_private)).collect();
    assert_eq!(seen, [(0, 6666, true), (1, 7777, true)]);
    assert_eq!((snapshot.providers[0].endpoint, snapshot.models[0].routes[0].id), (1, RouteId(1)));
    let account = snapshot.keys[0].account;

    gateway.say(&[record(&usage(account), 1), record(&usage(account), 2)]).await;
    gateway.hear_ack(2).await;
    drop(gateway);
    // The acknowledgement was lost: everything comes again, and one more.
    let (mut gateway, ..) = control.link(INSTANCE).await;
    gateway.hear_ack(2).await;
    gateway.say(&[1, 2, 3].map(|sequence| record(&usage(account), sequence))).await;
    gateway.hear_ack(3).await;
    let records = control.ask("GET", "/v1/records", "").await.body;
    assert_eq!(records["records"].as_array().unwrap().len(), 3);
    let first = &records["records"][0];
    assert_eq!((first["provider"].as_str(), first["model"].as_str()), (Some("engine"), Some("small")));
    assert_eq!((first["input_units"].as_u64(), first["output_units"].as_u64()), (Some(11), Some(22)));
    assert_eq!(first["account"], account.to_string());
    assert!(gateway.hear_until(|frame| matches!(frame, Down::Heartbeat).then_some(())).await.is_some());
    for alarm in lethe_control::Alarm::ALL {
        assert_eq!(control.alarm(alarm.name()).await, 0, "{}", alarm.name());
    }
    drop(gateway);
    control.end().await;
}

#[tokio::test]
async fn another_configuration_reaches_the_links_that_are_open() {
    let folder = TempDir::new().unwrap();
    let control = Control::start(&folder).await;
    let (mut gateway, first, before) = control.link(INSTANCE).await;
    let ControlStart { mut providers, mut models, .. } = harness::start(folder.path());
    providers[0].dial = Some(Address { host: "127.0.0.1".into(), port: 7778 });
    models[0].id = "other".into();
    models[0].routes[0].model = "upstream-2".into();
    control.order(ToControl::Configure { providers: providers.clone(), models: models.clone() });
    let FromControl::Configured(Ok(endpoints)) = control.news().await else { panic!("refused") };
    let FromControl::Issued(identities) = control.news().await else { panic!("nothing issued") };
    assert!(identities.iter().all(|(role, identity)| identity.chain != control.identity(*role).chain));
    let pushed = gateway.hear_until(|frame| if let Down::Endpoints(list) = frame { Some(list) } else { None }).await.unwrap();
    let Down::Snapshot(after) = gateway.hear().await.unwrap() else { panic!("the snapshot comes after the endpoints") };
    assert!(pushed == endpoints && pushed != first);
    let list = |signed: &[u8]| SignedEndpoints::verify(signed, &control.ready.verify_key).unwrap();
    assert!(list(&pushed).version > list(&first).version && after.version > before.version);
    assert_eq!(list(&pushed).endpoints[1].port, 7778);
    assert_eq!((after.models.len(), after.models[0].id.as_str(), after.keys.len()), (1, "other", 1));
    // Records of the route that left are still taken, and those of the new one as well.
    let account = after.keys[0].account;
    let new = Usage { route: after.models[0].routes[0].id, ..usage(account) };
    assert_ne!(new.route, before.models[0].routes[0].id);
    gateway.say(&[record(&usage(account), 1), record(&new, 2)]).await;
    gateway.hear_ack(2).await;
    assert_eq!(control.alarm("refused_record").await, 0);

    // One that cannot be leaves everything as it is.
    models[0].routes[0].provider = "nobody".into();
    control.order(ToControl::Configure { providers, models });
    assert!(matches!(control.news().await, FromControl::Configured(Err(_))));
    let (_again, endpoints, snapshot) = control.link(InstanceId([9; 12])).await;
    assert_eq!((endpoints, snapshot.models[0].id.as_str()), (pushed, "other"));
    control.end().await;
}

#[tokio::test]
async fn a_key_is_in_force_and_out_of_force_within_a_second() {
    let folder = TempDir::new().unwrap();
    let control = Control::start(&folder).await;
    let (mut gateway, _, snapshot) = control.link(INSTANCE).await;
    assert_eq!(snapshot.keys.len(), 1);

    let second = Duration::from_secs(1);
    let created = control.ask("POST", "/v1/keys", r#"{"name":"second"}"#).await;
    assert_eq!(created.status, 201);
    let added = gateway.hear_until(|frame| if let Down::KeyAdded(entry) = frame { Some(entry) } else { None });
    let entry = timeout(second, added).await.unwrap().unwrap();
    assert_eq!((entry.id, entry.account.to_string()), (KeyId(2), created.body["account"].as_str().unwrap().to_owned()));

    // The clock runs from before the operator asks.
    let revoked = timeout(second, async {
        let revoked = gateway.hear_until(|frame| if let Down::KeyRevoked(id) = frame { Some(id) } else { None });
        let (asked, revoked) = tokio::join!(control.ask("DELETE", "/v1/keys/1", ""), revoked);
        assert_eq!(asked.status, 200);
        revoked
    });
    assert_eq!(revoked.await.unwrap(), Some(KeyId(1)));

    // A gateway that links later is not told of it at all.
    let (later_gateway, _, later) = control.link(InstanceId([7; 12])).await;
    assert_eq!(later.keys.iter().map(|entry| entry.id).collect::<Vec<_>>(), [KeyId(2)]);
    assert!(later.version > snapshot.version);
    // The last requests of a revoked key are still booked.
    gateway.say(&[record(&usage(snapshot.keys[0].account), 1)]).await;
    gateway.hear_ack(1).await;
    assert_eq!(control.alarm("refused_record").await, 0);
    drop(gateway);
    drop(later_gateway);
    control.end().await;
}

#[tokio::test]
async fn only_a_gateway_of_this_authority_is_let_in() {
    let folder = TempDir::new().unwrap();
    let control = Control::start(&folder).await;

    // With TLS 1.3 a client finishes before the server has judged its certificate: the refusal is what it reads.
    let mut stranger = control.connect(None).await.unwrap();
    assert!(stranger.hear().await.is_none());
    control.expect_alarm("foreign_client", 1).await;

    let elsewhere = TempDir::new().unwrap();
    let foreign = Authority::open(elsewhere.path(), SystemClock.now()).unwrap();
    let foreign = foreign.issue(Role::Gateway, SystemClock.now()).unwrap();
    let mut stranger = control.connect(Some(&foreign)).await.unwrap();
    assert!(stranger.hear().await.is_none());
    control.expect_alarm("foreign_client", 2).await;

    let mut node = control.connect(Some(control.identity(Role::Node))).await.unwrap();
    assert!(node.hear().await.is_none());
    control.expect_alarm("wrong_role", 1).await;

    let other_protocol = control.connect_with(Some(control.identity(Role::Gateway)), b"lethe-link/0").await;
    assert!(other_protocol.is_err());
    control.expect_alarm("foreign_client", 3).await;

    // An outdated certificate of this authority.
    let authority = Authority::open(folder.path(), SystemClock.now()).unwrap();
    let hundred_days = 100 * 24 * 60 * 60 * 1000;
    let outdated = authority.issue(Role::Gateway, SystemClock.now() - hundred_days).unwrap();
    assert!(control.connect(Some(&outdated)).await.unwrap().hear().await.is_none());
    control.expect_alarm("foreign_client", 4).await;

    // The control: the same with the right certificate.
    let current = authority.issue(Role::Gateway, SystemClock.now()).unwrap();
    let mut gateway = control.connect_with(Some(&current), ALPN).await.unwrap();
    gateway.hello(INSTANCE).await;
    assert!(matches!(gateway.hear().await, Some(Down::Endpoints(_))));
    drop(gateway);
    control.end().await;
}

#[tokio::test]
async fn a_gateway_of_the_version_before_is_served_and_says_what_it_could() {
    let folder = TempDir::new().unwrap();
    let control = Control::start(&folder).await;
    let link = async |version: u16| {
        let mut gateway = control.connect_with(Some(control.identity(Role::Gateway)), ALPN_BEFORE).await.unwrap();
        gateway.hello_in(version, INSTANCE).await;
        gateway
    };
    let mut gateway = link(PROTOCOL - 1).await;
    assert!(matches!(gateway.hear().await, Some(Down::Endpoints(_))));
    let Some(Down::Snapshot(snapshot)) = gateway.hear().await else { panic!("the same comes down") };
    let failure = Up::Tally(Tally { of: Counted::Failure(RouteId(1), Failure::Cut), total: 1 });
    gateway.say(&[record(&usage(snapshot.keys[0].account), 1), failure]).await;
    gateway.hear_ack(1).await;
    // What it has no word for it does not say.
    gateway.say(&[Up::Tally(Tally { of: Counted::Routed(RouteId(1), Routed::Attempt), total: 1 })]).await;
    gateway.hear_end().await;
    control.expect_alarm("protocol", 1).await;
    // Nor does a hello name another version than the handshake.
    link(PROTOCOL).await.hear_end().await;
    control.expect_alarm("protocol", 2).await;
    control.end().await;
}

#[tokio::test]
async fn what_a_gateway_must_not_say_ends_its_link_and_is_counted() {
    let folder = TempDir::new().unwrap();
    let control = Control::start(&folder).await;

    let (mut gateway, _, snapshot) = control.link(INSTANCE).await;
    let account = snapshot.keys[0].account;
    gateway.stream.write_all(&[2, 0, 65, 0, 0, 0]).await.unwrap();
    gateway.hear_end().await;
    control.expect_alarm("malformed_frame", 1).await;

    // A text where a record should be.
    let (mut gateway, ..) = control.link(INSTANCE).await;
    gateway.stream.write_all(&[[2, 0, 64, 0, 0, 0].as_slice(), &[b'p'; 64]].concat()).await.unwrap();
    gateway.hear_end().await;
    control.expect_alarm("malformed_frame", 2).await;

    let (mut gateway, ..) = control.link(INSTANCE).await;
    gateway.say(&[record(&usage(account), 2)]).await;
    gateway.hear_end().await;
    control.expect_alarm("record_gap", 1).await;

    let (mut gateway, ..) = control.link(INSTANCE).await;
    gateway.say(&[Up::Record(UsageRecord::new(&usage(account), InstanceId([8; 12]), 1))]).await;
    gateway.hear_end().await;
    control.expect_alarm("protocol", 1).await;

    let (mut gateway, ..) = control.link(INSTANCE).await;
    gateway.hello(INSTANCE).await;
    gateway.hear_end().await;
    control.expect_alarm("protocol", 2).await;

    let mut silent = control.connect(Some(control.identity(Role::Gateway))).await.unwrap();
    silent.say(&[record(&usage(account), 1)]).await;
    silent.hear_end().await;
    control.expect_alarm("protocol", 3).await;
    assert_eq!(control.ask("GET", "/v1/status", "").await.body["records"], 0);

    // The control: a correct one is booked.
    let (mut gateway, ..) = control.link(INSTANCE).await;
    gateway.say(&[record(&usage(account), 1)]).await;
    gateway.hear_ack(1).await;
    assert_eq!(control.ask("GET", "/v1/status", "").await.body["records"], 1);
    drop(gateway);
    control.end().await;
}

#[tokio::test]
async fn a_record_out_of_bounds_is_refused_and_does_not_hold_up_the_next() {
    let folder = TempDir::new().unwrap();
    let control = Control::start(&folder).await;
    let (mut gateway, _, snapshot) = control.link(INSTANCE).await;
    let good = usage(snapshot.keys[0].account);
    let day = 24 * 60 * 60 * 1000;
    let nobody = Usage { account: AccountPseudonym(0), route: RouteId::NONE, unit_class: UnitClass::None, status: 401, ..good };
    let refused = [
        Usage { account: AccountPseudonym(good.account.0 ^ 1), ..good },
        Usage { route: RouteId(2), ..good },
        Usage { timestamp: good.timestamp - day - 60_000, ..good },
        Usage { timestamp: good.timestamp + day + 60_000, ..good },
        Usage { timestamp: u64::MAX, ..good },
        Usage { account: AccountPseudonym(0), ..good },
    ];
    let kept = [Usage { route: RouteId::NONE, ..good }, nobody, Usage { timestamp: good.timestamp - day + 60_000, ..good }];
    let frames: Vec<Up> = refused.iter().chain(&kept).zip(1..).map(|(usage, sequence)| record(usage, sequence)).collect();
    gateway.say(&frames).await;
    gateway.hear_ack(9).await;
    assert_eq!(control.alarm("refused_record").await, 6);
    let records = control.ask("GET", "/v1/records", "").await.body;
    let seen: Vec<_> = records["records"].as_array().unwrap().iter().map(|record| record["status"].as_u64()).collect();
    assert_eq!(seen, [Some(200), Some(401), Some(200)]);
    drop(gateway);
    control.end().await;
}

#[tokio::test]
async fn one_gateway_cannot_pose_as_the_start_of_another() {
    let folder = TempDir::new().unwrap();
    let control = Control::start(&folder).await;
    let (mut gateway, _, snapshot) = control.link(INSTANCE).await;
    let authority = Authority::open(folder.path(), SystemClock.now()).unwrap();
    let other = authority.issue(Role::Gateway, SystemClock.now()).unwrap();
    let mut other = control.connect(Some(&other)).await.unwrap();
    other.hello(INSTANCE).await;
    other.hear_end().await;
    control.expect_alarm("instance_taken", 1).await;
    gateway.say(&[record(&usage(snapshot.keys[0].account), 1)]).await;
    gateway.hear_ack(1).await;
    drop(gateway);
    drop(other);
    control.end().await;
}

/// A clock that can be set forward.
#[derive(Default)]
struct Ahead(AtomicU64);

impl Clock for Ahead {
    fn now(&self) -> Millis {
        SystemClock.now() + self.0.load(Ordering::Relaxed)
    }
}

async fn unaccounted(control: &Control) -> u64 {
    control.ask("GET", "/v1/status", "").await.body["unaccounted_requests"].as_u64().unwrap()
}

async fn expect_unaccounted(control: &Control, wanted: u64) {
    let owed = async {
        while unaccounted(control).await != wanted {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(harness::LONG, owed).await.unwrap();
    assert_eq!(control.ask("GET", "/v1/records", "").await.body["unaccounted_requests"], wanted);
}

#[tokio::test]
async fn what_a_vanished_gateway_began_is_unaccounted_until_it_comes_back() {
    let folder = TempDir::new().unwrap();
    let clock = Arc::new(Ahead::default());
    let control = Control::start_at(harness::start(folder.path()), &folder, clock.clone()).await;
    let (mut gateway, _, snapshot) = control.link(INSTANCE).await;
    let beat = Beat { started: 5, finished: 1, pending: 1 };
    gateway.say(&[record(&usage(snapshot.keys[0].account), 1), Up::Heartbeat(beat)]).await;
    gateway.hear_ack(1).await;
    let status = control.ask("GET", "/v1/status", "").await.body;
    assert_eq!((&status["gateways"][0]["started"], &status["gateways"][0]["committed"]), (&5.into(), &1.into()));
    drop(gateway);
    // Not yet: it has half a minute to come back.
    timeout(harness::LONG, async {
        while control.ask("GET", "/v1/status", "").await.body["gateways"] != serde_json::json!([]) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await
    .unwrap();
    assert_eq!(unaccounted(&control).await, 0);
    clock.0.fetch_add(31_000, Ordering::Relaxed);
    expect_unaccounted(&control, 4).await;

    // Control's own end does not make it forget.
    control.end().await;
    let control = Control::start_at(harness::start(folder.path()), &folder, clock.clone()).await;
    assert_eq!(unaccounted(&control).await, 4);
    // It was only cut off: nothing is lost yet, and what it delivers now counts.
    let (mut gateway, ..) = control.link(INSTANCE).await;
    expect_unaccounted(&control, 0).await;
    let now = Usage { timestamp: clock.now(), ..usage(snapshot.keys[0].account) };
    gateway.say(&[record(&now, 2), record(&now, 3), Up::Heartbeat(Beat { started: 6, finished: 3, pending: 2 })]).await;
    gateway.hear_ack(3).await;
    drop(gateway);
    // It has started anew: what the start before it owes will never come.
    let (gateway, ..) = control.link(InstanceId([7; 12])).await;
    expect_unaccounted(&control, 3).await;
    drop(gateway);
    control.end().await;
}

/// Control learns of requests without a record too, and knows of them after it was killed.
#[tokio::test]
async fn counters_are_durable_without_a_record() {
    let folder = TempDir::new().unwrap();
    let control = Control::start(&folder).await;
    let (mut gateway, ..) = control.link(INSTANCE).await;
    gateway.say(&[Up::Heartbeat(Beat { started: 2, finished: 0, pending: 0 })]).await;
    let started = async {
        let store = Store::open(&folder.path().join("control.db")).await.unwrap();
        // Read as another process would: what is there has been committed.
        while store.owed(INSTANCE).await != Ok(2) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(harness::LONG, started).await.unwrap();
    drop(gateway);
    control.end().await;
}

#[tokio::test]
async fn on_shutdown_what_is_pending_is_delivered_first() {
    let folder = TempDir::new().unwrap();
    let control = Control::start(&folder).await;
    let (mut gateway, _, snapshot) = control.link(INSTANCE).await;
    let account = snapshot.keys[0].account;
    let link = control.link;
    let task = control.shut_down();
    // Nothing new is let in …
    timeout(harness::LONG, async { while tokio::net::TcpStream::connect(link).await.is_ok() {} }).await.unwrap();
    // … what is linked may finish.
    gateway.say(&[record(&usage(account), 1), Up::Heartbeat(Beat { started: 2, finished: 1, pending: 1 })]).await;
    gateway.hear_ack(1).await;
    gateway.say(&[record(&usage(account), 2)]).await;
    gateway.hear_ack(2).await;
    gateway.say(&[Up::Heartbeat(Beat { started: 2, finished: 2, pending: 0 })]).await;
    gateway.hear_end().await;
    timeout(harness::LONG, task).await.unwrap().unwrap().unwrap();
    assert!(!folder.path().join("control.db-wal").exists());

    let control = Control::start(&folder).await;
    assert_eq!(control.ask("GET", "/v1/status", "").await.body["records"], 2);
    control.end().await;
}
