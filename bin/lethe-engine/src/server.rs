//! The engine's two endpoints over HTTP/1.1, on connections that the node front hands in.
//!
//! Requests are read and answers written on one thread; each generation has a thread of its own that ends with it, so that no thread's
//! stack or thread-local outlives a request. At most [`Limits::concurrent`] run, and at most [`Limits::queue`] wait.

use std::cell::Cell;
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use lethe_http1::{BodyError, RequestHead, Response, ServerConn};
use lethe_types::{Clock, SystemClock};
use tokio::net::UnixStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::generate::{Cancelled, Engine, Event, Failure, Listener};
use crate::refusal::Refusal;
use crate::request::ChatRequest;
use crate::response::{self, Envelope, Finish, Usage};

/// Longest request body, in bytes: beyond what fits the context of a small model in any script.
const BODY_LIMIT: u64 = 1024 * 1024;
/// For a request's head to arrive once its first byte has.
const HEAD_TIME: Duration = Duration::from_secs(10);
/// For the next part of a body to arrive, and for the front to take a part of an answer.
const IDLE: Duration = Duration::from_secs(30);
/// Events that wait for a slow reader before its generation waits too.
const EVENTS: usize = 8;
/// A generation keeps its data on the heap.
const STACK_BYTES: usize = 512 * 1024;

const CHAT: &str = "/v1/chat/completions";
const MODELS: &str = "/v1/models";

/// How much is served at once.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Generations at once.
    pub concurrent: usize,
    /// Requests that may wait for one; beyond it they are answered 503.
    pub queue: usize,
}

/// Serves every connection that comes through `connections`, and returns when that channel is closed and all requests are answered.
/// Runs within a [`tokio::task::LocalSet`] of a runtime with I/O and time.
pub async fn serve(mut connections: mpsc::Receiver<UnixStream>, engine: Arc<Engine>, limits: Limits) {
    let (drain, draining) = watch::channel(false);
    let server = Rc::new(Server {
        engine,
        slots: Arc::new(Semaphore::new(limits.concurrent.max(1))),
        waiting: Rc::new(Cell::new(0)),
        queue: limits.queue,
        since: now(),
    });
    let mut open = JoinSet::new();
    loop {
        tokio::select! {
            stream = connections.recv() => match stream {
                Some(stream) => drop(open.spawn_local(Rc::clone(&server).connection(stream, draining.clone()))),
                None => break,
            },
            Some(_) = open.join_next() => {}
        }
    }
    drain.send_replace(true);
    while open.join_next().await.is_some() {}
}

struct Server {
    engine: Arc<Engine>,
    slots: Arc<Semaphore>,
    waiting: Rc<Cell<usize>>,
    queue: usize,
    /// Unix time in seconds at which the engine began to serve.
    since: u64,
}

/// The connection is of no further use.
struct Gone;

impl From<io::Error> for Gone {
    fn from(_: io::Error) -> Self {
        Self
    }
}

impl Server {
    async fn connection(self: Rc<Self>, stream: UnixStream, mut draining: watch::Receiver<bool>) {
        let mut connection = ServerConn::new(stream, IDLE);
        loop {
            tokio::select! {
                biased;
                is_open = connection.readable() => if !is_open { return },
                _ = draining.wait_for(|is_draining| *is_draining) => break,
            }
            // The front forwards whole, well-formed heads; anything else is no request of its.
            let Ok(Ok(Some(head))) = timeout(HEAD_TIME, connection.read_head()).await else { return };
            if *draining.borrow() {
                connection.close_after_this();
            }
            if self.request(&mut connection, head).await.is_err() {
                return;
            }
            if !connection.may_go_on() {
                break;
            }
        }
        connection.close().await;
    }

    async fn request(&self, connection: &mut ServerConn<UnixStream>, head: RequestHead) -> Result<(), Gone> {
        match (head.method(), head.path()) {
            ("POST", CHAT) => self.chat(connection, head).await,
            ("GET", MODELS) => {
                let body = response::models(self.engine.name(), self.since);
                Ok(connection.respond(json(200), body.expose()).await?)
            }
            (_, CHAT) => refuse(connection, Refusal::Method, Some("POST")).await,
            (_, MODELS) => refuse(connection, Refusal::Method, Some("GET")).await,
            _ => refuse(connection, Refusal::NotFound, None).await,
        }
    }

    async fn chat(&self, connection: &mut ServerConn<UnixStream>, head: RequestHead) -> Result<(), Gone> {
        let body = match connection.read_body(&head, BODY_LIMIT).await {
            Ok(body) => body,
            Err(BodyError::TooLarge) => return refuse(connection, Refusal::BodyTooLarge, None).await,
            Err(BodyError::Gone | BodyError::Malformed | BodyError::NoRoom | BodyError::Timeout) => return Err(Gone),
        };
        drop(head);
        let request = match ChatRequest::parse(body.expose(), self.engine.name()) {
            Ok(request) => request,
            Err(refusal) => return refuse(connection, refusal, None).await,
        };
        drop(body);
        let Some(slot) = self.slot(connection).await? else { return refuse(connection, Refusal::Busy, None).await };
        let answer = Answer {
            envelope: Envelope { id: RandomState::new().hash_one(0), created: now(), model: self.engine.name() },
            is_streamed: request.stream,
            include_usage: request.include_usage,
        };
        let Ok(mut events) = start(Arc::clone(&self.engine), request, slot) else {
            return refuse(connection, Refusal::Internal, None).await;
        };
        match next(connection, &mut events).await? {
            Some(Ok(_)) if answer.is_streamed => answer.stream(connection, &mut events).await,
            Some(Ok(_)) => answer.whole(connection, &mut events).await,
            Some(Err(refusal)) => refuse(connection, refusal, None).await,
            None => refuse(connection, Refusal::Internal, None).await,
        }
    }

    /// Waits for a place among the generations; `None` when too many wait already.
    async fn slot(&self, connection: &mut ServerConn<UnixStream>) -> Result<Option<OwnedSemaphorePermit>, Gone> {
        if let Ok(slot) = Arc::clone(&self.slots).try_acquire_owned() {
            return Ok(Some(slot));
        }
        if self.waiting.get() >= self.queue {
            return Ok(None);
        }
        let _place = Place::take(&self.waiting);
        tokio::select! {
            slot = Arc::clone(&self.slots).acquire_owned() => Ok(slot.ok()),
            () = connection.gone() => Err(Gone),
        }
    }
}

/// A place in the queue, given back when dropped.
struct Place(Rc<Cell<usize>>);

impl Place {
    fn take(waiting: &Rc<Cell<usize>>) -> Self {
        waiting.set(waiting.get() + 1);
        Self(Rc::clone(waiting))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

type Events = mpsc::Receiver<Result<Event, Refusal>>;

/// Starts a generation on a thread of its own; it ends soon after the events are dropped.
fn start(engine: Arc<Engine>, request: ChatRequest, slot: OwnedSemaphorePermit) -> io::Result<Events> {
    let (sender, events) = mpsc::channel(EVENTS);
    std::thread::Builder::new().stack_size(STACK_BYTES).spawn(move || {
        let mut channel = Sender(sender);
        if let Err(Failure::Refused(refusal)) = engine.answer(request, &mut channel) {
            drop(channel.0.blocking_send(Err(refusal)));
        }
        drop(slot);
    })?;
    Ok(events)
}

/// The generation's end of the channel.
struct Sender(mpsc::Sender<Result<Event, Refusal>>);

impl Listener for Sender {
    fn event(&mut self, event: Event) -> Result<(), Cancelled> {
        self.0.blocking_send(Ok(event)).map_err(|_| Cancelled)
    }

    fn check(&self) -> Result<(), Cancelled> {
        if self.0.is_closed() { Err(Cancelled) } else { Ok(()) }
    }
}

/// The next event, unless the client goes first; `None` when the generation's thread died.
async fn next(connection: &mut ServerConn<UnixStream>, events: &mut Events) -> Result<Option<Result<Event, Refusal>>, Gone> {
    tokio::select! {
        event = events.recv() => Ok(event),
        () = connection.gone() => Err(Gone),
    }
}

/// How one request is answered.
struct Answer<'a> {
    envelope: Envelope<'a>,
    is_streamed: bool,
    include_usage: bool,
}

impl Answer<'_> {
    async fn stream(&self, connection: &mut ServerConn<UnixStream>, events: &mut Events) -> Result<(), Gone> {
        connection.start(Response { status: 200, content_type: "text/event-stream", ..Response::default() });
        connection.chunk(self.envelope.opening(self.include_usage).expose()).await?;
        loop {
            match next(connection, events).await? {
                Some(Ok(Event::Started)) => {}
                Some(Ok(Event::Text(text))) => connection.chunk(self.envelope.piece(&text, self.include_usage).expose()).await?,
                Some(Ok(Event::Ended(finish, usage))) => {
                    let usage = self.include_usage.then_some(usage);
                    connection.chunk(self.envelope.closing(finish, usage).expose()).await?;
                    return Ok(connection.finish(b"").await?);
                }
                // Cut off without its end, the answer is an error for the client.
                Some(Err(_)) | None => return Err(Gone),
            }
        }
    }

    async fn whole(&self, connection: &mut ServerConn<UnixStream>, events: &mut Events) -> Result<(), Gone> {
        let mut content = String::new();
        loop {
            match next(connection, events).await? {
                Some(Ok(Event::Started)) => {}
                Some(Ok(Event::Text(text))) => content.push_str(&text),
                Some(Ok(Event::Ended(finish, usage))) => return self.complete(connection, &content, finish, usage).await,
                Some(Err(_)) | None => return refuse(connection, Refusal::Internal, None).await,
            }
        }
    }

    async fn complete(
        &self,
        connection: &mut ServerConn<UnixStream>,
        content: &str,
        finish: Finish,
        usage: Usage,
    ) -> Result<(), Gone> {
        let body = self.envelope.completion(content, finish, usage);
        Ok(connection.respond(json(200), body.expose()).await?)
    }
}

async fn refuse(connection: &mut ServerConn<UnixStream>, refusal: Refusal, allow: Option<&str>) -> Result<(), Gone> {
    let retry_after = (refusal == Refusal::Busy).then_some(1);
    let response = Response { retry_after, allow, ..json(refusal.status()) };
    Ok(connection.respond(response, response::error(refusal).expose()).await?)
}

fn json(status: u16) -> Response<'static> {
    Response { status, content_type: "application/json", ..Response::default() }
}

/// Unix time in seconds.
fn now() -> u64 {
    SystemClock.now() / 1000
}
