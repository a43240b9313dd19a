//! A request of the Converse API (<https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html>), written from the common form. The model and whether
//! to stream are in the path.

use lethe_content::ContentBuf;
use lethe_types::Api;
use lethe_wire::conversation::{Format, Json, Message, PartKind, Request, Role, Sending, Str, Tool, ToolChoice};
use lethe_wire::refusal::Refusal;
use lethe_wire::write::Writer;

use super::cache::Points;
use super::content::{Names, write_part};
use super::family::Family;

const TARGET: Api = Api::Converse;

/// Writes a request. Wishes to cache become cache points where the model takes them; where caching is off, the caller has taken them out.
///
/// # Errors
/// [`Refusal::Untranslatable`] for what this format cannot express; `out` then holds half a text.
pub fn write_request(request: &Request<'_>, to: &Sending<'_>, out: &mut ContentBuf) -> Result<(), Refusal> {
    write(request, to, out).map_err(|refusal| refusal.in_words_of(request.api))
}

fn write(request: &Request<'_>, to: &Sending<'_>, out: &mut ContentBuf) -> Result<(), Refusal> {
    request.refuse_own(TARGET)?;
    let (family, points) = (Family::of(to.model), Points::of(to.model));
    for (given, field) in [
        (request.frequency_penalty.is_some(), "frequency_penalty"),
        (request.presence_penalty.is_some(), "presence_penalty"),
        (request.seed.is_some(), "seed"),
        (matches!(request.format, Some(Format::JsonObject)), "response_format"),
        (request.messages.iter().any(|message| message.name.is_some()), "messages.name"),
        (has_instructions_inside(request), "messages.role"),
    ] {
        if given {
            return Err(Refusal::of_field(field, TARGET));
        }
    }
    Writer::new(out).try_object(|json| {
        write_messages(json, request, points)?;
        write_limits(json, request);
        write_tools(json, request, points)?;
        family.write_own(json, request)?;
        write_output(json, request, family);
        Ok(())
    })
}

/// Instructions that stand behind what somebody said: there is one place for them here, before everything.
fn has_instructions_inside(request: &Request<'_>) -> bool {
    let mut said = request.messages.iter().skip_while(|message| message.role == Role::System);
    said.any(|message| message.role == Role::System)
}

fn write_messages(json: &mut Writer<'_>, request: &Request<'_>, points: Points) -> Result<(), Refusal> {
    let mut names = Names::default();
    let said = || request.messages.iter().filter(|message| message.role != Role::System);
    json.key("messages").try_array(|json| {
        let mut rest = said().peekable();
        while let Some(first) = rest.next() {
            // Roles take turns here: what one says in several messages is one.
            let mut turn: Vec<&Message<'_>> = vec![first];
            while let Some(next) = rest.next_if(|message| message.role == first.role) {
                turn.push(next);
            }
            json.try_object(|json| {
                json.constant("role", if first.role == Role::Assistant { "assistant" } else { "user" });
                json.key("content").try_array(|json| {
                    let mut parts = turn.iter().flat_map(|message| &message.parts);
                    parts.try_for_each(|part| {
                        write_part(json, part, &mut names)?;
                        points.write_behind(json, part);
                        Ok::<(), Refusal>(())
                    })
                })
            })?;
        }
        Ok::<(), Refusal>(())
    })?;
    let mut instructions = Vec::new();
    for part in request.messages.iter().filter(|message| message.role == Role::System).flat_map(|message| &message.parts) {
        match &part.kind {
            PartKind::Text(text) if text.is_empty() => {}
            PartKind::Text(text) => instructions.push((text, part)),
            _ => return Err(Refusal::of_field("messages.content", TARGET)),
        }
    }
    if !instructions.is_empty() {
        json.key("system").array(|json| {
            for (text, part) in instructions {
                json.object(|json| json.member("text", text));
                points.write_behind(json, part);
            }
        });
    }
    Ok(())
}

fn write_limits(json: &mut Writer<'_>, request: &Request<'_>) {
    let Request { max_tokens, temperature, top_p, stop, .. } = request;
    if max_tokens.is_none() && temperature.is_none() && top_p.is_none() && stop.is_empty() {
        return;
    }
    json.key("inferenceConfig").object(|json| {
        if let Some(limit) = max_tokens {
            json.key("maxTokens").number(*limit);
        }
        json.some("temperature", temperature.as_ref());
        json.some("topP", top_p.as_ref());
        if !stop.is_empty() {
            json.key("stopSequences").array(|json| stop.iter().for_each(|text| json.string(text)));
        }
    });
}

fn write_tools(json: &mut Writer<'_>, request: &Request<'_>, points: Points) -> Result<(), Refusal> {
    if request.tools.is_empty() {
        return Ok(());
    }
    if matches!(request.tool_choice, Some(ToolChoice::None)) {
        // There is no word for it, and calls that were made before cannot stand there without their tools.
        let called = |kind: &PartKind<'_>| matches!(kind, PartKind::ToolCall(_) | PartKind::ToolResult(_));
        let needed = request.messages.iter().flat_map(|message| &message.parts).any(|part| called(&part.kind));
        return if needed { Err(Refusal::of_field("tool_choice", TARGET)) } else { Ok(()) };
    }
    json.key("toolConfig").object(|json| {
        json.key("tools").array(|json| {
            for tool in &request.tools {
                write_tool(json, tool);
                points.write_behind_tool(json, tool.cache_control.is_some());
            }
        });
        match &request.tool_choice {
            None | Some(ToolChoice::None) => {}
            Some(ToolChoice::Auto) => json.key("toolChoice").object(|json| json.key("auto").object(|_| {})),
            Some(ToolChoice::Required) => json.key("toolChoice").object(|json| json.key("any").object(|_| {})),
            Some(ToolChoice::Function(name)) => json.key("toolChoice").object(|json| {
                json.key("tool").object(|json| json.member("name", name));
            }),
        }
    });
    Ok(())
}

fn write_tool(json: &mut Writer<'_>, tool: &Tool<'_>) {
    json.object(|json| {
        json.key("toolSpec").object(|json| {
            json.member("name", &tool.name);
            if let Some(description) = tool.description.as_ref().filter(|text| !text.is_empty()) {
                json.member("description", description);
            }
            json.key("inputSchema").object(|json| match &tool.parameters {
                Some(schema) => json.key("json").json(schema),
                None => json.key("json").object(|json| json.constant("type", "object")),
            });
            if tool.strict == Some(true) {
                json.key("strict").boolean(true);
            }
        });
    });
}

fn write_output(json: &mut Writer<'_>, request: &Request<'_>, family: Family) {
    let effort = family.output_effort(request);
    let format = request.format.as_ref();
    if effort.is_none() && format.is_none() {
        return;
    }
    json.key("outputConfig").object(|json| {
        if let Some(Format::Schema { name, description, schema, .. }) = format {
            json.key("textFormat").object(|json| {
                json.constant("type", "json_schema");
                json.key("structure").object(|json| {
                    json.key("jsonSchema").object(|json| write_schema(json, schema, name.as_ref(), description.as_ref()));
                });
            });
        }
        if let Some(effort) = effort {
            json.constant("effort", effort);
        }
    });
}

/// The schema is a string here.
fn write_schema(json: &mut Writer<'_>, schema: &Json<'_>, name: Option<&Str<'_>>, description: Option<&Str<'_>>) {
    json.key("schema").plain(schema.raw());
    if let Some(name) = name {
        json.member("name", name);
    }
    if let Some(description) = description {
        json.member("description", description);
    }
}
