//! A chat completion request, parsed and checked.
//!
//! The body is split into its fields first and each field then read by itself, so that a refusal names the field and no message of the
//! JSON parser, which quotes its input, is ever needed. Fields that this engine does not know are passed over.

use std::hash::{BuildHasher, RandomState};

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use crate::refusal::{Field, Refusal};
use crate::sampler::Sampling;
use crate::template::Role;

/// Most stop sequences, as OpenAI allows.
const STOP_LIMIT: usize = 4;
/// Where the client does not say: what the model's own page recommends (<https://huggingface.co/HuggingFaceTB/SmolLM2-135M-Instruct>).
const DEFAULT_TEMPERATURE: f32 = 0.2;
/// As [`DEFAULT_TEMPERATURE`].
const DEFAULT_TOP_P: f32 = 0.9;

/// What somebody said. Holds content: no `Debug`.
pub struct Message {
    /// Who.
    pub role: Role,
    /// What.
    pub content: String,
}

/// A request to answer. Holds content: no `Debug`.
pub struct ChatRequest {
    /// The conversation.
    pub messages: Vec<Message>,
    /// Most tokens of the answer, if the client said.
    pub max_tokens: Option<usize>,
    /// How tokens are chosen.
    pub sampling: Sampling,
    /// Where the answer ends.
    pub stop: Vec<String>,
    /// Answer piece by piece.
    pub stream: bool,
    /// End a stream with the usage.
    pub include_usage: bool,
}

type Raw<'a> = Option<&'a RawValue>;

#[derive(Deserialize)]
struct Fields<'a> {
    #[serde(borrow)]
    audio: Raw<'a>,
    #[serde(borrow)]
    frequency_penalty: Raw<'a>,
    #[serde(borrow)]
    functions: Raw<'a>,
    #[serde(borrow)]
    logit_bias: Raw<'a>,
    #[serde(borrow)]
    logprobs: Raw<'a>,
    #[serde(borrow)]
    max_completion_tokens: Raw<'a>,
    #[serde(borrow)]
    max_tokens: Raw<'a>,
    #[serde(borrow)]
    messages: Raw<'a>,
    #[serde(borrow)]
    modalities: Raw<'a>,
    #[serde(borrow)]
    model: Raw<'a>,
    #[serde(borrow)]
    n: Raw<'a>,
    #[serde(borrow)]
    presence_penalty: Raw<'a>,
    #[serde(borrow)]
    response_format: Raw<'a>,
    #[serde(borrow)]
    seed: Raw<'a>,
    #[serde(borrow)]
    stop: Raw<'a>,
    #[serde(borrow)]
    stream: Raw<'a>,
    #[serde(borrow)]
    stream_options: Raw<'a>,
    #[serde(borrow)]
    temperature: Raw<'a>,
    #[serde(borrow)]
    tool_choice: Raw<'a>,
    #[serde(borrow)]
    tools: Raw<'a>,
    #[serde(borrow)]
    top_logprobs: Raw<'a>,
    #[serde(borrow)]
    top_p: Raw<'a>,
}

#[derive(Deserialize)]
struct MessageFields<'a> {
    #[serde(borrow)]
    content: Raw<'a>,
    #[serde(borrow)]
    role: Raw<'a>,
    #[serde(borrow)]
    tool_calls: Raw<'a>,
}

#[derive(Deserialize)]
struct PartFields<'a> {
    #[serde(borrow)]
    text: Raw<'a>,
    #[serde(borrow)]
    r#type: Raw<'a>,
}

#[derive(Deserialize)]
struct FormatFields<'a> {
    #[serde(borrow)]
    r#type: Raw<'a>,
}

#[derive(Deserialize)]
struct StreamFields<'a> {
    #[serde(borrow)]
    include_usage: Raw<'a>,
}

impl ChatRequest {
    /// Reads a request for the model called `model`.
    ///
    /// # Errors
    /// [`Refusal`], naming the field.
    pub fn parse(body: &[u8], model: &str) -> Result<Self, Refusal> {
        let fields: Fields<'_> =
            serde_json::from_slice(body).map_err(|error| Refusal::Malformed { line: error.line(), column: error.column() })?;
        if required::<String>(fields.model, Field::top("model"))? != model {
            return Err(Refusal::NoSuchModel);
        }
        refuse_what_the_model_cannot_do(&fields)?;
        let stream = optional(fields.stream, Field::top("stream"))?.unwrap_or(false);
        Ok(Self {
            messages: messages(fields.messages)?,
            max_tokens: max_tokens(&fields)?,
            sampling: sampling(&fields)?,
            stop: stop(fields.stop)?,
            stream,
            include_usage: include_usage(fields.stream_options, stream)?,
        })
    }
}

fn read<'a, T: Deserialize<'a>>(raw: &'a RawValue, field: Field) -> Result<T, Refusal> {
    // A raw value is valid JSON already: all that can be wrong is its type.
    serde_json::from_str(raw.get()).map_err(|_| Refusal::WrongType(field))
}

fn optional<T: DeserializeOwned>(raw: Raw<'_>, field: Field) -> Result<Option<T>, Refusal> {
    raw.map(|raw| read(raw, field)).transpose()
}

fn required<T: DeserializeOwned>(raw: Raw<'_>, field: Field) -> Result<T, Refusal> {
    optional(raw, field)?.ok_or(Refusal::Missing(field))
}

fn refuse_what_the_model_cannot_do(fields: &Fields<'_>) -> Result<(), Refusal> {
    for (name, list) in [("functions", fields.functions), ("tools", fields.tools)] {
        if optional::<Vec<serde::de::IgnoredAny>>(list, Field::top(name))?.is_some_and(|list| !list.is_empty()) {
            return Err(Refusal::Unsupported(Field::top(name)));
        }
    }
    if let Some(choice) = fields.tool_choice
        && !matches!(choice.get(), r#""none""# | r#""auto""#)
    {
        return Err(Refusal::Unsupported(Field::top("tool_choice")));
    }
    if optional::<bool>(fields.logprobs, Field::top("logprobs"))? == Some(true) {
        return Err(Refusal::Unsupported(Field::top("logprobs")));
    }
    if optional::<u32>(fields.top_logprobs, Field::top("top_logprobs"))?.is_some_and(|count| count > 0) {
        return Err(Refusal::Unsupported(Field::top("top_logprobs")));
    }
    let bias = optional::<std::collections::HashMap<String, f32>>(fields.logit_bias, Field::top("logit_bias"))?;
    if bias.is_some_and(|bias| !bias.is_empty()) {
        return Err(Refusal::Unsupported(Field::top("logit_bias")));
    }
    if fields.audio.is_some() {
        return Err(Refusal::Unsupported(Field::top("audio")));
    }
    let modalities = optional::<Vec<String>>(fields.modalities, Field::top("modalities"))?;
    if modalities.is_some_and(|modalities| modalities != ["text"]) {
        return Err(Refusal::Unsupported(Field::top("modalities")));
    }
    match optional::<u32>(fields.n, Field::top("n"))? {
        None | Some(1) => {}
        Some(0) => return Err(Refusal::OutOfRange(Field::top("n"))),
        Some(_) => return Err(Refusal::Unsupported(Field::top("n"))),
    }
    if let Some(format) = fields.response_format {
        let field = Field::top("response_format");
        let format: FormatFields<'_> = read(format, field)?;
        if required::<String>(format.r#type, field.member("type"))? != "text" {
            return Err(Refusal::Unsupported(field));
        }
    }
    Ok(())
}

fn messages(raw: Raw<'_>) -> Result<Vec<Message>, Refusal> {
    let field = Field::top("messages");
    let list: Vec<&RawValue> = read(raw.ok_or(Refusal::Missing(field))?, field)?;
    if list.is_empty() {
        return Err(Refusal::OutOfRange(field));
    }
    list.into_iter().enumerate().map(|(index, raw)| message(raw, field.at(index))).collect()
}

fn message(raw: &RawValue, field: Field) -> Result<Message, Refusal> {
    let fields: MessageFields<'_> = read(raw, field)?;
    let role = match required::<String>(fields.role, field.member("role"))?.as_str() {
        "assistant" => Role::Assistant,
        "developer" | "system" => Role::System,
        "user" => Role::User,
        "function" | "tool" => return Err(Refusal::Unsupported(field.member("role"))),
        _ => return Err(Refusal::OutOfRange(field.member("role"))),
    };
    let calls = optional::<Vec<serde::de::IgnoredAny>>(fields.tool_calls, field.member("tool_calls"))?;
    if calls.is_some_and(|calls| !calls.is_empty()) {
        return Err(Refusal::Unsupported(field.member("tool_calls")));
    }
    let raw = fields.content.ok_or(Refusal::Missing(field.member("content")))?;
    Ok(Message { role, content: content(raw, field.member("content"))? })
}

/// A text, or a list of text parts.
fn content(raw: &RawValue, field: Field) -> Result<String, Refusal> {
    if !raw.get().starts_with('[') {
        return read(raw, field);
    }
    let mut content = String::new();
    for (index, raw) in read::<Vec<&RawValue>>(raw, field)?.into_iter().enumerate() {
        let field = field.at(index);
        let part: PartFields<'_> = read(raw, field)?;
        if required::<String>(part.r#type, field.member("type"))? != "text" {
            return Err(Refusal::Unsupported(field.member("type")));
        }
        content.push_str(&required::<String>(part.text, field.member("text"))?);
    }
    Ok(content)
}

fn max_tokens(fields: &Fields<'_>) -> Result<Option<usize>, Refusal> {
    let limit = |raw, field| match optional::<usize>(raw, field)? {
        Some(0) => Err(Refusal::OutOfRange(field)),
        limit => Ok(limit),
    };
    let newer = limit(fields.max_completion_tokens, Field::top("max_completion_tokens"))?;
    let older = limit(fields.max_tokens, Field::top("max_tokens"))?;
    Ok(newer.or(older))
}

fn sampling(fields: &Fields<'_>) -> Result<Sampling, Refusal> {
    let number = |raw, name, range: std::ops::RangeInclusive<f32>, default| {
        let field = Field::top(name);
        match optional::<f32>(raw, field)? {
            None => Ok(default),
            Some(number) if range.contains(&number) => Ok(number),
            Some(_) => Err(Refusal::OutOfRange(field)),
        }
    };
    let seed = optional::<i64>(fields.seed, Field::top("seed"))?;
    Ok(Sampling {
        temperature: number(fields.temperature, "temperature", 0.0..=2.0, DEFAULT_TEMPERATURE)?,
        top_p: number(fields.top_p, "top_p", 0.0..=1.0, DEFAULT_TOP_P)?,
        presence_penalty: number(fields.presence_penalty, "presence_penalty", -2.0..=2.0, 0.0)?,
        frequency_penalty: number(fields.frequency_penalty, "frequency_penalty", -2.0..=2.0, 0.0)?,
        // The keys of a new `RandomState` differ each time; enough for answers to differ.
        seed: seed.map_or_else(|| RandomState::new().hash_one(0), i64::cast_unsigned),
    })
}

fn stop(raw: Raw<'_>) -> Result<Vec<String>, Refusal> {
    let field = Field::top("stop");
    let Some(raw) = raw else { return Ok(Vec::new()) };
    if raw.get().starts_with('"') {
        return Ok(vec![read(raw, field)?]);
    }
    let stops: Vec<String> = read(raw, field)?;
    if stops.len() > STOP_LIMIT { Err(Refusal::OutOfRange(field)) } else { Ok(stops) }
}

fn include_usage(raw: Raw<'_>, stream: bool) -> Result<bool, Refusal> {
    let field = Field::top("stream_options");
    match raw {
        None => Ok(false),
        Some(_) if !stream => Err(Refusal::OutOfRange(field)),
        Some(raw) => {
            let options: StreamFields<'_> = read(raw, field)?;
            Ok(optional(options.include_usage, field.member("include_usage"))?.unwrap_or(false))
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, clippy::panic, reason = "a failed unwrap is a failed test")]

    use super::ChatRequest;
    use crate::refusal::{Field, Refusal};

    const USER: &str = r#""messages":[{"role":"user","content":"hi"}]"#;

    /// Parses a request with `extra` fields.
    fn with(extra: &str) -> Result<ChatRequest, Refusal> {
        ChatRequest::parse(format!(r#"{{"model":"m",{USER}{}{extra}}}"#, if extra.is_empty() { "" } else { "," }).as_bytes(), "m")
    }

    fn refusal(body: &str) -> Refusal {
        ChatRequest::parse(body.as_bytes(), "m").err().unwrap_or_else(|| panic!("{body} was taken"))
    }

    #[test]
    fn defaults() {
        let request = with("").unwrap();
        assert_eq!((request.sampling.temperature, request.sampling.top_p, request.max_tokens), (0.2, 0.9, None));
        assert!(!request.stream && !request.include_usage && request.stop.is_empty());
    }

    #[test]
    fn everything_that_is_understood() {
        let request = with(
            r#""temperature":0.5,"top_p":0.9,"seed":-7,"max_tokens":9,"max_completion_tokens":5,"stop":["a","b"],"stream":true,
               "stream_options":{"include_usage":true},"n":1,"tools":[],"tool_choice":"none","response_format":{"type":"text"},
               "logprobs":false,"logit_bias":{},"modalities":["text"],"user":"someone","unknown":{"a":[1]},"stop_at":null"#,
        )
        .unwrap();
        assert_eq!((request.sampling.temperature, request.sampling.top_p, request.max_tokens), (0.5, 0.9, Some(5)));
        assert_eq!(request.sampling.seed, (-7i64).cast_unsigned());
        assert!(request.stream && request.include_usage);
        assert_eq!(request.stop, ["a", "b"]);
        assert_eq!(with(r#""stop":"x""#).unwrap().stop, ["x"]);
        assert!(with(r#""stop":null,"temperature":null,"tools":null,"n":null"#).is_ok());
    }

    #[test]
    fn contents() {
        let body = r#"{"model":"m","messages":[{"role":"developer","content":"a"},{"role":"assistant","content":"b","tool_calls":[]},
                       {"role":"user","name":"x","content":[{"type":"text","text":"c"},{"type":"text","text":"\u00e9"}]}]}"#;
        let request = ChatRequest::parse(body.as_bytes(), "m").unwrap();
        assert_eq!(request.messages.iter().map(|message| message.content.as_str()).collect::<Vec<_>>(), ["a", "b", "cé"]);
    }

    #[test]
    fn refusals_name_the_field() {
        let top = Field::top;
        for (extra, expected) in [
            (r#""n":2"#, Refusal::Unsupported(top("n"))),
            (r#""n":"1""#, Refusal::WrongType(top("n"))),
            (r#""tools":[{}]"#, Refusal::Unsupported(top("tools"))),
            (r#""tool_choice":"required""#, Refusal::Unsupported(top("tool_choice"))),
            (r#""logprobs":true"#, Refusal::Unsupported(top("logprobs"))),
            (r#""logit_bias":{"1":5}"#, Refusal::Unsupported(top("logit_bias"))),
            (r#""response_format":{"type":"json_object"}"#, Refusal::Unsupported(top("response_format"))),
            (r#""temperature":2.5"#, Refusal::OutOfRange(top("temperature"))),
            (r#""temperature":"hot""#, Refusal::WrongType(top("temperature"))),
            (r#""top_p":-0.1"#, Refusal::OutOfRange(top("top_p"))),
            (r#""max_tokens":0"#, Refusal::OutOfRange(top("max_tokens"))),
            (r#""max_completion_tokens":-1"#, Refusal::WrongType(top("max_completion_tokens"))),
            (r#""seed":1.5"#, Refusal::WrongType(top("seed"))),
            (r#""stop":["a","b","c","d","e"]"#, Refusal::OutOfRange(top("stop"))),
            (r#""stop":5"#, Refusal::WrongType(top("stop"))),
            (r#""stream":"yes""#, Refusal::WrongType(top("stream"))),
            (r#""stream_options":{"include_usage":true}"#, Refusal::OutOfRange(top("stream_options"))),
            (
                r#""stream":true,"stream_options":{"include_usage":1}"#,
                Refusal::WrongType(top("stream_options").member("include_usage")),
            ),
        ] {
            assert_eq!(with(extra).err(), Some(expected), "{extra}");
        }
    }

    #[test]
    fn refusals_of_messages_name_the_place() {
        let field = Field::top("messages");
        for (messages, expected) in [
            (r#"[]"#, Refusal::OutOfRange(field)),
            (r#""hi""#, Refusal::WrongType(field)),
            (r#"["hi"]"#, Refusal::WrongType(field.at(0))),
            (r#"[{"content":"x"}]"#, Refusal::Missing(field.at(0).member("role"))),
            (r#"[{"role":"user"}]"#, Refusal::Missing(field.at(0).member("content"))),
            (r#"[{"role":"user","content":7}]"#, Refusal::WrongType(field.at(0).member("content"))),
            (
                r#"[{"role":"user","content":"x"},{"role":"tool","content":"x"}]"#,
                Refusal::Unsupported(field.at(1).member("role")),
            ),
            (r#"[{"role":"pirate","content":"x"}]"#, Refusal::OutOfRange(field.at(0).member("role"))),
            (
                r#"[{"role":"user","content":[{"type":"text","text":"x"},{"type":"image_url","image_url":{}}]}]"#,
                Refusal::Unsupported(field.at(0).member("content").at(1).member("type")),
            ),
            (
                r#"[{"role":"user","content":[{"type":"text"}]}]"#,
                Refusal::Missing(field.at(0).member("content").at(0).member("text")),
            ),
        ] {
            assert_eq!(refusal(&format!(r#"{{"model":"m","messages":{messages}}}"#)), expected, "{messages}");
        }
        assert_eq!(refusal(r#"{"model":"m"}"#), Refusal::Missing(field));
    }

    #[test]
    fn refusals_of_the_body_say_where_and_quote_nothing() {
        assert_eq!(refusal("{\"model\":\n  canary}"), Refusal::Malformed { line: 2, column: 3 });
        assert!(matches!(refusal(r#""canary-in-a-string""#), Refusal::Malformed { .. }));
        assert_eq!(refusal(&format!(r#"{{"model":"canary",{USER}}}"#)), Refusal::NoSuchModel);
        let says = refusal(r#"{"model":"m","messages":[{"role":"canary","content":"canary"}]}"#).message();
        assert!(!says.contains("canary") && says.contains("messages[0].role"));
    }
}
