//! Content blocks (<https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_ContentBlock.html>), written from the common form.

use lethe_types::Api;
use lethe_wire::conversation::{Part, PartKind, RESULT, Str, Thinking, ToolCall, ToolResult};
use lethe_wire::media::media_type;
use lethe_wire::refusal::Refusal;
use lethe_wire::write::Writer;

/// AWS' limit for a document's name.
const NAME_LIMIT: usize = 200;

const fn cannot(field: &'static str) -> Refusal {
    Refusal::Untranslatable { field, target: Api::Converse }
}

/// Names of documents that are written already: each must be there once.
#[derive(Default)]
pub(super) struct Names(Vec<String>);

/// Writes one part of a message.
pub(super) fn write_part(json: &mut Writer<'_>, part: &Part<'_>, names: &mut Names) -> Result<(), Refusal> {
    match &part.kind {
        // A text without text is refused there, and says nothing.
        PartKind::Refusal(text) | PartKind::Text(text) => {
            if !text.is_empty() {
                json.object(|json| json.member("text", text));
            }
        }
        PartKind::Reasoning(thought) => write_thought(json, thought),
        PartKind::ToolCall(call) => write_call(json, call)?,
        PartKind::ToolResult(result) => write_result(json, result, names)?,
        PartKind::Audio(audio) => {
            let format = match media_type(&audio.media_type).as_ref() {
                "audio/aac" => "aac",
                "audio/flac" | "audio/x-flac" => "flac",
                "audio/mp3" | "audio/mpeg" => "mp3",
                "audio/ogg" => "ogg",
                "audio/wav" | "audio/wave" | "audio/x-wav" => "wav",
                _ => return Err(cannot("messages.content.input_audio")),
            };
            json.object(|json| json.key("audio").object(|json| write_bytes(json, format, None, &audio.data)));
        }
        PartKind::Document(document) => {
            let format = match media_type(&document.media_type).as_ref() {
                "application/msword" => "doc",
                "application/pdf" => "pdf",
                "application/vnd.ms-excel" => "xls",
                "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet" => "xlsx",
                "application/vnd.openxmlformats-officedocument.wordprocessingml.document" => "docx",
                "text/csv" => "csv",
                "text/html" => "html",
                "text/markdown" => "md",
                "text/plain" => "txt",
                _ => return Err(cannot("messages.content.file")),
            };
            let name = names.given(document.name.as_ref());
            json.object(|json| json.key("document").object(|json| write_bytes(json, format, Some(&name), &document.data)));
        }
        PartKind::Image(image) => {
            if image.detail.is_some() {
                return Err(cannot("messages.content.image_url.detail"));
            }
            let format = match media_type(&image.media_type).as_ref() {
                "image/gif" => "gif",
                "image/jpeg" => "jpeg",
                "image/png" => "png",
                "image/webp" => "webp",
                _ => return Err(cannot("messages.content.image_url")),
            };
            json.object(|json| json.key("image").object(|json| write_bytes(json, format, None, &image.data)));
        }
    }
    Ok(())
}

fn write_bytes(json: &mut Writer<'_>, format: &'static str, name: Option<&str>, data: &Str<'_>) {
    json.constant("format", format);
    if let Some(name) = name {
        json.key("name").plain(name);
    }
    json.key("source").object(|json| json.member("bytes", data));
}

/// Thoughts go back with their signature only: without it no model there takes them, and none needs them.
fn write_thought(json: &mut Writer<'_>, thought: &Thinking<'_>) {
    let Some(signature) = &thought.signature else { return };
    json.object(|json| {
        json.key("reasoningContent").object(|json| match &thought.text {
            None => json.member("redactedContent", signature),
            Some(text) => json.key("reasoningText").object(|json| {
                json.member("text", text);
                json.member("signature", signature);
            }),
        });
    });
}

fn write_call(json: &mut Writer<'_>, call: &ToolCall<'_>) -> Result<(), Refusal> {
    let arguments = call.arguments.object("messages.tool_calls.function.arguments")?;
    json.object(|json| {
        json.key("toolUse").object(|json| {
            json.member("toolUseId", &call.id);
            json.member("name", &call.name);
            json.key("input").json(&arguments);
        });
    });
    Ok(())
}

fn write_result(json: &mut Writer<'_>, result: &ToolResult<'_>, names: &mut Names) -> Result<(), Refusal> {
    json.try_object(|json| {
        json.key("toolResult").try_object(|json| {
            json.member("toolUseId", &result.id);
            json.key("content").try_array(|json| {
                result.content.iter().try_for_each(|part| match &part.kind {
                    PartKind::Document(_) | PartKind::Image(_) | PartKind::Text(_) => write_part(json, part, names),
                    _ => Err(cannot(RESULT)),
                })
            })?;
            if result.is_error {
                json.constant("status", "error");
            }
            Ok(())
        })
    })
}

impl Names {
    /// A name of letters, digits, single spaces, hyphens, parentheses and brackets that no other document has.
    fn given(&mut self, name: Option<&Str<'_>>) -> String {
        let mut given = String::new();
        for char in name.map(Str::plain).unwrap_or_default().trim().chars().take(NAME_LIMIT - 10) {
            let char = match char {
                'a'..='z' | 'A'..='Z' | '0'..='9' | '-' | '(' | ')' | '[' | ']' => char,
                char if char.is_whitespace() => ' ',
                _ => '-',
            };
            if char != ' ' || !given.ends_with(' ') {
                given.push(char);
            }
        }
        if given.is_empty() {
            given.push_str("document");
        }
        if self.0.contains(&given) {
            let number = self.0.len() + 1;
            given.push_str(&format!(" {number}"));
        }
        self.0.push(given.clone());
        given
    }
}

#[cfg(test)]
mod tests {
    use lethe_wire::conversation::Str;

    use super::Names;

    #[test]
    fn documents_have_names_that_aws_takes() {
        let mut names = Names::default();
        assert_eq!(names.given(Some(&Str::constant(" a  b_c.pdf"))), "a b-c-pdf");
        assert_eq!(names.given(Some(&Str::constant("a b_c.pdf"))), "a b-c-pdf 2");
        assert_eq!(names.given(None), "document");
        assert_eq!(names.given(None), "document 4");
        assert!(names.given(Some(&Str::of(&"é".repeat(999)))).len() <= 200);
    }
}
