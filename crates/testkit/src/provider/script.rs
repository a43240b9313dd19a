//! What a scripted model does, whatever the dialect: the words of its name say it.
//!
//! A name's words stand between `-`, `.`, `/`, `:`, `@`, `%` and `_`; the rest of the name is free. What is said:
//! * `text` (and no other word): the provider's reply.
//! * `tool`: one call of the first tool (of the chosen one, if one is chosen), with arguments that fit its schema; once results
//!   are there, a text with them. `two-tools`: a second call beside it, of the last tool.
//! * `json`: a value that fits the schema of the request's structured output; a call, where a tool that has to be called takes its place.
//! * `see`: media type and length of each picture, document and sound of the request.
//! * `think`: thoughts before everything else, with whatever the dialect has for giving them back.
//! * `length`, `filter`: half of the reply, and that reason.
//! * `error-STATUS`: the dialect's own error, with the prompt in its text; `error-429` says when to try again.
//!
//! A model that is asked without what its script needs (no tool, no schema, no picture) refuses with 400: a translation that loses
//! it is found. How it is said: `midstream-error`, `cut`, `stall`, `hang`, `no-done`, `crlf`, `split`, `slow`,
//! `comments` (see [`super::deliver`]).

use serde_json::{Map, Value, json};

/// Tokens of every request that is answered.
pub const INPUT_TOKENS: u64 = 20;
/// Those of them that came from the provider's cache.
pub const CACHED_TOKENS: u64 = 4;
/// Tokens of every answer.
pub const OUTPUT_TOKENS: u64 = 12;
/// Those of them that were thoughts, where there are any.
pub const THOUGHT_TOKENS: u64 = 5;
/// An embedding, over and over for as many numbers as are asked for.
pub const VECTOR: [f32; 3] = [0.25, -0.5, 1.0];
/// What a model that thinks thinks.
pub const THOUGHTS: &str = "The user asks, so I answer.";
/// What a provider gives for its thoughts, to be given back with them unchanged. Base64, as everywhere.
pub const SIGNATURE: &str = "c2NyaXB0ZWQgc2lnbmF0dXJl";

/// Words that make a model one of this script's.
const WORDS: &[&str] = &[
    "text",
    "tool",
    "tools",
    "json",
    "see",
    "think",
    "error",
    "length",
    "filter",
    "midstream",
    "cut",
    "crlf",
    "split",
    "slow",
    "comments",
    "embed",
    "embedding",
    "rerank",
    "moderation",
];

/// The words of a model's name.
pub(super) struct Words<'a>(Vec<&'a str>);

impl<'a> Words<'a> {
    pub(super) fn of(model: &'a str) -> Self {
        Self(model.split(['-', '.', '/', ':', '@', '_', '%']).collect())
    }

    pub(super) fn has(&self, word: &str) -> bool {
        self.0.contains(&word)
    }

    /// Two words beside each other.
    pub(super) fn pair(&self, first: &str, second: &str) -> bool {
        self.0.windows(2).any(|pair| pair == [first, second])
    }

    pub(super) fn any(&self) -> bool {
        self.0.iter().any(|word| WORDS.contains(word))
    }

    fn error(&self) -> Option<u16> {
        let at = self.0.iter().position(|word| *word == "error")?;
        self.0.get(at + 1)?.parse().ok()
    }
}

/// What a request asks for, as its dialect says it.
#[derive(Default)]
pub(super) struct Asked {
    pub(super) model: String,
    pub(super) streamed: bool,
    /// The text of the last turn of the user.
    pub(super) prompt: String,
    /// The results of tools since the model's last turn.
    pub(super) results: Vec<String>,
    pub(super) tools: Vec<Tool>,
    pub(super) choice: Choice,
    pub(super) output: Output,
    pub(super) media: Vec<Media>,
    /// Where the text has to end.
    pub(super) stops: Vec<String>,
}

pub(super) struct Tool {
    pub(super) name: String,
    pub(super) schema: Value,
}

#[derive(Default)]
pub(super) enum Choice {
    /// Some tool has to be called.
    Any,
    #[default]
    Free,
    Named(String),
    None,
}

/// What the text has to be.
#[derive(Default)]
pub(super) enum Output {
    #[default]
    Free,
    Json,
    Schema(Value),
}

/// Something inline, or a link.
pub(super) enum Media {
    Inline { media_type: String, length: usize },
    Link(String),
}

/// What the model says.
pub(super) struct Turn {
    pub(super) thoughts: Option<&'static str>,
    pub(super) text: Option<String>,
    pub(super) calls: Vec<Call>,
    pub(super) finish: Finish,
    /// What of the request's stops ended it, if one did.
    pub(super) stopped_by: Option<String>,
}

pub(super) struct Call {
    pub(super) id: &'static str,
    pub(super) name: String,
    pub(super) arguments: Value,
}

#[derive(Clone, Copy, PartialEq)]
pub(super) enum Finish {
    Calls,
    Filter,
    Length,
    /// By itself.
    Stop,
}

/// Why the model says nothing.
pub(super) struct Refused {
    pub(super) status: u16,
    pub(super) message: String,
}

impl Refused {
    pub(super) fn bad(message: impl Into<String>) -> Self {
        Self { status: 400, message: message.into() }
    }
}

impl Turn {
    /// Text in two halves, as a stream says it.
    pub(super) fn halves(text: &str) -> (&str, &str) {
        let middle = (text.len() / 2..text.len()).find(|at| text.is_char_boundary(*at)).unwrap_or(text.len());
        text.split_at(middle)
    }

    pub(super) fn thought_tokens(&self) -> u64 {
        if self.thoughts.is_some() { THOUGHT_TOKENS } else { 0 }
    }
}

/// Plays the part that the model's name gives it; `reply` is what it says if nothing else is asked for.
pub(super) fn play(asked: &Asked, reply: &str) -> Result<Turn, Refused> {
    let words = Words::of(&asked.model);
    if let Some(status) = words.error() {
        return Err(Refused { status, message: format!("The script refuses this: {}", asked.prompt) });
    }
    let thoughts = words.has("think").then_some(THOUGHTS);
    let mut turn = Turn { thoughts, text: None, calls: Vec::new(), finish: Finish::Stop, stopped_by: None };
    let calls = words.has("tool") || words.has("tools");
    if calls && !asked.results.is_empty() {
        turn.text = Some(format!("The tool said: {}", asked.results.join(" and ")));
    } else if calls && !matches!(asked.choice, Choice::None) {
        turn.calls = calls_of(asked, words.pair("two", "tools"))?;
        turn.finish = Finish::Calls;
    } else if words.has("json") && matches!((&asked.output, &asked.choice), (Output::Free, Choice::Any | Choice::Named(_))) {
        turn.calls = calls_of(asked, false)?;
        turn.finish = Finish::Calls;
    } else if words.has("json") {
        turn.text = Some(match &asked.output {
            Output::Free => return Err(Refused::bad("This model answers JSON, and the request asks for none.")),
            Output::Json => json!({"city": "Paris"}).to_string(),
            Output::Schema(schema) => example(schema, schema, "Paris").to_string(),
        });
    } else if words.has("see") {
        if asked.media.is_empty() {
            return Err(Refused::bad("This model looks at media, and the request has none."));
        }
        let seen: Vec<_> = asked.media.iter().map(Media::described).collect();
        turn.text = Some(format!("I see {}", seen.join(" and ")));
    } else {
        turn.text = Some(reply.to_owned());
    }
    if let Some(text) = &mut turn.text
        && let Some((at, stop)) = asked.stops.iter().filter_map(|stop| Some((text.find(stop)?, stop))).min()
    {
        text.truncate(at);
        turn.stopped_by = Some(stop.clone());
    }
    if words.has("length") || words.has("filter") {
        turn.finish = if words.has("length") { Finish::Length } else { Finish::Filter };
        turn.text = turn.text.map(|text| Turn::halves(&text).0.to_owned());
    }
    Ok(turn)
}

impl Media {
    /// Decodes base64, which has to be right.
    pub(super) fn inline(media_type: &str, base64: &str) -> Result<Self, Refused> {
        match data_encoding::BASE64.decode(base64.as_bytes()) {
            Ok(data) if !data.is_empty() => Ok(Self::Inline { media_type: media_type.to_owned(), length: data.len() }),
            _ => Err(Refused::bad("The media are not base64.")),
        }
    }

    /// Something at `url`, which may be a data URL (RFC 2397).
    pub(super) fn at(url: &str) -> Result<Self, Refused> {
        let Some(data) = url.strip_prefix("data:") else { return Ok(Self::Link(url.to_owned())) };
        let (media_type, base64) = data.split_once(";base64,").ok_or_else(|| Refused::bad("The data URL is not base64."))?;
        Self::inline(media_type, base64)
    }

    fn described(&self) -> String {
        match self {
            Self::Inline { media_type, length } => format!("{media_type} of {length} bytes"),
            Self::Link(url) => format!("a link to {url}"),
        }
    }
}

fn calls_of(asked: &Asked, two: bool) -> Result<Vec<Call>, Refused> {
    let none = || Refused::bad("This model calls tools, and the request has none.");
    let first = match &asked.choice {
        Choice::Named(name) => asked.tools.iter().find(|tool| tool.name == *name).ok_or_else(none)?,
        _ => asked.tools.first().ok_or_else(none)?,
    };
    let call = |id, tool: &Tool, city| Call { id, name: tool.name.clone(), arguments: example(&tool.schema, &tool.schema, city) };
    let mut calls = vec![call("call_scripted_1", first, "Paris")];
    if two {
        calls.push(call("call_scripted_2", asked.tools.last().unwrap_or(first), "Rome"));
    }
    Ok(calls)
}

/// An embedding: of three numbers, or of as many as are asked for.
pub(super) fn vector(dimensions: Option<u64>) -> Vec<f32> {
    let dimensions = dimensions.and_then(|count| usize::try_from(count).ok()).unwrap_or(3);
    VECTOR.into_iter().cycle().take(dimensions).collect()
}

/// A value that fits a JSON schema, with `city` for every string.
fn example(schema: &Value, root: &Value, city: &str) -> Value {
    if let Some(name) = schema["$ref"].as_str() {
        let name = name.rsplit('/').next().unwrap_or(name);
        let found = if root["$defs"][name].is_null() { &root["definitions"][name] } else { &root["$defs"][name] };
        return example(found, root, city);
    }
    if let Some(value) = schema.get("const").or_else(|| schema["enum"].get(0)) {
        return value.clone();
    }
    if let Some(first) = schema["anyOf"].get(0).or_else(|| schema["oneOf"].get(0)) {
        return example(first, root, city);
    }
    let kind = schema["type"].as_str().or_else(|| schema["type"][0].as_str()).unwrap_or("object").to_ascii_lowercase();
    match kind.as_str() {
        "array" => json!([example(&schema["items"], root, city)]),
        "boolean" => json!(true),
        "integer" => json!(7),
        "null" => Value::Null,
        "number" => json!(0.5),
        "string" => json!(city),
        _ => {
            let properties = schema["properties"].as_object().into_iter().flatten();
            Value::Object(properties.map(|(name, schema)| (name.clone(), example(schema, root, city))).collect::<Map<_, _>>())
        }
    }
}
