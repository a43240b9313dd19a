//! Byte-level byte-pair encoding (the tokenizer that GGUF calls `gpt2` with pre-tokenizer `smollm`).
//!
//! Written here rather than taken from a library because the usual one keeps a cache of words it has seen, that is, of prompts.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};

use crate::gguf::{Gguf, ModelError};
use crate::words::Words;

/// A part of a rendered conversation.
#[derive(Clone, Copy)]
pub enum Piece<'a> {
    /// What somebody wrote: never read as a control token, whatever it looks like.
    Content(&'a str),
    /// What the chat template itself put there: control tokens count.
    Markup(&'a str),
}

/// Vocabulary and merges of a model.
pub struct Tokenizer {
    /// Bytes of each token; empty for control tokens, which have no text.
    texts: Vec<Box<[u8]>>,
    /// Token of each single byte, where the vocabulary has one.
    bytes: [Option<u32>; 256],
    /// For two adjacent tokens: the merge's rank (lower goes first) and the token that it makes.
    merges: HashMap<(u32, u32), (u32, u32)>,
    /// Control tokens, longest first.
    controls: Vec<(Box<str>, u32)>,
    /// Tokens that end an answer.
    ends: Vec<u32>,
}

impl Tokenizer {
    /// Reads the tokenizer out of a GGUF file.
    ///
    /// # Errors
    /// If it is of another kind, or its lists contradict each other.
    pub fn load(file: &[u8]) -> Result<Self, ModelError> {
        Self::from_gguf(&Gguf::parse(file)?)
    }

    pub(crate) fn from_gguf(gguf: &Gguf<'_>) -> Result<Self, ModelError> {
        /// Control tokens in `tokenizer.ggml.token_type`.
        const CONTROL: i64 = 3;
        if gguf.text("tokenizer.ggml.model")? != "gpt2" || gguf.text("tokenizer.ggml.pre")? != "smollm" {
            return Err(ModelError::Unsupported);
        }
        if gguf.flag("tokenizer.ggml.add_bos_token") == Some(true) || gguf.flag("tokenizer.ggml.add_space_prefix") == Some(true) {
            return Err(ModelError::Unsupported);
        }
        let names = gguf.texts("tokenizer.ggml.tokens")?;
        let kinds = gguf.ints("tokenizer.ggml.token_type")?;
        if names.len() != kinds.len() || u32::try_from(names.len()).is_err() {
            return Err(ModelError::BadVocabulary);
        }
        let byte_of = byte_alphabet();
        let mut texts = Vec::with_capacity(names.len());
        let mut ids = HashMap::with_capacity(names.len());
        let mut controls = Vec::new();
        let mut bytes = [None; 256];
        for ((id, name), kind) in (0u32..).zip(names).zip(kinds) {
            ids.insert(*name, id);
            if *kind == CONTROL {
                controls.push((Box::from(*name), id));
                texts.push(Box::default());
                continue;
            }
            let text: Box<[u8]> = name
                .chars()
                .map(|character| byte_of.get(&character).copied())
                .collect::<Option<_>>()
                .ok_or(ModelError::BadVocabulary)?;
            if let [byte] = *text {
                bytes[usize::from(byte)] = Some(id);
            }
            texts.push(text);
        }
        controls.sort_by_key(|(name, _): &(Box<str>, u32)| Reverse(name.len()));
        let mut merges = HashMap::new();
        for (rank, merge) in (0u32..).zip(gguf.texts("tokenizer.ggml.merges")?) {
            let (left, right) = merge.split_once(' ').ok_or(ModelError::BadVocabulary)?;
            let id = |name: &str| ids.get(name).copied().ok_or(ModelError::BadVocabulary);
            merges.insert((id(left)?, id(right)?), (rank, id(&[left, right].concat())?));
        }
        let end = u32::try_from(gguf.size("tokenizer.ggml.eos_token_id")?).map_err(|_| ModelError::BadValue)?;
        let ends = controls.iter().filter(|(name, id)| *id == end || &**name == "<|endoftext|>").map(|(_, id)| *id).collect();
        Ok(Self { texts, bytes, merges, controls, ends })
    }

    /// The tokens of a rendered conversation.
    #[must_use]
    pub fn encode<'a>(&self, pieces: impl IntoIterator<Item = Piece<'a>>) -> Vec<u32> {
        let mut tokens = Vec::new();
        // Text up to the next control token, across pieces: words may begin in markup and end in content.
        let mut text = String::new();
        for piece in pieces {
            match piece {
                Piece::Content(content) => text.push_str(content),
                Piece::Markup(markup) => {
                    let mut rest = markup;
                    while let Some((before, control, after)) = self.next_control(rest) {
                        text.push_str(before);
                        self.encode_text(&text, &mut tokens);
                        text.clear();
                        tokens.push(control);
                        rest = after;
                    }
                    text.push_str(rest);
                }
            }
        }
        self.encode_text(&text, &mut tokens);
        tokens
    }

    /// The bytes that `token` stands for.
    #[must_use]
    pub fn bytes(&self, token: u32) -> &[u8] {
        usize::try_from(token).ok().and_then(|index| self.texts.get(index)).map_or(&[], |text| text)
    }

    /// Whether `token` ends an answer.
    #[must_use]
    pub fn ends(&self, token: u32) -> bool {
        self.ends.contains(&token)
    }

    /// Number of tokens.
    #[must_use]
    pub const fn size(&self) -> usize {
        self.texts.len()
    }

    fn next_control<'a>(&self, markup: &'a str) -> Option<(&'a str, u32, &'a str)> {
        markup.char_indices().find_map(|(index, _)| {
            let (before, from) = markup.split_at(index);
            self.controls.iter().find_map(|(name, id)| from.strip_prefix(&**name).map(|after| (before, *id, after)))
        })
    }

    fn encode_text(&self, text: &str, tokens: &mut Vec<u32>) {
        for word in Words::new(text) {
            self.encode_word(word, tokens);
        }
    }

    /// Joins neighbours in the order of the merges' ranks, leftmost first. A heap of the possible merges keeps very long words in
    /// n·log n.
    fn encode_word(&self, word: &str, tokens: &mut Vec<u32>) {
        let mut symbols: Vec<Symbol> = Vec::with_capacity(word.len());
        for token in word.bytes().filter_map(|byte| self.bytes[usize::from(byte)]) {
            let index = symbols.len();
            symbols.push(Symbol { token: Some(token), before: index.checked_sub(1), after: index + 1 });
        }
        let mut heap = BinaryHeap::new();
        for index in 1..symbols.len() {
            self.propose(&symbols, index - 1, &mut heap);
        }
        while let Some(Reverse(Proposal { left, right, pair, merged, .. })) = heap.pop() {
            // The pair may have changed since it was proposed.
            if symbols[left].after != right
                || symbols.get(right).map(|symbol| (symbols[left].token, symbol.token)) != Some((Some(pair.0), Some(pair.1)))
            {
                continue;
            }
            let after = symbols[right].after;
            symbols[right].token = None;
            symbols[left].token = Some(merged);
            symbols[left].after = after;
            if let Some(symbol) = symbols.get_mut(after) {
                symbol.before = Some(left);
                self.propose(&symbols, left, &mut heap);
            }
            if let Some(before) = symbols[left].before {
                self.propose(&symbols, before, &mut heap);
            }
        }
        tokens.extend(symbols.iter().filter_map(|symbol| symbol.token));
    }

    fn propose(&self, symbols: &[Symbol], left: usize, heap: &mut BinaryHeap<Reverse<Proposal>>) {
        let right = symbols[left].after;
        if let (Some(first), Some(second)) = (symbols[left].token, symbols.get(right).and_then(|symbol| symbol.token))
            && let Some((rank, merged)) = self.merges.get(&(first, second))
        {
            heap.push(Reverse(Proposal { rank: *rank, left, right, pair: (first, second), merged: *merged }));
        }
    }
}

/// A part of a word, linked to its neighbours; `None` once it is joined to the one before.
struct Symbol {
    token: Option<u32>,
    before: Option<usize>,
    after: usize,
}

/// A merge that is possible. The order of the fields is the order of the heap: by rank, then leftmost.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Proposal {
    rank: u32,
    left: usize,
    right: usize,
    pair: (u32, u32),
    merged: u32,
}

/// GPT-2's spelling of bytes as printable characters: printable Latin-1 stands for itself, the other bytes follow from U+0100 on.
fn byte_alphabet() -> HashMap<char, u8> {
    let mut other = 256u32;
    let mut alphabet = HashMap::with_capacity(256);
    for byte in 0..=255u8 {
        let character = match byte {
            33..=126 | 161..=172 | 174..=255 => Some(char::from(byte)),
            _ => {
                other += 1;
                char::from_u32(other - 1)
            }
        };
        alphabet.extend(character.map(|character| (character, byte)));
    }
    alphabet
}

/// Turns the bytes of tokens into text, holding back a character until all of it is there.
#[derive(Default)]
pub(crate) struct Decoder {
    /// At most the first three bytes of a character.
    held: Vec<u8>,
}

impl Decoder {
    /// Appends to `text` what is complete after `bytes`; bytes that can become no character appear as U+FFFD.
    pub(crate) fn push(&mut self, bytes: &[u8], text: &mut String) {
        self.held.extend_from_slice(bytes);
        let mut done = 0;
        for chunk in self.held.utf8_chunks() {
            text.push_str(chunk.valid());
            done += chunk.valid().len();
            let invalid = chunk.invalid();
            // An incomplete character can only be the very end.
            if !invalid.is_empty() && (done + invalid.len() < self.held.len() || !may_go_on(invalid)) {
                text.push(char::REPLACEMENT_CHARACTER);
                done += invalid.len();
            }
        }
        self.held.drain(..done);
    }

    /// Ends the text: an incomplete character appears as U+FFFD.
    pub(crate) fn finish(&mut self, text: &mut String) {
        if !std::mem::take(&mut self.held).is_empty() {
            text.push(char::REPLACEMENT_CHARACTER);
        }
    }
}

/// Whether more bytes could make `bytes` a character.
fn may_go_on(bytes: &[u8]) -> bool {
    std::str::from_utf8(bytes).is_err_and(|error| error.error_len().is_none())
}

#[cfg(test)]
mod tests {
    use super::{Decoder, byte_alphabet};

    #[test]
    fn alphabet_is_a_bijection() {
        let alphabet = byte_alphabet();
        assert_eq!(alphabet.len(), 256);
        assert_eq!(alphabet[&'Ġ'], b' ');
        assert_eq!(alphabet[&'Ċ'], b'\n');
        assert_eq!(alphabet[&'~'], b'~');
    }

    #[test]
    fn characters_appear_whole() {
        let mut decoder = Decoder::default();
        let mut steps = Vec::new();
        for byte in "aé€🎉b".bytes() {
            let mut text = String::new();
            decoder.push(&[byte], &mut text);
            steps.push(text);
        }
        assert_eq!(steps, ["a", "", "é", "", "", "€", "", "", "", "🎉", "b"]);
    }

    #[test]
    fn broken_characters_are_replaced_once_and_not_lost_sight_of() {
        let mut decoder = Decoder::default();
        let mut text = String::new();
        decoder.push(b"x\xE2\x82", &mut text);
        assert_eq!(text, "x", "an incomplete character waits");
        decoder.push(b"y\xFF", &mut text);
        assert_eq!(text, "x\u{FFFD}y\u{FFFD}");
        decoder.push(b"\xF0\x9F", &mut text);
        decoder.finish(&mut text);
        assert_eq!(text, "x\u{FFFD}y\u{FFFD}\u{FFFD}");
    }
}
