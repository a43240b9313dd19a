//! `:countTokens` (<https://ai.google.dev/api/tokens>).

use lethe_content::ContentBuf;
use lethe_types::Api;

use super::content_read::Contents;
use super::fields::{each, fields, spelled};
use super::reply::tokens;
use super::request_read::read;
use super::request_write::write_fields;
use crate::conversation::{Malformed, Request, Sending};
use crate::json::{Cursor, Kind};
use crate::refusal::Refusal;
use crate::write::Writer;

/// Reads a request to count: `contents` alone, or a whole `generateContentRequest`.
///
/// # Errors
/// As [`super::read_request`].
pub fn read_count_request(body: &[u8]) -> Result<Request<'_>, Refusal> {
    let mut cursor = Cursor::new(body)?;
    let (mut contents, mut whole) = (None, None);
    fields(&mut cursor, "", |name, value| {
        match name {
            // It stands in the path.
            "model" => value.skip().map(drop)?,
            "contents" => {
                let mut read = Contents::default();
                each(value, |item| read.read(item))?;
                contents = Some(read);
            }
            "generateContentRequest" => whole = Some(read(value)?),
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    cursor.end()?;
    let mut request = match (contents, whole) {
        (Some(contents), None) => {
            let mut request = Request::new(Api::CountTokens);
            request.messages = contents.messages;
            request
        }
        (None, Some(whole)) => whole,
        (None, None) => return Err(Refusal::MissingField("contents")),
        (Some(_), Some(_)) => return Err(Refusal::WrongType("contents", "not together with generateContentRequest")),
    };
    request.api = Api::CountTokens;
    Ok(request)
}

/// Writes a request to count the tokens of `request`.
///
/// # Errors
/// As [`super::write_request`].
pub fn write_count_request(request: &Request<'_>, to: &Sending<'_>, out: &mut ContentBuf) -> Result<(), Refusal> {
    request.refuse_own(Api::CountTokens)?;
    Writer::new(out)
        .try_object(|json| {
            json.key("generateContentRequest").try_object(|json| {
                json.key("model").plain(&["models/", to.model].concat());
                write_fields(json, request, to)
            })
        })
        .map_err(|refusal| refusal.in_words_of(request.api))
}

/// Reads `totalTokens`.
///
/// # Errors
/// [`Malformed`] for an answer without a count that can be believed.
pub fn read_count_reply(body: &[u8]) -> Result<u32, Malformed> {
    let mut cursor = Cursor::new(body)?;
    let mut total = None;
    cursor.object(|key, _, value| {
        match (spelled(key.plain()).as_ref(), value.kind()?) {
            ("totalTokens", Kind::Number) => total = tokens(value)?,
            _ => value.skip().map(drop)?,
        }
        Ok::<(), Malformed>(())
    })?;
    cursor.end()?;
    total.ok_or(Malformed)
}

/// `{"totalTokens":…}`
pub fn write_count_reply(total: u32, out: &mut ContentBuf) {
    Writer::new(out).object(|json| json.key("totalTokens").number(total.into()));
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed test")]

    use lethe_content::ContentBuf;
    use serde_json::{Value, json};

    use super::{read_count_reply, read_count_request, write_count_reply, write_count_request};
    use crate::conversation::Sending;

    fn again(request: &Value) -> Value {
        let body = request.to_string();
        let mut out = ContentBuf::new();
        let to = Sending { model: "n", max_output_tokens: None };
        write_count_request(&read_count_request(body.as_bytes()).ok().unwrap(), &to, &mut out).unwrap();
        serde_json::from_slice(out.expose()).unwrap()
    }

    #[test]
    fn both_forms_are_counted() {
        let contents = json!([{"role": "user", "parts": [{"text": "x"}]}]);
        let whole = json!({"generateContentRequest": {"model": "models/n", "contents": contents}});
        assert_eq!(again(&json!({"contents": contents})), whole);
        assert_eq!(again(&json!({"generate_content_request": {"model": "models/m", "contents": contents}})), whole);
        for bad in ["{}", r#"{"contents":[],"generateContentRequest":{}}"#, r#"{"contents":[],"x":1}"#] {
            assert!(read_count_request(bad.as_bytes()).is_err(), "{bad}");
        }
    }

    #[test]
    fn counts_are_doubted() {
        let mut out = ContentBuf::new();
        write_count_reply(7, &mut out);
        assert_eq!(read_count_reply(out.expose()).ok(), Some(7));
        for bad in ["{}", "[]", r#"{"totalTokens":-1}"#, r#"{"totalTokens":99999999999}"#] {
            assert!(read_count_reply(bad.as_bytes()).is_err(), "{bad}");
        }
    }
}
