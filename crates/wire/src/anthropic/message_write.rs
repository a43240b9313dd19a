//! Messages and their blocks, written from the common form.

use lethe_types::Api;

use super::marks;
use super::request_write::is_native;
use crate::conversation::{Document, Image, Message, Part, PartKind, RESULT, Request, Role, Str, Thinking, ToolResult};
use crate::media::{self, media_type};
use crate::refusal::Refusal;
use crate::write::Writer;

/// Pictures that the API reads (<https://docs.anthropic.com/en/docs/build-with-claude/vision>).
const IMAGES: [&str; 4] = ["image/gif", "image/jpeg", "image/png", "image/webp"];

const fn cannot<T>(field: &'static str) -> Result<T, Refusal> {
    Err(Refusal::Untranslatable { field, target: Api::Messages })
}

/// The parts of several messages that say something to this API.
pub(super) fn parts<'m, 'a>(messages: &'m [Message<'a>]) -> Vec<&'m Part<'a>> {
    messages.iter().flat_map(|message| &message.parts).filter(|part| says_something(part)).collect()
}

fn says_something(part: &Part<'_>) -> bool {
    match &part.kind {
        // Empty blocks are refused.
        PartKind::Refusal(text) | PartKind::Text(text) => !text.is_empty(),
        // Thoughts go back with their signature or not at all: they were another model's, which this one is not held to.
        PartKind::Reasoning(thought) => thought.signature.is_some(),
        _ => true,
    }
}

/// Writes `messages`: those of the same role that follow each other as one.
pub(super) fn write_messages(json: &mut Writer<'_>, request: &Request<'_>, messages: &[Message<'_>]) -> Result<(), Refusal> {
    if messages.iter().any(|message| message.name.is_some()) {
        return cannot("messages.name");
    }
    let mut turns: Vec<(Role, Vec<&Part<'_>>)> = Vec::new();
    for message in messages {
        let said = parts(std::slice::from_ref(message));
        match turns.last_mut() {
            _ if said.is_empty() => {}
            Some((role, parts)) if *role == message.role => parts.extend(said),
            _ => turns.push((message.role, said)),
        }
    }
    let mut before = None;
    for (role, mut parts) in turns {
        let name = match role {
            Role::Assistant => "assistant",
            Role::User => "user",
            // Instructions in the middle stand behind a user's turn, or nowhere
            // (<https://platform.claude.com/docs/en/build-with-claude/mid-conversation-system-messages>).
            Role::System if before == Some(Role::User) || is_native(request) => "system",
            Role::System => return cannot("messages.role"),
        };
        if role == Role::User && !is_native(request) {
            // Results stand before everything else, or they are refused.
            parts.sort_by_key(|part| !matches!(part.kind, PartKind::ToolResult(_)));
        }
        before = Some(role);
        json.try_object(|json| {
            json.constant("role", name);
            json.key("content");
            write_text_or_blocks(json, request, &parts)
        })?;
    }
    Ok(())
}

/// A single text as a string, everything else as an array of blocks.
pub(super) fn write_text_or_blocks(json: &mut Writer<'_>, request: &Request<'_>, parts: &[&Part<'_>]) -> Result<(), Refusal> {
    match parts {
        [Part { kind: PartKind::Text(text), cache_control: None }] => {
            json.string(text);
            Ok(())
        }
        parts => json.try_array(|json| parts.iter().try_for_each(|part| write_block(json, request, part))),
    }
}

fn write_block(json: &mut Writer<'_>, request: &Request<'_>, part: &Part<'_>) -> Result<(), Refusal> {
    json.try_object(|json| {
        match &part.kind {
            PartKind::Text(text) | PartKind::Refusal(text) => {
                json.constant("type", "text");
                json.member("text", text);
            }
            PartKind::Image(image) => write_image(json, image)?,
            PartKind::Document(document) => write_document(json, document)?,
            PartKind::Audio(_) => return cannot("messages.content.input_audio"),
            PartKind::Reasoning(thought) => write_thought(json, thought, is_native(request)),
            PartKind::ToolCall(call) => {
                json.constant("type", "tool_use");
                json.member("id", &id(request, &call.id));
                json.member("name", &call.name);
                json.key("input").json(&call.arguments.object("messages.tool_calls.function.arguments")?);
            }
            PartKind::ToolResult(result) => write_result(json, request, result)?,
        }
        json.some("cache_control", part.cache_control.as_ref());
        Ok(())
    })
}

fn write_image(json: &mut Writer<'_>, image: &Image<'_>) -> Result<(), Refusal> {
    // A high resolution is what there is.
    if image.detail.as_ref().is_some_and(|detail| !matches!(detail.raw(), "high" | "auto")) {
        return cannot("messages.content.image_url.detail");
    }
    let media_type = media_type(&image.media_type);
    if !IMAGES.contains(&media_type.as_ref()) {
        return Err(Refusal::BadMedia("messages.content.image_url", "image/jpeg, image/png, image/gif or image/webp"));
    }
    json.constant("type", "image");
    json.key("source").object(|json| write_base64(json, &media_type, &image.data));
    Ok(())
}

fn write_document(json: &mut Writer<'_>, document: &Document<'_>) -> Result<(), Refusal> {
    const WRONG: Refusal = Refusal::BadMedia("messages.content.file", "application/pdf or text in UTF-8");
    json.constant("type", "document");
    let media_type = media_type(&document.media_type);
    match media_type.as_ref() {
        "application/pdf" => json.key("source").object(|json| write_base64(json, &media_type, &document.data)),
        other if other.starts_with("text/") || other == "application/json" => {
            let text = media::text(&document.data).ok_or(WRONG)?;
            json.key("source").object(|json| {
                json.constant("type", "text");
                json.constant("media_type", "text/plain");
                json.key("data").plain(&text);
            });
        }
        _ => return Err(WRONG),
    }
    if let Some(name) = &document.name {
        json.member("title", name);
    }
    Ok(())
}

fn write_base64(json: &mut Writer<'_>, media_type: &str, data: &Str<'_>) {
    json.constant("type", "base64");
    json.key("media_type").plain(media_type);
    json.member("data", data);
}

fn write_thought(json: &mut Writer<'_>, thought: &Thinking<'_>, native: bool) {
    let signature = thought.signature.as_ref().unwrap_or(&Str::EMPTY);
    let redacted = match &thought.text {
        None => marks::unredacted(signature).or_else(|| native.then(|| signature.borrowed())),
        Some(_) => None,
    };
    if let Some(data) = redacted {
        json.constant("type", "redacted_thinking");
        json.member("data", &data);
    } else {
        json.constant("type", "thinking");
        json.member("thinking", thought.text.as_ref().unwrap_or(&Str::EMPTY));
        json.member("signature", signature);
    }
}

fn write_result(json: &mut Writer<'_>, request: &Request<'_>, result: &ToolResult<'_>) -> Result<(), Refusal> {
    json.constant("type", "tool_result");
    json.member("tool_use_id", &id(request, &result.id));
    let content: Vec<&Part<'_>> = result.content.iter().filter(|part| says_something(part)).collect();
    let fits = |part: &&Part<'_>| {
        matches!(part.kind, PartKind::Document(_) | PartKind::Image(_) | PartKind::Text(_) | PartKind::Refusal(_))
    };
    if !content.iter().all(fits) {
        return cannot(RESULT);
    }
    if !content.is_empty() {
        json.key("content");
        write_text_or_blocks(json, request, &content)?;
    }
    if result.is_error {
        json.key("is_error").boolean(true);
    }
    Ok(())
}

/// A call's id in letters, digits, `_` and `-`, which is all that the API takes; other formats' clients may have had others.
fn id<'s>(request: &Request<'_>, id: &'s Str<'_>) -> Str<'s> {
    let fits = |char: char| char.is_ascii_alphanumeric() || matches!(char, '_' | '-');
    if is_native(request) || (!id.is_empty() && id.raw().chars().all(fits)) {
        return id.borrowed();
    }
    let shown: String = id.plain().chars().map(|char| if fits(char) { char } else { '_' }).collect();
    Str::of(if shown.is_empty() { "_" } else { &shown })
}
