//! Calls that a provider makes at once, put one behind the other: blocks of this API follow each other.

use std::collections::VecDeque;

use crate::conversation::{Malformed, Str};

/// The most that is held back.
const HELD_LIMIT: usize = 16 * 1024 * 1024;

/// A call that waits until those before it are whole.
pub(super) struct Waiting {
    pub(super) index: u32,
    pub(super) id: Str<'static>,
    pub(super) name: Str<'static>,
    pub(super) signature: Option<Str<'static>>,
    pub(super) arguments: String,
}

/// Calls that wait, in the order in which they began.
#[derive(Default)]
pub(super) struct Queue {
    calls: VecDeque<Waiting>,
    held: usize,
}

impl Queue {
    pub(super) fn is_empty(&self) -> bool {
        self.calls.is_empty()
    }

    /// Bytes held back.
    pub(super) const fn held(&self) -> usize {
        self.held
    }

    fn hold(&mut self, bytes: usize) -> Result<(), Malformed> {
        self.held += bytes;
        if self.held > HELD_LIMIT { Err(Malformed) } else { Ok(()) }
    }

    pub(super) fn push(&mut self, call: Waiting) -> Result<(), Malformed> {
        let signature = call.signature.as_ref().map_or(0, |signature| signature.raw().len());
        self.hold(size_of::<Waiting>() + call.id.raw().len() + call.name.raw().len() + signature)?;
        self.calls.push_back(call);
        Ok(())
    }

    /// Holds a piece of a waiting call's arguments back; `false` if no such call waits.
    pub(super) fn add(&mut self, index: u32, piece: &Str<'_>) -> Result<bool, Malformed> {
        let Some(call) = self.calls.iter_mut().find(|call| call.index == index) else { return Ok(false) };
        call.arguments.push_str(piece.raw());
        self.hold(piece.raw().len())?;
        Ok(true)
    }

    pub(super) fn pop(&mut self) -> Option<Waiting> {
        let call = self.calls.pop_front();
        if self.calls.is_empty() {
            self.held = 0;
        } else if let Some(call) = &call {
            self.held = self.held.saturating_sub(call.arguments.len());
        }
        call
    }
}

/// Whether JSON that comes in pieces is whole.
#[derive(Default)]
pub(super) struct Balance {
    depth: u32,
    in_string: bool,
    is_escaped: bool,
    is_whole: bool,
}

impl Balance {
    /// Takes the next piece: the inside of a JSON string, which never ends inside of an escape.
    pub(super) fn take(&mut self, piece: &str) {
        let mut bytes = piece.bytes();
        while let Some(byte) = bytes.next() {
            let plain = match (byte, &mut bytes) {
                (b'\\', rest) => match rest.next() {
                    Some(b'u') => {
                        let digits: Vec<u8> = rest.take(4).collect();
                        let unit = std::str::from_utf8(&digits).ok().and_then(|digits| u16::from_str_radix(digits, 16).ok());
                        unit.and_then(|unit| u8::try_from(unit).ok()).unwrap_or(b'?')
                    }
                    Some(mark @ (b'"' | b'\\' | b'/')) => mark,
                    _ => b' ',
                },
                (byte, _) => byte,
            };
            self.step(plain);
        }
    }

    fn step(&mut self, byte: u8) {
        match byte {
            _ if self.in_string && self.is_escaped => self.is_escaped = false,
            b'\\' if self.in_string => self.is_escaped = true,
            b'"' => self.in_string = !self.in_string,
            _ if self.in_string => {}
            b'{' | b'[' => self.depth = self.depth.saturating_add(1),
            b'}' | b']' => {
                self.depth = self.depth.saturating_sub(1);
                self.is_whole |= self.depth == 0;
            }
            _ => {}
        }
    }

    /// An object or array has ended.
    pub(super) const fn is_whole(&self) -> bool {
        self.is_whole
    }
}

#[cfg(test)]
mod tests {
    use super::{Balance, Queue, Waiting};
    use crate::conversation::{Malformed, Str};

    #[test]
    fn only_what_has_ended_is_whole() {
        let whole = |json: &str| {
            let text = Str::of(json);
            let mut balance = Balance::default();
            // Characters that are no part of an escape, one by one.
            let pieces: Vec<String> = json.chars().map(|char| Str::of(&char.to_string()).raw().to_owned()).collect();
            pieces.iter().for_each(|piece| balance.take(piece));
            let mut at_once = Balance::default();
            at_once.take(text.raw());
            assert_eq!(at_once.is_whole(), balance.is_whole(), "{json}");
            balance.is_whole()
        };
        for json in ["{}", r#"{"a":"}\"\\","b":[{}]}"#, "{\"é\":\"\\u0022}\"}\n"] {
            assert!(whole(json), "{json}");
        }
        for json in ["", "{", r#"{"a":"}"#, r#"{"a":"\"}"#, r#"{"a":[{}]"#, " "] {
            assert!(!whole(json), "{json}");
        }
        let mut balance = Balance::default();
        balance.take(r"\u007b\u0022\u005c\u0022}\u0022}");
        assert!(balance.is_whole(), "escapes of any kind");
    }

    #[test]
    fn what_is_held_is_bounded() {
        let mut queue = Queue::default();
        let call = |index| Waiting { index, id: Str::EMPTY, name: Str::EMPTY, signature: None, arguments: String::new() };
        assert_eq!(queue.push(call(1)), Ok(()));
        let piece = Str::of(&"x".repeat(1024 * 1024));
        assert_eq!(queue.add(2, &piece), Ok(false));
        let mut pieces = 0;
        while queue.add(1, &piece) == Ok(true) {
            pieces += 1;
        }
        assert_eq!(pieces, 15, "beside what the call itself takes");
        assert_eq!(queue.add(1, &piece), Err(Malformed));
        assert!(queue.pop().is_some_and(|call| call.index == 1) && queue.is_empty());
        assert_eq!(queue.held(), 0);
    }
}
