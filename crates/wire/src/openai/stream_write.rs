//! A streamed chat completion, written from events.

use lethe_content::ContentBuf;
use lethe_types::Api;

use super::reply::{finish_reason, write_usage};
use super::thoughts::write_details;
use crate::conversation::{Event, Identity, Malformed, Str, StreamWriter, Thinking, Usage, Wanted};
use crate::error::ErrorBody;
use crate::write::Writer as Json;

/// State of one stream.
pub struct Writer {
    identity: Identity,
    wants_usage: bool,
    usage: Option<Usage>,
    started: bool,
    /// The block of thoughts of which text has been shown last.
    shown: Option<u32>,
    /// Calls that have begun and whose arguments have not.
    silent: Vec<u32>,
}

impl Writer {
    /// At the start of a stream.
    #[must_use]
    pub const fn new(identity: Identity, wanted: Wanted) -> Self {
        Self { identity, wants_usage: wanted.usage, usage: None, started: false, shown: None, silent: Vec::new() }
    }

    fn chunk(&self, out: &mut ContentBuf, choices: impl FnOnce(&mut Json<'_>), usage: Option<&Usage>) {
        out.extend(b"data: ");
        Json::new(out).object(|json| {
            json.key("id").strings(&["chatcmpl-", &self.identity.id]);
            json.constant("object", "chat.completion.chunk");
            json.key("created").number(self.identity.created);
            json.key("model").plain(&self.identity.model);
            json.key("choices").array(choices);
            match usage {
                Some(usage) => json.key("usage").object(|json| write_usage(json, usage)),
                None if self.wants_usage => json.key("usage").null(),
                None => {}
            }
        });
        out.extend(b"\n\n");
    }

    fn choice(&self, out: &mut ContentBuf, delta: impl FnOnce(&mut Json<'_>), reason: Option<&'static str>) {
        let choices = |json: &mut Json<'_>| {
            json.object(|json| {
                json.key("index").number(0);
                json.key("delta").object(delta);
                json.key("logprobs").null();
                match reason {
                    Some(reason) => json.constant("finish_reason", reason),
                    None => json.key("finish_reason").null(),
                }
            });
        };
        self.chunk(out, choices, None);
    }

    fn arguments(&self, call: u32, piece: &Str<'_>, out: &mut ContentBuf) {
        let delta = |json: &mut Json<'_>| {
            json.object(|json| {
                json.key("index").number(call.into());
                json.key("function").object(|json| json.member("arguments", piece));
            });
        };
        self.choice(out, |json| json.key("tool_calls").array(delta), None);
    }

    fn start(&mut self, out: &mut ContentBuf) {
        if !self.started {
            self.started = true;
            let delta = |json: &mut Json<'_>| {
                json.constant("role", "assistant");
                json.constant("content", "");
            };
            self.choice(out, delta, None);
        }
    }
}

impl StreamWriter for Writer {
    fn write(&mut self, event: &Event<'_>, out: &mut ContentBuf) -> Result<(), Malformed> {
        self.start(out);
        match event {
            Event::Start { .. } | Event::Error { .. } => {}
            Event::Text(piece) => self.choice(out, |json| json.member("content", piece), None),
            Event::Refusal(piece) => self.choice(out, |json| json.member("refusal", piece), None),
            Event::Reasoning { index, piece } => {
                self.shown = Some(*index);
                self.choice(out, |json| json.member("reasoning_content", piece), None);
            }
            Event::ReasoningSignature { index, signature } => {
                // The text that a signature is over has been shown; without one the signature is the thoughts, encrypted.
                let text = (self.shown == Some(*index)).then_some(Str::EMPTY);
                let thought = Thinking { text, signature: Some(signature.borrowed()), ..Thinking::default() };
                self.choice(
                    out,
                    |json| json.key("reasoning_details").array(|json| write_details(json, &thought, (*index).into())),
                    None,
                );
            }
            Event::ToolCall { index, id, name, signature } => {
                self.silent.push(*index);
                let call = |json: &mut Json<'_>| {
                    json.object(|json| {
                        json.key("index").number((*index).into());
                        json.member("id", id);
                        json.constant("type", "function");
                        json.key("function").object(|json| {
                            json.member("name", name);
                            json.constant("arguments", "");
                        });
                        if let Some(signature) = signature {
                            json.key("extra_content")
                                .object(|json| json.key("google").object(|json| json.member("thought_signature", signature)));
                        }
                    });
                };
                self.choice(out, |json| json.key("tool_calls").array(call), None);
            }
            Event::ToolArguments { index, piece } => {
                self.silent.retain(|call| call != index);
                self.arguments(*index, piece, out);
            }
            Event::Usage(usage) => self.usage = Some(*usage),
            Event::Finish(reason) => {
                // Clients read the arguments as JSON, which an empty string is not.
                for call in std::mem::take(&mut self.silent) {
                    self.arguments(call, &Str::constant("{}"), out);
                }
                self.choice(out, |_| {}, Some(finish_reason(reason)));
            }
        }
        Ok(())
    }

    fn end(&mut self, out: &mut ContentBuf) {
        if let Some(usage) = self.usage.filter(|_| self.wants_usage) {
            self.chunk(out, |_| {}, Some(&usage));
        }
        out.extend(b"data: [DONE]\n\n");
    }

    fn fail(&mut self, error: &ErrorBody<'_>, out: &mut ContentBuf) {
        error.write_event(Api::Chat, out);
    }
}
