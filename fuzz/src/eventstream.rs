//! Messages lie one behind the other and inside of what was given, are found alike in any pieces, and damage is never passed over.

use super::Cuts;
use lethe_wire::eventstream::{Message, NotMessages, next_message};

/// Every message, and whether the stream was good to its end.
fn read<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> (Vec<Message>, Result<(), NotMessages>) {
    let (mut bytes, mut from, mut found) = (Vec::new(), 0, Vec::new());
    for piece in pieces {
        bytes.extend_from_slice(piece);
        loop {
            match next_message(&bytes, from) {
                Ok(Some(message)) => {
                    assert_eq!(message.span.start, from, "no gap");
                    assert!(message.span.end <= bytes.len() && message.span.len() >= 16);
                    for part in [&message.name, &message.data] {
                        assert!(part.start <= part.end, "a span");
                        assert!(part.start >= message.span.start && part.end <= message.span.end - 4, "inside of its message");
                    }
                    from = message.span.end;
                    found.push(message);
                }
                Ok(None) => break,
                Err(error) => return (found, Err(error)),
            }
        }
    }
    (found, Ok(()))
}

/// Panics when the property does not hold for `input`.
pub fn holds(input: &[u8]) {
    let Some((cuts, text)) = Cuts::split_off(input) else { return };
    let whole = read(std::iter::once(text));
    assert_eq!(whole, read(cuts.pieces(text)));
    if let Some(first) = whole.0.first() {
        // One bit of it, wherever the cuts say.
        let mut damaged = text.to_vec();
        let at = text.len().wrapping_mul(31) % first.span.len();
        damaged[at] ^= 1 << (text.len() % 8);
        assert_ne!(next_message(&damaged, 0).ok().flatten().as_ref(), Some(first), "damage is seen");
    }
}
