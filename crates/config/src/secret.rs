//! Secrets: `{ env = "NAME" }` or `{ file = "path" }`, nothing else.

use std::{fmt, ops::Range, os::unix::ffi::OsStringExt};

use lethe_types::SecretBytes;
use serde::{
    Deserialize, Deserializer,
    de::{Error, MapAccess, Unexpected, Visitor},
};

use crate::check::Check;

/// More than any credential; a larger file is the wrong file.
const LIMIT_BYTES: u64 = 64 * 1024;

const FORM: &str = "a secret never stands in the file: write { env = \"NAME\" } or { file = \"path\" }";

/// Where a secret comes from.
pub(crate) enum SecretRef {
    Env(String),
    File(String),
}

impl SecretRef {
    /// Fetches the secret, which could travel in a header.
    pub(crate) fn resolve(&self, span: Range<usize>, check: &mut Check<'_>) -> Option<SecretBytes> {
        let secret = self.fetch(check).and_then(|secret| self.usable(secret));
        check.take(span, secret)
    }

    /// Fetches a whole document, such as a key file in JSON.
    pub(crate) fn document(&self, span: Range<usize>, check: &mut Check<'_>) -> Option<SecretBytes> {
        let document = self.fetch(check);
        check.take(span, document)
    }

    fn fetch(&self, check: &mut Check<'_>) -> Result<SecretBytes, String> {
        let secret = match self {
            Self::Env(name) => check
                .variable(name)
                .map(OsStringExt::into_vec)
                .ok_or_else(|| format!("the environment variable {name} is not set: export it, or write {{ file = \"path\" }}")),
            Self::File(path) => {
                let path = check.path(path);
                // Before it is read: what is written meanwhile is seen as a change.
                check.secret_file(path.clone());
                read(&path)
            }
        };
        secret.map(trimmed)
    }

    /// Where it is looked for, for messages.
    pub(crate) fn holder(&self) -> String {
        match self {
            Self::Env(name) => format!("the environment variable {name}"),
            Self::File(path) => format!("the file {path}"),
        }
    }

    fn usable(&self, secret: SecretBytes) -> Result<SecretBytes, String> {
        let holder = self.holder();
        if secret.expose().is_empty() {
            return Err(format!("{holder} is empty: put the secret in it"));
        }
        // RFC 9110, 5.5: visible characters only, else it could not travel in a header.
        if !secret.expose().iter().all(u8::is_ascii_graphic) {
            return Err(format!(
                "{holder} holds spaces, line breaks or other characters that no key has: it must hold the secret alone"
            ));
        }
        Ok(secret)
    }
}

fn read(path: &std::path::Path) -> Result<Vec<u8>, String> {
    let unreadable = |error: std::io::Error| format!("the secret file {} cannot be read ({})", path.display(), error.kind());
    if std::fs::metadata(path).map_err(unreadable)?.len() > LIMIT_BYTES {
        return Err(format!(
            "the secret file {} is larger than {LIMIT_BYTES} bytes: it must hold the secret alone",
            path.display()
        ));
    }
    std::fs::read(path).map_err(unreadable)
}

/// Without the line break that editors put at the end.
fn trimmed(mut bytes: Vec<u8>) -> SecretBytes {
    let end = bytes.iter().rposition(|byte| !matches!(byte, b'\n' | b'\r')).map_or(0, |last| last + 1);
    bytes.truncate(end);
    SecretBytes::new(bytes)
}

impl<'de> Deserialize<'de> for SecretRef {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Reference)
    }
}

/// Written by hand so that no message can repeat what stands in the place of the reference.
struct Reference;

impl<'de> Visitor<'de> for Reference {
    type Value = SecretRef;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("{ env = \"NAME\" } or { file = \"path\" }")
    }

    fn visit_str<E: Error>(self, _secret: &str) -> Result<SecretRef, E> {
        Err(E::custom(FORM))
    }

    fn visit_i64<E: Error>(self, _secret: i64) -> Result<SecretRef, E> {
        Err(E::invalid_type(Unexpected::Other("number"), &self))
    }

    fn visit_f64<E: Error>(self, _secret: f64) -> Result<SecretRef, E> {
        Err(E::invalid_type(Unexpected::Other("number"), &self))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<SecretRef, A::Error> {
        let Some(key) = map.next_key::<String>()? else { return Err(A::Error::custom(FORM)) };
        let reference = match key.as_str() {
            "env" => {
                let name = map.next_value::<Name>()?.0;
                let mut characters = name.chars();
                let letter = characters.next().is_some_and(|first| first.is_ascii_alphabetic() || first == '_');
                if !letter || !characters.all(|character| character.is_ascii_alphanumeric() || character == '_') {
                    return Err(A::Error::custom(
                        "this is no variable name (letters, digits and _ only): write the name of the variable, not the secret",
                    ));
                }
                SecretRef::Env(name)
            }
            "file" => SecretRef::File(map.next_value::<Name>()?.0),
            _ => return Err(A::Error::custom(FORM)),
        };
        if map.next_key::<String>()?.is_some() {
            return Err(A::Error::custom("either env or file, not more: write { env = \"NAME\" } or { file = \"path\" }"));
        }
        Ok(reference)
    }
}

/// Something that may stand in the file or be looked up like a secret.
pub(crate) enum TextRef {
    Ref(SecretRef),
    Text(String),
}

impl TextRef {
    /// The text. Not for secrets.
    pub(crate) fn resolve(&self, span: Range<usize>, check: &mut Check<'_>) -> Option<String> {
        match self {
            Self::Text(text) => Some(text.clone()),
            Self::Ref(reference) => {
                let bytes = reference.resolve(span, check)?;
                String::from_utf8(bytes.expose().to_vec()).ok()
            }
        }
    }
}

impl<'de> Deserialize<'de> for TextRef {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TextOrReference)
    }
}

struct TextOrReference;

impl<'de> Visitor<'de> for TextOrReference {
    type Value = TextRef;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text, { env = \"NAME\" } or { file = \"path\" }")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<TextRef, E> {
        Ok(TextRef::Text(text.to_owned()))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<TextRef, A::Error> {
        Reference.visit_map(map).map(TextRef::Ref)
    }
}

/// A string; anything else is refused without repeating it.
struct Name(String);

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self).map_err(|_| D::Error::custom(FORM))
    }
}
