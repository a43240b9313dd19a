//! Anthropic's endpoints.

use serde_json::{Value, json};

use crate::canary::Modality;

use super::super::matrix::{Class, Row};
use super::super::media;
use super::super::provider::{Script, Way};
use super::super::stage::{Ask, Shape, Stage, Step, Stop};
use super::super::target::Dialect;
use super::openai;
use super::{Own, rows_of};

pub(super) static MESSAGES: Shape =
    Shape { dialect: Dialect::Anthropic, endpoint: "POST /v1/messages", path: "/messages", streams: true, ask, script };
pub(super) static COUNT_TOKENS: Shape = Shape {
    dialect: Dialect::Anthropic,
    endpoint: "POST /v1/messages/count_tokens",
    path: "/messages/count_tokens",
    streams: false,
    ask: ask_count,
    script: nothing,
};

/// The rows of these endpoints only.
pub(super) fn own() -> Vec<Row> {
    const ROWS: &[Own] = &[
        ("tools", Class::Redaction, true, tools),
        ("tools, streamed", Class::Redaction, false, tools_streamed),
        ("thinking", Class::Redaction, true, thinking),
        ("thinking, streamed", Class::Redaction, false, thinking_streamed),
        ("refusal", Class::Redaction, false, refusal),
        ("image", Class::Redaction, true, image),
        ("document", Class::Redaction, false, document),
        ("metadata", Class::Telemetry, true, metadata),
        ("the same request twice", Class::Shared, true, super::chat::twice),
        ("slow provider", Class::Process, false, super::chat::slow),
    ];
    let mut rows = rows_of(&MESSAGES, ROWS);
    rows.push(openai::models());
    rows
}

fn ask(stage: &mut Stage<'_>) -> Result<Ask, Stop> {
    let (system, user) = (stage.prompt(Modality::Text)?, stage.prompt(Modality::Text)?);
    Ok(Ask::Json(json!({"model": stage.model(), "max_tokens": 16, "system": format!("You answer in one word. {system}"),
        "messages": [{"role": "user", "content": format!("What is this: {user}?")}]})))
}

/// Without `max_tokens`, which this endpoint does not take.
fn ask_count(stage: &mut Stage<'_>) -> Result<Ask, Stop> {
    let (system, user) = (stage.prompt(Modality::Text)?, stage.prompt(Modality::Text)?);
    Ok(Ask::Json(json!({"model": stage.model(), "system": system, "messages": [{"role": "user", "content": user}]})))
}

/// A count carries no words.
fn nothing(_: &mut Stage<'_>) -> Result<Script, Stop> {
    Ok(Script::default())
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
            {"role": "assistant", "content": [{"type": "tool_use", "id": "toolu_0", "name": "look_up", "input": {"place": before}}]},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "toolu_0", "content": format!("It is at {result}.")}]}],
        "tools": [{"name": "look_up", "description": format!("Looks up a place, such as {about}."),
            "input_schema": {"type": "object", "properties": {"place": {"type": "string"}}, "required": ["place"]}}]})))
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

fn with_thinking(stage: &mut Stage<'_>) -> Result<Ask, Stop> {
    let text = stage.prompt(Modality::Text)?;
    let script =
        Script { text: stage.completion(Modality::Text)?, reasoning: stage.completion(Modality::Text)?, ..Script::default() };
    stage.play(Way::Well, script);
    let mut body = user(stage, &json!(format!("Think about {text}.")));
    // The smallest budget that the interface takes; the answer's limit must be above it.
    body["thinking"] = json!({"type": "enabled", "budget_tokens": 1024});
    body["max_tokens"] = json!(1100);
    Ok(Ask::Json(body))
}

fn thinking(stage: &mut Stage<'_>, _: &Shape) -> Step {
    let ask = with_thinking(stage)?;
    stage.post(ask)?;
    Ok(())
}

fn thinking_streamed(stage: &mut Stage<'_>, _: &Shape) -> Step {
    let ask = with_thinking(stage)?.streamed();
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
        &json!([{"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": picture}},
            {"type": "text", "text": format!("What is on this picture of {text}?")}]),
    )))?;
    Ok(())
}

fn document(stage: &mut Stage<'_>, _: &Shape) -> Step {
    let (title, context) = (stage.prompt(Modality::FileName)?, stage.prompt(Modality::JsonField)?);
    let said = stage.hidden(Modality::Text)?;
    let (_, file) = stage.file(media::pdf(&said));
    let script = script(stage)?;
    stage.play(Way::Well, script);
    stage.post(Ask::Json(user(
        stage,
        &json!([{"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": file},
                "title": format!("{title}.pdf"), "context": context},
            {"type": "text", "text": "What does it say?"}]),
    )))?;
    Ok(())
}

fn metadata(stage: &mut Stage<'_>, _: &Shape) -> Step {
    let (text, person, stop) =
        (stage.prompt(Modality::Text)?, stage.prompt(Modality::JsonField)?, stage.prompt(Modality::JsonField)?);
    let script = script(stage)?;
    stage.play(Way::Well, script);
    let mut body = user(stage, &json!(text));
    body["metadata"] = json!({"user_id": person});
    body["stop_sequences"] = json!([stop]);
    stage.post(Ask::Json(body))?;
    Ok(())
}
