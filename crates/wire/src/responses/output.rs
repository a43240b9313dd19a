//! The response object and the items in it, as they are written at an answer's end and on its way there.

use std::borrow::Cow;

use super::Echo;
use crate::conversation::{Finish, Identity, Str, Usage};
use crate::write::Writer;

/// Ends the id of a reasoning item that holds the proof of the call behind it.
pub(super) const CALL_SUFFIX: &str = "_call";

/// An item of an answer. Strings are as they stand in JSON.
pub(super) struct Item<'a> {
    /// What it is.
    pub(super) kind: ItemKind<'a>,
    /// The answer ended in the middle of it.
    pub(super) cut: bool,
}

/// What an item is.
pub(super) enum ItemKind<'a> {
    /// A call of a function.
    Call {
        /// Pairs it with its result.
        id: Cow<'a, str>,
        /// The function.
        name: Cow<'a, str>,
        /// JSON text, as the inside of a JSON string.
        arguments: Cow<'a, str>,
    },
    /// What is said.
    Message(Vec<Said<'a>>),
    /// What the model thought.
    Reasoning {
        /// Its thoughts, if it shows them.
        text: Cow<'a, str>,
        /// What proves them, or holds them encrypted.
        signature: Option<Cow<'a, str>>,
        /// It proves the call behind it.
        of_call: bool,
    },
}

/// A part of a message.
pub(super) struct Said<'a> {
    /// It is a refusal.
    pub(super) refusal: bool,
    /// The text.
    pub(super) text: Cow<'a, str>,
}

/// A member with text that is escaped already.
pub(super) fn raw(json: &mut Writer<'_>, key: &str, text: &str) {
    json.key(key).strings(&[text]);
}

impl Said<'_> {
    /// Writes it as a content part.
    pub(super) fn write(&self, json: &mut Writer<'_>) {
        json.object(|json| {
            if self.refusal {
                json.constant("type", "refusal");
                raw(json, "refusal", &self.text);
            } else {
                json.constant("type", "output_text");
                raw(json, "text", &self.text);
                json.key("annotations").array(|_| {});
                json.key("logprobs").array(|_| {});
            }
        });
    }
}

impl Item<'_> {
    /// An item that nothing is wrong with.
    pub(super) const fn new(kind: ItemKind<'_>) -> Item<'_> {
        Item { kind, cut: false }
    }

    /// Writes the item's id.
    pub(super) fn id(&self, json: &mut Writer<'_>, key: &str, identity: &Identity, index: usize) {
        let (prefix, suffix) = match &self.kind {
            ItemKind::Call { .. } => ("fc_", ""),
            ItemKind::Message(_) => ("msg_", ""),
            ItemKind::Reasoning { of_call, .. } => ("rs_", if *of_call { CALL_SUFFIX } else { "" }),
        };
        json.key(key).strings(&[prefix, &identity.id, "_", &index.to_string(), suffix]);
    }

    /// Writes the item as it is at its end.
    pub(super) fn write(&self, json: &mut Writer<'_>, identity: &Identity, index: usize) {
        let status = if self.cut { "incomplete" } else { "completed" };
        json.object(|json| {
            self.id(json, "id", identity, index);
            match &self.kind {
                ItemKind::Call { id, name, arguments } => {
                    json.constant("type", "function_call");
                    json.constant("status", status);
                    raw(json, "call_id", id);
                    raw(json, "name", name);
                    raw(json, "arguments", arguments);
                }
                ItemKind::Message(parts) => {
                    json.constant("type", "message");
                    json.constant("status", status);
                    json.constant("role", "assistant");
                    json.key("content").array(|json| parts.iter().for_each(|part| part.write(json)));
                }
                ItemKind::Reasoning { text, signature, .. } => {
                    json.constant("type", "reasoning");
                    json.key("summary").array(|json| {
                        if !text.is_empty() {
                            summary(json, text);
                        }
                    });
                    if let Some(signature) = signature {
                        raw(json, "encrypted_content", signature);
                    }
                }
            }
        });
    }

    /// Writes the item as it is at its beginning.
    pub(super) fn write_begun(&self, json: &mut Writer<'_>, identity: &Identity, index: usize) {
        json.object(|json| {
            self.id(json, "id", identity, index);
            match &self.kind {
                ItemKind::Call { id, name, .. } => {
                    json.constant("type", "function_call");
                    json.constant("status", "in_progress");
                    raw(json, "call_id", id);
                    raw(json, "name", name);
                    raw(json, "arguments", "");
                }
                ItemKind::Message(_) => {
                    json.constant("type", "message");
                    json.constant("status", "in_progress");
                    json.constant("role", "assistant");
                    json.key("content").array(|_| {});
                }
                ItemKind::Reasoning { .. } => {
                    json.constant("type", "reasoning");
                    json.key("summary").array(|_| {});
                }
            }
        });
    }
}

/// Writes a part of a reasoning item's summary.
pub(super) fn summary(json: &mut Writer<'_>, text: &str) {
    json.object(|json| {
        json.constant("type", "summary_text");
        raw(json, "text", text);
    });
}

/// How far a response has come.
pub(super) enum State<'a> {
    /// It is on its way.
    InProgress,
    /// It has ended, for this reason.
    Ended(&'a Finish<'a>),
    /// It has failed.
    Failed {
        /// What kind of fault.
        code: &'static str,
        /// The text of it.
        message: &'a Str<'a>,
    },
}

/// Why an answer is not whole, if it is not.
pub(super) const fn incomplete(finish: &Finish<'_>) -> Option<&'static str> {
    match finish {
        Finish::ContentFilter => Some("content_filter"),
        Finish::Length => Some("max_output_tokens"),
        Finish::Pause => Some("pause_turn"),
        Finish::Refusal | Finish::Stop | Finish::StopSequence(_) | Finish::ToolCalls => None,
    }
}

/// A response object: all that stands in it.
pub(super) struct Response<'a> {
    pub(super) identity: &'a Identity,
    pub(super) echo: &'a Echo,
    pub(super) state: State<'a>,
    pub(super) output: &'a [Item<'a>],
    pub(super) usage: Option<&'a Usage>,
}

impl Response<'_> {
    /// Writes it, with everything that the API's description says is always there.
    pub(super) fn write(&self, json: &mut Writer<'_>) {
        let Self { identity, echo, state, output, usage } = self;
        let reason = match state {
            State::Ended(finish) => incomplete(finish),
            _ => None,
        };
        let status = match state {
            State::InProgress => "in_progress",
            State::Ended(_) if reason.is_some() => "incomplete",
            State::Ended(_) => "completed",
            State::Failed { .. } => "failed",
        };
        json.object(|json| {
            json.key("id").strings(&["resp_", &identity.id]);
            json.constant("object", "response");
            json.key("created_at").number(identity.created);
            match status {
                // An answer has one time: that at which it was begun.
                "completed" => json.key("completed_at").number(identity.created),
                _ => json.key("completed_at").null(),
            }
            json.constant("status", status);
            json.key("background").boolean(false);
            match state {
                State::Failed { code, message } => json.key("error").object(|json| {
                    json.constant("code", code);
                    json.member("message", message);
                }),
                _ => json.key("error").null(),
            }
            match reason {
                None => json.key("incomplete_details").null(),
                Some(reason) => json.key("incomplete_details").object(|json| json.constant("reason", reason)),
            }
            json.key("metadata").object(|_| {});
            json.key("model").plain(&identity.model);
            json.key("output").array(|json| {
                output.iter().enumerate().for_each(|(index, item)| item.write(json, identity, index));
            });
            json.key("previous_response_id").null();
            json.key("prompt_cache_key").null();
            json.constant("service_tier", "default");
            json.key("store").boolean(false);
            match usage {
                None => json.key("usage").null(),
                Some(usage) => self::usage(json.key("usage"), usage),
            }
            json.members(echo.members());
        });
    }
}

fn usage(json: &mut Writer<'_>, usage: &Usage) {
    json.object(|json| {
        json.key("input_tokens").number(usage.input.into());
        json.key("input_tokens_details").object(|json| {
            json.key("cached_tokens").number(usage.cached.unwrap_or_default().into());
            json.key("cache_write_tokens").number(usage.cache_written.unwrap_or_default().into());
        });
        json.key("output_tokens").number(usage.output.into());
        json.key("output_tokens_details").object(|json| {
            json.key("reasoning_tokens").number(usage.reasoning.unwrap_or_default().into());
        });
        json.key("total_tokens").number(u64::from(usage.input) + u64::from(usage.output));
    });
}
