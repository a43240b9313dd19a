//! A strict JSON reader (RFC 8259) that finds spans and copies nothing.
//!
//! Libraries build values that copy the text, and errors that quote it. This one walks the bytes once; whatever the caller does
//! not look at is still checked. Depth is bounded, and the whole text must be valid UTF-8.

use std::ops::Range;

mod text;

pub use text::Text;

use crate::plain::plain_end;

/// Nesting beyond this is refused (the stack is bounded, and so are the servers behind).
pub const DEPTH_LIMIT: u32 = 96;

/// What is wrong with a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flaw {
    /// Nested deeper than [`DEPTH_LIMIT`].
    TooDeep,
    /// Not JSON.
    Syntax,
    /// JSON, but of another type than expected here.
    Type,
    /// Not UTF-8.
    Utf8,
}

/// What is wrong and where: an offset in bytes, nothing of the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JsonError {
    /// What is wrong.
    pub flaw: Flaw,
    /// Offset in bytes.
    pub at: usize,
}

/// The type of the next value, by its first byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `[`
    Array,
    /// `true` or `false`
    Bool,
    /// `null`
    Null,
    /// A number.
    Number,
    /// `{`
    Object,
    /// A string.
    String,
}

/// A position in a JSON text.
pub struct Cursor<'a> {
    text: &'a str,
    at: usize,
    depth: u32,
}

impl<'a> Cursor<'a> {
    /// At the start of `bytes`, which must be UTF-8.
    ///
    /// # Errors
    /// [`Flaw::Utf8`].
    pub fn new(bytes: &'a [u8]) -> Result<Self, JsonError> {
        let text = std::str::from_utf8(bytes).map_err(|error| JsonError { flaw: Flaw::Utf8, at: error.valid_up_to() })?;
        Ok(Self { text, at: 0, depth: 0 })
    }

    /// At the start of `text`.
    pub(crate) const fn over(text: &'a str) -> Self {
        Self { text, at: 0, depth: 0 }
    }

    /// Offset of the next value.
    pub fn offset(&mut self) -> usize {
        self.space();
        self.at
    }

    /// Offset just behind what was read last.
    #[must_use]
    pub const fn offset_of_last(&self) -> usize {
        self.at
    }

    /// The text in `span`.
    #[must_use]
    pub fn text(&self, span: Range<usize>) -> &'a str {
        self.text.get(span).unwrap_or_default()
    }

    /// The type of the next value.
    ///
    /// # Errors
    /// [`Flaw::Syntax`] when there is none.
    pub fn kind(&mut self) -> Result<Kind, JsonError> {
        self.space();
        Ok(match self.peek() {
            Some(b'{') => Kind::Object,
            Some(b'[') => Kind::Array,
            Some(b'"') => Kind::String,
            Some(b't' | b'f') => Kind::Bool,
            Some(b'n') => Kind::Null,
            Some(b'-' | b'0'..=b'9') => Kind::Number,
            _ => return Err(self.flaw(Flaw::Syntax)),
        })
    }

    /// Reads an object. `member` gets each key, the key's span (with quotes), and this cursor at its value, which it must read or
    /// [`Self::skip`].
    ///
    /// # Errors
    /// [`Flaw::Type`] when the next value is not an object; what `member` returns; any flaw.
    pub fn object<E: From<JsonError>>(
        &mut self,
        mut member: impl FnMut(Text<'a>, Range<usize>, &mut Self) -> Result<(), E>,
    ) -> Result<(), E> {
        self.open(Kind::Object)?;
        if self.eat(b'}') {
            self.depth -= 1;
            return Ok(());
        }
        self.members(&mut member)
    }

    /// Goes on in the outermost object at a key that stands at `at`, as if everything before it had been read by [`Self::object`]: for a
    /// text that begins with the same bytes as one that was.
    ///
    /// # Errors
    /// As [`Self::object`].
    pub fn resume<E: From<JsonError>>(
        &mut self,
        at: usize,
        mut member: impl FnMut(Text<'a>, Range<usize>, &mut Self) -> Result<(), E>,
    ) -> Result<(), E> {
        (self.at, self.depth) = (at, 1);
        self.members(&mut member)
    }

    fn members<E: From<JsonError>>(
        &mut self,
        member: &mut impl FnMut(Text<'a>, Range<usize>, &mut Self) -> Result<(), E>,
    ) -> Result<(), E> {
        loop {
            self.space();
            let start = self.at;
            let key = self.string()?;
            let span = start..self.at;
            self.expect(b':')?;
            member(key, span, self)?;
            if self.eat(b'}') {
                self.depth -= 1;
                return Ok(());
            }
            self.expect(b',')?;
        }
    }

    /// Reads an array. `item` gets this cursor at each value, which it must read or [`Self::skip`].
    ///
    /// # Errors
    /// As [`Self::object`].
    pub fn array<E: From<JsonError>>(&mut self, mut item: impl FnMut(&mut Self) -> Result<(), E>) -> Result<(), E> {
        self.open(Kind::Array)?;
        if self.eat(b']') {
            self.depth -= 1;
            return Ok(());
        }
        loop {
            item(self)?;
            if self.eat(b']') {
                self.depth -= 1;
                return Ok(());
            }
            self.expect(b',')?;
        }
    }

    /// Reads a string.
    ///
    /// # Errors
    /// [`Flaw::Type`] when the next value is none; any flaw.
    pub fn string(&mut self) -> Result<Text<'a>, JsonError> {
        if self.kind()? != Kind::String {
            return Err(self.flaw(Flaw::Type));
        }
        let start = self.at + 1;
        let bytes = self.text.as_bytes();
        let mut escaped = false;
        let mut at = start;
        let end = loop {
            at = plain_end(bytes, at);
            match bytes.get(at) {
                Some(b'"') => break at,
                Some(b'\\') => escaped = true,
                Some(_) => return Err(JsonError { flaw: Flaw::Syntax, at: start }),
                None => return Err(JsonError { flaw: Flaw::Syntax, at }),
            }
            at += match bytes.get(at + 1) {
                Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => 2,
                Some(b'u') if bytes.get(at + 2..at + 6).is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit)) => 6,
                _ => return Err(JsonError { flaw: Flaw::Syntax, at }),
            };
        };
        let raw = &self.text[start..end];
        self.at = end + 1;
        Ok(Text { raw, escaped })
    }

    /// Reads `null` if that is the next value, and says whether it was.
    ///
    /// # Errors
    /// Any flaw.
    pub fn null(&mut self) -> Result<bool, JsonError> {
        let null = self.kind()? == Kind::Null;
        if null {
            self.skip()?;
        }
        Ok(null)
    }

    /// Reads `true` or `false`.
    ///
    /// # Errors
    /// [`Flaw::Type`] when the next value is neither; any flaw.
    pub fn boolean(&mut self) -> Result<bool, JsonError> {
        if self.kind()? != Kind::Bool {
            return Err(self.flaw(Flaw::Type));
        }
        let value = self.peek() == Some(b't');
        self.literal(if value { "true" } else { "false" })?;
        Ok(value)
    }

    /// Reads a number that is a whole count.
    ///
    /// # Errors
    /// [`Flaw::Type`] when it is negative, has a fraction or exponent, or does not fit.
    pub fn count(&mut self) -> Result<u64, JsonError> {
        let flaw = self.flaw(Flaw::Type);
        if self.kind()? != Kind::Number {
            return Err(self.flaw(Flaw::Type));
        }
        let span = self.skip()?;
        self.text[span].parse().map_err(|_| flaw)
    }

    /// Reads any value, checks it, and returns its span.
    ///
    /// # Errors
    /// Any flaw.
    pub fn skip(&mut self) -> Result<Range<usize>, JsonError> {
        let kind = self.kind()?;
        let start = self.at;
        match kind {
            Kind::Object => self.object(|_, _, value| value.skip().map(drop))?,
            Kind::Array => self.array(|value| value.skip().map(drop))?,
            Kind::String => {
                self.string()?;
            }
            Kind::Bool => {
                self.boolean()?;
            }
            Kind::Null => self.literal("null")?,
            Kind::Number => self.number()?,
        }
        Ok(start..self.at)
    }

    /// Checks that nothing but white space follows.
    ///
    /// # Errors
    /// [`Flaw::Syntax`] otherwise.
    pub fn end(&mut self) -> Result<(), JsonError> {
        self.space();
        if self.at == self.text.len() { Ok(()) } else { Err(self.flaw(Flaw::Syntax)) }
    }

    fn number(&mut self) -> Result<(), JsonError> {
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        if self.peek() == Some(b'0') {
            self.at += 1;
        } else {
            self.digits()?;
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.digits()?;
        }
        Ok(())
    }

    fn digits(&mut self) -> Result<(), JsonError> {
        let start = self.at;
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        if self.at == start { Err(self.flaw(Flaw::Syntax)) } else { Ok(()) }
    }

    fn literal(&mut self, word: &str) -> Result<(), JsonError> {
        if self.text.as_bytes()[self.at..].starts_with(word.as_bytes()) {
            self.at += word.len();
            Ok(())
        } else {
            Err(self.flaw(Flaw::Syntax))
        }
    }

    fn open(&mut self, kind: Kind) -> Result<(), JsonError> {
        if self.kind()? != kind {
            return Err(self.flaw(Flaw::Type));
        }
        if self.depth >= DEPTH_LIMIT {
            return Err(self.flaw(Flaw::TooDeep));
        }
        self.depth += 1;
        self.at += 1;
        Ok(())
    }

    fn expect(&mut self, byte: u8) -> Result<(), JsonError> {
        if self.eat(byte) { Ok(()) } else { Err(self.flaw(Flaw::Syntax)) }
    }

    fn eat(&mut self, byte: u8) -> bool {
        self.space();
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    const fn flaw(&self, flaw: Flaw) -> JsonError {
        JsonError { flaw, at: self.at }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed test")]

    use proptest::prelude::*;

    use super::{Cursor, DEPTH_LIMIT, Flaw, JsonError};

    fn check(bytes: &[u8]) -> Result<(), JsonError> {
        let mut cursor = Cursor::new(bytes)?;
        cursor.skip()?;
        cursor.end()
    }

    fn oracle(bytes: &[u8]) -> bool {
        // serde_json limits depth to 128 and refuses numbers that overflow f64; neither occurs in these inputs.
        serde_json::from_slice::<serde::de::IgnoredAny>(bytes).is_ok()
    }

    #[test]
    fn depth_is_bounded() {
        let nested = |depth: usize| [vec![b'['; depth], vec![b']'; depth]].concat();
        assert_eq!(check(&nested(DEPTH_LIMIT as usize)), Ok(()));
        assert_eq!(check(&nested(DEPTH_LIMIT as usize + 1)).map_err(|error| error.flaw), Err(Flaw::TooDeep));
        assert_eq!(check(&vec![b'['; 1_000_000]).map_err(|error| error.flaw), Err(Flaw::TooDeep));
    }

    #[test]
    fn keys_fold_as_the_laxest_server_reads_them() {
        for raw in [r#""store""#, r#""STORE""#, r#""\u0073tore""#, r#""\u0053TORE""#, "\"\u{17f}tore\"", r#""\u017ftore""#] {
            assert_eq!(Cursor::new(raw.as_bytes()).unwrap().string().unwrap().folded(), "store", "{raw}");
        }
        assert_ne!(Cursor::new(br#""stores""#).unwrap().string().unwrap().folded(), "store");
    }

    #[test]
    fn escapes_are_resolved() {
        for raw in [r#""a\n\t\"\\\/\b\f\r""#, r#""\ud83d\ude00x""#, r#""\u00e9""#, r#""é😀""#] {
            let mine = Cursor::new(raw.as_bytes()).unwrap().string().unwrap().unescaped();
            assert_eq!(mine, serde_json::from_str::<String>(raw).unwrap());
        }
        assert_eq!(Cursor::new(br#""\ud83dx""#).unwrap().string().unwrap().unescaped(), "\u{fffd}x");
    }

    proptest! {
        #[test]
        fn agrees_with_serde_json(text in r#"[\[\]{}",:0-9a-f\\ntrue. \-+eE\n\x01é]{0,40}"#) {
            prop_assert_eq!(check(text.as_bytes()).is_ok(), oracle(text.as_bytes()), "{}", text);
        }

        #[test]
        fn no_input_panics(input in prop::collection::vec(any::<u8>(), 0..100)) {
            let _ = check(&input);
        }

        #[test]
        fn every_value_is_accepted(depth in 0u32..4, seed in any::<u64>()) {
            let value = arbitrary(depth, seed);
            let text = serde_json::to_vec_pretty(&value).unwrap();
            prop_assert_eq!(check(&text), Ok(()));
        }
    }

    fn arbitrary(depth: u32, seed: u64) -> serde_json::Value {
        use serde_json::{Value, json};
        match (seed % 7, depth) {
            (0, _) => Value::Null,
            (1, _) => json!(seed.is_multiple_of(2)),
            (2, _) => json!(seed as f64 / 3.0),
            (3, _) => json!(format!("\u{1}\"\\é{seed}")),
            (_, 0) => json!(seed),
            (4 | 5, _) => json!([arbitrary(depth - 1, seed / 7), arbitrary(depth - 1, seed / 11)]),
            _ => json!({"a b": arbitrary(depth - 1, seed / 13), "\n": arbitrary(depth - 1, seed / 17)}),
        }
    }
}
