//! What a client asks for.

use std::borrow::Cow;

use lethe_types::Api;

use super::text::{Json, Str};
use crate::refusal::Refusal;

/// A request to go on with a conversation.
pub struct Request<'a> {
    /// The format that it was read from.
    pub api: Api,
    /// What the client wants to be sent.
    pub wanted: Wanted,
    /// The messages, in their order; instructions are messages of [`Role::System`], wherever they stand.
    pub messages: Vec<Message<'a>>,
    /// Functions that the model may call.
    pub tools: Vec<Tool<'a>>,
    /// Which of them it must call.
    pub tool_choice: Option<ToolChoice<'a>>,
    /// Whether it may call several at once; `None` for the API's own default (all of them allow it).
    pub parallel_tool_calls: Option<bool>,
    /// The form of the answer; `None` for text.
    pub format: Option<Format<'a>>,
    /// The most tokens to answer, reasoning included.
    pub max_tokens: Option<u64>,
    /// Sampling temperature, a number.
    pub temperature: Option<Json<'a>>,
    /// Nucleus sampling, a number.
    pub top_p: Option<Json<'a>>,
    /// Number of candidates in sampling.
    pub top_k: Option<Json<'a>>,
    /// A number.
    pub frequency_penalty: Option<Json<'a>>,
    /// A number.
    pub presence_penalty: Option<Json<'a>>,
    /// A number.
    pub seed: Option<Json<'a>>,
    /// Strings at which the answer ends.
    pub stop: Vec<Str<'a>>,
    /// Whether and how much to reason; `None` for the model's own default.
    pub reasoning: Option<Reasoning>,
    /// Top-level fields that have a meaning in [`Self::api`] only, with their values. Fields whose value says nothing (the default) are
    /// not in it.
    pub own: Vec<(&'static str, Json<'a>)>,
}

/// What the client wants to be sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// A stream of events.
    pub stream: bool,
    /// Token counts at the end of the stream (chat completions' `stream_options.include_usage`; all others always send them).
    pub usage: bool,
    /// Reasoning that can be sent back (responses' `include: ["reasoning.encrypted_content"]`; all others always send it).
    pub encrypted_reasoning: bool,
}

/// Who speaks. Tool results are parts of a user's message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The model.
    Assistant,
    /// Instructions that come before a user's (`system` and `developer`).
    System,
    /// The user.
    User,
}

/// One message. Two messages of the same role may follow each other; formats that do not allow it join them.
pub struct Message<'a> {
    /// Who speaks.
    pub role: Role,
    /// The participant's name (chat completions only).
    pub name: Option<Str<'a>>,
    /// What is said.
    pub parts: Vec<Part<'a>>,
}

/// One part of a message.
pub struct Part<'a> {
    /// What it is.
    pub kind: PartKind<'a>,
    /// Anthropic's `cache_control`, a wish that changes nothing of the answer. Formats without it leave it out.
    pub cache_control: Option<Json<'a>>,
}

impl<'a> From<PartKind<'a>> for Part<'a> {
    fn from(kind: PartKind<'a>) -> Self {
        Self { kind, cache_control: None }
    }
}

/// What a part is.
pub enum PartKind<'a> {
    /// Sound.
    Audio(Audio<'a>),
    /// A document.
    Document(Document<'a>),
    /// A picture.
    Image(Image<'a>),
    /// What the model thought.
    Reasoning(Thinking<'a>),
    /// The model's refusal to answer.
    Refusal(Str<'a>),
    /// Text.
    Text(Str<'a>),
    /// The model calls a function.
    ToolCall(ToolCall<'a>),
    /// What a function returned.
    ToolResult(ToolResult<'a>),
}

/// Sound, inline.
pub struct Audio<'a> {
    /// Media type, such as `audio/wav` or `audio/mpeg`.
    pub media_type: Str<'a>,
    /// Base64.
    pub data: Str<'a>,
}

/// A document, inline.
pub struct Document<'a> {
    /// Media type: `application/pdf`, `text/plain`, …
    pub media_type: Str<'a>,
    /// Base64, also for text.
    pub data: Str<'a>,
    /// File name or title.
    pub name: Option<Str<'a>>,
}

impl Document<'_> {
    /// The name, or one for formats that refuse a document without.
    #[must_use]
    pub fn file_name(&self) -> Str<'_> {
        let without = if self.media_type.raw() == "application/pdf" { "document.pdf" } else { "document.txt" };
        self.name.as_ref().map_or(Str::constant(without), Str::borrowed)
    }
}

/// A picture, inline.
pub struct Image<'a> {
    /// Media type, such as `image/png`.
    pub media_type: Str<'a>,
    /// Base64.
    pub data: Str<'a>,
    /// `low`, `high`, `auto`, `original` (OpenAI's formats only; `auto` says nothing and is `None`).
    pub detail: Option<Str<'a>>,
}

/// What the model thought, in a form that it can be sent back.
#[derive(Default)]
pub struct Thinking<'a> {
    /// Id of a responses item.
    pub id: Option<Str<'a>>,
    /// Thoughts, or a summary of them; empty where only the encrypted form exists.
    pub text: Option<Str<'a>>,
    /// Where there is a text: the provider's signature over it. Without a text: the thoughts, encrypted.
    pub signature: Option<Str<'a>>,
}

/// A call of a function.
pub struct ToolCall<'a> {
    /// Pairs the call with its result.
    pub id: Str<'a>,
    /// The function.
    pub name: Str<'a>,
    /// What it is called with.
    pub arguments: Arguments<'a>,
    /// Gemini's `thoughtSignature`, which must be sent back with the call.
    pub signature: Option<Str<'a>>,
}

/// Arguments of a call: a JSON object, or (OpenAI) a string that holds one.
#[derive(Clone)]
pub enum Arguments<'a> {
    /// A JSON object.
    Object(Json<'a>),
    /// A JSON string's inside; a model may have written something that is no JSON.
    Text(Str<'a>),
}

impl Arguments<'_> {
    /// As a JSON value; a string that is empty is `{}`.
    ///
    /// # Errors
    /// [`Refusal::WrongType`] for a string that holds no JSON object: `field` names where it stood.
    pub fn object(&self, field: &'static str) -> Result<Json<'_>, Refusal> {
        match self {
            Self::Object(json) => Ok(json.borrowed()),
            Self::Text(text) => {
                let plain = text.plain();
                let plain = if plain.trim().is_empty() { Cow::Borrowed("{}") } else { Cow::Owned(plain.trim().to_owned()) };
                let wrong = Refusal::WrongType(field, "a string that holds a JSON object");
                if !plain.starts_with('{') {
                    return Err(wrong);
                }
                Json::checked(plain).map_err(|_| wrong)
            }
        }
    }

    /// As the inside of a JSON string.
    #[must_use]
    pub fn text(&self) -> Str<'_> {
        match self {
            Self::Object(json) => Str::of(json.raw()),
            Self::Text(text) => text.borrowed(),
        }
    }
}

/// What a function returned.
pub struct ToolResult<'a> {
    /// Id of the call.
    pub id: Str<'a>,
    /// The function's name, where the format says it or an earlier call does.
    pub name: Option<Str<'a>>,
    /// Text, pictures and documents.
    pub content: Vec<Part<'a>>,
    /// The function failed.
    pub is_error: bool,
}

/// A function that the model may call.
pub struct Tool<'a> {
    /// Its name.
    pub name: Str<'a>,
    /// What it does.
    pub description: Option<Str<'a>>,
    /// JSON Schema of its arguments, an object.
    pub parameters: Option<Json<'a>>,
    /// Arguments must follow the schema.
    pub strict: Option<bool>,
    /// As in [`Part::cache_control`].
    pub cache_control: Option<Json<'a>>,
}

/// Which functions the model must call.
pub enum ToolChoice<'a> {
    /// As it likes.
    Auto,
    /// This one.
    Function(Str<'a>),
    /// None.
    None,
    /// At least one.
    Required,
}

/// The form of the answer.
pub enum Format<'a> {
    /// Any JSON object.
    JsonObject,
    /// JSON that follows a schema.
    Schema {
        /// The schema's name, where the format has one.
        name: Option<Str<'a>>,
        /// What it is for.
        description: Option<Str<'a>>,
        /// JSON Schema, an object.
        schema: Json<'a>,
        /// The answer must follow it exactly.
        strict: Option<bool>,
    },
}

impl Format<'_> {
    /// The schema, with what it is for in its own `description`: for formats that have no other place for that.
    ///
    /// # Errors
    /// [`Refusal`] for a schema that is no object.
    pub fn described(&self) -> Result<Option<Json<'_>>, Refusal> {
        Ok(match self {
            Self::JsonObject => None,
            Self::Schema { description: Some(description), schema, .. } => Some(schema.with("description", description)?),
            Self::Schema { schema, .. } => Some(schema.borrowed()),
        })
    }
}

/// Whether and how much to reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reasoning {
    /// How much, in words.
    pub effort: Option<Effort>,
    /// How much, in tokens; 0 for not at all.
    pub budget_tokens: Option<u64>,
    /// As much as the model finds right (Anthropic's `adaptive`, Gemini's budget -1).
    pub adaptive: bool,
    /// Thoughts are wanted in the answer (`summary`, `includeThoughts`); `None` for the format's own default.
    pub shown: Option<bool>,
}

/// How much to reason, in words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Effort {
    /// Not at all.
    None,
    /// `minimal`
    Minimal,
    /// `low`
    Low,
    /// `medium`
    Medium,
    /// `high`
    High,
    /// `xhigh`
    ExtraHigh,
    /// `max`
    Max,
}

impl Effort {
    /// Every effort, the least first.
    pub const ALL: [Self; 7] = [Self::None, Self::Minimal, Self::Low, Self::Medium, Self::High, Self::ExtraHigh, Self::Max];

    /// The word.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Minimal => "minimal",
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::ExtraHigh => "xhigh",
            Self::Max => "max",
        }
    }

    /// The effort with this word.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|effort| effort.name() == name)
    }

    /// A budget in tokens that stands for the word, where a format has numbers only.
    #[must_use]
    pub const fn budget_tokens(self) -> u64 {
        match self {
            Self::None => 0,
            Self::Minimal | Self::Low => 1024,
            Self::Medium => 4096,
            Self::High => 16_384,
            Self::ExtraHigh | Self::Max => 32_768,
        }
    }

    /// The word that stands for a budget in tokens, where a format has words only.
    #[must_use]
    pub const fn of_budget(tokens: u64) -> Self {
        match tokens {
            0 => Self::None,
            1..=2048 => Self::Low,
            2049..=8192 => Self::Medium,
            _ => Self::High,
        }
    }
}

impl Request<'_> {
    /// A request of `api` with nothing in it.
    #[must_use]
    pub const fn new(api: Api) -> Self {
        Self {
            api,
            wanted: Wanted { stream: false, usage: false, encrypted_reasoning: false },
            messages: Vec::new(),
            tools: Vec::new(),
            tool_choice: None,
            parallel_tool_calls: None,
            format: None,
            max_tokens: None,
            temperature: None,
            top_p: None,
            top_k: None,
            frequency_penalty: None,
            presence_penalty: None,
            seed: None,
            stop: Vec::new(),
            reasoning: None,
            own: Vec::new(),
        }
    }

    /// Takes every wish to cache out: for a provider whose caches are not to be used.
    pub fn forget_caches(&mut self) {
        for part in self.messages.iter_mut().flat_map(|message| &mut message.parts) {
            part.cache_control = None;
            if let PartKind::ToolResult(result) = &mut part.kind {
                result.content.iter_mut().for_each(|part| part.cache_control = None);
            }
        }
        self.tools.iter_mut().for_each(|tool| tool.cache_control = None);
    }

    /// Refuses what only another format than `target` can express: for the beginning of every writer.
    ///
    /// # Errors
    /// [`Refusal::Untranslatable`] names the first such field.
    pub fn refuse_own(&self, target: Api) -> Result<(), Refusal> {
        match self.own.first() {
            Some((field, _)) if self.api != target => Err(Refusal::Untranslatable { field, target }),
            _ => Ok(()),
        }
    }
}

/// Where a request is sent: what a writer needs to know besides the request.
pub struct Sending<'a> {
    /// The provider's name of the model.
    pub model: &'a str,
    /// The most that the model answers, for formats that must be told a limit and a client that gave none.
    pub max_output_tokens: Option<u32>,
}
