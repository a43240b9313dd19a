//! What requests in Anthropic's formats look like to who only passes them on, and what they conflict with inside of fields.

use lethe_policy::conflict::{self, Conflict};
use lethe_types::Api;

use crate::inspect::{Seen, Shape};
use crate::json::{Cursor, Kind};
use crate::refusal::{FieldName, Refusal};

/// `POST /v1/messages/count_tokens`
pub(crate) struct CountShape;
/// `POST /v1/messages`
pub(crate) struct MessagesShape;

/// A file that the provider keeps.
pub(super) const STORED_FILE: Conflict = Conflict {
    field: "messages.content.source.file_id",
    instead: "it points to a stored file; send the content inline, as a source of type \"base64\" or \"text\"",
};

/// A file for a container that the provider keeps.
pub(super) const CONTAINER_UPLOAD: Conflict = Conflict {
    field: "messages.content.container_upload",
    instead: "it puts a stored file into a container that keeps it; run tools on your side and send what they return",
};

/// Something that somebody else serves.
pub(super) const REMOTE_MEDIA: Conflict = Conflict {
    field: "messages.content.source.url",
    instead: "media behind URLs are never fetched, since the one who serves them would see and keep the request; send a source of type \"base64\"",
};

/// A cache that keeps the prompt for an hour. That short-lived caches are in memory only is documented; of this one it is not.
const LONG_CACHE: Conflict = Conflict {
    field: "cache_control.ttl",
    instead: "extended caches keep the prompt for an hour; leave `ttl` out or send \"5m\"",
};

impl Shape for CountShape {
    fn required(&self) -> &'static [&'static str] {
        &["messages"]
    }

    fn prompt(&self) -> &'static [&'static str] {
        &["messages", "system", "tools"]
    }

    fn conflict(&self, folded: &str) -> Option<Conflict> {
        conflict::field(Api::CountMessageTokens, folded)
    }

    fn look(&self, seen: &mut Seen, folded: &str, kind: Kind, value: &mut Cursor<'_>) -> Result<(), Refusal> {
        look(seen, folded, kind, value)
    }
}

impl Shape for MessagesShape {
    fn required(&self) -> &'static [&'static str] {
        &["max_tokens", "messages"]
    }

    fn prompt(&self) -> &'static [&'static str] {
        &["messages", "system", "tools"]
    }

    fn conflict(&self, folded: &str) -> Option<Conflict> {
        conflict::field(Api::Messages, folded)
    }

    fn look(&self, seen: &mut Seen, folded: &str, kind: Kind, value: &mut Cursor<'_>) -> Result<(), Refusal> {
        look(seen, folded, kind, value)
    }
}

fn look(seen: &mut Seen, folded: &str, kind: Kind, value: &mut Cursor<'_>) -> Result<(), Refusal> {
    match (folded, kind) {
        ("cache_control", _) => cache_control(seen, value),
        ("messages", Kind::Array) => value.array(|message| {
            if message.kind()? != Kind::Object {
                return Err(Refusal::WrongType("messages", "an array of objects"));
            }
            block(seen, message)
        }),
        ("messages", _) => Err(Refusal::WrongType("messages", "an array")),
        ("metadata", Kind::Object) => metadata(seen, value),
        ("system", Kind::Array) => value.array(|item| block(seen, item)),
        ("tools", Kind::Array) => {
            let start = value.offset();
            seen.tool_types(value, Some("custom"))?;
            let text = value.text(start..value.offset_of_last());
            // The walk above has found where caches are asked for; this one asks for how long.
            Cursor::new(text.as_bytes())?.array(|tool| {
                tool.object(|key, _, value| match key.folded().as_ref() {
                    "cache_control" => refuse_long_cache(value),
                    _ => Ok(value.skip().map(drop)?),
                })
            })
        }
        _ => Ok(value.skip().map(drop)?),
    }
}

/// Looks into a message or a block of content, and into the blocks in it.
fn block(seen: &mut Seen, value: &mut Cursor<'_>) -> Result<(), Refusal> {
    if value.kind()? != Kind::Object {
        return Ok(value.skip().map(drop)?);
    }
    value.object(|key, _, value| match (key.folded().as_ref(), value.kind()?) {
        ("cache_control", _) => cache_control(seen, value),
        ("content", Kind::Array) => value.array(|item| block(seen, item)),
        ("content", Kind::Object) => block(seen, value),
        ("source", Kind::Object) => source(seen, value),
        ("file_id", Kind::String) => Err(Refusal::Conflict(STORED_FILE)),
        ("type", Kind::String) if value.string()?.folded() == "container_upload" => Err(Refusal::Conflict(CONTAINER_UPLOAD)),
        ("type", Kind::String) => Ok(()),
        _ => Ok(value.skip().map(drop)?),
    })
}

/// Looks at where an image or a document comes from.
fn source(seen: &mut Seen, value: &mut Cursor<'_>) -> Result<(), Refusal> {
    value.object(|key, _, value| match (key.folded().as_ref(), value.kind()?) {
        ("content", Kind::Array) => value.array(|item| block(seen, item)),
        ("file_id", Kind::String) => Err(Refusal::Conflict(STORED_FILE)),
        ("url", Kind::String) => Err(Refusal::Conflict(REMOTE_MEDIA)),
        ("type", Kind::String) => match value.string()?.folded().as_ref() {
            "file" => Err(Refusal::Conflict(STORED_FILE)),
            "url" => Err(Refusal::Conflict(REMOTE_MEDIA)),
            _ => Ok(()),
        },
        _ => Ok(value.skip().map(drop)?),
    })
}

fn cache_control(seen: &mut Seen, value: &mut Cursor<'_>) -> Result<(), Refusal> {
    if value.null()? {
        return Ok(());
    }
    let start = value.offset();
    seen.cache_control(value)?;
    refuse_long_cache(&mut Cursor::new(value.text(start..value.offset_of_last()).as_bytes())?)
}

fn refuse_long_cache(value: &mut Cursor<'_>) -> Result<(), Refusal> {
    if value.kind()? != Kind::Object {
        return Ok(value.skip().map(drop)?);
    }
    value.object(|key, _, value| match (key.folded().as_ref(), value.kind()?) {
        ("ttl", Kind::String) if value.string()?.is("5m") => Ok(()),
        ("ttl", Kind::Null) => Ok(value.skip().map(drop)?),
        ("ttl", _) => Err(Refusal::Conflict(LONG_CACHE)),
        _ => Ok(value.skip().map(drop)?),
    })
}

/// Finds who is asking: the provider is told a pseudonym instead.
fn metadata(seen: &mut Seen, value: &mut Cursor<'_>) -> Result<(), Refusal> {
    value.object(|key, _, value| match (key.folded().as_ref(), value.kind()?) {
        ("user_id", Kind::Null) => Ok(value.skip().map(drop)?),
        ("user_id", Kind::String) => {
            let span = value.skip()?;
            match seen.user.replace(span) {
                Some(_) => Err(Refusal::DuplicateField(FieldName::new("metadata.user_id"))),
                None => Ok(()),
            }
        }
        ("user_id", _) => Err(Refusal::WrongType("metadata.user_id", "a string")),
        // Nothing else is documented, and nothing else about who is asking goes out.
        _ => Err(Refusal::UnknownField(FieldName::new(&["metadata.", &key.plain()].concat()))),
    })
}
