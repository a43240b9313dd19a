//! What must be found is, wherever it stands, and nothing else.

#![expect(clippy::unwrap_used, clippy::print_stdout, clippy::panic, reason = "tests")]

mod forms;
mod layers;
mod negatives;
mod speed;

use super::{Detector, Hit, Limits, Looked, Source};
use crate::canary::{Canaries, Direction, Label, Modality};
use crate::encoding::Encoding;

fn label() -> Label {
    Label { endpoint: "POST /v1/x".into(), outcome: "success".into(), direction: Direction::Prompt, modality: Modality::Text }
}

/// A run with one canary of text and one of numbers.
struct Run {
    canaries: Canaries,
    text: String,
    numbers: Vec<f32>,
}

impl Run {
    fn new() -> Self {
        let mut canaries = Canaries::new().unwrap();
        let text = canaries.text(label()).unwrap();
        let numbers = canaries.vector(label(), 24).unwrap();
        Self { canaries, text, numbers }
    }
}

fn all(detector: &Detector<'_>, source: &dyn Source) -> Looked {
    detector.source(source, 0..u64::MAX, &Limits::default()).unwrap()
}

fn has(hits: &[Hit], encoding: &Encoding) -> bool {
    hits.iter().any(|hit| hit.encoding == *encoding)
}

/// Bytes of a generator that is good enough, the same for each seed.
fn random(length: usize, mut seed: u64) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        seed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = seed;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bytes.extend_from_slice(&(z ^ (z >> 31)).to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

/// What logs look like, with numbers, identifiers and JSON in it.
fn log_like(length: usize, seed: u64) -> Vec<u8> {
    let mut text = String::with_capacity(length + 400);
    let numbers = random(4096, seed);
    let mut at = 0;
    while text.len() < length {
        let n = u64::from_le_bytes(numbers[at % 4088..at % 4088 + 8].try_into().unwrap());
        text.push_str(&format!(
            "2026-11-{:02}T{:02}:{:02}:{:02}.{:06}Z INFO gateway::http: request completed method=POST path=/v1/chat/completions \
             status={} duration_ms={} trace_id={:032x} user_agent=\"python-httpx/0.27.{}\" {{\"model\":\"gpt-x-{}\",\"usage\":{{\"prompt_tokens\":{},\"completion_tokens\":{}}}}}\n",
            n % 30, n % 24, n % 60, n % 59, n % 1_000_000, 200 + n % 300, n % 10_000, u128::from(n) * 0x1234_5678_9abc_def1, n % 9, n % 7, n % 4096, n % 977
        ));
        at += 13;
    }
    text.truncate(length);
    text.into_bytes()
}
