//! Values of a message, taken apart a level at a time.
//!
//! The members of an object come in any order, and what one means may depend on a later one (`type`): so an object is cut into its members
//! first, which copies nothing.

use std::borrow::Cow;

use crate::conversation::{Json, Str};
use crate::json::{Cursor, JsonError, Kind};
use crate::refusal::{FieldName, Refusal};

/// No object of a request has more members than this.
const FIELD_LIMIT: usize = 128;

/// A JSON value that is known to be valid.
#[derive(Clone, Copy)]
pub(super) struct Value<'a>(&'a str);

/// The members of an object.
pub(super) struct Fields<'a>(Vec<(Cow<'a, str>, Value<'a>)>);

impl<'a> Value<'a> {
    /// The whole of `body`.
    ///
    /// # Errors
    /// Any flaw.
    pub(super) fn whole(body: &'a [u8]) -> Result<Self, JsonError> {
        let mut cursor = Cursor::new(body)?;
        let value = Self::next(&mut cursor)?;
        cursor.end()?;
        Ok(value)
    }

    fn next(cursor: &mut Cursor<'a>) -> Result<Self, JsonError> {
        let span = cursor.skip()?;
        Ok(Self(cursor.text(span)))
    }

    /// Its type.
    pub(super) fn kind(self) -> Kind {
        Cursor::over(self.0).kind().unwrap_or(Kind::Null)
    }

    /// The string, if it is one.
    pub(super) fn string(self) -> Option<Str<'a>> {
        Cursor::over(self.0).string().ok().map(Str::from)
    }

    /// The inside of the string, if it is one.
    pub(super) fn raw_string(self) -> Option<&'a str> {
        Cursor::over(self.0).string().ok().map(|text| text.raw())
    }

    /// The truth value, if it is one.
    pub(super) fn boolean(self) -> Option<bool> {
        Cursor::over(self.0).boolean().ok()
    }

    /// The count, if it is one.
    pub(super) fn count(self) -> Option<u64> {
        Cursor::over(self.0).count().ok()
    }

    /// The value as it is.
    ///
    /// # Errors
    /// None: the value is known to be valid.
    pub(super) fn json(self) -> Result<Json<'a>, JsonError> {
        Json::read(&mut Cursor::over(self.0))
    }

    /// The value as it is, if it is of this type.
    pub(super) fn json_of(self, kind: Kind) -> Option<Json<'a>> {
        self.json().ok().filter(|_| self.kind() == kind)
    }

    /// The items, if it is an array.
    pub(super) fn list(self) -> Option<Vec<Self>> {
        let mut items = Vec::new();
        let read = Cursor::over(self.0).array(|item| {
            items.push(Self::next(item)?);
            Ok::<_, JsonError>(())
        });
        read.ok().map(|()| items)
    }

    /// The members, if it is an object.
    pub(super) fn fields(self) -> Option<Fields<'a>> {
        let mut fields = Vec::new();
        let read = Cursor::over(self.0).object(|key, _, value| {
            fields.push((key.plain(), Self::next(value)?));
            Ok::<_, JsonError>(())
        });
        read.ok().map(|()| Fields(fields))
    }
}

impl<'a> Fields<'a> {
    /// Takes a member out; `null` says the same as leaving it out.
    pub(super) fn take(&mut self, name: &str) -> Option<Value<'a>> {
        let at = self.0.iter().position(|(known, _)| known == name)?;
        let (_, value) = self.0.remove(at);
        (value.kind() != Kind::Null).then_some(value)
    }

    /// Looks at a member; `null` says the same as leaving it out.
    pub(super) fn peek(&self, name: &str) -> Option<Value<'a>> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| *value).filter(|value| value.kind() != Kind::Null)
    }

    /// Takes a member out that is a string.
    ///
    /// # Errors
    /// [`Refusal::WrongType`] with `field` for what is none.
    pub(super) fn text(&mut self, name: &str, field: &'static str) -> Result<Option<Str<'a>>, Refusal> {
        self.take(name).map(|value| value.string().ok_or(Refusal::WrongType(field, "a string"))).transpose()
    }

    /// Takes a member out that is a string and must be there.
    ///
    /// # Errors
    /// [`Refusal::MissingField`], [`Refusal::WrongType`] with `field`.
    pub(super) fn needed_text(&mut self, name: &str, field: &'static str) -> Result<Str<'a>, Refusal> {
        self.text(name, field)?.ok_or(Refusal::MissingField(field))
    }

    /// Takes a member out that is a truth value.
    ///
    /// # Errors
    /// [`Refusal::WrongType`] with `field`.
    pub(super) fn boolean(&mut self, name: &str, field: &'static str) -> Result<Option<bool>, Refusal> {
        self.take(name).map(|value| value.boolean().ok_or(Refusal::WrongType(field, "true or false"))).transpose()
    }

    /// Takes a member out that is a count.
    ///
    /// # Errors
    /// [`Refusal::WrongType`] with `field`.
    pub(super) fn count(&mut self, name: &str, field: &'static str) -> Result<Option<u64>, Refusal> {
        self.take(name).map(|value| value.count().ok_or(Refusal::WrongType(field, "a whole number"))).transpose()
    }

    /// Takes a member out that is of this type.
    ///
    /// # Errors
    /// [`Refusal::WrongType`] with `field` and `expected`.
    pub(super) fn json(
        &mut self,
        name: &str,
        kind: Kind,
        field: &'static str,
        expected: &'static str,
    ) -> Result<Option<Json<'a>>, Refusal> {
        self.take(name).map(|value| value.json_of(kind).ok_or(Refusal::WrongType(field, expected))).transpose()
    }

    /// Refuses the first name that occurs twice: two servers would not agree on which one counts.
    ///
    /// # Errors
    /// [`Refusal::DuplicateField`], [`Refusal::TooManyFields`].
    pub(super) fn unique(self) -> Result<Self, Refusal> {
        if self.0.len() > FIELD_LIMIT {
            return Err(Refusal::TooManyFields);
        }
        let twice = self.0.iter().enumerate().find(|(at, (name, _))| self.0[..*at].iter().any(|(other, _)| other == name));
        match twice {
            None => Ok(self),
            Some((_, (name, _))) => Err(Refusal::DuplicateField(FieldName::new(name))),
        }
    }

    /// Refuses what has not been taken out and says something, by its name behind `path`.
    ///
    /// # Errors
    /// [`Refusal::UntranslatableUnknown`] names the first.
    pub(super) fn nothing_else(self, path: &str) -> Result<(), Refusal> {
        match self.0.iter().find(|(_, value)| value.kind() != Kind::Null) {
            None => Ok(()),
            Some((name, _)) => Err(Refusal::UntranslatableUnknown(FieldName::new(&format!("{path}{name}")))),
        }
    }
}
