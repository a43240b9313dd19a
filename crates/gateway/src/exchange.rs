//! One request that goes to a provider or node: body, rules, route, answer, record.

use std::rc::Rc;
use std::time::{Duration, Instant};

use lethe_http1::{RequestHead, Response, ServerConn};
use lethe_tls::Socket;
use lethe_types::{Clock, Failure, Operation, SystemClock};
use lethe_wire::openai::{Answer, ChatStream, Request, inspect_answer, inspect_request};
use tokio::time::timeout;

use crate::budget::Share;
use crate::counts::{self, COUNTS};
use crate::meter::{CLIENT_GONE, Meter, Units, estimate};
use crate::problem::Problem;
use crate::relay::{self, Ended};
use crate::shared::{NotReady, Shared};
use crate::upstream::{Answering, Ask, Unread, Upstreams};

const JSON: &str = "application/json";
/// An answer that is not streamed may be this long.
const ANSWER_LIMIT: usize = 64 * 1024 * 1024;
/// A provider's error may be this long.
const ERROR_LIMIT: usize = 1024 * 1024;
/// For control to commit a reserve.
const COMMIT: Duration = Duration::from_secs(2);
/// `Retry-After` beyond a day is not passed on.
const RETRY_LIMIT: u32 = 86_400;

/// What is left to do on the client's connection.
pub(crate) enum After {
    /// Close it: the client is gone, or the answer has no clean end.
    Close,
    /// It may serve another request.
    GoOn,
}

/// Why no provider was asked.
enum Stop {
    Gone,
    Problem(Box<Problem>),
}

impl From<Problem> for Stop {
    fn from(problem: Problem) -> Self {
        Self::Problem(Box::new(problem))
    }
}

/// A request that is ready to be sent.
struct Ready {
    upstream: std::sync::Arc<crate::catalogue::Upstream>,
    ask: Ask,
    request: Request,
}

/// Serves one request. Every way out records it exactly once.
pub(crate) async fn serve(
    connection: &mut ServerConn<Socket>,
    head: &RequestHead,
    operation: Operation,
    upstreams: &Rc<Upstreams>,
    share: &mut Share,
    mut meter: Meter,
) -> After {
    let base = share.bytes();
    let Ready { upstream, ask, request } = match prepare(connection, head, operation, upstreams, share, &mut meter).await {
        Ok(ready) => ready,
        Err(Stop::Gone) => {
            meter.failed(Failure::ClientGone);
            meter.finish(CLIENT_GONE);
            return After::Close;
        }
        Err(Stop::Problem(problem)) => return tell(connection, &problem, meter).await,
    };
    let prompt = estimate(request.prompt_bytes);
    match reserve(connection, &upstreams.shared, prompt, &mut meter).await {
        Ok(()) => {}
        Err(Stop::Gone) => return fail(connection, Failure::ClientGone, meter).await,
        Err(Stop::Problem(problem)) => return tell(connection, &problem, meter).await,
    }
    let deadline = Instant::now() + upstream.total;
    let answering = tokio::select! {
        biased;
        answering = upstreams.ask(upstream, ask) => answering,
        () = connection.gone() => Err(Failure::ClientGone),
    };
    let answering = match answering {
        Ok(answering) => answering,
        Err(failure) => {
            if matches!(failure, Failure::ClientGone | Failure::Cut | Failure::TimeoutFirstByte) {
                // The provider may have read, and charge for, the prompt.
                meter.units = Some(Units { input: prompt, output: 0, reported: false });
            }
            return fail(connection, failure, meter).await;
        }
    };
    meter.first_byte();
    // The request's body has left.
    share.shrink_to(base);
    let media_type = media_type(&answering);
    match (answering.head.status, request.stream && operation == Operation::Chat, media_type) {
        (200, true, Media::Events) => {
            let chat = ChatStream::new(request.wants_usage);
            match relay::stream(connection, answering, chat, prompt, deadline, share, &mut meter).await {
                Ended::Clean => {
                    meter.finish(200);
                    After::GoOn
                }
                Ended::Broken(status) => {
                    meter.finish(status);
                    After::Close
                }
            }
        }
        (200, false, Media::Json) => whole(connection, answering, share, prompt, meter).await,
        // Redirects are not followed, and a refused credential is quoted in the refusal.
        (status @ (300..=399 | 401 | 403), ..) => fail(connection, Failure::of_status(status), meter).await,
        (400.., _, Media::Json) => pass_error(connection, answering, share, meter).await,
        (status @ (429 | 500..=599), ..) => fail(connection, Failure::of_status(status), meter).await,
        _ => fail(connection, Failure::Malformed, meter).await,
    }
}

/// Where metering is strict: waits until control has committed that this request is about to go upstream. Without that it does not.
async fn reserve(connection: &mut ServerConn<Socket>, shared: &Shared, prompt: u32, meter: &mut Meter) -> Result<(), Stop> {
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

/// Reads and checks the request, and picks its route.
async fn prepare(
    connection: &mut ServerConn<Socket>,
    head: &RequestHead,
    operation: Operation,
    upstreams: &Upstreams,
    share: &mut Share,
    meter: &mut Meter,
) -> Result<Ready, Stop> {
    let shared = &upstreams.shared;
    let catalogue = upstreams.catalogue().map_err(Problem::not_ready)?;
    let mut types = head.headers().all("content-type");
    let is_json = types.next().is_some_and(|value| {
        value.split(|byte| *byte == b';').next().is_some_and(|kind| kind.trim_ascii().eq_ignore_ascii_case(JSON.as_bytes()))
    });
    if !is_json || types.next().is_some() || head.headers().get("content-encoding").is_some() {
        return Err(Problem::media_type().into());
    }
    let limit = match operation {
        Operation::Embeddings => shared.limits.max_embeddings_bytes,
        _ => shared.limits.max_chat_bytes,
    };
    // What has no room is refused before it is read; what has takes it as it arrives, so that announcing holds nothing.
    if let lethe_http1::Framing::Length(length) = head.head.framing
        && length <= limit
        && !upstreams.purse.has(length.saturating_mul(2))
    {
        return Err(Problem::overloaded().into());
    }
    let base = share.bytes();
    let body = match connection.read_body_into(head, limit, &mut |capacity| share.holds_block(base, capacity)).await {
        Ok(body) => body,
        Err(error) => return Err(Problem::body_error(error, limit).map_or(Stop::Gone, Stop::from)),
    };
    #[cfg(feature = "fault-injection")]
    crate::fault::panic_if_asked(body.expose());
    let request = inspect_request(body.expose(), operation).map_err(|refusal| Problem::refusal(&refusal))?;
    let model = catalogue.model(&request.model).ok_or_else(Problem::model_unknown)?;
    if !model.operations.contains(&operation) {
        return Err(Problem::model_operation(operation.name()).into());
    }
    let Some((route, upstream)) = catalogue.route(model, SystemClock.now(), dice()) else {
        // None of its routes may serve.
        model.routes.iter().for_each(|route| COUNTS.failed(route.id, Failure::Terms));
        return Err(Problem::provider(Failure::Terms).into());
    };
    meter.route = route.id;
    request.check(upstream.kind, &upstream.rules).map_err(|refusal| Problem::refusal(&refusal))?;
    let edits = request.edits(&route.model, &upstream.rules);
    let ask = Ask { operation, body, edits, stream: request.stream };
    Ok(Ready { upstream: std::sync::Arc::clone(upstream), ask, request })
}

/// Passes an answer that is not streamed, once it is whole and known to be JSON.
async fn whole(
    connection: &mut ServerConn<Socket>,
    mut answering: Answering,
    share: &mut Share,
    prompt: u32,
    mut meter: Meter,
) -> After {
    let read = tokio::select! {
        biased;
        read = answering.read_all(ANSWER_LIMIT, share) => read,
        () = connection.gone() => Err(Unread::Failure(Failure::ClientGone)),
    };
    meter.units = Some(Units { input: prompt, output: 0, reported: false });
    let body = match read {
        Ok(body) => body,
        Err(Unread::Failure(failure)) => return fail(connection, failure, meter).await,
        Err(Unread::Overloaded) => return tell(connection, &Problem::overloaded(), meter).await,
    };
    let Ok(answer) = inspect_answer(body.expose()) else {
        return fail(connection, Failure::Malformed, meter).await;
    };
    if answer.is_error {
        return fail(connection, Failure::ErrorInAnswer, meter).await;
    }
    answering.done();
    meter.units = Some(units(&answer, prompt));
    let sent = connection.respond(Response { status: 200, content_type: JSON, ..Response::default() }, body.expose()).await;
    finish(200, sent.is_ok(), meter)
}

fn units(answer: &Answer, prompt: u32) -> Units {
    match answer.tokens {
        Some(tokens) => Units { input: tokens.input, output: tokens.output, reported: true },
        None => Units { input: prompt, output: estimate(answer.choices_bytes), reported: false },
    }
}

/// Passes a provider's error to the one who caused it, in memory, unless it quotes the operator's credential.
async fn pass_error(connection: &mut ServerConn<Socket>, mut answering: Answering, share: &mut Share, meter: Meter) -> After {
    let status = match answering.head.status {
        status @ (400..=499 | 500 | 502..=504) => status,
        _ => 502,
    };
    let retry_after = answering
        .head
        .headers()
        .get("retry-after")
        .and_then(|value| std::str::from_utf8(value).ok()?.trim().parse().ok())
        .filter(|seconds| *seconds <= RETRY_LIMIT);
    let read = tokio::select! {
        biased;
        read = answering.read_all(ERROR_LIMIT, share) => read,
        () = connection.gone() => Err(Unread::Failure(Failure::ClientGone)),
    };
    let body = match read {
        Ok(body) => body,
        Err(Unread::Failure(failure)) => return fail(connection, failure, meter).await,
        Err(Unread::Overloaded) => return tell(connection, &Problem::overloaded(), meter).await,
    };
    if answering.quotes_credential(body.expose()) {
        meter.failed(Failure::of_status(answering.head.status));
        return tell(connection, &Problem::provider_refused(status), meter).await;
    }
    if inspect_answer(body.expose()).is_err() {
        return fail(connection, Failure::Malformed, meter).await;
    }
    meter.failed(Failure::of_status(answering.head.status));
    answering.done();
    let sent = connection.respond(Response { status, content_type: JSON, retry_after, allow: None }, body.expose()).await;
    finish(status, sent.is_ok(), meter)
}

/// Records an answer that was passed to its end, or as far as the client stayed.
fn finish(status: u16, sent: bool, meter: Meter) -> After {
    if sent {
        meter.finish(status);
        return After::GoOn;
    }
    meter.failed(Failure::ClientGone);
    meter.finish(CLIENT_GONE);
    After::Close
}

/// Counts the failure, tells the client, and records the status.
async fn fail(connection: &mut ServerConn<Socket>, failure: Failure, meter: Meter) -> After {
    meter.failed(failure);
    if failure == Failure::ClientGone {
        meter.finish(CLIENT_GONE);
        return After::Close;
    }
    tell(connection, &Problem::provider(failure), meter).await
}

/// Tells the client what is wrong, and records the status.
pub(crate) async fn tell(connection: &mut ServerConn<Socket>, problem: &Problem, meter: Meter) -> After {
    let sent = answer_problem(connection, problem).await;
    meter.finish(problem.status);
    sent
}

/// Tells the client what is wrong.
pub(crate) async fn answer_problem(connection: &mut ServerConn<Socket>, problem: &Problem) -> After {
    counts::told(problem);
    let response =
        Response { status: problem.status, content_type: JSON, retry_after: problem.retry_after, allow: problem.allow };
    match connection.respond(response, problem.body().expose()).await {
        Ok(()) => After::GoOn,
        Err(_) => After::Close,
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Media {
    Events,
    Json,
    Other,
}

fn media_type(answering: &Answering) -> Media {
    let value = answering.head.headers().get("content-type").unwrap_or_default();
    let kind = value.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
    if kind.eq_ignore_ascii_case(b"text/event-stream") {
        Media::Events
    } else if kind.eq_ignore_ascii_case(JSON.as_bytes()) {
        Media::Json
    } else {
        Media::Other
    }
}

/// A number for the choice by weight; nothing depends on its being hard to guess.
fn dice() -> u64 {
    use std::hash::{BuildHasher, Hasher, RandomState};
    RandomState::new().build_hasher().finish()
}
