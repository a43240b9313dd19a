//! Outcomes that every endpoint can have. Nearly every public report of a leak is one of these at an endpoint that somebody forgot.

use serde_json::{Value, json};

use crate::canary::Modality;

use super::super::matrix::{Class, Observation, Row};
use super::super::media::{Part, with_parts};
use super::super::provider::{Provider, Script, Way};
use super::super::stage::{Ask, Shape, Stage, Step};
use super::Play;

/// (outcome, class, only of endpoints that stream, in a quick run of the first endpoint, how it is played)
const OUTCOMES: &[(&str, Class, bool, bool, Play)] = &[
    ("success", Class::Redaction, false, true, success),
    ("stream", Class::Redaction, true, true, stream),
    ("provider error 400 that echoes", Class::Errors, false, true, error_400),
    ("provider error 401 that echoes", Class::Errors, false, false, error_401),
    ("provider error 429 that echoes", Class::Errors, false, false, error_429),
    ("provider error 500 that echoes", Class::Errors, false, true, error_500),
    ("provider error in the stream", Class::Errors, true, true, error_event),
    ("provider error as a page", Class::Errors, false, false, error_page),
    ("provider error as plain text", Class::Errors, false, false, error_text),
    ("provider's JSON is malformed", Class::Logs, false, true, malformed_json),
    ("provider's events are malformed", Class::Logs, true, true, malformed_events),
    ("provider cuts its body", Class::Errors, false, false, cut_body),
    ("provider cuts its stream", Class::Errors, true, true, cut_stream),
    ("provider closes without an answer", Class::Errors, false, false, dropped),
    ("provider hangs", Class::Process, false, true, hang),
    ("client gone mid-stream", Class::Process, true, true, gone_in_stream),
    ("client gone in its own body", Class::Process, false, true, gone_in_body),
    ("validation error", Class::Errors, false, true, validation),
    ("body is malformed", Class::Errors, false, true, malformed_body),
    ("wrong key", Class::Credentials, false, true, wrong_key),
];

/// The rows of one endpoint.
pub(super) fn of(shape: &'static Shape) -> Vec<Row> {
    let first = matches!(shape.path, "/chat/completions" | "/messages" | "/models/{model}:generateContent");
    // The endpoint that makes no completion still has its success in a quick run: it is the only one with vectors.
    let vectors = shape.path == "/embeddings";
    OUTCOMES
        .iter()
        .filter(|(_, _, streams, _, _)| shape.streams || !streams)
        .map(|&(outcome, class, _, quick, play)| Row {
            endpoint: shape.endpoint,
            outcome,
            class,
            quick: quick && (first || vectors && outcome == "success"),
            shape,
            play,
        })
        .collect()
}

pub(super) fn success(stage: &mut Stage<'_>, shape: &Shape) -> Step {
    let ask = (shape.ask)(stage)?;
    let script = (shape.script)(stage)?;
    stage.play(Way::Well, script);
    stage.post(ask)?;
    Ok(())
}

pub(super) fn stream(stage: &mut Stage<'_>, shape: &Shape) -> Step {
    let ask = (shape.ask)(stage)?.streamed();
    let script = (shape.script)(stage)?;
    stage.play(Way::Well, script);
    stage.post(ask)?;
    Ok(())
}

fn error(stage: &mut Stage<'_>, shape: &Shape, way: Way) -> Step {
    stage.needs_provider()?;
    let ask = (shape.ask)(stage)?;
    let script = stage.error_script()?;
    stage.play(way, script.clone());
    let answer = stage.post(ask)?;
    stage.check_echo(answer.as_ref(), &script);
    Ok(())
}

pub(super) fn error_400(stage: &mut Stage<'_>, shape: &Shape) -> Step {
    error(stage, shape, Way::Error(400))
}

fn error_401(stage: &mut Stage<'_>, shape: &Shape) -> Step {
    error(stage, shape, Way::Error(401))
}

fn error_429(stage: &mut Stage<'_>, shape: &Shape) -> Step {
    error(stage, shape, Way::Error(429))
}

fn error_500(stage: &mut Stage<'_>, shape: &Shape) -> Step {
    error(stage, shape, Way::Error(500))
}

fn error_page(stage: &mut Stage<'_>, shape: &Shape) -> Step {
    error_words(stage, shape, Way::HtmlError)
}

fn error_text(stage: &mut Stage<'_>, shape: &Shape) -> Step {
    error_words(stage, shape, Way::TextError)
}

/// An error that is no JSON has one place for the provider's own words.
fn error_words(stage: &mut Stage<'_>, shape: &Shape, way: Way) -> Step {
    stage.needs_provider()?;
    let ask = (shape.ask)(stage)?;
    let script = Script { error: stage.completion(Modality::ErrorText)?, ..Script::default() };
    stage.play(way, script.clone());
    let answer = stage.post(ask)?;
    stage.check_echo(answer.as_ref(), &script);
    Ok(())
}

fn error_event(stage: &mut Stage<'_>, shape: &Shape) -> Step {
    stage.needs_provider()?;
    let ask = (shape.ask)(stage)?.streamed();
    let words = (shape.script)(stage)?;
    let mut script = stage.error_script()?;
    script.text = words.text;
    stage.play(Way::ErrorEvent, script.clone());
    let answer = stage.post(ask)?;
    stage.check_echo(answer.as_ref(), &script);
    Ok(())
}

fn malformed_json(stage: &mut Stage<'_>, shape: &Shape) -> Step {
    stage.needs_provider()?;
    let ask = (shape.ask)(stage)?;
    let script = (shape.script)(stage)?;
    stage.play(Way::MalformedJson, script);
    stage.post(ask)?;
    Ok(())
}

fn malformed_events(stage: &mut Stage<'_>, shape: &Shape) -> Step {
    stage.needs_provider()?;
    let ask = (shape.ask)(stage)?.streamed();
    let script = (shape.script)(stage)?;
    stage.play(Way::MalformedEvents, script);
    stage.post(ask)?;
    Ok(())
}

fn cut_body(stage: &mut Stage<'_>, shape: &Shape) -> Step {
    stage.needs_provider()?;
    let ask = (shape.ask)(stage)?;
    let script = (shape.script)(stage)?;
    stage.play(Way::CutBody, script);
    let answer = stage.post(ask)?;
    stage.check_cut(answer.as_ref());
    Ok(())
}

fn cut_stream(stage: &mut Stage<'_>, shape: &Shape) -> Step {
    stage.needs_provider()?;
    let ask = (shape.ask)(stage)?.streamed();
    let script = (shape.script)(stage)?;
    stage.play(Way::CutStream, script);
    let answer = stage.post(ask)?;
    stage.check_cut(answer.as_ref());
    Ok(())
}

fn dropped(stage: &mut Stage<'_>, shape: &Shape) -> Step {
    stage.needs_provider()?;
    let ask = (shape.ask)(stage)?;
    stage.play(Way::Drop, Script::default());
    stage.sent_is_enough();
    stage.post(ask)?;
    Ok(())
}

/// The client waits as long as it has patience, and goes.
fn hang(stage: &mut Stage<'_>, shape: &Shape) -> Step {
    let provider = stage.needs_provider()?;
    let ask = (shape.ask)(stage)?;
    stage.play(Way::Hang, Script::default());
    stage.sent_is_enough();
    let request = stage.request(shape.path, ask);
    let mut client = stage.connect()?;
    client.send(&request, stage.left(stage.limits.answer));
    match client.answer(stage.left(stage.limits.patience)) {
        Ok(answer) => {
            stage.note(client, Ok(answer), &[]);
        }
        Err(_) => {
            client.leave();
            notices(stage, provider);
        }
    }
    Ok(())
}

/// Whether the provider hears that the client has gone.
fn notices(stage: &mut Stage<'_>, provider: &Provider) {
    let reached = provider.seen().iter().any(|seen| seen.method == "POST");
    let noticed = || provider.wait(stage.left(stage.limits.patience), |seen| seen.iter().any(|seen| seen.left));
    if reached && !noticed() {
        stage.observe(Observation::ClientGoneUnnoticed);
    }
}

fn gone_in_stream(stage: &mut Stage<'_>, shape: &Shape) -> Step {
    let ask = (shape.ask)(stage)?.streamed();
    let script = (shape.script)(stage)?;
    let word = if script.text.is_empty() { "data:".to_owned() } else { script.text.clone() };
    stage.play(Way::HoldStream, script);
    stage.sent_is_enough();
    let request = stage.request(shape.path, ask);
    let mut client = stage.connect()?;
    client.send(&request, stage.left(stage.limits.answer));
    // A target that gathers a stream before it passes anything on shows nothing until the provider is done.
    let limit = if stage.provider.is_some() { stage.limits.patience } else { stage.limits.answer };
    let (bytes, _) = client.read_until(word.as_bytes(), stage.left(limit));
    stage.note_begun(&bytes);
    client.leave();
    if let Some(provider) = stage.provider {
        notices(stage, provider);
    }
    Ok(())
}

fn gone_in_body(stage: &mut Stage<'_>, shape: &Shape) -> Step {
    let ask = (shape.ask)(stage)?;
    // Nothing is ever asked for, so that there is nothing to say.
    stage.play(Way::Well, Script::default());
    stage.sent_is_enough();
    let mut request = stage.request(shape.path, ask);
    request.announce = Some(request.body.len() as u64 + 4096);
    let mut client = stage.connect()?;
    client.send(&request, stage.left(stage.limits.answer));
    // Time to read what came, or to answer that it is not wanted.
    let (bytes, _) = client.read_until(b"\r\n\r\n", stage.left(stage.limits.patience / 4));
    stage.note_begun(&bytes);
    client.leave();
    if let Some(provider) = stage.provider {
        // A target that passes a body on as it comes has shown it to the provider by now.
        provider.wait(stage.left(stage.limits.patience), |seen| seen.iter().any(|seen| seen.needles > 0));
    }
    Ok(())
}

/// Every member has a type that it must not have, with a canary in its value and what it was beside it.
fn validation(stage: &mut Stage<'_>, shape: &Shape) -> Step {
    let ask = (shape.ask)(stage)?;
    let wrong = match ask {
        Ask::Json(Value::Object(mut members)) => {
            for (name, value) in &mut members {
                let canary = if name == "model" { continue } else { stage.prompt(Modality::JsonField)? };
                *value = match value {
                    Value::Array(_) | Value::String(_) => json!({"not": canary, "was": value.take()}),
                    Value::Object(_) => json!([canary, value.take()]),
                    _ => json!(canary),
                };
            }
            for name in ["temperature", "stream"] {
                let canary = stage.prompt(Modality::JsonField)?;
                members.insert(name.to_owned(), json!(canary));
            }
            Ask::Json(Value::Object(members))
        }
        Ask::Form(content_type, bytes) => {
            let (first, second) = (stage.prompt(Modality::Text)?, stage.prompt(Modality::Text)?);
            Ask::Form(content_type, with_parts(&[Part::field("temperature", &first), Part::field("n", &second)], &bytes))
        }
        other => other,
    };
    stage.play(Way::Well, Script::default());
    stage.post(wrong)?;
    Ok(())
}

/// The fault stands right behind the canary, where a parser's message quotes.
fn malformed_body(stage: &mut Stage<'_>, shape: &Shape) -> Step {
    let ask = (shape.ask)(stage)?;
    stage.play(Way::Well, Script::default());
    let broken = match ask {
        Ask::Form(content_type, mut bytes) => {
            // Without the form's last line.
            bytes.truncate(bytes.len().saturating_sub(60));
            Ask::Form(content_type, bytes)
        }
        other => {
            let (_, bytes) = other.into_parts();
            let behind = stage
                .needles()
                .iter()
                .find_map(|needle| memchr::memmem::find(&bytes, needle.as_bytes()).map(|at| at + needle.len()))
                .unwrap_or(bytes.len() / 2);
            Ask::Raw([&bytes[..behind], b"\" oops ".as_slice(), &bytes[behind..]].concat())
        }
    };
    stage.post(broken)?;
    Ok(())
}

fn wrong_key(stage: &mut Stage<'_>, shape: &Shape) -> Step {
    let ask = (shape.ask)(stage)?;
    let script = (shape.script)(stage)?;
    let key = format!("sk-{}", stage.hidden(Modality::Credential)?);
    stage.secret(&key);
    stage.play(Way::Well, script);
    let mut request = stage.request(shape.path, ask);
    request.key = Some(key);
    let answer = stage.exchange(&request)?;
    if answer.is_some_and(|answer| answer.status == 200) {
        stage.observe(Observation::WrongKeyTaken);
    }
    Ok(())
}
