//! A scripted provider: it answers as its present scene says, and remembers whether the prompt's canary arrived.

mod answer;
mod anthropic;
mod gemini;
mod openai;
mod responses;
mod scene;

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use memchr::memmem;
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::Value;

use super::http::{End, Head, Incoming, Stream, TICK, Wait};
use super::listener::Listener;
pub use scene::{Scene, Script, Way};

/// Of a request's body; the rest is read and not kept.
const REQUEST_BYTES: usize = 24 * 1024 * 1024;
/// Of one message, coming or going.
const MESSAGE: Duration = Duration::from_secs(60);
/// A connection without a request.
const IDLE: Duration = Duration::from_secs(300);
/// Between two looks whether an idle connection is still wanted: there can be many.
const IDLE_TICK: Duration = Duration::from_millis(250);
/// Requests remembered since the scene began.
const REMEMBERED: usize = 256;
/// At one time; further ones are closed at once.
const CONNECTIONS: usize = 256;

/// A request as it arrived: what a row must know of it, none of its content.
#[derive(Clone, Debug)]
pub struct Seen {
    pub method: String,
    /// Without its query: that could carry a canary.
    pub path: String,
    /// How many of the scene's needles were in it.
    pub needles: usize,
    /// How many there were.
    pub of: usize,
    /// The request's `stream`, if it says.
    pub stream: Option<bool>,
    /// The request's `store`, if it says.
    pub store: Option<bool>,
    /// The scene's secret, the key that the client showed, was in it.
    pub secret: bool,
    /// Names of its headers.
    pub headers: Vec<String>,
    /// Its body came whole.
    pub complete: bool,
    /// The answer was given up because the peer closed.
    pub left: bool,
}

/// What a scene's answer is made for.
struct Asked {
    path: String,
    body: Value,
    /// The needles that arrived: what an error text repeats.
    echo: String,
    number: usize,
}

#[derive(Default)]
struct State {
    scene: Arc<Scene>,
    seen: Vec<Seen>,
    /// Scenes played before.
    generation: usize,
    requests: usize,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    /// As in the state, to be looked at without its lock.
    generation: AtomicUsize,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A running provider. It ends when this is dropped.
pub struct Provider {
    shared: Arc<Shared>,
    secure: bool,
    // After what it is dropped with: whoever hangs is let go first.
    listener: Listener,
}

impl Provider {
    /// Listens there (`127.0.0.1:0` for a free port).
    ///
    /// # Errors
    /// The socket's own.
    pub fn start(listen: SocketAddr) -> io::Result<Self> {
        Self::start_with(listen, None)
    }

    /// The same, with TLS if it is given.
    ///
    /// # Errors
    /// The socket's own.
    pub fn start_with(listen: SocketAddr, tls: Option<Arc<ServerConfig>>) -> io::Result<Self> {
        let secure = tls.is_some();
        let shared = Arc::new(Shared::default());
        let serving = Arc::clone(&shared);
        let listener = Listener::start(listen, "audit-provider", CONNECTIONS, move |socket, stopped| {
            // A peer that breaks off is what half of the rows are about.
            let _ = serve(socket, tls.clone(), &serving, stopped);
        })?;
        Ok(Self { shared, secure, listener })
    }

    /// Whether it speaks TLS.
    #[must_use]
    pub fn is_tls(&self) -> bool {
        self.secure
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.listener.address()
    }

    /// Answers so from now on, and forgets what it has seen. Whoever still hangs in an earlier scene is let go.
    pub fn play(&self, scene: Scene) {
        let mut state = self.shared.lock();
        state.scene = Arc::new(scene);
        state.seen.clear();
        state.generation += 1;
        self.shared.generation.store(state.generation, Ordering::Release);
        self.shared.changed.notify_all();
    }

    /// The requests that came in this scene.
    #[must_use]
    pub fn seen(&self) -> Vec<Seen> {
        self.shared.lock().seen.clone()
    }

    /// Waits until `holds` of what was seen in this scene; false if it does not within `limit`.
    pub fn wait(&self, limit: Duration, holds: impl Fn(&[Seen]) -> bool) -> bool {
        let deadline = Instant::now() + limit;
        let mut state = self.shared.lock();
        while !holds(&state.seen) {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            state = self.shared.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        self.play(Scene::default());
    }
}

fn serve(socket: TcpStream, tls: Option<Arc<ServerConfig>>, shared: &Shared, stopped: &AtomicBool) -> io::Result<()> {
    let mut stream = match tls {
        None => Stream::Plain(socket),
        Some(config) => {
            let connection = ServerConnection::new(config).map_err(io::Error::other)?;
            Stream::Server(Box::new(StreamOwned::new(connection, socket)))
        }
    };
    stream.make_limited()?;
    let mut incoming = Incoming::default();
    let stopped = || stopped.load(Ordering::Acquire);
    loop {
        let idle = Wait { until: Instant::now() + IDLE, stop: Some(&stopped) };
        stream.set_tick(IDLE_TICK);
        let Some(head) = incoming.request(&mut stream, &idle)? else { return Ok(()) };
        stream.set_tick(TICK);
        if head.headers.value("expect").is_some() {
            stream.write_within(b"HTTP/1.1 100 Continue\r\n\r\n", &Wait::of(MESSAGE))?;
        }
        let wait = Wait { until: Instant::now() + MESSAGE, stop: Some(&stopped) };
        let begun_in = shared.generation.load(Ordering::Acquire);
        let (body, end) = incoming.body(&mut stream, head.headers.request_framing(), REQUEST_BYTES, &wait);
        let complete = end == End::Complete;
        // What broke off in an earlier scene is nothing that this one has seen.
        let late = shared.generation.load(Ordering::Acquire) != begun_in;
        if late && !complete {
            return Ok(());
        }
        let (scene, generation, index, asked) = take_note(shared, &head, &body, complete);
        drop(body);
        if !complete {
            return Ok(());
        }
        let over = || shared.generation.load(Ordering::Acquire) != generation;
        let wait = Wait { until: Instant::now() + MESSAGE, stop: Some(&over) };
        let kept_open = answer::give(&mut stream, &mut incoming, &scene, &asked, &wait);
        if head.headers.close() || !matches!(kept_open, Ok(answer::Then::Next)) {
            if matches!(kept_open, Ok(answer::Then::PeerLeft) | Err(_)) {
                let mut state = shared.lock();
                if state.generation == generation
                    && let Some(seen) = state.seen.get_mut(index)
                {
                    seen.left = true;
                }
                shared.changed.notify_all();
            }
            stream.shut();
            return Ok(());
        }
    }
}

/// Remembers a request and says what it is answered by.
fn take_note(shared: &Shared, head: &Head, body: &[u8], complete: bool) -> (Arc<Scene>, usize, usize, Asked) {
    // Outside of the lock: a body may be large.
    let parsed: Value = serde_json::from_slice(body).unwrap_or(Value::Null);
    let lines = head.headers.0.iter().map(|(name, value)| format!("{name}: {value}\n")).collect::<String>() + &head.path;
    let mut state = shared.lock();
    let scene = Arc::clone(&state.scene);
    let is_in = |needle: &str| {
        memmem::find(body, needle.as_bytes()).is_some() || memmem::find(lines.as_bytes(), needle.as_bytes()).is_some()
    };
    let found: Vec<&str> = scene.needles.iter().map(String::as_str).filter(|needle| is_in(needle)).collect();
    let seen = Seen {
        method: head.method.clone(),
        path: without_query(&head.path).to_owned(),
        needles: found.len(),
        of: scene.needles.len(),
        stream: parsed["stream"].as_bool(),
        store: parsed["store"].as_bool(),
        secret: scene.secret.as_deref().is_some_and(is_in),
        headers: head.headers.0.iter().map(|(name, _)| name.clone()).collect(),
        complete,
        left: false,
    };
    let echo = found.join(" ");
    state.requests += 1;
    let index = state.seen.len();
    if index < REMEMBERED {
        state.seen.push(seen);
    }
    let (generation, number) = (state.generation, state.requests);
    shared.changed.notify_all();
    drop(state);
    let asked = Asked { path: without_query(&head.path).to_owned(), body: parsed, echo, number };
    (scene, generation, index, asked)
}

fn without_query(path: &str) -> &str {
    path.split(['?', '#']).next().unwrap_or(path)
}
