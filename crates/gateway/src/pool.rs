//! Idle connections to providers, per worker. A connection is used again only for the upstream that it was made for.

use std::cell::RefCell;
use std::collections::HashMap;
use std::time::{Duration, Instant};

use lethe_http1::ClientConn;
use lethe_tls::Socket;

/// Shorter than the idle limits of the servers behind (nginx 75 s, uvicorn 5 s is caught by the staleness check).
const IDLE_LIMIT: Duration = Duration::from_secs(55);
/// Idle connections kept for one upstream.
const KEPT: usize = 256;

/// A connection and since when it idles.
type Idle = (ClientConn<Socket>, Instant);

#[derive(Default)]
pub(crate) struct Pool {
    idle: RefCell<HashMap<u64, Vec<Idle>>>,
}

impl Pool {
    /// An idle connection that is still open.
    pub(crate) fn take(&self, upstream: u64) -> Option<ClientConn<Socket>> {
        let mut idle = self.idle.borrow_mut();
        let kept = idle.get_mut(&upstream)?;
        while let Some((mut connection, since)) = kept.pop() {
            if since.elapsed() < IDLE_LIMIT && !connection.is_stale() {
                return Some(connection);
            }
        }
        None
    }

    pub(crate) fn put(&self, upstream: u64, connection: ClientConn<Socket>) {
        let mut idle = self.idle.borrow_mut();
        let kept = idle.entry(upstream).or_default();
        if kept.len() < KEPT {
            kept.push((connection, Instant::now()));
        }
    }

    /// Closes what has been idle for too long; called now and then.
    pub(crate) fn sweep(&self) {
        self.idle.borrow_mut().retain(|_, kept| {
            kept.retain(|(_, since)| since.elapsed() < IDLE_LIMIT);
            !kept.is_empty()
        });
    }
}
