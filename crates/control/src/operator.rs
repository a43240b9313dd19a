//! The operator interface: `/v1/records`, `/v1/keys`, `/v1/status`, `/v1/diagnosis`, `/v1/tokens`, and `/metrics`.
//!
//! The same routes behind two doors: a Unix socket, where the kernel says who is asking, and the console address, where a
//! token does. Answers are JSON (metrics: Prometheus' text) and are not to be cached; errors are `{"error":{"code","message"}}` with fixed texts.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, PathRejection, QueryRejection};
use axum::extract::{DefaultBodyLimit, Extension, Path, Query, Request, State};
use axum::http::header::{AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE};
use axum::http::{HeaderValue, StatusCode};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post};
use axum::{Json, Router};
use lethe_store::{Store, StoreError};
use lethe_types::{Clock, KeyId, Millis, Region};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::alarms::Alarms;
use crate::broker::Broker;
use crate::catalogue::Current;
use crate::durable::Durable;
use crate::keys::{Keys, hash, new_secret};
use crate::links::Links;
use crate::metrics::{self, Meters};
use crate::{Alarm, ControlError, Mishaps, diagnosis};

/// What every operator token begins with.
const TOKEN_PREFIX: &str = "lethe_op_";
const BODY_LIMIT: usize = 16 * 1024;
const RECORDS_DEFAULT: u32 = 100;
const RECORDS_LIMIT: u32 = 1000;
/// Of one answer; a key is at most 500 bytes of it.
const KEYS_LIMIT: u32 = 5000;

/// Which way a request came in.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Door {
    /// TLS and an operator token.
    Console,
    /// The Unix socket; the kernel has said who is asking.
    Socket,
}

/// Everything that the operator interface shows or changes.
pub(crate) struct Operator {
    pub(crate) store: Arc<Store>,
    pub(crate) keys: Arc<Keys>,
    pub(crate) catalogue: Arc<Current>,
    pub(crate) broker: Arc<Broker>,
    pub(crate) links: Arc<Links>,
    pub(crate) alarms: Arc<Alarms>,
    pub(crate) durable: Arc<Durable>,
    pub(crate) meters: Arc<Meters>,
    pub(crate) mishaps: Mishaps,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) started: Millis,
    /// Hash of the build.
    pub(crate) build: u64,
}

type Shared = State<Arc<Operator>>;
type Answer = Result<Json<Value>, Refusal>;

/// The routes, as they are behind `door`.
pub(crate) fn router(operator: Arc<Operator>, door: Door) -> Router {
    Router::new()
        .route("/v1/records", get(records))
        .route("/v1/keys", get(list_keys).post(create_key))
        .route("/v1/keys/{id}", delete(revoke_key))
        .route("/v1/status", get(status))
        .route("/v1/diagnosis", get(diagnose))
        .route("/metrics", get(measure))
        .route("/v1/tokens", post(create_token))
        .fallback(async || Refusal::NotFound)
        .method_not_allowed_fallback(async || Refusal::Method)
        .layer(DefaultBodyLimit::max(BODY_LIMIT))
        // Outside of the routes, so that an unknown path tells a stranger as little as a known one.
        .layer(middleware::from_fn_with_state(Arc::clone(&operator), authorize))
        .layer(Extension(door))
        .layer(middleware::map_response(no_store))
        .with_state(operator)
}

async fn no_store(mut response: Response) -> Response {
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

async fn authorize(State(operator): Shared, Extension(door): Extension<Door>, request: Request, next: Next) -> Response {
    if door == Door::Socket {
        return next.run(request).await;
    }
    let token = request.headers().get(AUTHORIZATION).and_then(|value| value.as_bytes().strip_prefix(b"Bearer "));
    let hash = token.and_then(hash);
    match (hash, operator.store.token_hashes().await) {
        (_, Err(error)) => Refusal::from(error).into_response(),
        // Each is compared, and each in constant time: how long it takes says nothing of how near a guess was.
        (Some(hash), Ok(known)) => {
            let equal = |known: &[u8; 32]| aws_lc_rs::constant_time::verify_slices_are_equal(known, &hash.0).is_ok();
            if known.iter().fold(false, |found, known| found | equal(known)) {
                next.run(request).await
            } else {
                Refusal::Token.into_response()
            }
        }
        (None, Ok(_)) => Refusal::Token.into_response(),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Page {
    #[serde(default)]
    after: u64,
    limit: Option<u32>,
}

#[derive(Serialize)]
struct Record<'a> {
    id: u64,
    at_ms: Millis,
    operation: &'static str,
    route: u32,
    provider: Option<&'a str>,
    model: Option<&'a str>,
    input_units: u32,
    output_units: u32,
    unit_class: &'static str,
    quality: &'static str,
    kind: &'static str,
    account: String,
    status: u16,
    total_ms: u32,
    first_byte_ms: u32,
}

/// `GET /v1/records?after=&limit=`: `next` is the `after` of the next page, `unaccounted_requests` what no record will tell of.
async fn records(State(operator): Shared, page: Result<Query<Page>, QueryRejection>) -> Answer {
    let Query(Page { after, limit }) = page.map_err(|_| Refusal::Query)?;
    let limit = limit.unwrap_or(RECORDS_DEFAULT).clamp(1, RECORDS_LIMIT);
    let rows = operator.store.metadata_after(after, limit).await?;
    let next = rows.last().map_or(after, |row| row.id);
    let catalogue = operator.catalogue.now();
    let records: Vec<Record<'_>> = rows
        .iter()
        .map(|row| {
            let usage = &row.usage;
            let name = catalogue.route(usage.route);
            Record {
                id: row.id,
                at_ms: usage.timestamp,
                operation: usage.operation.name(),
                route: usage.route.0,
                provider: name.map(|name| name.provider.as_str()),
                model: name.map(|name| name.model.as_str()),
                input_units: usage.input_units,
                output_units: usage.output_units,
                unit_class: usage.unit_class.name(),
                quality: usage.quality.name(),
                kind: usage.kind.name(),
                account: usage.account.to_string(),
                status: usage.status,
                total_ms: usage.total_ms,
                first_byte_ms: usage.first_byte_ms,
            }
        })
        .collect();
    let unaccounted = operator.store.unaccounted().await?;
    Ok(Json(json!({ "records": records, "next": next, "unaccounted_requests": unaccounted })))
}

/// `GET /v1/keys?after=&limit=`: `next` is the `after` of the next page.
async fn list_keys(State(operator): Shared, page: Result<Query<Page>, QueryRejection>) -> Answer {
    let Query(Page { after, limit }) = page.map_err(|_| Refusal::Query)?;
    let after = KeyId(u32::try_from(after).map_err(|_| Refusal::Query)?);
    let keys = operator.keys.list(after, limit.unwrap_or(KEYS_LIMIT).clamp(1, KEYS_LIMIT)).await?;
    let next = keys.last().map_or(after, |key| key.id).0;
    let keys: Vec<Value> = keys
        .iter()
        .map(|key| {
            json!({
                "id": key.id.0, "account": key.account.to_string(), "name": key.name,
                "created_ms": key.created, "revoked_ms": key.revoked, "region": key.region.as_ref().map(Region::as_str),
            })
        })
        .collect();
    Ok(Json(json!({ "keys": keys, "next": next })))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewKeyRequest {
    name: String,
    /// Where the content of its requests may be processed.
    #[serde(default)]
    region: Option<String>,
}

/// `POST /v1/keys {"name", "region"}`: the only answer that ever holds the key.
async fn create_key(State(operator): Shared, body: Result<Bytes, BytesRejection>) -> Result<Response, Refusal> {
    let body = body.map_err(|_| Refusal::Body)?;
    let request: NewKeyRequest = serde_json::from_slice(&body).map_err(|_| Refusal::Body)?;
    let region = request.region.as_deref().map(|tag| Region::new(tag).ok_or(Refusal::Region)).transpose()?;
    let new = operator.keys.create(&request.name, region).await?;
    let answer = json!({
        "id": new.entry.id.0, "key": new.key, "account": new.entry.account.to_string(),
        "name": request.name, "created_ms": new.created, "region": request.region,
    });
    Ok((StatusCode::CREATED, Json(answer)).into_response())
}

/// `DELETE /v1/keys/{id}`: answers once every linked gateway has been sent word.
async fn revoke_key(State(operator): Shared, id: Result<Path<u32>, PathRejection>) -> Answer {
    let Path(id) = id.map_err(|_| Refusal::NotFound)?;
    let since = operator.keys.revoke(KeyId(id)).await?.ok_or(Refusal::NotFound)?;
    Ok(Json(json!({ "id": id, "revoked_ms": since })))
}

async fn status(State(operator): Shared) -> Answer {
    let gateways: Vec<Value> = operator
        .links
        .list()
        .into_iter()
        .map(|linked| {
            json!({
                "gateway": linked.gateway, "build": format!("{:016x}", linked.hello.build),
                "linked_ms": linked.since, "heard_ms": linked.heard,
                "started": linked.beat.started, "finished": linked.beat.finished,
                "pending": linked.beat.pending, "committed": linked.mark,
            })
        })
        .collect();
    let alarms: serde_json::Map<String, Value> =
        Alarm::ALL.into_iter().map(|alarm| (alarm.name().to_owned(), operator.alarms.count(alarm).into())).collect();
    Ok(Json(json!({
        "build": format!("{:016x}", operator.build), "started_ms": operator.started, "now_ms": operator.clock.now(), "records": operator.store.metadata_count().await?,
        "durable": operator.durable.is_good(), "gateways": gateways,
        "unaccounted_requests": operator.store.unaccounted().await?, "alarms": alarms,
    })))
}

/// `GET /v1/diagnosis`: what went wrong since the start, with what to do about it.
async fn diagnose(State(operator): Shared) -> Answer {
    Ok(Json(diagnosis::of(&operator)))
}

/// `GET /metrics`
async fn measure(State(operator): Shared) -> Result<Response, Refusal> {
    let page = metrics::page(&operator).await?;
    Ok(([(CONTENT_TYPE, HeaderValue::from_static(metrics::CONTENT_TYPE))], page.into_text()).into_response())
}

/// `POST /v1/tokens`, on the socket only: the only answer that ever holds the token.
async fn create_token(State(operator): Shared, Extension(door): Extension<Door>) -> Result<Response, Refusal> {
    if door != Door::Socket {
        return Err(Refusal::SocketOnly);
    }
    let (token, hash) = new_secret(TOKEN_PREFIX)?;
    let now = operator.clock.now();
    let id = operator.store.add_token(hash.0, now).await?;
    Ok((StatusCode::CREATED, Json(json!({ "id": id, "token": token, "created_ms": now }))).into_response())
}

/// Why a request was refused.
#[derive(Clone, Copy, Debug)]
enum Refusal {
    Body,
    Internal,
    Method,
    Name,
    NotFound,
    Query,
    Region,
    SocketOnly,
    Token,
    Unavailable,
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Busy | StoreError::Io => Self::Unavailable,
            StoreError::Name => Self::Name,
            _ => Self::Internal,
        }
    }
}

impl From<ControlError> for Refusal {
    fn from(error: ControlError) -> Self {
        match error {
            ControlError::Store(error) => error.into(),
            _ => Self::Internal,
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let (status, code, message) = match self {
            Self::Body => (StatusCode::BAD_REQUEST, "invalid_body", "the body is not the JSON object that this operation takes"),
            Self::Internal => (StatusCode::INTERNAL_SERVER_ERROR, "internal", "control could not do this"),
            Self::Method => (StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "this path has no such method"),
            Self::Name => (StatusCode::BAD_REQUEST, "invalid_name", "a name has 1 to 64 printable characters"),
            Self::NotFound => (StatusCode::NOT_FOUND, "not_found", "there is nothing here"),
            Self::Query => (StatusCode::BAD_REQUEST, "invalid_query", "`after` and `limit` are whole numbers"),
            Self::Region => (
                StatusCode::BAD_REQUEST,
                "invalid_region",
                "a region has 1 to 15 lower-case letters, digits and '-', such as \"eu\"",
            ),
            Self::SocketOnly => (StatusCode::FORBIDDEN, "socket_only", "tokens are made on the Unix socket only"),
            Self::Token => (StatusCode::UNAUTHORIZED, "unauthorized", "send `Authorization: Bearer` and an operator token"),
            Self::Unavailable => (StatusCode::SERVICE_UNAVAILABLE, "unavailable", "the database cannot be used right now"),
        };
        (status, Json(json!({ "error": { "code": code, "message": message } }))).into_response()
    }
}
