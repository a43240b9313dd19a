//! The fast pass: some dozens of short patterns at once.
//!
//! The vector instructions look at the low and the high halves of three bytes on their own, for a bucket of patterns together; with an unlucky
//! tag, a bucket's halves put together are the zeros of an empty page, and every byte of it is looked at twice. Which patterns share a bucket
//! follows from their order, so that is chosen for each run's patterns.

use std::collections::HashMap;

use aho_corasick::packed::{Config, MatchKind, Searcher};
use aho_corasick::{AhoCorasick, Span};

/// Finds where any of the patterns stands.
pub(super) enum Prefilter {
    /// With vector instructions.
    Packed(Searcher),
    /// On processors without them.
    Automaton(AhoCorasick),
    /// There is no pattern.
    Nothing,
}

/// Orders that are tried.
const ORDERS: u32 = 64;

impl Prefilter {
    pub(super) fn new<'p>(patterns: impl Iterator<Item = &'p [u8]>) -> Self {
        let mut order: Vec<&[u8]> = patterns.collect();
        let samples = samples();
        let mut patterns = order.clone();
        let mut least = u32::MAX;
        let mut state = 1_u32;
        for _ in 0..ORDERS {
            let cost = cost(&order, &samples);
            if cost < least {
                (least, patterns) = (cost, order.clone());
            }
            for at in (1..order.len()).rev() {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                order.swap(at, (state >> 16) as usize % (at + 1));
            }
        }
        let config = Config::new().match_kind(MatchKind::LeftmostFirst).heuristic_pattern_limits(false).clone();
        if let Some(searcher) = config.builder().extend(&patterns).build() {
            return Self::Packed(searcher);
        }
        let automaton = AhoCorasick::builder().match_kind(aho_corasick::MatchKind::LeftmostFirst).build(patterns);
        automaton.map_or(Self::Nothing, Self::Automaton)
    }

    /// The first place, from there on, at which a pattern stands.
    pub(super) fn next(&self, bytes: &[u8], from: usize) -> Option<usize> {
        let span = Span { start: from.min(bytes.len()), end: bytes.len() };
        match self {
            Self::Packed(searcher) => searcher.find_in(bytes, span).map(|found| found.start()),
            Self::Automaton(automaton) => {
                let matched = automaton.find(aho_corasick::Input::new(bytes).span(span));
                matched.map(|found| found.start())
            }
            Self::Nothing => None,
        }
    }
}

/// Three bytes as they follow each other in what is looked at, and how often.
fn samples() -> Vec<([u8; 3], u32)> {
    const TEXT: &[u8] = b"2026-11-25T10:14:24.123456Z INFO request completed trace_id=4bf92f3577b34da6a3ce929d0e0e4736 {\"model\":\"gpt\", \
                          \"values\": [0.123456, -0.98765]} https://example.com/v1/chat/completions?a=%20b GET POST aGVsbG8gd29ybGQgMTIzNDU2Nzg5";
    let runs = (0..=255).map(|byte: u8| {
        let often = match byte {
            0 => 4000,
            0xff => 400,
            b' ' | b'0'..=b'9' | b'=' | b'-' | b'A' => 40,
            _ => 4,
        };
        ([byte; 3], often)
    });
    let text = TEXT.windows(3).map(|window| ([window[0], window[1], window[2]], 10));
    let words = (0..=255).flat_map(|byte| [([byte, 0, 0], 20), ([0, byte, 0], 20), ([0, 0, byte], 20)]);
    runs.chain(text).chain(words).collect()
}

/// How often, in the samples, the vector instructions see something that may be none, as the library puts patterns into sixteen buckets.
fn cost(order: &[&[u8]], samples: &[([u8; 3], u32)]) -> u32 {
    const BUCKETS: usize = 16;
    let mut buckets = [[(0_u16, 0_u16); 3]; BUCKETS];
    let mut by_low: HashMap<[u8; 3], usize> = HashMap::new();
    for (index, pattern) in order.iter().enumerate() {
        let Some(&first) = pattern.first_chunk::<3>() else { continue };
        let bucket = *by_low.entry(first.map(|byte| byte & 15)).or_insert(BUCKETS - 1 - index % BUCKETS);
        for (halves, byte) in buckets[bucket].iter_mut().zip(first) {
            halves.0 |= 1 << (byte & 15);
            halves.1 |= 1 << (byte >> 4);
        }
    }
    let matches = |bucket: &[(u16, u16); 3], sample: &[u8; 3]| {
        bucket.iter().zip(sample).all(|(halves, byte)| halves.0 >> (byte & 15) & 1 == 1 && halves.1 >> (byte >> 4) & 1 == 1)
    };
    samples.iter().filter(|(sample, _)| buckets.iter().any(|bucket| matches(bucket, sample))).map(|(_, often)| often).sum()
}
