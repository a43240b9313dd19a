//! The gateway's life: take in the start, serve, drain.

use std::net::TcpListener as StdListener;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use lethe_confine::dial;
use lethe_confine::start::GatewayStart;
use lethe_handover::{FromChild, Stage};
use lethe_link::Outbox;
use lethe_tls::{Certificate, client_of_authority, server_for_clients};
use lethe_usage::InstanceId;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::LocalSet;
use tokio::time::{sleep, timeout};

use crate::linked::Link;
use crate::listener::{Room, Worker};
use crate::shared::Shared;
use crate::supervised::{Farewell, Supervised};
use crate::{listener, probes};

/// ALPN between gateway and node.
const NODE_PROTOCOL: &[u8] = b"http/1.1";
/// For control to acknowledge the last records on a drain.
const LAST_RECORDS: Duration = Duration::from_secs(5);
/// For the first snapshot before clients are let in: until it is there they wait in the backlog, and beyond it they are told.
const FIRST_SNAPSHOT: Duration = Duration::from_secs(10);
/// The same for probes, which wait less.
const FIRST_PROBE: Duration = Duration::from_secs(1);
/// For clients to move over to the gateway that has taken this one's place, before idle connections are closed.
const MOVING: Duration = Duration::from_secs(5);
/// For streams that were open then: every request has limits of its own that end it before this.
const RETIRED: Duration = Duration::from_secs(60 * 60);
/// Stack of a worker thread, in bytes: generous for JSON nesting and TLS, small enough to bound.
const WORKER_STACK: usize = 2 * 1024 * 1024;

/// Serves until the supervisor asks for a drain, then finishes what is open and returns.
///
/// # Errors
/// [`Stage::Role`] when something in the boot message is not what it should be.
pub fn run(start: GatewayStart) -> Result<(), Stage> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build().map_err(|_| Stage::Role)?;
    runtime.block_on(LocalSet::new().run_until(serve(start)))
}

async fn serve(start: GatewayStart) -> Result<(), Stage> {
    let GatewayStart {
        client_tls,
        trusted_peers,
        identity,
        limits,
        client_listener,
        probe_listener,
        dialer,
        arena,
        channel,
        mut progress,
        watch: posture,
    } = start;
    progress.begin(Stage::Role);
    let own = Certificate::new(&identity.chain, identity.key).map_err(|_| Stage::Role)?;
    let toward = |protocol: &[u8]| client_of_authority(&identity.authority, Arc::clone(&own), protocol).map_err(|_| Stage::Role);
    let (link, nodes) = (toward(lethe_link::ALPN)?, toward(NODE_PROTOCOL)?);
    let certificate = client_tls.map(|tls| Certificate::new(&tls.chain, tls.key)).transpose().map_err(|_| Stage::Role)?;
    let tls = certificate.clone().map(server_for_clients).transpose().map_err(|_| Stage::Role)?;
    let clients = listen(client_listener)?;
    let probe_listener = listen(probe_listener)?;
    let dialer = dial::Client::new(dialer).map_err(|_| Stage::Role)?;
    let channel = channel.into_async().map_err(|_| Stage::Role)?;

    let (drain, draining) = watch::channel(false);
    let capacity = usize::try_from(limits.max_pending_records).unwrap_or(usize::MAX);
    let outbox = Outbox::new(InstanceId(random()?), capacity);
    let shared = Arc::new(Shared::new(limits, Arc::clone(&outbox), dialer.clone(), draining.clone()));

    let room = Arc::new(Room::new(limits.max_connections));
    let mut workers = Vec::new();
    for _ in 0..limits.workers.max(1) {
        let (sender, receiver) = mpsc::unbounded_channel();
        let (shared, tls) = (Arc::clone(&shared), tls.clone());
        let worker = Worker { arrivals: sender, idle: Arc::default() };
        let idle = Arc::clone(&worker.idle);
        let builder = thread::Builder::new().stack_size(WORKER_STACK);
        builder.spawn(move || listener::work(receiver, idle, shared, tls)).map_err(|_| Stage::Role)?;
        workers.push(worker);
    }
    tokio::task::spawn_local({
        let shared = Arc::clone(&shared);
        async move {
            drop(timeout(FIRST_PROBE, shared.filled()).await);
            probes::serve(probe_listener, shared).await;
        }
    });
    let build = lethe_confine::panic::BUILD;
    tokio::task::spawn_local(Link { shared: Arc::clone(&shared), config: link, nodes, arena: arena.clone(), build }.keep());
    let accepting = tokio::task::spawn_local({
        let (shared, room, mut ending) = (Arc::clone(&shared), Arc::clone(&room), draining.clone());
        async move {
            tokio::select! {
                _ = timeout(FIRST_SNAPSHOT, shared.filled()) => {}
                _ = ending.wait_for(|draining| *draining) => return,
            }
            listener::accept(clients, trusted_peers, workers, room, draining).await;
        }
    });

    channel.send(&FromChild::Ready(Box::new(posture.posture().clone())), &[]).await.map_err(|_| Stage::Role)?;
    progress.serving();
    let supervised = Supervised { channel, watch: posture, dialer, clients: certificate, own, arena };
    let farewell = tokio::select! {
        farewell = supervised.until_farewell() => farewell,
        farewell = tell_linked(&shared, &supervised) => farewell,
    };
    // Every permit back is every connection ended.
    let open = Semaphore::acquire_many(&room.seats, limits.max_connections);
    tokio::pin!(open);
    if farewell == Farewell::Retire {
        accepting.abort();
        shared.retire();
        tokio::select! {
            _ = &mut open => {}
            // Clients that keep an idle connection get a while to use it once more, and are told to close it then.
            () = sleep(MOVING) => {
                let _ = drain.send(true);
                tokio::select! {
                    _ = timeout(RETIRED, &mut open) => {}
                    _ = supervised.until_farewell() => drop(timeout(Duration::from_secs(limits.drain_seconds.into()), &mut open).await),
                }
            }
            _ = supervised.until_farewell() => {
                let _ = drain.send(true);
                drop(timeout(Duration::from_secs(limits.drain_seconds.into()), &mut open).await);
            }
        }
    } else {
        let _ = drain.send(true);
        drop(accepting.await);
        drop(timeout(Duration::from_secs(limits.drain_seconds.into()), open).await);
    }
    drop(timeout(LAST_RECORDS, outbox.settled()).await);
    let _ = supervised.channel.send(&FromChild::Drained, &[]).await;
    Ok(())
}

/// Tells the supervisor once there is a snapshot; has nothing else to say.
async fn tell_linked(shared: &Shared, supervised: &Supervised) -> Farewell {
    shared.filled().await;
    let _ = supervised.channel.send(&FromChild::Linked, &[]).await;
    std::future::pending().await
}

fn listen(socket: OwnedFd) -> Result<TcpListener, Stage> {
    let listener = StdListener::from(socket);
    listener.set_nonblocking(true).map_err(|_| Stage::Role)?;
    TcpListener::from_std(listener).map_err(|_| Stage::Role)
}

fn random<const N: usize>() -> Result<[u8; N], Stage> {
    let mut bytes = [0; N];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| Stage::Role)?;
    Ok(bytes)
}
