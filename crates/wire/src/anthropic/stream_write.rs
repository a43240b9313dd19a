//! A streamed message (<https://docs.anthropic.com/en/docs/build-with-claude/streaming>), written from events.

use lethe_content::ContentBuf;
use lethe_types::Api;

use super::calls::{Balance, Queue, Waiting};
use super::marks;
use super::reply::{write_end, write_head, write_signature};
use super::usage::write_usage;
use crate::conversation::{Event, Finish, Identity, Malformed, Str, StreamWriter, Usage, Wanted};
use crate::error::ErrorBody;
use crate::write::Writer as Json;

/// State of one stream.
pub struct Writer {
    identity: Identity,
    usage: Usage,
    started: bool,
    failed: bool,
    open: Open,
    /// Blocks that have begun.
    blocks: u64,
    /// Calls that have ended.
    ended: Vec<u32>,
    waiting: Queue,
    called: bool,
    refused: bool,
    finish: Option<Finish<'static>>,
}

/// The block that has begun last, unless it has ended.
enum Open {
    Call(u32, Balance),
    None,
    Text,
    Thoughts(u32),
}

impl Writer {
    /// At the start of a stream. All of what can be wanted is always sent in this format.
    #[must_use]
    pub fn new(identity: Identity, _: Wanted) -> Self {
        Self {
            identity,
            usage: Usage::default(),
            started: false,
            failed: false,
            open: Open::None,
            blocks: 0,
            ended: Vec::new(),
            waiting: Queue::default(),
            called: false,
            refused: false,
            finish: None,
        }
    }

    fn start(&mut self, out: &mut ContentBuf) {
        if self.started {
            return;
        }
        self.started = true;
        event(out, "message_start", |json| {
            json.key("message").object(|json| {
                write_head(json, &self.identity);
                json.key("content").array(|_| {});
                json.key("stop_reason").null();
                json.key("stop_sequence").null();
                json.key("usage").object(|json| write_usage(json, &self.usage));
            });
        });
    }

    fn begin(&mut self, open: Open, out: &mut ContentBuf, block: impl FnOnce(&mut Json<'_>)) {
        self.close(out);
        event(out, "content_block_start", |json| {
            json.key("index").number(self.blocks);
            json.key("content_block").object(block);
        });
        self.blocks += 1;
        self.open = open;
    }

    fn delta(&self, out: &mut ContentBuf, kind: &'static str, key: &'static str, piece: &Str<'_>) {
        event(out, "content_block_delta", |json| {
            json.key("index").number(self.blocks.saturating_sub(1));
            json.key("delta").object(|json| {
                json.constant("type", kind);
                json.member(key, piece);
            });
        });
    }

    fn close(&mut self, out: &mut ContentBuf) {
        match std::mem::replace(&mut self.open, Open::None) {
            Open::None => return,
            Open::Call(index, _) => self.ended.push(index),
            Open::Text | Open::Thoughts(_) => {}
        }
        event(out, "content_block_stop", |json| json.key("index").number(self.blocks.saturating_sub(1)));
    }

    /// A block that comes whole.
    fn whole(&mut self, out: &mut ContentBuf, block: impl FnOnce(&mut Json<'_>)) {
        self.begin(Open::Text, out, block);
        self.close(out);
    }

    fn begin_call(&mut self, call: &Waiting, out: &mut ContentBuf) {
        self.called = true;
        if let Some(signature) = &call.signature {
            self.whole(out, |json| write_signature(json, signature));
        }
        let mut balance = Balance::default();
        balance.take(&call.arguments);
        self.begin(Open::Call(call.index, balance), out, |json| {
            json.constant("type", "tool_use");
            json.member("id", &call.id);
            json.member("name", &call.name);
            json.key("input").object(|_| {});
        });
        if !call.arguments.is_empty() {
            self.delta(out, "input_json_delta", "partial_json", &Str::from_raw(&call.arguments));
        }
    }

    /// Writes the calls that wait, up to the first behind one that is not whole; with `all`, every one.
    fn advance(&mut self, all: bool, out: &mut ContentBuf) {
        while all || !matches!(&self.open, Open::Call(_, balance) if !balance.is_whole()) {
            let Some(call) = self.waiting.pop() else { return };
            self.begin_call(&call, out);
        }
    }

    fn text(&mut self, piece: &Str<'_>, out: &mut ContentBuf) {
        self.advance(true, out);
        if !matches!(self.open, Open::Text) {
            self.begin(Open::Text, out, |json| {
                json.constant("type", "text");
                json.constant("text", "");
            });
        }
        self.delta(out, "text_delta", "text", piece);
    }

    fn thoughts(&mut self, index: u32, out: &mut ContentBuf) {
        self.advance(true, out);
        if !matches!(self.open, Open::Thoughts(open) if open == index) {
            self.begin(Open::Thoughts(index), out, |json| {
                json.constant("type", "thinking");
                json.constant("thinking", "");
                json.constant("signature", "");
            });
        }
    }

    fn arguments(&mut self, index: u32, piece: &Str<'_>, out: &mut ContentBuf) -> Result<(), Malformed> {
        if let Open::Call(open, balance) = &mut self.open
            && *open == index
        {
            balance.take(piece.raw());
            self.delta(out, "input_json_delta", "partial_json", piece);
            if !self.waiting.is_empty() {
                self.advance(false, out);
            }
            return Ok(());
        }
        let is_known = self.waiting.add(index, piece)?;
        // White space behind a call's arguments changes nothing of them.
        if is_known || (self.ended.contains(&index) && piece.plain().trim().is_empty()) { Ok(()) } else { Err(Malformed) }
    }
}

impl StreamWriter for Writer {
    fn write(&mut self, event: &Event<'_>, out: &mut ContentBuf) -> Result<(), Malformed> {
        if let Event::Usage(usage) = event {
            self.usage = *usage;
            return Ok(());
        }
        self.start(out);
        match event {
            Event::Error { .. } | Event::Start { .. } | Event::Usage(_) => {}
            Event::Text(piece) => self.text(piece, out),
            Event::Refusal(piece) => {
                self.refused = true;
                self.text(piece, out);
            }
            Event::Reasoning { index, piece } => {
                self.thoughts(*index, out);
                self.delta(out, "thinking_delta", "thinking", piece);
            }
            Event::ReasoningSignature { index, signature } => {
                if matches!(self.open, Open::Thoughts(open) if open == *index) {
                    self.delta(out, "signature_delta", "signature", signature);
                } else {
                    self.advance(true, out);
                    let data = marks::unredacted(signature).unwrap_or_else(|| signature.borrowed());
                    self.whole(out, |json| {
                        json.constant("type", "redacted_thinking");
                        json.member("data", &data);
                    });
                }
            }
            Event::ToolCall { index, id, name, signature } => {
                let (id, name) = (id.clone().into_owned(), name.clone().into_owned());
                let signature = signature.clone().map(Str::into_owned);
                self.waiting.push(Waiting { index: *index, id, name, signature, arguments: String::new() })?;
                self.advance(false, out);
            }
            Event::ToolArguments { index, piece } => self.arguments(*index, piece, out)?,
            Event::Finish(finish) => {
                self.advance(true, out);
                self.close(out);
                self.finish = Some(finish.clone().into_owned());
            }
        }
        Ok(())
    }

    fn end(&mut self, out: &mut ContentBuf) {
        if self.failed {
            return;
        }
        self.start(out);
        self.advance(true, out);
        self.close(out);
        let finish = self.finish.take().unwrap_or(Finish::Stop);
        event(out, "message_delta", |json| {
            json.key("delta").object(|json| write_end(json, &finish, self.called, self.refused));
            json.key("usage").object(|json| write_usage(json, &self.usage));
        });
        event(out, "message_stop", |_| {});
    }

    fn fail(&mut self, error: &ErrorBody<'_>, out: &mut ContentBuf) {
        self.failed = true;
        error.write_event(Api::Messages, out);
    }

    fn held(&self) -> usize {
        self.waiting.held()
    }
}

/// One event, with the members behind its `type`.
fn event(out: &mut ContentBuf, name: &'static str, members: impl FnOnce(&mut Json<'_>)) {
    out.extend(b"event: ");
    out.extend(name.as_bytes());
    out.extend(b"\ndata: ");
    Json::new(out).object(|json| {
        json.constant("type", name);
        members(json);
    });
    out.extend(b"\n\n");
}
