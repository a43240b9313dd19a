//! Items of `input`, read into messages.

use std::collections::BTreeMap;

use super::output::CALL_SUFFIX;
use super::shape::{CACHE_BREAKPOINT, FILE_REFERENCE, ITEM_REFERENCE, REMOTE_FILE, REMOTE_IMAGE};
use super::value::{Fields, Value};
use crate::conversation::{Arguments, Message, Part, PartKind, Request, Role, Str, Thinking, ToolCall, ToolResult};
use crate::media;
use crate::refusal::{FieldName, Refusal};

/// Items that other formats have no word for: the model's and the client's side of tools that are no functions, and the like.
const UNTRANSLATABLE: &[&str] = &[
    "additional_tools",
    "apply_patch_call",
    "apply_patch_call_output",
    "code_interpreter_call",
    "compaction",
    "compaction_trigger",
    "computer_call",
    "computer_call_output",
    "custom_tool_call",
    "custom_tool_call_output",
    "file_search_call",
    "image_generation_call",
    "local_shell_call",
    "local_shell_call_output",
    "mcp_approval_request",
    "mcp_approval_response",
    "mcp_call",
    "mcp_list_tools",
    "program",
    "program_output",
    "shell_call",
    "shell_call_output",
    "tool_search_call",
    "tool_search_output",
    "web_search_call",
];

/// Reads items, one after the other.
pub(super) struct Items<'r, 'a> {
    request: &'r mut Request<'a>,
    /// Names of the functions by the ids of their calls.
    names: BTreeMap<String, Str<'a>>,
    /// The proof that goes with the next call, if the item before it holds one.
    proof: Option<Str<'a>>,
}

impl<'r, 'a> Items<'r, 'a> {
    pub(super) fn new(request: &'r mut Request<'a>) -> Self {
        Self { request, names: BTreeMap::new(), proof: None }
    }

    /// Reads `input`.
    ///
    /// # Errors
    /// What is wrong with it, by name.
    pub(super) fn input(&mut self, input: Value<'a>) -> Result<(), Refusal> {
        let wrong = Refusal::WrongType("input", "a string or an array of objects");
        if let Some(text) = input.string() {
            self.say(Role::User, vec![PartKind::Text(text).into()]);
            return Ok(());
        }
        for item in input.list().ok_or(wrong.clone())? {
            self.item(item.fields().ok_or(wrong.clone())?.unique()?)?;
        }
        Ok(())
    }

    /// Adds to the conversation. What the model says in several items is one message: other formats demand that its calls stand together,
    /// with their results together behind them. Only a text behind a text, and what a user says, begins anew.
    fn say(&mut self, role: Role, mut parts: Vec<Part<'a>>) {
        let is_result = |part: Option<&Part<'_>>| matches!(part, Some(Part { kind: PartKind::ToolResult(_), .. }));
        let is_text = |part: Option<&Part<'_>>| matches!(part, Some(Part { kind: PartKind::Text(_) | PartKind::Refusal(_), .. }));
        if let Some(last) = self.request.messages.last_mut()
            && last.role == role
            && match role {
                Role::Assistant => !is_text(last.parts.last()) || !is_text(parts.first()),
                Role::System => false,
                Role::User => is_result(last.parts.last()) && is_result(parts.first()),
            }
        {
            last.parts.append(&mut parts);
            return;
        }
        self.request.messages.push(Message { role, name: None, parts });
    }

    /// Notes what only this API can say.
    fn own(&mut self, field: &'static str, value: Value<'a>) -> Result<(), Refusal> {
        self.request.own.push((field, value.json()?));
        Ok(())
    }

    fn item(&mut self, mut item: Fields<'a>) -> Result<(), Refusal> {
        let kind = item.take("type");
        let name = kind.map(|kind| kind.string().ok_or(Refusal::WrongType("input.type", "a string"))).transpose()?;
        // Ids and states of items are the provider's records, and mean nothing to another one.
        let id = item.text("id", "input.id")?;
        item.text("status", "input.status")?;
        let proof = self.proof.take();
        match name.as_ref().map(Str::raw) {
            None | Some("message") => self.message(item),
            Some("function_call") => self.call(item, proof),
            Some("function_call_output") => self.result(item),
            Some("item_reference") => Err(Refusal::Conflict(ITEM_REFERENCE)),
            Some("reasoning") => self.reasoning(item, id),
            Some(name) => match kind {
                Some(kind) if UNTRANSLATABLE.contains(&name) => self.own("input.type", kind),
                _ => Err(Refusal::UntranslatableUnknown(FieldName::new(name))),
            },
        }
    }

    fn message(&mut self, mut item: Fields<'a>) -> Result<(), Refusal> {
        let Some(role) = item.text("role", "input.role")? else { return Err(Refusal::Conflict(ITEM_REFERENCE)) };
        let role = match role.raw() {
            "assistant" => Role::Assistant,
            "developer" | "system" => Role::System,
            "user" => Role::User,
            _ => return Err(Refusal::WrongType("input.role", "one of user, assistant, system, developer")),
        };
        let content = item.take("content").ok_or(Refusal::MissingField("input.content"))?;
        // A label by which one family of models tells its own drafts from its answers.
        item.text("phase", "input.phase")?;
        item.nothing_else("input.")?;
        let parts = self.content(content, "input.content")?;
        self.say(role, parts);
        Ok(())
    }

    fn content(&mut self, content: Value<'a>, field: &'static str) -> Result<Vec<Part<'a>>, Refusal> {
        if let Some(text) = content.string() {
            return Ok(vec![PartKind::Text(text).into()]);
        }
        let wrong = Refusal::WrongType(field, "a string or an array of objects");
        let mut parts = Vec::new();
        for part in content.list().ok_or(wrong.clone())? {
            parts.push(self.part(part.fields().ok_or(wrong.clone())?.unique()?)?.into());
        }
        Ok(parts)
    }

    fn part(&mut self, mut part: Fields<'a>) -> Result<PartKind<'a>, Refusal> {
        let kind = part.needed_text("type", "input.content.type")?;
        let kind = match kind.raw() {
            "input_text" => PartKind::Text(part.needed_text("text", "input.content.text")?),
            "output_text" => {
                let text = part.needed_text("text", "input.content.text")?;
                // What an answer had beside its text, sent back: it says nothing to the model.
                part.take("annotations");
                part.take("logprobs");
                PartKind::Text(text)
            }
            "refusal" => PartKind::Refusal(part.needed_text("refusal", "input.content.refusal")?),
            "input_image" => {
                if part.take("file_id").is_some() {
                    return Err(Refusal::Conflict(FILE_REFERENCE));
                }
                const FIELD: &str = "input.content.image_url";
                let url = part.take("image_url").ok_or(Refusal::MissingField(FIELD))?;
                let url = url.raw_string().ok_or(Refusal::WrongType(FIELD, "a string"))?;
                if !url.get(..5).is_some_and(|scheme| scheme.eq_ignore_ascii_case("data:")) {
                    return Err(Refusal::Conflict(REMOTE_IMAGE));
                }
                let detail = part.text("detail", "input.content.detail")?;
                PartKind::Image(media::image(url, detail, FIELD)?)
            }
            "input_file" => {
                if part.take("file_id").is_some() {
                    return Err(Refusal::Conflict(FILE_REFERENCE));
                }
                if part.take("file_url").is_some() {
                    return Err(Refusal::Conflict(REMOTE_FILE));
                }
                if let Some(detail) = part.take("detail")
                    && detail.string().is_none_or(|detail| detail.raw() != "auto")
                {
                    self.own("input.content.detail", detail)?;
                }
                let name = part.text("filename", "input.content.filename")?;
                const FIELD: &str = "input.content.file_data";
                let data = part.take("file_data").ok_or(Refusal::MissingField(FIELD))?;
                let data = data.raw_string().ok_or(Refusal::WrongType(FIELD, "a string"))?;
                PartKind::Document(media::document(data, name, FIELD)?)
            }
            other => return Err(Refusal::UntranslatableUnknown(FieldName::new(other))),
        };
        if part.take("prompt_cache_breakpoint").is_some() {
            return Err(Refusal::Conflict(CACHE_BREAKPOINT));
        }
        part.nothing_else("input.content.")?;
        Ok(kind)
    }

    fn reasoning(&mut self, mut item: Fields<'a>, id: Option<Str<'a>>) -> Result<(), Refusal> {
        let mut text = String::new();
        for (list, field) in [("summary", "input.summary"), ("content", "input.content")] {
            let wrong = Refusal::WrongType(field, "an array of objects");
            let Some(parts) = item.take(list) else { continue };
            for part in parts.list().ok_or(wrong.clone())? {
                let mut part = part.fields().ok_or(wrong.clone())?.unique()?;
                let kind = part.needed_text("type", "input.content.type")?;
                if !matches!(kind.raw(), "summary_text" | "reasoning_text") {
                    return Err(Refusal::UntranslatableUnknown(FieldName::new(kind.raw())));
                }
                let piece = part.needed_text("text", "input.content.text")?;
                part.nothing_else("input.content.")?;
                if !text.is_empty() && !piece.is_empty() {
                    text.push_str("\\n\\n");
                }
                text.push_str(piece.raw());
            }
        }
        let signature = item.text("encrypted_content", "input.encrypted_content")?;
        item.nothing_else("input.")?;
        if id.as_ref().is_some_and(|id| id.raw().ends_with(CALL_SUFFIX)) && text.is_empty() {
            // Written by us before a call, since a call has no place for it.
            self.proof = signature;
            return Ok(());
        }
        let text = Some(Str::escaped(text)).filter(|text| !text.is_empty());
        self.say(Role::Assistant, vec![PartKind::Reasoning(Thinking { id, text, signature }).into()]);
        Ok(())
    }

    fn call(&mut self, mut item: Fields<'a>, signature: Option<Str<'a>>) -> Result<(), Refusal> {
        let id = item.needed_text("call_id", "input.call_id")?;
        let name = item.needed_text("name", "input.name")?;
        let arguments = Arguments::Text(item.needed_text("arguments", "input.arguments")?);
        self.circumstances(&mut item)?;
        item.nothing_else("input.")?;
        self.names.insert(id.raw().to_owned(), name.clone());
        self.say(Role::Assistant, vec![PartKind::ToolCall(ToolCall { id, name, arguments, signature }).into()]);
        Ok(())
    }

    fn result(&mut self, mut item: Fields<'a>) -> Result<(), Refusal> {
        let id = item.needed_text("call_id", "input.call_id")?;
        let output = item.take("output").ok_or(Refusal::MissingField("input.output"))?;
        let said = item.text("name", "input.name")?;
        self.circumstances(&mut item)?;
        item.nothing_else("input.")?;
        let content = self.content(output, "input.output")?;
        let name = said.or_else(|| self.names.get(id.raw()).cloned());
        self.say(Role::User, vec![PartKind::ToolResult(ToolResult { id, name, content, is_error: false }).into()]);
        Ok(())
    }

    /// From where a function is called, if from elsewhere than the conversation.
    fn circumstances(&mut self, item: &mut Fields<'a>) -> Result<(), Refusal> {
        if let Some(caller) = item.take("caller") {
            let direct =
                caller.fields().and_then(|mut caller| caller.take("type")?.string()).is_some_and(|kind| kind.raw() == "direct");
            if !direct {
                self.own("input.caller", caller)?;
            }
        }
        if let Some(namespace) = item.take("namespace") {
            self.own("input.namespace", namespace)?;
        }
        Ok(())
    }
}
