//! What is asked and answered: three fixed workloads, so that figures of different days compare.

use std::time::Duration;

use serde::Serialize;

/// Size of the answer to [`Workload::Chat`], in bytes: a short answer with its ids, log-probability member and usage.
pub(crate) const JSON_BYTES: usize = 744;
/// Events of a stream: a role, 62 deltas, a finish reason, usage and `[DONE]`.
pub(crate) const EVENTS: usize = 66;
/// Size of one event, in bytes, but for `[DONE]`.
const EVENT_BYTES: usize = 250;
/// Pause between two events of [`Workload::Paced`]: 200 tokens a second, a fast provider.
pub(crate) const PACE: Duration = Duration::from_millis(5);
/// What ends every stream of chat completions.
pub(crate) const DONE: &[u8] = b"data: [DONE]\n\n";

/// One way to ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Workload {
    /// A chat completion in one JSON answer.
    Chat,
    /// A stream whose events come all at once: the cost of its bytes.
    Stream,
    /// A stream whose events come one by one: the cost of its wake-ups, which is what a gateway lives with.
    Paced,
}

impl Workload {
    pub(crate) const ALL: [Self; 3] = [Self::Chat, Self::Stream, Self::Paced];

    /// Model name in the request: it tells the mock upstream how to answer, through any proxy.
    pub(crate) const fn model(self) -> &'static str {
        match self {
            Self::Paced => "bench-paced",
            Self::Chat | Self::Stream => "bench",
        }
    }

    pub(crate) const fn title(self) -> &'static str {
        match self {
            Self::Chat => "Chat completions, one JSON answer of 744 bytes",
            Self::Stream => "Streams of 66 events, all at once",
            Self::Paced => "Streams of 66 events, one every 5 ms",
        }
    }

    /// What is counted.
    pub(crate) const fn unit(self) -> &'static str {
        match self {
            Self::Chat => "request",
            Self::Stream | Self::Paced => "stream",
        }
    }

    pub(crate) const fn is_stream(self) -> bool {
        matches!(self, Self::Stream | Self::Paced)
    }

    /// The request as it goes over the wire. A client that does not ask for usage: a gateway that meters has to ask for it
    /// upstream and to take it out of the answer.
    pub(crate) fn request(self, api_key: Option<&str>) -> Vec<u8> {
        let body = serde_json::json!({
            "model": self.model(),
            "messages": [
                {"role": "system", "content": "You answer questions about rivers, briefly and without lists."},
                {"role": "user", "content": "Which rivers does the traveller cross on the way down, in which order, \
                    and what does each of them do to those who drink from it? Name the ferryman, too, and his fare."},
            ],
            "temperature": 0.2,
            "max_tokens": 256,
            "stream": self.is_stream(),
        })
        .to_string();
        let key = api_key.map(|key| format!("authorization: Bearer {key}\r\n")).unwrap_or_default();
        format!(
            "POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\naccept: application/json\r\nuser-agent: lethe-bench\r\n\
             {key}content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        )
        .into_bytes()
    }

    /// Whether `body` is the whole answer, as the client gets it.
    pub(crate) fn accepts(self, body: &[u8]) -> bool {
        if self.is_stream() { body.len() > EVENTS * 100 && body.ends_with(DONE) } else { body.len() == JSON_BYTES }
    }
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

/// The events of a stream.
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
    let mut events = vec![choice("{\"role\":\"assistant\",\"content\":\"\"}", "null")];
    events.extend(std::iter::repeat_n(padded, EVENTS - 4));
    events.push(choice("{}", "\"stop\""));
    events.push(event("", "{\"prompt_tokens\":58,\"completion_tokens\":62,\"total_tokens\":120}"));
    let mut events: Vec<Vec<u8>> = events.into_iter().map(String::into_bytes).collect();
    events.push(DONE.to_vec());
    events
}

/// So many bytes of words.
fn filler(bytes: usize) -> String {
    "the river of forgetting ".chars().cycle().take(bytes).collect()
}

#[cfg(test)]
mod tests {
    use super::{EVENT_BYTES, EVENTS, JSON_BYTES, Workload, events, json_answer};

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
        assert!(Workload::Stream.accepts(&whole), "control");
        assert!(!Workload::Stream.accepts(&whole[..whole.len() - 1]));
        assert!(Workload::Chat.accepts(&json_answer()), "control");
        assert!(!Workload::Chat.accepts(b"{}"));
    }
}
