//! Requests that a client in good order does not send: what a handler, a parser, a spool and an access log make of them.

use serde_json::json;

use crate::canary::Modality;

use super::super::matrix::{Class, Row};
use super::super::provider::{Script, Way};
use super::super::stage::{Ask, Shape, Stage, Step};
use super::super::target::Dialect;
use super::{Own, rows_of};

/// Of the prompt that spools: more than nginx and the like keep in memory, less than gateways refuse.
const LARGE: usize = 1 << 20;
/// Enough for the stack of a parser that recurses, and below what limits the number of bytes.
const DEEP: usize = 20_000;
/// Sent at once of the body that is too large.
const BLOCK: usize = 256 * 1024;

/// The rows, of the dialect's main endpoint.
pub(super) fn of(shape: &'static Shape) -> Vec<Row> {
    const ROWS: &[Own] = &[
        ("large prompt", Class::Disk, true, large),
        ("headers", Class::Telemetry, true, headers),
        ("query", Class::Credentials, true, query),
        ("path", Class::Logs, false, path),
        ("duplicate members", Class::Errors, false, duplicates),
        ("invalid UTF-8", Class::Errors, false, invalid_utf8),
        ("wrong content type", Class::Errors, false, wrong_type),
        ("header that is too long", Class::Errors, false, long_header),
        ("not HTTP", Class::Errors, false, not_http),
        ("oversized body", Class::Disk, true, oversized),
        ("deep nesting", Class::Process, true, deep),
    ];
    rows_of(shape, ROWS)
}

fn with_text(stage: &Stage<'_>, shape: &Shape, text: &str) -> Ask {
    Ask::Json(match shape.dialect {
        Dialect::Gemini => json!({"contents": [{"role": "user", "parts": [{"text": text}]}]}),
        Dialect::Anthropic | Dialect::OpenAi => {
            json!({"model": stage.model(), "max_tokens": 16, "messages": [{"role": "user", "content": text}]})
        }
    })
}

/// A body of the dialect's whose member of turns stands there once for each of `turns`, which need not be JSON.
fn with_turns(stage: &Stage<'_>, shape: &Shape, turns: &[String]) -> Vec<u8> {
    let (before, member) = match shape.dialect {
        Dialect::Gemini => (String::new(), "contents"),
        Dialect::Anthropic | Dialect::OpenAi => (format!("\"model\":{},\"max_tokens\":16,", json!(stage.model())), "messages"),
    };
    let turns: Vec<String> = turns.iter().map(|turns| format!("\"{member}\":{turns}")).collect();
    format!("{{{before}{}}}", turns.join(",")).into_bytes()
}

/// One turn of the user's in which `content`, which need not be JSON, stands for the text.
fn turn(shape: &Shape, content: &str) -> String {
    match shape.dialect {
        Dialect::Gemini => format!("[{{\"role\":\"user\",\"parts\":[{{\"text\":{content}}}]}}]"),
        Dialect::Anthropic | Dialect::OpenAi => format!("[{{\"role\":\"user\",\"content\":{content}}}]"),
    }
}

fn filler(bytes: usize) -> String {
    "All work and no play. ".repeat(bytes / 22 + 1)
}

fn large(stage: &mut Stage<'_>, shape: &Shape) -> Step {
    let (start, middle, end) = (stage.prompt(Modality::Text)?, stage.prompt(Modality::Text)?, stage.prompt(Modality::Text)?);
    let script = (shape.script)(stage)?;
    stage.play(Way::Well, script);
    let half = filler(LARGE / 2);
    let ask = with_text(stage, shape, &format!("{start} {half}{middle} {half}{end}"));
    stage.post(ask)?;
    Ok(())
}

fn headers(stage: &mut Stage<'_>, shape: &Shape) -> Step {
    let ask = (shape.ask)(stage)?;
    let script = (shape.script)(stage)?;
    let mut canary = || stage.hidden(Modality::Header);
    let (note, baggage, cookie, referer) = (canary()?, canary()?, canary()?, canary()?);
    stage.play(Way::Well, script);
    let mut request = stage.request(shape.path, ask);
    request.headers = [
        ("x-audit-note", note),
        // W3C baggage: tracing copies it into spans.
        ("baggage", format!("note={baggage}")),
        ("cookie", format!("session={cookie}")),
        ("referer", format!("https://example.com/{referer}")),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .to_vec();
    stage.exchange(&request)?;
    Ok(())
}

fn query(stage: &mut Stage<'_>, shape: &Shape) -> Step {
    let ask = (shape.ask)(stage)?;
    let script = (shape.script)(stage)?;
    let (note, key) = (stage.hidden(Modality::Query)?, stage.hidden(Modality::Credential)?);
    stage.play(Way::Well, script);
    let request = stage.request(&format!("{}?note={note}&key={key}", shape.path), ask);
    stage.exchange(&request)?;
    Ok(())
}

fn path(stage: &mut Stage<'_>, shape: &Shape) -> Step {
    let ask = (shape.ask)(stage)?;
    let segment = stage.hidden(Modality::Query)?;
    stage.play(Way::Well, Script::default());
    stage.missing_is_refusal();
    let request = stage.request(&format!("{}/{segment}", shape.path), ask);
    stage.exchange(&request)?;
    Ok(())
}

fn raw(stage: &mut Stage<'_>, shape: &Shape, bytes: Vec<u8>) -> Step {
    let script = (shape.script)(stage)?;
    stage.play(Way::Well, script);
    stage.sent_is_enough();
    stage.post(Ask::Raw(bytes))?;
    Ok(())
}

fn duplicates(stage: &mut Stage<'_>, shape: &Shape) -> Step {
    let (first, second) = (stage.prompt(Modality::Text)?, stage.prompt(Modality::Text)?);
    let turns = [first, second].map(|text| turn(shape, &json!(text).to_string()));
    let body = with_turns(stage, shape, &turns);
    raw(stage, shape, body)
}

fn invalid_utf8(stage: &mut Stage<'_>, shape: &Shape) -> Step {
    let (_, body) = (shape.ask)(stage)?.into_parts();
    let behind = behind_canary(stage, &body);
    let bytes = [&body[..behind], b"\xff\xc3\x28".as_slice(), &body[behind..]].concat();
    raw(stage, shape, bytes)
}

fn behind_canary(stage: &Stage<'_>, body: &[u8]) -> usize {
    let found = |needle: &String| memchr::memmem::find(body, needle.as_bytes()).map(|at| at + needle.len());
    stage.needles().iter().find_map(found).unwrap_or(body.len() / 2)
}

fn wrong_type(stage: &mut Stage<'_>, shape: &Shape) -> Step {
    let ask = (shape.ask)(stage)?;
    stage.play(Way::Well, Script::default());
    let mut request = stage.request(shape.path, ask);
    "application/x-www-form-urlencoded".clone_into(&mut request.content_type);
    stage.exchange(&request)?;
    Ok(())
}

fn long_header(stage: &mut Stage<'_>, shape: &Shape) -> Step {
    let ask = (shape.ask)(stage)?;
    let note = stage.hidden(Modality::Header)?;
    stage.play(Way::Well, Script::default());
    stage.sent_is_enough();
    let mut request = stage.request(shape.path, ask);
    request.headers.push(("x-audit-note".to_owned(), note.repeat(2048)));
    stage.exchange(&request)?;
    Ok(())
}

fn not_http(stage: &mut Stage<'_>, _: &Shape) -> Step {
    let line = stage.hidden(Modality::Text)?;
    stage.sent_is_enough();
    let mut client = stage.connect()?;
    client.raw(format!("HELO {line}\r\n{line}\r\n\r\n").as_bytes(), stage.left(stage.limits.answer));
    let answer = client.answer(stage.left(stage.limits.patience));
    stage.note(client, answer, &[]);
    Ok(())
}

/// Announces a body beyond any limit, and sends of it until it is refused or a good part has gone.
fn oversized(stage: &mut Stage<'_>, shape: &Shape) -> Step {
    let text = stage.hidden(Modality::Text)?;
    stage.play(Way::Well, Script::default());
    stage.sent_is_enough();
    let (_, mut body) = with_text(stage, shape, &format!("{text} {text}")).into_parts();
    body.truncate(body.len() - 4);
    let mut request = stage.request(shape.path, Ask::Raw(Vec::new()));
    let (announced, most) = stage.limits.oversized;
    request.announce = Some(announced);
    let mut client = stage.connect()?;
    let head = client.head(&request);
    let mut went = client.raw(&[head, body].concat(), stage.left(stage.limits.answer));
    let block = filler(BLOCK).into_bytes();
    let mut sent = 0;
    let mut answered = false;
    while went && !answered && sent < most {
        went = client.raw(&block, stage.left(stage.limits.patience));
        sent += block.len();
        answered = client.glance();
    }
    let answer = client.answer(stage.left(stage.limits.patience));
    stage.note(client, answer, &[]);
    Ok(())
}

fn deep(stage: &mut Stage<'_>, shape: &Shape) -> Step {
    let text = stage.prompt(Modality::Text)?;
    let nested = format!("{}\"{text}\"{}", "[".repeat(DEEP), "]".repeat(DEEP));
    let body = with_turns(stage, shape, &[turn(shape, &nested)]);
    raw(stage, shape, body)
}
