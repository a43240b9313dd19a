//! An answer of the chat API, read into the common form. A streamed one comes in pieces of the same form, one a line.

use lethe_wire::conversation::{Arguments, Finish, Json, Malformed, Part, PartKind, Reply, Str, Thinking, ToolCall, Usage};
use lethe_wire::json::{Cursor, Kind};

use crate::read::{CALL_LIMIT, count, said};

/// One object: an answer, or a piece of one.
#[derive(Default)]
pub(super) struct Piece<'a> {
    pub(super) content: Option<Str<'a>>,
    pub(super) thinking: Option<Str<'a>>,
    pub(super) calls: Vec<Called<'a>>,
    pub(super) done: bool,
    pub(super) created: Option<Str<'a>>,
    pub(super) reason: Option<Str<'a>>,
    pub(super) failed: bool,
    input: Option<u32>,
    output: Option<u32>,
}

/// A call, whole.
pub(super) struct Called<'a> {
    pub(super) id: Option<Str<'a>>,
    pub(super) name: Str<'a>,
    pub(super) arguments: Json<'a>,
}

impl<'a> Piece<'a> {
    pub(super) fn read(data: &'a [u8]) -> Result<Self, Malformed> {
        let mut piece = Self::default();
        let mut cursor = Cursor::new(data)?;
        cursor.object(|key, _, value| {
            match (key.raw(), value.kind()?) {
                ("message", Kind::Object) => value.object(|key, _, value| piece.message(key.raw(), value))?,
                ("created_at", Kind::String) => piece.created = said(value)?,
                ("done", Kind::Bool) => piece.done = value.boolean()?,
                ("done_reason", Kind::String) => piece.reason = Some(value.string()?.into()),
                ("prompt_eval_count", _) => piece.input = count(value)?,
                ("eval_count", _) => piece.output = count(value)?,
                ("error", Kind::Object | Kind::String) => {
                    piece.failed = true;
                    value.skip()?;
                }
                _ => value.skip().map(drop)?,
            }
            Ok::<(), Malformed>(())
        })?;
        cursor.end()?;
        Ok(piece)
    }

    fn message(&mut self, key: &str, value: &mut Cursor<'a>) -> Result<(), Malformed> {
        match (key, value.kind()?) {
            ("content", Kind::String) => self.content = said(value)?,
            ("thinking", Kind::String) => self.thinking = said(value)?,
            ("tool_calls", Kind::Array) => value.array(|item| {
                if self.calls.len() >= CALL_LIMIT {
                    return Err(Malformed);
                }
                self.calls.push(call(item)?);
                Ok(())
            })?,
            _ => value.skip().map(drop)?,
        }
        Ok(())
    }

    /// Tokens: counts of 0 are left out, such as those of a prompt that was there already.
    pub(super) fn usage(&self) -> Option<Usage> {
        let any = self.input.is_some() || self.output.is_some();
        any.then(|| Usage { input: self.input.unwrap_or(0), output: self.output.unwrap_or(0), ..Usage::default() })
    }

    /// Why it ends, for an answer in which the model has `called` something or not.
    pub(super) fn finish(&self, called: bool) -> Finish<'static> {
        match self.reason.as_ref().map(Str::raw) {
            Some("length") => Finish::Length,
            _ if called => Finish::ToolCalls,
            _ => Finish::Stop,
        }
    }
}

fn call<'a>(item: &mut Cursor<'a>) -> Result<Called<'a>, Malformed> {
    let (mut id, mut name, mut arguments) = (None, None, None);
    item.object(|key, _, value| {
        match (key.raw(), value.kind()?) {
            ("id", Kind::String) => id = said(value)?,
            ("function", Kind::Object) => value.object(|key, _, value| {
                match (key.raw(), value.kind()?) {
                    ("name", Kind::String) => name = Some(value.string()?.into()),
                    ("arguments", Kind::Object) => arguments = Some(Json::read(value)?),
                    _ => value.skip().map(drop)?,
                }
                Ok::<(), Malformed>(())
            })?,
            _ => value.skip().map(drop)?,
        }
        Ok::<(), Malformed>(())
    })?;
    Ok(Called { id, name: name.ok_or(Malformed)?, arguments: arguments.unwrap_or(Json::EMPTY_OBJECT) })
}

/// The id of a call that came without one: older servers know calls by their order alone. The answer's time is in it, since an id must not come
/// again in a later turn.
pub(super) fn numbered(created: &str, index: usize) -> Str<'static> {
    let digits: String = created.chars().filter(char::is_ascii_digit).collect();
    let dash = if digits.is_empty() { "" } else { "_" };
    Str::of(&format!("call_{digits}{dash}{index}"))
}

/// Reads an answer.
///
/// # Errors
/// [`Malformed`] for what is none, and for one that is not done.
pub fn read_reply(body: &[u8]) -> Result<Reply<'_>, Malformed> {
    let mut piece = Piece::read(body)?;
    if piece.failed || !piece.done {
        return Err(Malformed);
    }
    let (usage, finish) = (piece.usage(), piece.finish(!piece.calls.is_empty()));
    let thought = piece.thinking.take().map(|text| PartKind::Reasoning(Thinking { text: Some(text), ..Thinking::default() }));
    let created = piece.created.take().unwrap_or(Str::EMPTY).into_owned();
    let calls = piece.calls.into_iter().enumerate().map(|(index, called)| {
        let id = called.id.unwrap_or_else(|| numbered(created.raw(), index));
        PartKind::ToolCall(ToolCall { id, name: called.name, arguments: Arguments::Object(called.arguments), signature: None })
    });
    let parts = thought.into_iter().chain(piece.content.map(PartKind::Text)).chain(calls).map(Part::from).collect();
    Ok(Reply { id: None, parts, finish, usage })
}
