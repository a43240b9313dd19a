//! A provider's stream, read into events.
//!
//! What is said is said three times: in pieces, when a part is done, and when its item is. The pieces count; the rest is read where no
//! piece came.

use super::reply::{finish, read_item, usage};
use super::value::{Fields, Value};
use crate::conversation::{Arguments, Event, Finish, Malformed, Part, PartKind, Str, StreamReader};

/// More items than any answer has.
const ITEM_LIMIT: usize = 4096;

/// Reads a stream.
#[derive(Default)]
pub struct Reader {
    /// What it has no word for is let pass.
    passing: bool,
    started: bool,
    complete: bool,
    items: Vec<Item>,
    calls: u32,
    blocks: u32,
    refused: bool,
}

/// An item of the answer.
struct Item {
    /// Its number in the provider's answer.
    output: u64,
    kind: Kind,
    /// Pieces of it have come.
    said: bool,
    /// It is done.
    done: bool,
    /// The part of thoughts that is being said.
    part: Option<(bool, u64)>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Call(u32),
    Message,
    Reasoning(u32),
}

/// Where the events go.
type Sink<'s> = &'s mut dyn FnMut(Event<'_>);

impl StreamReader for Reader {
    fn read(&mut self, name: &[u8], data: &[u8], sink: Sink<'_>) -> Result<(), Malformed> {
        if data == b"[DONE]" {
            return if self.complete { Ok(()) } else { Err(Malformed) };
        }
        let mut fields = Value::whole(data)?.fields().ok_or(Malformed)?;
        let kind = fields.take("type").and_then(Value::string);
        let kind = match &kind {
            Some(kind) => kind.raw(),
            None => std::str::from_utf8(name).map_err(|_| Malformed)?,
        };
        let is_last = matches!(kind, "error" | "response.completed" | "response.failed" | "response.incomplete");
        match self.event(kind, fields, sink) {
            Err(Malformed) if self.passing && !is_last => Ok(()),
            read => read,
        }
    }

    fn is_complete(&self) -> bool {
        self.complete
    }

    fn has_ended(&self) -> bool {
        self.complete
    }
}

impl Reader {
    /// For a stream that passes as it is: items and events that no conversation has a place for are no fault of it.
    #[must_use]
    pub fn passing() -> Self {
        Self { passing: true, ..Self::default() }
    }

    fn event(&mut self, kind: &str, mut fields: Fields<'_>, sink: Sink<'_>) -> Result<(), Malformed> {
        match kind {
            "error" => {
                let nested = fields.take("error").and_then(Value::fields).and_then(|mut error| error.take("message")?.string());
                let message = nested.or_else(|| fields.take("message")?.string());
                self.complete = true;
                sink(Event::Error { message: message.unwrap_or(Str::EMPTY) });
            }
            "response.created" | "response.in_progress" | "response.queued" => self.start(&mut fields, sink),
            "response.output_item.added" | "response.output_item.done" => {
                let index = index(&fields)?;
                let item = fields.take("item").and_then(Value::fields).ok_or(Malformed)?;
                let done = kind.ends_with("done");
                self.item(index, item, done, sink)?;
            }
            "response.output_text.delta" => self.text(&mut fields, "delta", false, sink)?,
            "response.output_text.done" => self.text_done(&mut fields, "text", false, sink)?,
            "response.refusal.delta" => self.text(&mut fields, "delta", true, sink)?,
            "response.refusal.done" => self.text_done(&mut fields, "refusal", true, sink)?,
            "response.function_call_arguments.delta" => self.arguments(&mut fields, "delta", sink)?,
            "response.function_call_arguments.done" if self.find(&fields)?.said => {}
            "response.function_call_arguments.done" => self.arguments(&mut fields, "arguments", sink)?,
            "response.reasoning_summary_text.delta" | "response.reasoning_text.delta" | "response.reasoning.delta" => {
                self.think(&mut fields, "delta", kind.contains("summary"), sink)?;
            }
            "response.reasoning_summary_text.done" | "response.reasoning_text.done" | "response.reasoning.done" => {
                let is_summary = kind.contains("summary");
                let part = number(&fields, is_summary);
                let item = self.find(&fields)?;
                if item.part != Some((is_summary, part)) && !item.done {
                    self.think_more(&mut fields, "text", (is_summary, part), sink)?;
                }
            }
            "response.completed" | "response.incomplete" => self.end(&mut fields, sink)?,
            "response.failed" => {
                let mut response = fields.take("response").and_then(Value::fields).ok_or(Malformed)?;
                let message =
                    response.take("error").and_then(Value::fields).and_then(|mut error| error.take("message")?.string());
                // An `error` before it has said so already.
                if !std::mem::replace(&mut self.complete, true) {
                    sink(Event::Error { message: message.unwrap_or(Str::EMPTY) });
                }
            }
            // Pieces of what no conversation has a place for; what carries nothing of the answer is of no matter.
            other if other.ends_with(".delta") => return Err(Malformed),
            _ => {}
        }
        Ok(())
    }

    fn start(&mut self, fields: &mut Fields<'_>, sink: Sink<'_>) {
        if !std::mem::replace(&mut self.started, true) {
            let id = fields.take("response").and_then(Value::fields).and_then(|mut response| response.take("id")?.string());
            sink(Event::Start { id });
        }
    }

    /// The item that an event is about.
    fn find(&mut self, fields: &Fields<'_>) -> Result<&mut Item, Malformed> {
        let at = self.position(fields)?;
        self.items.get_mut(at).ok_or(Malformed)
    }

    /// Where the item stands that an event is about.
    fn position(&self, fields: &Fields<'_>) -> Result<usize, Malformed> {
        let output = fields.peek("output_index").and_then(Value::count).ok_or(Malformed)?;
        self.items.iter().position(|item| item.output == output).ok_or(Malformed)
    }

    fn text(&mut self, fields: &mut Fields<'_>, name: &str, refusal: bool, sink: Sink<'_>) -> Result<(), Malformed> {
        let text = fields.take(name).and_then(Value::string).ok_or(Malformed)?;
        let item = self.find(fields)?;
        if item.kind != Kind::Message {
            return Err(Malformed);
        }
        item.said = true;
        self.refused |= refusal;
        sink(if refusal { Event::Refusal(text) } else { Event::Text(text) });
        Ok(())
    }

    fn text_done(&mut self, fields: &mut Fields<'_>, name: &str, refusal: bool, sink: Sink<'_>) -> Result<(), Malformed> {
        if self.find(fields)?.said { Ok(()) } else { self.text(fields, name, refusal, sink) }
    }

    fn arguments(&mut self, fields: &mut Fields<'_>, name: &str, sink: Sink<'_>) -> Result<(), Malformed> {
        let piece = fields.take(name).and_then(Value::string).ok_or(Malformed)?;
        let item = self.find(fields)?;
        let Kind::Call(index) = item.kind else { return Err(Malformed) };
        item.said |= !piece.is_empty();
        sink(Event::ToolArguments { index, piece });
        Ok(())
    }

    fn think(&mut self, fields: &mut Fields<'_>, name: &str, is_summary: bool, sink: Sink<'_>) -> Result<(), Malformed> {
        let part = number(fields, is_summary);
        self.think_more(fields, name, (is_summary, part), sink)
    }

    fn think_more(&mut self, fields: &mut Fields<'_>, name: &str, part: (bool, u64), sink: Sink<'_>) -> Result<(), Malformed> {
        let piece = fields.take(name).and_then(Value::string).ok_or(Malformed)?;
        let item = self.find(fields)?;
        let Kind::Reasoning(index) = item.kind else { return Err(Malformed) };
        if item.part.replace(part).is_some_and(|before| before != part) {
            sink(Event::Reasoning { index, piece: Str::constant("\\n\\n") });
        }
        item.said = true;
        sink(Event::Reasoning { index, piece });
        Ok(())
    }

    /// An item begins or is done.
    fn item(&mut self, output: u64, fields: Fields<'_>, done: bool, sink: Sink<'_>) -> Result<(), Malformed> {
        let known = self.items.iter().position(|item| item.output == output);
        let at = match known {
            Some(at) => at,
            None => self.begin(output, &fields, sink)?,
        };
        let item = self.items.get_mut(at).ok_or(Malformed)?;
        if !done || std::mem::replace(&mut item.done, true) {
            return Ok(());
        }
        let (kind, said) = (item.kind, item.said);
        let mut parts = Vec::new();
        read_item(fields, &mut parts)?;
        for part in &parts {
            self.rest(kind, said, part, sink)?;
        }
        Ok(())
    }

    fn begin(&mut self, output: u64, fields: &Fields<'_>, sink: Sink<'_>) -> Result<usize, Malformed> {
        if self.items.len() >= ITEM_LIMIT {
            return Err(Malformed);
        }
        let text = |name: &str| fields.peek(name).and_then(Value::string);
        let kind = match text("type").ok_or(Malformed)?.raw() {
            "function_call" => {
                let index = self.calls;
                self.calls += 1;
                let (id, name) = (text("call_id").ok_or(Malformed)?, text("name").ok_or(Malformed)?);
                sink(Event::ToolCall { index, id, name, signature: None });
                Kind::Call(index)
            }
            "message" => Kind::Message,
            "reasoning" => {
                self.blocks += 1;
                Kind::Reasoning(self.blocks - 1)
            }
            _ => return Err(Malformed),
        };
        self.items.push(Item { output, kind, said: false, done: false, part: None });
        Ok(self.items.len() - 1)
    }

    /// What an item that is done says and no piece of it said.
    fn rest(&mut self, kind: Kind, said: bool, part: &Part<'_>, sink: Sink<'_>) -> Result<(), Malformed> {
        match (&part.kind, kind) {
            (PartKind::Refusal(text), Kind::Message) if !said => {
                self.refused = true;
                sink(Event::Refusal(text.borrowed()));
            }
            (PartKind::Text(text), Kind::Message) if !said => sink(Event::Text(text.borrowed())),
            (PartKind::ToolCall(call), Kind::Call(index)) if !said => {
                if let Arguments::Text(piece) = &call.arguments
                    && !piece.is_empty()
                {
                    sink(Event::ToolArguments { index, piece: piece.borrowed() });
                }
            }
            (PartKind::Reasoning(thinking), Kind::Reasoning(index)) => {
                if let Some(piece) = thinking.text.as_ref().filter(|_| !said) {
                    sink(Event::Reasoning { index, piece: piece.borrowed() });
                }
                if let Some(signature) = &thinking.signature {
                    sink(Event::ReasoningSignature { index, signature: signature.borrowed() });
                }
            }
            (PartKind::Refusal(_) | PartKind::Text(_), Kind::Message) | (PartKind::ToolCall(_), Kind::Call(_)) => {}
            _ => return Err(Malformed),
        }
        Ok(())
    }

    fn end(&mut self, fields: &mut Fields<'_>, sink: Sink<'_>) -> Result<(), Malformed> {
        let response = fields.take("response").ok_or(Malformed)?;
        if !self.started {
            self.started = true;
            let id = response.fields().and_then(|mut response| response.take("id")?.string());
            sink(Event::Start { id });
        }
        let mut response = response.fields().ok_or(Malformed)?;
        // Some servers send the last event alone.
        for (output, item) in (0..).zip(response.take("output").and_then(Value::list).unwrap_or_default()) {
            let read = self.item(output, item.fields().ok_or(Malformed)?, true, sink);
            if !self.passing {
                read?;
            }
        }
        if let Some(usage) = usage(&mut response) {
            sink(Event::Usage(usage));
        }
        let implied = match () {
            () if self.calls > 0 => Finish::ToolCalls,
            () if self.refused => Finish::Refusal,
            () => Finish::Stop,
        };
        sink(Event::Finish(finish(&mut response, implied)?));
        self.complete = true;
        Ok(())
    }
}

fn index(fields: &Fields<'_>) -> Result<u64, Malformed> {
    fields.peek("output_index").and_then(Value::count).ok_or(Malformed)
}

/// Number of a part of thoughts.
fn number(fields: &Fields<'_>, is_summary: bool) -> u64 {
    fields.peek(if is_summary { "summary_index" } else { "content_index" }).and_then(Value::count).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::Reader;
    use crate::conversation::{Event, Finish, Malformed, StreamReader};

    /// Events as words.
    fn words(frames: &[&str]) -> (Vec<String>, Result<(), Malformed>, bool) {
        heard(Reader::default(), frames)
    }

    fn heard(mut reader: Reader, frames: &[&str]) -> (Vec<String>, Result<(), Malformed>, bool) {
        let mut words = Vec::new();
        let mut sink = |event: Event<'_>| words.push(word(&event));
        let result = frames.iter().try_for_each(|frame| reader.read(b"", frame.as_bytes(), &mut sink));
        (words, result, reader.is_complete())
    }

    fn word(event: &Event<'_>) -> String {
        match event {
            Event::Start { id } => format!("start {}", id.as_ref().map_or("-", |id| id.raw())),
            Event::Reasoning { index, piece } => format!("think {index} {}", piece.raw()),
            Event::ReasoningSignature { index, signature } => format!("sign {index} {}", signature.raw()),
            Event::Refusal(piece) => format!("refuse {}", piece.raw()),
            Event::Text(piece) => format!("text {}", piece.raw()),
            Event::ToolCall { index, id, name, .. } => format!("call {index} {} {}", id.raw(), name.raw()),
            Event::ToolArguments { index, piece } => format!("arguments {index} {}", piece.raw()),
            Event::Usage(usage) => format!("usage {} {:?} {} {:?}", usage.input, usage.cached, usage.output, usage.reasoning),
            Event::Finish(finish) => match finish {
                Finish::ContentFilter => "filter".to_owned(),
                Finish::Length => "length".to_owned(),
                Finish::Refusal => "refusal".to_owned(),
                Finish::Stop => "stop".to_owned(),
                Finish::ToolCalls => "calls".to_owned(),
                Finish::Pause | Finish::StopSequence(_) => "other".to_owned(),
            },
            Event::Error { message } => format!("error {}", message.raw()),
        }
    }

    #[test]
    fn a_stream_is_read_piece_by_piece() {
        let (words, result, complete) = words(&[
            r#"{"type":"response.created","response":{"id":"resp_1"}}"#,
            r#"{"type":"response.in_progress","response":{"id":"resp_1"}}"#,
            r#"{"type":"response.output_item.added","output_index":0,"item":{"type":"reasoning","id":"rs_1","summary":[]}}"#,
            r#"{"type":"response.reasoning_summary_part.added","output_index":0,"summary_index":0,"part":{}}"#,
            r#"{"type":"response.reasoning_summary_text.delta","output_index":0,"summary_index":0,"delta":"Hm"}"#,
            r#"{"type":"response.reasoning_summary_text.done","output_index":0,"summary_index":0,"text":"Hm"}"#,
            r#"{"type":"response.reasoning_summary_text.delta","output_index":0,"summary_index":1,"delta":"So"}"#,
            r#"{"type":"response.output_item.done","output_index":0,"item":{"type":"reasoning","id":"rs_1","summary":[{"type":"summary_text","text":"Hm"},{"type":"summary_text","text":"So"}],"encrypted_content":"E"}}"#,
            r#"{"type":"response.output_item.added","output_index":1,"item":{"type":"message","id":"m","role":"assistant","content":[]}}"#,
            r#"{"type":"response.content_part.added","output_index":1,"content_index":0,"part":{"type":"output_text","text":""}}"#,
            r#"{"type":"response.output_text.delta","output_index":1,"content_index":0,"delta":"a\n","logprobs":[]}"#,
            r#"{"type":"response.output_text.done","output_index":1,"content_index":0,"text":"a\n"}"#,
            r#"{"type":"response.output_item.done","output_index":1,"item":{"type":"message","content":[{"type":"output_text","text":"a\n"}]}}"#,
            r#"{"type":"response.output_item.added","output_index":2,"item":{"type":"function_call","call_id":"c1","name":"f","arguments":""}}"#,
            r#"{"type":"response.function_call_arguments.delta","output_index":2,"delta":"{}"}"#,
            r#"{"type":"response.function_call_arguments.done","output_index":2,"arguments":"{}"}"#,
            r#"{"type":"response.output_item.done","output_index":2,"item":{"type":"function_call","call_id":"c1","name":"f","arguments":"{}"}}"#,
            r#"{"type":"keepalive"}"#,
            r#"{"type":"response.completed","response":{"id":"resp_1","status":"completed","output":[{"type":"reasoning"},{"type":"message","content":[]},{"type":"function_call"}],"usage":{"input_tokens":9,"input_tokens_details":{"cached_tokens":4},"output_tokens":5,"output_tokens_details":{"reasoning_tokens":2},"total_tokens":14}}}"#,
        ]);
        assert_eq!((result, complete), (Ok(()), true));
        let expected = [
            "start resp_1",
            "think 0 Hm",
            r"think 0 \n\n",
            "think 0 So",
            "sign 0 E",
            r"text a\n",
            "call 0 c1 f",
            "arguments 0 {}",
            "usage 9 Some(4) 5 Some(2)",
            "calls",
        ];
        assert_eq!(words, expected);
    }

    #[test]
    fn what_came_in_no_pieces_is_read_from_the_end() {
        let last = r#"{"type":"response.incomplete","response":{"id":"r","status":"incomplete","incomplete_details":{"reason":"max_output_tokens"},"output":[{"type":"reasoning","summary":[],"encrypted_content":"E"},{"type":"message","content":[{"type":"refusal","refusal":"no"}]},{"type":"function_call","call_id":"c","name":"f","arguments":"{"}]}}"#;
        let (words, result, complete) = words(&[last, "[DONE]"]);
        assert_eq!((result, complete), (Ok(()), true));
        assert_eq!(words, ["start r", "sign 0 E", "refuse no", "call 0 c f", "arguments 0 {", "length"]);
    }

    #[test]
    fn errors_end_a_stream_once() {
        let nested = r#"{"type":"error","sequence_number":1,"error":{"type":"x","code":null,"message":"too many","param":null}}"#;
        let flat = r#"{"type":"error","code":"x","message":"too many","param":null,"sequence_number":1}"#;
        let failed = r#"{"type":"response.failed","response":{"status":"failed","error":{"code":"x","message":"too many"}}}"#;
        for frames in [vec![nested], vec![flat], vec![failed], vec![nested, failed]] {
            assert_eq!(words(&frames), (vec!["error too many".to_owned()], Ok(()), true));
        }
    }

    #[test]
    fn nothing_is_lost_in_silence() {
        for bad in [
            r#"{"type":"response.custom_tool_call_input.delta","output_index":0,"delta":"x"}"#,
            r#"{"type":"response.output_item.added","output_index":0,"item":{"type":"custom_tool_call","name":"x"}}"#,
            r#"{"type":"response.output_text.delta","output_index":7,"delta":"x"}"#,
            r#"{"type":"response.completed","response":{"status":"in_progress","output":[]}}"#,
            "[DONE]",
            "[]",
            "hello",
        ] {
            assert_eq!(words(&[bad]).1, Err(Malformed), "{bad}");
        }
        assert!(!words(&[r#"{"type":"response.created","response":{"id":"r"}}"#]).2, "a cut is no end");
    }

    #[test]
    fn what_passes_may_say_more() {
        let frames = [
            r#"{"type":"response.created","response":{"id":"r"}}"#,
            r#"{"type":"response.output_item.added","output_index":0,"item":{"type":"custom_tool_call","name":"x"}}"#,
            r#"{"type":"response.custom_tool_call_input.delta","output_index":0,"delta":"x"}"#,
            r#"{"type":"response.completed","response":{"status":"completed","output":[{"type":"custom_tool_call"}],"usage":{"input_tokens":1,"output_tokens":2}}}"#,
        ];
        assert_eq!(words(&frames).1, Err(Malformed));
        let (words, result, complete) = heard(Reader::passing(), &frames);
        assert_eq!(
            (words, result, complete),
            (vec!["start r".to_owned(), "usage 1 None 2 None".to_owned(), "stop".to_owned()], Ok(()), true)
        );
        assert_eq!(heard(Reader::passing(), &["hello"]).1, Err(Malformed));
    }

    proptest! {
        #[test]
        fn no_input_panics(frames in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..60), 0..5)) {
            let mut reader = Reader::default();
            for frame in frames {
                let _ = reader.read(b"response.output_item.done", &frame, &mut |_| {});
            }
        }

        #[test]
        fn no_order_of_events_panics(order in prop::collection::vec(0usize..9, 0..20)) {
            let frames = [
                r#"{"type":"response.output_item.added","output_index":0,"item":{"type":"message"}}"#,
                r#"{"type":"response.output_item.added","output_index":1,"item":{"type":"function_call","call_id":"c","name":"n"}}"#,
                r#"{"type":"response.output_item.added","output_index":2,"item":{"type":"reasoning"}}"#,
                r#"{"type":"response.output_text.delta","output_index":0,"delta":"x"}"#,
                r#"{"type":"response.function_call_arguments.delta","output_index":1,"delta":"x"}"#,
                r#"{"type":"response.reasoning_text.delta","output_index":2,"delta":"x"}"#,
                r#"{"type":"response.reasoning_text.done","output_index":2,"text":"x"}"#,
                r#"{"type":"response.output_item.done","output_index":2,"item":{"type":"function_call","call_id":"c","name":"n"}}"#,
                r#"{"type":"response.completed","response":{"status":"completed","output":[]}}"#,
            ];
            let mut reader = Reader::default();
            for frame in order {
                let _ = reader.read(b"", frames[frame].as_bytes(), &mut |_| {});
            }
            prop_assert!(reader.items.len() <= 3);
        }
    }
}
