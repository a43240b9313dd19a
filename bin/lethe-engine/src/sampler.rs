//! Choosing the next token.

use std::collections::HashMap;

/// How tokens are chosen.
#[derive(Clone, Copy)]
pub struct Sampling {
    /// 0 takes the likeliest token; higher is more random.
    pub temperature: f32,
    /// Only the likeliest tokens that together have this probability.
    pub top_p: f32,
    /// Taken off a token's logarithm once it has occurred in the answer.
    pub presence_penalty: f32,
    /// Taken off a token's logarithm for each time it has occurred in the answer.
    pub frequency_penalty: f32,
    /// Start of the random numbers; equal seeds give equal answers.
    pub seed: u64,
}

/// The state of one answer's choices.
pub(crate) struct Sampler {
    sampling: Sampling,
    random: u64,
    /// How often each token has occurred; kept only where a penalty asks for it.
    counts: HashMap<u32, u32>,
}

impl Sampler {
    /// Starts an answer.
    #[must_use]
    pub(crate) fn new(sampling: Sampling) -> Self {
        Self { sampling, random: sampling.seed, counts: HashMap::new() }
    }

    /// Chooses a token by its logits.
    pub(crate) fn choose(&mut self, mut logits: Vec<f32>) -> u32 {
        let Sampling { temperature, top_p, presence_penalty, frequency_penalty, .. } = self.sampling;
        for (token, count) in &self.counts {
            if let Some(logit) = logits.get_mut(*token as usize) {
                *logit -= (*count as f32).mul_add(frequency_penalty, presence_penalty);
            }
        }
        let (best, highest) = logits
            .iter()
            .enumerate()
            .fold((0, f32::NEG_INFINITY), |best, (index, logit)| if *logit > best.1 { (index, *logit) } else { best });
        let index = if temperature > 0.0 {
            for logit in &mut logits {
                *logit = ((*logit - highest) / temperature).exp();
            }
            self.draw(&logits, top_p).unwrap_or(best)
        } else {
            best
        };
        let token = u32::try_from(index).unwrap_or_default();
        if presence_penalty != 0.0 || frequency_penalty != 0.0 {
            *self.counts.entry(token).or_default() += 1;
        }
        token
    }

    /// Draws an index by its weight, among the heaviest that together make up `top_p`.
    fn draw(&mut self, weights: &[f32], top_p: f32) -> Option<usize> {
        let total: f64 = weights.iter().map(|weight| f64::from(*weight)).sum();
        let wanted = f64::from(top_p) * total;
        // All weights below this bound together are less than the part to be left out, so none of them is wanted, and the sort is short.
        let bound = (total - wanted) / weights.len() as f64;
        let mut candidates: Vec<(usize, f64)> = weights
            .iter()
            .map(|weight| f64::from(*weight))
            .enumerate()
            .filter(|(_, weight)| *weight >= bound && *weight > 0.0)
            .collect();
        let mut sum = total;
        if top_p < 1.0 {
            candidates.sort_by(|left, right| right.1.total_cmp(&left.1));
            sum = 0.0;
            let mut kept = 0;
            for (_, weight) in &candidates {
                sum += weight;
                kept += 1;
                if sum >= wanted {
                    break;
                }
            }
            candidates.truncate(kept);
        }
        let mut point = self.unit() * sum;
        for (index, weight) in &candidates {
            point -= weight;
            if point < 0.0 {
                return Some(*index);
            }
        }
        candidates.last().map(|(index, _)| *index)
    }

    /// A number from 0 up to 1 (SplitMix64; Steele, Lea, Flood 2014). Good enough to choose words with; nothing secret depends on it.
    fn unit(&mut self) -> f64 {
        self.random = self.random.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut bits = self.random;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        bits ^= bits >> 31;
        (bits >> 11) as f64 / (1u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::{Sampler, Sampling};

    const PLAIN: Sampling = Sampling { temperature: 1.0, top_p: 1.0, presence_penalty: 0.0, frequency_penalty: 0.0, seed: 5 };

    fn draws(sampling: Sampling, logits: &[f32], count: usize) -> Vec<u32> {
        let mut sampler = Sampler::new(sampling);
        (0..count).map(|_| sampler.choose(logits.to_vec())).collect()
    }

    #[test]
    fn temperature_zero_takes_the_likeliest() {
        assert_eq!(draws(Sampling { temperature: 0.0, ..PLAIN }, &[0.0, 3.0, 2.9], 3), [1, 1, 1]);
    }

    #[test]
    fn equal_seeds_draw_equally_and_others_differ() {
        let logits = [0.0; 50];
        assert_eq!(draws(PLAIN, &logits, 20), draws(PLAIN, &logits, 20));
        assert_ne!(draws(PLAIN, &logits, 20), draws(Sampling { seed: 6, ..PLAIN }, &logits, 20));
    }

    #[test]
    fn draws_follow_the_weights() {
        // Probabilities 0.6, 0.3, 0.1.
        let logits = [0.6f32.ln(), 0.3f32.ln(), 0.1f32.ln()];
        let count = |draws: &[u32], token| draws.iter().filter(|draw| **draw == token).count();
        let all = draws(PLAIN, &logits, 4000);
        assert!(
            (2200..2600).contains(&count(&all, 0))
                && (1050..1350).contains(&count(&all, 1))
                && (300..500).contains(&count(&all, 2))
        );
        let nucleus = draws(Sampling { top_p: 0.85, ..PLAIN }, &logits, 4000);
        assert_eq!(count(&nucleus, 2), 0);
        assert!((1200..1470).contains(&count(&nucleus, 1)));
        let cold = draws(Sampling { temperature: 0.25, ..PLAIN }, &logits, 4000);
        assert!(count(&cold, 0) > 3600);
    }

    #[test]
    fn penalties_push_away_from_repetition() {
        let penalised = Sampling { temperature: 0.0, frequency_penalty: 1.0, ..PLAIN };
        assert_eq!(draws(penalised, &[2.5, 1.0, 0.0], 4), [0, 0, 1, 0]);
    }
}
