//! A stream, written for a client.
//!
//! The order of events is that of <https://platform.openai.com/docs/api-reference/responses-streaming>: an item is added, its parts are,
//! their text comes in pieces, and each is said again as a whole when it is done; the last event says everything again. So the answer is
//! held until it ends, up to [`HELD_LIMIT`].

use std::borrow::Cow;

use lethe_content::ContentBuf;

use super::Echo;
use super::output::{Item, ItemKind, Response, Said, State, incomplete, raw, summary};
use crate::conversation::{Event, Finish, Identity, Malformed, Str, StreamWriter, Usage, Wanted};
use crate::error::{ErrorBody, ErrorType};
use crate::write;

/// More than this of one answer is not held.
const HELD_LIMIT: usize = 16 << 20;

/// What one item costs besides its text.
const ITEM_SIZE: usize = 256;

/// Writes a stream of events.
pub struct Writer {
    identity: Identity,
    wanted: Wanted,
    echo: Echo,
    /// Number of the next event.
    sequence: u64,
    items: Vec<Item<'static>>,
    /// The message or reasoning item that is not done yet.
    open: Option<usize>,
    /// The block of thoughts that [`Self::open`] is, if it is one.
    block: Option<u32>,
    /// Calls that are not done yet, each with its number and its item: pieces of several may alternate.
    calls: Vec<(u32, usize)>,
    usage: Option<Usage>,
    finish: Option<Finish<'static>>,
    held: usize,
    /// The last event is written.
    over: bool,
}

/// Writes one event, framing included.
fn event(out: &mut ContentBuf, sequence: &mut u64, name: &'static str, members: impl FnOnce(&mut write::Writer<'_>)) {
    out.extend(b"event: ");
    out.extend(name.as_bytes());
    out.extend(b"\ndata: ");
    write::Writer::new(out).object(|json| {
        json.constant("type", name);
        json.key("sequence_number").number(*sequence);
        members(json);
    });
    out.extend(b"\n\n");
    *sequence += 1;
}

fn push(text: &mut Cow<'static, str>, piece: &str) {
    text.to_mut().push_str(piece);
}

impl Writer {
    /// For an answer to a client that wants this; `echo` is what the answer repeats of its request.
    #[must_use]
    pub const fn new(identity: Identity, wanted: Wanted, echo: Echo) -> Self {
        Self {
            identity,
            wanted,
            echo,
            sequence: 0,
            items: Vec::new(),
            open: None,
            block: None,
            calls: Vec::new(),
            usage: None,
            finish: None,
            held: 0,
            over: false,
        }
    }

    fn hold(&mut self, bytes: usize) -> Result<(), Malformed> {
        self.held = self.held.saturating_add(bytes);
        if self.held > HELD_LIMIT { Err(Malformed) } else { Ok(()) }
    }

    /// Writes an event with the whole response in it.
    fn response(&mut self, name: &'static str, state: State<'_>, output: bool, out: &mut ContentBuf) {
        let output = if output { self.items.as_slice() } else { &[] };
        let response = Response { identity: &self.identity, echo: &self.echo, state, output, usage: self.usage.as_ref() };
        event(out, &mut self.sequence, name, |json| response.write(json.key("response")));
    }

    fn start(&mut self, out: &mut ContentBuf) {
        if self.sequence == 0 {
            self.response("response.created", State::InProgress, false, out);
            self.response("response.in_progress", State::InProgress, false, out);
        }
    }

    fn add(&mut self, kind: ItemKind<'static>, out: &mut ContentBuf) -> Result<usize, Malformed> {
        self.hold(ITEM_SIZE)?;
        let (item, index) = (Item::new(kind), self.items.len());
        event(out, &mut self.sequence, "response.output_item.added", |json| {
            json.key("output_index").number(index as u64);
            item.write_begun(json.key("item"), &self.identity, index);
        });
        self.items.push(item);
        Ok(index)
    }

    /// Writes an event of the item `index`.
    fn item_event(
        &mut self,
        index: usize,
        name: &'static str,
        out: &mut ContentBuf,
        members: impl FnOnce(&mut write::Writer<'_>, &Item<'_>),
    ) {
        let Self { items, identity, sequence, .. } = self;
        let Some(item) = items.get(index) else { return };
        event(out, sequence, name, |json| {
            item.id(json, "item_id", identity, index);
            json.key("output_index").number(index as u64);
            members(json, item);
        });
    }

    /// More text or refusal.
    fn say(&mut self, refusal: bool, piece: &Str<'_>, out: &mut ContentBuf) -> Result<(), Malformed> {
        if piece.is_empty() {
            return Ok(());
        }
        self.hold(piece.raw().len())?;
        let at = match self.open {
            Some(at) if matches!(self.items.get(at), Some(Item { kind: ItemKind::Message(_), .. })) => at,
            _ => {
                self.close_open(false, out);
                let at = self.add(ItemKind::Message(Vec::new()), out)?;
                self.open = Some(at);
                at
            }
        };
        let Some(Item { kind: ItemKind::Message(parts), .. }) = self.items.get(at) else { return Err(Malformed) };
        if parts.last().is_none_or(|part| part.refusal != refusal) {
            let part = parts.len();
            if part > 0 {
                self.part_done(at, part - 1, out);
            }
            let begun = Said { refusal, text: Cow::Borrowed("") };
            self.item_event(at, "response.content_part.added", out, |json, _| {
                json.key("content_index").number(part as u64);
                begun.write(json.key("part"));
            });
            self.hold(ITEM_SIZE)?;
            self.message(at)?.push(begun);
        }
        let parts = self.message(at)?;
        let part = parts.len().saturating_sub(1);
        push(&mut parts.get_mut(part).ok_or(Malformed)?.text, piece.raw());
        let name = if refusal { "response.refusal.delta" } else { "response.output_text.delta" };
        self.item_event(at, name, out, |json, _| {
            json.key("content_index").number(part as u64);
            json.member("delta", piece);
            if !refusal {
                json.key("logprobs").array(|_| {});
            }
        });
        Ok(())
    }

    fn message(&mut self, at: usize) -> Result<&mut Vec<Said<'static>>, Malformed> {
        match self.items.get_mut(at) {
            Some(Item { kind: ItemKind::Message(parts), .. }) => Ok(parts),
            _ => Err(Malformed),
        }
    }

    fn part_done(&mut self, at: usize, index: usize, out: &mut ContentBuf) {
        let part = |item: &Item<'_>, write: &mut dyn FnMut(&Said<'_>)| {
            if let ItemKind::Message(parts) = &item.kind
                && let Some(part) = parts.get(index)
            {
                write(part);
            }
        };
        let mut refusal = false;
        if let Some(item) = self.items.get(at) {
            part(item, &mut |part| refusal = part.refusal);
        }
        let name = if refusal { "response.refusal.done" } else { "response.output_text.done" };
        self.item_event(at, name, out, |json, item| {
            json.key("content_index").number(index as u64);
            part(item, &mut |part| raw(json, if refusal { "refusal" } else { "text" }, &part.text));
            if !refusal {
                json.key("logprobs").array(|_| {});
            }
        });
        self.item_event(at, "response.content_part.done", out, |json, item| {
            json.key("content_index").number(index as u64);
            json.key("part");
            part(item, &mut |part| part.write(json));
        });
    }

    /// The reasoning item of a block, begun if it is a new one.
    fn reasoning(&mut self, block: u32, out: &mut ContentBuf) -> Result<usize, Malformed> {
        if let (Some(at), true) = (self.open, self.block == Some(block)) {
            return Ok(at);
        }
        self.close_open(false, out);
        let at = self.add(ItemKind::Reasoning { text: Cow::Borrowed(""), signature: None, of_call: false }, out)?;
        (self.open, self.block) = (Some(at), Some(block));
        Ok(at)
    }

    fn think(&mut self, block: u32, piece: &Str<'_>, out: &mut ContentBuf) -> Result<(), Malformed> {
        if piece.is_empty() {
            return Ok(());
        }
        self.hold(piece.raw().len())?;
        let at = self.reasoning(block, out)?;
        let Some(Item { kind: ItemKind::Reasoning { text, .. }, .. }) = self.items.get_mut(at) else { return Err(Malformed) };
        let is_first = text.is_empty();
        push(text, piece.raw());
        if is_first {
            self.item_event(at, "response.reasoning_summary_part.added", out, |json, _| {
                json.key("summary_index").number(0);
                summary(json.key("part"), "");
            });
        }
        self.item_event(at, "response.reasoning_summary_text.delta", out, |json, _| {
            json.key("summary_index").number(0);
            json.member("delta", piece);
        });
        Ok(())
    }

    fn sign(&mut self, block: u32, piece: &Str<'_>, out: &mut ContentBuf) -> Result<(), Malformed> {
        if !self.wanted.encrypted_reasoning {
            return Ok(());
        }
        self.hold(piece.raw().len())?;
        let at = self.reasoning(block, out)?;
        match self.items.get_mut(at) {
            Some(Item { kind: ItemKind::Reasoning { signature, .. }, .. }) => *signature = Some(piece.raw().to_owned().into()),
            _ => return Err(Malformed),
        }
        Ok(())
    }

    fn call(
        &mut self,
        number: u32,
        (id, name): (&Str<'_>, &Str<'_>),
        proof: Option<&Str<'_>>,
        out: &mut ContentBuf,
    ) -> Result<(), Malformed> {
        self.close_open(false, out);
        if let Some(proof) = proof.filter(|_| self.wanted.encrypted_reasoning) {
            self.hold(proof.raw().len())?;
            let signature = Some(proof.raw().to_owned().into());
            let at = self.add(ItemKind::Reasoning { text: Cow::Borrowed(""), signature, of_call: true }, out)?;
            self.done(at, false, out);
        }
        self.hold(id.raw().len() + name.raw().len())?;
        let (id, name) = (id.raw().to_owned().into(), name.raw().to_owned().into());
        let at = self.add(ItemKind::Call { id, name, arguments: Cow::Borrowed("") }, out)?;
        self.calls.push((number, at));
        Ok(())
    }

    fn arguments(&mut self, number: u32, piece: &Str<'_>, out: &mut ContentBuf) -> Result<(), Malformed> {
        if piece.is_empty() {
            return Ok(());
        }
        let at = self.calls.iter().rev().find(|(known, _)| *known == number).map(|(_, at)| *at).ok_or(Malformed)?;
        self.add_arguments(at, piece, out)
    }

    fn add_arguments(&mut self, at: usize, piece: &Str<'_>, out: &mut ContentBuf) -> Result<(), Malformed> {
        self.hold(piece.raw().len())?;
        let Some(Item { kind: ItemKind::Call { arguments, .. }, .. }) = self.items.get_mut(at) else { return Err(Malformed) };
        push(arguments, piece.raw());
        self.item_event(at, "response.function_call_arguments.delta", out, |json, _| json.member("delta", piece));
        Ok(())
    }

    /// Ends the message or the thoughts that the answer is at.
    fn close_open(&mut self, cut: bool, out: &mut ContentBuf) {
        self.block = None;
        if let Some(at) = self.open.take() {
            self.done(at, cut, out);
        }
    }

    /// Ends an item.
    fn done(&mut self, at: usize, cut: bool, out: &mut ContentBuf) {
        let Some(item) = self.items.get_mut(at) else { return };
        item.cut = cut;
        match &item.kind {
            ItemKind::Call { .. } => self.item_event(at, "response.function_call_arguments.done", out, |json, item| {
                if let ItemKind::Call { name, arguments, .. } = &item.kind {
                    raw(json, "name", name);
                    raw(json, "arguments", arguments);
                }
            }),
            ItemKind::Message(parts) => {
                if let Some(last) = parts.len().checked_sub(1) {
                    self.part_done(at, last, out);
                }
            }
            ItemKind::Reasoning { text, .. } if !text.is_empty() => {
                fn text<'i>(item: &'i Item<'_>) -> &'i str {
                    if let ItemKind::Reasoning { text, .. } = &item.kind { text } else { "" }
                }
                self.item_event(at, "response.reasoning_summary_text.done", out, |json, item| {
                    json.key("summary_index").number(0);
                    raw(json, "text", text(item));
                });
                self.item_event(at, "response.reasoning_summary_part.done", out, |json, item| {
                    json.key("summary_index").number(0);
                    summary(json.key("part"), text(item));
                });
            }
            ItemKind::Reasoning { .. } => {}
        }
        let Self { items, identity, sequence, .. } = self;
        if let Some(item) = items.get(at) {
            event(out, sequence, "response.output_item.done", |json| {
                json.key("output_index").number(at as u64);
                item.write(json.key("item"), identity, at);
            });
        }
    }

    /// Ends every item; where the answer was cut, the last one shows it.
    fn close(&mut self, cut: bool, out: &mut ContentBuf) {
        let last = self.items.len().saturating_sub(1);
        for (_, at) in std::mem::take(&mut self.calls) {
            let is_empty =
                matches!(&self.items.get(at), Some(Item { kind: ItemKind::Call { arguments, .. }, .. }) if arguments.is_empty());
            // A function without arguments is called with none, and clients parse what they get.
            if is_empty && !cut && self.add_arguments(at, &Str::constant("{}"), out).is_err() {
                return;
            }
            self.done(at, cut && at == last, out);
        }
        let cut = cut && self.open == Some(last);
        self.close_open(cut, out);
    }

    fn failed(&mut self, error: &ErrorBody<'_>, out: &mut ContentBuf) {
        if std::mem::replace(&mut self.over, true) {
            return;
        }
        event(out, &mut self.sequence, "error", |json| error.responses_event(json));
        // Who keeps count of the response goes by this one.
        let code = if error.kind == ErrorType::RateLimit { "rate_limit_exceeded" } else { "server_error" };
        self.response("response.failed", State::Failed { code, message: &error.message }, false, out);
        self.release();
    }

    /// Lets go of the answer: nothing of it comes again.
    fn release(&mut self) {
        self.items = Vec::new();
        self.calls = Vec::new();
        self.echo = Echo::none();
        (self.open, self.held) = (None, 0);
    }
}

impl StreamWriter for Writer {
    fn write(&mut self, event: &Event<'_>, out: &mut ContentBuf) -> Result<(), Malformed> {
        if self.over {
            return Ok(());
        }
        if let Event::Error { message } = event {
            let error = ErrorBody {
                status: 502,
                message: message.borrowed(),
                kind: ErrorType::Provider,
                param: None,
                code: "provider_error",
            };
            self.failed(&error, out);
            return Ok(());
        }
        if self.sequence == 0 {
            self.hold(self.echo.held() + self.identity.model.len())?;
        }
        self.start(out);
        match event {
            Event::Start { .. } | Event::Error { .. } => {}
            Event::Reasoning { index, piece } => self.think(*index, piece, out)?,
            Event::ReasoningSignature { index, signature } => self.sign(*index, signature, out)?,
            Event::Refusal(piece) => self.say(true, piece, out)?,
            Event::Text(piece) => self.say(false, piece, out)?,
            Event::ToolCall { index, id, name, signature } => self.call(*index, (id, name), signature.as_ref(), out)?,
            Event::ToolArguments { index, piece } => self.arguments(*index, piece, out)?,
            Event::Usage(usage) => self.usage = Some(*usage),
            Event::Finish(finish) => {
                self.close(incomplete(finish).is_some(), out);
                self.finish = Some(finish.clone().into_owned());
            }
        }
        Ok(())
    }

    fn end(&mut self, out: &mut ContentBuf) {
        if std::mem::replace(&mut self.over, true) {
            return;
        }
        self.start(out);
        // Usage may come behind the reason: so the last event waits until here.
        let finish = self.finish.take().unwrap_or(Finish::Stop);
        let is_incomplete = incomplete(&finish).is_some();
        self.close(is_incomplete, out);
        let name = if is_incomplete { "response.incomplete" } else { "response.completed" };
        self.response(name, State::Ended(&finish), true, out);
        // Open Responses ends its streams so; OpenAI's SDKs stop there too.
        out.extend(b"data: [DONE]\n\n");
        self.release();
    }

    fn fail(&mut self, error: &ErrorBody<'_>, out: &mut ContentBuf) {
        self.failed(error, out);
    }

    fn held(&self) -> usize {
        self.held.max(self.echo.held())
    }
}
