//! The request and the answer, written and judged as the gateway does.

use std::time::Duration;

use lethe_content::ContentBuf;
use lethe_http1::{ClientConn, ClientError, ResponseHead};
use lethe_policy as policy;
use lethe_providers::{Call, Credential, formats};
use lethe_types::{Api, Clock, Failure as Code, SystemClock};
use lethe_wire::answer::inspect_answer;
use lethe_wire::conversation::{Sending, Usage};
use lethe_wire::inspect::{Change, inspect};
use lethe_wire::passage::Passage;
use serde_json::json;
use tokio::time::{Instant, timeout, timeout_at};

use super::{
    Subject,
    report::Report,
    tap::{Stream, Tap},
};

/// What is sent. Anybody may see it anywhere.
const TEXT: &str = "Reply with the single word: ready";
/// Longer answers to it are none.
const ANSWER_LIMIT: usize = 1024 * 1024;
/// Longest body that is shown.
const SHOWN: usize = 2000;

/// Sends the text and judges the answer.
pub(crate) async fn run(subject: &Subject<'_>, stream: Stream, report: &mut Report) -> Result<(), Code> {
    let mut seen = Vec::new();
    let timeouts = subject.provider.timeouts;
    let seconds = |seconds: u32| Duration::from_secs(seconds.into());
    let deadline = Instant::now() + seconds(timeouts.total_seconds);

    let mut step = report.begin("request");
    let Some((head, body)) = request(subject) else {
        return Err(report.end(step, Err("this model's operation asks no provider"), Code::Malformed));
    };
    step.text("head", &String::from_utf8_lossy(head.expose()));
    step.text("body", &String::from_utf8_lossy(body.expose()));
    let mut connection = ClientConn::new(Tap::new(stream, &mut seen));
    let limit = Instant::now() + seconds(timeouts.first_byte_seconds);
    // A server may answer before it has taken everything.
    let sent = timeout_at(limit, connection.send(&[head.expose(), body.expose()])).await;
    match sent {
        Ok(_) => report.good(step),
        Err(_) => return Err(report.end(step, Err("the request was not taken in time"), Code::TimeoutFirstByte)),
    }

    let step = report.begin("answer");
    let answered = timeout_at(limit, connection.read_head()).await;
    let Ok(answered) = answered else {
        return Err(report.end(step, Err("no answer began in time"), Code::TimeoutFirstByte));
    };
    let read = match answered {
        Ok(head) => {
            let read = read(&mut connection, subject, &head, deadline, seconds(timeouts.idle_seconds)).await;
            drop(connection);
            Ok((head, read))
        }
        Err(error) => {
            drop(connection);
            Err(error)
        }
    };
    let mut step = step;
    step.text("head", &String::from_utf8_lossy(seen.split_at(end_of_head(&seen)).0));
    let (head, read) = match read {
        Ok(read) => read,
        Err(error) => {
            let why = if seen.is_empty() { "the connection closed without an answer" } else { "this is no HTTP/1.1 answer" };
            return Err(report.end(step, Err(why), client(error)));
        }
    };
    step.fact("status", &head.status.to_string());
    let shown = &read.body.expose()[..read.body.len().min(SHOWN)];
    step.text("body", &String::from_utf8_lossy(shown));
    if let Some(tokens) = read.tokens {
        step.fact("tokens", &format!("{} in, {} out, as reported", tokens.input, tokens.output));
    }
    match read.outcome {
        Ok(()) => {
            report.good(step);
            Ok(())
        }
        Err((code, why)) => Err(report.end(step, Err(why), code)),
    }
}

/// Head and body, in the format that the provider takes and with the fields that the gateway forces.
fn request(subject: &Subject<'_>) -> Option<(ContentBuf, ContentBuf)> {
    let (provider, model) = (subject.provider, subject.upstream_model);
    let body = match subject.api {
        Api::Embeddings => json!({ "model": model, "input": TEXT }),
        _ => json!({ "model": model, "messages": [{ "role": "user", "content": TEXT }], "stream": subject.stream }),
    };
    let rules = provider.rules.target(subject.api)?;
    let mut body = body.to_string().into_bytes();
    if rules.api != subject.api {
        let mut out = ContentBuf::new();
        let request = lethe_wire::formats::read_request(subject.api, &body).ok()?;
        formats::write_request(rules.api, &request, &Sending { model, max_output_tokens: None }, &mut out).ok()?;
        body = out.expose().to_vec();
    }
    let mut patched = ContentBuf::new();
    if formats::is_spoken_by_clients(rules.api) {
        let change = Change { model, pseudonym: "test", cache: false };
        inspect(&body, rules.api).ok()?.edits(&change, rules).apply(&body, &mut patched);
    } else {
        patched.extend(&body);
    }
    let url = &provider.base_url;
    let default_port = if url.scheme == lethe_config::Scheme::Http { 80 } else { 443 };
    let host = if url.host.contains(':') { format!("[{}]", url.host) } else { url.host.clone() };
    let host = if url.port == default_port { host } else { format!("{host}:{}", url.port) };
    let credential = match &subject.credential {
        policy::Credential::Awaited => return None,
        policy::Credential::None => Credential::None,
        policy::Credential::Bearer(token) => Credential::Bearer(token.expose()),
        policy::Credential::Key(key) => Credential::Key(key.expose()),
        policy::Credential::Aws { access_key_id, secret_access_key, session_token } => Credential::Aws {
            access_key_id,
            secret_access_key: secret_access_key.expose(),
            session_token: session_token.as_ref().map(lethe_types::SecretBytes::expose),
        },
    };
    let call = Call {
        dialect: provider.dialect,
        api: rules.api,
        rules,
        model,
        stream: subject.stream,
        host: &host,
        base_path: &url.path,
        credential,
        now: SystemClock.now(),
        beta: &[],
        version: None,
        batch: false,
        body: &[patched.expose()],
    };
    Some((lethe_providers::head(&call, 0)?, patched))
}

/// What became of an answer whose head had come.
struct Read {
    body: ContentBuf,
    tokens: Option<Usage>,
    outcome: Result<(), (Code, &'static str)>,
}

async fn read(
    connection: &mut ClientConn<Tap<'_>>,
    subject: &Subject<'_>,
    head: &ResponseHead,
    deadline: Instant,
    idle: Duration,
) -> Read {
    let mut body = ContentBuf::new();
    let mut pending = ContentBuf::new();
    let kind = head.headers().get("content-type").unwrap_or_default();
    let kind = kind.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii().to_ascii_lowercase();
    let target = subject.provider.rules.target(subject.api).map_or(subject.api, |rules| rules.api);
    let reader = formats::reader(target, true)
        .filter(|(framing, _)| head.status == 200 && subject.stream && framing.media_type().as_bytes() == kind);
    let mut passage = reader.map(|(framing, reader)| Passage::new(framing, reader, None));
    let outcome = loop {
        let limit = idle.min(deadline.saturating_duration_since(Instant::now()));
        match timeout(limit, connection.read_some(&mut pending)).await {
            Err(_) if Instant::now() >= deadline => break Err((Code::TimeoutTotal, "the answer as a whole took too long")),
            Err(_) => break Err((Code::TimeoutIdle, "the answer paused for too long")),
            Ok(Err(_)) if passage.as_ref().is_some_and(|passage| passage.done) => break Ok(()),
            Ok(Err(error)) => break Err((client(error), "the answer stopped before its end, or its framing is broken")),
            Ok(Ok(false)) => break Ok(()),
            Ok(Ok(true)) => {
                let passed = match &mut passage {
                    Some(passage) => passage.pass(&mut pending, &mut body),
                    None => {
                        body.extend(pending.expose());
                        pending.clear();
                        Ok(())
                    }
                };
                if passed.is_err() {
                    break Err((Code::Malformed, "this is no stream of this API"));
                }
            }
        }
        if body.len() > ANSWER_LIMIT {
            break Err((Code::Malformed, "the answer is far too long"));
        }
    };
    let (tokens, judged) = match &mut passage {
        Some(passage) => judge_stream(passage, &mut pending),
        None => judge(subject, head.status, &kind, &body),
    };
    // A status that is an error says more than a body that was cut.
    let outcome = if head.status == 200 { outcome.and(judged) } else { judged };
    Read { body, tokens, outcome }
}

type Judged = (Option<Usage>, Result<(), (Code, &'static str)>);

fn judge_stream(passage: &mut Passage, pending: &mut ContentBuf) -> Judged {
    let outcome = match (passage.failed, passage.end(pending, &mut ContentBuf::new())) {
        (true, _) => Err((Code::ErrorInAnswer, "the stream holds the provider's own error")),
        (false, Err(_)) => Err((Code::Cut, "the stream ended before its last event")),
        (false, Ok(())) => Ok(()),
    };
    (passage.usage, outcome)
}

/// As the gateway's `answer` does.
fn judge(subject: &Subject<'_>, status: u16, kind: &[u8], body: &ContentBuf) -> Judged {
    let is_json = kind == b"application/json";
    let malformed = |why| (None, Err((Code::Malformed, why)));
    match (status, is_json) {
        (200, true) if !subject.stream => match inspect_answer(body.expose()) {
            Err(_) => malformed("the body is not the JSON object that it should be"),
            Ok(answer) if answer.is_error => (None, Err((Code::ErrorInAnswer, "status 200, but the body is an error"))),
            Ok(answer) => (answer.usage, Ok(())),
        },
        (200, _) => malformed("status 200, but another media type than was asked for"),
        (300..=399 | 401 | 403 | 429 | 500..=599, _) => (None, Err((Code::of_status(status), "the provider refused or failed"))),
        (400..=499, true) => (None, Err((Code::of_status(status), "the provider refused the request"))),
        _ => malformed("neither an answer nor an error of this API"),
    }
}

const fn client(error: ClientError) -> Code {
    match error {
        ClientError::Cut | ClientError::NoAnswer => Code::Cut,
        ClientError::Malformed => Code::Malformed,
    }
}

/// Bytes up to and with the empty line, or all of them.
fn end_of_head(bytes: &[u8]) -> usize {
    bytes.windows(4).position(|window| window == b"\r\n\r\n").map_or(bytes.len().min(SHOWN), |at| at + 2)
}
