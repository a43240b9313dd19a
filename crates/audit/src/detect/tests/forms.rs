use super::*;
use crate::canary::{LENGTH, PIECE};
use crate::encode::{encode_shifted, variants};
use crate::encoding::Form;

/// Without those in a Brotli stream that the first bytes happened to begin, with all the others in it as they are.
fn plainly(mut hits: Vec<Hit>) -> Vec<Hit> {
    hits.retain(|hit| hit.encoding.layers.is_empty());
    hits
}

fn plain(form: Form) -> Encoding {
    Encoding { layers: Vec::new(), form }
}

#[test]
fn every_variant_is_found_at_every_alignment_in_any_surroundings() {
    let run = Run::new();
    let detector = Detector::new(&run.canaries);
    for form in Form::ALL {
        for (index, variant) in variants(&run.text, &run.numbers, form).into_iter().enumerate() {
            let whole = if form.is_of_numbers() { 4 * run.numbers.len() } else { LENGTH };
            for filler in [vec![0; 300], vec![0xff; 300], random(300, 7), b" lorem; ipsum\n".repeat(20)] {
                for at in 100..116 {
                    // Neither the filler's last bytes nor its next may be a part of the form.
                    let bytes = [&filler[..at], b"(", &variant, b")", &filler[at..]].concat();
                    let hits = detector.bytes(&bytes);
                    let hit = hits.iter().find(|hit| hit.encoding == plain(form));
                    let hit = hit.unwrap_or_else(|| panic!("{} variant {index} at {at}: {hits:?}", form.name()));
                    assert_eq!(hit.bytes, whole, "{} variant {index}", form.name());
                    assert!((at as u64..at as u64 + 8).contains(&hit.offset), "{} variant {index}: {hit:?} {at}", form.name());
                }
            }
        }
    }
}

#[test]
fn a_piece_of_twelve_is_found_in_each_form_and_one_of_eleven_is_not() {
    let run = Run::new();
    let detector = Detector::new(&run.canaries);
    for form in Form::ALL.into_iter().filter(|form| !form.is_of_numbers()) {
        for at in 0..=LENGTH - PIECE {
            for (index, variant) in variants(&run.text[at..at + PIECE], &[], form).into_iter().enumerate() {
                let bytes = [b"((((".as_slice(), &variant, b"))))"].concat();
                assert!(has(&detector.bytes(&bytes), &plain(form)), "{} variant {index}, from {at}", form.name());
                assert!(has(&detector.bytes(&variant), &plain(form)), "{} variant {index}, from {at}, alone", form.name());
            }
        }
        for at in 0..=LENGTH - PIECE + 1 {
            for variant in variants(&run.text[at..at + PIECE - 1], &[], form) {
                assert_eq!(detector.bytes(&variant), [], "{}, from {at}", form.name());
            }
        }
    }
}

#[test]
fn a_piece_of_base64_is_found_with_other_text_on_both_sides() {
    let run = Run::new();
    let detector = Detector::new(&run.canaries);
    for at in 0..=LENGTH - PIECE {
        for shift in 0..3 {
            let text = format!("{}{}", &run.text[at..at + PIECE], "zz zz zz");
            let encoded = encode_shifted(text.as_bytes(), 30 + shift, false);
            for cut in 0..8 {
                let hits = detector.bytes(&encoded[cut..]);
                assert!(has(&hits, &plain(Form::Base64)), "from {at}, shifted {shift}, cut {cut}");
            }
        }
    }
}

#[test]
fn three_numbers_are_found_and_two_are_not() {
    let run = Run::new();
    let detector = Detector::new(&run.canaries);
    for form in Form::ALL.into_iter().filter(|form| form.is_of_numbers()) {
        for at in 0..=run.numbers.len() - 3 {
            for (index, variant) in variants("", &run.numbers[at..at + 3], form).into_iter().enumerate() {
                let hits = detector.bytes(&[b"((((".as_slice(), &variant, b"))))"].concat());
                let hit = hits.iter().find(|hit| hit.encoding == plain(form));
                let hit = hit.unwrap_or_else(|| panic!("{} variant {index} at {at}: {hits:?}", form.name()));
                assert_eq!(hit.bytes, 12);
            }
            for variant in variants("", &run.numbers[at..at + 2], form) {
                assert_eq!(detector.bytes(&variant), [], "{}", form.name());
            }
        }
    }
}

#[test]
fn each_of_many_vectors_is_told_apart() {
    let mut canaries = Canaries::new().unwrap();
    let vectors: Vec<Vec<f32>> = (0..40).map(|_| canaries.vector(label(), 1024).unwrap()).collect();
    let detector = Detector::new(&canaries);
    for (index, vector) in vectors.iter().enumerate() {
        for form in [Form::Float32, Form::Base64Float32, Form::DecimalNumbers] {
            let bytes = variants("", vector, form).remove(0);
            let hits = plainly(detector.bytes(&bytes));
            let longest = hits.iter().max_by_key(|hit| hit.bytes).unwrap();
            assert_eq!(longest.canary.0, index as u32);
            assert!(longest.bytes >= 4 * 128, "{longest:?}");
            let others: Vec<_> = hits.iter().filter(|hit| hit.canary != longest.canary).collect();
            assert_eq!(others, Vec::<&Hit>::new(), "of others, in {}", form.name());
        }
    }
}

#[test]
fn canaries_without_anything_between_are_both_found() {
    let mut canaries = Canaries::new().unwrap();
    let texts: Vec<String> = (0..3).map(|_| canaries.text(label()).unwrap()).collect();
    let detector = Detector::new(&canaries);
    for form in Form::ALL.into_iter().filter(|form| !form.is_of_numbers()) {
        for variant in variants(&texts.concat(), &[], form) {
            let hits = plainly(detector.bytes(&variant));
            assert_eq!(hits.len(), 3, "{}: {hits:?}", form.name());
            assert!(hits.iter().all(|hit| hit.bytes == LENGTH), "{}: {hits:?}", form.name());
        }
    }
}

#[test]
fn what_is_cut_by_a_window_is_found_once_and_whole() {
    let run = Run::new();
    let detector = Detector::new(&run.canaries);
    let limits = Limits { window: 50_000, ..Limits::default() };
    for form in Form::ALL {
        let whole = if form.is_of_numbers() { 4 * run.numbers.len() } else { LENGTH };
        let variant = [b"(", variants(&run.text, &run.numbers, form)[0].as_slice(), b")"].concat();
        for at in (1..120_000).step_by(37).filter(|at| at % 50_000 > 48_000 || at % 5 == 0) {
            let mut bytes = vec![b'.'; 130_000];
            bytes.splice(at..at, variant.iter().copied());
            let looked = detector.source(&bytes, 0..u64::MAX, &limits).unwrap();
            let hits = plainly(looked.hits);
            let [hit] = hits.as_slice() else { panic!("{} at {at}: {hits:?}", form.name()) };
            assert_eq!(
                (hit.bytes, looked.bytes, looked.incomplete),
                (whole, bytes.len() as u64, None),
                "{} at {at}",
                form.name()
            );
            assert!(hit.offset.abs_diff(at as u64) < 8, "{} at {at}: {hit:?}", form.name());
        }
    }
}

#[test]
fn one_detector_serves_many_threads() {
    let run = Run::new();
    let detector = Detector::new(&run.canaries);
    std::thread::scope(|scope| {
        let looks: Vec<_> = (0..4).map(|_| scope.spawn(|| plainly(detector.bytes(run.text.as_bytes())).len())).collect();
        assert!(looks.into_iter().all(|look| look.join().unwrap() == 1));
    });
}
