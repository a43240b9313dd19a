//! A string of a JSON text.

use std::borrow::Cow;

/// A string as it stands in the text, without its quotes.
#[derive(Clone, Copy)]
pub struct Text<'a> {
    pub(super) raw: &'a str,
    pub(super) escaped: bool,
}

impl<'a> Text<'a> {
    /// The inside of a JSON string that is known to be valid and may have escapes.
    pub(crate) const fn escaped(raw: &'a str) -> Self {
        Self { raw, escaped: true }
    }

    /// The string with its escapes resolved. Lone surrogates become U+FFFD.
    #[must_use]
    pub fn unescaped(&self) -> String {
        if !self.escaped {
            return self.raw.to_owned();
        }
        let mut out = String::with_capacity(self.raw.len());
        let mut chars = self.raw.chars();
        let mut high: Option<u16> = None;
        while let Some(char) = chars.next() {
            let mut unit = None;
            let plain = match char {
                '\\' => match chars.next() {
                    Some('b') => Some('\u{8}'),
                    Some('f') => Some('\u{c}'),
                    Some('n') => Some('\n'),
                    Some('r') => Some('\r'),
                    Some('t') => Some('\t'),
                    Some('u') => {
                        let digits = chars.as_str().get(..4).unwrap_or_default();
                        unit = u16::from_str_radix(digits, 16).ok();
                        chars = chars.as_str().get(4..).unwrap_or_default().chars();
                        None
                    }
                    other => other,
                },
                other => Some(other),
            };
            match (high.take(), unit) {
                (Some(first), Some(second @ 0xdc00..=0xdfff)) => {
                    out.extend(char::decode_utf16([first, second]).map(|pair| pair.unwrap_or(char::REPLACEMENT_CHARACTER)));
                    continue;
                }
                (Some(_), _) => out.push(char::REPLACEMENT_CHARACTER),
                (None, _) => {}
            }
            match unit {
                Some(first @ 0xd800..=0xdbff) => high = Some(first),
                Some(other) => out.push(char::from_u32(u32::from(other)).unwrap_or(char::REPLACEMENT_CHARACTER)),
                None => out.extend(plain),
            }
        }
        if high.is_some() {
            out.push(char::REPLACEMENT_CHARACTER);
        }
        out
    }

    /// The string with its escapes resolved, copied only where it has any.
    #[must_use]
    pub fn plain(&self) -> Cow<'a, str> {
        if self.escaped { self.unescaped().into() } else { Cow::Borrowed(self.raw) }
    }

    /// Unescaped and case-folded, as the laxest server might read a key: `STORE`, `\u0073tore` and `ſtore` are `store`.
    #[must_use]
    pub fn folded(&self) -> Cow<'a, str> {
        if !self.escaped && self.raw.bytes().all(|byte| byte.is_ascii() && !byte.is_ascii_uppercase()) {
            return Cow::Borrowed(self.raw);
        }
        self.unescaped().chars().flat_map(char::to_uppercase).flat_map(char::to_lowercase).collect::<String>().into()
    }

    /// Whether the string, unescaped, is exactly `other`.
    #[must_use]
    pub fn is(&self, other: &str) -> bool {
        if self.escaped { self.unescaped() == other } else { self.raw == other }
    }

    /// The raw text between the quotes, escapes and all.
    #[must_use]
    pub const fn raw(&self) -> &'a str {
        self.raw
    }
}
