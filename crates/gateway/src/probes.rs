//! Liveness and readiness on a port of their own, so that neither needs a key.

use std::sync::Arc;
use std::time::Duration;

use lethe_http1::{Response, ServerConn};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::shared::Shared;

const LIMIT: Duration = Duration::from_secs(5);
/// Probes at once; more wait to be accepted. Their descriptors are nobody's to use up.
const AT_ONCE: usize = 64;

/// Serves `GET /livez` and `GET /readyz`.
pub(crate) async fn serve(listener: TcpListener, shared: Arc<Shared>) {
    let room = Arc::new(Semaphore::new(AT_ONCE));
    loop {
        let Ok(permit) = Arc::clone(&room).acquire_owned().await else { return };
        match listener.accept().await {
            Ok((socket, _)) => {
                let shared = Arc::clone(&shared);
                tokio::task::spawn_local(async move {
                    drop(timeout(LIMIT, probe(socket, &shared)).await);
                    drop(permit);
                });
            }
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}

async fn probe(socket: TcpStream, shared: &Shared) {
    let mut connection = ServerConn::new(socket, LIMIT);
    let Ok(Some(head)) = connection.read_head().await else { return };
    connection.close_after_this();
    let (status, word) = match (head.method(), head.path()) {
        ("GET", "/livez") => (200, "live"),
        ("GET", "/readyz") => match shared.readiness() {
            Ok(()) => (200, "ready"),
            Err(reason) => (503, reason.name()),
        },
        _ => (404, "ask for /livez or /readyz"),
    };
    let response = Response { status, content_type: "application/json", ..Response::default() };
    let body = format!("{{\"status\":\"{word}\"}}");
    if connection.respond(response, body.as_bytes()).await.is_ok() {
        connection.close().await;
    }
}
