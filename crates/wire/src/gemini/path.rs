//! Which model and method a path names.

use std::borrow::Cow;

/// What a model is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// `:batchEmbedContents`
    BatchEmbedContents,
    /// `:countTokens`
    CountTokens,
    /// `:embedContent`
    EmbedContent,
    /// `:generateContent`
    GenerateContent,
    /// `:streamGenerateContent`
    StreamGenerateContent,
}

/// A path that names a model and a method.
#[derive(PartialEq, Eq)]
pub struct Call<'a> {
    /// The model, without `models/`.
    pub model: Cow<'a, str>,
    /// The method.
    pub method: Method,
}

/// Reads `/v1beta/models/{model}:{method}` (or `/v1/…`), which has no query; `None` for another path. A model's name may have slashes and colons,
/// plain or percent-encoded.
///
/// ```
/// use lethe_wire::gemini::{Method, call};
/// let call = call("/v1beta/models/gemini-2.5-flash:generateContent").expect("a path of this API");
/// assert_eq!(call.model, "gemini-2.5-flash");
/// assert_eq!(call.method, Method::GenerateContent);
/// ```
#[must_use]
pub fn call(path: &str) -> Option<Call<'_>> {
    let rest = path.strip_prefix("/v1beta/models/").or_else(|| path.strip_prefix("/v1/models/"))?;
    let (model, method) = rest.rsplit_once(':')?;
    let method = match method {
        "batchEmbedContents" => Method::BatchEmbedContents,
        "countTokens" => Method::CountTokens,
        "embedContent" => Method::EmbedContent,
        "generateContent" => Method::GenerateContent,
        "streamGenerateContent" => Method::StreamGenerateContent,
        _ => return None,
    };
    let model = decoded(model)?;
    (!model.is_empty()).then_some(Call { model, method })
}

/// Percent-decoded (RFC 3986 section 2.1); `None` for what is not encoded well, or hides a control character.
fn decoded(text: &str) -> Option<Cow<'_, str>> {
    if !text.contains('%') {
        return Some(Cow::Borrowed(text));
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('%') {
        bytes.extend(before.bytes());
        let digits = after.get(..2).filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()))?;
        bytes.push(u8::from_str_radix(digits, 16).ok().filter(|byte| !byte.is_ascii_control())?);
        rest = after.get(2..)?;
    }
    bytes.extend(rest.bytes());
    String::from_utf8(bytes).ok().map(Cow::Owned)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Method, call};

    fn shown(path: &str) -> Option<(String, Method)> {
        call(path).map(|call| (call.model.into_owned(), call.method))
    }

    #[test]
    fn model_and_method_are_found() {
        for (path, model, method) in [
            ("/v1/models/a:countTokens", "a", Method::CountTokens),
            ("/v1beta/models/openai/gpt-5:streamGenerateContent", "openai/gpt-5", Method::StreamGenerateContent),
            ("/v1beta/models/llama3:8b:embedContent", "llama3:8b", Method::EmbedContent),
            ("/v1beta/models/a%2Fb%3Ac:batchEmbedContents", "a/b:c", Method::BatchEmbedContents),
        ] {
            assert_eq!(shown(path), Some((model.into(), method)), "{path}");
        }
        for other in [
            "/v1beta/models/a",
            "/v1beta/models/:generateContent",
            "/v1beta/models/a:batchGenerateContent",
            "/v1beta/tunedModels/a:generateContent",
            "/v1beta/models/a%2:generateContent",
            "/v1beta/models/a%0a:generateContent",
            "/v1beta/models/a%ff:generateContent",
            "/v2/models/a:generateContent",
        ] {
            assert_eq!(shown(other), None, "{other}");
        }
    }

    proptest! {
        #[test]
        fn no_path_panics(path in "/v1beta/models/[a%é0-9:]{0,12}:generateContent") {
            let _ = call(&path);
        }
    }
}
