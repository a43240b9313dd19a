//! The node front's life.

use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use lethe_confine::channel::{AsyncChannel, Channel};
use lethe_confine::start::NodeStart;
use lethe_handover::{FromChild, Stage, ToChild};
use lethe_tls::{Certificate, TlsStream, server_of_authority};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use rustls::ServerConfig;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::sync::Semaphore;
use tokio::task::LocalSet;
use tokio::time::timeout;

use crate::splice::splice;

/// ALPN between gateway and node.
const PROTOCOL: &[u8] = b"http/1.1";
const HANDSHAKE: Duration = Duration::from_secs(10);
/// The message beside each descriptor: a packet must hold at least one byte.
const CONNECTION: u8 = 0;
/// For open connections to finish on a drain. Gateways drain first, so there is nothing left as a rule.
const DRAIN: Duration = Duration::from_secs(5);
/// The same when another front has taken this one's place: gateways give their idle connections up before this.
const RETIRED: Duration = Duration::from_secs(60 * 60);

/// Serves until the supervisor asks for a drain.
///
/// # Errors
/// [`Stage::Role`] when something in the boot message is not what it should be.
pub fn run(start: NodeStart) -> Result<(), Stage> {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_io().enable_time().on_thread_park(lethe_content::stack::wipe);
    let runtime = builder.build().map_err(|_| Stage::Role)?;
    runtime.block_on(LocalSet::new().run_until(serve(start)))
}

async fn serve(start: NodeStart) -> Result<(), Stage> {
    let NodeStart { identity, max_connections, arena, listener, acceptor, channel, mut progress, watch } = start;
    progress.begin(Stage::Role);
    let own = Certificate::new(&identity.chain, identity.key).map_err(|_| Stage::Role)?;
    let tls = server_of_authority(&identity.authority, Arc::clone(&own), PROTOCOL).map_err(|_| Stage::Role)?;
    let listener = std::net::TcpListener::from(listener);
    listener.set_nonblocking(true).map_err(|_| Stage::Role)?;
    let listener = TcpListener::from_std(listener).map_err(|_| Stage::Role)?;
    let acceptor = Channel::from_fd(acceptor).and_then(Channel::into_async).map_err(|_| Stage::Role)?;
    let channel = channel.into_async().map_err(|_| Stage::Role)?;
    let room = Arc::new(Semaphore::new(usize::try_from(max_connections).unwrap_or(1)));
    let accepting = tokio::task::spawn_local(accept(listener, tls, Rc::new(acceptor), Arc::clone(&room)));

    channel.send(&FromChild::Ready(Box::new(watch.posture().clone())), &[]).await.map_err(|_| Stage::Role)?;
    progress.serving();
    let limit = loop {
        match channel.recv::<ToChild>().await {
            Ok((ToChild::SelfTest, _)) => {
                let posture = FromChild::Posture(Box::new(watch.again()));
                if channel.send(&posture, &[]).await.is_err() {
                    break DRAIN;
                }
            }
            Ok((ToChild::Identity(identity), _)) => {
                let key = arena.put(identity.key.expose());
                let taken = key.is_ok_and(|key| own.replace(&identity.chain, key).is_ok());
                // A supervisor that is gone is noticed by the next receive.
                let _ = channel.send(&FromChild::Rotated(taken), &[]).await;
            }
            Ok((ToChild::Retire, _)) => break RETIRED,
            Ok((ToChild::Drain, _)) | Err(_) => break DRAIN,
            Ok(_) => {}
        }
    };
    accepting.abort();
    let open = timeout(limit, room.acquire_many(max_connections));
    tokio::pin!(open);
    tokio::select! {
        _ = &mut open => {}
        // Whatever is said now means the end.
        _ = channel.recv::<ToChild>(), if limit == RETIRED => drop(timeout(DRAIN, open).await),
    }
    let _ = channel.send(&FromChild::Drained, &[]).await;
    Ok(())
}

async fn accept(listener: TcpListener, tls: Arc<ServerConfig>, acceptor: Rc<AsyncChannel>, room: Arc<Semaphore>) {
    loop {
        let Ok(permit) = Arc::clone(&room).acquire_owned().await else { return };
        let Ok((socket, _)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(20)).await;
            continue;
        };
        let (tls, acceptor) = (Arc::clone(&tls), Rc::clone(&acceptor));
        tokio::task::spawn_local(async move {
            serve_one(socket, tls, &acceptor).await;
            drop(permit);
        });
    }
}

/// Serves one gateway's connection. Nothing of it is told to anyone: a refused certificate is told by TLS's own alert.
async fn serve_one(socket: TcpStream, tls: Arc<ServerConfig>, acceptor: &AsyncChannel) {
    drop(socket.set_nodelay(true));
    let Ok(Ok(mut gateway)) = timeout(HANDSHAKE, TlsStream::accept(socket, tls)).await else { return };
    let Some((own, other)) = pair() else { return };
    if acceptor.send(&CONNECTION, &[other.as_fd()]).await.is_err() {
        return;
    }
    drop(other);
    let Ok(mut engine) = UnixStream::from_std(own.into()) else { return };
    splice(&mut gateway, &mut engine).await;
    drop(engine);
    drop(timeout(HANDSHAKE, gateway.shutdown()).await);
}

/// A socket pair toward the engine.
fn pair() -> Option<(OwnedFd, OwnedFd)> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    socketpair(AddressFamily::UNIX, SocketType::STREAM, flags, None).ok()
}
