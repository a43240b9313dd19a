//! A request to generate content, read into the common form.

use lethe_policy::conflict;
use lethe_types::Api;

use super::content_read::Contents;
use super::fields::{boolean, count, each, fields, number, object, string};
use super::schema::json_schema;
use crate::conversation::{Effort, Format, Json, Message, PartKind, Reasoning, Request, Role, Str, Tool, ToolChoice};
use crate::json::{Cursor, Kind};
use crate::refusal::Refusal;

/// Fields with a meaning in this format only, and the value that says nothing.
const OWN: [(&str, &str); 20] = [
    ("generationConfig.audioTimestamp", "false"),
    ("generationConfig.audioTranscriptionConfig", ""),
    ("generationConfig.candidateCount", "1"),
    ("generationConfig.continuationToken", "\"\""),
    ("generationConfig.enableAffectiveDialog", "false"),
    ("generationConfig.enableEnhancedCivicAnswers", "false"),
    ("generationConfig.imageConfig", "{}"),
    ("generationConfig.logprobs", ""),
    ("generationConfig.mediaResolution", "\"MEDIA_RESOLUTION_UNSPECIFIED\""),
    ("generationConfig.modelConfig", "{}"),
    ("generationConfig.responseFormat", "[]"),
    ("generationConfig.responseLogprobs", "false"),
    ("generationConfig.routingConfig", "{}"),
    ("generationConfig.speechConfig", "{}"),
    ("generationConfig.translationConfig", "{}"),
    ("labels", "{}"),
    ("safetySettings", "[]"),
    ("serviceTier", "\"standard\""),
    ("toolConfig.includeServerSideToolInvocations", "false"),
    ("toolConfig.retrievalConfig", "{}"),
];

/// Tools that a server runs.
const SERVER_TOOLS: [&str; 13] = [
    "tools.codeExecution",
    "tools.computerUse",
    "tools.enterpriseWebSearch",
    "tools.exaAiSearch",
    "tools.fileSearch",
    "tools.googleMaps",
    "tools.googleSearch",
    "tools.googleSearchRetrieval",
    "tools.mcpServers",
    "tools.parallelAiSearch",
    "tools.retrieval",
    "tools.urlContext",
    "tools.urlContextRetrieval",
];

/// `responseMimeType` and what goes with it, before all of it is read.
#[derive(Default)]
struct Answer<'a> {
    media_type: Option<Str<'a>>,
    schema: Option<Json<'a>>,
}

/// Reads a request; [`crate::inspect::inspect`] has accepted it before.
///
/// # Errors
/// [`Refusal`] for what is not as documented or has no place in another format.
pub fn read_request(body: &[u8]) -> Result<Request<'_>, Refusal> {
    let mut cursor = Cursor::new(body)?;
    let request = read(&mut cursor)?;
    cursor.end()?;
    Ok(request)
}

/// Reads the request that stands at `value`.
pub(super) fn read<'a>(value: &mut Cursor<'a>) -> Result<Request<'a>, Refusal> {
    let mut request = Request::new(Api::GenerateContent);
    let (mut contents, mut system) = (Contents::default(), None);
    fields(value, "", |name, value| {
        match name {
            // It stands in the path.
            "model" => value.skip().map(drop)?,
            "contents" => each(value, |item| contents.read(item))?,
            "systemInstruction" => system = Some(instruction(value)?),
            "generationConfig" => generation_config(&mut request, value)?,
            "tools" => each(value, |item| tool(&mut request, item))?,
            "toolConfig" => tool_config(&mut request, value)?,
            "store" if value.kind()? == Kind::Bool && !value.boolean()? => {}
            _ => {
                if let Some(conflict) = conflict::field(Api::GenerateContent, &name.to_ascii_lowercase()) {
                    return Err(Refusal::Conflict(conflict));
                }
                return own(&mut request, "", name, value);
            }
        }
        Ok(true)
    })?;
    request.messages = system.into_iter().chain(contents.messages).collect();
    Ok(request)
}

/// Carries a field along that has a meaning here only; says whether there is one of that name.
fn own<'a>(request: &mut Request<'a>, parent: &str, name: &str, value: &mut Cursor<'a>) -> Result<bool, Refusal> {
    let Some((field, silent)) = OWN.iter().find(|(own, _)| own.strip_prefix(parent) == Some(name)) else { return Ok(false) };
    let json = Json::read(value)?;
    if json.raw() != *silent && !(*field == "serviceTier" && json.raw() == "\"unspecified\"") {
        request.own.push((field, json));
    }
    Ok(true)
}

fn instruction<'a>(value: &mut Cursor<'a>) -> Result<Message<'a>, Refusal> {
    let mut parts = Vec::new();
    fields(value, "systemInstruction", |name, value| {
        match name {
            // Nobody reads it.
            "role" => drop(string(value, "systemInstruction.role")?),
            "parts" => each(value, |item| {
                fields(item, "systemInstruction.parts", |name, value| {
                    if name != "text" {
                        return Ok(false);
                    }
                    parts.push(PartKind::Text(string(value, "systemInstruction.parts.text")?).into());
                    Ok(true)
                })
            })?,
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    Ok(Message { role: Role::System, name: None, parts })
}

fn generation_config<'a>(request: &mut Request<'a>, value: &mut Cursor<'a>) -> Result<(), Refusal> {
    let mut answer = Answer::default();
    fields(value, "generationConfig", |name, value| {
        match name {
            "temperature" => request.temperature = Some(number(value, "generationConfig.temperature")?),
            "topP" => request.top_p = Some(number(value, "generationConfig.topP")?),
            "topK" => request.top_k = Some(whole(number(value, "generationConfig.topK")?)?),
            "presencePenalty" => request.presence_penalty = Some(number(value, "generationConfig.presencePenalty")?),
            "frequencyPenalty" => request.frequency_penalty = Some(number(value, "generationConfig.frequencyPenalty")?),
            "seed" => request.seed = Some(number(value, "generationConfig.seed")?),
            "maxOutputTokens" => request.max_tokens = Some(count(value, "generationConfig.maxOutputTokens")?),
            "stopSequences" => each(value, |item| {
                request.stop.push(string(item, "generationConfig.stopSequences")?);
                Ok(())
            })?,
            "responseMimeType" => answer.media_type = Some(string(value, "generationConfig.responseMimeType")?),
            "responseSchema" | "responseJsonSchema" if answer.schema.is_some() => {
                return Err(Refusal::WrongType("generationConfig.responseJsonSchema", "not together with responseSchema"));
            }
            "responseSchema" => answer.schema = Some(json_schema(value, "generationConfig.responseSchema")?),
            "responseJsonSchema" => answer.schema = Some(object(value, "generationConfig.responseJsonSchema")?),
            "responseModalities" => {
                let json = Json::read(value)?;
                if !is_text_only(&json)? {
                    request.own.push(("generationConfig.responseModalities", json));
                }
            }
            "thinkingConfig" => request.reasoning = Some(thinking(value)?),
            _ => return own(request, "generationConfig.", name, value),
        }
        Ok(true)
    })?;
    request.format = match (answer.media_type.as_ref().map(Str::plain).as_deref(), answer.schema) {
        (None | Some("application/json" | ""), Some(schema)) => {
            Some(Format::Schema { name: None, description: None, schema, strict: None })
        }
        (Some("application/json"), None) => Some(Format::JsonObject),
        (None | Some("text/plain" | ""), None) => None,
        _ => return Err(Refusal::WrongType("generationConfig.responseMimeType", "text/plain, or application/json")),
    };
    Ok(())
}

/// A whole number as one: clients send `40.0`, which other formats take for none.
fn whole(number: Json<'_>) -> Result<Json<'_>, Refusal> {
    Ok(match number.raw().strip_suffix(".0") {
        Some(whole) => Json::checked(whole.to_owned())?,
        None => number,
    })
}

fn is_text_only(modalities: &Json<'_>) -> Result<bool, Refusal> {
    let mut only = true;
    each(&mut modalities.cursor()?, |item| {
        only &= string(item, "generationConfig.responseModalities")?.raw().eq_ignore_ascii_case("text");
        Ok(())
    })?;
    Ok(only)
}

fn thinking(value: &mut Cursor<'_>) -> Result<Reasoning, Refusal> {
    let mut reasoning = Reasoning::default();
    fields(value, "generationConfig.thinkingConfig", |name, value| {
        match name {
            "includeThoughts" => {
                reasoning.shown = Some(boolean(value, "generationConfig.thinkingConfig.includeThoughts")?);
            }
            "thinkingBudget" => {
                let budget = number(value, "generationConfig.thinkingConfig.thinkingBudget")?;
                if budget.raw() == "-1" {
                    reasoning.adaptive = true;
                } else {
                    let tokens = budget.raw().parse();
                    let wrong = Refusal::WrongType("generationConfig.thinkingConfig.thinkingBudget", "a whole number, or -1");
                    reasoning.budget_tokens = Some(tokens.map_err(|_| wrong)?);
                }
            }
            "thinkingLevel" => {
                let level = string(value, "generationConfig.thinkingConfig.thinkingLevel")?.plain().to_ascii_lowercase();
                if level != "thinking_level_unspecified" {
                    let effort = Effort::named(&level).filter(|effort| (Effort::Minimal..=Effort::ExtraHigh).contains(effort));
                    reasoning.effort = Some(effort.ok_or(Refusal::WrongType(
                        "generationConfig.thinkingConfig.thinkingLevel",
                        "one of MINIMAL, LOW, MEDIUM, HIGH, XHIGH",
                    ))?);
                }
            }
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    Ok(reasoning)
}

fn tool<'a>(request: &mut Request<'a>, value: &mut Cursor<'a>) -> Result<(), Refusal> {
    fields(value, "tools", |name, value| {
        if name == "functionDeclarations" {
            each(value, |item| {
                request.tools.push(declaration(item)?);
                Ok(())
            })?;
            return Ok(true);
        }
        let Some(field) = SERVER_TOOLS.iter().find(|tool| tool.strip_prefix("tools.") == Some(name)) else { return Ok(false) };
        request.own.push((field, Json::read(value)?));
        Ok(true)
    })
}

fn declaration<'a>(value: &mut Cursor<'a>) -> Result<Tool<'a>, Refusal> {
    let mut tool = Tool { name: Str::EMPTY, description: None, parameters: None, strict: None, cache_control: None };
    let mut returned = None;
    fields(value, "tools.functionDeclarations", |name, value| {
        match name {
            "name" => tool.name = string(value, "tools.functionDeclarations.name")?,
            "description" => tool.description = Some(string(value, "tools.functionDeclarations.description")?),
            "parameters" | "parametersJsonSchema" if tool.parameters.is_some() => {
                return Err(Refusal::WrongType(
                    "tools.functionDeclarations.parametersJsonSchema",
                    "not together with parameters",
                ));
            }
            "parameters" => tool.parameters = Some(json_schema(value, "tools.functionDeclarations.parameters")?),
            "parametersJsonSchema" => {
                tool.parameters = Some(object(value, "tools.functionDeclarations.parametersJsonSchema")?);
            }
            "response" | "responseJsonSchema" if returned.is_some() => {
                return Err(Refusal::WrongType("tools.functionDeclarations.responseJsonSchema", "not together with response"));
            }
            "response" => returned = Some(json_schema(value, "tools.functionDeclarations.response")?),
            "responseJsonSchema" => returned = Some(object(value, "tools.functionDeclarations.responseJsonSchema")?),
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    if tool.name.is_empty() {
        return Err(Refusal::MissingField("tools.functionDeclarations.name"));
    }
    if let Some(returned) = returned {
        // Google's own library sends it for every function; a description is where other formats say what comes back.
        let (before, gap) = tool.description.as_ref().map_or(("", ""), |text| (text.raw(), "\\n\\n"));
        let schema = Str::of(returned.raw());
        let text = Str::constant("").and(before).and(gap).and("Its result follows this JSON Schema: ").and(schema.raw());
        tool.description = Some(text);
    }
    Ok(tool)
}

fn tool_config<'a>(request: &mut Request<'a>, value: &mut Cursor<'a>) -> Result<(), Refusal> {
    fields(value, "toolConfig", |name, value| {
        if name != "functionCallingConfig" {
            return own(request, "toolConfig.", name, value);
        }
        let (mut mode, mut allowed) = (None, None);
        fields(value, "toolConfig.functionCallingConfig", |name, value| {
            match name {
                "mode" => mode = Some(string(value, "toolConfig.functionCallingConfig.mode")?),
                "allowedFunctionNames" => allowed = Some(Json::read(value)?),
                "streamFunctionCallArguments" if value.kind()? == Kind::Bool => return Ok(!value.boolean()?),
                _ => return Ok(false),
            }
            Ok(true)
        })?;
        choice(request, mode.as_ref().map(Str::raw), allowed)?;
        Ok(true)
    })
}

fn choice<'a>(request: &mut Request<'a>, mode: Option<&str>, allowed: Option<Json<'a>>) -> Result<(), Refusal> {
    const ALLOWED: &str = "toolConfig.functionCallingConfig.allowedFunctionNames";
    const MODE: &str = "toolConfig.functionCallingConfig.mode";
    let mut names = Vec::new();
    if let Some(allowed) = &allowed {
        each(&mut allowed.cursor()?, |item| {
            names.push(string(item, ALLOWED)?.into_owned());
            Ok(())
        })?;
    }
    request.tool_choice = match (mode.map(str::to_ascii_uppercase).as_deref(), names.as_slice()) {
        (None | Some("MODE_UNSPECIFIED"), []) => None,
        (Some("AUTO"), []) => Some(ToolChoice::Auto),
        (Some("NONE"), []) => Some(ToolChoice::None),
        (Some("ANY"), []) => Some(ToolChoice::Required),
        (Some("ANY"), [one]) => Some(ToolChoice::Function(one.clone())),
        (Some("ANY"), _) => {
            request.own.extend(allowed.map(|allowed| (ALLOWED, allowed)));
            Some(ToolChoice::Required)
        }
        // Text or calls, and calls as their schema says: other formats promise that function by function, if at all.
        (Some("VALIDATED"), _) => {
            request.own.push((MODE, Json::checked("\"VALIDATED\"")?));
            request.own.extend(allowed.filter(|_| !names.is_empty()).map(|allowed| (ALLOWED, allowed)));
            None
        }
        _ => {
            return Err(Refusal::WrongType(
                MODE,
                "AUTO, ANY, NONE or VALIDATED, with allowedFunctionNames beside the second and last only",
            ));
        }
    };
    Ok(())
}
