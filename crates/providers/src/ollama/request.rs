//! A chat request (<https://docs.ollama.com/api/chat>), written from the common form.

use lethe_content::ContentBuf;
use lethe_types::Api;
use lethe_wire::conversation::{
    Effort, Format, Image, Message, Part, PartKind, RESULT, Reasoning, Request, Role, Sending, Str, ToolCall, ToolChoice,
    ToolResult,
};
use lethe_wire::refusal::Refusal;
use lethe_wire::write::Writer;

use crate::function::write_function;

const TARGET: Api = Api::OllamaChat;

const fn cannot(field: &'static str) -> Refusal {
    Refusal::of_field(field, TARGET)
}

/// Writes a request.
///
/// # Errors
/// [`Refusal::Untranslatable`] for what this format cannot express; `out` then holds half a text.
pub fn write_request(request: &Request<'_>, to: &Sending<'_>, out: &mut ContentBuf) -> Result<(), Refusal> {
    write(request, to, out).map_err(|refusal| refusal.in_words_of(request.api))
}

fn write(request: &Request<'_>, to: &Sending<'_>, out: &mut ContentBuf) -> Result<(), Refusal> {
    request.refuse_own(TARGET)?;
    let tools = match &request.tool_choice {
        None | Some(ToolChoice::Auto) => request.tools.as_slice(),
        Some(ToolChoice::None) => &[],
        Some(ToolChoice::Function(_) | ToolChoice::Required) => return Err(cannot("tool_choice")),
    };
    Writer::new(out).try_object(|json| {
        json.key("model").plain(to.model);
        json.key("messages").try_array(|json| {
            // What each call so far is of: results name their function here.
            let mut called = Vec::new();
            for message in &request.messages {
                write_message(json, message, &called)?;
                called.extend(message.parts.iter().filter_map(as_call).map(|call| (&call.id, &call.name)));
            }
            Ok::<(), Refusal>(())
        })?;
        if !tools.is_empty() {
            json.key("tools").array(|json| tools.iter().for_each(|tool| write_function(json, tool)));
        }
        match &request.format {
            None => {}
            Some(Format::JsonObject) => json.constant("format", "json"),
            Some(format) => json.some("format", format.described()?.as_ref()),
        }
        if let Some(reasoning) = request.reasoning {
            write_think(json.key("think"), reasoning);
        }
        write_options(json, request);
        // Left out, it would be true.
        json.key("stream").boolean(request.wanted.stream);
        Ok(())
    })
}

const fn as_call<'p, 'a>(part: &'p Part<'a>) -> Option<&'p ToolCall<'a>> {
    if let PartKind::ToolCall(call) = &part.kind { Some(call) } else { None }
}

fn write_think(json: &mut Writer<'_>, reasoning: Reasoning) {
    match (reasoning.effort, reasoning.budget_tokens) {
        (Some(Effort::None), _) | (None, Some(0)) => json.boolean(false),
        (Some(Effort::Minimal | Effort::Low), _) => json.plain("low"),
        (Some(Effort::Medium), _) => json.plain("medium"),
        (Some(Effort::High | Effort::ExtraHigh | Effort::Max), _) => json.plain("high"),
        // Most models there know on and off only.
        (None, _) => json.boolean(true),
    }
}

fn write_options(json: &mut Writer<'_>, request: &Request<'_>) {
    let numbers = [
        ("temperature", &request.temperature),
        ("top_p", &request.top_p),
        ("top_k", &request.top_k),
        ("frequency_penalty", &request.frequency_penalty),
        ("presence_penalty", &request.presence_penalty),
        ("seed", &request.seed),
    ];
    if request.max_tokens.is_none() && request.stop.is_empty() && numbers.iter().all(|(_, number)| number.is_none()) {
        return;
    }
    json.key("options").object(|json| {
        if let Some(limit) = request.max_tokens {
            json.key("num_predict").number(limit);
        }
        numbers.iter().for_each(|(name, number)| json.some(name, number.as_ref()));
        if !request.stop.is_empty() {
            json.key("stop").array(|json| request.stop.iter().for_each(|text| json.string(text)));
        }
    });
}

type Called<'c> = [(&'c Str<'c>, &'c Str<'c>)];

fn write_message(json: &mut Writer<'_>, message: &Message<'_>, called: &Called<'_>) -> Result<(), Refusal> {
    if message.name.is_some() {
        return Err(cannot("messages.name"));
    }
    let role = match message.role {
        Role::Assistant => "assistant",
        Role::System => "system",
        Role::User => "user",
    };
    let mut said = Vec::new();
    let mut calls = Vec::new();
    for part in &message.parts {
        match &part.kind {
            PartKind::ToolCall(call) => calls.push(call),
            // Results are messages of their own here, and stand directly behind their calls.
            PartKind::ToolResult(result) => write_result(json, result, called)?,
            _ => said.push(part),
        }
    }
    if said.is_empty() && calls.is_empty() && !message.parts.is_empty() {
        return Ok(());
    }
    json.try_object(|json| {
        json.constant("role", role);
        write_said(json, &said, "")?;
        if !calls.is_empty() {
            json.key("tool_calls").try_array(|json| calls.iter().try_for_each(|call| write_call(json, call)))?;
        }
        Ok(())
    })
}

/// Everything that is said is one string here, several texts on lines of their own; thoughts and pictures have fields of their own.
fn write_said(json: &mut Writer<'_>, parts: &[&Part<'_>], before: &'static str) -> Result<(), Refusal> {
    let (mut texts, mut thoughts, mut images): (_, _, Vec<&Image<'_>>) = (vec![before], Vec::new(), Vec::new());
    for part in parts {
        match &part.kind {
            PartKind::Refusal(text) | PartKind::Text(text) => {
                texts.extend([if texts.len() > 1 { "\\n" } else { "" }, text.raw()]);
            }
            // Others' encrypted thoughts say nothing here.
            PartKind::Reasoning(thought) => thoughts.extend(thought.text.as_ref().map(Str::raw)),
            PartKind::Image(image) if image.detail.is_some() => return Err(cannot("messages.content.image_url.detail")),
            PartKind::Image(image) => images.push(image),
            PartKind::Audio(_) => return Err(cannot("messages.content.input_audio")),
            PartKind::Document(_) => return Err(cannot("messages.content.file")),
            PartKind::ToolCall(_) | PartKind::ToolResult(_) => return Err(cannot(RESULT)),
        }
    }
    json.key("content").strings(&texts);
    if !thoughts.is_empty() {
        json.key("thinking").strings(&thoughts);
    }
    if !images.is_empty() {
        json.key("images").array(|json| images.iter().for_each(|image| json.string(&image.data)));
    }
    Ok(())
}

fn write_call(json: &mut Writer<'_>, call: &ToolCall<'_>) -> Result<(), Refusal> {
    let arguments = call.arguments.object("messages.tool_calls.function.arguments")?;
    json.object(|json| {
        json.member("id", &call.id);
        json.key("function").object(|json| {
            json.member("name", &call.name);
            json.key("arguments").json(&arguments);
        });
    });
    Ok(())
}

fn write_result(json: &mut Writer<'_>, result: &ToolResult<'_>, called: &Called<'_>) -> Result<(), Refusal> {
    let name = called.iter().rev().find(|(id, _)| id.plain() == result.id.plain()).map(|(_, name)| *name);
    json.try_object(|json| {
        json.constant("role", "tool");
        if let Some(name) = name.or(result.name.as_ref()) {
            json.member("tool_name", name);
        }
        json.member("tool_call_id", &result.id);
        let parts: Vec<&Part<'_>> = result.content.iter().collect();
        // There is no place here that says that a function failed, so its text does.
        write_said(json, &parts, if result.is_error { "Error: " } else { "" })
    })
}
