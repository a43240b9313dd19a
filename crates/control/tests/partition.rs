//! The real link over TLS through a network that holds bytes back, cuts connections and lets old ones arrive late: every record once.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
#![expect(dead_code, reason = "the harness is shared with other tests")]

mod harness;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use harness::{Control, INSTANCE, keep_linked, usage};
use lethe_handover::Role;
use lethe_link::Outbox;
use lethe_types::AccountPseudonym;
use lethe_usage::Usage;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

/// What the network does with the bytes of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Weather {
    Clear,
    /// Connections end as soon as they say something.
    Cut,
    /// Bytes wait, in both directions, for as long as this lasts; connections that were given up meanwhile are delivered late.
    Held,
    /// What control says does not come back; what gateways say arrives.
    OneWay,
}

async fn network(listener: TcpListener, control: SocketAddr, weather: watch::Receiver<Weather>) {
    loop {
        let (gateway, _) = listener.accept().await.unwrap();
        let weather = weather.clone();
        tokio::spawn(async move {
            let Ok(control) = TcpStream::connect(control).await else { return };
            let (from_gateway, to_gateway) = gateway.into_split();
            let (from_control, to_control) = control.into_split();
            let back = |weather: Weather| matches!(weather, Weather::Held | Weather::OneWay);
            // Each direction on its own: what a gateway said before it gave up still arrives.
            tokio::spawn(carry(from_gateway, to_control, weather.clone(), |weather| weather == Weather::Held));
            tokio::spawn(carry(from_control, to_gateway, weather, back));
        });
    }
}

async fn carry(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut weather: watch::Receiver<Weather>,
    holds: impl Fn(Weather) -> bool + Send,
) {
    let mut piece = [0; 1500];
    loop {
        let Ok(count) = from.read(&mut piece).await else { return };
        if weather.wait_for(|weather| !holds(*weather)).await.is_err() || count == 0 || *weather.borrow() == Weather::Cut {
            return;
        }
        if to.write_all(&piece[..count]).await.is_err() {
            return;
        }
    }
}

#[tokio::test]
async fn a_partitioned_link_loses_nothing_and_books_nothing_twice() {
    let folder = TempDir::new().unwrap();
    let control = Control::start(&folder).await;
    let (greeting, _, snapshot) = control.link(INSTANCE).await;
    drop(greeting);
    let account = snapshot.keys[0].account;

    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (weather, forecast) = watch::channel(Weather::Clear);
    let net = tokio::spawn(network(listener, control.link, forecast));
    let outbox = Outbox::new(INSTANCE, 100_000);
    let (authority, identity) = (control.ready.authority.clone(), control.identity(Role::Gateway).clone());
    let link = tokio::spawn(keep_linked(authority, identity, address, Arc::clone(&outbox), |_| {}));

    use Weather::{Clear, Cut, Held, OneWay};
    let mut units = 0;
    for (turn, milliseconds) in [
        (Clear, 300),
        (Cut, 200),
        (Clear, 200),
        (OneWay, 1700),
        (Clear, 200),
        (Held, 2000),
        (Clear, 100),
        (Cut, 300),
        (OneWay, 1700),
        (Cut, 100),
        (Held, 300),
        (Clear, 200),
    ] {
        weather.send_replace(turn);
        let until = Instant::now() + Duration::from_millis(milliseconds);
        while Instant::now() < until {
            for _ in 0..5 {
                units += 1;
                outbox.try_reserve().unwrap().record(&told(account, units));
            }
            sleep(Duration::from_millis(5)).await;
        }
    }
    timeout(Duration::from_secs(2), outbox.settled()).await.unwrap_or_else(|_| panic!("{} pending", outbox.pending()));
    assert_eq!(outbox.acknowledged(), u64::from(units));

    let mut booked = Vec::new();
    loop {
        let page = control.ask("GET", &format!("/v1/records?limit=1000&after={}", booked.len()), "").await.body;
        let rows = page["records"].as_array().unwrap();
        if rows.is_empty() {
            break;
        }
        booked.extend(rows.iter().map(|row| row["input_units"].as_u64().unwrap()));
    }
    assert_eq!(booked, (1..=u64::from(units)).collect::<Vec<_>>());
    for alarm in ["record_gap", "malformed_frame", "protocol", "refused_record"] {
        assert_eq!(control.alarm(alarm).await, 0, "{alarm}");
    }
    link.abort();
    net.abort();
    let _ = (link.await, net.await);
    control.end().await;
}

fn told(account: AccountPseudonym, units: u32) -> Usage {
    Usage { input_units: units, ..usage(account) }
}
