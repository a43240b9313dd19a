//! A chat request (<https://docs.cohere.com/reference/chat>), written from the common form.

use lethe_content::ContentBuf;
use lethe_types::Api;
use lethe_wire::conversation::{
    Effort, Json, Message, Part, PartKind, RESULT, Reasoning, Request, Role, Sending, Str, Tool, ToolChoice,
};
use lethe_wire::openai::write_result;
use lethe_wire::refusal::Refusal;
use lethe_wire::write::Writer;

use crate::function::write_function;

const TARGET: Api = Api::CohereChat;

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
    Writer::new(out).try_object(|json| {
        json.key("model").plain(to.model);
        json.key("messages").try_array(|json| request.messages.iter().try_for_each(|message| write_message(json, message)))?;
        write_tools(json, request)?;
        match &request.format {
            None => {}
            // The schema's name is for the client, and it is followed strictly anyway.
            Some(format) => json.key("response_format").try_object(|json| {
                json.constant("type", "json_object");
                json.some("json_schema", format.described()?.as_ref());
                Ok::<(), Refusal>(())
            })?,
        }
        if let Some(limit) = request.max_tokens {
            json.key("max_tokens").number(limit);
        }
        if !request.stop.is_empty() {
            json.key("stop_sequences").array(|json| request.stop.iter().for_each(|text| json.string(text)));
        }
        json.some("temperature", request.temperature.as_ref());
        json.some("seed", request.seed.as_ref());
        json.some("frequency_penalty", request.frequency_penalty.as_ref());
        json.some("presence_penalty", request.presence_penalty.as_ref());
        json.some("k", request.top_k.as_ref());
        json.some("p", request.top_p.as_ref());
        if let Some(reasoning) = request.reasoning {
            json.key("thinking").object(|json| write_thinking(json, reasoning));
        }
        if request.wanted.stream {
            json.key("stream").boolean(true);
        }
        Ok(())
    })
}

/// <https://docs.cohere.com/docs/reasoning>
fn write_thinking(json: &mut Writer<'_>, reasoning: Reasoning) {
    match reasoning.budget_tokens.or_else(|| reasoning.effort.map(Effort::budget_tokens)) {
        Some(0) => json.constant("type", "disabled"),
        Some(tokens) if !reasoning.adaptive || reasoning.effort.is_some() => {
            json.constant("type", "enabled");
            json.key("token_budget").number(tokens);
        }
        _ => json.constant("type", "enabled"),
    }
}

fn write_tools(json: &mut Writer<'_>, request: &Request<'_>) -> Result<(), Refusal> {
    if !request.tools.is_empty() {
        json.key("tools").array(|json| request.tools.iter().for_each(|tool| write_function(json, tool)));
    }
    if !request.tools.is_empty() && request.tools.iter().all(can_be_strict) {
        json.key("strict_tools").boolean(true);
    }
    match &request.tool_choice {
        None | Some(ToolChoice::Auto) => {}
        Some(ToolChoice::None) => json.constant("tool_choice", "NONE"),
        Some(ToolChoice::Required) => json.constant("tool_choice", "REQUIRED"),
        // Of one, one must be called.
        Some(ToolChoice::Function(name)) if matches!(request.tools.as_slice(), [only] if only.name.plain() == name.plain()) => {
            json.constant("tool_choice", "REQUIRED");
        }
        Some(ToolChoice::Function(_)) => return Err(cannot("tool_choice")),
    }
    Ok(())
}

/// Whether the function is to be called strictly, and can be: all are or none is, and one without a required argument is refused then
/// (<https://docs.cohere.com/docs/tool-use-parameter-types>).
fn can_be_strict(tool: &Tool<'_>) -> bool {
    let requires = |schema: &Json<'_>| {
        let mut requires = false;
        let read = schema.cursor().and_then(|mut schema| {
            schema.object(|key, _, value| {
                let is_required = key.is("required");
                let span = value.skip()?;
                requires |= is_required && value.text(span).contains('"');
                Ok(())
            })
        });
        read.is_ok() && requires
    };
    tool.strict == Some(true) && tool.parameters.as_ref().is_some_and(requires)
}

fn write_message(json: &mut Writer<'_>, message: &Message<'_>) -> Result<(), Refusal> {
    if message.name.is_some() {
        return Err(cannot("messages.name"));
    }
    match message.role {
        Role::Assistant => write_assistant(json, &message.parts),
        Role::System => write_said(json, "system", message.parts.iter()),
        Role::User => {
            // Results are messages of their own here, and stand directly behind their calls.
            let is_result = |part: &&Part<'_>| matches!(part.kind, PartKind::ToolResult(_));
            for part in message.parts.iter().filter(is_result) {
                if let PartKind::ToolResult(result) = &part.kind {
                    write_result(json, result, TARGET)?;
                }
            }
            let rest = message.parts.iter().filter(|part| !is_result(part));
            if rest.clone().next().is_none() && !message.parts.is_empty() {
                return Ok(());
            }
            write_said(json, "user", rest)
        }
    }
}

fn write_said<'m>(
    json: &mut Writer<'_>,
    role: &'static str,
    parts: impl Iterator<Item = &'m Part<'m>> + Clone,
) -> Result<(), Refusal> {
    json.try_object(|json| {
        json.constant("role", role);
        let mut some = parts.clone();
        match (some.next().map(|part| &part.kind), some.next()) {
            (None, _) => json.constant("content", ""),
            (Some(PartKind::Text(text)), None) => json.member("content", text),
            _ => json.key("content").try_array(|json| parts.clone().try_for_each(|part| write_part(json, part)))?,
        }
        Ok(())
    })
}

fn write_part(json: &mut Writer<'_>, part: &Part<'_>) -> Result<(), Refusal> {
    match &part.kind {
        PartKind::Text(text) => json.object(|json| {
            json.constant("type", "text");
            json.member("text", text);
        }),
        PartKind::Image(image) => {
            if image.detail.as_ref().is_some_and(|detail| !matches!(detail.raw(), "high" | "low")) {
                return Err(cannot("messages.content.image_url.detail"));
            }
            json.object(|json| {
                json.constant("type", "image_url");
                json.key("image_url").object(|json| {
                    json.data_url("url", &image.media_type, &image.data);
                    if let Some(detail) = &image.detail {
                        json.member("detail", detail);
                    }
                });
            });
        }
        PartKind::Audio(_) => return Err(cannot("messages.content.input_audio")),
        PartKind::Document(_) => return Err(cannot("messages.content.file")),
        PartKind::Reasoning(_) | PartKind::Refusal(_) | PartKind::ToolCall(_) => {
            return Err(cannot("messages.content"));
        }
        PartKind::ToolResult(_) => return Err(cannot(RESULT)),
    }
    Ok(())
}

fn write_assistant(json: &mut Writer<'_>, parts: &[Part<'_>]) -> Result<(), Refusal> {
    let calls = parts.iter().filter_map(|part| if let PartKind::ToolCall(call) = &part.kind { Some(call) } else { None });
    let says = |part: &Part<'_>| match &part.kind {
        PartKind::Refusal(_) | PartKind::Text(_) => true,
        PartKind::Reasoning(thought) => thought.text.is_some(),
        _ => false,
    };
    json.try_object(|json| {
        json.constant("role", "assistant");
        if parts.iter().any(says) {
            json.key("content").array(|json| {
                for part in parts {
                    match &part.kind {
                        PartKind::Refusal(text) | PartKind::Text(text) => typed(json, "text", text),
                        // Cohere's thoughts are in the open; others' encrypted ones say nothing here.
                        PartKind::Reasoning(thought) => {
                            if let Some(text) = &thought.text {
                                typed(json, "thinking", text);
                            }
                        }
                        _ => {}
                    }
                }
            });
        } else if calls.clone().next().is_none() {
            json.constant("content", "");
        }
        if parts.iter().any(|part| matches!(part.kind, PartKind::Audio(_) | PartKind::Document(_) | PartKind::Image(_))) {
            return Err(cannot("messages.content"));
        }
        if calls.clone().next().is_some() {
            json.key("tool_calls").array(|json| {
                for call in calls {
                    json.object(|json| {
                        json.member("id", &call.id);
                        json.constant("type", "function");
                        json.key("function").object(|json| {
                            json.member("name", &call.name);
                            json.member("arguments", &call.arguments.text());
                        });
                    });
                }
            });
        }
        Ok(())
    })
}

/// `{"type":KIND,KIND:text}`
fn typed(json: &mut Writer<'_>, kind: &'static str, text: &Str<'_>) {
    json.object(|json| {
        json.constant("type", kind);
        json.member(kind, text);
    });
}
