//! Tokens per second, for a prompt and for an answer: `speed MODEL [THREADS…]`.
#![expect(clippy::print_stdout, reason = "a measurement for a person to read")]

use std::time::Instant;

use lethe_engine::Model;

const PROMPT: usize = 512;
const ANSWER: usize = 128;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let path = arguments.next().ok_or("usage: speed MODEL [THREADS...]")?;
    let file = std::fs::read(path)?;
    let threads: Vec<usize> = arguments.map(|argument| argument.parse()).collect::<Result<_, _>>()?;
    for threads in if threads.is_empty() { vec![1, 2] } else { threads } {
        let start = Instant::now();
        let model =
            Model::load(&file).and_then(|model| model.with_threads(threads)).map_err(|_| "not a model this engine computes")?;
        println!("{threads} threads: loaded in {:.0} ms", start.elapsed().as_secs_f64() * 1e3);
        let mut cache = model.cache();
        let prompt: Vec<u32> = (0..PROMPT as u32).map(|index| 100 + index * 37).collect();
        let start = Instant::now();
        let mut state = Vec::new();
        for chunk in prompt.chunks(64) {
            state = model.extend(&mut cache, chunk);
        }
        println!("  prompt of {PROMPT}: {:.1} tokens/s", PROMPT as f64 / start.elapsed().as_secs_f64());
        let start = Instant::now();
        for _ in 0..ANSWER {
            let logits = model.logits(&state);
            let best = logits.iter().enumerate().max_by(|left, right| left.1.total_cmp(right.1)).map_or(0, |(index, _)| index);
            state = model.extend(&mut cache, &[u32::try_from(best)?]);
        }
        println!("  answer of {ANSWER}: {:.1} tokens/s", ANSWER as f64 / start.elapsed().as_secs_f64());
    }
    Ok(())
}
