//! What a client is told when its request is not served: fixed text, a stable code, and what to do about it.

use lethe_content::ContentBuf;
use lethe_http1::{BodyError, HeadError};
use lethe_types::{Api, Failure, Refused};
use lethe_wire::conversation::Str;
use lethe_wire::error::{ErrorBody, ErrorType};
use lethe_wire::json::Flaw;
use lethe_wire::refusal::Refusal;

use crate::routing::NoRoute;

use crate::shared::NotReady;

/// An error toward the client.
pub(crate) struct Problem {
    pub(crate) status: u16,
    pub(crate) retry_after: Option<u32>,
    pub(crate) allow: Option<&'static str>,
    /// Further fields of the head.
    pub(crate) fields: &'static [(&'static str, &'static str)],
    /// What it is counted as; `None` for what a provider did, which is counted on its route.
    pub(crate) refused: Option<Refused>,
    kind: ErrorType,
    code: &'static str,
    message: String,
    param: Option<String>,
}

impl Problem {
    fn new(status: u16, kind: ErrorType, code: &'static str, message: impl Into<String>) -> Self {
        let refused = if kind == ErrorType::Provider { None } else { Some(Refused::named(code)) };
        Self { status, retry_after: None, allow: None, fields: &[], refused, kind, code, message: message.into(), param: None }
    }

    fn invalid(status: u16, code: &'static str, message: impl Into<String>) -> Self {
        Self::new(status, ErrorType::InvalidRequest, code, message)
    }

    fn param(mut self, param: impl Into<String>) -> Self {
        self.param = Some(param.into());
        self
    }

    const fn retry_after(mut self, seconds: u32) -> Self {
        self.retry_after = Some(seconds);
        self
    }

    /// What the client is told, in whichever shape.
    pub(crate) fn error(&self) -> ErrorBody<'_> {
        ErrorBody {
            status: self.status,
            message: Str::of(&self.message),
            kind: self.kind,
            param: self.param.as_deref(),
            code: self.code,
        }
    }

    /// The stable code.
    #[cfg(test)]
    pub(crate) const fn code(&self) -> &'static str {
        self.code
    }

    /// The body for a client that speaks `api`.
    pub(crate) fn body(&self, api: Api) -> ContentBuf {
        self.error().write_wire(api)
    }

    pub(crate) fn key_missing() -> Self {
        let message =
            "No API key, or more than one. Send it as `Authorization: Bearer lethe_…`, `x-api-key` or `x-goog-api-key`.";
        Self::new(401, ErrorType::Authentication, "missing_api_key", message)
    }

    pub(crate) fn key_invalid() -> Self {
        let message = "This API key is not in force: it is unknown or was revoked. Ask the operator for another.";
        Self::new(401, ErrorType::Authentication, "invalid_api_key", message)
    }

    pub(crate) fn not_found() -> Self {
        let message = "There is no such endpoint. GET /openapi.json lists what is served.";
        Self::invalid(404, "unknown_endpoint", message)
    }

    pub(crate) fn method(allow: &'static str) -> Self {
        let mut problem = Self::invalid(405, "method_not_allowed", format!("This endpoint takes {allow}."));
        problem.allow = Some(allow);
        problem
    }

    pub(crate) fn websocket() -> Self {
        let message = "WebSocket is spoken at /v1/responses alone. Send the request as a POST; with `stream` the answer comes as server-sent events.";
        Self::invalid(400, "websocket_not_supported", message)
    }

    /// What a client sends that asks for WebSocket is not the handshake that it has.
    pub(crate) fn handshake(what: &str) -> Self {
        Self::invalid(400, "bad_handshake", format!("This is not a WebSocket handshake (RFC 6455 section 4.1). {what}"))
    }

    /// RFC 6455 section 4.4, RFC 9110 section 15.5.22.
    pub(crate) fn websocket_version() -> Self {
        let mut problem = Self::invalid(426, "unsupported_websocket_version", "Speak version 13 of WebSocket (RFC 6455).");
        problem.fields = &[("connection", "Upgrade"), ("upgrade", "websocket"), ("sec-websocket-version", "13")];
        problem
    }

    /// With OpenAI's code for it, which clients know.
    pub(crate) fn websocket_limit() -> Self {
        let message = "This connection has been open for 60 minutes, which is its limit. Open another one and go on there.";
        Self::invalid(400, "websocket_connection_limit_reached", message)
    }

    pub(crate) fn query(query: &str) -> Self {
        let is_key = query.split('&').any(|part| part.starts_with("key="));
        let message = if is_key {
            "A key in a URL ends up in logs and histories: send it in the header `x-goog-api-key`."
        } else {
            "No query is accepted in a URL: URLs end up in logs. Send it in the body."
        };
        Self::invalid(400, "query_not_accepted", message)
    }

    pub(crate) fn header(name: &'static str) -> Self {
        let message =
            format!("The header `{name}` asks for features that are not on the reviewed list. Send the request without it.");
        Self::invalid(400, "unsupported_header", message).param(name)
    }

    /// A value of a header that lists features, which the provider's preset does not list.
    pub(crate) fn header_value(name: &'static str, value: &str) -> Self {
        let value = lethe_wire::refusal::FieldName::new(value);
        let message = format!(
            "The header `{name}` asks for `{}`, which is not on the reviewed list of what this model's provider may be sent. Leave it out.",
            value.as_str()
        );
        Self::invalid(400, "unsupported_header", message).param(name)
    }

    /// A value of one of Lethe's own request headers.
    pub(crate) fn own_header(name: &'static str, expected: &str) -> Self {
        Self::invalid(400, "unsupported_header", format!("The header `{name}` must be {expected}.")).param(name)
    }

    /// No route of the model may serve.
    pub(crate) fn no_route(reason: NoRoute, operation: &str) -> Self {
        let message = match reason {
            NoRoute::Credential => return Self::provider(Failure::Credential),
            NoRoute::Operation => return Self::model_operation(operation),
            NoRoute::Terms => return Self::terms(),
            NoRoute::Provider => {
                "None of the providers that `lethe-provider` names serves this model. Leave the header out, or name another."
            }
            NoRoute::Region => {
                "No provider of this model is in the region that the API key or the header `lethe-region` requires."
            }
        };
        Self::invalid(400, "no_route", message)
    }

    /// Every provider has as many requests as it may.
    pub(crate) fn provider_busy() -> Self {
        let message = "Every provider of this model has as many requests as it may have at once. Try again shortly.";
        Self::new(503, ErrorType::Server, "provider_busy", message).retry_after(1)
    }

    pub(crate) fn media_type() -> Self {
        let message = "Send the request as `Content-Type: application/json`, without `Content-Encoding`.";
        Self::invalid(415, "unsupported_media_type", message)
    }

    pub(crate) fn model_unknown() -> Self {
        let message = "There is no such model here. GET /v1/models lists what there is.";
        Self::invalid(404, "model_not_found", message).param("model")
    }

    pub(crate) fn model_operation(operation: &str) -> Self {
        let message = format!("This model does not serve {operation}. GET /v1/models lists what there is.");
        Self::invalid(400, "unsupported_operation", message).param("model")
    }

    /// The client asked for JSON and named a body that is none, or the like.
    pub(crate) fn refusal(refusal: &Refusal) -> Self {
        match refusal {
            Refusal::BadMedia(name, expected) => {
                Self::invalid(400, "bad_media", format!("`{name}` must be {expected}.")).param(*name)
            }
            Refusal::Untranslatable { field, target } => {
                // Several answers to one request are several requests with one answer each.
                let instead = if ["generationConfig.candidateCount", "n"].contains(field) {
                    "Send one request for each answer"
                } else {
                    "Leave it out"
                };
                let message = format!(
                    "This model's provider is asked in the format `{}`, which cannot express `{field}`. {instead}, or choose a model whose provider takes your own format.",
                    target.name()
                );
                Self::invalid(400, "unsupported_field", message).param(*field)
            }
            Refusal::UntranslatableUnknown(name) => {
                let message = format!(
                    "This model's provider is asked in another format, and nothing is known of the field `{}` that could be said there. Leave it out, or choose a model whose provider takes your own format.",
                    name.as_str()
                );
                Self::invalid(400, "unsupported_field", message).param(name.as_str())
            }
            Refusal::Conflict(conflict) => Self::conflict(conflict),
            Refusal::DuplicateField(name) => {
                let message = "The same field occurs twice (names are compared without case and escapes). Send it once.";
                Self::invalid(400, "duplicate_field", message).param(name.as_str())
            }
            Refusal::Json(error) => {
                let (code, what) = match error.flaw {
                    Flaw::TooDeep => ("json_too_deep", "The body is nested deeper than 96 levels"),
                    Flaw::Utf8 => ("invalid_utf8", "The body is not UTF-8"),
                    Flaw::Syntax | Flaw::Type => ("invalid_json", "The body is not valid JSON"),
                };
                Self::invalid(400, code, format!("{what} (at byte {}).", error.at))
            }
            Refusal::MissingField(name) => {
                Self::invalid(400, "missing_field", format!("The field `{name}` is required.")).param(*name)
            }
            Refusal::TooManyFields => Self::invalid(400, "too_many_fields", "The body has more than 128 top-level fields."),
            Refusal::UnknownField(name) => {
                let message = format!(
                    "The field `{}` is not on the reviewed list of what this model's provider may be sent. Leave it out, or ask the operator to add it to `allow_fields`.",
                    name.as_str()
                );
                Self::invalid(400, "unknown_field", message).param(name.as_str())
            }
            Refusal::UnknownTool(name) => {
                let message = format!(
                    "Tools of type `{}` are not on the reviewed list of what this model's provider may be sent. Use tools of type `function`.",
                    name.as_str()
                );
                Self::invalid(400, "unknown_tool_type", message).param("tools.type")
            }
            Refusal::WrongType(name, expected) => {
                Self::invalid(400, "wrong_type", format!("`{name}` must be {expected}.")).param(*name)
            }
        }
    }

    pub(crate) fn conflict(conflict: &lethe_policy::conflict::Conflict) -> Self {
        let message = format!("Zero data retention: {}.", conflict.instead);
        let kind = ErrorType::ZeroRetentionConflict;
        Self::new(400, kind, "zero_retention_conflict", message).param(conflict.field)
    }

    /// Only for errors that leave somebody to answer to; `None` when the client is gone.
    pub(crate) fn body_error(error: BodyError, limit: u64) -> Option<Self> {
        Some(match error {
            BodyError::Gone => return None,
            BodyError::Malformed => Self::invalid(400, "malformed_body", "The body's chunked encoding is broken."),
            BodyError::NoRoom => Self::overloaded(),
            BodyError::Timeout => Self::invalid(408, "request_timeout", "The body did not arrive in time."),
            BodyError::TooLarge => {
                let message =
                    format!("The body is larger than {limit} bytes. Send less, or ask the operator to raise `max_body_mib`.");
                Self::invalid(413, "body_too_large", message)
            }
        })
    }

    pub(crate) fn head(error: HeadError) -> Self {
        let (status, message) = match error {
            HeadError::Expectation => (417, "`Expect` other than `100-continue` is not supported."),
            HeadError::Malformed => (400, "The request is not valid HTTP/1.1."),
            HeadError::TooLarge => (431, "The request's head is too large."),
            HeadError::TargetTooLong => (414, "The request's target is too long."),
            HeadError::TransferCoding => (501, "Only the transfer coding `chunked` is supported."),
            HeadError::Version => (505, "Speak HTTP/1.1."),
        };
        Self::invalid(status, "malformed_request", message)
    }

    pub(crate) fn head_timeout() -> Self {
        Self::invalid(408, "request_timeout", "The request's head did not arrive in time.")
    }

    pub(crate) fn not_ready(reason: NotReady) -> Self {
        let message = "This gateway has no word from its control and does not serve unmetered or out-of-date. Try again shortly.";
        let mut problem = Self::new(503, ErrorType::Server, "not_ready", message).retry_after(1);
        problem.refused = Some(reason.counted());
        problem
    }

    pub(crate) fn overloaded() -> Self {
        Self::new(503, ErrorType::Server, "overloaded", "Too much is in memory at once. Try again shortly.").retry_after(1)
    }

    pub(crate) fn terms() -> Self {
        let message = "The terms of this model's provider are missing, not zero retention, or due for review. The operator must record them in `[provider.terms]`.";
        let mut problem = Self::new(503, ErrorType::Server, "provider_terms", message);
        problem.refused = None;
        problem
    }

    /// A provider that did not answer as it should.
    pub(crate) fn provider(failure: Failure) -> Self {
        let (status, code, message) = match failure {
            Failure::Connect | Failure::Dialer => (502, "provider_connect", "The provider cannot be reached."),
            Failure::Credential => {
                (503, "provider_credential", "The operator's credential for the provider has not been obtained yet.")
            }
            Failure::Cut => (502, "provider_cut", "The provider's answer stopped before its end."),
            Failure::Dns => (502, "provider_dns", "The provider's host name does not resolve to an address that is allowed."),
            Failure::ErrorInAnswer | Failure::ServerError => (502, "provider_error", "The provider failed."),
            Failure::Forbidden => (502, "provider_forbidden", "The provider does not let the operator's credential do this."),
            Failure::Internal => (500, "internal", "The gateway could not finish this request."),
            Failure::Malformed => (502, "provider_malformed", "The provider answered with something that is not its API."),
            Failure::RateLimited => (429, "provider_rate_limited", "The provider limits the rate of requests."),
            Failure::Redirected => {
                (502, "provider_redirect", "The provider redirects elsewhere, and redirects are not followed.")
            }
            Failure::Rejected => (502, "provider_refused", "The provider refused the request."),
            Failure::TimeoutConnect => (504, "provider_timeout", "The provider did not take the connection in time."),
            Failure::TimeoutFirstByte => (504, "provider_timeout", "The provider did not begin to answer in time."),
            Failure::TimeoutIdle => (504, "provider_timeout", "The provider stopped in the middle of its answer."),
            Failure::TimeoutTotal => (504, "provider_timeout", "The provider's answer took too long as a whole."),
            Failure::Tls => (502, "provider_tls", "The provider's TLS certificate or handshake was refused."),
            Failure::Unauthorized => (502, "provider_unauthorized", "The provider refused the operator's credential."),
            Failure::Terms => return Self::terms(),
            Failure::ClientGone => (499, "client_gone", "The client has gone."),
        };
        let kind = if status == 429 { ErrorType::RateLimit } else { ErrorType::Provider };
        let mut problem = Self::new(status, kind, code, message);
        problem.refused = None;
        problem
    }

    /// The provider refused the request, in words that cannot be passed on.
    pub(crate) fn provider_refused(status: u16) -> Self {
        let message = "The provider refused the request; its explanation is not passed on because it quotes a credential.";
        Self::new(status, ErrorType::Provider, "provider_refused", message)
    }
}
