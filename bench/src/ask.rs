//! What is asked and answered: fixed bytes, so that figures of different days compare.

use std::fmt::Write as _;
use std::time::Duration;

use memchr::memmem;

/// Size of the JSON answer, in bytes: a short answer with its ids, log-probability member and usage.
pub(crate) const JSON_BYTES: usize = 744;
/// Events of a stream: a role, 62 deltas, a finish reason, usage and `[DONE]`.
pub(crate) const EVENTS: usize = 66;
/// Size of one event, in bytes, but for `[DONE]`.
const EVENT_BYTES: usize = 250;
/// What ends every stream of chat completions.
pub(crate) const DONE: &[u8] = b"data: [DONE]\n\n";
/// What ends every stream of Anthropic's messages.
const STOPPED: &[u8] = b"event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n";
/// Stands before the pause in a model's name.
const PACED: &str = "bench-paced-";
/// Digits of the time that a paced event carries: the last ones of the nanoseconds, as many as an event's text has room for.
pub(crate) const STAMP: usize = 13;
/// Where those digits begin anew: nearly three hours.
const WRAP: u64 = 10_u64.pow(13);
/// What stands before it.
const CONTENT: &[u8] = b"\"content\":\"";
/// Pauses that targets have a model for, in milliseconds.
pub(crate) const PACES: [u32; 3] = [10, 50, 1000];

/// One way to ask for a chat completion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ask {
    /// One JSON answer.
    Chat,
    /// The same, with an image of so many bytes in the request, as a `data:` URL.
    Image(usize),
    /// A stream with so many milliseconds between two events, each with its time: the cost of its wake-ups, which is what a
    /// gateway lives with.
    Paced(u32),
    /// A stream whose events come all at once: the cost of its bytes.
    Stream,
    /// The same stream upstream, for a client that speaks Anthropic's messages: a gateway writes every event anew.
    Translated,
}

impl Ask {
    /// Model name in the request: it tells the mock upstream how to answer, through any proxy.
    pub(crate) fn model(self) -> String {
        match self {
            Self::Paced(pause) => format!("{PACED}{pause}"),
            Self::Chat | Self::Image(_) | Self::Stream | Self::Translated => "bench".to_owned(),
        }
    }

    /// Every model name that a target has to know.
    pub(crate) fn models() -> Vec<String> {
        PACES.into_iter().map(Self::Paced).chain([Self::Chat]).map(Self::model).collect()
    }

    pub(crate) const fn is_stream(self) -> bool {
        matches!(self, Self::Paced(_) | Self::Stream | Self::Translated)
    }

    /// The request as it goes over the wire, and where its key begins. A client that does not ask for usage: a gateway that
    /// meters has to ask for it upstream and to take it out of the answer.
    pub(crate) fn request(self, key: &str, headers: &str) -> (Vec<u8>, usize) {
        let question = "Which rivers does the traveller cross on the way down, in which order, and what does each of them do to \
                        those who drink from it? Name the ferryman, too, and his fare.";
        let content = match self {
            Self::Image(bytes) => {
                let image = format!("data:image/png;base64,{}", base64_like(bytes));
                serde_json::json!([{"type": "text", "text": question}, {"type": "image_url", "image_url": {"url": image}}])
            }
            _ => question.into(),
        };
        let system = "You answer questions about rivers, briefly and without lists.";
        let (path, members) = if self == Self::Translated {
            ("/v1/messages", serde_json::json!({"system": system, "messages": [{"role": "user", "content": content}]}))
        } else {
            let messages = serde_json::json!([{"role": "system", "content": system}, {"role": "user", "content": content}]);
            ("/v1/chat/completions", serde_json::json!({ "messages": messages }))
        };
        let mut body = serde_json::json!({
            "model": self.model(),
            "temperature": 0.2,
            "max_tokens": 256,
            "stream": self.is_stream(),
        });
        if let (Some(body), serde_json::Value::Object(members)) = (body.as_object_mut(), members) {
            body.extend(members);
        }
        let body = body.to_string();
        let mut text = format!(
            "POST {path} HTTP/1.1\r\nhost: localhost\r\naccept: application/json\r\nuser-agent: lethe-bench\r\nauthorization: Bearer "
        );
        let at = text.len();
        // Writing to a String does not fail.
        let _ = write!(text, "{key}\r\n{headers}content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}", body.len());
        (text.into_bytes(), at)
    }

    /// How the mock upstream is to answer `body`; any proxy may have written its members anew.
    pub(crate) fn read(body: &[u8]) -> Self {
        if let Some(at) = memmem::find(body, PACED.as_bytes()) {
            let digits = body[at + PACED.len()..].iter().take_while(|byte| byte.is_ascii_digit());
            let pause = digits.fold(0_u32, |pause, digit| pause.saturating_mul(10).saturating_add(u32::from(digit - b'0')));
            return Self::Paced(pause);
        }
        let streams = [b"\"stream\":true".as_slice(), b"\"stream\": true"];
        if streams.iter().any(|member| memmem::find(body, member).is_some()) { Self::Stream } else { Self::Chat }
    }

    /// Whether `body` is the whole answer, as the client gets it: byte for byte, or in a proxy's own words.
    pub(crate) fn accepts(self, body: &[u8], rewritten: bool) -> bool {
        if self == Self::Translated && body.ends_with(STOPPED) {
            memmem::find_iter(body, b"\"text_delta\"").count() == EVENTS - 3
        } else if self.is_stream() {
            body.len() > EVENTS * 100 && body.ends_with(DONE)
        } else if rewritten {
            memmem::find(body, b"the river of forgetting").is_some() && body.trim_ascii_end().ends_with(b"}")
        } else {
            body.len() == JSON_BYTES
        }
    }
}

/// The times in the events of `body` from `from` on, and up to where it has been read.
pub(crate) fn stamps(body: &[u8], from: usize) -> (Vec<u64>, usize) {
    let (mut found, mut at) = (Vec::new(), from);
    while let Some(content) = memmem::find(&body[at..], CONTENT) {
        let start = at + content + CONTENT.len();
        let Some(digits) = body.get(start..start + STAMP) else { break };
        found.extend(std::str::from_utf8(digits).ok().and_then(|digits| digits.parse::<u64>().ok()));
        at = start + STAMP;
    }
    (found, at)
}

/// A time as an event carries it.
pub(crate) fn stamp(nanoseconds: u64) -> String {
    format!("{:0STAMP$}", nanoseconds % WRAP)
}

/// How long ago a stamp was made.
pub(crate) const fn age(stamp: u64, now: u64) -> Duration {
    Duration::from_nanos((now % WRAP + WRAP - stamp) % WRAP)
}

/// So many bytes in base64's alphabet; what they mean is nobody's business here.
fn base64_like(bytes: usize) -> String {
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk".chars().cycle().take(bytes).collect()
}

/// The one JSON answer.
pub(crate) fn json_answer() -> Vec<u8> {
    let with = |content: &str| {
        format!(
            "{{\"id\":\"chatcmpl-0123456789abcdef\",\"object\":\"chat.completion\",\"created\":1760000000,\"model\":\"bench\",\
             \"choices\":[{{\"index\":0,\"message\":{{\"role\":\"assistant\",\"content\":\"{content}\",\"refusal\":null}},\
             \"logprobs\":null,\"finish_reason\":\"stop\"}}],\"usage\":{{\"prompt_tokens\":58,\"completion_tokens\":62,\
             \"total_tokens\":120,\"prompt_tokens_details\":{{\"cached_tokens\":0}}}},\"system_fingerprint\":\"fp_0\"}}"
        )
    };
    with(&filler(JSON_BYTES - with("").len())).into_bytes()
}

/// The events of a stream. Those with content have room for a stamp at its start.
pub(crate) fn events() -> Vec<Vec<u8>> {
    let event = |choices: &str, usage: &str| {
        format!(
            "data: {{\"id\":\"chatcmpl-0123456789abcdef\",\"object\":\"chat.completion.chunk\",\"created\":1760000000,\
             \"model\":\"bench\",\"system_fingerprint\":\"fp_0\",\"choices\":[{choices}],\"usage\":{usage}}}\n\n"
        )
    };
    let choice = |delta: &str, finish: &str| {
        event(&format!("{{\"index\":0,\"delta\":{delta},\"logprobs\":null,\"finish_reason\":{finish}}}"), "null")
    };
    let content = |text: &str| choice(&format!("{{\"content\":\"{text}\"}}"), "null");
    let padded = content(&filler(EVENT_BYTES - content("").len()));
    let mut events = vec![choice(&format!("{{\"role\":\"assistant\",\"content\":\"{}\"}}", filler(STAMP)), "null")];
    events.extend(std::iter::repeat_n(padded, EVENTS - 4));
    events.push(choice("{}", "\"stop\""));
    events.push(event("", "{\"prompt_tokens\":58,\"completion_tokens\":62,\"total_tokens\":120}"));
    let mut events: Vec<Vec<u8>> = events.into_iter().map(String::into_bytes).collect();
    events.push(DONE.to_vec());
    events
}

/// Where the stamp of `event` belongs, if it has content.
pub(crate) fn stamp_at(event: &[u8]) -> Option<usize> {
    memmem::find(event, CONTENT).map(|at| at + CONTENT.len())
}

/// So many bytes of words.
fn filler(bytes: usize) -> String {
    "the river of forgetting ".chars().cycle().take(bytes).collect()
}

#[cfg(test)]
mod tests {
    use super::{Ask, EVENT_BYTES, EVENTS, JSON_BYTES, age, events, json_answer, stamp, stamp_at, stamps};

    #[test]
    fn answers_are_as_long_as_they_say() {
        assert_eq!(json_answer().len(), JSON_BYTES);
        let events = events();
        assert_eq!(events.len(), EVENTS);
        assert_eq!(events[1].len(), EVENT_BYTES);
        for event in &events[..EVENTS - 1] {
            let data = event.strip_prefix(b"data: ").and_then(|event| event.strip_suffix(b"\n\n"));
            assert!(data.is_some_and(|data| serde_json::from_slice::<serde_json::Value>(data).is_ok()));
        }
        assert!(serde_json::from_slice::<serde_json::Value>(&json_answer()).is_ok());
    }

    #[test]
    fn a_cut_answer_is_not_accepted() {
        let whole = events().concat();
        assert!(Ask::Stream.accepts(&whole, false), "control");
        assert!(!Ask::Stream.accepts(&whole[..whole.len() - 1], false));
        assert!(Ask::Chat.accepts(&json_answer(), false), "control");
        assert!(!Ask::Chat.accepts(b"{}", false));
        assert!(Ask::Chat.accepts(&json_answer(), true), "control");
        assert!(!Ask::Chat.accepts(b"{\"error\":1}", true));
    }

    #[test]
    fn the_mock_understands_what_is_asked() {
        for ask in [Ask::Chat, Ask::Stream, Ask::Paced(10), Ask::Paced(1000)] {
            assert_eq!(Ask::read(&ask.request("key", "").0), ask);
        }
        let (request, at) = Ask::Image(1 << 20).request("key", "x-a: b\r\n");
        assert!(request.len() > 1 << 20);
        assert_eq!(&request[at..at + 5], b"key\r\n");
    }

    #[test]
    fn stamps_are_found_at_any_split() {
        let events = events();
        let mut body = Vec::new();
        let (mut found, mut at) = (Vec::new(), 0);
        for (number, event) in events[..3].iter().enumerate() {
            let mut event = event.clone();
            let Some(place) = stamp_at(&event) else { continue };
            event[place..place + super::STAMP].copy_from_slice(stamp(number as u64 + 7).as_bytes());
            for byte in event {
                body.push(byte);
                let (new, read) = stamps(&body, at);
                found.extend(new);
                at = read;
            }
        }
        assert_eq!(found, [7, 8, 9]);
        let text = |event: &[u8]| String::from_utf8_lossy(event).into_owned();
        let stamped = text(&body);
        let data = stamped.split("\n\n").filter_map(|event| event.strip_prefix("data: "));
        assert!(data.into_iter().all(|data| serde_json::from_str::<serde_json::Value>(data).is_ok()), "{stamped}");
    }

    #[test]
    fn ages_survive_the_wrap() {
        let late = 10_u64.pow(13) * 7 - 5;
        assert_eq!(stamp(late).parse().map(|stamp| age(stamp, late + 12)), Ok(std::time::Duration::from_nanos(12)));
    }
}
