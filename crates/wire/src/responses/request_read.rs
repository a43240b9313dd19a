//! A request, read into a conversation.

use lethe_policy::conflict;
use lethe_types::Api;

use super::items::Items;
use super::value::{Fields, Value};
use crate::conversation::{Effort, Format, Message, PartKind, Reasoning, Request, Role, Str, Tool, ToolChoice};
use crate::json::Kind;
use crate::refusal::{FieldName, Refusal};

/// Fields that are of this API only, each with the values that say nothing.
const OWN: &[(&str, &[&str])] = &[
    ("context_management", &["[]"]),
    ("max_tool_calls", &[]),
    ("moderation", &[]),
    ("prompt_cache_options", &["{}"]),
    ("service_tier", &["\"auto\"", "\"default\""]),
    ("top_logprobs", &["0"]),
    ("truncation", &["\"disabled\""]),
];

/// Fields that conflict with the promise unless they are off.
const KEEPING: &[&str] = &[
    "background",
    "conversation",
    "metadata",
    "previous_response_id",
    "prompt",
    "prompt_cache_key",
    "prompt_cache_retention",
    "store",
];

/// The one value of `include` that this form has a place for.
pub(super) const ENCRYPTED_REASONING: &str = "reasoning.encrypted_content";

/// Reads a request.
///
/// # Errors
/// [`Refusal`] names what is wrong, or of no use elsewhere.
pub fn read_request(body: &[u8]) -> Result<Request<'_>, Refusal> {
    let mut request = Request::new(Api::Responses);
    let mut fields = Value::whole(body)?.fields().ok_or(Refusal::WrongType("body", "a JSON object"))?.unique()?;
    fields.needed_text("model", "model")?;
    request.wanted.stream = fields.boolean("stream", "stream")?.unwrap_or_default();
    for name in KEEPING {
        if let Some(value) = fields.take(name)
            && value.boolean() != Some(false)
            && let Some(conflict) = conflict::field(Api::Responses, name)
        {
            return Err(Refusal::Conflict(conflict));
        }
    }
    if let Some(instructions) = fields.text("instructions", "instructions")?
        && !instructions.is_empty()
    {
        request.messages.push(Message { role: Role::System, name: None, parts: vec![PartKind::Text(instructions).into()] });
    }
    let input = fields.take("input").ok_or(Refusal::MissingField("input"))?;
    Items::new(&mut request).input(input)?;
    tools(&mut request, &mut fields)?;
    include(&mut request, &mut fields)?;
    text(&mut request, &mut fields)?;
    reasoning(&mut request, &mut fields)?;
    request.parallel_tool_calls = fields.boolean("parallel_tool_calls", "parallel_tool_calls")?;
    request.max_tokens = fields.count("max_output_tokens", "max_output_tokens")?;
    request.temperature = fields.json("temperature", Kind::Number, "temperature", "a number")?;
    request.top_p = fields.json("top_p", Kind::Number, "top_p", "a number")?;
    let is_some = |number: &crate::conversation::Json<'_>| !number.raw().bytes().all(|byte| matches!(byte, b'0' | b'.' | b'-'));
    request.frequency_penalty = fields.json("frequency_penalty", Kind::Number, "frequency_penalty", "a number")?.filter(is_some);
    request.presence_penalty = fields.json("presence_penalty", Kind::Number, "presence_penalty", "a number")?.filter(is_some);
    for (name, nothing) in OWN {
        if let Some(value) = fields.take(name) {
            let json = value.json()?;
            if !nothing.contains(&json.raw()) {
                request.own.push((name, json));
            }
        }
    }
    // Who asks is not told to another provider, and padding against onlookers changes nothing of the answer.
    fields.text("user", "user")?;
    fields.text("safety_identifier", "safety_identifier")?;
    if let Some(options) = fields.take("stream_options") {
        let mut options = options.fields().ok_or(Refusal::WrongType("stream_options", "an object"))?;
        options.boolean("include_obfuscation", "stream_options.include_obfuscation")?;
        options.nothing_else("stream_options.")?;
    }
    fields.nothing_else("")?;
    Ok(request)
}

fn tools<'a>(request: &mut Request<'a>, fields: &mut Fields<'a>) -> Result<(), Refusal> {
    let wrong = Refusal::WrongType("tools", "an array of objects");
    let tools = fields.take("tools").map(|tools| tools.list().ok_or(wrong.clone())).transpose()?;
    for value in tools.unwrap_or_default() {
        let mut tool = value.fields().ok_or(wrong.clone())?.unique()?;
        let kind = tool.take("type").ok_or(Refusal::MissingField("tools.type"))?;
        if kind.string().ok_or(Refusal::WrongType("tools.type", "a string"))?.raw() != "function" {
            request.own.push(("tools.type", kind.json()?));
            continue;
        }
        let name = tool.needed_text("name", "tools.name")?;
        let description = tool.text("description", "tools.description")?;
        let parameters = tool.json("parameters", Kind::Object, "tools.parameters", "an object")?;
        let strict = tool.boolean("strict", "tools.strict")?;
        if tool.boolean("defer_loading", "tools.defer_loading")? == Some(true) {
            request.own.push(("tools.defer_loading", value.json()?));
        }
        for (name, field) in [("allowed_callers", "tools.allowed_callers"), ("output_schema", "tools.output_schema")] {
            if let Some(value) = tool.take(name) {
                request.own.push((field, value.json()?));
            }
        }
        tool.nothing_else("tools.")?;
        request.tools.push(Tool { name, description, parameters, strict, cache_control: None });
    }
    let Some(choice) = fields.take("tool_choice") else { return Ok(()) };
    let wrong = Refusal::WrongType("tool_choice", "one of none, auto, required, or an object");
    request.tool_choice = match choice.string() {
        Some(word) => Some(match word.raw() {
            "auto" => ToolChoice::Auto,
            "none" => ToolChoice::None,
            "required" => ToolChoice::Required,
            _ => return Err(wrong),
        }),
        None => {
            let mut object = choice.fields().ok_or(wrong)?.unique()?;
            if object.needed_text("type", "tool_choice.type")?.raw() == "function" {
                let name = object.needed_text("name", "tool_choice.name")?;
                object.nothing_else("tool_choice.")?;
                Some(ToolChoice::Function(name))
            } else {
                request.own.push(("tool_choice", choice.json()?));
                None
            }
        }
    };
    Ok(())
}

fn include<'a>(request: &mut Request<'a>, fields: &mut Fields<'a>) -> Result<(), Refusal> {
    const WRONG: Refusal = Refusal::WrongType("include", "an array of strings");
    let Some(include) = fields.take("include") else { return Ok(()) };
    let mut others = false;
    for value in include.list().ok_or(WRONG)? {
        match value.string().ok_or(WRONG)?.raw() {
            ENCRYPTED_REASONING => request.wanted.encrypted_reasoning = true,
            _ => others = true,
        }
    }
    if others {
        request.own.push(("include", include.json()?));
    }
    Ok(())
}

fn text<'a>(request: &mut Request<'a>, fields: &mut Fields<'a>) -> Result<(), Refusal> {
    let Some(text) = fields.take("text") else { return Ok(()) };
    let mut text = text.fields().ok_or(Refusal::WrongType("text", "an object"))?.unique()?;
    if let Some(verbosity) = text.take("verbosity")
        && verbosity.string().is_none_or(|word| word.raw() != "medium")
    {
        request.own.push(("text.verbosity", verbosity.json()?));
    }
    if let Some(format) = text.take("format") {
        let mut format = format.fields().ok_or(Refusal::WrongType("text.format", "an object"))?.unique()?;
        request.format = match format.needed_text("type", "text.format.type")?.raw() {
            "text" => None,
            "json_object" => Some(Format::JsonObject),
            "json_schema" => Some(Format::Schema {
                name: format.text("name", "text.format.name")?,
                description: format.text("description", "text.format.description")?,
                schema: format
                    .json("schema", Kind::Object, "text.format.schema", "an object")?
                    .ok_or(Refusal::MissingField("text.format.schema"))?,
                strict: format.boolean("strict", "text.format.strict")?,
            }),
            other => return Err(Refusal::UntranslatableUnknown(FieldName::new(other))),
        };
        format.nothing_else("text.format.")?;
    }
    text.nothing_else("text.")
}

fn reasoning<'a>(request: &mut Request<'a>, fields: &mut Fields<'a>) -> Result<(), Refusal> {
    let Some(reasoning) = fields.take("reasoning") else { return Ok(()) };
    let mut reasoning = reasoning.fields().ok_or(Refusal::WrongType("reasoning", "an object"))?.unique()?;
    let mut read = Reasoning::default();
    if let Some(effort) = reasoning.text("effort", "reasoning.effort")? {
        let wrong = Refusal::WrongType("reasoning.effort", "one of none, minimal, low, medium, high, xhigh, max");
        read.effort = Some(Effort::named(effort.raw()).ok_or(wrong)?);
    }
    for (name, field) in [("summary", "reasoning.summary"), ("generate_summary", "reasoning.generate_summary")] {
        // How long a summary is to be is a wish: any summary meets it.
        match reasoning.text(name, field)?.as_ref().map(Str::raw) {
            None => {}
            Some("auto" | "concise" | "detailed") => read.shown = Some(true),
            Some(_) => return Err(Refusal::WrongType(field, "one of auto, concise, detailed")),
        }
    }
    for (name, field, nothing) in [("context", "reasoning.context", "\"auto\""), ("mode", "reasoning.mode", "\"standard\"")] {
        if let Some(value) = reasoning.take(name) {
            let json = value.json()?;
            if json.raw() != nothing {
                request.own.push((field, json));
            }
        }
    }
    reasoning.nothing_else("reasoning.")?;
    request.reasoning = (read != Reasoning::default()).then_some(read);
    Ok(())
}
