use super::*;
use crate::detect::prefilter::Prefilter;
use crate::encode::{encode_shifted, variants};
use crate::encoding::Form;

/// The same data with a canary at its end is the proof that it was looked at.
fn nothing_but(run: &Run, name: &str, mut bytes: Vec<u8>) {
    let detector = Detector::new(&run.canaries);
    let looked = all(&detector, &bytes);
    assert_eq!(looked, Looked { hits: Vec::new(), bytes: bytes.len() as u64, incomplete: None }, "{name}");
    let at = bytes.len() as u64 + 1;
    bytes.extend_from_slice(format!("({})", run.text).as_bytes());
    let hits = all(&detector, &bytes).hits;
    assert_eq!(hits.iter().map(|hit| (hit.offset, hit.bytes)).collect::<Vec<_>>(), [(at, 40)], "{name}");
}

#[test]
fn nothing_is_found_in_random_bytes_and_text() {
    let run = Run::new();
    let length = 16 << 20;
    nothing_but(&run, "random", random(2 * length, 11));
    nothing_but(&run, "log", log_like(2 * length, 12));
    nothing_but(&run, "base64", encode_shifted(&random(length, 13), 0, false));
    nothing_but(&run, "hex", random(length, 14).iter().flat_map(|byte| format!("{byte:02X}").into_bytes()).collect());
    let letters = b"ABCDEFGHJKLMNPQRSTUVWXYZ23456789";
    nothing_but(&run, "the same letters", random(2 * length, 15).iter().map(|byte| letters[usize::from(byte % 32)]).collect());
    let number = |four: &[u8]| f32::from(u16::from_le_bytes([four[0], four[1]]) & 0x3fff | 1) / 16_384.0;
    let numbers: Vec<f32> = random(length / 8, 16).chunks_exact(4).map(number).collect();
    nothing_but(&run, "numbers", variants("", &numbers, Form::DecimalNumbers).remove(0));
    nothing_but(&run, "floats", variants("", &numbers, Form::Float32).remove(0));
}

#[test]
fn canaries_of_another_run_are_not_found() {
    let run = Run::new();
    let mut others = [Canaries::new().unwrap(), Canaries::of_the_same_tag(&run.canaries).unwrap()];
    let mut bytes = Vec::new();
    for other in &mut others {
        for _ in 0..50 {
            let (text, numbers) = (other.text(label()).unwrap(), other.vector(label(), 24).unwrap());
            for form in Form::ALL {
                for variant in variants(&text, &numbers, form) {
                    bytes.extend_from_slice(b"\n(");
                    bytes.extend_from_slice(&variant);
                }
            }
        }
    }
    // What is not there for this run is there for them.
    let found = others.map(|other| all(&Detector::new(&other), &bytes).hits.len());
    assert_eq!(found, [50 * Form::ALL.len(); 2]);
    nothing_but(&run, "other runs", bytes);
}

#[test]
fn the_automaton_finds_what_the_vector_instructions_find() {
    let patterns: [&[u8]; 4] = [b"abcdef", b"cd", b"ab", b"f0"];
    let automaton =
        aho_corasick::AhoCorasick::builder().match_kind(aho_corasick::MatchKind::LeftmostFirst).build(patterns).unwrap();
    let text = b"..abcdexabcdef0cdabc";
    for prefilter in [Prefilter::new(patterns.into_iter()), Prefilter::Automaton(automaton)] {
        let mut at = 0;
        let mut found = Vec::new();
        while let Some(start) = prefilter.next(text, at) {
            found.push(start);
            at = start + 1;
        }
        assert_eq!(found, [2, 4, 8, 10, 13, 15, 17]);
    }
}
