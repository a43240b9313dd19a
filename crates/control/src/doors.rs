//! The two doors to the operator interface, and who may come in.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use lethe_handover::Identity;
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener, UnixStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use crate::ControlError;
use crate::link_server::certificate;

/// Connections at once, per door.
const CONNECTION_LIMIT: usize = 64;
/// For the TLS handshake, and for a request's head.
const PATIENCE: Duration = Duration::from_secs(10);
/// For open requests on shutdown.
const DRAIN: Duration = Duration::from_secs(2);
/// After an accept that failed for want of something (accept(2): EMFILE, ENFILE, ENOBUFS, ENOMEM).
const PAUSE: Duration = Duration::from_millis(50);

/// Users that the socket lets in.
#[derive(Clone, Copy)]
pub(crate) struct Users {
    own: u32,
    operator: Option<u32>,
}

impl Users {
    /// Root, this process's own user, and `operator`.
    pub(crate) fn new(operator: Option<u32>) -> Result<Self, ControlError> {
        // SO_PEERCRED of a pair that this process made names this process (unix(7)).
        let own = UnixStream::pair().and_then(|(one, _other)| one.peer_cred()).map_err(|_| ControlError::Listener)?.uid();
        Ok(Self { own, operator })
    }

    const fn admit(self, uid: u32) -> bool {
        uid == 0 || uid == self.own || matches!(self.operator, Some(operator) if operator == uid)
    }
}

/// TLS of the console: 1.3 only, no client certificate (the operator token says who is asking).
pub(crate) fn tls_config(identity: &Identity) -> Result<ServerConfig, ControlError> {
    let (chain, key) = certificate(identity)?;
    let mut config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(|_| ControlError::Tls)?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(|_| ControlError::Tls)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

/// Serves the Unix socket until `stop` turns true.
pub(crate) async fn serve_socket(listener: UnixListener, users: Users, router: Router, mut stop: watch::Receiver<bool>) {
    let mut tasks = JoinSet::new();
    loop {
        tokio::select! {
            () = stopped(&mut stop) => break,
            _ = tasks.join_next(), if !tasks.is_empty() => {}
            accepted = listener.accept(), if tasks.len() < CONNECTION_LIMIT => match accepted {
                Ok((stream, _)) => {
                    // The socket's mode keeps others out already; this holds whatever becomes of the mode.
                    if stream.peer_cred().is_ok_and(|peer| users.admit(peer.uid())) {
                        tasks.spawn(serve_connection(stream, router.clone(), stop.clone()));
                    }
                }
                Err(_) => tokio::time::sleep(PAUSE).await,
            },
        }
    }
    finish(tasks).await;
}

/// Serves the console address until `stop` turns true.
pub(crate) async fn serve_console(
    listener: TcpListener,
    tls: watch::Receiver<Arc<ServerConfig>>,
    router: Router,
    mut stop: watch::Receiver<bool>,
) {
    let mut tasks = JoinSet::new();
    loop {
        tokio::select! {
            () = stopped(&mut stop) => break,
            _ = tasks.join_next(), if !tasks.is_empty() => {}
            accepted = listener.accept(), if tasks.len() < CONNECTION_LIMIT => match accepted {
                Ok((stream, _)) => {
                    let acceptor = TlsAcceptor::from(Arc::clone(&tls.borrow()));
                    let (handshake, router, stop) = (acceptor.accept(stream), router.clone(), stop.clone());
                    tasks.spawn(async move {
                        if let Ok(Ok(stream)) = timeout(PATIENCE, handshake).await {
                            serve_connection(stream, router, stop).await;
                        }
                    });
                }
                Err(_) => tokio::time::sleep(PAUSE).await,
            },
        }
    }
    finish(tasks).await;
}

async fn serve_connection<Io>(io: Io, router: Router, mut stop: watch::Receiver<bool>)
where
    Io: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(PATIENCE);
    let mut connection = std::pin::pin!(http.serve_connection(TokioIo::new(io), TowerToHyperService::new(router)));
    tokio::select! {
        _ = connection.as_mut() => return,
        () = stopped(&mut stop) => {}
    }
    connection.as_mut().graceful_shutdown();
    // Whether it ended well is the client's business.
    let _ = connection.await;
}

/// Waits until `stop` turns true, or nobody can turn it any more.
pub(crate) async fn stopped(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
}

async fn finish(mut tasks: JoinSet<()>) {
    let _ = timeout(DRAIN, async { while tasks.join_next().await.is_some() {} }).await;
    tasks.shutdown().await;
}

#[cfg(test)]
mod tests {
    use super::Users;

    #[test]
    fn the_socket_lets_in_root_its_own_user_and_the_one_named() {
        let users = Users { own: 100, operator: Some(200) };
        assert_eq!([0, 100, 200, 300].map(|uid| users.admit(uid)), [true, true, true, false]);
        assert!(!Users { own: 100, operator: None }.admit(200));
    }
}
