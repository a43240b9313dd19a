//! Responses over WebSocket (<https://developers.openai.com/api/docs/guides/websocket-mode>): a client's event becomes the body of a
//! streamed request, and the events of its answer become messages.

use std::ops::Range;

use lethe_content::ContentBuf;
use lethe_policy::conflict::Conflict;
use lethe_types::Api;

use crate::conversation::Json;
use crate::error::{ErrorBody, is_of};
use crate::json::{Cursor, JsonError, Kind};
use crate::refusal::{FieldName, Refusal};
use crate::sse::next_event;
use crate::write::Writer;

/// What the event is replaced by: it is no shorter than this.
const STREAM: &[u8] = br#""stream":true"#;

const STEER: Conflict = Conflict {
    field: "response.steer",
    instead: "it changes an answer that would have to be kept; let the answer end, and send its items with yours in the next `response.create`",
};
const WARM_UP: Conflict = Conflict {
    field: "generate",
    instead: "nothing is kept for a later request, so that there is nothing to warm up; leave it out, and send everything when it is to be answered",
};

/// Makes the body of `POST /v1/responses` of a `response.create`, in place: its `type` gives way to `"stream":true`, and what WebSocket has
/// beside it to spaces. Nothing moves.
///
/// # Errors
/// [`Refusal`] for other events, for what only a connection that remembers can do, and for what is no JSON object.
pub fn into_body(event: &mut [u8]) -> Result<(), Refusal> {
    let mut members: [Option<Range<usize>>; 3] = [const { None }; 3];
    let mut cursor = Cursor::new(event)?;
    if cursor.kind()? != Kind::Object {
        return Err(Refusal::WrongType("event", "a JSON object"));
    }
    cursor.object(|key, span, value| {
        let name = key.plain();
        let at = match (name.as_ref(), value.kind()?) {
            ("type", Kind::String) => match value.string()?.plain().as_ref() {
                "response.create" => 0,
                "response.steer" | "response.inject" => return Err(Refusal::Conflict(STEER)),
                _ => return Err(Refusal::WrongType("type", "`response.create`: there is no other event")),
            },
            ("type", _) => return Err(Refusal::WrongType("type", "`response.create`")),
            // Implied, and of no effect here.
            ("stream", Kind::Bool | Kind::Null) => {
                value.skip()?;
                1
            }
            ("stream", _) => return Err(Refusal::WrongType("stream", "left out")),
            ("generate", Kind::Bool) => {
                if !value.boolean()? {
                    return Err(Refusal::Conflict(WARM_UP));
                }
                2
            }
            ("generate", Kind::Null) => {
                value.skip()?;
                2
            }
            ("generate", _) => return Err(Refusal::WrongType("generate", "left out")),
            ("stream_id", Kind::String) => {
                let instead = "left out: a connection has one answer at a time; open another one for another answer";
                return Err(Refusal::WrongType("stream_id", instead));
            }
            _ => return Ok(value.skip().map(drop)?),
        };
        let member = span.start..value.offset_of_last();
        match members[at].replace(member) {
            None => Ok(()),
            Some(_) => Err(Refusal::DuplicateField(FieldName::new(&name))),
        }
    })?;
    cursor.end()?;
    let [kind, stream, generate] = members;
    let kind = kind.ok_or(Refusal::MissingField("type"))?;
    for member in [stream, generate].into_iter().flatten() {
        blank(event, member);
    }
    let (stream, rest) = event[kind].split_at_mut(STREAM.len());
    stream.copy_from_slice(STREAM);
    rest.fill(b' ');
    Ok(())
}

/// Writes spaces over a member and over one of the commas beside it. There is another member, whose comma it is.
fn blank(event: &mut [u8], member: Range<usize>) {
    let is_text = |byte: &u8| !matches!(byte, b' ' | b'\t' | b'\n' | b'\r');
    let behind = event[member.end..].iter().position(is_text).map(|at| member.end + at);
    let before = event[..member.start].iter().rposition(is_text);
    event[member].fill(b' ');
    for at in [behind, before].into_iter().flatten() {
        if event[at] == b',' {
            event[at] = b' ';
            return;
        }
    }
}

/// Hands each event of a stream in a client's format to `send`, as a message. `events` are whole. An error is the last: over HTTP the stream
/// ends behind it, and here what followed it would be taken for the next answer's.
pub fn messages(events: &[u8], send: &mut dyn FnMut(&[u8])) {
    let mut from = 0;
    while let Ok(Some(event)) = next_event(events, from) {
        from = event.span.end;
        let Some(data) = event.data else { continue };
        let mut joined = ContentBuf::new();
        let mut data = &events[data];
        if !event.more.is_empty() {
            joined.extend(data);
            for more in event.more {
                joined.extend(b"\n");
                joined.extend(&events[more]);
            }
            data = joined.expose();
        }
        let is_error = event.name.is_some_and(|name| &events[name] == b"error");
        match data {
            b"" | b"[DONE]" => {}
            _ if is_error => {
                // A provider's own may have the form that it has in a stream.
                return if is_of(Api::Responses, data) { send(data) } else { send(error(502, data).expose()) };
            }
            _ => send(data),
        }
    }
}

/// The event that tells of an error whose answer over HTTP has this status and body:
/// `{"type":"error","status":400,"error":{"message","type","param","code"}}`.
#[must_use]
pub fn error(status: u16, body: &[u8]) -> ContentBuf {
    let own;
    let body = if is_of(Api::Responses, body) {
        body
    } else {
        own = ErrorBody::of_provider(status, body).write_wire(Api::Responses);
        own.expose()
    };
    let mut out = ContentBuf::with_capacity(body.len() + 64);
    Writer::new(&mut out).object(|json| {
        json.constant("type", "error");
        json.key("status").number(status.into());
        json.some("error", error_object(body).as_ref());
    });
    out
}

/// The object `error`.
fn error_object(body: &[u8]) -> Option<Json<'_>> {
    let (mut cursor, mut found) = (Cursor::new(body).ok()?, None);
    let read = cursor.object(|key, _, value| {
        let json = Json::read(value)?;
        if key.is("error") {
            found = Some(json);
        }
        Ok::<(), JsonError>(())
    });
    read.ok()?;
    found
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed test")]

    use lethe_types::Api;
    use serde_json::{Value, json};

    use super::{error, into_body, messages};
    use crate::inspect::inspect;
    use crate::refusal::Refusal;

    /// The body that becomes of `event`.
    fn body(event: &str) -> Result<Value, Refusal> {
        let mut bytes = event.as_bytes().to_vec();
        into_body(&mut bytes)?;
        assert_eq!(bytes.len(), event.len(), "nothing moves");
        assert!(inspect(&bytes, Api::Responses)?.stream);
        Ok(serde_json::from_slice(&bytes).unwrap())
    }

    #[test]
    fn an_event_becomes_the_body_of_a_streamed_request() {
        let expected = json!({"model": "m", "input": "type", "stream": true});
        for event in [
            r#"{"type":"response.create","model":"m","input":"type"}"#,
            r#"{"model":"m","input":"type","type":"response.create"}"#,
            r#" { "model" : "m" , "type" : "response.create" , "input" : "type" } "#,
            r#"{"model":"m","t\u0079pe":"response\u002ecreate","input":"type"}"#,
            r#"{"stream":true,"type":"response.create","model":"m","input":"type"}"#,
            r#"{"type":"response.create","stream":false,"model":"m","input":"type"}"#,
            r#"{"stream":null,"generate":true,"type":"response.create","model":"m","input":"type"}"#,
            r#"{"model":"m","input":"type","type":"response.create" , "generate":null , "stream" : true }"#,
            r#"{"model":"m","input":"type", "generate":true,"type":"response.create","stream":false}"#,
        ] {
            assert_eq!(body(event).unwrap(), expected, "{event}");
        }
    }

    #[test]
    fn other_events_and_what_would_have_to_be_remembered_are_refused() {
        let refused = |event: &str| match body(event) {
            Ok(body) => body.to_string(),
            Err(Refusal::Conflict(conflict)) => format!("conflict {}", conflict.field),
            Err(Refusal::WrongType(field, _)) => format!("wrong {field}"),
            Err(Refusal::MissingField(field)) => format!("missing {field}"),
            Err(Refusal::DuplicateField(field)) => format!("twice {}", field.as_str()),
            Err(Refusal::Json(error)) => format!("{:?}", error.flaw),
            Err(other) => format!("{other:?}"),
        };
        for (event, said) in [
            (r#"{"type":"response.steer","previous_response_id":"r","input":"a"}"#, "conflict response.steer"),
            (r#"{"type":"session.update"}"#, "wrong type"),
            (r#"{"type":7,"model":"m","input":"a"}"#, "wrong type"),
            (r#"{"model":"m","input":"a"}"#, "missing type"),
            (r#"{"type":"response.create","model":"m","input":"a","generate":false}"#, "conflict generate"),
            (r#"{"type":"response.create","model":"m","input":"a","generate":1}"#, "wrong generate"),
            (r#"{"type":"response.create","model":"m","input":"a","stream":"yes"}"#, "wrong stream"),
            (r#"{"type":"response.create","model":"m","input":"a","stream_id":"b"}"#, "wrong stream_id"),
            (r#"{"type":"response.create","model":"m","input":"a","background":true}"#, "conflict background"),
            (r#"{"type":"response.create","model":"m","input":[],"previous_response_id":"r"}"#, "conflict previous_response_id"),
            (r#"{"type":"response.create","type":"response.create","model":"m","input":"a"}"#, "twice type"),
            (r#"{"type":"response.create","model":"m","input":"a","stream":true,"stream":true}"#, "twice stream"),
            (r#"{"type":"response.create","model":"m","input":"a""#, "Syntax"),
            (r#"["response.create"]"#, "wrong event"),
            ("", "Syntax"),
        ] {
            assert_eq!(refused(event), said, "{event}");
        }
        let alone = r#"{"type":"response.create","model":"m","input":"a","previous_response_id":null,"background":false}"#;
        assert!(body(alone).is_ok(), "what says nothing is nothing");
    }

    fn sent(events: &str) -> Vec<Value> {
        let mut sent = Vec::new();
        messages(events.as_bytes(), &mut |message| sent.push(serde_json::from_slice(message).unwrap()));
        sent
    }

    #[test]
    fn each_event_is_a_message() {
        let events = ": hello\n\nevent: a\ndata: {\"type\":\"a\"}\n\ndata: {\"type\":\ndata: \"b\"}\r\n\r\nid: 1\n\ndata: [DONE]\n\ndata: {\"cut";
        assert_eq!(sent(events), [json!({"type": "a"}), json!({"type": "b"})]);
    }

    #[test]
    fn errors_are_events_in_the_documented_form() {
        let told = |status, body: &str| serde_json::from_slice::<Value>(error(status, body.as_bytes()).expose()).unwrap();
        assert_eq!(
            told(400, r#"{"status":1,"error":{"message":"no","code":"c"},"more":{}}"#),
            json!({"type": "error", "status": 400, "error": {"message": "no", "code": "c"}})
        );
        let strange = told(429, r#"{"message":"slow down"}"#);
        assert_eq!((&strange["status"], &strange["error"]["message"]), (&json!(429), &json!("slow down")));
        // In the middle of a stream a provider has them flat.
        let flat = "event: error\ndata: {\"type\":\"error\",\"code\":\"x\",\"message\":\"broke\",\"param\":null}\n\n";
        assert_eq!(sent(flat)[0]["error"]["message"], "broke");
        let nested = "event: error\ndata: {\"type\":\"error\",\"sequence_number\":3,\"error\":{\"message\":\"broke\"}}\n\n";
        assert_eq!(sent(nested)[0]["sequence_number"], 3);
        let followed = format!("{nested}event: response.failed\ndata: {{\"type\":\"response.failed\"}}\n\n");
        assert_eq!(sent(&followed).len(), 1, "nothing follows an error");
    }
}
