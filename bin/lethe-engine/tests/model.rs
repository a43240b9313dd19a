//! The model's numbers against a reference.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

#[expect(dead_code, reason = "this file needs only a part")]
mod support;

use lethe_engine::Model;

/// A conversation: the model's own system message and "What is the capital of Italy?".
const CONVERSATION: [u32; 37] = [
    1, 9690, 198, 2683, 359, 253, 5356, 5646, 11173, 3365, 3511, 308, 34519, 28, 7018, 411, 407, 19712, 8182, 2, 198, 1, 4093,
    198, 1780, 314, 260, 3575, 282, 7158, 47, 2, 198, 1, 520, 9531, 198,
];

/// The five likeliest tokens and their logits after each step of a greedy answer, computed from the same file's dequantised weights in
/// double precision.
const ANSWER: [[(u32, f32); 5]; 5] = [
    [(39393, 27.262), (504, 27.138), (60, 26.523), (788, 26.348), (2219, 25.766)],
    [(4618, 2.276), (7413, 1.803), (1408, 0.309), (14980, 0.271), (2720, -0.146)],
    [(1119, 18.345), (431, 18.139), (12809, 17.281), (257, 16.551), (490, 16.003)],
    [(82, 13.527), (50, 12.424), (28, 12.313), (389, 11.749), (593, 11.684)],
    [(7129, 30.625), (1747, 28.716), (542, 27.917), (992, 27.203), (608, 27.101)],
];

/// The same after the 200 tokens 100, 137, 174, …: more than one page of the cache.
const LONG: [(u32, f32); 5] = [(395, 29.491), (286, 29.285), (3226, 28.857), (306, 28.824), (332, 28.774)];

fn model(threads: usize) -> Model {
    Model::load(&support::model_file()).and_then(|model| model.with_threads(threads)).unwrap()
}

fn assert_likeliest(logits: &[f32], expected: &[(u32, f32); 5]) {
    let mut order: Vec<usize> = (0..logits.len()).collect();
    order.sort_by(|left, right| logits[*right].total_cmp(&logits[*left]));
    for (index, (token, logit)) in order.into_iter().zip(expected) {
        assert_eq!(index, *token as usize);
        assert!((logits[index] - logit).abs() < 0.01, "{token}: {} instead of {logit}", logits[index]);
    }
}

#[test]
fn logits_agree_with_the_reference() {
    for threads in [1, 2] {
        let model = model(threads);
        let mut cache = model.cache();
        let mut state = model.extend(&mut cache, &CONVERSATION);
        for step in &ANSWER {
            assert_likeliest(&model.logits(&state), step);
            state = model.extend(&mut cache, &[step[0].0]);
        }
        assert_eq!(cache.len(), CONVERSATION.len() + ANSWER.len());
    }
}

#[test]
fn a_prompt_may_be_taken_in_any_pieces() {
    let model = model(2);
    let prompt: Vec<u32> = (0..200).map(|index| 100 + index * 37).collect();
    for size in [1, 32, 200] {
        let mut cache = model.cache();
        let state = prompt.chunks(size).map(|chunk| model.extend(&mut cache, chunk)).last().unwrap();
        assert_likeliest(&model.logits(&state), &LONG);
    }
}

#[test]
fn requests_know_nothing_of_each_other() {
    let model = model(1);
    let mut other = model.cache();
    let before = model.logits(&model.extend(&mut model.cache(), &CONVERSATION));
    let _ = model.extend(&mut other, &[100, 137, 174]);
    assert_eq!(model.logits(&model.extend(&mut model.cache(), &CONVERSATION)), before);
    assert_ne!(model.logits(&model.extend(&mut other, &CONVERSATION)), before, "control: what is in a cache counts");
}
