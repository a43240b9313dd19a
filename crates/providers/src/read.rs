//! What answers of several providers are read with.

use lethe_wire::conversation::{Json, Malformed, Str, Usage};
use lethe_wire::embeddings::Vector;
use lethe_wire::json::{Cursor, Kind};

/// More calls than a model makes at once.
pub(crate) const CALL_LIMIT: usize = 1024;

/// A token count; `None` for a number that is none or that nobody would believe. Some servers write counts as `7.0`.
pub(crate) fn count(value: &mut Cursor<'_>) -> Result<Option<u32>, Malformed> {
    let number = value.kind()? == Kind::Number;
    let span = value.skip()?;
    let text = value.text(span);
    let whole =
        text.split_once('.').map_or(text, |(whole, rest)| if rest.bytes().all(|byte| byte == b'0') { whole } else { text });
    Ok(whole.parse().ok().filter(|_| number).and_then(Usage::count))
}

/// A string that is not empty.
pub(crate) fn said<'a>(value: &mut Cursor<'a>) -> Result<Option<Str<'a>>, Malformed> {
    let text = Str::from(value.string()?);
    Ok(Some(text).filter(|text| !text.is_empty()))
}

/// Vectors: an array of arrays of numbers.
pub(crate) fn vectors<'a>(value: &mut Cursor<'a>) -> Result<Vec<Vector<'a>>, Malformed> {
    let mut vectors = Vec::new();
    value.array(|item| {
        if item.kind()? != Kind::Array {
            return Err(Malformed);
        }
        vectors.push(Vector::Numbers(Json::read(item)?));
        Ok(())
    })?;
    Ok(vectors)
}

/// The words of a provider that failed, wherever in `body` they are; nothing if it has none.
pub(crate) fn failure(body: &[u8]) -> Str<'_> {
    lethe_wire::error::message(body).unwrap_or(Str::EMPTY)
}

#[cfg(test)]
mod tests {
    use lethe_wire::json::Cursor;

    use super::count;

    #[test]
    fn counts_are_read_and_doubted() {
        let read = |text: &str| Cursor::new(text.as_bytes()).ok().and_then(|mut cursor| count(&mut cursor).ok()).flatten();
        assert_eq!((read("7"), read("7.0"), read("0")), (Some(7), Some(7), Some(0)));
        for doubtful in ["7.5", "-7", "1e3", "99999999999", "\"7\"", "null"] {
            assert_eq!(read(doubtful), None, "{doubtful}");
        }
    }
}
