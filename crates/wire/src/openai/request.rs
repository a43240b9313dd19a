//! What routing, metering and the refusal rules need from a request, and the fields that are forced.

use std::borrow::Cow;
use std::ops::Range;

use lethe_policy::conflict::{self, Conflict};
use lethe_policy::{FieldRules, ProviderKind};
use lethe_types::Operation;

use crate::edit::Edits;
use crate::json::{Cursor, JsonError, Kind, Text};

/// A request has few top-level fields; more than this is no request.
const FIELD_LIMIT: usize = 128;
/// An unknown field's name is told back to its sender, but not without end.
const NAME_LIMIT: usize = 64;

/// Why a request is refused, before any provider is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It needs somebody to remember.
    Conflict(Conflict),
    /// The same field twice, however spelled.
    DuplicateField(FieldName),
    /// Not JSON, too deep, or not UTF-8.
    Json(JsonError),
    /// A required field is missing.
    MissingField(&'static str),
    /// Top-level fields without end.
    TooManyFields,
    /// A field that the provider's preset does not list.
    UnknownField(FieldName),
    /// A tool type that the provider's preset does not list.
    UnknownTool(FieldName),
    /// A field has another type than documented.
    WrongType(&'static str, &'static str),
}

impl From<JsonError> for Refusal {
    fn from(error: JsonError) -> Self {
        Self::Json(error)
    }
}

/// The name of a field as its sender wrote it, cut to what can be shown: letters, digits, `_`, `-`, `.` and at most 64 of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldName(String);

impl FieldName {
    fn new(name: &str) -> Self {
        let shown = |char: char| if char.is_ascii_alphanumeric() || matches!(char, '_' | '-' | '.') { char } else { '?' };
        Self(name.chars().take(NAME_LIMIT).map(shown).collect())
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

struct Field {
    /// Unescaped.
    name: String,
    value: Range<usize>,
}

/// What was read out of a request. Holds spans and short names; the text itself stays with the caller.
pub struct Request {
    /// The model that the client names.
    pub model: String,
    /// The client wants a stream.
    pub stream: bool,
    /// The client asked for usage in the stream.
    pub wants_usage: bool,
    /// Bytes of the prompt (messages or input), for an estimate where no usage comes.
    pub prompt_bytes: usize,
    operation: Operation,
    fields: Vec<Field>,
    tools: Vec<String>,
    open_brace: usize,
    model_span: Range<usize>,
    options: Option<Options>,
}

/// `stream_options` of a request.
struct Options {
    span: Range<usize>,
    is_object: bool,
    is_empty: bool,
    include_usage: Option<Range<usize>>,
}

/// Reads a request of `operation`.
///
/// # Errors
/// [`Refusal`], which holds for every provider and node alike.
pub fn inspect_request(body: &[u8], operation: Operation) -> Result<Request, Refusal> {
    let mut cursor = Cursor::new(body)?;
    let open_brace = cursor.offset();
    if cursor.kind()? != Kind::Object {
        return Err(Refusal::WrongType("body", "a JSON object"));
    }
    let mut request = Request {
        model: String::new(),
        stream: false,
        wants_usage: false,
        prompt_bytes: 0,
        operation,
        fields: Vec::new(),
        tools: Vec::new(),
        open_brace,
        model_span: 0..0,
        options: None,
    };
    let mut folded_names: Vec<Cow<'_, str>> = Vec::new();
    cursor.object(|key, _, value| {
        let folded = key.folded();
        if folded_names.contains(&folded) {
            return Err(Refusal::DuplicateField(FieldName::new(&key.unescaped())));
        }
        if folded_names.len() >= FIELD_LIMIT {
            return Err(Refusal::TooManyFields);
        }
        request.field(&key, &folded, value)?;
        folded_names.push(folded);
        Ok(())
    })?;
    cursor.end()?;
    let prompt = if operation == Operation::Chat { "messages" } else { "input" };
    match request.field_called(prompt) {
        None => return Err(Refusal::MissingField(prompt)),
        Some(field) => request.prompt_bytes = field.value.len(),
    }
    if request.model_span.is_empty() {
        return Err(Refusal::MissingField("model"));
    }
    Ok(request)
}

impl Request {
    fn field(&mut self, key: &Text<'_>, folded: &str, value: &mut Cursor<'_>) -> Result<(), Refusal> {
        let kind = value.kind()?;
        let start = value.offset();
        // `null` and `false` say the same as leaving the field out.
        let mut off = kind == Kind::Null;
        match (folded, kind) {
            ("model", Kind::String) if key.is("model") => {
                self.model = value.string()?.unescaped();
                self.model_span = start..value.offset_of_last();
            }
            ("model", _) if key.is("model") => return Err(Refusal::WrongType("model", "a string")),
            ("stream", Kind::Bool) if key.is("stream") => self.stream = value.boolean()?,
            ("stream", Kind::Null) if key.is("stream") => {
                value.skip()?;
            }
            ("stream", _) if key.is("stream") => return Err(Refusal::WrongType("stream", "true or false")),
            ("stream_options", Kind::Object) => self.options(start, value)?,
            ("messages", Kind::Array) => value.array(message)?,
            ("messages", _) if self.operation == Operation::Chat => return Err(Refusal::WrongType("messages", "an array")),
            ("tools", Kind::Array) => self.tools(value)?,
            ("modalities", Kind::Array) => value.array(|item| match item.kind()? {
                Kind::String if item.string()?.is("text") => Ok(()),
                _ => Err(Refusal::Conflict(AUDIO_OUTPUT)),
            })?,
            (_, Kind::Bool) => off = !value.boolean()?,
            _ => {
                value.skip()?;
            }
        }
        if !off && let Some(conflict) = conflict::field(folded) {
            return Err(Refusal::Conflict(conflict));
        }
        self.fields.push(Field { name: key.unescaped(), value: start..value.offset_of_last() });
        Ok(())
    }

    fn options(&mut self, start: usize, value: &mut Cursor<'_>) -> Result<(), Refusal> {
        let mut options = Options { span: 0..0, is_object: true, is_empty: true, include_usage: None };
        let mut wants_usage = false;
        value.object(|key, _, value| {
            options.is_empty = false;
            if key.folded() != "include_usage" {
                return value.skip().map(drop).map_err(Refusal::from);
            }
            if options.include_usage.is_some() || !key.is("include_usage") {
                return Err(Refusal::DuplicateField(FieldName::new("stream_options.include_usage")));
            }
            let at = value.offset();
            match value.kind()? {
                Kind::Bool => wants_usage = value.boolean()?,
                Kind::Null => {
                    value.skip()?;
                }
                _ => return Err(Refusal::WrongType("stream_options.include_usage", "true or false")),
            }
            options.include_usage = Some(at..value.offset_of_last());
            Ok(())
        })?;
        options.span = start..value.offset_of_last();
        self.options = Some(options);
        self.wants_usage = wants_usage;
        Ok(())
    }

    fn tools(&mut self, value: &mut Cursor<'_>) -> Result<(), Refusal> {
        value.array(|tool| {
            if tool.kind()? != Kind::Object {
                return Err(Refusal::WrongType("tools", "an array of objects"));
            }
            let mut kind = None;
            tool.object(|key, _, value| {
                if key.folded() == "type" && value.kind()? == Kind::String {
                    if kind.replace(value.string()?.unescaped()).is_some() {
                        return Err(Refusal::DuplicateField(FieldName::new("tools.type")));
                    }
                    Ok(())
                } else {
                    value.skip().map(drop).map_err(Refusal::from)
                }
            })?;
            self.tools.push(kind.ok_or(Refusal::MissingField("tools.type"))?);
            Ok(())
        })
    }

    fn field_called(&self, name: &str) -> Option<&Field> {
        self.fields.iter().find(|field| field.name == name)
    }

    /// Checks the request against what one provider may be sent.
    ///
    /// # Errors
    /// [`Refusal::UnknownField`], [`Refusal::UnknownTool`].
    pub fn check(&self, kind: ProviderKind, rules: &FieldRules) -> Result<(), Refusal> {
        if kind == ProviderKind::Node {
            return Ok(());
        }
        let allowed = if self.operation == Operation::Chat { &rules.chat_fields } else { &rules.embeddings_fields };
        for field in &self.fields {
            if !allowed.contains(&field.name) {
                return Err(Refusal::UnknownField(FieldName::new(&field.name)));
            }
        }
        for tool in &self.tools {
            if !rules.tool_types.contains(tool) {
                return Err(Refusal::UnknownTool(FieldName::new(tool)));
            }
        }
        Ok(())
    }

    /// What to change before the request goes to a provider that knows the model as `model`.
    #[must_use]
    pub fn edits(&self, model: &str, rules: &FieldRules) -> Edits {
        let mut edits = Edits::default();
        let first = self.open_brace + 1;
        if model != self.model {
            edits.replace(self.model_span.clone(), quoted(model));
        }
        if self.operation == Operation::Chat && rules.force_store_false {
            match self.field_called("store") {
                None => edits.replace(first..first, *b"\"store\":false,"),
                Some(field) => edits.replace(field.value.clone(), *b"false"),
            }
        }
        if self.stream && rules.stream_usage && !self.wants_usage {
            match &self.options {
                Some(options) if options.is_object => match &options.include_usage {
                    Some(span) => edits.replace(span.clone(), *b"true"),
                    None => {
                        let at = options.span.start + 1;
                        let with: &[u8] = if options.is_empty { b"\"include_usage\":true" } else { b"\"include_usage\":true," };
                        edits.replace(at..at, with);
                    }
                },
                _ => match self.field_called("stream_options") {
                    Some(field) => edits.replace(field.value.clone(), *b"{\"include_usage\":true}"),
                    None => edits.replace(first..first, *b"\"stream_options\":{\"include_usage\":true},"),
                },
            }
        }
        edits
    }
}

const AUDIO_OUTPUT: Conflict =
    Conflict { field: "modalities", instead: "spoken answers are kept by the provider for an hour; ask for \"text\" only" };
const AUDIO_REFERENCE: Conflict =
    Conflict { field: "messages.audio", instead: "it points to a stored answer; send its text in `content`" };
const FILE_REFERENCE: Conflict = Conflict {
    field: "messages.content.file.file_id",
    instead: "it points to a stored file; send the content inline as `file_data`",
};
const REMOTE_MEDIA: Conflict = Conflict {
    field: "messages.content.image_url.url",
    instead: "media behind URLs are never fetched, since the one who serves them would see and keep the request; send a `data:` URL",
};

fn message(message: &mut Cursor<'_>) -> Result<(), Refusal> {
    if message.kind()? != Kind::Object {
        return Err(Refusal::WrongType("messages", "an array of objects"));
    }
    message.object(|key, _, value| match (key.folded().as_ref(), value.kind()?) {
        ("audio", Kind::Object) => Err(Refusal::Conflict(AUDIO_REFERENCE)),
        ("content", Kind::Array) => value.array(part),
        _ => value.skip().map(drop).map_err(Refusal::from),
    })
}

fn part(part: &mut Cursor<'_>) -> Result<(), Refusal> {
    if part.kind()? != Kind::Object {
        return part.skip().map(drop).map_err(Refusal::from);
    }
    part.object(|key, _, value| match (key.folded().as_ref(), value.kind()?) {
        ("image_url", Kind::String) => inline_url(value),
        ("image_url" | "file", Kind::Object) => value.object(|key, _, value| match (key.folded().as_ref(), value.kind()?) {
            ("url", Kind::String) => inline_url(value),
            ("file_id", Kind::String) => Err(Refusal::Conflict(FILE_REFERENCE)),
            _ => value.skip().map(drop).map_err(Refusal::from),
        }),
        ("file_id", Kind::String) => Err(Refusal::Conflict(FILE_REFERENCE)),
        _ => value.skip().map(drop).map_err(Refusal::from),
    })
}

fn inline_url(value: &mut Cursor<'_>) -> Result<(), Refusal> {
    // An escaped scheme (`\u0064ata:`) is nobody's habit: only the plain one passes.
    let inline = value.string()?.raw().get(..5).is_some_and(|scheme| scheme.eq_ignore_ascii_case("data:"));
    if inline { Ok(()) } else { Err(Refusal::Conflict(REMOTE_MEDIA)) }
}

/// `text` as a JSON string. Model names come from the configuration.
fn quoted(text: &str) -> Vec<u8> {
    let mut out = vec![b'"'];
    super::error::escape(text, &mut out);
    out.push(b'"');
    out
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed test")]

    use lethe_content::ContentBuf;
    use lethe_policy::{FieldRules, ProviderKind};
    use lethe_types::Operation;

    use super::{Refusal, Request, inspect_request};

    fn rules() -> FieldRules {
        FieldRules {
            chat_fields: ["messages", "model", "store", "stream", "stream_options", "temperature", "tools", "modalities"]
                .map(String::from)
                .into(),
            embeddings_fields: ["input", "model"].map(String::from).into(),
            tool_types: vec!["function".into()],
            force_store_false: true,
            stream_usage: true,
        }
    }

    fn chat(body: &str) -> Result<Request, Refusal> {
        let request = inspect_request(body.as_bytes(), Operation::Chat)?;
        request.check(ProviderKind::Hosted, &rules())?;
        Ok(request)
    }

    fn with(fields: &str) -> Result<Request, Refusal> {
        chat(&format!(r#"{{"model":"m","messages":[]{fields}}}"#))
    }

    fn conflict(fields: &str) -> Option<&'static str> {
        match with(fields) {
            Err(Refusal::Conflict(conflict)) => Some(conflict.field),
            _ => None,
        }
    }

    #[test]
    fn what_needs_memory_is_refused_however_it_is_spelled() {
        for spelling in [r#""store""#, r#""STORE""#, r#""\u0073tore""#, r#""\u0053tORE""#, "\"\u{17f}tore\""] {
            assert_eq!(conflict(&format!(",{spelling}:true")), Some("store"), "{spelling}");
        }
        assert_eq!(conflict(r#","store":1"#), Some("store"));
        assert_eq!(conflict(r#","metadata":{}"#), Some("metadata"));
        assert_eq!(conflict(r#","modalities":["text","audio"]"#), Some("modalities"));
        for fine in [r#","store":false"#, r#","store":null"#, r#","modalities":["text"]"#, ""] {
            assert!(with(fine).is_ok(), "{fine}");
        }
        let message = |part: &str| chat(&format!(r#"{{"model":"m","messages":[{{"role":"user","content":[{part}]}}]}}"#)).err();
        for (part, field) in [
            (r#"{"type":"file","file":{"file_id":"f"}}"#, "messages.content.file.file_id"),
            (r#"{"type":"file","file":{"FILE_\u0049d":"f"}}"#, "messages.content.file.file_id"),
            (r#"{"type":"image_url","image_url":{"url":"https://a/b.png"}}"#, "messages.content.image_url.url"),
            (r#"{"type":"image_url","image_url":"http://a"}"#, "messages.content.image_url.url"),
        ] {
            assert!(matches!(message(part), Some(Refusal::Conflict(conflict)) if conflict.field == field), "{part}");
        }
        assert_eq!(message(r#"{"type":"image_url","image_url":{"url":"data:image/png;base64,AA"}}"#), None);
    }

    #[test]
    fn unknown_and_double_fields_are_refused_by_name() {
        for (fields, name) in
            [(r#","persist":true"#, "persist"), (r#","Temperature":1"#, "Temperature"), (r#","per\nsist":1"#, "per?sist")]
        {
            assert!(matches!(with(fields), Err(Refusal::UnknownField(field)) if field.as_str() == name), "{fields}");
        }
        for fields in
            [r#","stream":true,"stream":false"#, r#","stream":true,"Stream":false"#, r#","store":false,"\u0073tore":false"#]
        {
            assert!(matches!(with(fields), Err(Refusal::DuplicateField(_))), "{fields}");
        }
        assert!(matches!(with(r#","tools":[{"type":"mcp"}]"#), Err(Refusal::UnknownTool(tool)) if tool.as_str() == "mcp"));
        assert!(with(r#","tools":[{"type":"function","function":{"name":"f"}}]"#).is_ok());
        let unknown = inspect_request(br#"{"model":"m","messages":[],"persist":1}"#, Operation::Chat).ok().unwrap();
        assert_eq!(unknown.check(ProviderKind::Node, &rules()), Ok(()), "own nodes get it intact");
    }

    #[test]
    fn wrong_types_and_missing_fields_are_named() {
        assert_eq!(chat(r#"{"messages":[]}"#).err(), Some(Refusal::MissingField("model")));
        assert_eq!(chat(r#"{"model":"m"}"#).err(), Some(Refusal::MissingField("messages")));
        assert_eq!(chat(r#"{"model":1,"messages":[]}"#).err(), Some(Refusal::WrongType("model", "a string")));
        assert_eq!(chat(r#"{"model":"m","messages":{}}"#).err(), Some(Refusal::WrongType("messages", "an array")));
        assert_eq!(with(r#","stream":"yes""#).err(), Some(Refusal::WrongType("stream", "true or false")));
        assert_eq!(chat("[]").err(), Some(Refusal::WrongType("body", "a JSON object")));
        assert!(matches!(chat(r#"{"model":"m","messages":[]} x"#), Err(Refusal::Json(_))));
    }

    fn edited(body: &str, model: &str) -> String {
        let request = inspect_request(body.as_bytes(), Operation::Chat).ok().unwrap();
        let mut out = ContentBuf::new();
        request.edits(model, &rules()).apply(body.as_bytes(), &mut out);
        String::from_utf8(out.expose().to_vec()).unwrap()
    }

    #[test]
    fn forced_fields_are_patched_in_and_the_rest_stays() {
        assert_eq!(edited(r#" { "model" : "m" , "messages":[ ]}"#, "n"), r#" {"store":false, "model" : "n" , "messages":[ ]}"#);
        for (options, expected) in [
            ("", r#"{"store":false,"stream_options":{"include_usage":true},"model":"m","messages":[],"stream":true}"#),
            (
                r#","stream_options":null"#,
                r#"{"store":false,"model":"m","messages":[],"stream":true,"stream_options":{"include_usage":true}}"#,
            ),
            (
                r#","stream_options":{}"#,
                r#"{"store":false,"model":"m","messages":[],"stream":true,"stream_options":{"include_usage":true}}"#,
            ),
            (
                r#","stream_options":{"include_usage":false}"#,
                r#"{"store":false,"model":"m","messages":[],"stream":true,"stream_options":{"include_usage":true}}"#,
            ),
            (
                r#","stream_options":{"a":1}"#,
                r#"{"store":false,"model":"m","messages":[],"stream":true,"stream_options":{"include_usage":true,"a":1}}"#,
            ),
        ] {
            assert_eq!(edited(&format!(r#"{{"model":"m","messages":[],"stream":true{options}}}"#), "m"), expected);
        }
        let asked = r#"{"store":null,"model":"m","messages":[],"stream":true,"stream_options":{"include_usage":true}}"#;
        assert_eq!(edited(asked, "m"), asked.replace("null", "false"));
    }
}
