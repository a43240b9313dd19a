//! OpenAI's other endpoints.

use serde_json::json;

use crate::canary::Modality;

use super::super::client::Request;
use super::super::matrix::{Class, Row};
use super::super::media::{self, Part, form};
use super::super::provider::{Script, Way};
use super::super::stage::{Ask, Shape, Stage, Step, Stop};
use super::super::target::Dialect;
use super::chat;

pub(super) static RESPONSES: Shape = Shape {
    dialect: Dialect::OpenAi,
    endpoint: "POST /v1/responses",
    path: "/responses",
    streams: true,
    ask: ask_responses,
    script: text,
};
pub(super) static COMPLETIONS: Shape = Shape {
    dialect: Dialect::OpenAi,
    endpoint: "POST /v1/completions",
    path: "/completions",
    streams: true,
    ask: ask_completions,
    script: text,
};
pub(super) static EMBEDDINGS: Shape = Shape {
    dialect: Dialect::OpenAi,
    endpoint: "POST /v1/embeddings",
    path: "/embeddings",
    streams: false,
    ask: ask_embeddings,
    script: vector,
};
pub(super) static IMAGES: Shape = Shape {
    dialect: Dialect::OpenAi,
    endpoint: "POST /v1/images/generations",
    path: "/images/generations",
    streams: false,
    ask: ask_images,
    script: picture,
};
pub(super) static EDITS: Shape = Shape {
    dialect: Dialect::OpenAi,
    endpoint: "POST /v1/images/edits",
    path: "/images/edits",
    streams: false,
    ask: ask_edits,
    script: picture,
};
pub(super) static SPEECH: Shape = Shape {
    dialect: Dialect::OpenAi,
    endpoint: "POST /v1/audio/speech",
    path: "/audio/speech",
    streams: false,
    ask: ask_speech,
    script: voice,
};
pub(super) static TRANSCRIPTIONS: Shape = Shape {
    dialect: Dialect::OpenAi,
    endpoint: "POST /v1/audio/transcriptions",
    path: "/audio/transcriptions",
    streams: false,
    ask: ask_transcriptions,
    script: text,
};
pub(super) static MODERATIONS: Shape = Shape {
    dialect: Dialect::OpenAi,
    endpoint: "POST /v1/moderations",
    path: "/moderations",
    streams: false,
    ask: ask_moderations,
    script: text,
};
pub(super) static RERANK: Shape = Shape {
    dialect: Dialect::OpenAi,
    endpoint: "POST /v1/rerank",
    path: "/rerank",
    streams: false,
    ask: ask_rerank,
    script: text,
};
static MODELS: Shape = Shape {
    dialect: Dialect::OpenAi,
    endpoint: "GET /v1/models",
    path: "/models",
    streams: false,
    ask: ask_completions,
    script: text,
};

/// Rows that only one of these endpoints has.
pub(super) fn own() -> Vec<Row> {
    let row =
        |shape: &'static Shape, outcome, class, quick, play| Row { endpoint: shape.endpoint, outcome, class, quick, shape, play };
    vec![
        row(&RESPONSES, "tools, reasoning, image and file", Class::Redaction, false, parts),
        row(&RESPONSES, "tools and reasoning, streamed", Class::Redaction, false, parts_streamed),
        row(&RESPONSES, "store: false, then asked for", Class::Disk, true, not_stored),
        row(&EMBEDDINGS, "vectors in base64", Class::Redaction, false, base64),
        models(),
    ]
}

/// The list of models, asked for with canaries where a list has room for them.
pub(super) fn models() -> Row {
    Row { endpoint: MODELS.endpoint, outcome: "success", class: Class::Logs, quick: false, shape: &MODELS, play: list }
}

fn text(stage: &mut Stage<'_>) -> Result<Script, Stop> {
    Ok(Script { text: stage.completion(Modality::Text)?, ..Script::default() })
}

fn vector(stage: &mut Stage<'_>) -> Result<Script, Stop> {
    Ok(Script { vector: stage.vector()?, ..Script::default() })
}

fn picture(stage: &mut Stage<'_>) -> Result<Script, Stop> {
    let canary = stage.completion(Modality::Image)?;
    Ok(Script { image: media::png(&canary), text: stage.completion(Modality::Text)?, ..Script::default() })
}

fn voice(stage: &mut Stage<'_>) -> Result<Script, Stop> {
    let canary = stage.completion(Modality::Audio)?;
    Ok(Script { audio: media::wav(&canary), ..Script::default() })
}

fn ask_responses(stage: &mut Stage<'_>) -> Result<Ask, Stop> {
    let (rules, user) = (stage.prompt(Modality::Text)?, stage.prompt(Modality::Text)?);
    Ok(Ask::Json(
        json!({"model": stage.model(), "max_output_tokens": 16, "store": false, "instructions": format!("One word. {rules}"),
        "input": [{"role": "user", "content": [{"type": "input_text", "text": format!("What is {user}?")}]}]}),
    ))
}

fn ask_completions(stage: &mut Stage<'_>) -> Result<Ask, Stop> {
    let (before, after) = (stage.prompt(Modality::Text)?, stage.prompt(Modality::Text)?);
    Ok(Ask::Json(json!({"model": stage.model(), "max_tokens": 16, "prompt": format!("Once upon {before}"), "suffix": after})))
}

fn ask_embeddings(stage: &mut Stage<'_>) -> Result<Ask, Stop> {
    let (first, second) = (stage.prompt(Modality::Text)?, stage.prompt(Modality::Text)?);
    Ok(Ask::Json(json!({"model": stage.model(), "input": [first, format!("and {second}")], "encoding_format": "float"})))
}

fn ask_images(stage: &mut Stage<'_>) -> Result<Ask, Stop> {
    let (text, person) = (stage.prompt(Modality::Text)?, stage.prompt(Modality::JsonField)?);
    Ok(Ask::Json(
        json!({"model": stage.model(), "prompt": format!("A picture of {text}"), "n": 1, "size": "1024x1024", "user": person}),
    ))
}

fn ask_edits(stage: &mut Stage<'_>) -> Result<Ask, Stop> {
    let (text, name, inside) = (stage.prompt(Modality::Text)?, stage.prompt(Modality::FileName)?, stage.prompt(Modality::Image)?);
    let (model, file) = (stage.model(), media::png(&inside));
    let (content_type, bytes) = form(&[
        Part::field("model", &model),
        Part::field("prompt", &text),
        Part::file("image", &format!("{name}.png"), "image/png", &file),
    ]);
    Ok(Ask::Form(content_type, bytes))
}

fn ask_speech(stage: &mut Stage<'_>) -> Result<Ask, Stop> {
    let (text, manner) = (stage.prompt(Modality::Text)?, stage.prompt(Modality::JsonField)?);
    Ok(Ask::Json(json!({"model": stage.model(), "input": format!("Say {text}."), "voice": "alloy", "instructions": manner,
        "response_format": "wav"})))
}

fn ask_transcriptions(stage: &mut Stage<'_>) -> Result<Ask, Stop> {
    let (text, name, inside) = (stage.prompt(Modality::Text)?, stage.prompt(Modality::FileName)?, stage.prompt(Modality::Audio)?);
    let (model, file) = (stage.model(), media::wav(&inside));
    let (content_type, bytes) = form(&[
        Part::field("model", &model),
        Part::field("prompt", &text),
        Part::field("response_format", "json"),
        Part::file("file", &format!("{name}.wav"), "audio/wav", &file),
    ]);
    Ok(Ask::Form(content_type, bytes))
}

fn ask_moderations(stage: &mut Stage<'_>) -> Result<Ask, Stop> {
    let text = stage.prompt(Modality::Text)?;
    Ok(Ask::Json(json!({"model": stage.model(), "input": text})))
}

fn ask_rerank(stage: &mut Stage<'_>) -> Result<Ask, Stop> {
    let (query, first, second) = (stage.prompt(Modality::Text)?, stage.prompt(Modality::Text)?, stage.prompt(Modality::Text)?);
    Ok(Ask::Json(
        json!({"model": stage.model(), "query": query, "documents": [first, second], "top_n": 1, "return_documents": true}),
    ))
}

fn with_parts(stage: &mut Stage<'_>) -> Result<Ask, Stop> {
    let (_, picture) = stage.picture()?;
    let (text, name, said) = (stage.prompt(Modality::Text)?, stage.prompt(Modality::FileName)?, stage.hidden(Modality::Text)?);
    let (_, file) = stage.file(media::pdf(&said));
    let (note, result) = (stage.prompt(Modality::JsonField)?, stage.prompt(Modality::ToolArguments)?);
    let script = Script {
        text: stage.completion(Modality::Text)?,
        reasoning: stage.completion(Modality::Text)?,
        arguments: stage.completion(Modality::ToolArguments)?,
        ..Script::default()
    };
    stage.play(Way::Well, script);
    Ok(Ask::Json(
        json!({"model": stage.model(), "store": false, "metadata": {"note": note}, "reasoning": {"effort": "low", "summary": "auto"},
        "input": [{"role": "user", "content": [{"type": "input_text", "text": text},
                {"type": "input_image", "detail": "low", "image_url": format!("data:image/png;base64,{picture}")},
                {"type": "input_file", "filename": format!("{name}.pdf"), "file_data": format!("data:application/pdf;base64,{file}")}]},
            {"type": "function_call", "call_id": "call_0", "name": "look_up", "arguments": "{\"place\":\"here\"}"},
            {"type": "function_call_output", "call_id": "call_0", "output": result}],
        "tools": [{"type": "function", "name": "look_up", "strict": false,
            "parameters": {"type": "object", "properties": {"place": {"type": "string"}}}}]}),
    ))
}

fn parts(stage: &mut Stage<'_>, _: &Shape) -> Step {
    let ask = with_parts(stage)?;
    stage.post(ask)?;
    Ok(())
}

fn parts_streamed(stage: &mut Stage<'_>, _: &Shape) -> Step {
    let ask = with_parts(stage)?.streamed();
    stage.post(ask)?;
    Ok(())
}

fn not_stored(stage: &mut Stage<'_>, shape: &Shape) -> Step {
    let ask = ask_responses(stage)?;
    chat::store_false(stage, shape, ask)
}

fn base64(stage: &mut Stage<'_>, _: &Shape) -> Step {
    let text = stage.prompt(Modality::Text)?;
    let script = vector(stage)?;
    stage.play(Way::Well, script);
    stage.post(Ask::Json(json!({"model": stage.model(), "input": text, "encoding_format": "base64"})))?;
    Ok(())
}

fn list(stage: &mut Stage<'_>, shape: &Shape) -> Step {
    let (note, query) = (stage.prompt(Modality::Header)?, stage.prompt(Modality::Query)?);
    stage.play(Way::Well, Script::default());
    let request = Request {
        method: "GET",
        path: stage.target.path_of(stage.target.dialect, &format!("{}?note={query}", shape.path)),
        headers: vec![("x-audit-note".to_owned(), note)],
        ..Request::default()
    };
    stage.exchange(&request)?;
    Ok(())
}
