//! What requests in OpenAI's formats look like to who only passes them on, and what they conflict with inside of fields.

use std::ops::Range;

use lethe_policy::conflict::{self, Conflict};
use lethe_types::Api;

use crate::inspect::{Seen, Shape, Thoughts};
use crate::json::{Cursor, Kind};
use crate::refusal::Refusal;
use crate::short_id::ShortId;

/// `POST /v1/chat/completions`
pub(crate) struct ChatShape;
/// `POST /v1/completions`
pub(crate) struct CompletionsShape;
/// `POST /v1/embeddings`
pub(crate) struct EmbeddingsShape;
/// `POST /v1/moderations`
pub(crate) struct ModerationsShape;
/// Cohere's and Jina's rerank
pub(crate) struct RerankShape;

impl Shape for ChatShape {
    fn required(&self) -> &'static [&'static str] {
        &["messages"]
    }

    fn prompt(&self) -> &'static [&'static str] {
        &["messages"]
    }

    fn conflict(&self, folded: &str) -> Option<Conflict> {
        conflict::field(Api::Chat, folded)
    }

    fn look(&self, seen: &mut Seen, folded: &str, kind: Kind, value: &mut Cursor<'_>) -> Result<(), Refusal> {
        match (folded, kind) {
            ("stream_options", Kind::Object) => seen.stream_options(value),
            ("messages", Kind::Array) => value.array(|item| message(seen, item)),
            ("messages", _) => Err(Refusal::WrongType("messages", "an array")),
            ("tools", Kind::Array) => seen.tool_types(value, None),
            ("modalities", Kind::Array) => value.array(|item| match item.kind()? {
                Kind::String if item.string()?.is("text") => Ok(()),
                _ => Err(Refusal::Conflict(AUDIO_OUTPUT)),
            }),
            _ => Ok(value.skip().map(drop)?),
        }
    }
}

/// A format whose fields are all read as they are.
macro_rules! plain_shape {
    ($shape:ty, $api:expr, $required:expr, $prompt:expr) => {
        impl Shape for $shape {
            fn required(&self) -> &'static [&'static str] {
                &$required
            }

            fn prompt(&self) -> &'static [&'static str] {
                &$prompt
            }

            fn conflict(&self, folded: &str) -> Option<Conflict> {
                conflict::field($api, folded)
            }

            fn look(&self, seen: &mut Seen, folded: &str, kind: Kind, value: &mut Cursor<'_>) -> Result<(), Refusal> {
                match (folded, kind) {
                    ("stream_options", Kind::Object) => seen.stream_options(value),
                    _ => Ok(value.skip().map(drop)?),
                }
            }
        }
    };
}

plain_shape!(CompletionsShape, Api::Completions, ["prompt"], ["prompt"]);
plain_shape!(EmbeddingsShape, Api::Embeddings, ["input"], ["input"]);
plain_shape!(ModerationsShape, Api::Moderations, ["input"], ["input"]);
plain_shape!(RerankShape, Api::Rerank, ["documents", "query"], ["documents", "query"]);

const AUDIO_OUTPUT: Conflict =
    Conflict { field: "modalities", instead: "spoken answers are kept by the provider for an hour; ask for \"text\" only" };
const AUDIO_REFERENCE: Conflict =
    Conflict { field: "messages.audio", instead: "it points to a stored answer; send its text in `content`" };
const FILE_REFERENCE: Conflict = Conflict {
    field: "messages.content.file.file_id",
    instead: "it points to a stored file; send the content inline as `file_data`",
};
pub(crate) const REMOTE_MEDIA: Conflict = Conflict {
    field: "messages.content.image_url.url",
    instead: "media behind URLs are never fetched, since the one who serves them would see and keep the request; send a `data:` URL",
};

fn message(seen: &mut Seen, message: &mut Cursor<'_>) -> Result<(), Refusal> {
    if message.kind()? != Kind::Object {
        return Err(Refusal::WrongType("messages", "an array of objects"));
    }
    // Where the member before ended, and where thoughts began that no member stands before.
    let (mut before, mut first): (Option<usize>, Option<(&'static str, Range<usize>)>) = (None, None);
    message.object(|key, key_span, value| {
        if let Some((name, key)) = first.take() {
            let member = key.start..key_span.start;
            seen.thoughts.push(Thoughts { name, key, member });
        }
        let thoughts = THOUGHTS.into_iter().find(|name| key.is(name));
        member(seen, key.folded().as_ref(), value)?;
        let end = value.offset_of_last();
        match (thoughts, before) {
            (Some(name), Some(start)) => seen.thoughts.push(Thoughts { name, key: key_span, member: start..end }),
            (Some(name), None) => {
                first = Some((name, key_span));
                return Ok(());
            }
            (None, _) => {}
        }
        before = Some(end);
        Ok::<(), Refusal>(())
    })?;
    // Nothing but thoughts is no message, and who sends it is told so by the provider.
    Ok(())
}

/// Fields of messages in which thoughts go back to servers that take them.
const THOUGHTS: [&str; 3] = ["reasoning", "reasoning_content", "reasoning_details"];

fn member(seen: &mut Seen, name: &str, value: &mut Cursor<'_>) -> Result<(), Refusal> {
    match (name, value.kind()?) {
        ("audio", Kind::Object) => Err(Refusal::Conflict(AUDIO_REFERENCE)),
        ("content", Kind::Array) => value.array(part),
        ("tool_call_id", Kind::String) => call_id(seen, value),
        ("tool_calls", Kind::Array) => value.array(|call| {
            if call.kind()? != Kind::Object {
                return call.skip().map(drop).map_err(Refusal::from);
            }
            call.object(|key, _, value| match (key.folded().as_ref(), value.kind()?) {
                ("id", Kind::String) => call_id(seen, value),
                _ => value.skip().map(drop).map_err(Refusal::from),
            })
        }),
        _ => value.skip().map(drop).map_err(Refusal::from),
    }
}

fn call_id(seen: &mut Seen, value: &mut Cursor<'_>) -> Result<(), Refusal> {
    let start = value.offset();
    let short = ShortId::of(&value.string()?.plain());
    seen.call_ids.extend(short.map(|id| (start..value.offset_of_last(), id)));
    Ok(())
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

/// Takes a URL that is `data:` and refuses every other one.
pub(crate) fn inline_url(value: &mut Cursor<'_>) -> Result<(), Refusal> {
    // An escaped scheme (`\u0064ata:`) is nobody's habit: only the plain one passes.
    let inline = value.string()?.raw().get(..5).is_some_and(|scheme| scheme.eq_ignore_ascii_case("data:"));
    if inline { Ok(()) } else { Err(Refusal::Conflict(REMOTE_MEDIA)) }
}
