//! One client's connection: TLS, then one request after another.

use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use lethe_http1::{RequestHead, Response, ServerConn, within};
use lethe_tls::{Socket, TlsStream};
use lethe_types::{Api, Failure, KeyHash, Refused};
use rustls::ServerConfig;
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use crate::answer::{After, answer_problem, tell};
use crate::budget::{Share, connection_bytes};
use crate::caller::Caller;
use crate::endpoint::{self, Endpoint};
use crate::exchange::{self, Wishes};
use crate::meter::Meter;
use crate::problem::Problem;
use crate::shared::NotReady;
use crate::upstream::Upstreams;
use crate::websocket::{self, Upgrade};
use crate::{auth, counts, handshake, listener, models, openapi};

/// A handshake is not given up for another client's before it has had this long.
const FRESH: Duration = Duration::from_secs(1);
/// For what an idle client has sent to be seen before it is closed for another one.
const LAST_CHANCE: Duration = Duration::from_millis(5);

/// Serves `socket` until either side closes it. A connection beyond the limit gets one answer, and that is a refusal.
pub(crate) async fn serve(socket: TcpStream, tls: Option<Arc<ServerConfig>>, upstreams: Rc<Upstreams>, beyond: bool) {
    let limits = upstreams.shared.limits;
    let bytes = connection_bytes(tls.is_some());
    let head_time = Duration::from_secs(limits.head_seconds.into());
    let socket = match tls {
        None => Socket::Plain(socket),
        Some(config) => {
            let handshake = tokio::select! {
                biased;
                handshake = timeout(head_time, TlsStream::accept(socket, config)) => handshake.ok().and_then(Result::ok),
                // One that has not said anything useful yet.
                () = async { sleep(FRESH).await; upstreams.idle.chosen().await } => None,
            };
            match handshake {
                Some(stream) => Socket::Tls(Box::new(stream)),
                // A client that cannot be spoken to is told by TLS's own alert.
                None => return counts::turned_away(Refused::TlsHandshake),
            }
        }
    };
    let mut connection =
        ServerConn::new(socket, Duration::from_secs(limits.body_idle_seconds.into())).no_slower_than(limits.min_bytes_per_second);
    let keep_alive = Duration::from_secs(limits.keep_alive_seconds.into());
    let draining = upstreams.shared.draining.clone();
    // Waited for once, not anew for each request.
    let mut drained = pin!({
        let mut draining = draining.clone();
        async move { draining.wait_for(|draining| *draining).await.map(drop) }
    });
    let mut wait = head_time;
    loop {
        let readable = tokio::select! {
            biased;
            readable = timeout(wait, connection.readable()) => Some(readable.unwrap_or(false)),
            () = upstreams.idle.chosen() => None,
            _ = &mut drained => Some(false),
        };
        let readable = match readable {
            Some(readable) => readable,
            // A request that has arrived meanwhile is answered: the choice falls on another one.
            None => timeout(LAST_CHANCE, connection.readable()).await.unwrap_or(false),
        };
        if !readable {
            break;
        }
        // Shed before anything is read, where there is no room to serve it.
        let share = if beyond { None } else { upstreams.purse.take(bytes) };
        let Some(mut share) = share else {
            connection.close_after_this();
            answer_problem(&mut Caller::Http(&mut connection), &Problem::overloaded(), Api::Chat, None).await;
            break;
        };
        let head = match within(head_time, connection.read_head()).await {
            Ok(Ok(Some(head))) => head,
            Ok(Ok(None)) => return,
            Ok(Err(error)) => {
                answer_problem(&mut Caller::Http(&mut connection), &Problem::head(error), Api::Chat, None).await;
                break;
            }
            Err(_) => {
                connection.close_after_this();
                answer_problem(&mut Caller::Http(&mut connection), &Problem::head_timeout(), Api::Chat, None).await;
                break;
            }
        };
        // It changes once.
        if draining.has_changed().unwrap_or(true) || upstreams.shared.is_retired() {
            connection.close_after_this();
        }
        let serving = listener::Serving::begin();
        let after = request(&mut connection, &head, &upstreams, &mut share).await;
        drop((head, serving));
        match after {
            After::GoOn if connection.may_go_on() => wait = keep_alive,
            After::GoOn => break,
            // An answer without a clean end: the connection just ends.
            After::Close => return,
            After::Upgrade(upgrade) => {
                drop(share);
                return Box::pin(websocket::serve(connection, *upgrade, upstreams, bytes)).await;
            }
        }
    }
    connection.close().await;
}

/// Serves one request.
async fn request(connection: &mut ServerConn<Socket>, head: &RequestHead, upstreams: &Rc<Upstreams>, share: &mut Share) -> After {
    let shared = &upstreams.shared;
    let found = endpoint::find(head);
    let api = match &found {
        Ok(Endpoint::Exchange(asked)) => asked.api,
        _ => endpoint::dialect(head.path()),
    };
    // A browser cannot send a key in a handshake, and what it should be told is no secret.
    if handshake::is_asked_for(head)
        && let Err(problem) = &found
    {
        return answer_problem(&mut Caller::Http(connection), problem, api, None).await;
    }
    // What this API is, is no secret.
    if let Ok(Endpoint::OpenApi) = found {
        return openapi::answer(connection).await;
    }
    let key = match auth::authenticate(head, upstreams) {
        Ok(key) => key,
        // Without a snapshot no key is known: that is not the caller's fault.
        Err(problem) => {
            let problem = upstreams.catalogue().err().map_or(problem, Problem::not_ready);
            return answer_problem(&mut Caller::Http(connection), &problem, api, None).await;
        }
    };
    let endpoint = match found {
        Ok(endpoint) => endpoint,
        Err(problem) => return answer_problem(&mut Caller::Http(connection), &problem, api, None).await,
    };
    if let Endpoint::WebSocket(accept) = endpoint {
        return match upgrade(head, accept, key.hash, upstreams) {
            Ok(upgrade) => After::Upgrade(Box::new(upgrade)),
            Err(problem) => answer_problem(&mut Caller::Http(connection), &problem, api, None).await,
        };
    }
    // Never unmetered: without room for its record a request is not served.
    let Some(permit) = shared.permit() else {
        return answer_problem(&mut Caller::Http(connection), &Problem::not_ready(NotReady::OutboxFull), api, None).await;
    };
    let meter = Meter::start(permit, key.account, endpoint.operation(), api);
    let catalogue = match upstreams.catalogue() {
        Ok(catalogue) => catalogue,
        Err(reason) => return tell(&mut Caller::Http(connection), &Problem::not_ready(reason), None, meter).await,
    };
    let body = match endpoint {
        Endpoint::Exchange(asked) => return exchange::receive(connection, head, asked, &key, upstreams, share, meter).await,
        Endpoint::Models(api) => models::list(&catalogue, api),
        Endpoint::Model(id, api) => match models::one(&catalogue, &id, api) {
            Some(body) => body,
            None => return tell(&mut Caller::Http(connection), &Problem::model_unknown(), None, meter).await,
        },
        Endpoint::OpenApi | Endpoint::WebSocket(_) => return After::Close,
    };
    let response = Response { status: 200, content_type: "application/json", ..Response::default() };
    let sent = connection.respond(response, body.expose()).await;
    if sent.is_err() {
        meter.failed(Failure::ClientGone);
    }
    meter.finish(200);
    if sent.is_ok() { After::GoOn } else { After::Close }
}

/// What a handshake asks for, if it comes at a time when requests are served.
fn upgrade(head: &RequestHead, accept: String, key: KeyHash, upstreams: &Upstreams) -> Result<Upgrade, Problem> {
    let shared = &upstreams.shared;
    if *shared.draining.borrow() || shared.is_retired() {
        return Err(Problem::not_ready(NotReady::Draining));
    }
    upstreams.catalogue().map_err(Problem::not_ready)?;
    Ok(Upgrade { accept, key, wishes: Wishes::read(head)? })
}
