//! An error toward a client, in the shape of the format that it speaks: each makes its SDKs raise the right exception.

use lethe_content::ContentBuf;
use lethe_types::{Api, Failure};

use crate::conversation::Str;
use crate::json::{Cursor, JsonError, Kind};
use crate::write::Writer;

/// What kind of error it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorType {
    /// 401, 403
    Authentication,
    /// 400, 404, 413, …
    InvalidRequest,
    /// 5xx by the provider or on the way to it.
    Provider,
    /// 429
    RateLimit,
    /// 5xx by Lethe itself.
    Server,
    /// 400: needs somebody to remember.
    ZeroRetentionConflict,
}

impl ErrorType {
    const fn name(self) -> &'static str {
        match self {
            Self::Authentication => "authentication_error",
            Self::InvalidRequest => "invalid_request_error",
            Self::Provider => "provider_error",
            Self::RateLimit => "rate_limit_error",
            Self::Server => "server_error",
            Self::ZeroRetentionConflict => "zero_retention_conflict",
        }
    }
}

/// An error toward a client: a text, a stable code, and the field's name where one is at fault.
#[derive(Clone)]
pub struct ErrorBody<'a> {
    /// HTTP status that goes with it, also where it comes in the middle of a stream.
    pub status: u16,
    /// What is wrong and what to do about it: fixed text, or a provider's own words for the caller alone.
    pub message: Str<'a>,
    /// OpenAI's `type`.
    pub kind: ErrorType,
    /// The field at fault.
    pub param: Option<&'a str>,
    /// Stable machine-readable code.
    pub code: &'a str,
}

impl<'a> ErrorBody<'a> {
    /// A provider's refusal, in the words of its `body`, for a client that speaks another format.
    #[must_use]
    pub fn of_provider(status: u16, body: &'a [u8]) -> Self {
        let kind = match status {
            429 => ErrorType::RateLimit,
            400..=499 => ErrorType::InvalidRequest,
            _ => ErrorType::Provider,
        };
        let message = message(body).unwrap_or(Str::constant("The provider refused the request."));
        Self { status, message, kind, param: None, code: Failure::of_status(status).name() }
    }
}

impl ErrorBody<'_> {
    /// The body of an answer to a client that speaks `api`.
    #[must_use]
    pub fn write_wire(&self, api: Api) -> ContentBuf {
        let mut out = ContentBuf::with_capacity(256 + self.message.raw().len());
        let mut json = Writer::new(&mut out);
        match api {
            Api::CountMessageTokens | Api::Messages => self.anthropic(&mut json),
            Api::CountTokens | Api::EmbedContent | Api::GenerateContent => self.google(&mut json),
            _ => self.openai(&mut json, api == Api::Rerank),
        }
        out
    }

    /// An event of a stream that a client who speaks `api` takes for an error.
    pub fn write_event(&self, api: Api, out: &mut ContentBuf) {
        match api {
            Api::Messages => {
                out.extend(b"event: error\ndata: ");
                self.anthropic(&mut Writer::new(out));
            }
            // <https://platform.openai.com/docs/api-reference/responses-streaming/error>
            Api::Responses => {
                out.extend(b"event: error\ndata: ");
                Writer::new(out).object(|json| {
                    json.constant("type", "error");
                    self.responses_event(json);
                });
            }
            _ => {
                out.extend(b"data: ");
                out.extend(self.write_wire(api).expose());
            }
        }
        out.extend(b"\n\n");
    }

    /// `{"error":{"message","type","param","code"}}` (<https://platform.openai.com/docs/guides/error-codes>). `message` stands beside it as well for
    /// clients of Cohere's and Jina's rerank, who look for it there.
    fn openai(&self, json: &mut Writer<'_>, beside: bool) {
        json.object(|json| {
            if beside {
                json.member("message", &self.message);
            }
            json.key("error").object(|json| {
                json.member("message", &self.message);
                json.constant("type", self.kind.name());
                match self.param {
                    None => json.key("param").null(),
                    Some(param) => json.key("param").plain(param),
                }
                json.key("code").plain(self.code);
            });
        });
    }

    /// Members of responses' `error` event. OpenAI documents them flat, but its SDKs raise an error only where they find `error`, and Open
    /// Responses demands that: so they stand in both places.
    pub(crate) fn responses_event(&self, json: &mut Writer<'_>) {
        let said = |json: &mut Writer<'_>| {
            json.key("code").plain(self.code);
            json.member("message", &self.message);
            match self.param {
                None => json.key("param").null(),
                Some(param) => json.key("param").plain(param),
            }
        };
        said(json);
        json.key("error").object(|json| {
            json.constant("type", self.kind.name());
            said(json);
        });
    }

    /// `{"type":"error","error":{"type","message"}}` (<https://docs.anthropic.com/en/api/errors>); `code` and `param` are Lethe's own beside it.
    pub(crate) fn anthropic(&self, json: &mut Writer<'_>) {
        let kind = match (self.status, self.kind) {
            (401, _) => "authentication_error",
            (403, _) => "permission_error",
            (404, _) => "not_found_error",
            (413, _) => "request_too_large",
            (429, _) => "rate_limit_error",
            (504, _) => "timeout_error",
            (503 | 529, _) => "overloaded_error",
            (_, ErrorType::ZeroRetentionConflict | ErrorType::InvalidRequest) => "invalid_request_error",
            (400..=499, _) => "invalid_request_error",
            _ => "api_error",
        };
        json.object(|json| {
            json.constant("type", "error");
            json.key("error").object(|json| {
                json.constant("type", kind);
                json.member("message", &self.message);
                json.key("code").plain(self.code);
                if let Some(param) = self.param {
                    json.key("param").plain(param);
                }
            });
        });
    }

    /// `{"error":{"code","message","status","details"}}` (<https://cloud.google.com/apis/design/errors>).
    pub(crate) fn google(&self, json: &mut Writer<'_>) {
        let status = match self.status {
            401 => "UNAUTHENTICATED",
            403 => "PERMISSION_DENIED",
            404 => "NOT_FOUND",
            429 => "RESOURCE_EXHAUSTED",
            501 | 405 => "UNIMPLEMENTED",
            503 | 529 => "UNAVAILABLE",
            504 => "DEADLINE_EXCEEDED",
            400..=499 => "INVALID_ARGUMENT",
            _ => "INTERNAL",
        };
        json.object(|json| {
            json.key("error").object(|json| {
                json.key("code").number(self.status.into());
                json.member("message", &self.message);
                json.constant("status", status);
                json.key("details").array(|json| {
                    json.object(|json| {
                        json.constant("@type", "type.googleapis.com/google.rpc.ErrorInfo");
                        json.key("reason").plain(self.code);
                        json.constant("domain", "lethe");
                        if let Some(param) = self.param {
                            json.key("metadata").object(|json| json.key("field").plain(param));
                        }
                    });
                });
            });
        });
    }
}

/// What a provider says went wrong: the string `message` of an error object, wherever providers put it (`error.message`, `message`, `detail`, or
/// `error` as a string; an array of one such object is looked into).
#[must_use]
pub fn message(body: &[u8]) -> Option<Str<'_>> {
    let mut cursor = Cursor::new(body).ok()?;
    find_message(&mut cursor, 5).ok().flatten()
}

/// Whether a provider's error is in the form in which clients look for it: an object `error`. Cohere's rerank has its `message` at the top.
#[must_use]
pub fn is_of(api: Api, body: &[u8]) -> bool {
    let Ok(mut cursor) = Cursor::new(body) else { return false };
    let mut found = false;
    let read = cursor.object(|key, _, value| {
        found |= match value.kind()? {
            Kind::Object => key.is("error"),
            Kind::String => key.is("message") && api == Api::Rerank,
            _ => false,
        };
        value.skip().map(drop)
    });
    read.is_ok() && found
}

/// Seconds after which Google's APIs may be asked again (`retryDelay` of a `google.rpc.RetryInfo`, <https://cloud.google.com/apis/design/errors>), rounded up;
/// at most a day.
#[must_use]
pub fn retry_delay(body: &[u8]) -> Option<u32> {
    const DAY: u32 = 86_400;
    let mut cursor = Cursor::new(body).ok()?;
    let mut delay = None;
    let is_list = cursor.kind().ok()? == Kind::Array;
    let mut read = |value: &mut Cursor<'_>| find_delay(value, &["error", "details", "retryDelay"], &mut delay);
    if is_list { cursor.array(read) } else { read(&mut cursor) }.ok()?;
    let delay: String = delay?;
    let seconds = delay.strip_suffix('s')?;
    let (whole, rest) = seconds.split_once('.').unwrap_or((seconds, ""));
    let more = u32::from(rest.bytes().any(|byte| byte != b'0'));
    whole.parse::<u32>().ok()?.checked_add(more).filter(|seconds| *seconds <= DAY)
}

/// Walks down `path`, through the elements of arrays on the way, to a string.
fn find_delay(value: &mut Cursor<'_>, path: &[&str], delay: &mut Option<String>) -> Result<(), JsonError> {
    match (value.kind()?, path) {
        (Kind::Object, [name, rest @ ..]) => value.object(|key, _, value| match (key.raw() == *name, value.kind()?, rest) {
            (true, Kind::Array, _) => value.array(|item| find_delay(item, rest, delay)),
            (true, _, _) => find_delay(value, rest, delay),
            _ => value.skip().map(drop),
        }),
        (Kind::String, []) => {
            *delay = Some(value.string()?.unescaped());
            Ok(())
        }
        _ => value.skip().map(drop),
    }
}

fn find_message<'a>(cursor: &mut Cursor<'a>, depth: u8) -> Result<Option<Str<'a>>, JsonError> {
    let mut found = None;
    match cursor.kind()? {
        Kind::String => found = Some(cursor.string()?.into()),
        Kind::Array if depth > 0 => cursor.array(|item| {
            let inside = find_message(item, depth - 1)?;
            found = found.take().or(inside);
            Ok::<(), JsonError>(())
        })?,
        Kind::Object if depth > 0 => cursor.object(|key, _, value| {
            match key.raw() {
                "error" | "message" | "msg" | "detail" => {
                    let inside = find_message(value, depth - 1)?;
                    found = found.take().or(inside);
                }
                _ => value.skip().map(drop)?,
            }
            Ok::<(), JsonError>(())
        })?,
        _ => cursor.skip().map(drop)?,
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed test")]

    use lethe_types::Api;

    use super::{ErrorBody, ErrorType, is_of, message, retry_delay};
    use crate::conversation::Str;

    fn shown(api: Api) -> serde_json::Value {
        let message = Str::of("a \"b\"\n\\");
        let error = ErrorBody { status: 400, message, kind: ErrorType::InvalidRequest, param: Some("é\u{1}"), code: "c" };
        serde_json::from_slice(error.write_wire(api).expose()).unwrap()
    }

    #[test]
    fn it_is_json_in_each_shape_whatever_is_in_it() {
        let openai = shown(Api::Chat);
        assert_eq!(openai["error"]["message"], "a \"b\"\n\\");
        assert_eq!(openai["error"]["param"], "é\u{1}");
        assert_eq!(openai["error"]["type"], "invalid_request_error");
        let anthropic = shown(Api::Messages);
        assert_eq!(anthropic["type"], "error");
        assert_eq!(anthropic["error"]["type"], "invalid_request_error");
        assert_eq!(anthropic["error"]["message"], "a \"b\"\n\\");
        let google = shown(Api::GenerateContent);
        assert_eq!((&google["error"]["code"], &google["error"]["status"]), (&400.into(), &"INVALID_ARGUMENT".into()));
        assert_eq!(google["error"]["details"][0]["reason"], "c");
    }

    #[test]
    fn only_an_error_of_the_clients_form_passes() {
        assert!(is_of(Api::Chat, br#"{"error":{"message":"no"}}"#) && is_of(Api::Messages, br#"{"type":"error","error":{}}"#));
        for body in [r#"{"object":"error","message":"no"}"#, r#"{"error":"no"}"#, r#"{"detail":"no"}"#, "[]", "{"] {
            assert!(!is_of(Api::Chat, body.as_bytes()), "{body}");
        }
        assert!(is_of(Api::Rerank, br#"{"id":"1","message":"no"}"#) && !is_of(Api::Rerank, br#"{"detail":"no"}"#));
    }

    #[test]
    fn googles_delay_is_found_and_doubted() {
        let error = |delay: &str| {
            format!(
                r#"{{"error":{{"code":429,"details":[{{"@type":"a","x":1}},{{"@type":"google.rpc.RetryInfo","retryDelay":{delay}}}]}}}}"#
            )
        };
        assert_eq!(retry_delay(error(r#""7s""#).as_bytes()), Some(7));
        assert_eq!(retry_delay(error(r#""7.2s""#).as_bytes()), Some(8));
        assert_eq!(retry_delay(format!("[{}]", error(r#""7.000s""#)).as_bytes()), Some(7));
        for none in [r#""7""#, r#""-7s""#, "7", r#""99999999s""#, "null"] {
            assert_eq!(retry_delay(error(none).as_bytes()), None, "{none}");
        }
        assert_eq!(retry_delay(b"{}"), None);
    }

    #[test]
    fn a_providers_words_are_found_wherever_it_puts_them() {
        for body in [
            r#"{"error":{"type":"x","message":"no"}}"#,
            r#"{"type":"error","error":{"type":"x","message":"no"}}"#,
            r#"{"message":"no"}"#,
            r#"{"error":"no"}"#,
            r#"[{"error":{"code":400,"message":"no"}}]"#,
            r#"{"detail":"no"}"#,
            r#"{"object":"error","message":{"detail":[{"type":"missing","loc":["body"],"msg":"no"}]}}"#,
        ] {
            assert!(message(body.as_bytes()).is_some_and(|text| text.raw() == "no"), "{body}");
        }
        assert!(message(b"<html>").is_none() && message(b"{}").is_none());
    }
}
