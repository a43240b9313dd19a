//! What metering needs from an answer that passes as it is, in whichever format.

use crate::conversation::Usage;
use crate::json::{Cursor, Flaw, JsonError, Kind};

/// What was read out of an answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// Tokens, where the provider reported them.
    pub usage: Option<Usage>,
    /// It is an error object.
    pub is_error: bool,
    /// Bytes of what is said, for an estimate where no usage comes.
    pub said_bytes: usize,
}

/// Tokens as the formats name them.
#[derive(Default)]
struct Counts {
    input: Option<u32>,
    output: Option<u32>,
    total: Option<u32>,
    /// Anthropic counts what comes from and goes into a cache apart from the input.
    beside: u32,
    cached: Option<u32>,
    reasoning: Option<u32>,
}

/// Checks that an answer is a JSON object and reads its usage.
///
/// # Errors
/// [`JsonError`] when it is not.
pub fn inspect_answer(body: &[u8]) -> Result<Answer, JsonError> {
    let mut cursor = Cursor::new(body)?;
    let mut answer = Answer::default();
    cursor.object(|key, _, value| {
        match (key.raw(), value.kind()?) {
            ("usage" | "usageMetadata", Kind::Object) => answer.usage = usage(value)?,
            ("error", Kind::Object | Kind::String) => {
                answer.is_error = true;
                value.skip()?;
            }
            ("choices" | "content" | "output" | "candidates", _) => answer.said_bytes = value.skip()?.len(),
            _ => value.skip().map(drop)?,
        }
        Ok::<(), JsonError>(())
    })?;
    cursor.end()?;
    Ok(answer)
}

/// Reads an object of token counts; `None` when it has none (or ones that nobody would believe).
///
/// # Errors
/// Any flaw.
pub fn usage(value: &mut Cursor<'_>) -> Result<Option<Usage>, JsonError> {
    let mut counts = Counts::default();
    value.object(|key, _, value| {
        if value.kind()? != Kind::Number {
            return value.skip().map(drop);
        }
        let count = count(value)?;
        match key.raw() {
            "prompt_tokens" | "input_tokens" | "promptTokenCount" => counts.input = count,
            "completion_tokens" | "output_tokens" => counts.output = count,
            "candidatesTokenCount" => counts.output = Some(counts.output.unwrap_or(0).saturating_add(count.unwrap_or(0))),
            "thoughtsTokenCount" => {
                counts.reasoning = count;
                counts.output = Some(counts.output.unwrap_or(0).saturating_add(count.unwrap_or(0)));
            }
            "cache_creation_input_tokens" => counts.beside = counts.beside.saturating_add(count.unwrap_or(0)),
            "cache_read_input_tokens" => {
                counts.cached = count;
                counts.beside = counts.beside.saturating_add(count.unwrap_or(0));
            }
            "cachedContentTokenCount" => counts.cached = count,
            "total_tokens" => counts.total = count,
            _ => {}
        }
        Ok(())
    })?;
    let Counts { input, output, total, beside, cached, reasoning } = counts;
    // Rerankers and some embedders report the total alone.
    let input = match (input, output) {
        (None, None) => total,
        (input, _) => input,
    };
    Ok(input.map(|input| Usage {
        input: input.saturating_add(beside),
        output: output.unwrap_or(0),
        cached,
        reasoning,
        ..Usage::default()
    }))
}

/// A token count; `None` for a number that is none.
pub(crate) fn count(value: &mut Cursor<'_>) -> Result<Option<u32>, JsonError> {
    match value.count() {
        Ok(count) => Ok(Usage::count(count)),
        // `count` has checked and passed the number before it found that it is no count.
        Err(error) if error.flaw == Flaw::Type => Ok(None),
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

    use super::inspect_answer;

    fn read(body: &str) -> Option<(u32, u32)> {
        inspect_answer(body.as_bytes()).unwrap().usage.map(|usage| (usage.input, usage.output))
    }

    #[test]
    fn usage_is_read_in_every_format() {
        for (usage, tokens) in [
            (r#"{"prompt_tokens":3,"completion_tokens":4,"x":{"a":[1]}}"#, (3, 4)),
            (r#"{"prompt_tokens":3,"total_tokens":3}"#, (3, 0)),
            (r#"{"input_tokens":3,"output_tokens":4}"#, (3, 4)),
            (r#"{"input_tokens":3,"cache_creation_input_tokens":10,"cache_read_input_tokens":100,"output_tokens":4}"#, (113, 4)),
            (r#"{"total_tokens":9}"#, (9, 0)),
        ] {
            assert_eq!(read(&format!(r#"{{"choices":[],"usage":{usage}}}"#)), Some(tokens), "{usage}");
        }
        let gemini =
            r#"{"usageMetadata":{"promptTokenCount":3,"candidatesTokenCount":4,"thoughtsTokenCount":5,"totalTokenCount":12}}"#;
        assert_eq!(read(gemini), Some((3, 9)));
    }

    #[test]
    fn usage_is_doubted() {
        for doubtful in [
            "null",
            "{}",
            r#"{"prompt_tokens":-3}"#,
            r#"{"prompt_tokens":3.5,"completion_tokens":1}"#,
            r#"{"prompt_tokens":99999999999}"#,
        ] {
            assert_eq!(read(&format!(r#"{{"usage":{doubtful}}}"#)), None, "{doubtful}");
        }
        assert!(inspect_answer(b"<html>").is_err());
        assert!(inspect_answer(b"{\"a\":1").is_err());
        assert!(inspect_answer(b"{\"error\":{}}").unwrap().is_error);
        assert!(!inspect_answer(b"{\"error\":null}").unwrap().is_error);
    }
}
