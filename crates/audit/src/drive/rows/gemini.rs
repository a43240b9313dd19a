//! Gemini's endpoint, and the parts that only it has.

use serde_json::json;

use crate::canary::Modality;

use super::super::matrix::{Class, Row};
use super::super::provider::{Script, Way};
use super::super::stage::{Ask, Shape, Stage, Step, Stop};
use super::super::target::Dialect;
use super::{Own, chat, rows_of};

pub(super) static GENERATE: Shape = Shape {
    dialect: Dialect::Gemini,
    endpoint: "POST /v1beta/models/{model}:generateContent",
    path: "/models/{model}:generateContent",
    streams: true,
    ask,
    script,
};

/// The rows of this endpoint only.
pub(super) fn own() -> Vec<Row> {
    const ROWS: &[Own] = &[
        ("tools", Class::Redaction, true, tools),
        ("tools, streamed", Class::Redaction, false, tools_streamed),
        ("thoughts", Class::Redaction, true, thoughts),
        ("thoughts, streamed", Class::Redaction, false, thoughts_streamed),
        ("image", Class::Redaction, false, image),
        ("the same request twice", Class::Shared, true, chat::twice),
        ("slow provider", Class::Process, false, chat::slow),
    ];
    rows_of(&GENERATE, ROWS)
}

fn ask(stage: &mut Stage<'_>) -> Result<Ask, Stop> {
    let (system, user) = (stage.prompt(Modality::Text)?, stage.prompt(Modality::Text)?);
    Ok(Ask::Json(json!({
        "systemInstruction": {"parts": [{"text": format!("You answer in one word. {system}")}]},
        "contents": [{"role": "user", "parts": [{"text": format!("What is this: {user}?")}]}],
        "generationConfig": {"maxOutputTokens": 16}})))
}

fn script(stage: &mut Stage<'_>) -> Result<Script, Stop> {
    Ok(Script { text: stage.completion(Modality::Text)?, ..Script::default() })
}

fn with_tools(stage: &mut Stage<'_>) -> Result<Ask, Stop> {
    let (text, about) = (stage.prompt(Modality::Text)?, stage.prompt(Modality::JsonField)?);
    let (before, result) = (stage.prompt(Modality::ToolArguments)?, stage.prompt(Modality::ToolArguments)?);
    let script = Script { arguments: stage.completion(Modality::ToolArguments)?, ..Script::default() };
    stage.play(Way::Well, script);
    Ok(Ask::Json(json!({"contents": [
            {"role": "user", "parts": [{"text": format!("Where is {text}?")}]},
            {"role": "model", "parts": [{"functionCall": {"name": "look_up", "args": {"place": before}}}]},
            {"role": "user", "parts": [{"functionResponse": {"name": "look_up", "response": {"result": format!("It is at {result}.")}}}]}],
        "tools": [{"functionDeclarations": [{"name": "look_up", "description": format!("Looks up a place, such as {about}."),
            "parameters": {"type": "OBJECT", "properties": {"place": {"type": "STRING"}}, "required": ["place"]}}]}]})))
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

fn with_thoughts(stage: &mut Stage<'_>) -> Result<Ask, Stop> {
    let text = stage.prompt(Modality::Text)?;
    let script =
        Script { text: stage.completion(Modality::Text)?, reasoning: stage.completion(Modality::Text)?, ..Script::default() };
    stage.play(Way::Well, script);
    Ok(Ask::Json(json!({"contents": [{"role": "user", "parts": [{"text": format!("Think about {text}.")}]}],
        "generationConfig": {"maxOutputTokens": 1100, "thinkingConfig": {"includeThoughts": true, "thinkingBudget": 1024}}})))
}

fn thoughts(stage: &mut Stage<'_>, _: &Shape) -> Step {
    let ask = with_thoughts(stage)?;
    stage.post(ask)?;
    Ok(())
}

fn thoughts_streamed(stage: &mut Stage<'_>, _: &Shape) -> Step {
    let ask = with_thoughts(stage)?.streamed();
    stage.post(ask)?;
    Ok(())
}

fn image(stage: &mut Stage<'_>, _: &Shape) -> Step {
    let (_, picture) = stage.picture()?;
    let text = stage.prompt(Modality::Text)?;
    let script = script(stage)?;
    stage.play(Way::Well, script);
    stage.post(Ask::Json(json!({"contents": [{"role": "user", "parts": [
        {"inlineData": {"mimeType": "image/png", "data": picture}}, {"text": format!("What is on this picture of {text}?")}]}]})))?;
    Ok(())
}
