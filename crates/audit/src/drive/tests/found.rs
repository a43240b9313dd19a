//! A slow and simple search, of its own making: the detector's is somebody else's, and is not trusted here.

use std::collections::{HashMap, HashSet};

use crate::canary::{Canaries, DENOMINATOR, Id, NUMBERS, PIECE};

const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Two vectors of a run can have a few numbers in common, a whole vector has hundreds.
const ENOUGH: usize = 16;

/// Canaries that stand in `bytes`: as text, as numbers, and both in base64.
pub(super) fn found(bytes: &[u8], canaries: &Canaries) -> HashSet<Id> {
    let mut ids = plain(bytes, canaries);
    for run in bytes.split(|byte| !BASE64.contains(byte)).filter(|run| run.len() > 64) {
        let decoded = decode(run);
        ids.extend(plain(&decoded, canaries));
        ids.extend(numbers(decoded.chunks_exact(4).map(|four| f32::from_le_bytes(four.try_into().unwrap())), canaries));
    }
    let text = String::from_utf8_lossy(bytes);
    let decimal = text.split(|c: char| !c.is_ascii_digit() && c != '.').filter_map(|word| word.parse().ok());
    ids.extend(numbers(decimal, canaries));
    ids
}

fn plain(bytes: &[u8], canaries: &Canaries) -> HashSet<Id> {
    bytes.windows(PIECE).filter_map(|piece| canaries.of_piece(piece.try_into().unwrap())).collect()
}

fn numbers(all: impl Iterator<Item = f32>, canaries: &Canaries) -> HashSet<Id> {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "what is out of range is no canary's")]
    let all: Vec<u16> = all.map(|number| (number * DENOMINATOR) as u16).collect();
    let mut counts = HashMap::new();
    for id in all.windows(NUMBERS).filter_map(|three| canaries.of_numbers(three.try_into().unwrap())) {
        *counts.entry(id).or_insert(0) += 1;
    }
    counts.into_iter().filter(|(_, count)| *count >= ENOUGH).map(|(id, _)| id).collect()
}

fn decode(run: &[u8]) -> Vec<u8> {
    let digit = |byte: &u8| u32::try_from(BASE64.iter().position(|known| known == byte).unwrap()).unwrap();
    let group = |four: &[u8]| four.iter().fold(0, |bits, byte| bits << 6 | digit(byte)).to_be_bytes();
    run.chunks_exact(4).flat_map(|four| group(four)[1..].to_vec()).collect()
}
