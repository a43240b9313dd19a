//! A request to generate content, written from the common form.

use lethe_content::ContentBuf;
use lethe_types::Api;

use super::content_write::{To, says_something, write_parts};
use super::signature::is_demanded_by;
use crate::conversation::{Effort, Json, Part, PartKind, Reasoning, Request, Role, Sending, Str, Tool, ToolChoice};
use crate::refusal::Refusal;
use crate::write::Writer;

/// Writes a request as the body of `:generateContent` and `:streamGenerateContent`; the model and the wish for a stream stand in the path.
///
/// # Errors
/// [`Refusal::Untranslatable`] for what this format cannot express; `out` then holds half a text.
pub fn write_request(request: &Request<'_>, to: &Sending<'_>, out: &mut ContentBuf) -> Result<(), Refusal> {
    request.refuse_own(Api::GenerateContent)?;
    Writer::new(out).try_object(|json| write_fields(json, request, to)).map_err(|refusal| refusal.in_words_of(request.api))
}

const fn cannot(field: &'static str) -> Refusal {
    Refusal::Untranslatable { field, target: Api::GenerateContent }
}

pub(super) fn write_fields(json: &mut Writer<'_>, request: &Request<'_>, to: &Sending<'_>) -> Result<(), Refusal> {
    let system = request.messages.iter().filter(|message| message.role == Role::System).flat_map(|message| &message.parts);
    if system.clone().next().is_some() {
        json.key("systemInstruction")
            .try_object(|json| json.key("parts").try_array(|json| system.clone().try_for_each(|part| instruction(json, part))))?;
    }
    write_contents(json, request, to)?;
    write_tools(json, request);
    write_tool_config(json, request);
    if has_config(request) {
        json.key("generationConfig").try_object(|json| write_config(json, request, to))?;
    }
    write_own(json, request, "");
    Ok(())
}

fn instruction(json: &mut Writer<'_>, part: &Part<'_>) -> Result<(), Refusal> {
    match &part.kind {
        PartKind::Text(text) => {
            json.object(|json| json.member("text", text));
            Ok(())
        }
        _ => Err(cannot("messages.content")),
    }
}

/// One of `contents`.
struct Turn<'r, 'a> {
    is_model: bool,
    is_results: bool,
    parts: Vec<&'r Part<'a>>,
}

/// What the model says in one go is one content, and so are the results that it waits for; their number must be that of its calls.
fn turns<'r, 'a>(request: &'r Request<'a>) -> Result<Vec<Turn<'r, 'a>>, Refusal> {
    let mut turns: Vec<Turn<'r, 'a>> = Vec::new();
    for message in &request.messages {
        if message.name.is_some() {
            return Err(cannot("messages.name"));
        }
        if message.role == Role::System {
            if !turns.is_empty() {
                return Err(cannot("messages.role"));
            }
            continue;
        }
        let is_model = message.role == Role::Assistant;
        let mut begun = false;
        for part in message.parts.iter().filter(|part| says_something(part)) {
            let is_results = matches!(part.kind, PartKind::ToolResult(_));
            match turns.last_mut() {
                Some(last) if last.is_model == is_model && last.is_results == is_results && (is_model || is_results || begun) => {
                    last.parts.push(part);
                }
                _ => turns.push(Turn { is_model, is_results, parts: vec![part] }),
            }
            begun = true;
        }
    }
    Ok(turns)
}

fn write_contents(json: &mut Writer<'_>, request: &Request<'_>, to: &Sending<'_>) -> Result<(), Refusal> {
    let turns = turns(request)?;
    if turns.is_empty() {
        return Err(cannot("messages"));
    }
    let receiver = if is_demanded_by(to.model) { To::StrictProvider } else { To::Provider };
    let mut names: Vec<(&Str<'_>, &Str<'_>)> = Vec::new();
    json.key("contents").try_array(|json| {
        turns.iter().try_for_each(|turn| {
            names.extend(turn.parts.iter().filter_map(|part| match &part.kind {
                PartKind::ToolCall(call) => Some((&call.id, &call.name)),
                _ => None,
            }));
            json.try_object(|json| {
                json.constant("role", if turn.is_model { "model" } else { "user" });
                json.key("parts").try_array(|json| write_parts(json, &turn.parts, receiver, &names))
            })
        })
    })
}

fn write_tools(json: &mut Writer<'_>, request: &Request<'_>) {
    let servers = || request.own.iter().filter_map(|(field, value)| Some((field.strip_prefix("tools.")?, value)));
    if request.tools.is_empty() && servers().next().is_none() {
        return;
    }
    json.key("tools").array(|json| {
        if !request.tools.is_empty() {
            json.object(|json| {
                json.key("functionDeclarations").array(|json| request.tools.iter().for_each(|tool| declaration(json, tool)));
            });
        }
        servers().for_each(|(name, value)| json.object(|json| json.key(name).json(value)));
    });
}

fn declaration(json: &mut Writer<'_>, tool: &Tool<'_>) {
    json.object(|json| {
        json.member("name", &tool.name);
        if let Some(description) = &tool.description {
            json.member("description", description);
        }
        // A function without arguments has no schema here: one without properties is refused.
        json.some("parametersJsonSchema", tool.parameters.as_ref().filter(|schema| schema.raw() != "{}"));
    });
}

fn write_tool_config(json: &mut Writer<'_>, request: &Request<'_>) {
    const CALLING: &str = "toolConfig.functionCallingConfig.";
    let is_calling = |(field, _): &&(&'static str, Json<'_>)| field.starts_with(CALLING);
    let calling = || request.own.iter().filter(is_calling);
    let is_strict = request.tools.iter().any(|tool| tool.strict == Some(true));
    let mode = match &request.tool_choice {
        // Calls that follow their schema, or text: the mode in which the model is held to what `strict` asks for.
        None | Some(ToolChoice::Auto) if is_strict => Some("VALIDATED"),
        None => None,
        Some(ToolChoice::Auto) => Some("AUTO"),
        Some(ToolChoice::None) => Some("NONE"),
        Some(ToolChoice::Function(_) | ToolChoice::Required) => Some("ANY"),
    };
    let others = request.own.iter().any(|own| own.0.starts_with("toolConfig.") && !is_calling(&own));
    if mode.is_none() && !others && calling().next().is_none() {
        return;
    }
    json.key("toolConfig").object(|json| {
        if mode.is_some() || calling().next().is_some() {
            json.key("functionCallingConfig").object(|json| {
                if let Some(mode) = mode {
                    json.constant("mode", mode);
                }
                if let Some(ToolChoice::Function(name)) = &request.tool_choice {
                    json.key("allowedFunctionNames").array(|json| json.string(name));
                }
                calling().for_each(|(field, value)| json.key(field.trim_start_matches(CALLING)).json(value));
            });
        }
        for (field, value) in request.own.iter().filter(|own| !is_calling(own)) {
            if let Some(name) = field.strip_prefix("toolConfig.") {
                json.key(name).json(value);
            }
        }
    });
}

/// Fields of the format's own whose names begin with `parent` and have no further dot.
fn write_own(json: &mut Writer<'_>, request: &Request<'_>, parent: &str) {
    for (field, value) in &request.own {
        if let Some(name) = field.strip_prefix(parent).filter(|name| !name.contains('.')) {
            json.key(name).json(value);
        }
    }
}

fn has_config(request: &Request<'_>) -> bool {
    let numbers = [
        &request.temperature,
        &request.top_p,
        &request.top_k,
        &request.frequency_penalty,
        &request.presence_penalty,
        &request.seed,
    ];
    numbers.iter().any(|number| number.is_some())
        || request.max_tokens.is_some()
        || !request.stop.is_empty()
        || request.format.is_some()
        || request.reasoning.is_some_and(|reasoning| reasoning != Reasoning::default())
        || request.own.iter().any(|(field, _)| field.starts_with("generationConfig."))
}

fn write_config(json: &mut Writer<'_>, request: &Request<'_>, to: &Sending<'_>) -> Result<(), Refusal> {
    json.some("temperature", request.temperature.as_ref());
    json.some("topP", request.top_p.as_ref());
    json.some("topK", request.top_k.as_ref());
    if let Some(limit) = request.max_tokens {
        json.key("maxOutputTokens").number(limit);
    }
    if !request.stop.is_empty() {
        json.key("stopSequences").array(|json| request.stop.iter().for_each(|text| json.string(text)));
    }
    json.some("seed", request.seed.as_ref());
    json.some("presencePenalty", request.presence_penalty.as_ref());
    json.some("frequencyPenalty", request.frequency_penalty.as_ref());
    match &request.format {
        None => {}
        Some(format) => {
            json.constant("responseMimeType", "application/json");
            json.some("responseJsonSchema", format.described()?.as_ref());
        }
    }
    if let Some(reasoning) = request.reasoning.filter(|reasoning| *reasoning != Reasoning::default()) {
        // Anthropic's API shows thoughts unless it is told not to; of no thoughts none can be asked for here.
        let is_off = reasoning.budget_tokens == Some(0) || reasoning.effort == Some(Effort::None);
        let shown = reasoning.shown.or((request.api == Api::Messages && !is_off).then_some(true));
        json.key("thinkingConfig").object(|json| thinking(json, Reasoning { shown, ..reasoning }, to.model));
    }
    write_own(json, request, "generationConfig.");
    Ok(())
}

/// Levels are words of version 3 and later, which takes budgets as well; the versions before it know budgets only.
fn thinking(json: &mut Writer<'_>, reasoning: Reasoning, model: &str) {
    if let Some(shown) = reasoning.shown {
        json.key("includeThoughts").boolean(shown);
    }
    let level = match reasoning.effort {
        None | Some(Effort::None) => None,
        Some(Effort::Minimal) => Some("MINIMAL"),
        Some(Effort::Low) => Some("LOW"),
        Some(Effort::Medium) => Some("MEDIUM"),
        Some(Effort::High) => Some("HIGH"),
        Some(Effort::ExtraHigh | Effort::Max) => Some("XHIGH"),
    };
    match (reasoning.budget_tokens, level, reasoning.effort) {
        (Some(tokens), _, _) => json.key("thinkingBudget").number(tokens),
        (None, Some(level), _) if is_demanded_by(model) => json.constant("thinkingLevel", level),
        // The smaller of those models take no more than this, and a word is no exact number.
        (None, _, Some(effort)) => json.key("thinkingBudget").number(effort.budget_tokens().min(24_576)),
        (None, _, None) if reasoning.adaptive => json.some("thinkingBudget", Json::checked("-1").ok().as_ref()),
        _ => {}
    }
}
