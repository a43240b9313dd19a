//! What requests in Gemini's formats look like to who only passes them on, and what they conflict with inside of fields.

use std::borrow::Cow;

use lethe_policy::conflict::{self, Conflict};
use lethe_types::Api;

use super::fields::spelled;
use crate::inspect::{Seen, Shape};
use crate::json::{Cursor, Kind};
use crate::refusal::{FieldName, Refusal};

/// `:countTokens`
pub(crate) struct CountShape;
/// `:embedContent` and `:batchEmbedContents`
pub(crate) struct EmbedShape;
/// `:generateContent` and `:streamGenerateContent`
pub(crate) struct GenerateShape;

pub(super) const FILE_DATA: Conflict = Conflict {
    field: "contents.parts.fileData",
    instead: "files are stored, and media behind URLs are never fetched, since the one who serves them would see and keep the request; send the content as `inlineData`",
};

/// What is the same in each of these formats; then the fields without which a request is none, and those whose bytes are the prompt.
macro_rules! gemini_shape {
    ($shape:ty, $api:expr, $required:expr, $prompt:expr, $look:path) => {
        impl Shape for $shape {
            fn required(&self) -> &'static [&'static str] {
                &$required
            }

            fn prompt(&self) -> &'static [&'static str] {
                &$prompt
            }

            fn model_in_body(&self) -> bool {
                false
            }

            fn folded<'a>(&self, folded: Cow<'a, str>) -> Cow<'a, str> {
                without_underscores(folded)
            }

            fn spelled(&self, name: String) -> String {
                spelled(name.into()).into_owned()
            }

            fn conflict(&self, folded: &str) -> Option<Conflict> {
                conflict::field($api, folded)
            }

            fn look(&self, seen: &mut Seen, folded: &str, kind: Kind, value: &mut Cursor<'_>) -> Result<(), Refusal> {
                $look(seen, folded, kind, value)
            }
        }
    };
}

// Of two documented forms one must be there, which only the one who reads them can say.
gemini_shape!(CountShape, Api::CountTokens, [], ["contents", "generatecontentrequest"], count);
gemini_shape!(EmbedShape, Api::EmbedContent, [], ["content", "requests"], embed);
gemini_shape!(GenerateShape, Api::GenerateContent, ["contents"], ["contents", "systeminstruction"], generate);

fn without_underscores(folded: Cow<'_, str>) -> Cow<'_, str> {
    if folded.contains('_') { folded.replace('_', "").into() } else { folded }
}

fn generate(seen: &mut Seen, folded: &str, kind: Kind, value: &mut Cursor<'_>) -> Result<(), Refusal> {
    match (folded, kind) {
        ("contents", _) => each(value, "contents", content),
        ("systeminstruction", Kind::Object) => content(value),
        ("tools", _) => each(value, "tools", |tool| {
            members(tool, |_, name, _, value| {
                seen.tools.push(name);
                Ok(value.skip().map(drop)?)
            })
        }),
        ("model", Kind::String) => {
            let span = value.skip()?;
            seen.models.push(span);
            Ok(())
        }
        _ => Ok(value.skip().map(drop)?),
    }
}

fn count(seen: &mut Seen, folded: &str, kind: Kind, value: &mut Cursor<'_>) -> Result<(), Refusal> {
    match (folded, kind) {
        ("generatecontentrequest", Kind::Object) => members(value, |folded, _, kind, value| {
            let off = kind == Kind::Null || kind == Kind::Bool && !value.boolean()?;
            match conflict::field(Api::CountTokens, folded) {
                Some(conflict) if !off => Err(Refusal::Conflict(conflict)),
                _ if kind == Kind::Bool => Ok(()),
                _ => generate(seen, folded, kind, value),
            }
        }),
        _ => generate(seen, folded, kind, value),
    }
}

fn embed(seen: &mut Seen, folded: &str, kind: Kind, value: &mut Cursor<'_>) -> Result<(), Refusal> {
    match (folded, kind) {
        ("content", Kind::Object) => content(value),
        ("content", _) => Err(Refusal::WrongType("content", "an object")),
        ("requests", _) => each(value, "requests", |request| {
            members(request, |folded, _, kind, value| match folded {
                "requests" => Ok(value.skip().map(drop)?),
                _ => embed(seen, folded, kind, value),
            })
        }),
        _ => generate(seen, folded, kind, value),
    }
}

/// One of `contents`, which may have parts that point to what is kept elsewhere.
fn content(value: &mut Cursor<'_>) -> Result<(), Refusal> {
    members(value, |folded, _, _, value| match folded {
        "parts" => each(value, "contents.parts", part),
        _ => Ok(value.skip().map(drop)?),
    })
}

fn part(value: &mut Cursor<'_>) -> Result<(), Refusal> {
    members(value, |folded, _, kind, value| match (folded, kind) {
        ("filedata", kind) if kind != Kind::Null => Err(Refusal::Conflict(FILE_DATA)),
        // A function's answer may have parts of its own.
        ("functionresponse", Kind::Object) => content(value),
        _ => Ok(value.skip().map(drop)?),
    })
}

/// Reads an array of objects, or one object that stands for an array of it.
fn each<'a>(
    value: &mut Cursor<'a>,
    field: &'static str,
    mut item: impl FnMut(&mut Cursor<'a>) -> Result<(), Refusal>,
) -> Result<(), Refusal> {
    let object = |value: &mut Cursor<'a>, item: &mut dyn FnMut(&mut Cursor<'a>) -> Result<(), Refusal>| match value.kind()? {
        Kind::Object => item(value),
        _ => Err(Refusal::WrongType(field, "an array of objects")),
    };
    match value.kind()? {
        Kind::Array => value.array(|value| object(value, &mut item)),
        Kind::Null => Ok(value.skip().map(drop)?),
        _ => object(value, &mut item),
    }
}

/// Reads an object; `member` gets each name folded and as the reference spells it. A name that stands twice, however spelled, is refused: who
/// reads the other one of them would see another request.
fn members<'a>(
    value: &mut Cursor<'a>,
    mut member: impl FnMut(&str, String, Kind, &mut Cursor<'a>) -> Result<(), Refusal>,
) -> Result<(), Refusal> {
    let mut names: Vec<Cow<'a, str>> = Vec::new();
    value.object(|key, _, value| {
        let folded = without_underscores(key.folded());
        let name = spelled(key.plain()).into_owned();
        if names.contains(&folded) {
            return Err(Refusal::DuplicateField(FieldName::new(&name)));
        }
        let kind = value.kind()?;
        member(&folded, name, kind, value)?;
        names.push(folded);
        Ok(())
    })
}
