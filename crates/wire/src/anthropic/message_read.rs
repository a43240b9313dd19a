//! Messages and their blocks, read into the common form.

use super::fields::Fields;
use super::marks;
use super::shape::{CONTAINER_UPLOAD, REMOTE_MEDIA, STORED_FILE};
use crate::conversation::{Arguments, Document, Image, Json, Message, Part, PartKind, Role, Str, Thinking, ToolCall, ToolResult};
use crate::json::{Cursor, Kind};
use crate::media;
use crate::refusal::Refusal;

/// What has no place in the common form; a name with a dot in it stands for something inside of a field, which cannot be put back.
pub(super) type Own<'a> = Vec<(&'static str, Json<'a>)>;

/// Reads one of `messages`. Instructions in the middle of a message (`mid_conv_system`) part it.
pub(super) fn message<'a>(value: &mut Cursor<'a>, messages: &mut Vec<Message<'a>>, own: &mut Own<'a>) -> Result<(), Refusal> {
    if value.kind()? != Kind::Object {
        return Err(Refusal::WrongType("messages", "an array of objects"));
    }
    let mut fields = Fields::read(value, "messages.")?;
    let role = match fields.required("role", "messages.role")?.raw() {
        "assistant" => Role::Assistant,
        "system" => Role::System,
        "user" => Role::User,
        _ => return Err(Refusal::WrongType("messages.role", "user, assistant or system")),
    };
    let content = fields.value("content", |value| blocks(value, "messages.content", own))?;
    let content = content.ok_or(Refusal::MissingField("messages.content"))?;
    fields.end()?;
    let mut parted: Vec<(Role, Vec<Part<'a>>)> = vec![(role, Vec::new())];
    for (instruction, part) in content {
        let role = if instruction { Role::System } else { role };
        match parted.last_mut() {
            Some((last, parts)) if *last == role => parts.push(part),
            _ => parted.push((role, vec![part])),
        }
    }
    let said = |(role, parts): (Role, Vec<Part<'a>>)| Message { role, name: None, parts };
    messages.extend(parted.into_iter().filter(|(_, parts)| !parts.is_empty()).map(said));
    Ok(())
}

/// Reads content: a string, or an array of blocks. `true` beside a part says that it is an instruction, whoever's message it is in.
pub(super) fn blocks<'a>(
    value: &mut Cursor<'a>,
    field: &'static str,
    own: &mut Own<'a>,
) -> Result<Vec<(bool, Part<'a>)>, Refusal> {
    let mut parts = Vec::new();
    match value.kind()? {
        Kind::String => {
            let text = Str::from(value.string()?);
            if !text.is_empty() {
                parts.push((false, PartKind::Text(text).into()));
            }
        }
        Kind::Array => {
            let mut signature = None;
            value.array(|item| block(item, &mut parts, &mut signature, own))?;
        }
        _ => return Err(Refusal::WrongType(field, "a string or an array of blocks")),
    }
    Ok(parts)
}

fn block<'a>(
    value: &mut Cursor<'a>,
    parts: &mut Vec<(bool, Part<'a>)>,
    signature: &mut Option<Str<'a>>,
    own: &mut Own<'a>,
) -> Result<(), Refusal> {
    let start = value.offset();
    let mut fields = Fields::read(value, "messages.content.")?;
    let kind = fields.required("type", "messages.content.type")?;
    let mut cache_control = fields.json("cache_control")?;
    let part = match kind.raw() {
        "text" => {
            fields.own("citations", "messages.content.citations", &["[]"], own)?;
            PartKind::Text(fields.required("text", "messages.content.text")?)
        }
        "image" => {
            let source = fields.fields("source", "messages.content.source.")?;
            PartKind::Image(image(source.ok_or(Refusal::MissingField("messages.content.source"))?)?)
        }
        "document" => match document(&mut fields, own)? {
            Some(document) => PartKind::Document(document),
            None => return Ok(()),
        },
        "thinking" => PartKind::Reasoning(Thinking {
            id: None,
            text: Some(fields.required("thinking", "messages.content.thinking")?),
            signature: fields.string("signature", "messages.content.signature")?.filter(|signature| !signature.is_empty()),
        }),
        "redacted_thinking" => {
            let data = fields.required("data", "messages.content.data")?;
            if let Some(of_the_call) = marks::signature_of_the_call(&data) {
                *signature = Some(of_the_call);
                return fields.end();
            }
            PartKind::Reasoning(Thinking { id: None, text: None, signature: Some(data) })
        }
        "tool_use" => {
            fields.own("caller", "messages.content.caller", &["{\"type\":\"direct\"}", "{\"type\": \"direct\"}"], own)?;
            let input = fields.object("input", "messages.content.input")?;
            PartKind::ToolCall(ToolCall {
                id: fields.required("id", "messages.content.id")?,
                name: fields.required("name", "messages.content.name")?,
                arguments: Arguments::Object(input.ok_or(Refusal::MissingField("messages.content.input"))?),
                signature: signature.take(),
            })
        }
        "tool_result" => {
            let content = fields.value("content", |value| blocks(value, "messages.content.content", own))?;
            PartKind::ToolResult(ToolResult {
                id: fields.required("tool_use_id", "messages.content.tool_use_id")?,
                name: None,
                content: content.unwrap_or_default().into_iter().map(|(_, part)| part).collect(),
                is_error: fields.boolean("is_error", "messages.content.is_error")?.unwrap_or(false),
            })
        }
        "mid_conv_system" => {
            let content = fields.value("content", |value| blocks(value, "messages.content.content", own))?;
            let mut content = content.ok_or(Refusal::MissingField("messages.content.content"))?;
            if let Some((_, last)) = content.last_mut() {
                last.cache_control = last.cache_control.take().or(cache_control);
            }
            parts.extend(content.into_iter().map(|(_, part)| (true, part)));
            return fields.end();
        }
        "container_upload" => return Err(Refusal::Conflict(CONTAINER_UPLOAD)),
        other => {
            // Blocks of the API's own tools, and those that only its models read.
            let field = OWN_BLOCKS.iter().find(|(name, _)| *name == other).map(|(_, field)| *field);
            let field = field.ok_or(Refusal::WrongType("messages.content.type", "a documented type of block"))?;
            let text = value.text(start..value.offset_of_last());
            own.push((field, Json::read(&mut Cursor::new(text.as_bytes())?)?));
            return Ok(());
        }
    };
    fields.end()?;
    parts.push((false, Part { kind: part, cache_control: cache_control.take() }));
    Ok(())
}

/// Blocks without a place in the common form.
const OWN_BLOCKS: [(&str, &str); 13] = [
    ("advisor_tool_result", "messages.content.advisor_tool_result"),
    ("bash_code_execution_tool_result", "messages.content.bash_code_execution_tool_result"),
    ("code_execution_tool_result", "messages.content.code_execution_tool_result"),
    ("compaction", "messages.content.compaction"),
    ("mcp_tool_result", "messages.content.mcp_tool_result"),
    ("mcp_tool_use", "messages.content.mcp_tool_use"),
    ("search_result", "messages.content.search_result"),
    ("server_tool_use", "messages.content.server_tool_use"),
    ("text_editor_code_execution_tool_result", "messages.content.text_editor_code_execution_tool_result"),
    ("tool_reference", "messages.content.tool_reference"),
    ("tool_search_tool_result", "messages.content.tool_search_tool_result"),
    ("web_fetch_tool_result", "messages.content.web_fetch_tool_result"),
    ("web_search_tool_result", "messages.content.web_search_tool_result"),
];

fn image<'a>(mut source: Fields<'a>) -> Result<Image<'a>, Refusal> {
    if inline(&mut source)?.raw() != "base64" {
        return Err(Refusal::WrongType("messages.content.source.type", "base64"));
    }
    let image = Image {
        media_type: source.required("media_type", "messages.content.source.media_type")?,
        data: base64_data(&mut source)?,
        detail: None,
    };
    source.end()?;
    Ok(image)
}

/// Reads a document's fields; `None` for one that is carried along.
fn document<'a>(fields: &mut Fields<'a>, own: &mut Own<'a>) -> Result<Option<Document<'a>>, Refusal> {
    let name = fields.string("title", "messages.content.title")?;
    fields.own("context", "messages.content.context", &["\"\""], own)?;
    if let Some(mut citations) = fields.fields("citations", "messages.content.citations.")? {
        citations.own("enabled", "messages.content.citations.enabled", &["false"], own)?;
        citations.end()?;
    }
    let source = fields.fields("source", "messages.content.source.")?;
    let mut source = source.ok_or(Refusal::MissingField("messages.content.source"))?;
    let (media_type, data) = match inline(&mut source)?.raw() {
        "base64" => {
            let media_type = source.required("media_type", "messages.content.source.media_type")?;
            (media_type, base64_data(&mut source)?)
        }
        "text" => {
            let media_type = source.string("media_type", "messages.content.source.media_type")?;
            let text = source.required("data", "messages.content.source.data")?;
            (media_type.unwrap_or(Str::constant("text/plain")), media::of_text(&text))
        }
        // A document of blocks, which only this API cites from.
        _ => {
            source.own("content", "messages.content.source.content", &[], own)?;
            source.end()?;
            return Ok(None);
        }
    };
    source.end()?;
    Ok(Some(Document { media_type, data, name }))
}

/// The type of a source, if what it points to is in the request.
fn inline<'a>(source: &mut Fields<'a>) -> Result<Str<'a>, Refusal> {
    let kind = source.required("type", "messages.content.source.type")?;
    match kind.raw() {
        "base64" | "text" | "content" => Ok(kind),
        "file" => Err(Refusal::Conflict(STORED_FILE)),
        "url" => Err(Refusal::Conflict(REMOTE_MEDIA)),
        _ => Err(Refusal::WrongType("messages.content.source.type", "base64, text or content")),
    }
}

fn base64_data<'a>(source: &mut Fields<'a>) -> Result<Str<'a>, Refusal> {
    let data = source.required("data", "messages.content.source.data")?;
    media::inline(data, "messages.content.source.data")
}
