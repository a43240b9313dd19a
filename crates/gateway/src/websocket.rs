//! Responses over WebSocket (<https://developers.openai.com/api/docs/guides/websocket-mode>): each message is one streamed request, which
//! goes the way of every other one. Nothing is kept from one to the next.

use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use lethe_content::ContentBuf;
use lethe_http1::{BodyError, CloseCode, Incoming, ServerConn, WebSocketConn};
use lethe_tls::Socket;
use lethe_types::{Api, KeyHash, Refused};
use lethe_wire::responses::websocket::into_body;
use tokio::time::{Instant, sleep_until, timeout};

use crate::answer::answer_problem;
use crate::budget::Share;
use crate::caller::Caller;
use crate::counts;
use crate::endpoint::Asked;
use crate::exchange::{self, Request, Wishes};
use crate::listener::Serving;
use crate::meter::Meter;
use crate::problem::Problem;
use crate::shared::NotReady;
use crate::upstream::Upstreams;

/// For one connection, as OpenAI documents it.
const CONNECTION_LIMIT: Duration = Duration::from_secs(60 * 60);
/// For one that makes room for another client: its close frame leaves at once, and the answer to that is not waited for.
const PARTING: Duration = Duration::from_millis(5);

/// A handshake that is to be answered: what is kept of it for the messages that follow, none of which can have headers.
pub(crate) struct Upgrade {
    pub(crate) accept: String,
    /// Looked up for each message: a key may be revoked meanwhile.
    pub(crate) key: KeyHash,
    pub(crate) wishes: Wishes,
}

/// Serves one message after the other until either side closes the connection.
pub(crate) async fn serve(connection: ServerConn<Socket>, upgrade: Upgrade, upstreams: Rc<Upstreams>, bytes: u64) {
    let shared = &upstreams.shared;
    let Ok(mut connection) = connection.upgrade(&upgrade.accept, shared.limits.max_chat_bytes).await else { return };
    let keep_alive = Duration::from_secs(shared.limits.keep_alive_seconds.into());
    let end = Instant::now() + CONNECTION_LIMIT;
    let mut draining = shared.draining.clone();
    let mut makes_room = false;
    let mut drained = pin!(async move { draining.wait_for(|draining| *draining).await.map(drop) });
    let code = loop {
        if *shared.draining.borrow() || shared.is_retired() {
            break CloseCode::GoingAway;
        }
        if Instant::now() >= end {
            tell(&mut connection, &Problem::websocket_limit()).await;
            break CloseCode::Normal;
        }
        let readable = tokio::select! {
            biased;
            readable = timeout(keep_alive, connection.readable()) => readable.ok(),
            () = sleep_until(end) => continue,
            () = upstreams.idle.chosen() => {
                makes_room = true;
                None
            }
            _ = &mut drained => None,
        };
        match readable {
            Some(true) => {}
            Some(false) => return,
            None => break CloseCode::GoingAway,
        }
        let Some(mut share) = upstreams.purse.take(bytes) else {
            tell(&mut connection, &Problem::overloaded()).await;
            break CloseCode::TryAgain;
        };
        let serving = Serving::begin();
        let read = connection.read(&mut |capacity| share.holds_block(bytes, capacity)).await;
        let next = match read {
            // Boxed, so that an idle connection has no room for it.
            Ok(Incoming::Message(message)) => Box::pin(turn(&mut connection, message, &upgrade, &upstreams, &mut share)).await,
            Ok(Incoming::Nothing) => None,
            Ok(Incoming::Closed) => Some(CloseCode::Normal),
            Err(error) => Some(unread(&mut connection, error, shared.limits.max_chat_bytes).await),
        };
        drop((share, serving));
        if connection.fault().is_some_and(|fault| fault != CloseCode::TooLarge) {
            counts::turned_away(Refused::MalformedRequest);
        }
        match next {
            None if connection.may_go_on() => {}
            next => break next.unwrap_or(CloseCode::Normal),
        }
    };
    let close = connection.close(code);
    if makes_room {
        drop(timeout(PARTING, close).await);
    } else {
        close.await;
    }
}

/// Serves one message; the code to close with, if nothing may follow it.
async fn turn(
    connection: &mut WebSocketConn<Socket>,
    mut message: ContentBuf,
    upgrade: &Upgrade,
    upstreams: &Rc<Upstreams>,
    share: &mut Share,
) -> Option<CloseCode> {
    let shared = &upstreams.shared;
    let Some(key) = upstreams.view.key(shared, &upgrade.key) else {
        tell(connection, &Problem::key_invalid()).await;
        return Some(CloseCode::Policy);
    };
    // Never unmetered: without room for its record a request is not served.
    let Some(permit) = shared.permit() else {
        tell(connection, &Problem::not_ready(NotReady::OutboxFull)).await;
        return None;
    };
    let meter = Meter::start(permit, key.account, Api::Responses.operation(), Api::Responses);
    let caller = &mut Caller::WebSocket(connection);
    if let Err(refusal) = into_body(message.expose_mut()) {
        exchange::stopped(caller, Problem::refusal(&refusal).into(), meter).await;
        return None;
    }
    let asked = Asked::body(Api::Responses);
    let request = Request { asked, body: message, wishes: upgrade.wishes.clone() };
    exchange::serve(caller, Ok(request), &key, upstreams, share, meter).await;
    None
}

/// A message that did not become whole.
async fn unread(connection: &mut WebSocketConn<Socket>, error: BodyError, limit: u64) -> CloseCode {
    if let Some(problem) = Problem::body_error(error, limit) {
        tell(connection, &problem).await;
    }
    match error {
        BodyError::NoRoom => CloseCode::TryAgain,
        BodyError::TooLarge => CloseCode::TooLarge,
        BodyError::Timeout => CloseCode::Policy,
        BodyError::Gone | BodyError::Malformed => CloseCode::Normal,
    }
}

async fn tell(connection: &mut WebSocketConn<Socket>, problem: &Problem) {
    answer_problem(&mut Caller::WebSocket(connection), problem, Api::Responses, None).await;
}
