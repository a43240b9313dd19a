//! Asking one provider after the other until one answers, as long as nothing has gone to the client.

use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use lethe_link::Routed;
use lethe_policy::PromptCache;
use lethe_types::{Api, Clock, Failure, RouteId, SystemClock};
use lethe_wire::client::Client;
use tokio::time::{sleep, timeout};

use crate::budget::Share;
use crate::caller::Caller;
use crate::exchange::Stop;
use crate::health::Open;
use crate::meter::{Meter, Units, estimate};
use crate::outgoing::{Ask, Received};
use crate::problem::Problem;
use crate::retry_after::retry_after;
use crate::routing::Candidate;
use crate::shared::{NotReady, Shared};
use crate::upstream::{Answering, Upstreams};

/// Requests that are sent upstream for one of a client, at most.
const ATTEMPTS: u32 = 3;
/// Before the same provider is asked once more; jittered, and twice as long each time.
const BACK_OFF: Duration = Duration::from_millis(50);
/// A connection that took this long to fail is not tried again.
const QUICK: Duration = Duration::from_secs(1);
/// For control to commit a reserve.
const COMMIT: Duration = Duration::from_secs(2);

/// A provider's answer, of which the head has come.
pub(crate) struct Answered {
    pub(crate) answering: Answering,
    /// The format that it is in.
    pub(crate) api: Api,
    /// How the client is answered, where its request was translated.
    pub(crate) client: Option<Box<Client>>,
    /// What came from the provider's cache is not told: accounts share it.
    pub(crate) withholds_cached: bool,
    pub(crate) served: Served,
    /// Counted as open until the answer is over.
    pub(crate) open: Open,
}

/// How a request was served: what the client is told in the head of its answer. Nothing in it is of the request's content.
#[derive(Clone)]
pub(crate) struct Served {
    provider: String,
    route: String,
    attempts: String,
    api: &'static str,
    left_out: String,
}

impl Served {
    fn new(candidate: &Candidate, ask: &Ask, attempts: u32) -> Self {
        Self {
            provider: candidate.upstream.id.clone(),
            route: candidate.id.0.to_string(),
            attempts: attempts.to_string(),
            api: ask.api.name(),
            left_out: ask.left_out.join(", "),
        }
    }

    /// The head's fields.
    pub(crate) fn fields(&self) -> [(&'static str, &str); 5] {
        [
            ("lethe-provider", &self.provider),
            ("lethe-route", &self.route),
            ("lethe-attempts", &self.attempts),
            ("lethe-api", self.api),
            ("lethe-left-out", &self.left_out),
        ]
    }
}

/// Why no provider's answer can be passed.
pub(crate) enum Unanswered {
    /// The last provider that was asked failed.
    Failed(Failure, Box<Served>),
    /// None was asked.
    Stopped(Stop),
}

impl From<Stop> for Unanswered {
    fn from(stop: Stop) -> Self {
        Self::Stopped(stop)
    }
}

/// A route whose turn it is: what it is sent, and its place among the requests that are open there.
struct Turn {
    candidate: Candidate,
    ask: Ask,
    open: Open,
    /// Before it is asked.
    pause: Duration,
}

/// The routes that are left, and why others were passed over.
struct Queue {
    candidates: VecDeque<Candidate>,
    /// The first route whose format could not express the request, and why.
    refusal: Option<(RouteId, Problem)>,
    /// A provider had as many requests as it may.
    busy: bool,
}

impl Queue {
    /// The next route that can be told the request and has room for it.
    fn next(&mut self, received: &Received) -> Option<Turn> {
        while let Some(candidate) = self.candidates.pop_front() {
            let ask = match received.outgoing(&candidate) {
                Ok(ask) => ask,
                // Another provider may take what this one cannot be told.
                Err(problem) => {
                    self.refusal.get_or_insert((candidate.id, problem));
                    continue;
                }
            };
            match candidate.upstream.health.open(candidate.upstream.max_concurrent) {
                Some(open) => return Some(Turn { candidate, ask, open, pause: Duration::ZERO }),
                None => self.busy = true,
            }
        }
        None
    }

    /// The same route once more, after a pause. Its place is given back and taken anew.
    fn again(&mut self, candidate: Candidate, open: Open, pause: Duration, received: &Received) -> Option<Turn> {
        drop(open);
        self.candidates.push_back(candidate);
        self.next(received).map(|turn| Turn { pause, ..turn })
    }

    /// Why no route was asked at all. One that is busy may serve the next try; one that cannot be told the request never will.
    fn nobody(self, meter: &mut Meter) -> Stop {
        match self.refusal {
            _ if self.busy => Problem::provider_busy().into(),
            Some((route, problem)) => {
                meter.route = route;
                problem.into()
            }
            None => Problem::terms().into(),
        }
    }
}

/// Asks `candidates` in their order.
pub(crate) async fn ask(
    connection: &mut Caller<'_>,
    received: &Received,
    candidates: Vec<Candidate>,
    upstreams: &Rc<Upstreams>,
    share: &mut Share,
    meter: &mut Meter,
) -> Result<Answered, Unanswered> {
    let prompt = estimate(received.inspected.prompt_bytes);
    let base = share.bytes();
    let mut queue = Queue { candidates: candidates.into(), refusal: None, busy: false };
    let Some(mut turn) = queue.next(received) else { return Err(queue.nobody(meter).into()) };
    let mut attempts = 0;
    loop {
        let Turn { candidate, mut ask, mut open, pause } = turn;
        if ask.client.is_some() && !share.holds_block(base, ask.body.capacity()) {
            return Err(Stop::from(Problem::overloaded()).into());
        }
        meter.route = candidate.id;
        if !pause.is_zero() {
            tokio::select! {
                () = sleep(pause) => {}
                () = connection.gone() => return Err(Stop::Gone.into()),
            }
        }
        if attempts == 0 {
            reserve(connection, &upstreams.shared, prompt, meter).await?;
        }
        attempts += 1;
        candidate.routed(Routed::Attempt);
        if !pause.is_zero() {
            meter.routed(Routed::Retry);
        }
        let served = Served::new(&candidate, &ask, attempts);
        let withholds_cached = candidate.upstream.prompt_cache != PromptCache::Isolated;
        let (api, client, started) = (ask.api, ask.client.take(), Instant::now());
        let answering = tokio::select! {
            biased;
            answering = upstreams.ask(Arc::clone(&candidate.upstream), ask) => answering,
            () = connection.gone() => Err(Failure::ClientGone),
        };
        let after = started.elapsed();
        let failure = match &answering {
            Ok(answering) => failing(answering.head.status),
            Err(failure) => Some(*failure),
        };
        learn(&mut open, &answering, failure, after, meter);
        let mut following = None;
        if let Some(failure) = failure.filter(|failure| attempts < ATTEMPTS && may_go_elsewhere(*failure)) {
            // Before a failing answer is given up: it may be the best there is.
            following = queue.next(received);
            if following.is_none()
                && let Some(pause) = again(failure, after, attempts)
            {
                let Some(again) = queue.again(candidate, open, pause, received) else {
                    return Err(Unanswered::Failed(failure, Box::new(served)));
                };
                meter.failed(failure);
                turn = again;
                continue;
            }
        }
        match (answering, failure, following) {
            (_, Some(failure), Some(following)) => {
                meter.failed(failure);
                meter.routed(Routed::Fallback);
                turn = following;
            }
            (Ok(answering), ..) => return Ok(Answered { answering, api, client, withholds_cached, served, open }),
            (Err(failure), ..) => {
                if matches!(failure, Failure::ClientGone | Failure::Cut | Failure::TimeoutFirstByte) {
                    // The provider may have read, and charge for, the prompt.
                    meter.units = Some(Units { input: prompt, output: 0, reported: false });
                }
                return Err(Unanswered::Failed(failure, Box::new(served)));
            }
        }
    }
}

/// Where metering is strict: waits until control has committed that this request is about to go upstream. Without that it does not.
async fn reserve(connection: &mut Caller<'_>, shared: &Shared, prompt: u32, meter: &mut Meter) -> Result<(), Stop> {
    if shared.limits.strict_metering && !shared.is_durable() {
        return Err(Problem::not_ready(NotReady::NotDurable).into());
    }
    let Some(sequence) = meter.reserve(prompt) else { return Ok(()) };
    tokio::select! {
        biased;
        committed = timeout(COMMIT, shared.outbox.committed(sequence)) => committed.map_err(|_| Problem::not_ready(NotReady::NotDurable).into()),
        () = connection.gone() => Err(Stop::Gone),
    }
}

/// Tells the provider's health how an attempt went.
fn learn(open: &mut Open, answering: &Result<Answering, Failure>, failure: Option<Failure>, after: Duration, meter: &Meter) {
    let now = Instant::now();
    let opened = match (answering, failure) {
        (Ok(answering), None) => {
            open.answered(after, now);
            // A refusal of the request is the server's work done.
            if answering.head.status != 200 {
                open.served();
            }
            false
        }
        (Ok(answering), Some(failure)) if is_the_servers(failure) => {
            open.failed(failure, retry_after(&answering.head, SystemClock.now()), now)
        }
        (Err(failure), _) if is_the_servers(*failure) => open.failed(*failure, None, now),
        _ => false,
    };
    if opened {
        meter.routed(Routed::CircuitOpened);
    }
}

/// An answer that had begun did not come to its end. What is wrong in it may be the request's doing; that it stops is not.
pub(crate) fn broke(open: &mut Open, failure: Failure, meter: &Meter) {
    if matches!(failure, Failure::Cut | Failure::TimeoutIdle) && open.failed(failure, None, Instant::now()) {
        meter.routed(Routed::CircuitOpened);
    }
}

/// What a status stands for that another provider might not answer with; `None` for an answer to be passed.
const fn failing(status: u16) -> Option<Failure> {
    match status {
        // 402: the operator's account there is empty.
        401..=404 | 408 | 429 | 300..=399 | 500..=599 => Some(Failure::of_status(status)),
        _ => None,
    }
}

/// Failures that say something about the server, and not about this request.
const fn is_the_servers(failure: Failure) -> bool {
    matches!(
        failure,
        Failure::Connect
            | Failure::Cut
            | Failure::Dns
            | Failure::Malformed
            | Failure::RateLimited
            | Failure::ServerError
            | Failure::TimeoutConnect
            | Failure::TimeoutFirstByte
            | Failure::Tls
            | Failure::Unauthorized
    )
}

/// Whether another provider may be asked: not for a client that has gone.
const fn may_go_elsewhere(failure: Failure) -> bool {
    !matches!(failure, Failure::ClientGone | Failure::Internal | Failure::TimeoutTotal)
}

/// How long to wait before the same provider is asked once more: only where it cannot have read the request.
fn again(failure: Failure, after: Duration, attempts: u32) -> Option<Duration> {
    let unread = matches!(failure, Failure::Connect | Failure::Dialer | Failure::Dns);
    let wait = BACK_OFF.saturating_mul(1 << attempts.min(8));
    (unread && after < QUICK)
        .then(|| wait / 2 + wait.mul_f64(f64::from(u8::try_from(crate::dice::roll() & 0xff).unwrap_or(0)) / 512.0))
}
