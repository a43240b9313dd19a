//! Frames of both directions: the same frames and the same end at any split; what went up encodes to the bytes it came from.

use super::Cuts;
use lethe_link::frame::{Frame, HEADER_BYTES, SNAPSHOT_LIMIT};
use lethe_link::{Decoder, Down, FrameError, Up};
use lethe_usage::RECORD_BYTES;

/// How long a frame of this direction may be.
trait Bounded: Frame {
    const MOST: usize;
}

impl Bounded for Up {
    const MOST: usize = HEADER_BYTES + RECORD_BYTES;
}

impl Bounded for Down {
    const MOST: usize = HEADER_BYTES + SNAPSHOT_LIMIT;
}

/// Every frame encoded again, one after another, and how it ended.
fn read<'a, F: Bounded>(pieces: impl Iterator<Item = &'a [u8]>) -> (Vec<u8>, Result<bool, FrameError>) {
    let (mut decoder, mut frames) = (Decoder::<F>::new(), Vec::new());
    for piece in pieces {
        decoder.push(piece);
        loop {
            match decoder.next_frame() {
                Ok(Some(frame)) => frame.encode(&mut frames).expect("what was read can be written"),
                Ok(None) => {
                    assert!(decoder.held() < F::MOST, "no more is held than one frame");
                    break;
                }
                Err(error) => {
                    assert_eq!(decoder.next_frame().err(), Some(error), "an error is final");
                    decoder.push(piece);
                    assert_eq!(decoder.held(), 0, "nothing is held after it");
                    return (frames, Err(error));
                }
            }
        }
    }
    (frames, Ok(decoder.is_between_frames()))
}

/// Panics when the property does not hold for `input`.
pub fn holds(input: &[u8]) {
    let Some((cuts, text)) = Cuts::split_off(input) else { return };
    let up = read::<Up>(std::iter::once(text));
    assert_eq!(up, read::<Up>(cuts.pieces(text)));
    assert!(text.starts_with(&up.0), "one way to write what goes up");
    let down = read::<Down>(std::iter::once(text));
    assert_eq!(down, read::<Down>(cuts.pieces(text)));
    let again = read::<Down>(std::iter::once(down.0.as_slice()));
    assert_eq!(again, (down.0, Ok(true)), "what was written reads the same");
}
