//! The file around a statement, and its check.

use std::fmt;

use data_encoding::HEXLOWER;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::key::{KeyId, PublicKey, SigningKey};

#[derive(Serialize)]
struct Written<'a> {
    payload_type: &'a str,
    payload: &'a RawValue,
    signatures: [Signature; 1],
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Envelope {
    payload_type: String,
    payload: Box<RawValue>,
    signatures: Vec<Signature>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Signature {
    keyid: String,
    /// Hexadecimal.
    public_key: String,
    /// Hexadecimal.
    sig: String,
}

/// A statement whose signature is good.
#[derive(Debug)]
pub struct Statement {
    /// The payload, as it was signed.
    pub payload: String,
    /// Who signed. Whether that is who the reader expects, only the reader can say.
    pub key: PublicKey,
}

/// Why a file is no good statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refused {
    /// Line and column; never what stands there.
    NotAnEnvelope {
        /// From 1.
        line: usize,
        /// From 1.
        column: usize,
    },
    /// A statement of another kind.
    OtherType,
    /// Nobody signed it.
    NoSignature,
    /// The payload or the signature was changed after signing.
    BadSignature,
    /// Good, but not by the expected key.
    OtherKey(KeyId),
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAnEnvelope { line, column } => write!(f, "not a signed statement (line {line}, column {column})"),
            Self::OtherType => f.write_str("a signed statement of another kind"),
            Self::NoSignature => f.write_str("it carries no signature"),
            Self::BadSignature => f.write_str("the signature does not fit: it was changed after signing"),
            Self::OtherKey(id) => write!(f, "signed by another key than expected: {id}"),
        }
    }
}

impl std::error::Error for Refused {}

/// DSSE v1.0.0, "Signature Definition": `PAE(type, body)`.
fn encoded(payload_type: &str, payload: &str) -> Vec<u8> {
    format!("DSSEv1 {} {payload_type} {} {payload}", payload_type.len(), payload.len()).into_bytes()
}

/// A file with this payload, which has to be JSON, and its signature.
///
/// # Errors
/// The payload is not JSON.
pub fn sign(payload_type: &str, payload: String, key: &SigningKey) -> Result<String, serde_json::Error> {
    let payload = RawValue::from_string(payload)?;
    let sig = HEXLOWER.encode(&key.sign(&encoded(payload_type, payload.get())));
    let public = key.public();
    let signatures = [Signature { keyid: public.id().to_string(), public_key: public.hex(), sig }];
    serde_json::to_string(&Written { payload_type, payload: &payload, signatures })
}

/// Checks a file; with `expected`, that it was signed by that key.
///
/// # Errors
/// [`Refused`].
pub fn verify(payload_type: &str, file: &str, expected: Option<&PublicKey>) -> Result<Statement, Refused> {
    let envelope: Envelope =
        serde_json::from_str(file).map_err(|error| Refused::NotAnEnvelope { line: error.line(), column: error.column() })?;
    if envelope.payload_type != payload_type {
        return Err(Refused::OtherType);
    }
    let message = encoded(payload_type, envelope.payload.get());
    let mut refused = Refused::NoSignature;
    for Signature { keyid, public_key, sig } in &envelope.signatures {
        let key = PublicKey::parse(public_key);
        let good = |key: &PublicKey| {
            key.id().to_string() == *keyid && HEXLOWER.decode(sig.as_bytes()).is_ok_and(|sig| key.verifies(&message, &sig))
        };
        match key.filter(good) {
            None => return Err(Refused::BadSignature),
            Some(key) if expected.is_some_and(|expected| *expected != key) => refused = Refused::OtherKey(key.id()),
            Some(key) => return Ok(Statement { payload: envelope.payload.get().to_owned(), key }),
        }
    }
    Err(refused)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed expectation is a failed test")]

    use proptest::prelude::*;

    use super::{Refused, encoded, sign, verify};
    use crate::SigningKey;

    const TYPE: &str = "application/vnd.lethe.audit+json";

    fn key() -> (tempfile::TempDir, SigningKey) {
        let folder = tempfile::tempdir().unwrap();
        let key = SigningKey::of_file(&folder.path().join("key")).unwrap();
        (folder, key)
    }

    /// The example of DSSE's protocol.md.
    #[test]
    fn the_encoding_is_dsse() {
        assert_eq!(
            encoded("http://example.com/HelloWorld", "hello world"),
            b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
        );
    }

    #[test]
    fn what_was_signed_verifies_and_a_key_is_read_again() {
        let (folder, key) = key();
        let file = sign(TYPE, r#"{ "verdict":  "clean" }"#.to_owned(), &key).unwrap();
        let again = SigningKey::of_file(&folder.path().join("key")).unwrap();
        let statement = verify(TYPE, &file, Some(&again.public())).unwrap();
        assert_eq!(statement.payload, r#"{ "verdict":  "clean" }"#);
        assert_eq!(verify("other", &file, None).unwrap_err(), Refused::OtherType);
        let (_folder, other) = self::key();
        assert_eq!(verify(TYPE, &file, Some(&other.public())).unwrap_err(), Refused::OtherKey(key.public().id()));
    }

    #[test]
    fn a_signature_of_another_statement_does_not_fit() {
        let (_folder, key) = key();
        let file = sign(TYPE, r#"{"verdict":"clean"}"#.to_owned(), &key).unwrap();
        assert_eq!(verify(TYPE, &file.replace("clean", "dirty"), None).unwrap_err(), Refused::BadSignature);
        let (_folder, other) = self::key();
        let swapped = file.replace(&key.public().hex(), &other.public().hex());
        assert_eq!(verify(TYPE, &swapped, None).unwrap_err(), Refused::BadSignature);
        let start = file.find(r#""signatures""#).unwrap();
        let none = format!(r#"{}"signatures":[]}}"#, &file[..start]);
        assert_eq!(verify(TYPE, &none, None).unwrap_err(), Refused::NoSignature);
    }

    proptest! {
        /// Any one byte that differs is seen, wherever it stands.
        #[test]
        fn no_byte_can_be_changed(at in any::<prop::sample::Index>(), byte in any::<u8>()) {
            let (_folder, key) = key();
            let file = sign(TYPE, r#"{"verdict":"clean","findings":[]}"#.to_owned(), &key).unwrap();
            let mut bytes = file.clone().into_bytes();
            let at = at.index(bytes.len());
            prop_assume!(bytes[at] != byte);
            bytes[at] = byte;
            if let Ok(text) = String::from_utf8(bytes) {
                prop_assert!(verify(TYPE, &text, Some(&key.public())).is_err());
            }
        }
    }
}
