//! Pieces of JSON that pass from one message into another.

use std::borrow::Cow;
use std::ops::Range;

use crate::json::{Cursor, JsonError, Kind, Text};
use crate::write;

/// The inside of a JSON string, escapes and all.
#[derive(Clone)]
pub struct Str<'a>(Cow<'a, str>);

impl<'a> Str<'a> {
    /// The empty string.
    pub const EMPTY: Self = Self(Cow::Borrowed(""));

    /// `plain` with escapes where JSON needs them.
    #[must_use]
    pub fn of(plain: &str) -> Str<'static> {
        let mut out = Vec::with_capacity(plain.len());
        write::escape(plain, &mut out);
        Str(String::from_utf8(out).unwrap_or_default().into())
    }

    /// Text that is escaped already.
    pub(crate) const fn escaped(raw: String) -> Str<'static> {
        Str(Cow::Owned(raw))
    }

    /// A constant that needs no escapes.
    #[must_use]
    pub const fn constant(plain: &'static str) -> Str<'static> {
        Str(Cow::Borrowed(plain))
    }

    /// The inside of a JSON string that is known to be valid, borrowed for as long as the text that it was read from.
    pub(crate) const fn from_raw(raw: &'a str) -> Self {
        Self(Cow::Borrowed(raw))
    }

    /// The text between the quotes.
    #[must_use]
    pub fn raw(&self) -> &str {
        &self.0
    }

    /// The text with its escapes resolved.
    #[must_use]
    pub fn plain(&self) -> Cow<'_, str> {
        if memchr::memchr(b'\\', self.0.as_bytes()).is_none() {
            return Cow::Borrowed(&self.0);
        }
        Text::escaped(&self.0).unescaped().into()
    }

    /// Whether it is the empty string.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The same string, borrowed.
    #[must_use]
    pub fn borrowed(&self) -> Str<'_> {
        Str(Cow::Borrowed(&self.0))
    }

    /// The same string, owned.
    #[must_use]
    pub fn into_owned(self) -> Str<'static> {
        Str(self.0.into_owned().into())
    }

    /// Both strings in one.
    #[must_use]
    pub fn and(&self, other: &str) -> Str<'static> {
        Str([&self.0, other].concat().into())
    }

    /// A part of [`Self::raw`], without copying; `None` inside of a character.
    #[must_use]
    pub fn slice(&self, span: Range<usize>) -> Option<Str<'_>> {
        self.0.get(span).map(|part| Str(part.into()))
    }
}

impl<'a> From<Text<'a>> for Str<'a> {
    fn from(text: Text<'a>) -> Self {
        Self(Cow::Borrowed(text.raw()))
    }
}

/// A whole JSON value that is known to be valid.
#[derive(Clone)]
pub struct Json<'a>(Cow<'a, str>);

impl<'a> Json<'a> {
    /// `{}`
    pub const EMPTY_OBJECT: Self = Self(Cow::Borrowed("{}"));

    /// Reads the next value of `cursor`, whatever it is.
    ///
    /// # Errors
    /// Any flaw.
    pub fn read(cursor: &mut Cursor<'a>) -> Result<Self, JsonError> {
        let span = cursor.skip()?;
        Ok(Self(Cow::Borrowed(cursor.text(span))))
    }

    /// Takes `text` if it is one JSON value.
    ///
    /// # Errors
    /// Any flaw.
    pub fn checked(text: impl Into<Cow<'a, str>>) -> Result<Self, JsonError> {
        let text = text.into();
        let mut cursor = Cursor::new(text.as_bytes())?;
        cursor.skip()?;
        cursor.end()?;
        Ok(Self(text))
    }

    /// The text of the value.
    #[must_use]
    pub fn raw(&self) -> &str {
        &self.0
    }

    /// The type of the value.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self.0.as_bytes().first() {
            Some(b'{') => Kind::Object,
            Some(b'[') => Kind::Array,
            Some(b'"') => Kind::String,
            Some(b't' | b'f') => Kind::Bool,
            Some(b'n') => Kind::Null,
            _ => Kind::Number,
        }
    }

    /// A cursor at the value.
    ///
    /// # Errors
    /// None: the value is known to be valid.
    pub fn cursor(&self) -> Result<Cursor<'_>, JsonError> {
        Cursor::new(self.0.as_bytes())
    }

    /// An object with the member `key` put first, unless it has one of that name.
    ///
    /// # Errors
    /// [`JsonError`] for what is no object.
    pub fn with(&self, key: &'static str, text: &Str<'_>) -> Result<Json<'_>, JsonError> {
        let (mut members, mut has_one) = (0, false);
        self.cursor()?.object(|name, _, value| {
            members += 1;
            has_one |= name.is(key);
            value.skip().map(drop)
        })?;
        if has_one {
            return Ok(self.borrowed());
        }
        let comma = if members == 0 { "" } else { "," };
        let inside = self.0.strip_prefix('{').unwrap_or("}");
        Ok(Json(["{\"", key, "\":\"", text.raw(), "\"", comma, inside].concat().into()))
    }

    /// The same value, borrowed.
    #[must_use]
    pub fn borrowed(&self) -> Json<'_> {
        Json(Cow::Borrowed(&self.0))
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed test")]

    use super::{Json, Str};

    #[test]
    fn strings_keep_their_escapes() {
        let text = Str::of("a \"b\"\n\u{1}é");
        assert_eq!(text.raw(), r#"a \"b\"\u000a\u0001é"#);
        assert_eq!(text.plain(), "a \"b\"\n\u{1}é");
    }

    #[test]
    fn a_member_is_put_into_an_object_once() {
        let with =
            |text: &'static str| Json::checked(text).ok().unwrap().with("a", &Str::constant("x")).ok().unwrap().raw().to_owned();
        assert_eq!(with("{ }"), r#"{"a":"x" }"#);
        assert_eq!(with(r#"{"b":1}"#), r#"{"a":"x","b":1}"#);
        assert_eq!(with(r#"{"b":1,"\u0061":2}"#), r#"{"b":1,"\u0061":2}"#);
    }

    #[test]
    fn only_json_is_json() {
        assert_eq!(Json::checked(r#"{"a":[1]}"#).ok().unwrap().raw(), r#"{"a":[1]}"#);
        assert!(Json::checked("{} {}").is_err() && Json::checked("").is_err());
    }
}
