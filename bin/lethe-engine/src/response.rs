//! What is sent back: OpenAI's `chat.completion`, `chat.completion.chunk`, model list and errors, written straight into wiped buffers.

use lethe_content::ContentBuf;

use crate::refusal::Refusal;

/// Why an answer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finish {
    /// The limit on tokens, or the model's context, is reached.
    Length,
    /// The model ended, or a stop sequence came.
    Stop,
}

impl Finish {
    const fn name(self) -> &'static str {
        match self {
            Self::Length => "length",
            Self::Stop => "stop",
        }
    }
}

/// Tokens of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    /// Tokens of the rendered messages.
    pub prompt: usize,
    /// Tokens that the model made, the one that ended the answer included.
    pub completion: usize,
}

/// What all objects of one answer say.
#[derive(Clone, Copy)]
pub(crate) struct Envelope<'a> {
    /// Identifier of the answer.
    pub id: u64,
    /// Unix time in seconds.
    pub created: u64,
    /// Model's name.
    pub model: &'a str,
}

impl Envelope<'_> {
    /// A whole answer.
    #[must_use]
    pub(crate) fn completion(&self, content: &str, finish: Finish, usage: Usage) -> ContentBuf {
        let mut out = self.open("chat.completion");
        out.extend(br#","choices":[{"index":0,"message":{"role":"assistant","content":"#);
        quote(&mut out, content);
        out.extend(br#","refusal":null},"logprobs":null,"finish_reason":""#);
        out.extend(finish.name().as_bytes());
        out.extend(br#""}],"usage":"#);
        self::usage(&mut out, usage);
        out.extend(b"}");
        out
    }

    /// The first event of a stream: who speaks.
    #[must_use]
    pub(crate) fn opening(&self, with_usage: bool) -> ContentBuf {
        self.event(r#"{"role":"assistant","content":""}"#, None, with_usage)
    }

    /// An event with the next piece of the answer.
    #[must_use]
    pub(crate) fn piece(&self, content: &str, with_usage: bool) -> ContentBuf {
        let mut delta = ContentBuf::new();
        delta.extend(br#"{"content":"#);
        quote(&mut delta, content);
        delta.extend(b"}");
        self.event_of(delta.expose(), None, with_usage)
    }

    /// The last events of a stream.
    #[must_use]
    pub(crate) fn closing(&self, finish: Finish, usage: Option<Usage>) -> ContentBuf {
        let mut out = self.event("{}", Some(finish), usage.is_some());
        if let Some(usage) = usage {
            out.extend(b"data: ");
            out.extend(self.open("chat.completion.chunk").expose());
            out.extend(br#","choices":[],"usage":"#);
            self::usage(&mut out, usage);
            out.extend(b"}\n\n");
        }
        out.extend(b"data: [DONE]\n\n");
        out
    }

    fn event(&self, delta: &str, finish: Option<Finish>, with_usage: bool) -> ContentBuf {
        self.event_of(delta.as_bytes(), finish, with_usage)
    }

    /// A server-sent event. Where the usage is asked for, every chunk but the last says `"usage":null`, as OpenAI's do.
    fn event_of(&self, delta: &[u8], finish: Option<Finish>, with_usage: bool) -> ContentBuf {
        let mut out = ContentBuf::with_capacity(256 + delta.len());
        out.extend(b"data: ");
        out.extend(self.open("chat.completion.chunk").expose());
        out.extend(br#","choices":[{"index":0,"delta":"#);
        out.extend(delta);
        out.extend(br#","logprobs":null,"finish_reason":"#);
        match finish {
            None => out.extend(b"null"),
            Some(finish) => quote(&mut out, finish.name()),
        }
        out.extend(if with_usage { br#"}],"usage":null}"# } else { b"}]}" });
        out.extend(b"\n\n");
        out
    }

    fn open(&self, object: &str) -> ContentBuf {
        let mut out = ContentBuf::with_capacity(256);
        let Self { id, created, model } = self;
        out.extend(format!(r#"{{"id":"chatcmpl-{id:016x}","object":"{object}","created":{created},"model":"#).as_bytes());
        quote(&mut out, model);
        out
    }
}

/// The list of the one model.
#[must_use]
pub(crate) fn models(model: &str, created: u64) -> ContentBuf {
    let mut out = ContentBuf::new();
    out.extend(br#"{"object":"list","data":[{"id":"#);
    quote(&mut out, model);
    out.extend(format!(r#","object":"model","created":{created},"owned_by":"lethe"}}]}}"#).as_bytes());
    out
}

/// An error object.
#[must_use]
pub(crate) fn error(refusal: Refusal) -> ContentBuf {
    let mut out = ContentBuf::new();
    out.extend(br#"{"error":{"message":"#);
    quote(&mut out, &refusal.message());
    out.extend(br#","type":"#);
    quote(&mut out, refusal.kind());
    out.extend(br#","param":"#);
    match refusal.field() {
        None => out.extend(b"null"),
        Some(field) => quote(&mut out, &field.path()),
    }
    out.extend(br#","code":"#);
    match refusal.code() {
        None => out.extend(b"null"),
        Some(code) => quote(&mut out, code),
    }
    out.extend(b"}}");
    out
}

fn usage(out: &mut ContentBuf, usage: Usage) {
    let Usage { prompt, completion } = usage;
    let total = prompt + completion;
    out.extend(format!(r#"{{"prompt_tokens":{prompt},"completion_tokens":{completion},"total_tokens":{total}}}"#).as_bytes());
}

/// Writes a JSON string (RFC 8259 section 7).
fn quote(out: &mut ContentBuf, text: &str) {
    out.extend(b"\"");
    let mut rest = text.as_bytes();
    while let Some(index) = rest.iter().position(|byte| matches!(byte, b'"' | b'\\' | 0..=0x1F)) {
        out.extend(&rest[..index]);
        match rest[index] {
            b'"' => out.extend(br#"\""#),
            b'\\' => out.extend(br"\\"),
            b'\n' => out.extend(br"\n"),
            b'\r' => out.extend(br"\r"),
            b'\t' => out.extend(br"\t"),
            control => out.extend(format!("\\u{control:04x}").as_bytes()),
        }
        rest = &rest[index + 1..];
    }
    out.extend(rest);
    out.extend(b"\"");
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

    use super::{Envelope, Finish, Usage, error, models};
    use crate::refusal::{Field, Refusal};
    use lethe_content::ContentBuf;
    use serde_json::{Value, json};

    const ENVELOPE: Envelope<'static> = Envelope { id: 0xABC, created: 1_700_000_000, model: "small \"model\"" };
    const USAGE: Usage = Usage { prompt: 7, completion: 5 };
    const NASTY: &str = "a\"b\\c\nd\re\tf\u{0}\u{1f}\u{7f}é🎉\u{2028}/";

    fn parsed(buf: &ContentBuf) -> Value {
        serde_json::from_slice(buf.expose()).unwrap()
    }

    fn events(buf: &ContentBuf) -> Vec<String> {
        let text = std::str::from_utf8(buf.expose()).unwrap();
        assert!(text.ends_with("\n\n"));
        text.trim_end().split("\n\n").map(|event| event.strip_prefix("data: ").unwrap().to_owned()).collect()
    }

    #[test]
    fn a_whole_answer() {
        assert_eq!(
            parsed(&ENVELOPE.completion(NASTY, Finish::Stop, USAGE)),
            json!({
                "id": "chatcmpl-0000000000000abc", "object": "chat.completion", "created": 1_700_000_000, "model": "small \"model\"",
                "choices": [{"index": 0, "message": {"role": "assistant", "content": NASTY, "refusal": null}, "logprobs": null, "finish_reason": "stop"}],
                "usage": {"prompt_tokens": 7, "completion_tokens": 5, "total_tokens": 12},
            })
        );
    }

    #[test]
    fn a_stream() {
        let piece: Value = serde_json::from_str(&events(&ENVELOPE.piece(NASTY, false))[0]).unwrap();
        assert_eq!(
            piece["choices"][0],
            json!({"index": 0, "delta": {"content": NASTY}, "logprobs": null, "finish_reason": null})
        );
        assert_eq!(piece["object"], "chat.completion.chunk");
        assert!(piece.get("usage").is_none());
        let opening: Value = serde_json::from_str(&events(&ENVELOPE.opening(true))[0]).unwrap();
        assert_eq!(opening["choices"][0]["delta"], json!({"role": "assistant", "content": ""}));
        assert_eq!(opening["usage"], Value::Null);
        let closing = events(&ENVELOPE.closing(Finish::Length, Some(USAGE)));
        assert_eq!(closing.len(), 3);
        assert_eq!(serde_json::from_str::<Value>(&closing[0]).unwrap()["choices"][0]["finish_reason"], "length");
        let last: Value = serde_json::from_str(&closing[1]).unwrap();
        assert_eq!((&last["choices"], &last["usage"]["total_tokens"]), (&json!([]), &json!(12)));
        assert_eq!(closing[2], "[DONE]");
        assert_eq!(events(&ENVELOPE.closing(Finish::Stop, None)).len(), 2);
    }

    #[test]
    fn errors_and_models() {
        assert_eq!(
            parsed(&error(Refusal::Unsupported(Field::top("n")))),
            json!({"error": {"message": "This model cannot do what 'n' asks for.", "type": "invalid_request_error", "param": "n", "code": "unsupported_parameter"}})
        );
        assert_eq!(parsed(&error(Refusal::Busy))["error"]["param"], Value::Null);
        assert_eq!(parsed(&models("m", 5))["data"][0], json!({"id": "m", "object": "model", "created": 5, "owned_by": "lethe"}));
    }
}
