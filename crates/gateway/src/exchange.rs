//! One request that goes to a provider or node: body, rules, routes, answer, record.

use std::rc::Rc;
use std::time::Instant;

use lethe_content::ContentBuf;
use lethe_http1::{RequestHead, ServerConn};
use lethe_policy::KeyEntry;
use lethe_providers::anthropic::VERSIONS;
use lethe_tls::Socket;
use lethe_types::{Api, Capability, Clock, Failure, Region, SystemClock};
use lethe_wire::inspect::inspect;

use crate::answer::{After, fail, tell};
use crate::attempts::{self, Unanswered};
use crate::budget::Share;
use crate::caller::Caller;
use crate::counts::COUNTS;
use crate::endpoint::Asked;
use crate::meter::{CLIENT_GONE, Meter, estimate};
use crate::outgoing::Received;
use crate::problem::Problem;
use crate::routing::{self, Candidate, NoRoute, Wish};
use crate::upstream::Upstreams;
use crate::{answer, dice};

const JSON: &[u8] = b"application/json";
/// A header that lists features: more of them than anybody has.
const BETA_LIMIT: usize = 32;

/// Why no provider was asked.
pub(crate) enum Stop {
    Gone,
    Problem(Box<Problem>),
}

impl From<Problem> for Stop {
    fn from(problem: Problem) -> Self {
        Self::Problem(Box::new(problem))
    }
}

/// A request whose body has been read.
pub(crate) struct Request {
    pub(crate) asked: Asked,
    pub(crate) body: ContentBuf,
    pub(crate) wishes: Wishes,
}

/// Reads one request and serves it.
pub(crate) async fn receive(
    connection: &mut ServerConn<Socket>,
    head: &RequestHead,
    asked: Asked,
    key: &KeyEntry,
    upstreams: &Rc<Upstreams>,
    share: &mut Share,
    meter: Meter,
) -> After {
    let request = read(connection, head, asked, upstreams, share).await;
    serve(&mut Caller::Http(connection), request, key, upstreams, share, meter).await
}

/// Serves one request. Every way out records it exactly once.
pub(crate) async fn serve(
    caller: &mut Caller<'_>,
    request: Result<Request, Stop>,
    key: &KeyEntry,
    upstreams: &Rc<Upstreams>,
    share: &mut Share,
    mut meter: Meter,
) -> After {
    let prepared = request.and_then(|request| prepare(request, key, upstreams, &mut meter));
    let (received, candidates) = match prepared {
        Ok(prepared) => prepared,
        Err(stop) => return stopped(caller, stop, meter).await,
    };
    let answered = attempts::ask(caller, &received, candidates, upstreams, share, &mut meter).await;
    let answered = match answered {
        Ok(answered) => answered,
        Err(Unanswered::Stopped(stop)) => return stopped(caller, stop, meter).await,
        Err(Unanswered::Failed(failure, served)) => return fail(caller, failure, Some(&served), meter).await,
    };
    meter.first_byte();
    let prompt = estimate(received.inspected.prompt_bytes);
    let wanted = answer::Wish::new(&received);
    // The request's body has left.
    drop(received);
    share.shrink();
    answer::pass(caller, answered, wanted, prompt, share, meter).await
}

/// Records a request that no provider was asked for, and says why.
pub(crate) async fn stopped(caller: &mut Caller<'_>, stop: Stop, meter: Meter) -> After {
    match stop {
        Stop::Gone => {
            meter.failed(Failure::ClientGone);
            meter.finish(CLIENT_GONE);
            After::Close
        }
        Stop::Problem(problem) => tell(caller, &problem, None, meter).await,
    }
}

/// Reads the request's body, and what its head asks for.
async fn read(
    connection: &mut ServerConn<Socket>,
    head: &RequestHead,
    asked: Asked,
    upstreams: &Upstreams,
    share: &mut Share,
) -> Result<Request, Stop> {
    let shared = &upstreams.shared;
    upstreams.catalogue().map_err(Problem::not_ready)?;
    let mut types = head.headers().all("content-type");
    let is_json = types.next().is_some_and(|value| {
        value.split(|byte| *byte == b';').next().is_some_and(|kind| kind.trim_ascii().eq_ignore_ascii_case(JSON))
    });
    if !is_json || types.next().is_some() || head.headers().get("content-encoding").is_some() {
        return Err(Problem::media_type().into());
    }
    let limit = match asked.api.capability() {
        Capability::Chat | Capability::CountTokens => shared.limits.max_chat_bytes,
        _ => shared.limits.max_embeddings_bytes,
    };
    // What has no room is refused before it is read; what has takes it as it arrives, so that announcing holds nothing.
    if let lethe_http1::Framing::Length(length) = head.head.framing
        && length <= limit
        && !upstreams.purse.has(length.saturating_mul(2))
    {
        return Err(Problem::overloaded().into());
    }
    let wishes = Wishes::read(head)?;
    let base = share.bytes();
    match connection.read_body_into(head, limit, &mut |capacity| share.holds_block(base, capacity)).await {
        Ok(body) => Ok(Request { asked, body, wishes }),
        Err(error) => Err(Problem::body_error(error, limit).map_or(Stop::Gone, Stop::from)),
    }
}

/// Checks the request, and finds the routes that may serve it.
fn prepare(
    request: Request,
    key: &KeyEntry,
    upstreams: &Upstreams,
    meter: &mut Meter,
) -> Result<(Received, Vec<Candidate>), Stop> {
    let Request { asked, body, wishes } = request;
    #[cfg(feature = "fault-injection")]
    crate::fault::panic_if_asked(body.expose());
    let inspected = inspect(body.expose(), asked.api).map_err(|refusal| Problem::refusal(&refusal))?;
    // As it is now: a body may have taken its time, and the configuration have changed meanwhile.
    let catalogue = upstreams.catalogue().map_err(Problem::not_ready)?;
    let name = asked.model.as_deref().unwrap_or(&inspected.model);
    let (model, star) = catalogue.model(name).ok_or_else(Problem::model_unknown)?;
    let capability = asked.api.capability();
    // Whoever goes on with a conversation can be asked how long it is.
    let serves = |capability| model.capabilities.contains(&capability);
    let counts = capability == Capability::CountTokens && serves(Capability::Chat);
    if !(serves(capability) || counts) {
        return Err(Problem::model_operation(capability.name()).into());
    }
    let providers = wishes.providers.iter().map(String::as_str).collect();
    let wish = Wish { api: asked.api, regions: [key.region, wishes.region], providers };
    let candidates = match catalogue.candidates(model, star, &wish, SystemClock.now(), Instant::now(), dice::roll()) {
        Ok(candidates) => candidates,
        Err(reason) => {
            let failure = match reason {
                NoRoute::Credential => Some(Failure::Credential),
                NoRoute::Terms => Some(Failure::Terms),
                NoRoute::Operation | NoRoute::Provider | NoRoute::Region => None,
            };
            if let Some(failure) = failure {
                model.routes.iter().for_each(|route| COUNTS.failed(route.id, failure));
            }
            return Err(Problem::no_route(reason, capability.name()).into());
        }
    };
    if let [only] = candidates.as_slice() {
        meter.route = only.id;
    }
    let stream = asked.stream || (inspected.stream && takes_stream(asked.api));
    let received = Received {
        asked,
        body: Rc::new(body),
        inspected,
        stream,
        beta: wishes.beta,
        version: wishes.version,
        account: key.account,
    };
    Ok((received, candidates))
}

/// Formats in which `stream` asks for one.
const fn takes_stream(api: Api) -> bool {
    matches!(api, Api::Chat | Api::Completions | Api::Messages | Api::Responses)
}

/// What a request's own headers ask for.
#[derive(Clone)]
pub(crate) struct Wishes {
    region: Option<Region>,
    providers: Vec<String>,
    beta: Vec<String>,
    version: Option<&'static str>,
}

impl Wishes {
    pub(crate) fn read(head: &RequestHead) -> Result<Self, Problem> {
        // A field that is a list may come in several lines (RFC 9110 section 5.2).
        let all = |name: &'static str, expected: &str| {
            let values = head.headers().all(name).map(std::str::from_utf8).collect::<Result<Vec<_>, _>>();
            values.map_err(|_| Problem::own_header(name, expected))
        };
        const REGION: &str = "one region, such as `eu`";
        let region = match all("lethe-region", REGION)?.as_slice() {
            [] => None,
            [one] => Some(Region::new(one.trim()).ok_or_else(|| Problem::own_header("lethe-region", REGION))?),
            _ => return Err(Problem::own_header("lethe-region", REGION)),
        };
        let providers = routing::named(&all("lethe-provider", "ids of providers, separated by commas")?);
        let providers = providers.into_iter().map(str::to_owned).collect();
        const VERSION: &str = "`2023-06-01` or `2026-10-21`";
        let version = match all("anthropic-version", VERSION)?.as_slice() {
            [] => None,
            [one] => {
                let known = VERSIONS.into_iter().find(|version| *version == one.trim());
                Some(known.ok_or_else(|| Problem::own_header("anthropic-version", VERSION))?)
            }
            _ => return Err(Problem::own_header("anthropic-version", VERSION)),
        };
        let beta = all("anthropic-beta", "names of features, separated by commas")?;
        let beta = beta.iter().flat_map(|value| value.split(',')).map(str::trim).filter(|value| !value.is_empty());
        let beta = beta.take(BETA_LIMIT).map(str::to_owned).collect();
        Ok(Self { region, providers, beta, version })
    }
}
