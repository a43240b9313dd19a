//! A provider's answer on its way to the client, as it is or in the client's format; and what is said where there is none.

use lethe_content::ContentBuf;
use lethe_http1::Response;
use lethe_providers::formats;
use lethe_types::{Api, Capability, Clock, Failure, SystemClock};
use lethe_wire::answer::inspect_answer;
use lethe_wire::client::Client;
use lethe_wire::conversation::{Malformed, Usage};
use lethe_wire::error::ErrorBody;
use lethe_wire::openai::ChatStream;
use lethe_wire::passage::{Framing, Passage};
use lethe_wire::withhold::cached_counts;

use crate::attempts::{self, Answered, Served};
use crate::budget::Share;
use crate::caller::Caller;
use crate::counts;
use crate::meter::{CLIENT_GONE, Meter, Units, estimate};
use crate::outgoing::Received;
use crate::problem::Problem;
use crate::relay::{self, Ended, Stream};
use crate::retry_after::retry_after;
use crate::upstream::{Answering, Unread};
use crate::websocket::Upgrade;

const JSON: &str = "application/json";
/// An answer that is not streamed may be this long.
const ANSWER_LIMIT: usize = 64 * 1024 * 1024;
/// A provider's error may be this long.
const ERROR_LIMIT: usize = 1024 * 1024;
/// `Retry-After` beyond a day is not passed on.
const RETRY_LIMIT: u32 = 86_400;

/// What is left to do on the client's connection.
pub(crate) enum After {
    /// Close it: the client is gone, or the answer has no clean end.
    Close,
    /// It may serve another request.
    GoOn,
    /// Change to WebSocket.
    Upgrade(Box<Upgrade>),
}

/// What of a request an answer depends on.
#[derive(Clone, Copy)]
pub(crate) struct Wish {
    /// The format that the client speaks.
    pub(crate) api: Api,
    pub(crate) stream: bool,
    /// A stream as a JSON array.
    pub(crate) array: bool,
    /// Usage in the stream.
    usage: bool,
}

impl Wish {
    pub(crate) const fn new(received: &Received) -> Self {
        let Received { asked, inspected, stream, .. } = received;
        Self { api: asked.api, stream: *stream, array: asked.array, usage: inspected.wants_usage }
    }

    /// What reads the provider's stream and writes the client's.
    fn stream(self, answered: &mut Answered) -> Option<(Stream, Framing)> {
        let withholds = answered.withholds_cached;
        if answered.api == Api::Chat && self.api == Api::Chat {
            return Some((Stream::Chat(ChatStream::new(self.usage).withholding_cached(withholds)), Framing::Events));
        }
        let (framing, reader) = formats::reader(answered.api, answered.client.is_none())?;
        let (writer, one_call) = match answered.client.take() {
            Some(client) => {
                let one_call = client.one_call;
                (Some(client.writer()?), one_call)
            }
            None => (None, false),
        };
        let passage = Passage::new(framing, reader, writer).withholding_cached(withholds).with_one_call(one_call);
        Some((Stream::Passage(Box::new(passage)), framing))
    }
}

/// Passes the answer on, and records the request.
pub(crate) async fn pass(
    connection: &mut Caller<'_>,
    mut answered: Answered,
    wish: Wish,
    prompt: u32,
    share: &mut Share,
    mut meter: Meter,
) -> After {
    let media_type = media_type(&answered.answering);
    match (answered.answering.head.status, wish.stream, media_type) {
        (200, true, Media::Stream(framing)) => match wish.stream(&mut answered) {
            Some((stream, expected)) if expected == framing => {
                match relay::stream(connection, answered, wish, stream, prompt, share, &mut meter).await {
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
            _ => fail(connection, Failure::Malformed, Some(&answered.served), meter).await,
        },
        (200, false, Media::Json) => whole(connection, answered, share, prompt, meter).await,
        // Redirects are not followed, and a refused credential is quoted in the refusal.
        (status @ (300..=399 | 401 | 403), ..) => {
            fail(connection, Failure::of_status(status), Some(&answered.served), meter).await
        }
        (400.., _, Media::Json) => pass_error(connection, answered, share, meter).await,
        (429 | 500..=599, ..) => fail_as(connection, &answered.answering, &answered.served, meter).await,
        _ => fail(connection, Failure::Malformed, Some(&answered.served), meter).await,
    }
}

/// Passes an answer that is not streamed, once it is whole and known to be what it should be.
async fn whole(connection: &mut Caller<'_>, answered: Answered, share: &mut Share, prompt: u32, mut meter: Meter) -> After {
    let Answered { mut answering, api, client, withholds_cached, served, mut open } = answered;
    let base = share.bytes();
    let read = tokio::select! {
        biased;
        read = answering.read_all(ANSWER_LIMIT, share) => read,
        () = connection.gone() => Err(Unread::Failure(Failure::ClientGone)),
    };
    meter.units = Some(Units { input: prompt, output: 0, reported: false });
    let mut body = match read {
        Ok(body) => body,
        Err(Unread::Failure(failure)) => {
            attempts::broke(&mut open, failure, &meter);
            return fail(connection, failure, Some(&served), meter).await;
        }
        Err(Unread::Overloaded) => return tell(connection, &Problem::overloaded(), Some(&served), meter).await,
    };
    let Ok(answer) = inspect_answer(body.expose()) else {
        return fail(connection, Failure::Malformed, Some(&served), meter).await;
    };
    if answer.is_error {
        return fail(connection, Failure::ErrorInAnswer, Some(&served), meter).await;
    }
    // The provider has done its part, however long the client takes for its own.
    open.served();
    drop(open);
    answering.done();
    meter.units = Some(units(answer.usage, prompt, estimate(answer.said_bytes)));
    if withholds_cached && client.is_none() {
        cached_counts(body.expose_mut());
    }
    if let Some(client) = client {
        let mut out = ContentBuf::new();
        match translate(&client, api, body.expose(), withholds_cached, &mut out) {
            Ok(usage) => meter.units = Some(units(usage.or(answer.usage), prompt, estimate(answer.said_bytes))),
            Err(Malformed) => return fail(connection, Failure::Malformed, Some(&served), meter).await,
        }
        if !share.holds_block(base, body.capacity() + out.capacity()) {
            return tell(connection, &Problem::overloaded(), Some(&served), meter).await;
        }
        body = out;
    }
    let fields = served.fields();
    let response = Response { status: 200, content_type: JSON, fields: &fields, ..Response::default() };
    let sent = connection.respond(response, body.expose()).await;
    finish(200, sent.is_ok(), meter)
}

/// Writes a provider's answer in the client's format, and says what it counts.
fn translate(
    client: &Client,
    api: Api,
    body: &[u8],
    withholds_cached: bool,
    out: &mut ContentBuf,
) -> Result<Option<Usage>, Malformed> {
    match api.capability() {
        Capability::CountTokens => {
            client.write_count(formats::read_count(api, body)?, out)?;
            Ok(None)
        }
        Capability::Embeddings => {
            let reply = formats::read_vectors(api, body)?;
            client.write_vectors(&reply, out)?;
            Ok(reply.tokens.map(|input| Usage { input, ..Usage::default() }))
        }
        _ => {
            let mut reply = formats::read_reply(api, body)?;
            if let Some(usage) = reply.usage.as_mut().filter(|_| withholds_cached) {
                (usage.cached, usage.cache_written) = (None, None);
            }
            client.write_reply(&mut reply, out)?;
            Ok(reply.usage)
        }
    }
}

/// Tokens as the provider reported them, or as they are estimated.
pub(crate) fn units(usage: Option<Usage>, prompt: u32, said: u32) -> Units {
    match usage {
        Some(usage) => Units { input: usage.input, output: usage.output, reported: true },
        None => Units { input: prompt, output: said, reported: false },
    }
}

/// Passes a provider's error to the one who caused it, in memory, unless it quotes the operator's credential.
async fn pass_error(connection: &mut Caller<'_>, answered: Answered, share: &mut Share, meter: Meter) -> After {
    let Answered { mut answering, client, served, .. } = answered;
    let mut status = match answering.head.status {
        status @ (400..=499 | 500 | 502..=504 | 529) => status,
        _ => 502,
    };
    let read = tokio::select! {
        biased;
        read = answering.read_all(ERROR_LIMIT, share) => read,
        () = connection.gone() => Err(Unread::Failure(Failure::ClientGone)),
    };
    let mut body = match read {
        Ok(body) => body,
        Err(Unread::Failure(failure)) => return fail(connection, failure, Some(&served), meter).await,
        Err(Unread::Overloaded) => return tell(connection, &Problem::overloaded(), Some(&served), meter).await,
    };
    if answering.quotes_credential(body.expose()) {
        meter.failed(Failure::of_status(answering.head.status));
        return tell(connection, &Problem::provider_refused(status), Some(&served), meter).await;
    }
    if inspect_answer(body.expose()).is_err() {
        // Google answers with an array of one error where it streams.
        return fail_as(connection, &answering, &served, meter).await;
    }
    meter.failed(Failure::of_status(answering.head.status));
    // Google says it in the body.
    let in_the_body = || if status == 429 { lethe_wire::error::retry_delay(body.expose()) } else { None };
    let retry_after = passed_on(&answering).or_else(in_the_body);
    answering.done();
    // Not every provider that takes a format has its errors as well.
    if client.is_some() || !lethe_wire::error::is_of(meter.api, body.expose()) {
        // In no client's format: they say it with 400.
        if status == 422 {
            status = 400;
        }
        body = ErrorBody::of_provider(status, body.expose()).write_wire(meter.api);
    }
    let fields = served.fields();
    let response = Response { status, content_type: JSON, retry_after, fields: &fields, ..Response::default() };
    let sent = connection.respond(response, body.expose()).await;
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
pub(crate) async fn fail(connection: &mut Caller<'_>, failure: Failure, served: Option<&Served>, meter: Meter) -> After {
    meter.failed(failure);
    if failure == Failure::ClientGone {
        meter.finish(CLIENT_GONE);
        return After::Close;
    }
    tell(connection, &Problem::provider(failure), served, meter).await
}

/// Tells the client what the provider's status says where its words cannot be passed on.
async fn fail_as(connection: &mut Caller<'_>, answering: &Answering, served: &Served, meter: Meter) -> After {
    let failure = Failure::of_status(answering.head.status);
    meter.failed(failure);
    let mut problem = Problem::provider(failure);
    problem.retry_after = passed_on(answering);
    tell(connection, &problem, Some(served), meter).await
}

/// A provider's `Retry-After`, for the client, in whole seconds.
fn passed_on(answering: &Answering) -> Option<u32> {
    let seconds = retry_after(&answering.head, SystemClock.now())?.as_millis().div_ceil(1000);
    u32::try_from(seconds).ok().filter(|seconds| *seconds <= RETRY_LIMIT)
}

/// Tells the client what is wrong, and records the status.
pub(crate) async fn tell(connection: &mut Caller<'_>, problem: &Problem, served: Option<&Served>, meter: Meter) -> After {
    let sent = answer_problem(connection, problem, meter.api, served).await;
    meter.finish(problem.status);
    sent
}

/// Tells a client that speaks `api` what is wrong.
pub(crate) async fn answer_problem(connection: &mut Caller<'_>, problem: &Problem, api: Api, served: Option<&Served>) -> After {
    counts::told(problem);
    let fields = served.map(Served::fields);
    let response = Response {
        status: problem.status,
        content_type: JSON,
        retry_after: problem.retry_after,
        allow: problem.allow,
        fields: fields.as_ref().map_or(problem.fields, |fields| fields),
    };
    match connection.respond(response, problem.body(api).expose()).await {
        Ok(()) => After::GoOn,
        Err(_) => After::Close,
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Media {
    Json,
    Other,
    Stream(Framing),
}

fn media_type(answering: &Answering) -> Media {
    let value = answering.head.headers().get("content-type").unwrap_or_default();
    let kind = value.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
    let is = |name: &str| kind.eq_ignore_ascii_case(name.as_bytes());
    if let Some(framing) = Framing::ALL.into_iter().find(|framing| is(framing.media_type())) {
        Media::Stream(framing)
    } else if is(JSON) {
        Media::Json
    } else {
        Media::Other
    }
}
