//! Why a request is refused, before any provider is asked.

use lethe_policy::conflict::Conflict;
use lethe_types::Api;

use crate::json::JsonError;

/// An unknown field's name is told back to its sender, but not without end.
const NAME_LIMIT: usize = 64;

/// Why a request is refused, before any provider is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Media that are not what they say: not base64, no media type, a type that the format has not.
    BadMedia(&'static str, &'static str),
    /// It needs somebody to remember.
    Conflict(Conflict),
    /// The same field twice, however spelled.
    DuplicateField(FieldName),
    /// Not JSON, too deep, or not UTF-8.
    Json(JsonError),
    /// A required field is missing.
    MissingField(&'static str),
    /// Top-level fields without end.
    TooManyFields,
    /// A field that the provider's preset does not list.
    UnknownField(FieldName),
    /// A tool type that the provider's preset does not list.
    UnknownTool(FieldName),
    /// A field (or a value of it) that the format in which the provider is asked cannot express.
    Untranslatable {
        /// The field as the client's format documents it, with dots.
        field: &'static str,
        /// The provider's format.
        target: Api,
    },
    /// A field that is not of the client's own format: nothing could say what becomes of it in another one.
    UntranslatableUnknown(FieldName),
    /// A field has another type than documented, or a value that is none of the documented ones.
    WrongType(&'static str, &'static str),
}

impl From<JsonError> for Refusal {
    fn from(error: JsonError) -> Self {
        Self::Json(error)
    }
}

/// The name of a field as its sender wrote it, cut to what can be shown: letters, digits, `_`, `-`, `.` and at most 64 of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldName(String);

impl FieldName {
    /// The name, as it can be shown.
    #[must_use]
    pub fn new(name: &str) -> Self {
        let shown = |char: char| if char.is_ascii_alphanumeric() || matches!(char, '_' | '-' | '.') { char } else { '?' };
        Self(name.chars().take(NAME_LIMIT).map(shown).collect())
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}
