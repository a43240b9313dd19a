//! A conversation, written as a request.

use lethe_content::ContentBuf;
use lethe_types::Api;

use super::request_read::ENCRYPTED_REASONING;
use crate::conversation::{
    Effort, Format, Message, Part, PartKind, Request, Role, Sending, Str, Thinking, ToolChoice, ToolResult,
};
use crate::refusal::Refusal;
use crate::write::Writer;

const API: Api = Api::Responses;

/// Fields of this API's own that can be written again as they were read, each where it stands.
const TOP_LEVEL: &[&str] = &[
    "context_management",
    "max_tool_calls",
    "moderation",
    "prompt_cache_options",
    "service_tier",
    "tool_choice",
    "top_logprobs",
    "truncation",
];
const NESTED: &[&str] = &["include", "reasoning.context", "reasoning.mode", "text.verbosity"];

/// Writes `request` for a server of this API.
///
/// # Errors
/// [`Refusal::Untranslatable`] names what this API cannot say.
pub fn write_request(request: &Request<'_>, to: &Sending<'_>, out: &mut ContentBuf) -> Result<(), Refusal> {
    write(request, to, out).map_err(|refusal| refusal.in_words_of(request.api))
}

fn write(request: &Request<'_>, to: &Sending<'_>, out: &mut ContentBuf) -> Result<(), Refusal> {
    request.refuse_own(API)?;
    if let Some((field, _)) = request.own.iter().find(|(field, _)| !TOP_LEVEL.contains(field) && !NESTED.contains(field)) {
        return Err(Refusal::Untranslatable { field, target: API });
    }
    refuse(request)?;
    let own = |name: &str| request.own.iter().find(|(field, _)| *field == name).map(|(_, json)| json);
    Writer::new(out).try_object(|json| {
        json.key("model").plain(to.model);
        let (instructions, messages) = instructions(&request.messages);
        if let Some(instructions) = instructions {
            json.member("instructions", instructions);
        }
        json.key("input").try_array(|json| messages.iter().try_for_each(|message| self::message(json, request.api, message)))?;
        tools(json, request);
        if let Some(max) = request.max_tokens {
            json.key("max_output_tokens").number(max);
        }
        json.some("temperature", request.temperature.as_ref());
        json.some("top_p", request.top_p.as_ref());
        json.some("frequency_penalty", request.frequency_penalty.as_ref());
        json.some("presence_penalty", request.presence_penalty.as_ref());
        text(json, request);
        reasoning(json, request);
        match own("include") {
            Some(include) => json.key("include").json(include),
            None if wants_encrypted(request) => json.key("include").array(|json| json.strings(&[ENCRYPTED_REASONING])),
            None => {}
        }
        TOP_LEVEL.iter().for_each(|field| json.some(field, own(field)));
        json.key("store").boolean(false);
        if request.wanted.stream {
            json.key("stream").boolean(true);
        }
        Ok(())
    })
}

/// Reasoning that can be sent back is of no use to a client of this API that did not ask for it. Clients of others have no way to ask: for
/// them it is asked where they ask for reasoning at all, since models without it answer the wish with an error.
fn wants_encrypted(request: &Request<'_>) -> bool {
    match request.api {
        Api::Responses => request.wanted.encrypted_reasoning,
        _ => request
            .reasoning
            .is_some_and(|wish| wish.effort.is_none_or(|effort| effort != Effort::None) && wish.budget_tokens != Some(0)),
    }
}

/// Refuses what this API has no field for.
fn refuse(request: &Request<'_>) -> Result<(), Refusal> {
    let penalties = request.api != API;
    for (field, is_there) in [
        ("top_k", request.top_k.is_some()),
        ("seed", request.seed.is_some()),
        ("stop", !request.stop.is_empty()),
        ("frequency_penalty", penalties && request.frequency_penalty.is_some()),
        ("presence_penalty", penalties && request.presence_penalty.is_some()),
        ("messages.name", request.messages.iter().any(|message| message.name.is_some())),
    ] {
        if is_there {
            return Err(Refusal::of_field(field, API));
        }
    }
    Ok(())
}

/// Instructions that stand first and are text alone have a field of their own.
fn instructions<'m, 'a>(messages: &'m [Message<'a>]) -> (Option<&'m Str<'a>>, &'m [Message<'a>]) {
    match messages {
        [Message { role: Role::System, parts, .. }, rest @ ..] => match parts.as_slice() {
            [Part { kind: PartKind::Text(text), .. }] => (Some(text), rest),
            _ => (None, messages),
        },
        _ => (None, messages),
    }
}

/// Writes a message as items: its text and media as one or more messages, each call, result and thought as an item of its own.
fn message(json: &mut Writer<'_>, api: Api, message: &Message<'_>) -> Result<(), Refusal> {
    let role = match message.role {
        Role::Assistant => "assistant",
        Role::System => "system",
        Role::User => "user",
    };
    let is_content =
        |part: &Part<'_>| !matches!(part.kind, PartKind::Reasoning(_) | PartKind::ToolCall(_) | PartKind::ToolResult(_));
    // A message without any part is still one.
    let mut rest = message.parts.as_slice();
    loop {
        let count = rest.iter().take_while(|part| is_content(part)).count();
        let (said, others) = rest.split_at(count);
        if !said.is_empty() || message.parts.is_empty() {
            json.try_object(|json| {
                json.constant("type", "message");
                json.constant("role", role);
                json.key("content").try_array(|json| said.iter().try_for_each(|part| content(json, message.role, part)))
            })?;
        }
        let Some((item, after)) = others.split_first() else { return Ok(()) };
        match &item.kind {
            PartKind::Reasoning(thinking) => reasoning_item(json, api, thinking),
            PartKind::ToolCall(call) => json.object(|json| {
                json.constant("type", "function_call");
                json.member("call_id", &call.id);
                json.member("name", &call.name);
                let arguments = call.arguments.text();
                json.key("arguments").strings(&[if arguments.is_empty() { "{}" } else { arguments.raw() }]);
            }),
            PartKind::ToolResult(result) => tool_result(json, result)?,
            _ => {}
        }
        rest = after;
        if rest.is_empty() {
            return Ok(());
        }
    }
}

fn content(json: &mut Writer<'_>, role: Role, part: &Part<'_>) -> Result<(), Refusal> {
    let is_answer = role == Role::Assistant;
    match &part.kind {
        PartKind::Text(text) => json.object(|json| {
            json.constant("type", if is_answer { "output_text" } else { "input_text" });
            json.member("text", text);
        }),
        PartKind::Refusal(text) => json.object(|json| {
            json.constant("type", "refusal");
            json.member("refusal", text);
        }),
        PartKind::Image(image) if !is_answer => json.object(|json| {
            json.constant("type", "input_image");
            json.data_url("image_url", &image.media_type, &image.data);
            if let Some(detail) = &image.detail {
                json.member("detail", detail);
            }
        }),
        PartKind::Document(document) if !is_answer => json.object(|json| {
            json.constant("type", "input_file");
            json.member("filename", &document.file_name());
            json.data_url("file_data", &document.media_type, &document.data);
        }),
        PartKind::Audio(_) => return Err(Refusal::of_field("messages.content.input_audio", API)),
        _ => return Err(Refusal::of_field("messages.content", API)),
    }
    Ok(())
}

/// Thoughts of an earlier turn. A server that stores nothing takes them only encrypted, as it gave them; another's, or a text without a
/// proof, it refuses, and goes on well without.
fn reasoning_item(json: &mut Writer<'_>, api: Api, thinking: &Thinking<'_>) {
    if thinking.signature.is_none() && api != API {
        return;
    }
    json.object(|json| {
        json.constant("type", "reasoning");
        // The proof is over the id too: a wrong one is worse than none.
        if let Some(id) = &thinking.id {
            json.member("id", id);
        }
        json.key("summary").array(|json| {
            if let Some(text) = &thinking.text {
                json.object(|json| {
                    json.constant("type", "summary_text");
                    json.member("text", text);
                });
            }
        });
        if let Some(signature) = &thinking.signature {
            json.member("encrypted_content", signature);
        }
    });
}

/// That a function failed has no field here: it is said in words.
fn tool_result(json: &mut Writer<'_>, result: &ToolResult<'_>) -> Result<(), Refusal> {
    json.try_object(|json| {
        json.constant("type", "function_call_output");
        json.member("call_id", &result.id);
        json.key("output");
        let failed = if result.is_error { "Error: " } else { "" };
        match result.content.as_slice() {
            [] => json.strings(&[failed]),
            [Part { kind: PartKind::Text(text), .. }] => json.strings(&[failed, text.raw()]),
            parts => json.try_array(|json| {
                if result.is_error {
                    content(json, Role::User, &PartKind::Text(Str::constant("Error:")).into())?;
                }
                parts.iter().try_for_each(|part| content(json, Role::User, part))
            })?,
        }
        Ok(())
    })
}

fn tools(json: &mut Writer<'_>, request: &Request<'_>) {
    if !request.tools.is_empty() {
        json.key("tools").array(|json| {
            for tool in &request.tools {
                json.object(|json| {
                    json.constant("type", "function");
                    json.member("name", &tool.name);
                    if let Some(description) = &tool.description {
                        json.member("description", description);
                    }
                    json.some("parameters", tool.parameters.as_ref());
                    match tool.strict {
                        Some(strict) => json.key("strict").boolean(strict),
                        // Here a schema is followed exactly unless it is said otherwise; in every other format the reverse holds.
                        None if request.api != API => json.key("strict").boolean(false),
                        None => {}
                    }
                });
            }
        });
    }
    match &request.tool_choice {
        None => {}
        Some(ToolChoice::Auto) => json.constant("tool_choice", "auto"),
        Some(ToolChoice::None) => json.constant("tool_choice", "none"),
        Some(ToolChoice::Required) => json.constant("tool_choice", "required"),
        Some(ToolChoice::Function(name)) => json.key("tool_choice").object(|json| {
            json.constant("type", "function");
            json.member("name", name);
        }),
    }
    if let Some(parallel) = request.parallel_tool_calls {
        json.key("parallel_tool_calls").boolean(parallel);
    }
}

fn text(json: &mut Writer<'_>, request: &Request<'_>) {
    let verbosity = request.own.iter().find(|(field, _)| *field == "text.verbosity").map(|(_, json)| json);
    if request.format.is_none() && verbosity.is_none() {
        return;
    }
    json.key("text").object(|json| {
        match &request.format {
            None => {}
            Some(Format::JsonObject) => json.key("format").object(|json| json.constant("type", "json_object")),
            Some(Format::Schema { name, description, schema, strict }) => json.key("format").object(|json| {
                json.constant("type", "json_schema");
                // A schema must have a name here, and has none in some other formats.
                json.key("name").strings(&[name.as_ref().map_or("answer", Str::raw)]);
                if let Some(description) = description {
                    json.member("description", description);
                }
                json.key("schema").json(schema);
                if let Some(strict) = strict {
                    json.key("strict").boolean(*strict);
                }
            }),
        }
        json.some("verbosity", verbosity);
    });
}

fn reasoning(json: &mut Writer<'_>, request: &Request<'_>) {
    let own = |name: &str| request.own.iter().find(|(field, _)| *field == name).map(|(_, json)| json);
    let (context, mode) = (own("reasoning.context"), own("reasoning.mode"));
    let wish = request.reasoning.unwrap_or_default();
    let effort = wish.effort.or_else(|| wish.budget_tokens.map(Effort::of_budget));
    let summary = wish.shown == Some(true);
    if effort.is_none() && !summary && context.is_none() && mode.is_none() {
        return;
    }
    json.key("reasoning").object(|json| {
        if let Some(effort) = effort {
            json.constant("effort", effort.name());
        }
        if summary {
            json.constant("summary", "auto");
        }
        json.some("context", context);
        json.some("mode", mode);
    });
}
