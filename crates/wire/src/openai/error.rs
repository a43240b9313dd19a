//! The error shape that OpenAI's SDKs turn into their exception classes.

use lethe_content::ContentBuf;

/// `type` of an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorType {
    /// 401, 403
    Authentication,
    /// 400, 404, 413, …
    InvalidRequest,
    /// 5xx by the provider or on the way to it.
    Provider,
    /// 429
    RateLimit,
    /// 5xx by Lethe itself.
    Server,
    /// 400: needs somebody to remember.
    ZeroRetentionConflict,
}

impl ErrorType {
    const fn name(self) -> &'static str {
        match self {
            Self::Authentication => "authentication_error",
            Self::InvalidRequest => "invalid_request_error",
            Self::Provider => "provider_error",
            Self::RateLimit => "rate_limit_error",
            Self::Server => "server_error",
            Self::ZeroRetentionConflict => "zero_retention_conflict",
        }
    }
}

/// An error toward a client: fixed text, a stable code, and the field's name where one is at fault.
#[derive(Clone, Debug)]
pub struct ErrorBody<'a> {
    /// What is wrong and what to do about it.
    pub message: &'a str,
    /// OpenAI's `type`.
    pub kind: ErrorType,
    /// The field at fault.
    pub param: Option<&'a str>,
    /// Stable machine-readable code.
    pub code: &'a str,
}

impl ErrorBody<'_> {
    /// `{"error":{…}}`
    #[must_use]
    pub fn write_wire(&self) -> ContentBuf {
        let mut out = Vec::with_capacity(256);
        out.extend(b"{\"error\":{\"message\":\"");
        escape(self.message, &mut out);
        out.extend(b"\",\"type\":\"");
        out.extend(self.kind.name().as_bytes());
        out.extend(b"\",\"param\":");
        match self.param {
            None => out.extend(b"null"),
            Some(param) => {
                out.push(b'"');
                escape(param, &mut out);
                out.push(b'"');
            }
        }
        out.extend(b",\"code\":\"");
        escape(self.code, &mut out);
        out.extend(b"\"}}");
        ContentBuf::from(out)
    }
}

/// Appends `text` as the inside of a JSON string.
pub(super) fn escape(text: &str, out: &mut Vec<u8>) {
    for char in text.chars() {
        match char {
            '"' => out.extend(b"\\\""),
            '\\' => out.extend(b"\\\\"),
            control if u32::from(control) < 0x20 => out.extend(format!("\\u{:04x}", u32::from(control)).bytes()),
            other => out.extend(other.encode_utf8(&mut [0; 4]).bytes()),
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed test")]

    use super::{ErrorBody, ErrorType};

    #[test]
    fn it_is_json_whatever_is_in_it() {
        let error = ErrorBody { message: "a \"b\"\n\\", kind: ErrorType::InvalidRequest, param: Some("é\u{1}"), code: "c" };
        let value: serde_json::Value = serde_json::from_slice(error.write_wire().expose()).unwrap();
        assert_eq!(value["error"]["message"], "a \"b\"\n\\");
        assert_eq!(value["error"]["param"], "é\u{1}");
        assert_eq!(value["error"]["type"], "invalid_request_error");
    }
}
