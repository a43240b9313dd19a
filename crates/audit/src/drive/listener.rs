//! A port of the audit's own: a thread that accepts, and one for each connection, as many as are allowed at once.

use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

/// A listening port. It ends when this is dropped.
pub(super) struct Listener {
    address: SocketAddr,
    stopped: Arc<AtomicBool>,
}

impl Listener {
    /// Listens there. Each connection is given to `serve` in a thread of this name, with a flag that says that it is over; those beyond `most` are
    /// closed at once.
    pub(super) fn start(
        listen: SocketAddr,
        name: &'static str,
        most: usize,
        serve: impl Fn(TcpStream, &AtomicBool) + Clone + Send + 'static,
    ) -> io::Result<Self> {
        let listener = TcpListener::bind(listen)?;
        let address = listener.local_addr()?;
        let stopped = Arc::new(AtomicBool::new(false));
        let over = Arc::clone(&stopped);
        let open = Arc::new(AtomicUsize::new(0));
        let named = || thread::Builder::new().name(name.to_owned());
        named().spawn(move || {
            for socket in listener.incoming() {
                if over.load(Ordering::Acquire) {
                    return;
                }
                let Ok(socket) = socket else { continue };
                // Only this thread adds.
                if open.load(Ordering::Acquire) >= most {
                    continue;
                }
                open.fetch_add(1, Ordering::AcqRel);
                let (serve, over, own) = (serve.clone(), Arc::clone(&over), Arc::clone(&open));
                let started = named().spawn(move || {
                    serve(socket, &over);
                    own.fetch_sub(1, Ordering::AcqRel);
                });
                if started.is_err() {
                    open.fetch_sub(1, Ordering::AcqRel);
                }
            }
        })?;
        Ok(Self { address, stopped })
    }

    /// Where it listens.
    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::Release);
        // Wakes the thread that accepts.
        let _ = TcpStream::connect_timeout(&self.address, Duration::from_millis(200));
    }
}
