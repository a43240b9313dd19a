//! Texts as vectors in no API's own form: what every format for embeddings can be read into and written from.
//!
//! Vectors pass as they stand in the answer that they were read from, unless the client wants them in the other of the two ways in which they
//! are sent: an array of numbers, or the base64 of 32-bit floats, the least significant byte first.

pub mod gemini;
pub mod openai;

use lethe_types::Api;

use crate::conversation::{Json, Malformed, Str};
use crate::json::Kind;
use crate::media::base64;
use crate::refusal::Refusal;

/// A request for vectors.
pub struct EmbedRequest<'a> {
    /// The format that it was read from.
    pub api: Api,
    /// The texts.
    pub inputs: Vec<Str<'a>>,
    /// How many numbers a vector is to have; `None` for the model's own default.
    pub dimensions: Option<u64>,
    /// Vectors are wanted as base64.
    pub base64: bool,
    /// The client asked for several texts, even if it gave one: formats that answer one text in a form of its own need it.
    pub batch: bool,
    /// Top-level fields that have a meaning in [`Self::api`] only, with their values.
    pub own: Vec<(&'static str, Json<'a>)>,
}

impl EmbedRequest<'_> {
    /// A request of `api` with nothing in it.
    #[must_use]
    pub const fn new(api: Api) -> Self {
        Self { api, inputs: Vec::new(), dimensions: None, base64: false, batch: true, own: Vec::new() }
    }

    /// How vectors are wanted.
    #[must_use]
    pub fn wanted(&self) -> EmbedWanted {
        let texts = Some(self.inputs.len()).filter(|texts| *texts > 0);
        EmbedWanted { base64: self.base64, batch: self.batch, texts }
    }

    /// Refuses what only another format than `target` can express: for the beginning of every writer.
    ///
    /// # Errors
    /// [`Refusal::Untranslatable`] names the first such field.
    pub fn refuse_own(&self, target: Api) -> Result<(), Refusal> {
        match self.own.first() {
            Some((field, _)) if self.api != target => Err(Refusal::Untranslatable { field, target }),
            _ => Ok(()),
        }
    }
}

/// How vectors are wanted: what an answer depends on besides the vectors.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EmbedWanted {
    /// As base64.
    pub base64: bool,
    /// In the form for several texts.
    pub batch: bool,
    /// For so many texts; `None` where that cannot be known (texts as token numbers).
    pub texts: Option<usize>,
}

impl EmbedWanted {
    /// Whether an answer with so many vectors answers the request.
    fn takes(self, vectors: usize) -> bool {
        self.texts.is_none_or(|texts| texts == vectors)
    }
}

/// Vectors, in the order of the texts.
pub struct EmbedReply<'a> {
    /// The vectors.
    pub vectors: Vec<Vector<'a>>,
    /// Tokens of the texts, where the provider reported them.
    pub tokens: Option<u32>,
}

/// A vector.
pub enum Vector<'a> {
    /// The base64 of 32-bit floats.
    Base64(Str<'a>),
    /// A JSON array of numbers.
    Numbers(Json<'a>),
}

impl Vector<'_> {
    /// As a JSON array of numbers.
    ///
    /// # Errors
    /// [`Malformed`] for what is not the base64 of floats, or no number.
    pub fn numbers(&self) -> Result<Json<'_>, Malformed> {
        let data = match self {
            Self::Numbers(json) => return Ok(json.borrowed()),
            Self::Base64(data) => base64::decode(&data.plain()).ok_or(Malformed)?,
        };
        let (floats, []) = data.as_chunks::<4>() else { return Err(Malformed) };
        let mut text = String::with_capacity(floats.len() * 12 + 2);
        text.push('[');
        for bytes in floats {
            let float = f32::from_le_bytes(*bytes);
            if !float.is_finite() {
                return Err(Malformed);
            }
            if text.len() > 1 {
                text.push(',');
            }
            text.push_str(&float.to_string());
        }
        text.push(']');
        Json::checked(text).map_err(Malformed::from)
    }

    /// As the base64 of 32-bit floats.
    ///
    /// # Errors
    /// [`Malformed`] for an array with something that is no such number.
    pub fn base64(&self) -> Result<Str<'_>, Malformed> {
        let json = match self {
            Self::Base64(data) => return Ok(data.borrowed()),
            Self::Numbers(json) => json,
        };
        let mut bytes = Vec::new();
        json.cursor()?.array(|item| {
            if item.kind()? != Kind::Number {
                return Err(Malformed);
            }
            let span = item.skip()?;
            let float: f32 = item.text(span).parse().map_err(|_| Malformed)?;
            if !float.is_finite() {
                return Err(Malformed);
            }
            bytes.extend(float.to_le_bytes());
            Ok(())
        })?;
        Ok(Str::of(&base64::encode(&bytes)))
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed test")]

    use proptest::prelude::*;

    use super::Vector;
    use crate::conversation::{Json, Str};

    #[test]
    fn both_ways_say_the_same() {
        let numbers = Vector::Numbers(Json::checked("[1, -0.5,1e-3]").ok().unwrap());
        let base64 = numbers.base64().ok().unwrap();
        assert_eq!(base64.raw(), "AACAPwAAAL9vEoM6");
        assert_eq!(Vector::Base64(base64).numbers().ok().unwrap().raw(), "[1,-0.5,0.001]");
        assert_eq!(Vector::Base64(Str::EMPTY).numbers().ok().unwrap().raw(), "[]");
    }

    #[test]
    fn what_is_no_vector_is_malformed() {
        for bad in ["AAA=", "AACAf", "AADAfw==", "é"] {
            assert!(Vector::Base64(Str::of(bad)).numbers().is_err(), "{bad}");
        }
        for bad in ["[null]", "[\"1\"]", "[[1]]", "[1e99]", "{}"] {
            assert!(Vector::Numbers(Json::checked(bad).ok().unwrap()).base64().is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn no_number_changes_on_the_way(floats in prop::collection::vec(-1e30f32..1e30, 0..20)) {
            let text = serde_json::to_string(&floats).unwrap();
            let base64 = Vector::Numbers(Json::checked(text).ok().unwrap()).base64().ok().unwrap().into_owned();
            let back = Vector::Base64(base64);
            let again: Vec<f32> = serde_json::from_str(back.numbers().ok().unwrap().raw()).unwrap();
            prop_assert_eq!(again, floats);
        }
    }
}
