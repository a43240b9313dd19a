//! Replacements in a text: the rest passes byte for byte.

use std::ops::Range;

use lethe_content::ContentBuf;

/// Replacements in one text, in rising order of their spans.
#[derive(Default)]
pub struct Edits {
    edits: Vec<(Range<usize>, Vec<u8>)>,
}

impl Edits {
    /// Replaces `span` (which may be empty: an insertion) by `with`. Spans must not overlap.
    pub fn replace(&mut self, span: Range<usize>, with: impl Into<Vec<u8>>) {
        let at = self.edits.partition_point(|(other, _)| other.start <= span.start);
        self.edits.insert(at, (span, with.into()));
    }

    /// Length of the text after the replacements, which had `length` bytes before.
    #[must_use]
    pub fn length(&self, length: usize) -> usize {
        self.edits.iter().fold(length, |length, (span, with)| length + with.len() - span.len())
    }

    /// `text` with the replacements, in pieces that lie in either.
    pub fn pieces<'a>(&'a self, text: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
        let starts = self.edits.iter().map(|(span, _)| span.start).chain([text.len()]);
        let ends = std::iter::once(0).chain(self.edits.iter().map(|(span, _)| span.end));
        let kept = ends.zip(starts).map(|(from, to)| &text[from..to]);
        let new = self.edits.iter().map(|(_, with)| with.as_slice()).chain([&[] as &[u8]]);
        kept.zip(new).flat_map(|(kept, new)| [kept, new])
    }

    /// Appends `text` with the replacements to `out`.
    pub fn apply(&self, text: &[u8], out: &mut ContentBuf) {
        self.pieces(text).for_each(|piece| out.extend(piece));
    }
}

#[cfg(test)]
mod tests {
    use lethe_content::ContentBuf;

    use super::Edits;

    #[test]
    fn the_rest_passes_byte_for_byte() {
        let text = b"{\"a\":1,\"b\":2}";
        let mut edits = Edits::default();
        edits.replace(11..12, *b"three");
        edits.replace(1..1, *b"\"x\":0,");
        edits.replace(1..1, *b"\"y\":0,");
        let mut out = ContentBuf::new();
        edits.apply(text, &mut out);
        assert_eq!(out.expose(), b"{\"x\":0,\"y\":0,\"a\":1,\"b\":three}");
        assert_eq!(edits.length(text.len()), out.len());
    }
}
