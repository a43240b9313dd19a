//! A control process that is killed again and again under load: every record once.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
#![expect(dead_code, reason = "the harness is shared with other tests")]

mod harness;

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use harness::{INSTANCE, keep_linked, usage};
use lethe_control::{Authority, Listeners};
use lethe_handover::Role;
use lethe_link::{Down, Outbox};
use lethe_store::Store;
use lethe_types::{Clock, SystemClock};
use lethe_usage::Usage;
use tempfile::TempDir;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

/// Set in the process that is control: its folder and its port.
const FOLDER: &str = "LETHE_TEST_CONTROL_FOLDER";
const PORT: &str = "LETHE_TEST_CONTROL_PORT";
const NAME: &str = "a_control_that_is_killed_under_load_loses_and_repeats_nothing";

/// A control in a process of its own; killed when dropped.
struct Process(Child);

impl Process {
    fn start(folder: &Path, port: u16) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", NAME]).env(FOLDER, folder).env(PORT, port.to_string());
        Self(command.stdin(Stdio::null()).stdout(Stdio::null()).spawn().unwrap())
    }
}

impl Drop for Process {
    /// SIGKILL.
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

async fn be_control(folder: &Path) {
    let socket = folder.join("control.sock");
    let _ = std::fs::remove_file(&socket);
    let port: u16 = std::env::var(PORT).unwrap().parse().unwrap();
    let listeners = Listeners {
        link: std::net::TcpListener::bind(("127.0.0.1", port)).unwrap(),
        console: None,
        operator: std::os::unix::net::UnixListener::bind(&socket).unwrap(),
    };
    let (start, clock) = (harness::start(folder), harness::outside(Arc::new(SystemClock)));
    lethe_control::run(
        start,
        listeners,
        clock,
        harness::no_supervisor(),
        std::future::pending(),
        |_| {},
        lethe_control::Mishaps::default(),
    )
    .await
    .unwrap();
}

#[tokio::test]
async fn a_control_that_is_killed_under_load_loses_and_repeats_nothing() {
    if let Some(folder) = std::env::var_os(FOLDER) {
        return be_control(Path::new(&folder)).await;
    }
    let folder = TempDir::new().unwrap();
    // Made here, so that there is one before the first start.
    let authority = Authority::open(folder.path(), SystemClock.now()).unwrap();
    let identity = authority.issue(Role::Gateway, SystemClock.now()).unwrap();
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();

    let mut control = Process::start(folder.path(), port);
    let outbox = Outbox::new(INSTANCE, 1_000_000);
    let (accounts, mut account) = watch::channel(None);
    let take = move |frame| {
        if let Down::Snapshot(snapshot) = frame {
            accounts.send_replace(Some(snapshot.keys[0].account));
        }
    };
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    let link = tokio::spawn(keep_linked(authority.certificate().to_vec(), identity, address, Arc::clone(&outbox), take));
    let account = timeout(Duration::from_secs(30), account.wait_for(Option::is_some)).await.unwrap().unwrap().unwrap();

    let mut units = 0;
    let mut served = async |milliseconds: u64| {
        let until = Instant::now() + Duration::from_millis(milliseconds);
        while Instant::now() < until {
            for _ in 0..10 {
                units += 1;
                let told = Usage { input_units: units, ..usage(account) };
                assert_eq!(outbox.try_reserve().unwrap().record(&told), u64::from(units));
            }
            sleep(Duration::from_millis(2)).await;
        }
        units
    };
    let mut acknowledged = 0;
    for round in 0..6 {
        // Killed while it commits, and at another moment each time.
        served(150 + 37 * round).await;
        let before = outbox.acknowledged();
        drop(control);
        served(60).await;
        control = Process::start(folder.path(), port);
        timeout(Duration::from_secs(30), async {
            while outbox.acknowledged() <= before {
                served(5).await;
            }
        })
        .await
        .unwrap_or_else(|_| panic!("round {round}: nothing is acknowledged any more"));
        acknowledged = outbox.acknowledged();
    }
    let units = served(50).await;
    assert!(acknowledged > 0 && acknowledged <= u64::from(units));
    timeout(Duration::from_secs(30), outbox.settled()).await.unwrap();
    link.abort();
    drop(control);

    let store = Store::open(&folder.path().join("control.db")).await.unwrap();
    let mut booked = Vec::new();
    loop {
        let page = store.metadata_after(booked.len() as u64, 1000).await.unwrap();
        if page.is_empty() {
            break;
        }
        booked.extend(page.iter().map(|row| row.usage.input_units));
    }
    assert_eq!(booked, (1..=units).collect::<Vec<_>>());
    assert_eq!((store.mark(INSTANCE).await, store.owed(INSTANCE).await), (Ok(u64::from(units)), Ok(0)));
}
