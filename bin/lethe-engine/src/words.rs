//! Cutting text into words before merging: every digit by itself, then GPT-2's pattern.
//!
//! The pattern is `'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`. Because digits (`\p{N}`) stand alone first, the
//! third alternative only ever sees one digit, and the end of a run before a digit counts as the end of the text.

use unicode_properties::{GeneralCategoryGroup, UnicodeGeneralCategory};

const CONTRACTIONS: [&str; 7] = ["'s", "'t", "'re", "'ve", "'m", "'ll", "'d"];

#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    Letter,
    Number,
    Other,
    Space,
}

fn class(character: char) -> Class {
    if character.is_ascii_alphabetic() {
        Class::Letter
    } else if character.is_whitespace() {
        Class::Space
    } else if character.is_numeric() {
        Class::Number
    } else if !character.is_ascii() && character.general_category_group() == GeneralCategoryGroup::Letter {
        Class::Letter
    } else {
        Class::Other
    }
}

/// The words of a text, in order; together they are the text.
pub(crate) struct Words<'a> {
    rest: &'a str,
}

impl<'a> Words<'a> {
    pub(crate) const fn new(text: &'a str) -> Self {
        Self { rest: text }
    }
}

impl<'a> Iterator for Words<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        if self.rest.is_empty() {
            return None;
        }
        let (word, rest) = self.rest.split_at(word_length(self.rest));
        self.rest = rest;
        Some(word)
    }
}

/// Bytes of the first word of a text that is not empty.
fn word_length(text: &str) -> usize {
    let Some(first) = text.chars().next() else { return 0 };
    if class(first) == Class::Number {
        return first.len_utf8();
    }
    if let Some(contraction) = CONTRACTIONS.iter().find(|contraction| text.starts_with(**contraction)) {
        return contraction.len();
    }
    let lead = usize::from(first == ' ');
    match text[lead..].chars().next().map(class) {
        Some(Class::Letter) => lead + run_length(&text[lead..], Class::Letter),
        Some(Class::Other) => lead + run_length(&text[lead..], Class::Other),
        _ => space_length(text),
    }
}

/// Bytes of the characters of one class that `text` begins with.
fn run_length(text: &str, wanted: Class) -> usize {
    text.char_indices().find(|(_, character)| class(*character) != wanted).map_or(text.len(), |(index, _)| index)
}

/// White space leaves its last character to the word that follows, unless that is all there is or a digit follows.
fn space_length(text: &str) -> usize {
    let run = run_length(text, Class::Space);
    match text[run..].chars().next().map(class) {
        None | Some(Class::Number) => run,
        Some(_) => match text[..run].char_indices().next_back() {
            Some((index, _)) if index > 0 => index,
            _ => run,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::Words;

    fn cut(text: &str) -> Vec<&str> {
        Words::new(text).collect()
    }

    #[test]
    fn words() {
        assert_eq!(cut("Hello, it's 42!"), ["Hello", ",", " it", "'s", " ", "4", "2", "!"]);
        assert_eq!(cut("a  b   5\n\n"), ["a", " ", " b", "   ", "5", "\n\n"]);
        assert_eq!(cut("x\n  y"), ["x", "\n ", " y"]);
        assert_eq!(cut("don’t été½"), ["don", "’", "t", " été", "½"]);
        assert_eq!(cut(""), [""; 0]);
    }
}
