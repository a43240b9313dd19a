//! Lines lie one behind the other, are found alike in any pieces, and nothing but line ends and white space is between their texts.

use super::Cuts;
use lethe_wire::lines::{Line, next_line};

fn read<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> Vec<Line> {
    let (mut bytes, mut from, mut found) = (Vec::new(), 0, Vec::new());
    for piece in pieces {
        bytes.extend_from_slice(piece);
        while let Some(line) = next_line(&bytes, from) {
            assert_eq!(line.span.start, from, "no gap");
            assert_eq!(bytes[line.span.end - 1], b'\n');
            match &line.text {
                Some(text) => {
                    assert!(text.start == line.span.start && text.end < line.span.end);
                    assert!(!bytes[text.clone()].contains(&b'\n'), "one line");
                    assert!(bytes[text.end..line.span.end].trim_ascii().is_empty(), "nothing is left out");
                }
                None => assert!(bytes[line.span.clone()].trim_ascii().is_empty(), "nothing is left out"),
            }
            from = line.span.end;
            found.push(line);
        }
    }
    assert!(!bytes[from..].contains(&b'\n'), "every line is found");
    found
}

/// Panics when the property does not hold for `input`.
pub fn holds(input: &[u8]) {
    let Some((cuts, text)) = Cuts::split_off(input) else { return };
    assert_eq!(read(std::iter::once(text)), read(cuts.pieces(text)));
}
