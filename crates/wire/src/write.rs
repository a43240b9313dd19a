//! JSON written into a wiped buffer.

use lethe_content::ContentBuf;

use crate::conversation::{Json, Str};

/// Writes JSON at the end of a buffer; commas come by themselves.
///
/// ```
/// use lethe_content::ContentBuf;
/// use lethe_wire::write::Writer;
/// let mut out = ContentBuf::new();
/// let mut json = Writer::new(&mut out);
/// json.object(|json| {
///     json.key("a").number(1);
///     json.key("b").array(|json| {
///         json.plain("x\n");
///         json.null();
///     });
/// });
/// assert_eq!(out.expose(), br#"{"a":1,"b":["x\u000a",null]}"#);
/// ```
pub struct Writer<'o> {
    out: &'o mut ContentBuf,
    /// Something stands before the next value that a comma must part it from.
    comma: bool,
}

impl<'o> Writer<'o> {
    /// At the end of `out`.
    pub const fn new(out: &'o mut ContentBuf) -> Self {
        Self { out, comma: false }
    }

    fn value(&mut self) -> &mut ContentBuf {
        if self.comma {
            self.out.extend(b",");
        }
        self.comma = true;
        self.out
    }

    /// `{…}`, with the members that `members` writes.
    pub fn object(&mut self, members: impl FnOnce(&mut Self)) {
        self.value().extend(b"{");
        self.comma = false;
        members(self);
        self.out.extend(b"}");
        self.comma = true;
    }

    /// `[…]`, with the items that `items` writes.
    pub fn array(&mut self, items: impl FnOnce(&mut Self)) {
        self.value().extend(b"[");
        self.comma = false;
        items(self);
        self.out.extend(b"]");
        self.comma = true;
    }

    /// As [`Self::object`], where writing a member may fail.
    ///
    /// # Errors
    /// What `members` returns; the buffer then holds half a text.
    pub fn try_object<E>(&mut self, members: impl FnOnce(&mut Self) -> Result<(), E>) -> Result<(), E> {
        let mut result = Ok(());
        self.object(|json| result = members(json));
        result
    }

    /// As [`Self::array`], where writing an item may fail.
    ///
    /// # Errors
    /// What `items` returns; the buffer then holds half a text.
    pub fn try_array<E>(&mut self, items: impl FnOnce(&mut Self) -> Result<(), E>) -> Result<(), E> {
        let mut result = Ok(());
        self.array(|json| result = items(json));
        result
    }

    /// A member's key, which needs no escapes; its value must follow.
    pub fn key(&mut self, key: &str) -> &mut Self {
        let out = self.value();
        out.extend(b"\"");
        out.extend(key.as_bytes());
        out.extend(b"\":");
        self.comma = false;
        self
    }

    /// A string that is escaped already.
    pub fn string(&mut self, text: &Str<'_>) {
        self.strings(&[text.raw()]);
    }

    /// A string of several pieces that are escaped already.
    pub fn strings(&mut self, pieces: &[&str]) {
        let out = self.value();
        out.extend(b"\"");
        pieces.iter().for_each(|piece| out.extend(piece.as_bytes()));
        out.extend(b"\"");
    }

    /// A string that is not escaped yet.
    pub fn plain(&mut self, text: &str) {
        let mut escaped = Vec::with_capacity(text.len());
        escape(text, &mut escaped);
        let out = self.value();
        out.extend(b"\"");
        out.extend(&escaped);
        out.extend(b"\"");
    }

    /// A value that is JSON already.
    pub fn json(&mut self, json: &Json<'_>) {
        self.value().extend(json.raw().as_bytes());
    }

    /// Members of an object, or one value, that are JSON already.
    pub(crate) fn members(&mut self, members: &str) {
        if members.is_empty() {
            return;
        }
        self.value().extend(members.as_bytes());
    }

    /// A whole number.
    pub fn number(&mut self, number: u64) {
        self.value().extend(number.to_string().as_bytes());
    }

    /// `true` or `false`.
    pub fn boolean(&mut self, value: bool) {
        self.value().extend(if value { b"true" } else { b"false" });
    }

    /// `null`
    pub fn null(&mut self) {
        self.value().extend(b"null");
    }

    /// A member with a string that is escaped already.
    pub fn member(&mut self, key: &str, text: &Str<'_>) {
        self.key(key).string(text);
    }

    /// A member with a constant that needs no escapes.
    pub fn constant(&mut self, key: &str, text: &'static str) {
        self.key(key).strings(&[text]);
    }

    /// A member with media as a `data:` URL; both parts are escaped already.
    pub fn data_url(&mut self, key: &str, media_type: &Str<'_>, data: &Str<'_>) {
        self.key(key).strings(&["data:", media_type.raw(), ";base64,", data.raw()]);
    }

    /// A member, if there is a value for it.
    pub fn some(&mut self, key: &str, json: Option<&Json<'_>>) {
        if let Some(json) = json {
            self.key(key).json(json);
        }
    }
}

/// Appends `text` as the inside of a JSON string.
pub fn escape(text: &str, out: &mut Vec<u8>) {
    let mut rest = text.as_bytes();
    while let Some(at) = rest.iter().position(|byte| matches!(byte, b'"' | b'\\' | 0..=0x1f)) {
        let (plain, tail) = rest.split_at(at);
        out.extend(plain);
        match tail[0] {
            b'"' => out.extend(b"\\\""),
            b'\\' => out.extend(b"\\\\"),
            control => {
                out.extend(b"\\u00");
                out.extend([control >> 4, control & 15].map(|digit| b"0123456789abcdef"[usize::from(digit)]));
            }
        }
        rest = &tail[1..];
    }
    out.extend(rest);
}
