//! A request for a message, written from the common form.

use lethe_content::ContentBuf;
use lethe_types::Api;

use super::closed::closed;
use super::message_write::{parts, write_messages, write_text_or_blocks};
use super::reasoning::{Plan, Thinking, word};
use crate::conversation::{Effort, Format, Json, PartKind, Request, Role, Sending, Str, Tool, ToolChoice};
use crate::refusal::Refusal;
use crate::write::Writer;

/// Writes a request as a request for a message.
///
/// # Errors
/// [`Refusal::Untranslatable`] for what this format cannot express; `out` then holds half a text.
pub fn write_request(request: &Request<'_>, to: &Sending<'_>, out: &mut ContentBuf) -> Result<(), Refusal> {
    write(request, Api::Messages, to, out)
}

/// Whether the client speaks this API: then it is taken at its word.
pub(super) const fn is_native(request: &Request<'_>) -> bool {
    matches!(request.api, Api::CountMessageTokens | Api::Messages)
}

/// Writes a request in the format `target`, one of this API's.
pub(super) fn write(request: &Request<'_>, target: Api, to: &Sending<'_>, out: &mut ContentBuf) -> Result<(), Refusal> {
    write_all(request, target, to, out).map_err(|refusal| refusal.in_words_of(request.api))
}

fn write_all(request: &Request<'_>, target: Api, to: &Sending<'_>, out: &mut ContentBuf) -> Result<(), Refusal> {
    request.refuse_own(target)?;
    // What stood inside of a field cannot be put back.
    if let Some((field, _)) = request.own.iter().find(|(field, _)| field.contains('.')) {
        return Err(Refusal::Untranslatable { field, target });
    }
    let cannot = |field| Err(Refusal::Untranslatable { field, target });
    let is_zero = |json: &Json<'_>| json.raw().bytes().all(|byte| matches!(byte, b'0' | b'.' | b'-'));
    if request.frequency_penalty.as_ref().is_some_and(|json| !is_zero(json)) {
        return cannot("frequency_penalty");
    }
    if request.presence_penalty.as_ref().is_some_and(|json| !is_zero(json)) {
        return cannot("presence_penalty");
    }
    if request.seed.is_some() {
        return cannot("seed");
    }
    let plan = Plan::of(request, to)?;
    let counts_only = target == Api::CountMessageTokens;
    Writer::new(out).try_object(|json| {
        json.key("model").plain(to.model);
        if !counts_only {
            json.key("max_tokens").number(plan.max_tokens);
        }
        let leading = request.messages.iter().take_while(|message| message.role == Role::System).count();
        let (system, messages) = request.messages.split_at_checked(leading).unwrap_or_default();
        let system = parts(system);
        if !system.is_empty() {
            if system.iter().any(|part| !matches!(part.kind, PartKind::Text(_))) {
                return cannot("messages.content");
            }
            json.key("system");
            write_text_or_blocks(json, request, &system)?;
        }
        json.key("messages").try_array(|json| write_messages(json, request, messages))?;
        write_tools(json, request)?;
        write_thinking(json, &plan);
        write_output(json, request, plan.effort)?;
        if !counts_only {
            json.some("temperature", request.temperature.as_ref());
            json.some("top_p", request.top_p.as_ref());
            json.some("top_k", request.top_k.as_ref());
            if !request.stop.is_empty() {
                json.key("stop_sequences").array(|json| request.stop.iter().for_each(|text| json.string(text)));
            }
        }
        request.own.iter().for_each(|(field, value)| json.key(field).json(value));
        if request.wanted.stream && !counts_only {
            json.key("stream").boolean(true);
        }
        Ok(())
    })
}

fn write_tools(json: &mut Writer<'_>, request: &Request<'_>) -> Result<(), Refusal> {
    let native = is_native(request);
    if !request.tools.is_empty() {
        json.key("tools").try_array(|json| request.tools.iter().try_for_each(|tool| write_tool(json, tool, native)))?;
    }
    // A choice without tools is an error here, and says nothing elsewhere.
    let choice = match &request.tool_choice {
        _ if request.tools.is_empty() && !native => None,
        // Only where a choice is made is there a place for this wish.
        None if request.parallel_tool_calls == Some(false) => Some(&ToolChoice::Auto),
        choice => choice.as_ref(),
    };
    let Some(choice) = choice else { return Ok(()) };
    json.key("tool_choice").object(|json| {
        match choice {
            ToolChoice::Auto => json.constant("type", "auto"),
            ToolChoice::Required => json.constant("type", "any"),
            ToolChoice::None => json.constant("type", "none"),
            ToolChoice::Function(name) => {
                json.constant("type", "tool");
                json.member("name", name);
            }
        }
        let says_something = |parallel: &bool| native || !*parallel;
        if let Some(parallel) = request.parallel_tool_calls.filter(says_something)
            && !matches!(choice, ToolChoice::None)
        {
            json.key("disable_parallel_tool_use").boolean(!parallel);
        }
    });
    Ok(())
}

fn write_tool(json: &mut Writer<'_>, tool: &Tool<'_>, native: bool) -> Result<(), Refusal> {
    json.try_object(|json| {
        json.member("name", &tool.name);
        if let Some(description) = &tool.description {
            json.member("description", description);
        }
        let schema = tool.parameters.as_ref().unwrap_or(&Json::EMPTY_OBJECT);
        // Required here, and meant everywhere.
        json.key("input_schema").json(&schema.with("type", &Str::constant("object"))?);
        if let Some(strict) = tool.strict.filter(|strict| *strict || native) {
            json.key("strict").boolean(strict);
        }
        json.some("cache_control", tool.cache_control.as_ref());
        Ok(())
    })
}

fn write_thinking(json: &mut Writer<'_>, plan: &Plan) {
    let Some(thinking) = plan.thinking else { return };
    json.key("thinking").object(|json| {
        match thinking {
            Thinking::Adaptive => json.constant("type", "adaptive"),
            Thinking::Disabled => json.constant("type", "disabled"),
            Thinking::Enabled(budget) => {
                json.constant("type", "enabled");
                json.key("budget_tokens").number(budget);
            }
        }
        match plan.shown.filter(|_| thinking != Thinking::Disabled) {
            Some(true) => json.constant("display", "summarized"),
            Some(false) => json.constant("display", "omitted"),
            None => {}
        }
    });
}

fn write_output(json: &mut Writer<'_>, request: &Request<'_>, effort: Option<Effort>) -> Result<(), Refusal> {
    if matches!(request.format, Some(Format::JsonObject)) {
        return Err(Refusal::of_field("response_format", Api::Messages));
    }
    if effort.is_none() && request.format.is_none() {
        return Ok(());
    }
    json.key("output_config").try_object(|json| {
        if let Some(effort) = effort {
            json.constant("effort", word(effort));
        }
        if let Some(format @ Format::Schema { .. }) = &request.format {
            json.key("format").try_object(|json| {
                json.constant("type", "json_schema");
                // The name says nothing; what the answer is for belongs to the schema here.
                let schema = format.described()?;
                let closed = match &schema {
                    Some(schema) if !is_native(request) => Some(closed(schema)?),
                    _ => None,
                };
                json.some("schema", closed.as_ref().or(schema.as_ref()));
                Ok::<(), Refusal>(())
            })?;
        }
        Ok(())
    })
}
