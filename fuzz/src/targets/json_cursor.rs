//! The JSON reader accepts exactly what `serde_json` accepts, up to its depth, and reads strings and keys alike.

use lethe_wire::json::{Cursor, Flaw, JsonError, Kind};
use serde::de::IgnoredAny;

fn check(text: &[u8]) -> Result<(), JsonError> {
    let mut cursor = Cursor::new(text)?;
    let span = cursor.skip()?;
    assert!(span.end <= text.len() && span.start < span.end);
    cursor.end()
}

/// The keys of an object, unescaped, or the one string.
fn strings(text: &[u8]) -> Result<Vec<String>, JsonError> {
    let mut cursor = Cursor::new(text)?;
    let mut found = Vec::new();
    match cursor.kind()? {
        Kind::String => found.push(cursor.string()?.unescaped()),
        Kind::Object => cursor.object(|key, span, value| {
            assert_eq!(&text[span.start + 1..span.end - 1], key.raw().as_bytes());
            assert!(key.is(&key.unescaped()));
            let _ = key.folded();
            found.push(key.unescaped());
            value.skip().map(drop)
        })?,
        _ => {}
    }
    Ok(found)
}

/// One input.
pub fn run(text: &[u8]) {
    let mine = check(text);
    let Ok(valid) = std::str::from_utf8(text) else {
        assert_eq!(mine.map_err(|error| error.flaw), Err(Flaw::Utf8));
        return;
    };
    if let Err(error) = mine {
        assert!(error.at <= text.len(), "the place is in the text");
        if error.flaw == Flaw::TooDeep {
            return;
        }
    }
    let theirs = serde_json::from_str::<IgnoredAny>(valid).is_ok();
    assert_eq!(mine.is_ok(), theirs, "{mine:?}");
    // Lone surrogates are an error there and U+FFFD here; numbers out of range are an error there.
    if mine.is_ok() {
        match serde_json::from_str::<serde_json::Value>(valid) {
            Ok(serde_json::Value::String(string)) => assert_eq!(strings(text), Ok(vec![string])),
            Ok(serde_json::Value::Object(object)) => {
                let mut mine = strings(text).expect("it was accepted");
                mine.sort();
                mine.dedup();
                assert_eq!(mine, object.keys().cloned().collect::<Vec<_>>());
            }
            _ => assert!(strings(text).is_ok()),
        }
    }
}
