//! Chat completions, and the modalities and members that only they have.

use serde_json::{Value, json};

use crate::canary::Modality;

use super::super::client::Request;
use super::super::matrix::{Class, Observation, Row};
use super::super::media;
use super::super::provider::{Script, Way};
use super::super::stage::{Ask, Shape, Stage, Step, Stop};
use super::super::target::Dialect;
use super::{Own, rows_of};

pub(super) static CHAT: Shape = Shape {
    dialect: Dialect::OpenAi,
    endpoint: "POST /v1/chat/completions",
    path: "/chat/completions",
    streams: true,
    ask,
    script,
};

/// The rows of this endpoint only.
pub(super) fn own() -> Vec<Row> {
    const ROWS: &[Own] = &[
        ("tools", Class::Redaction, true, tools),
        ("tools, streamed", Class::Redaction, false, tools_streamed),
        ("reasoning", Class::Redaction, true, reasoning),
        ("reasoning, streamed", Class::Redaction, false, reasoning_streamed),
        ("refusal", Class::Redaction, false, refusal),
        ("image", Class::Redaction, true, image),
        ("audio in and out", Class::Redaction, false, audio),
        ("document", Class::Redaction, false, document),
        ("video", Class::Redaction, false, video),
        ("schema and metadata", Class::Telemetry, true, members),
        ("store: true", Class::Disk, false, stored),
        ("store: false, then asked for", Class::Disk, false, not_stored),
        ("the same request twice", Class::Shared, true, twice),
        ("slow provider", Class::Process, false, slow),
    ];
    rows_of(&CHAT, ROWS)
}

fn ask(stage: &mut Stage<'_>) -> Result<Ask, Stop> {
    let (system, user) = (stage.prompt(Modality::Text)?, stage.prompt(Modality::Text)?);
    Ok(Ask::Json(json!({"model": stage.model(), "max_tokens": 16, "messages": [
        {"role": "system", "content": format!("You answer in one word. {system}")},
        {"role": "user", "content": format!("What is this: {user}?")}]})))
}

fn script(stage: &mut Stage<'_>) -> Result<Script, Stop> {
    Ok(Script { text: stage.completion(Modality::Text)?, ..Script::default() })
}

fn user(stage: &Stage<'_>, content: &Value) -> Value {
    json!({"model": stage.model(), "max_tokens": 16, "messages": [{"role": "user", "content": content}]})
}

fn with_tools(stage: &mut Stage<'_>) -> Result<Ask, Stop> {
    let (text, about) = (stage.prompt(Modality::Text)?, stage.prompt(Modality::JsonField)?);
    let (before, result) = (stage.prompt(Modality::ToolArguments)?, stage.prompt(Modality::ToolArguments)?);
    let script = Script { arguments: stage.completion(Modality::ToolArguments)?, ..Script::default() };
    stage.play(Way::Well, script);
    Ok(Ask::Json(json!({"model": stage.model(), "max_tokens": 64, "messages": [
            {"role": "user", "content": format!("Where is {text}?")},
            {"role": "assistant", "content": null, "tool_calls": [{"id": "call_0", "type": "function",
                "function": {"name": "look_up", "arguments": json!({"place": before}).to_string()}}]},
            {"role": "tool", "tool_call_id": "call_0", "content": format!("It is at {result}.")}],
        "tools": [{"type": "function", "function": {"name": "look_up", "description": format!("Looks up a place, such as {about}."),
            "parameters": {"type": "object", "properties": {"place": {"type": "string"}}, "required": ["place"]}}}]})))
}

fn tools(stage: &mut Stage<'_>, _: &Shape) -> Step {
    let ask = with_tools(stage)?;
    stage.post(ask)?;
    Ok(())
}

fn tools_streamed(stage: &mut Stage<'_>, _: &Shape) -> Step {
    let ask = with_tools(stage)?.streamed();
    stage.post(ask)?;
    Ok(())
}

fn with_reasoning(stage: &mut Stage<'_>) -> Result<Ask, Stop> {
    let text = stage.prompt(Modality::Text)?;
    let script =
        Script { text: stage.completion(Modality::Text)?, reasoning: stage.completion(Modality::Text)?, ..Script::default() };
    stage.play(Way::Well, script);
    let mut body = user(stage, &json!(format!("Think about {text}.")));
    body["reasoning_effort"] = json!("low");
    Ok(Ask::Json(body))
}

fn reasoning(stage: &mut Stage<'_>, _: &Shape) -> Step {
    let ask = with_reasoning(stage)?;
    stage.post(ask)?;
    Ok(())
}

fn reasoning_streamed(stage: &mut Stage<'_>, _: &Shape) -> Step {
    let ask = with_reasoning(stage)?.streamed();
    stage.post(ask)?;
    Ok(())
}

fn refusal(stage: &mut Stage<'_>, _: &Shape) -> Step {
    let text = stage.prompt(Modality::Text)?;
    let script = Script { refusal: stage.completion(Modality::Text)?, ..Script::default() };
    stage.play(Way::Well, script);
    stage.post(Ask::Json(user(stage, &json!(text))))?;
    Ok(())
}

fn image(stage: &mut Stage<'_>, _: &Shape) -> Step {
    let (_, picture) = stage.picture()?;
    let text = stage.prompt(Modality::Text)?;
    let script = script(stage)?;
    stage.play(Way::Well, script);
    stage.post(Ask::Json(user(
        stage,
        &json!([{"type": "text", "text": format!("What is on this picture of {text}?")},
            {"type": "image_url", "image_url": {"url": format!("data:image/png;base64,{picture}"), "detail": "low"}}]),
    )))?;
    Ok(())
}

fn audio(stage: &mut Stage<'_>, _: &Shape) -> Step {
    let (_, recording) = stage.recording()?;
    let spoken = stage.completion(Modality::Audio)?;
    let script = Script { text: stage.completion(Modality::Text)?, audio: media::wav(&spoken), ..Script::default() };
    stage.play(Way::Well, script);
    let mut body = user(stage, &json!([{"type": "input_audio", "input_audio": {"data": recording, "format": "wav"}}]));
    body["modalities"] = json!(["text", "audio"]);
    body["audio"] = json!({"voice": "alloy", "format": "wav"});
    stage.post(Ask::Json(body))?;
    Ok(())
}

fn document(stage: &mut Stage<'_>, _: &Shape) -> Step {
    let (name, said) = (stage.prompt(Modality::FileName)?, stage.hidden(Modality::Text)?);
    let (_, file) = stage.file(media::pdf(&said));
    let script = script(stage)?;
    stage.play(Way::Well, script);
    stage.post(Ask::Json(user(
        stage,
        &json!([{"type": "text", "text": "What does it say?"},
            {"type": "file", "file": {"filename": format!("{name}.pdf"), "file_data": format!("data:application/pdf;base64,{file}")}}]),
    )))?;
    Ok(())
}

/// `video_url` is vLLM's and several gateways' addition.
fn video(stage: &mut Stage<'_>, _: &Shape) -> Step {
    let said = stage.hidden(Modality::Video)?;
    let (_, file) = stage.file(media::mp4(&said));
    let script = script(stage)?;
    stage.play(Way::Well, script);
    stage.post(Ask::Json(user(
        stage,
        &json!([{"type": "text", "text": "What happens?"},
            {"type": "video_url", "video_url": {"url": format!("data:video/mp4;base64,{file}")}}]),
    )))?;
    Ok(())
}

fn members(stage: &mut Stage<'_>, _: &Shape) -> Step {
    let text = stage.prompt(Modality::Text)?;
    let mut field = || stage.prompt(Modality::JsonField);
    let (about, choice, person, note, name, stop) = (field()?, field()?, field()?, field()?, field()?, field()?);
    let script = script(stage)?;
    stage.play(Way::Well, script);
    stage.post(Ask::Json(json!({"model": stage.model(), "max_tokens": 16,
        "messages": [{"role": "user", "name": name, "content": format!("Say {text}.")}],
        "response_format": {"type": "json_schema", "json_schema": {"name": "answer", "description": about, "strict": true,
            "schema": {"type": "object", "properties": {"said": {"type": "string", "enum": [choice, "other"]}},
                "required": ["said"], "additionalProperties": false}}},
        "user": person, "metadata": {"note": note}, "stop": [stop]})))?;
    Ok(())
}

fn stored(stage: &mut Stage<'_>, _: &Shape) -> Step {
    let (text, note) = (stage.prompt(Modality::Text)?, stage.prompt(Modality::JsonField)?);
    let script = script(stage)?;
    stage.play(Way::Well, script);
    let mut body = user(stage, &json!(text));
    body["store"] = json!(true);
    body["metadata"] = json!({"note": note});
    stage.post(Ask::Json(body))?;
    Ok(())
}

fn not_stored(stage: &mut Stage<'_>, shape: &Shape) -> Step {
    let ask = ask(stage)?;
    store_false(stage, shape, ask)
}

/// What was not to be stored is asked for by its id. The answer may hold nothing of it.
pub(super) fn store_false(stage: &mut Stage<'_>, shape: &Shape, ask: Ask) -> Step {
    let script = (shape.script)(stage)?;
    let Ask::Json(mut body) = ask else { return Ok(()) };
    body["store"] = json!(false);
    stage.play(Way::Well, script);
    let Some(answer) = stage.post(Ask::Json(body))? else { return Ok(()) };
    if stage.seen().iter().any(|seen| seen.store == Some(true)) {
        stage.observe(Observation::StoreForced);
    }
    let id = serde_json::from_slice::<Value>(&answer.body).ok().and_then(|body| body["id"].as_str().map(str::to_owned));
    let Some(id) = id.filter(|id| id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))) else {
        return Ok(());
    };
    let path = stage.target.path_of(shape.dialect, &format!("{}/{id}", shape.path));
    let request = Request { method: "GET", path, dialect: Some(shape.dialect), ..Request::default() };
    let mut client = stage.connect()?;
    if let Ok(answer) = client.exchange(&request, stage.left(stage.limits.answer)) {
        let none_of = stage.ids();
        stage.keep(&answer, &none_of);
    }
    Ok(())
}

/// The second answer must be the provider's second.
pub(super) fn twice(stage: &mut Stage<'_>, shape: &Shape) -> Step {
    let ask = (shape.ask)(stage)?;
    let first = (shape.script)(stage)?;
    let earlier = stage.provider.map(|_| stage.last_id());
    stage.play(Way::Well, first);
    let Some(_) = stage.post(ask.clone())? else { return Ok(()) };
    let before = stage.seen().len();
    let second = (shape.script)(stage)?;
    stage.play(Way::Well, second);
    let request = stage.request(shape.path, ask);
    let mut client = stage.connect()?;
    let answer = client.exchange(&request, stage.left(stage.limits.answer));
    let strange: Vec<_> = earlier.into_iter().collect();
    let answer = stage.note(client, answer, &strange);
    if before > 0 && stage.seen().len() == before && answer.is_some_and(|answer| answer.status == 200) {
        stage.observe(Observation::AnsweredFromCache);
    }
    Ok(())
}

pub(super) fn slow(stage: &mut Stage<'_>, shape: &Shape) -> Step {
    stage.needs_provider()?;
    let ask = (shape.ask)(stage)?.streamed();
    let script = (shape.script)(stage)?;
    stage.play(Way::Slow(stage.limits.patience / 10), script);
    stage.post(ask)?;
    Ok(())
}
