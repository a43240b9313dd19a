//! A `GenerateContentResponse`, read and written.

use lethe_content::ContentBuf;

use super::content_read::{function_call, inline_data, push};
use super::content_write::{To, write_parts};
use super::fields::spelled;
use crate::conversation::{Arguments, Finish, Identity, Json, Malformed, Part, PartKind, Reply, Str, Thinking, ToolCall, Usage};
use crate::json::{Cursor, JsonError, Kind};
use crate::refusal::Refusal;
use crate::write::Writer;

/// What one response says: a whole answer, or a step of a stream.
#[derive(Default)]
pub(super) struct Response<'a> {
    pub(super) id: Option<Str<'a>>,
    pub(super) parts: Vec<Piece<'a>>,
    pub(super) ended: Option<Ended<'a>>,
    pub(super) usage: Option<Usage>,
    /// The provider failed, in its own words.
    pub(super) error: Option<Str<'a>>,
}

/// A part of an answer.
pub(super) enum Piece<'a> {
    /// A call, whose id may be missing.
    Call { id: Option<Str<'a>>, name: Str<'a>, args: Json<'a>, signature: Option<Str<'a>> },
    /// A picture or a sound.
    Media(PartKind<'a>),
    /// What the model says, or a signature alone.
    Text { text: Str<'a>, signature: Option<Str<'a>> },
    /// What the model thinks.
    Thought { text: Str<'a>, signature: Option<Str<'a>> },
}

/// How an answer ends.
pub(super) enum Ended<'a> {
    /// The model or the server could not finish it; in the provider's words, where it has some.
    Failed(Option<Str<'a>>),
    /// With a reason that every format has.
    Finished(Finish<'static>),
}

impl<'a> Response<'a> {
    pub(super) fn read(body: &'a [u8]) -> Result<Self, Malformed> {
        let mut cursor = Cursor::new(body)?;
        let mut response = Self::default();
        let (mut reason, mut words) = (None, None);
        cursor.object(|key, _, value| {
            let kind = value.kind()?;
            match (spelled(key.plain()).as_ref(), kind) {
                ("responseId", Kind::String) => response.id = Some(value.string()?.into()),
                ("usageMetadata", Kind::Object) => response.usage = usage(value)?,
                ("candidates", Kind::Array) => value.array(|item| response.candidate(item, &mut reason, &mut words))?,
                ("promptFeedback", Kind::Object) => value.object(|key, _, value| {
                    match (spelled(key.plain()).as_ref(), value.kind()?) {
                        ("blockReason", Kind::String) if value.string()?.raw() != "BLOCKED_REASON_UNSPECIFIED" => {
                            response.ended = Some(Ended::Finished(Finish::ContentFilter));
                        }
                        ("blockReason", Kind::String) => {}
                        _ => value.skip().map(drop)?,
                    }
                    Ok::<(), Malformed>(())
                })?,
                ("error", Kind::Object | Kind::String) => {
                    let span = value.skip()?;
                    let message = crate::error::message(value.text(span).as_bytes());
                    response.error = Some(message.map_or(Str::EMPTY, Str::into_owned));
                }
                _ => value.skip().map(drop)?,
            }
            Ok::<(), Malformed>(())
        })?;
        cursor.end()?;
        if let Some(reason) = reason {
            let called = response.parts.iter().any(|part| matches!(part, Piece::Call { .. }));
            response.ended = ended(&reason, called, words).or(response.ended);
        }
        Ok(response)
    }

    fn candidate(
        &mut self,
        value: &mut Cursor<'a>,
        reason: &mut Option<String>,
        words: &mut Option<Str<'a>>,
    ) -> Result<(), Malformed> {
        value.object(|key, _, value| {
            match (spelled(key.plain()).as_ref(), value.kind()?) {
                // One answer was asked for.
                ("index", Kind::Number) if value.count().is_ok_and(|index| index == 0) => {}
                ("index", Kind::Number) => return Err(Malformed),
                ("content", Kind::Object) => value.object(|key, _, value| match (key.raw(), value.kind()?) {
                    ("parts", Kind::Array) => value.array(|item| self.part(item)),
                    _ => Ok(value.skip().map(drop)?),
                })?,
                ("finishReason", Kind::String) if reason.is_none() => *reason = Some(value.string()?.unescaped()),
                ("finishReason", Kind::String) => return Err(Malformed),
                ("finishMessage", Kind::String) => *words = Some(value.string()?.into()),
                _ => value.skip().map(drop)?,
            }
            Ok(())
        })
    }

    fn part(&mut self, value: &mut Cursor<'a>) -> Result<(), Malformed> {
        let (mut text, mut thought, mut signature, mut media, mut call) = (None, false, None, None, None);
        value.object(|key, _, value| {
            match (spelled(key.plain()).as_ref(), value.kind()?) {
                ("text", Kind::String) => text = Some(Str::from(value.string()?)),
                ("thought", Kind::Bool) => thought = value.boolean()?,
                ("thoughtSignature", Kind::String) => signature = Some(Str::from(value.string()?)),
                // What is wrong in an answer is the provider's doing, whatever the code for it in a request would be.
                ("inlineData", Kind::Object) => media = Some(inline_data(value).map_err(|_: Refusal| Malformed)?),
                ("functionCall", Kind::Object) => call = Some(function_call(value).map_err(|_: Refusal| Malformed)?),
                // Answers of tools that a server runs, and media that it keeps: no other format could show them, and none was asked for.
                (
                    "codeExecutionResult" | "executableCode" | "fileData" | "functionResponse" | "toolCall" | "toolResponse",
                    Kind::Object,
                ) => return Err(Malformed),
                _ => value.skip().map(drop)?,
            }
            Ok::<(), Malformed>(())
        })?;
        let signature = signature.filter(|signature| !signature.is_empty());
        let text = text.unwrap_or(Str::EMPTY);
        self.parts.push(match (call, media) {
            (Some(call), _) => Piece::Call {
                id: call.id.filter(|id| !id.is_empty()),
                name: call.name.ok_or(Malformed)?,
                args: call.args.unwrap_or(Json::EMPTY_OBJECT),
                signature,
            },
            // Pictures on the way to the answer.
            (None, Some(_)) if thought => return Ok(()),
            (None, Some(media)) => Piece::Media(media),
            (None, None) if thought => Piece::Thought { text, signature },
            (None, None) => Piece::Text { text, signature },
        });
        Ok(())
    }
}

/// `finishReason` (<https://ai.google.dev/api/generate-content#FinishReason>); `None` for the one that stands for none.
fn ended<'a>(reason: &str, called: bool, words: Option<Str<'a>>) -> Option<Ended<'a>> {
    Some(Ended::Finished(match reason {
        "FINISH_REASON_UNSPECIFIED" => return None,
        "STOP" if called => Finish::ToolCalls,
        "STOP" => Finish::Stop,
        "MAX_TOKENS" => Finish::Length,
        "BLOCKLIST"
        | "IMAGE_PROHIBITED_CONTENT"
        | "IMAGE_RECITATION"
        | "IMAGE_SAFETY"
        | "LANGUAGE"
        | "MODEL_ARMOR"
        | "PROHIBITED_CONTENT"
        | "RECITATION"
        | "SAFETY"
        | "SPII" => Finish::ContentFilter,
        // MALFORMED_FUNCTION_CALL, UNEXPECTED_TOOL_CALL, MISSING_THOUGHT_SIGNATURE, OTHER, …: the answer is not done, and no other format has a
        // reason that says so.
        _ => return Some(Ended::Failed(words)),
    }))
}

/// The id of the `number`th call of the answer `answer`, where its provider gives none: unlike those of other answers in the conversation.
pub(super) fn call_id(answer: Option<&str>, number: usize) -> Str<'static> {
    let plain = |id: &&str| {
        (1..=40).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
    };
    match answer.filter(plain) {
        Some(answer) => Str::of(&format!("call_{answer}_{number}")),
        None => Str::of(&format!("call_{number}")),
    }
}

/// Reads an answer that is not streamed.
///
/// # Errors
/// [`Malformed`] for what is none, and for one that the model or the server could not finish.
pub fn read_reply(body: &[u8]) -> Result<Reply<'_>, Malformed> {
    let response = Response::read(body)?;
    let (None, Some(Ended::Finished(finish))) = (response.error, response.ended) else { return Err(Malformed) };
    let mut parts: Vec<Part<'_>> = Vec::new();
    let mut calls = 0;
    for piece in response.parts {
        match piece {
            Piece::Call { id, name, args, signature } => {
                let id = id.unwrap_or_else(|| call_id(response.id.as_ref().map(Str::raw), calls));
                calls += 1;
                parts.push(PartKind::ToolCall(ToolCall { id, name, arguments: Arguments::Object(args), signature }).into());
            }
            Piece::Media(media) => parts.push(media.into()),
            Piece::Text { text, signature } => {
                if !text.is_empty() {
                    parts.push(PartKind::Text(text).into());
                }
                if signature.is_some() {
                    parts.push(PartKind::Reasoning(Thinking { id: None, text: None, signature }).into());
                }
            }
            Piece::Thought { text, signature } => {
                let text = Some(text).filter(|text| !text.is_empty());
                if text.is_some() || signature.is_some() {
                    push(&mut parts, PartKind::Reasoning(Thinking { id: None, text, signature }));
                }
            }
        }
    }
    Ok(Reply { id: response.id, parts, finish, usage: response.usage })
}

/// Reads `usageMetadata`; `None` when it has no counts that can be believed.
fn usage(value: &mut Cursor<'_>) -> Result<Option<Usage>, JsonError> {
    let (mut input, mut said) = (None, 0);
    let mut usage = Usage::default();
    let mut tools = 0;
    value.object(|key, _, value| {
        if value.kind()? != Kind::Number {
            value.skip()?;
            return Ok(());
        }
        let counted = tokens(value)?;
        match spelled(key.plain()).as_ref() {
            "promptTokenCount" => input = counted,
            "cachedContentTokenCount" => usage.cached = counted,
            "candidatesTokenCount" => said = counted.unwrap_or(0),
            "thoughtsTokenCount" => usage.reasoning = counted,
            "toolUsePromptTokenCount" => tools = counted.unwrap_or(0),
            _ => {}
        }
        Ok::<(), JsonError>(())
    })?;
    // A count is far below half of what the type holds.
    let output = said.saturating_add(usage.reasoning.unwrap_or(0));
    Ok(input.map(|input| Usage { input: input.saturating_add(tools), output, ..usage }))
}

/// A token count; `None` for a number that is none.
pub(super) fn tokens(value: &mut Cursor<'_>) -> Result<Option<u32>, JsonError> {
    match value.count() {
        Ok(count) => Ok(Usage::count(count)),
        // `count` has checked and passed the number before it found that it is no count.
        Err(error) if error.flaw == crate::json::Flaw::Type => Ok(None),
        Err(error) => Err(error),
    }
}

/// Writes an answer as a `GenerateContentResponse`.
///
/// # Errors
/// [`Malformed`] for a call whose arguments are no object, and for results.
pub fn write_reply(reply: &Reply<'_>, identity: &Identity, out: &mut ContentBuf) -> Result<(), Malformed> {
    let refused = reply.parts.iter().any(|part| matches!(part.kind, PartKind::Refusal(_)));
    let parts: Vec<&Part<'_>> = reply.parts.iter().collect();
    write_response(&mut Writer::new(out), identity, &parts, Some(finish_reason(&reply.finish, refused)), reply.usage.as_ref())
}

/// The word for a reason. A refusal has none of its own: it is shown as what a filter would have done.
pub(super) const fn finish_reason(finish: &Finish<'_>, refused: bool) -> &'static str {
    match finish {
        Finish::ContentFilter | Finish::Refusal => "SAFETY",
        Finish::Length => "MAX_TOKENS",
        Finish::Pause => "OTHER",
        Finish::Stop | Finish::StopSequence(_) | Finish::ToolCalls if refused => "SAFETY",
        Finish::Stop | Finish::StopSequence(_) | Finish::ToolCalls => "STOP",
    }
}

/// Writes one response: an answer, or a step of a stream.
pub(super) fn write_response(
    json: &mut Writer<'_>,
    identity: &Identity,
    parts: &[&Part<'_>],
    reason: Option<&'static str>,
    usage: Option<&Usage>,
) -> Result<(), Malformed> {
    json.try_object(|json| {
        json.key("candidates").try_array(|json| {
            json.try_object(|json| {
                json.key("content").try_object(|json| {
                    json.key("parts").try_array(|json| {
                        if parts.is_empty() {
                            // Clients take a content without parts for a broken answer, and forget all of it.
                            json.object(|json| json.constant("text", ""));
                        }
                        write_parts(json, parts, To::Client, &[])
                    })?;
                    json.constant("role", "model");
                    Ok::<(), Refusal>(())
                })?;
                if let Some(reason) = reason {
                    json.constant("finishReason", reason);
                }
                json.key("index").number(0);
                Ok::<(), Refusal>(())
            })
        })?;
        if let Some(usage) = usage {
            json.key("usageMetadata").object(|json| write_usage(json, usage));
        }
        json.key("modelVersion").plain(&identity.model);
        json.key("responseId").plain(&identity.id);
        Ok(())
    })
    .map_err(|_: Refusal| Malformed)
}

fn write_usage(json: &mut Writer<'_>, usage: &Usage) {
    json.key("promptTokenCount").number(usage.input.into());
    if let Some(cached) = usage.cached {
        json.key("cachedContentTokenCount").number(cached.into());
    }
    json.key("candidatesTokenCount").number(usage.output.saturating_sub(usage.reasoning.unwrap_or(0)).into());
    if let Some(reasoning) = usage.reasoning {
        json.key("thoughtsTokenCount").number(reasoning.into());
    }
    json.key("totalTokenCount").number(u64::from(usage.input) + u64::from(usage.output));
}
