//! Accepting clients and spreading them over the workers.

use std::cell::Cell;
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use lethe_content::stack;
use lethe_types::{Network, Refused};
use rustls::ServerConfig;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio::task::LocalSet;
use tokio::time::timeout;

use crate::connection;
use crate::counts;
use crate::idle::Idle;
use crate::shared::Shared;
use crate::upstream::Upstreams;

/// Between two attempts when no descriptor or memory is left to accept with.
const EXHAUSTED: Duration = Duration::from_millis(20);
/// What accept(2) fails with then: ENOMEM, ENFILE, EMFILE, ENOBUFS.
const EXHAUSTION: [i32; 4] = [12, 23, 24, 105];
/// For idle connections that were told to close to give their descriptors back.
const GIVING_BACK: Duration = Duration::from_millis(1);
/// Idle connections that are closed at once then.
const CLOSED_AT_ONCE: usize = 32;
/// For an idle connection to close once it was chosen.
const CLOSING: Duration = Duration::from_millis(500);
/// Connections beyond the limit that are told so at once; more wait in the backlog.
const BEYOND: usize = 64;
/// Between two looks at idle connections to providers.
const SWEEP: Duration = Duration::from_secs(15);

/// How long the depth of a busy thread's stack may keep what a request left there. Each rest wipes what is usually reached;
/// the rest of it is wiped as often as this, and once more after the last request.
const DEEP_WIPE: Duration = Duration::from_millis(50);

thread_local! {
    /// Requests that this thread is serving.
    static OPEN: Cell<u32> = const { Cell::new(0) };
    /// A request has ended on this thread since its stack was wiped last.
    static ENDED: Cell<bool> = const { Cell::new(false) };
    /// The next rest wipes deep.
    static DEEP: Cell<bool> = const { Cell::new(false) };
    /// Wakes the task that asks for deep wipes; there is one such task a worker.
    static ASK_DEEP: Rc<Notify> = Rc::new(Notify::new());
}

/// A request that this thread is serving: content may be on its stack until the rest that follows the end.
pub(crate) struct Serving(());

impl Serving {
    pub(crate) fn begin() -> Self {
        OPEN.set(OPEN.get() + 1);
        ASK_DEEP.with(|ask| ask.notify_one());
        Self(())
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        OPEN.set(OPEN.get() - 1);
        ENDED.set(true);
    }
}

/// Called when this thread has nothing to do for now.
fn rest() {
    if DEEP.replace(false) {
        stack::wipe();
    } else if OPEN.get() > 0 || ENDED.get() {
        stack::wipe_usual();
    }
    ENDED.set(false);
}

/// Asks for a deep wipe every while that requests are served, and once after the last one.
async fn ask_for_deep_wipes() {
    let ask = ASK_DEEP.with(Rc::clone);
    loop {
        ask.notified().await;
        let mut open = true;
        while open {
            open = OPEN.get() > 0;
            tokio::time::sleep(DEEP_WIPE).await;
            // The thread rests after this turn.
            DEEP.set(true);
        }
    }
}

/// A client on its way to a worker; the permit counts it until it is gone.
pub(crate) struct Accepted {
    socket: std::net::TcpStream,
    seat: Seat,
}

/// Counts a connection for as long as it is open.
struct Seat {
    /// Beyond the limit: it is refused.
    beyond: bool,
    _permit: OwnedSemaphorePermit,
}

/// A worker as the listener knows it.
pub(crate) struct Worker {
    pub(crate) arrivals: mpsc::UnboundedSender<Accepted>,
    pub(crate) idle: Arc<Idle>,
}

/// Room for connections.
pub(crate) struct Room {
    /// Up to the limit.
    pub(crate) seats: Arc<Semaphore>,
    beyond: Arc<Semaphore>,
}

impl Room {
    pub(crate) fn new(max_connections: u32) -> Self {
        let most = usize::try_from(max_connections).unwrap_or(usize::MAX).min(Semaphore::MAX_PERMITS);
        Self { seats: Arc::new(Semaphore::new(most)), beyond: Arc::new(Semaphore::new(BEYOND)) }
    }

    /// A seat for one more. At the limit an idle connection is closed for it; where none is idle it is refused.
    async fn seat(&self, workers: &[Worker]) -> Option<Seat> {
        let seat = |permit, beyond| Some(Seat { beyond, _permit: permit });
        if let Ok(permit) = Arc::clone(&self.seats).try_acquire_owned() {
            return seat(permit, false);
        }
        if close_an_idle_one(workers)
            && let Ok(Ok(permit)) = timeout(CLOSING, Arc::clone(&self.seats).acquire_owned()).await
        {
            return seat(permit, false);
        }
        if let Ok(permit) = Arc::clone(&self.beyond).try_acquire_owned() {
            return seat(permit, true);
        }
        Arc::clone(&self.seats).acquire_owned().await.ok().and_then(|permit| seat(permit, false))
    }
}

/// Has the longest idle connection of some worker closed; false if none is idle.
fn close_an_idle_one(workers: &[Worker]) -> bool {
    let most = workers.iter().max_by_key(|worker| worker.idle.count());
    most.is_some_and(|worker| worker.idle.close_one())
}

/// An eighth of the idle connections, up to [`CLOSED_AT_ONCE`] (nginx's rule): whoever waits to be accepted needs a descriptor, and
/// another toward a provider. False if none is idle.
fn close_idle_ones(workers: &[Worker]) -> bool {
    let idle: usize = workers.iter().map(|worker| worker.idle.count()).sum();
    for _ in 0..(idle / 8).min(CLOSED_AT_ONCE) {
        close_an_idle_one(workers);
    }
    close_an_idle_one(workers)
}

/// Accepts until the drain begins, in turns for each worker.
pub(crate) async fn accept(
    listener: TcpListener,
    trusted_peers: Vec<Network>,
    workers: Vec<Worker>,
    room: Arc<Room>,
    mut draining: watch::Receiver<bool>,
) {
    let mut turn = 0;
    loop {
        let accepted = async {
            match listener.accept().await {
                // Closed without a word: nobody but the proxy in front is served in the clear.
                Ok((_, peer)) if !is_trusted(&trusted_peers, peer.ip()) => {
                    counts::turned_away(Refused::UntrustedPeer);
                    None
                }
                Ok((socket, _)) => Some((socket, room.seat(&workers).await?)),
                Err(error) => {
                    let exhausted = error.raw_os_error().is_some_and(|code| EXHAUSTION.contains(&code));
                    let closing = exhausted && close_idle_ones(&workers);
                    tokio::time::sleep(if closing { GIVING_BACK } else { EXHAUSTED }).await;
                    None
                }
            }
        };
        let accepted = tokio::select! {
            biased;
            _ = draining.wait_for(|draining| *draining) => return,
            accepted = accepted => accepted,
        };
        let Some((socket, seat)) = accepted else { continue };
        // Small answers must not wait for more (RFC 896's delay); a socket that refuses works all the same.
        drop(socket.set_nodelay(true));
        if let Ok(socket) = socket.into_std() {
            // A worker that is gone has panicked outside a request: its share is refused by closing.
            drop(workers[turn % workers.len()].arrivals.send(Accepted { socket, seat }));
            turn += 1;
        }
    }
}

fn is_trusted(peers: &[Network], address: IpAddr) -> bool {
    peers.is_empty() || peers.iter().any(|network| network.contains(address.to_canonical()))
}

/// Runs one worker on this thread for as long as the process lives.
pub(crate) fn work(
    mut arrivals: mpsc::UnboundedReceiver<Accepted>,
    idle: Arc<Idle>,
    shared: Arc<Shared>,
    tls: Option<Arc<ServerConfig>>,
) {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_io().enable_time().on_thread_park(rest);
    let Ok(runtime) = builder.build() else { return };
    let local = LocalSet::new();
    let upstreams = Rc::new(Upstreams::new(shared, idle));
    local.spawn_local(ask_for_deep_wipes());
    local.spawn_local({
        let upstreams = Rc::clone(&upstreams);
        async move {
            loop {
                tokio::time::sleep(SWEEP).await;
                upstreams.pool.sweep();
            }
        }
    });
    runtime.block_on(local.run_until(async move {
        while let Some(Accepted { socket, seat }) = arrivals.recv().await {
            let Ok(socket) = TcpStream::from_std(socket) else { continue };
            let (tls, upstreams) = (tls.clone(), Rc::clone(&upstreams));
            tokio::task::spawn_local(async move {
                connection::serve(socket, tls, upstreams, seat.beyond).await;
                drop(seat);
            });
        }
        // No more arrivals: what is open goes on until the process ends, which the drain decides.
        std::future::pending::<()>().await;
    }));
}
