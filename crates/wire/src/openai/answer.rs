//! What metering needs from an answer that is not streamed.

use crate::json::{Cursor, JsonError, Kind};

/// More tokens than any model takes: a provider that says so is not believed.
const TOKEN_LIMIT: u64 = 1_000_000_000;

/// Tokens as a provider reported them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tokens {
    /// `prompt_tokens`
    pub input: u32,
    /// `completion_tokens`; 0 for embeddings.
    pub output: u32,
}

/// What was read out of an answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// Tokens, where the provider reported them.
    pub tokens: Option<Tokens>,
    /// It is an error object.
    pub is_error: bool,
    /// Bytes of `choices`, for an estimate where no usage comes.
    pub choices_bytes: usize,
}

/// Checks that an answer is a JSON object and reads its usage.
///
/// # Errors
/// [`JsonError`] when it is not.
pub fn inspect_answer(body: &[u8]) -> Result<Answer, JsonError> {
    let mut cursor = Cursor::new(body)?;
    let mut answer = Answer::default();
    cursor.object(|key, _, value| match (key.raw(), value.kind()?) {
        ("usage", Kind::Object) => {
            answer.tokens = tokens(value)?;
            Ok(())
        }
        ("error", Kind::Object | Kind::String) => {
            answer.is_error = true;
            value.skip().map(drop)
        }
        ("choices", _) => {
            answer.choices_bytes = value.skip()?.len();
            Ok(())
        }
        _ => value.skip().map(drop),
    })?;
    cursor.end()?;
    Ok(answer)
}

/// Reads a `usage` object; `None` when it has no token counts (or ones that nobody would believe).
pub(super) fn tokens(value: &mut Cursor<'_>) -> Result<Option<Tokens>, JsonError> {
    let (mut input, mut output) = (None, Some(0));
    value.object(|key, _, value| {
        let count = match value.kind()? {
            Kind::Number if matches!(key.raw(), "prompt_tokens" | "completion_tokens") => count(value)?,
            _ => {
                value.skip()?;
                return Ok::<(), JsonError>(());
            }
        };
        if key.raw() == "prompt_tokens" {
            input = count
        } else {
            output = count
        }
        Ok(())
    })?;
    Ok(input.zip(output).map(|(input, output)| Tokens { input, output }))
}

/// A token count; `None` for a number that is none.
fn count(value: &mut Cursor<'_>) -> Result<Option<u32>, JsonError> {
    match value.count() {
        Ok(count) if count <= TOKEN_LIMIT => Ok(u32::try_from(count).ok()),
        Ok(_) => Ok(None),
        // `count` has checked and passed the number before it found that it is no count.
        Err(error) if error.flaw == crate::json::Flaw::Type => Ok(None),
        Err(error) => Err(error),
    }
}

/// Whether `text` quotes `secret`, as it is or split by nothing more than JSON escapes of `/`.
#[must_use]
pub fn quotes(text: &[u8], secret: &[u8]) -> bool {
    !secret.is_empty() && memchr::memmem::find(text, secret).is_some()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed test")]

    use super::{Tokens, inspect_answer};

    #[test]
    fn usage_is_read_and_doubted() {
        let read = |usage: &str| inspect_answer(format!(r#"{{"choices":[],"usage":{usage}}}"#).as_bytes()).unwrap().tokens;
        assert_eq!(read(r#"{"prompt_tokens":3,"completion_tokens":4,"x":{"a":[1]}}"#), Some(Tokens { input: 3, output: 4 }));
        assert_eq!(read(r#"{"prompt_tokens":3,"total_tokens":3}"#), Some(Tokens { input: 3, output: 0 }), "embeddings");
        for doubtful in [
            "null",
            "{}",
            r#"{"prompt_tokens":-3}"#,
            r#"{"prompt_tokens":3.5,"completion_tokens":1}"#,
            r#"{"prompt_tokens":99999999999}"#,
        ] {
            assert_eq!(read(doubtful), None, "{doubtful}");
        }
        assert!(inspect_answer(b"<html>").is_err());
        assert!(inspect_answer(b"{\"a\":1").is_err());
        assert!(inspect_answer(b"{\"error\":{}}").unwrap().is_error);
    }
}
