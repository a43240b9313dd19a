//! A request for a message, read into the common form.

use lethe_types::Api;

use super::fields::{Fields, array, count, string};
use super::message_read::{self, Own};
use crate::conversation::{Effort, Format, Json, Message, Reasoning, Request, Role, Str, Tool, ToolChoice};
use crate::json::{Cursor, Kind, Text};
use crate::refusal::{FieldName, Refusal};

/// Fields with a meaning in this format only, and the value that says nothing.
const OWN: [(&str, &str); 6] = [
    ("context_management", "{}"),
    ("fallbacks", "[]"),
    ("inference_geo", ""),
    ("service_tier", "\"auto\""),
    ("speed", "\"standard\""),
    ("user_profile_id", ""),
];

/// Fields of a request for an answer that make no sense where only tokens are counted.
const ANSWER_ONLY: [&str; 9] =
    ["fallbacks", "inference_geo", "max_tokens", "service_tier", "stop_sequences", "stream", "temperature", "top_k", "top_p"];

/// Reads a request; [`crate::inspect::inspect`] has accepted it before.
///
/// # Errors
/// [`Refusal`] for what is not as documented or has no place in another format.
pub fn read_request(body: &[u8]) -> Result<Request<'_>, Refusal> {
    let request = read(body, Api::Messages)?;
    if request.max_tokens.is_none() {
        return Err(Refusal::MissingField("max_tokens"));
    }
    Ok(request)
}

/// Reads a request in either of this API's formats.
pub(super) fn read(body: &[u8], api: Api) -> Result<Request<'_>, Refusal> {
    let mut cursor = Cursor::new(body)?;
    let mut request = Request::new(api);
    // Instructions come first, wherever they stand in the object.
    let mut system = Vec::new();
    let mut cache_control = None;
    cursor.object(|key, _, value| {
        if value.null()? {
            return Ok(());
        }
        match key.plain().as_ref() {
            "system" => {
                system = message_read::blocks(value, "system", &mut request.own)?.into_iter().map(|(_, part)| part).collect();
                Ok(())
            }
            "cache_control" => {
                cache_control = Some(Json::read(value)?);
                Ok(())
            }
            _ => field(&mut request, key, value),
        }
    })?;
    cursor.end()?;
    if !system.is_empty() {
        request.messages.insert(0, Message { role: Role::System, name: None, parts: system });
    }
    if cache_control.is_some()
        && let Some(last) = request.messages.iter_mut().flat_map(|message| &mut message.parts).next_back()
        && last.cache_control.is_none()
    {
        // It stands for the same at the last block.
        last.cache_control = cache_control;
    }
    Ok(request)
}

fn field<'a>(request: &mut Request<'a>, key: Text<'a>, value: &mut Cursor<'a>) -> Result<(), Refusal> {
    let name = key.plain();
    if request.api == Api::CountMessageTokens && ANSWER_ONLY.contains(&name.as_ref()) {
        return Err(Refusal::UntranslatableUnknown(FieldName::new(&name)));
    }
    match name.as_ref() {
        // Read already, or a name for somebody whom the provider is not told of.
        "model" => value.skip().map(drop)?,
        "metadata" => {
            let mut fields = Fields::read(value, "metadata.")?;
            fields.ignore("user_id");
            fields.end()?;
        }
        "stream" => request.wanted.stream = value.boolean()?,
        "messages" => array(value, "messages", |item| message_read::message(item, &mut request.messages, &mut request.own))?,
        "max_tokens" => request.max_tokens = Some(count(value, "max_tokens")?),
        "temperature" => request.temperature = Some(number(value, "temperature")?),
        "top_p" => request.top_p = Some(number(value, "top_p")?),
        "top_k" => request.top_k = Some(number(value, "top_k")?),
        "stop_sequences" => array(value, "stop_sequences", |item| {
            request.stop.push(string(item, "stop_sequences")?);
            Ok(())
        })?,
        "tools" => array(value, "tools", |item| tool(item, &mut request.tools, &mut request.own))?,
        "tool_choice" => tool_choice(request, value)?,
        "thinking" => thinking(request.reasoning.get_or_insert_default(), value)?,
        "output_config" => output_config(request, value)?,
        // The older name, from when it was in beta.
        "output_format" => format(request, Fields::read(value, "output_format.")?)?,
        other => match OWN.iter().find(|(own, _)| *own == other) {
            Some((own, silent)) => {
                let json = Json::read(value)?;
                if json.raw() != *silent {
                    request.own.push((own, json));
                }
            }
            None => return Err(Refusal::UntranslatableUnknown(FieldName::new(other))),
        },
    }
    Ok(())
}

fn number<'a>(value: &mut Cursor<'a>, field: &'static str) -> Result<Json<'a>, Refusal> {
    if value.kind()? != Kind::Number {
        return Err(Refusal::WrongType(field, "a number"));
    }
    Ok(Json::read(value)?)
}

fn tool<'a>(value: &mut Cursor<'a>, tools: &mut Vec<Tool<'a>>, own: &mut Own<'a>) -> Result<(), Refusal> {
    let start = value.offset();
    let mut fields = Fields::read(value, "tools.")?;
    let kind = fields.string("type", "tools.type")?;
    if kind.is_some_and(|kind| kind.raw() != "custom") {
        // Tools of the API itself: what they do is known to its models only.
        own.push(("tools.type", Json::read(&mut Cursor::new(value.text(start..value.offset_of_last()).as_bytes())?)?));
        return Ok(());
    }
    fields.own("allowed_callers", "tools.allowed_callers", &["[\"direct\"]", "[]"], own)?;
    fields.own("defer_loading", "tools.defer_loading", &["false"], own)?;
    fields.own("input_examples", "tools.input_examples", &["[]"], own)?;
    // How finely a call is streamed changes nothing of it.
    fields.ignore("eager_input_streaming");
    tools.push(Tool {
        name: fields.required("name", "tools.name")?,
        description: fields.string("description", "tools.description")?,
        parameters: fields.object("input_schema", "tools.input_schema")?,
        strict: fields.boolean("strict", "tools.strict")?,
        cache_control: fields.json("cache_control")?,
    });
    fields.end()
}

fn tool_choice<'a>(request: &mut Request<'a>, value: &mut Cursor<'a>) -> Result<(), Refusal> {
    let mut fields = Fields::read(value, "tool_choice.")?;
    let kind = fields.required("type", "tool_choice.type")?;
    request.tool_choice = Some(match kind.raw() {
        "auto" => ToolChoice::Auto,
        "any" => ToolChoice::Required,
        "none" => ToolChoice::None,
        "tool" => ToolChoice::Function(fields.required("name", "tool_choice.name")?),
        _ => return Err(Refusal::WrongType("tool_choice.type", "auto, any, tool or none")),
    });
    let disabled = fields.boolean("disable_parallel_tool_use", "tool_choice.disable_parallel_tool_use")?;
    request.parallel_tool_calls = disabled.map(|disabled| !disabled);
    fields.end()
}

fn thinking(reasoning: &mut Reasoning, value: &mut Cursor<'_>) -> Result<(), Refusal> {
    let mut fields = Fields::read(value, "thinking.")?;
    match fields.required("type", "thinking.type")?.raw() {
        "adaptive" => reasoning.adaptive = true,
        "disabled" => reasoning.budget_tokens = Some(0),
        "enabled" => {
            let budget = fields.count("budget_tokens", "thinking.budget_tokens")?;
            reasoning.budget_tokens = Some(budget.ok_or(Refusal::MissingField("thinking.budget_tokens"))?);
        }
        _ => return Err(Refusal::WrongType("thinking.type", "adaptive, enabled or disabled")),
    }
    reasoning.shown = match fields.string("display", "thinking.display")?.as_ref().map(Str::raw) {
        None => None,
        Some("summarized") => Some(true),
        Some("omitted") => Some(false),
        Some(_) => return Err(Refusal::WrongType("thinking.display", "summarized or omitted")),
    };
    fields.end()
}

fn output_config<'a>(request: &mut Request<'a>, value: &mut Cursor<'a>) -> Result<(), Refusal> {
    let mut fields = Fields::read(value, "output_config.")?;
    if let Some(effort) = fields.string("effort", "output_config.effort")? {
        let known = Effort::named(effort.raw()).filter(|effort| !matches!(effort, Effort::None | Effort::Minimal));
        let effort = known.ok_or(Refusal::WrongType("output_config.effort", "low, medium, high, xhigh or max"))?;
        request.reasoning.get_or_insert_default().effort = Some(effort);
    }
    if let Some(inside) = fields.fields("format", "output_config.format.")? {
        format(request, inside)?;
    }
    fields.own("task_budget", "output_config.task_budget", &[], &mut request.own)?;
    fields.end()
}

fn format<'a>(request: &mut Request<'a>, mut fields: Fields<'a>) -> Result<(), Refusal> {
    if fields.required("type", "output_config.format.type")?.raw() != "json_schema" {
        return Err(Refusal::WrongType("output_config.format.type", "json_schema"));
    }
    let schema = fields.object("schema", "output_config.format.schema")?;
    let schema = schema.ok_or(Refusal::MissingField("output_config.format.schema"))?;
    if request.format.replace(Format::Schema { name: None, description: None, schema, strict: None }).is_some() {
        return Err(Refusal::DuplicateField(FieldName::new("output_config.format")));
    }
    fields.end()
}
