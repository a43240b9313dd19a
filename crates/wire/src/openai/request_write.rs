//! A chat completion request, written from the common form.

use lethe_content::ContentBuf;
use lethe_types::Api;

use super::thoughts::write_details;
use crate::conversation::{
    Arguments, Effort, Format, Message, Part, PartKind, RESULT, Request, Role, Sending, Str, Tool, ToolCall, ToolChoice,
    ToolResult,
};
use crate::refusal::Refusal;
use crate::write::Writer;

/// Writes a request as a chat completion request.
///
/// # Errors
/// [`Refusal::Untranslatable`] for what this format cannot express; `out` then holds half a text.
pub fn write_request(request: &Request<'_>, to: &Sending<'_>, out: &mut ContentBuf) -> Result<(), Refusal> {
    write(request, to, out).map_err(|refusal| refusal.in_words_of(request.api))
}

fn write(request: &Request<'_>, to: &Sending<'_>, out: &mut ContentBuf) -> Result<(), Refusal> {
    request.refuse_own(Api::Chat)?;
    Writer::new(out).try_object(|json| {
        json.key("model").plain(to.model);
        json.key("messages").try_array(|json| request.messages.iter().try_for_each(|message| write_message(json, message)))?;
        if !request.tools.is_empty() {
            json.key("tools").array(|json| request.tools.iter().for_each(|tool| write_tool(json, tool)));
        }
        match &request.tool_choice {
            None => {}
            Some(ToolChoice::Auto) => json.constant("tool_choice", "auto"),
            Some(ToolChoice::None) => json.constant("tool_choice", "none"),
            Some(ToolChoice::Required) => json.constant("tool_choice", "required"),
            Some(ToolChoice::Function(name)) => json.key("tool_choice").object(|json| {
                json.constant("type", "function");
                json.key("function").object(|json| json.member("name", name));
            }),
        }
        if let Some(parallel) = request.parallel_tool_calls {
            json.key("parallel_tool_calls").boolean(parallel);
        }
        if let Some(format) = &request.format {
            json.key("response_format").object(|json| write_format(json, format));
        }
        if let Some(limit) = request.max_tokens {
            json.key("max_completion_tokens").number(limit);
        }
        json.some("temperature", request.temperature.as_ref());
        json.some("top_p", request.top_p.as_ref());
        json.some("top_k", request.top_k.as_ref());
        json.some("frequency_penalty", request.frequency_penalty.as_ref());
        json.some("presence_penalty", request.presence_penalty.as_ref());
        json.some("seed", request.seed.as_ref());
        match request.stop.as_slice() {
            [] => {}
            [one] => json.member("stop", one),
            several => json.key("stop").array(|json| several.iter().for_each(|text| json.string(text))),
        }
        if let Some(effort) = request.reasoning.and_then(|reasoning| {
            let of_budget = || reasoning.budget_tokens.map(Effort::of_budget);
            reasoning.effort.or_else(of_budget)
        }) {
            json.constant("reasoning_effort", effort.name());
        }
        request.own.iter().for_each(|(field, value)| json.key(field).json(value));
        if request.wanted.stream {
            json.key("stream").boolean(true);
            if request.wanted.usage {
                json.key("stream_options").object(|json| json.key("include_usage").boolean(true));
            }
        }
        Ok(())
    })
}

fn write_tool(json: &mut Writer<'_>, tool: &Tool<'_>) {
    json.object(|json| {
        json.constant("type", "function");
        json.key("function").object(|json| {
            json.member("name", &tool.name);
            if let Some(description) = &tool.description {
                json.member("description", description);
            }
            json.some("parameters", tool.parameters.as_ref());
            if let Some(strict) = tool.strict {
                json.key("strict").boolean(strict);
            }
        });
    });
}

fn write_format(json: &mut Writer<'_>, format: &Format<'_>) {
    match format {
        Format::JsonObject => json.constant("type", "json_object"),
        Format::Schema { name, description, schema, strict } => {
            json.constant("type", "json_schema");
            json.key("json_schema").object(|json| {
                // The name is required here, and says nothing.
                json.member("name", name.as_ref().unwrap_or(&Str::constant("answer")));
                if let Some(description) = description {
                    json.member("description", description);
                }
                json.key("schema").json(schema);
                if let Some(strict) = strict {
                    json.key("strict").boolean(*strict);
                }
            });
        }
    }
}

fn write_message(json: &mut Writer<'_>, message: &Message<'_>) -> Result<(), Refusal> {
    match message.role {
        Role::Assistant => write_assistant(json, message),
        Role::System => write_said(json, "system", message, message.parts.iter()),
        Role::User => {
            // Results are messages of their own here, and stand directly behind their calls.
            let is_result = |part: &&Part<'_>| matches!(part.kind, PartKind::ToolResult(_));
            for part in message.parts.iter().filter(is_result) {
                if let PartKind::ToolResult(result) = &part.kind {
                    write_result(json, result, Api::Chat)?;
                }
            }
            let rest = message.parts.iter().filter(|part| !is_result(part));
            if rest.clone().next().is_none() && !message.parts.is_empty() {
                return Ok(());
            }
            write_said(json, "user", message, rest)
        }
    }
}

fn write_said<'m>(
    json: &mut Writer<'_>,
    role: &'static str,
    message: &Message<'_>,
    parts: impl Iterator<Item = &'m Part<'m>> + Clone,
) -> Result<(), Refusal> {
    json.try_object(|json| {
        json.constant("role", role);
        if let Some(name) = &message.name {
            json.member("name", name);
        }
        write_content(json, parts)
    })
}

/// A single text as a string, everything else as an array of parts.
fn write_content<'m>(json: &mut Writer<'_>, parts: impl Iterator<Item = &'m Part<'m>> + Clone) -> Result<(), Refusal> {
    let mut some = parts.clone();
    match (some.next().map(|part| &part.kind), some.next()) {
        (None, _) => json.constant("content", ""),
        (Some(PartKind::Text(text)), None) => json.member("content", text),
        _ => json.key("content").try_array(|json| parts.clone().try_for_each(|part| write_part(json, part)))?,
    }
    Ok(())
}

fn write_part(json: &mut Writer<'_>, part: &Part<'_>) -> Result<(), Refusal> {
    let cannot = |field| Err(Refusal::Untranslatable { field, target: Api::Chat });
    match &part.kind {
        PartKind::Text(text) => json.object(|json| {
            json.constant("type", "text");
            json.member("text", text);
        }),
        PartKind::Refusal(text) => json.object(|json| {
            json.constant("type", "refusal");
            json.member("refusal", text);
        }),
        PartKind::Image(image) => json.object(|json| {
            json.constant("type", "image_url");
            json.key("image_url").object(|json| {
                json.data_url("url", &image.media_type, &image.data);
                if let Some(detail) = &image.detail {
                    json.member("detail", detail);
                }
            });
        }),
        PartKind::Audio(audio) => {
            let format = match audio.media_type.plain().as_ref() {
                "audio/mpeg" | "audio/mp3" => "mp3",
                "audio/wav" | "audio/x-wav" | "audio/wave" => "wav",
                _ => return cannot("messages.content.input_audio"),
            };
            json.object(|json| {
                json.constant("type", "input_audio");
                json.key("input_audio").object(|json| {
                    json.member("data", &audio.data);
                    json.constant("format", format);
                });
            });
        }
        PartKind::Document(document) => json.object(|json| {
            json.constant("type", "file");
            json.key("file").object(|json| {
                json.member("filename", &document.file_name());
                json.data_url("file_data", &document.media_type, &document.data);
            });
        }),
        PartKind::Reasoning(_) | PartKind::ToolCall(_) => return cannot("messages.content"),
        PartKind::ToolResult(_) => return cannot(RESULT),
    }
    Ok(())
}

fn write_assistant(json: &mut Writer<'_>, message: &Message<'_>) -> Result<(), Refusal> {
    let parts = message.parts.as_slice();
    let said = parts.iter().filter(|part| !matches!(part.kind, PartKind::Reasoning(_) | PartKind::ToolCall(_)));
    let refusal = match parts {
        [Part { kind: PartKind::Refusal(text), .. }] => Some(text),
        _ => None,
    };
    let calls = parts.iter().filter_map(|part| if let PartKind::ToolCall(call) = &part.kind { Some(call) } else { None });
    json.try_object(|json| {
        json.constant("role", "assistant");
        if let Some(name) = &message.name {
            json.member("name", name);
        }
        match refusal {
            Some(text) => {
                json.key("content").null();
                json.member("refusal", text);
            }
            None if said.clone().next().is_none() => json.key("content").null(),
            None => write_content(json, said)?,
        }
        write_thoughts(json, parts);
        if calls.clone().next().is_some() {
            json.key("tool_calls").array(|json| calls.for_each(|call| write_call(json, call)));
        }
        Ok(())
    })
}

/// Thoughts go back in the field that servers which reason in the open read, and with their signature where they have one.
fn write_thoughts(json: &mut Writer<'_>, parts: &[Part<'_>]) {
    let thoughts =
        || parts.iter().filter_map(|part| if let PartKind::Reasoning(thought) = &part.kind { Some(thought) } else { None });
    let texts: Vec<&str> = thoughts().filter_map(|thought| thought.text.as_ref().map(Str::raw)).collect();
    if !texts.is_empty() {
        json.key("reasoning_content").strings(&texts);
    }
    if thoughts().any(|thought| thought.signature.is_some()) {
        json.key("reasoning_details").array(|json| {
            for (thought, index) in thoughts().zip(0..) {
                write_details(json, thought, index);
            }
        });
    }
}

pub(super) fn write_call(json: &mut Writer<'_>, call: &ToolCall<'_>) {
    json.object(|json| {
        json.member("id", &call.id);
        json.constant("type", "function");
        json.key("function").object(|json| {
            json.member("name", &call.name);
            match &call.arguments {
                Arguments::Text(text) => json.member("arguments", text),
                object @ Arguments::Object(_) => json.member("arguments", &object.text()),
            }
        });
        if let Some(signature) = &call.signature {
            json.key("extra_content").object(|json| {
                json.key("google").object(|json| json.member("thought_signature", signature));
            });
        }
    });
}

/// A result as a message of its own, for formats that have it from here: `target` is the one that is written.
///
/// # Errors
/// [`Refusal::Untranslatable`] for media in it.
pub fn write_result(json: &mut Writer<'_>, result: &ToolResult<'_>, target: Api) -> Result<(), Refusal> {
    let texts: Option<Vec<&Str<'_>>> =
        result.content.iter().map(|part| if let PartKind::Text(text) = &part.kind { Some(text) } else { None }).collect();
    let Some(texts) = texts else {
        return Err(Refusal::of_field(RESULT, target));
    };
    json.object(|json| {
        json.constant("role", "tool");
        json.member("tool_call_id", &result.id);
        // There is no place here that says that a function failed, so its text does.
        let failed = if result.is_error { "Error: " } else { "" };
        match texts.as_slice() {
            [] => json.key("content").strings(&[failed]),
            [one] => json.key("content").strings(&[failed, one.raw()]),
            several => json.key("content").array(|json| {
                for (at, text) in several.iter().enumerate() {
                    json.object(|json| {
                        json.constant("type", "text");
                        json.key("text").strings(&[if at == 0 { failed } else { "" }, text.raw()]);
                    });
                }
            }),
        }
    });
    Ok(())
}
