//! What a cache of the provider has answered is not told to clients who share it.
//!
//! Whoever sees how many tokens of a prompt came from a cache can tell whether somebody else has sent the same beginning. Counts are
//! overwritten where they stand, so that the rest passes byte for byte.

use std::ops::Range;

use crate::json::{Cursor, JsonError, Kind};

/// Objects of token counts, and objects in which they stand one level deeper (events of Anthropic's and of responses).
const USAGE: [&str; 2] = ["usage", "usageMetadata"];
const DEEPER: [&str; 2] = ["message", "response"];
/// Counts that say what came from a cache, or went into one.
const COUNTS: [&str; 8] = [
    "cache_creation_input_tokens",
    "cache_read_input_tokens",
    "cache_write_tokens",
    "cachedContentTokenCount",
    "cached_tokens",
    "ephemeral_5m_input_tokens",
    "prompt_cache_hit_tokens",
    "prompt_cache_miss_tokens",
];

/// Overwrites the counts in an answer, or in one event of a stream, with zeros (and spaces, so that nothing moves). What is no JSON object
/// stays as it is.
///
/// ```
/// let mut answer = br#"{"usage":{"prompt_tokens":2000,"prompt_tokens_details":{"cached_tokens":1920}}}"#.to_vec();
/// lethe_wire::withhold::cached_counts(&mut answer);
/// assert_eq!(answer, br#"{"usage":{"prompt_tokens":2000,"prompt_tokens_details":{"cached_tokens":0   }}}"#);
/// ```
pub fn cached_counts(json: &mut [u8]) {
    // Most events have no counts at all.
    if memchr::memmem::find(json, b"ache").is_none() {
        return;
    }
    let mut spans = Vec::new();
    if look(json, &mut spans).is_ok() {
        for span in spans {
            if let Some([first, rest @ ..]) = json.get_mut(span) {
                *first = b'0';
                rest.fill(b' ');
            }
        }
    }
}

fn look(json: &[u8], spans: &mut Vec<Range<usize>>) -> Result<(), JsonError> {
    Cursor::new(json)?.object(|key, _, value| match value.kind()? {
        Kind::Object if USAGE.contains(&key.raw()) => counts(value, spans),
        Kind::Object if DEEPER.contains(&key.raw()) => value.object(|key, _, value| match value.kind()? {
            Kind::Object if USAGE.contains(&key.raw()) => counts(value, spans),
            _ => value.skip().map(drop),
        }),
        _ => value.skip().map(drop),
    })
}

fn counts(value: &mut Cursor<'_>, spans: &mut Vec<Range<usize>>) -> Result<(), JsonError> {
    value.object(|key, _, value| match value.kind()? {
        Kind::Number if COUNTS.contains(&key.raw()) => {
            spans.push(value.skip()?);
            Ok(())
        }
        Kind::Object => counts(value, spans),
        _ => value.skip().map(drop),
    })
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed test")]

    use proptest::prelude::*;

    use super::cached_counts;

    fn withheld(text: &str) -> String {
        let mut bytes = text.as_bytes().to_vec();
        cached_counts(&mut bytes);
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn counts_are_overwritten_where_usage_stands_and_nowhere_else() {
        for (text, expected) in [
            (
                r#"{"type":"message_start","message":{"usage":{"input_tokens":5,"cache_read_input_tokens":71}}}"#,
                r#"{"type":"message_start","message":{"usage":{"input_tokens":5,"cache_read_input_tokens":0 }}}"#,
            ),
            (
                r#"{"response":{"usage":{"input_tokens_details":{"cached_tokens":9}}}}"#,
                r#"{"response":{"usage":{"input_tokens_details":{"cached_tokens":0}}}}"#,
            ),
            (r#"{"usageMetadata":{"cachedContentTokenCount":12}}"#, r#"{"usageMetadata":{"cachedContentTokenCount":0 }}"#),
        ] {
            assert_eq!(withheld(text), expected);
        }
        for same in [
            r#"{"content":[{"type":"tool_use","input":{"usage":{"cached_tokens":5}}}]}"#,
            r#"{"choices":[{"delta":{"content":"\"usage\":{\"cached_tokens\":5}"}}]}"#,
            r#"{"usage":{"cached_tokens":"#,
            "[DONE]",
        ] {
            assert_eq!(withheld(same), same);
        }
    }

    proptest! {
        #[test]
        fn what_was_json_is_json(count in any::<u64>(), text in "[a-z\"\\\\]{0,10}") {
            let value = serde_json::json!({"a": text, "usage": {"cached_tokens": count, "b": [text]}});
            let hidden: serde_json::Value = serde_json::from_str(&withheld(&value.to_string())).unwrap();
            prop_assert_eq!(&hidden["usage"]["cached_tokens"], &serde_json::json!(0));
            prop_assert_eq!(&hidden["a"], &value["a"]);
        }
    }
}
