//! A sink for traces, logs and metrics: what a target exports is searched like everything else it leaves.
//! OTLP over HTTP (<https://opentelemetry.io/docs/specs/otlp/#otlphttp>): any content type, bodies kept as they came, compressed or not.

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::http::{Incoming, Stream, Wait};
use super::listener::Listener;

/// Of one export.
const EXPORT_BYTES: usize = 8 * 1024 * 1024;
/// Of all exports together; what comes after is counted, not kept.
const TOTAL_BYTES: usize = 128 * 1024 * 1024;
const IDLE: Duration = Duration::from_secs(300);
const CONNECTIONS: usize = 32;

/// One export as it came. It may hold canaries, so that nothing prints it.
#[derive(Clone)]
pub struct Export {
    pub path: String,
    /// Header lines, an empty line, the body.
    pub bytes: Vec<u8>,
}

#[derive(Default)]
struct Received {
    exports: Vec<Export>,
    bytes: usize,
    dropped: usize,
}

#[derive(Default)]
struct Shared {
    received: Mutex<Received>,
    changed: Condvar,
}

/// A running sink. It ends when this is dropped.
pub struct Sink {
    shared: Arc<Shared>,
    listener: Listener,
}

impl Sink {
    /// Listens there (`127.0.0.1:0` for a free port).
    ///
    /// # Errors
    /// The socket's own.
    pub fn start(listen: SocketAddr) -> io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let serving = Arc::clone(&shared);
        let listener = Listener::start(listen, "audit-otlp", CONNECTIONS, move |socket, stopped| {
            let _ = serve(socket, &serving, stopped);
        })?;
        Ok(Self { shared, listener })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.listener.address()
    }

    /// For `OTEL_EXPORTER_OTLP_ENDPOINT`, with `OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address())
    }

    /// What has come so far.
    #[must_use]
    pub fn received(&self) -> Vec<Export> {
        self.shared.received.lock().unwrap_or_else(PoisonError::into_inner).exports.clone()
    }

    /// Exports, or ends of exports, that there was no room for: a verdict on traces is partial if there are any.
    #[must_use]
    pub fn dropped(&self) -> usize {
        self.shared.received.lock().unwrap_or_else(PoisonError::into_inner).dropped
    }

    /// Waits until there are `count` exports; false if there are not within `limit`.
    #[must_use]
    pub fn wait(&self, count: usize, limit: Duration) -> bool {
        let deadline = Instant::now() + limit;
        let mut received = self.shared.received.lock().unwrap_or_else(PoisonError::into_inner);
        while received.exports.len() < count {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            received = self.shared.changed.wait_timeout(received, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }
}

fn serve(socket: TcpStream, shared: &Shared, stopped: &AtomicBool) -> io::Result<()> {
    let mut stream = Stream::Plain(socket);
    stream.make_limited()?;
    let mut incoming = Incoming::default();
    let stopped = || stopped.load(Ordering::Acquire);
    loop {
        let wait = Wait { until: Instant::now() + IDLE, stop: Some(&stopped) };
        let Some(head) = incoming.request(&mut stream, &wait)? else { return Ok(()) };
        let (body, _) = incoming.body(&mut stream, head.headers.request_framing(), EXPORT_BYTES, &wait);
        let last = head.headers.close();
        let is_json = head.headers.value("content-type").is_some_and(|kind| kind.contains("json"));
        let lines = head.headers.0.iter().map(|(name, value)| format!("{name}: {value}\n")).collect::<String>();
        let bytes = [lines.as_bytes(), b"\n", &body].concat();
        let mut received = shared.received.lock().unwrap_or_else(PoisonError::into_inner);
        received.dropped += usize::from(body.len() == EXPORT_BYTES);
        if received.bytes + bytes.len() <= TOTAL_BYTES {
            received.bytes += bytes.len();
            received.exports.push(Export { path: head.path, bytes });
        } else {
            received.dropped += 1;
        }
        shared.changed.notify_all();
        drop(received);
        // An empty message is success in protobuf, an empty object in JSON.
        let answer: &[u8] = if is_json {
            b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}"
        } else {
            b"HTTP/1.1 200 OK\r\ncontent-type: application/x-protobuf\r\ncontent-length: 0\r\n\r\n"
        };
        stream.write_within(answer, &Wait::of(IDLE))?;
        if last {
            stream.shut();
            return Ok(());
        }
    }
}
