//! A chat completion request, read into the common form.

use lethe_types::Api;

use super::message_read::message;
use crate::conversation::{Effort, Format, Json, Reasoning, Request, Str, Tool, ToolChoice};
use crate::json::{Cursor, Kind, Text};
use crate::refusal::{FieldName, Refusal};

/// Fields with a meaning in this format only, and the value that says nothing.
const OWN: [(&str, &str); 9] = [
    ("function_call", "\"auto\""),
    ("functions", "[]"),
    ("logit_bias", "{}"),
    ("logprobs", "false"),
    ("n", "1"),
    ("prediction", ""),
    ("service_tier", "\"auto\""),
    ("top_logprobs", "0"),
    ("verbosity", "\"medium\""),
];

/// Reads a request; [`crate::inspect::inspect`] has accepted it before.
///
/// # Errors
/// [`Refusal`] for what is not as documented or has no place in another format.
pub fn read_request(body: &[u8]) -> Result<Request<'_>, Refusal> {
    let mut cursor = Cursor::new(body)?;
    let mut request = Request::new(Api::Chat);
    cursor.object(|key, _, value| if value.null()? { Ok(()) } else { field(&mut request, key, value) })?;
    cursor.end()?;
    Ok(request)
}

fn field<'a>(request: &mut Request<'a>, key: Text<'a>, value: &mut Cursor<'a>) -> Result<(), Refusal> {
    let name = key.plain();
    match name.as_ref() {
        // Read already, forced, or a name for somebody whom the provider is not told of.
        "model" | "modalities" | "safety_identifier" | "store" | "user" => value.skip().map(drop)?,
        "stream" => request.wanted.stream = value.boolean()?,
        "stream_options" => value.object(|key, _, value| match (key.plain().as_ref(), value.kind()?) {
            ("include_usage", Kind::Bool) => {
                request.wanted.usage = value.boolean()?;
                Ok(())
            }
            ("include_usage" | "include_obfuscation", _) => Ok::<(), Refusal>(value.skip().map(drop)?),
            _ => Err(unknown("stream_options.", key)),
        })?,
        "messages" => value.array(|item| {
            request.messages.push(message(item)?);
            Ok::<(), Refusal>(())
        })?,
        "max_tokens" | "max_completion_tokens" => {
            let limit = value.count().map_err(|_| Refusal::WrongType("max_completion_tokens", "a whole number"))?;
            request.max_tokens = Some(request.max_tokens.map_or(limit, |other| other.min(limit)));
        }
        "temperature" => request.temperature = Some(number(value, "temperature")?),
        "top_p" => request.top_p = Some(number(value, "top_p")?),
        "top_k" => request.top_k = Some(number(value, "top_k")?),
        "frequency_penalty" => request.frequency_penalty = Some(number(value, "frequency_penalty")?),
        "presence_penalty" => request.presence_penalty = Some(number(value, "presence_penalty")?),
        "seed" => request.seed = Some(number(value, "seed")?),
        "stop" => match value.kind()? {
            Kind::String => request.stop.push(value.string()?.into()),
            Kind::Array => value.array(|item| {
                request.stop.push(string(item, "stop")?);
                Ok::<(), Refusal>(())
            })?,
            _ => return Err(Refusal::WrongType("stop", "a string or an array of strings")),
        },
        "parallel_tool_calls" => request.parallel_tool_calls = Some(value.boolean()?),
        "tools" => value.array(|item| {
            request.tools.push(tool(item)?);
            Ok::<(), Refusal>(())
        })?,
        "tool_choice" => request.tool_choice = Some(tool_choice(value)?),
        "response_format" => request.format = format(value)?,
        "reasoning_effort" => {
            let effort = Effort::named(&string(value, "reasoning_effort")?.plain());
            let effort =
                effort.ok_or(Refusal::WrongType("reasoning_effort", "one of none, minimal, low, medium, high, xhigh, max"))?;
            request.reasoning = Some(Reasoning { effort: Some(effort), ..Reasoning::default() });
        }
        other => match OWN.iter().find(|(own, _)| *own == other) {
            Some((own, silent)) => {
                let json = Json::read(value)?;
                if json.raw() != *silent && !(*own == "service_tier" && json.raw() == "\"default\"") {
                    request.own.push((own, json));
                }
            }
            None => return Err(unknown("", key)),
        },
    }
    Ok(())
}

pub(super) fn unknown(parent: &str, key: Text<'_>) -> Refusal {
    Refusal::UntranslatableUnknown(FieldName::new(&[parent, &key.plain()].concat()))
}

pub(super) fn string<'a>(value: &mut Cursor<'a>, field: &'static str) -> Result<Str<'a>, Refusal> {
    if value.kind()? != Kind::String {
        return Err(Refusal::WrongType(field, "a string"));
    }
    Ok(value.string()?.into())
}

fn number<'a>(value: &mut Cursor<'a>, field: &'static str) -> Result<Json<'a>, Refusal> {
    if value.kind()? != Kind::Number {
        return Err(Refusal::WrongType(field, "a number"));
    }
    Ok(Json::read(value)?)
}

pub(super) fn object<'a>(value: &mut Cursor<'a>, field: &'static str) -> Result<Json<'a>, Refusal> {
    if value.kind()? != Kind::Object {
        return Err(Refusal::WrongType(field, "an object"));
    }
    Ok(Json::read(value)?)
}

fn tool<'a>(value: &mut Cursor<'a>) -> Result<Tool<'a>, Refusal> {
    let (mut tool, mut name) =
        (Tool { name: Str::EMPTY, description: None, parameters: None, strict: None, cache_control: None }, None);
    value.object(|key, _, value| match key.plain().as_ref() {
        "type" if string(value, "tools.type")?.raw() == "function" => Ok(()),
        "type" => Err(Refusal::Untranslatable { field: "tools.type", target: Api::Chat }),
        "function" => value.object(|key, _, value| {
            if value.null()? {
                return Ok(());
            }
            match key.plain().as_ref() {
                "name" => name = Some(string(value, "tools.function.name")?),
                "description" => tool.description = Some(string(value, "tools.function.description")?),
                "parameters" => tool.parameters = Some(object(value, "tools.function.parameters")?),
                "strict" => tool.strict = Some(value.boolean()?),
                _ => return Err(unknown("tools.function.", key)),
            }
            Ok(())
        }),
        _ => Err(unknown("tools.", key)),
    })?;
    tool.name = name.ok_or(Refusal::MissingField("tools.function.name"))?;
    Ok(tool)
}

fn tool_choice<'a>(value: &mut Cursor<'a>) -> Result<ToolChoice<'a>, Refusal> {
    const WRONG: Refusal = Refusal::WrongType("tool_choice", "none, auto, required, or a function");
    if value.kind()? == Kind::String {
        return match value.string()?.raw() {
            "auto" => Ok(ToolChoice::Auto),
            "none" => Ok(ToolChoice::None),
            "required" => Ok(ToolChoice::Required),
            _ => Err(WRONG),
        };
    }
    let mut name = None;
    value.object(|key, _, value| match key.plain().as_ref() {
        "type" if string(value, "tool_choice.type")?.raw() == "function" => Ok(()),
        "type" => Err(Refusal::Untranslatable { field: "tool_choice.type", target: Api::Chat }),
        "function" => value.object(|key, _, value| {
            if !key.is("name") {
                return Err(unknown("tool_choice.function.", key));
            }
            name = Some(string(value, "tool_choice.function.name")?);
            Ok(())
        }),
        _ => Err(unknown("tool_choice.", key)),
    })?;
    name.map(ToolChoice::Function).ok_or(WRONG)
}

fn format<'a>(value: &mut Cursor<'a>) -> Result<Option<Format<'a>>, Refusal> {
    let (mut kind, mut parts) = (None, None);
    value.object(|key, _, value| match key.plain().as_ref() {
        "type" => {
            kind = Some(string(value, "response_format.type")?);
            Ok(())
        }
        "json_schema" => {
            parts = Some(schema(value)?);
            Ok(())
        }
        _ => Err(unknown("response_format.", key)),
    })?;
    match (kind.as_ref().map(Str::raw), parts) {
        (Some("text"), None) => Ok(None),
        (Some("json_object"), None) => Ok(Some(Format::JsonObject)),
        (Some("json_schema"), Some(schema)) => Ok(Some(schema)),
        (Some("json_schema"), None) => Err(Refusal::MissingField("response_format.json_schema")),
        _ => Err(Refusal::WrongType("response_format.type", "text, json_object or json_schema")),
    }
}

fn schema<'a>(value: &mut Cursor<'a>) -> Result<Format<'a>, Refusal> {
    let (mut name, mut description, mut schema, mut strict) = (None, None, None, None);
    value.object(|key, _, value| {
        if value.null()? {
            return Ok(());
        }
        match key.plain().as_ref() {
            "name" => name = Some(string(value, "response_format.json_schema.name")?),
            "description" => description = Some(string(value, "response_format.json_schema.description")?),
            "schema" => schema = Some(object(value, "response_format.json_schema.schema")?),
            "strict" => strict = Some(value.boolean()?),
            _ => return Err(unknown("response_format.json_schema.", key)),
        }
        Ok(())
    })?;
    // Without a schema any object will do, as the reference says of the parameter's absence.
    Ok(Format::Schema { name, description, schema: schema.unwrap_or(Json::EMPTY_OBJECT), strict })
}
