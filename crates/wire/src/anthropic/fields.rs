//! An object's members by name, each asked for once: what nobody asks for is refused by its name.

use std::borrow::Cow;

use crate::conversation::{Json, Str};
use crate::json::{Cursor, Kind};
use crate::refusal::{FieldName, Refusal};

/// More than any documented object has.
const MEMBER_LIMIT: usize = 64;

/// Members of an object that have not been asked for yet. A member that is `null` counts as left out.
pub(super) struct Fields<'a> {
    /// The object's name with a dot behind it, as the reference has it.
    parent: &'static str,
    members: Vec<(Cow<'a, str>, &'a str)>,
}

impl<'a> Fields<'a> {
    /// Reads the next value of `value`, which must be an object.
    pub(super) fn read(value: &mut Cursor<'a>, parent: &'static str) -> Result<Self, Refusal> {
        if value.kind()? != Kind::Object {
            return Err(Refusal::WrongType(parent.strip_suffix('.').unwrap_or(parent), "an object"));
        }
        let mut members: Vec<(Cow<'a, str>, &'a str)> = Vec::new();
        value.object(|key, _, value| {
            if value.null()? {
                return Ok(());
            }
            let name = key.plain();
            if members.iter().any(|(other, _)| *other == name) {
                return Err(Refusal::DuplicateField(FieldName::new(&[parent, &name].concat())));
            }
            if members.len() >= MEMBER_LIMIT {
                return Err(Refusal::TooManyFields);
            }
            let span = value.skip()?;
            members.push((name, value.text(span)));
            Ok(())
        })?;
        Ok(Self { parent, members })
    }

    fn take(&mut self, key: &str) -> Option<Cursor<'a>> {
        let at = self.members.iter().position(|(name, _)| name == key)?;
        Cursor::new(self.members.swap_remove(at).1.as_bytes()).ok()
    }

    /// A member that is a string; `field` is its full name.
    pub(super) fn string(&mut self, key: &str, field: &'static str) -> Result<Option<Str<'a>>, Refusal> {
        self.take(key).map(|mut value| string(&mut value, field)).transpose()
    }

    /// As [`Self::string`], for one that must be there.
    pub(super) fn required(&mut self, key: &str, field: &'static str) -> Result<Str<'a>, Refusal> {
        self.string(key, field)?.ok_or(Refusal::MissingField(field))
    }

    /// A member that is `true` or `false`.
    pub(super) fn boolean(&mut self, key: &str, field: &'static str) -> Result<Option<bool>, Refusal> {
        let wrong = |_| Refusal::WrongType(field, "true or false");
        self.take(key).map(|mut value| value.boolean().map_err(wrong)).transpose()
    }

    /// A member that is a whole number.
    pub(super) fn count(&mut self, key: &str, field: &'static str) -> Result<Option<u64>, Refusal> {
        self.take(key).map(|mut value| count(&mut value, field)).transpose()
    }

    /// A member, whatever it is.
    pub(super) fn json(&mut self, key: &str) -> Result<Option<Json<'a>>, Refusal> {
        Ok(self.take(key).map(|mut value| Json::read(&mut value)).transpose()?)
    }

    /// A member that is an object, unread.
    pub(super) fn object(&mut self, key: &str, field: &'static str) -> Result<Option<Json<'a>>, Refusal> {
        match self.json(key)? {
            Some(json) if json.kind() != Kind::Object => Err(Refusal::WrongType(field, "an object")),
            other => Ok(other),
        }
    }

    /// A member that is an object, to be asked for its own members; `parent` is its full name with a dot behind it.
    pub(super) fn fields(&mut self, key: &str, parent: &'static str) -> Result<Option<Self>, Refusal> {
        self.take(key).map(|mut value| Self::read(&mut value, parent)).transpose()
    }

    /// A member, for `read` to read.
    pub(super) fn value<T>(
        &mut self,
        key: &str,
        read: impl FnOnce(&mut Cursor<'a>) -> Result<T, Refusal>,
    ) -> Result<Option<T>, Refusal> {
        self.take(key).map(|mut value| read(&mut value)).transpose()
    }

    /// Leaves a member out that says nothing to the model.
    pub(super) fn ignore(&mut self, key: &str) {
        self.members.retain(|(name, _)| name != key);
    }

    /// Carries a member along that has no place in the common form, unless its value is one of those in `silent`, which say nothing.
    pub(super) fn own(
        &mut self,
        key: &str,
        field: &'static str,
        silent: &[&str],
        own: &mut Vec<(&'static str, Json<'a>)>,
    ) -> Result<(), Refusal> {
        if let Some(json) = self.json(key)?
            && !silent.contains(&json.raw())
        {
            own.push((field, json));
        }
        Ok(())
    }

    /// Refuses what nobody has asked for.
    pub(super) fn end(self) -> Result<(), Refusal> {
        match self.members.first() {
            Some((name, _)) => Err(Refusal::UntranslatableUnknown(FieldName::new(&[self.parent, name].concat()))),
            None => Ok(()),
        }
    }
}

/// Reads a string; `field` is its full name.
pub(super) fn string<'a>(value: &mut Cursor<'a>, field: &'static str) -> Result<Str<'a>, Refusal> {
    if value.kind()? != Kind::String {
        return Err(Refusal::WrongType(field, "a string"));
    }
    Ok(value.string()?.into())
}

/// Reads a whole number.
pub(super) fn count(value: &mut Cursor<'_>, field: &'static str) -> Result<u64, Refusal> {
    value.count().map_err(|_| Refusal::WrongType(field, "a whole number"))
}

/// Reads an array of whatever `item` reads.
pub(super) fn array<'a>(
    value: &mut Cursor<'a>,
    field: &'static str,
    item: impl FnMut(&mut Cursor<'a>) -> Result<(), Refusal>,
) -> Result<(), Refusal> {
    if value.kind()? != Kind::Array {
        return Err(Refusal::WrongType(field, "an array"));
    }
    value.array(item)
}
