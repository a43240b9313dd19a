//! Attention of one group of queries over the keys and values of a request.

use wide::f32x8;

use crate::model::LayerCache;

/// Numbers in one head's vector.
pub(crate) const HEAD: usize = 64;

/// One head's vector.
pub(crate) type Head = [f32x8; HEAD / 8];

/// The vectors in a row of floats.
pub(crate) fn heads(values: &[f32]) -> impl Iterator<Item = Head> {
    values.as_chunks::<HEAD>().0.iter().map(|head| {
        let parts = head.as_chunks::<8>().0;
        std::array::from_fn(|index| f32x8::from(parts[index]))
    })
}

/// Attention of the queries in `queries`, which share one key head, over the first `length` positions; writes as many floats.
/// `key_head` is that head and how many there are.
pub(crate) fn attend(queries: &[f32], cache: &LayerCache, key_head: (usize, usize), length: usize, out: &mut [f32]) {
    let (head, stride) = key_head;
    let scale = f32x8::splat((HEAD as f32).sqrt().recip());
    let queries: Vec<Head> = heads(queries).map(|query| query.map(|part| part * scale)).collect();
    // Scores of all queries: `queries` rows of `length`.
    let mut scores = vec![0.0f32; queries.len() * length];
    let keys = cache.keys.iter().flat_map(|page| page.chunks_exact(stride)).take(length);
    for (position, key) in keys.enumerate() {
        let key = &key[head];
        for (index, query) in queries.iter().enumerate() {
            scores[index * length + position] = product(query, key);
        }
    }
    for scores in scores.chunks_exact_mut(length) {
        softmax(scores);
    }
    let mut sums: Vec<Head> = vec![[f32x8::ZERO; HEAD / 8]; queries.len()];
    let values = cache.values.iter().flat_map(|page| page.chunks_exact(stride)).take(length);
    for (position, value) in values.enumerate() {
        let value = &value[head];
        for (index, sum) in sums.iter_mut().enumerate() {
            let weight = f32x8::splat(scores[index * length + position]);
            for (sum, value) in sum.iter_mut().zip(value) {
                *sum = value.mul_add(weight, *sum);
            }
        }
    }
    for (out, sum) in out.as_chunks_mut::<8>().0.iter_mut().zip(sums.iter().flatten()) {
        *out = sum.to_array();
    }
}

#[inline]
fn product(left: &Head, right: &Head) -> f32 {
    // Two sums, so that a multiplication need not wait for the one before it.
    let (left, right) = (left.as_chunks::<2>().0, right.as_chunks::<2>().0);
    let mut sums = [f32x8::ZERO; 2];
    for (left, right) in left.iter().zip(right) {
        sums[0] = left[0].mul_add(right[0], sums[0]);
        sums[1] = left[1].mul_add(right[1], sums[1]);
    }
    (sums[0] + sums[1]).reduce_add()
}

/// Turns scores into weights that add up to one.
fn softmax(scores: &mut [f32]) {
    let largest = scores.iter().fold(f32::NEG_INFINITY, |largest, score| largest.max(*score));
    let (eights, rest) = scores.as_chunks_mut::<8>();
    let mut sum = f32x8::ZERO;
    for eight in eights {
        let value = (f32x8::from(*eight) - f32x8::splat(largest)).exp();
        sum += value;
        *eight = value.to_array();
    }
    let mut total = sum.reduce_add();
    for value in rest {
        *value = (*value - largest).exp();
        total += *value;
    }
    let inverse = total.recip();
    for score in scores {
        *score *= inverse;
    }
}

/// Rotary position embedding for a run of positions: pairs (2i, 2i+1) turn by `position · base^(−2i/HEAD)`. GGUF files of Llama
/// models store queries and keys permuted for this order.
pub(crate) struct Rotation {
    first: usize,
    /// Sine and cosine of each pair, position after position.
    turns: Vec<[(f32, f32); HEAD / 2]>,
}

impl Rotation {
    pub(crate) fn new(first: usize, count: usize, base: f32) -> Self {
        let speeds: [f64; HEAD / 2] = std::array::from_fn(|pair| f64::from(base).powf(-2.0 * pair as f64 / HEAD as f64));
        #[expect(clippy::cast_possible_truncation, reason = "sines and cosines are stored in single precision")]
        let turn = |position: usize| {
            speeds.map(|speed| {
                let (sine, cosine) = (position as f64 * speed).sin_cos();
                (sine as f32, cosine as f32)
            })
        };
        Self { first, turns: (first..first + count).map(turn).collect() }
    }

    /// Position of the first token.
    pub(crate) const fn first(&self) -> usize {
        self.first
    }

    /// Turns every head in `values`, which belong to token `index` of the run.
    pub(crate) fn apply(&self, index: usize, values: &mut [f32]) {
        for head in values.as_chunks_mut::<HEAD>().0 {
            for (pair, (sine, cosine)) in head.as_chunks_mut::<2>().0.iter_mut().zip(&self.turns[index]) {
                let [x, y] = *pair;
                *pair = [x * cosine - y * sine, x * sine + y * cosine];
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{HEAD, Rotation, attend, heads, softmax};
    use crate::model::LayerCache;

    #[test]
    fn weights_add_up_to_one_and_keep_their_order() {
        let mut scores: Vec<f32> = (0..19).map(|index| index as f32 / 3.0 + 500.0).collect();
        softmax(&mut scores);
        assert!((scores.iter().sum::<f32>() - 1.0).abs() < 1e-5);
        assert!(scores.windows(2).all(|pair| pair[0] < pair[1]));
        assert!((scores[18] / scores[15] - 1f32.exp()).abs() < 1e-3);
    }

    #[test]
    fn rotation_keeps_lengths_and_depends_on_the_difference_only() {
        let dot = |left: usize, right: usize| {
            let mut vectors = [[0.25f32; HEAD], [0.5; HEAD]];
            vectors[0][3] = -2.0;
            Rotation::new(left, 1, 10000.0).apply(0, &mut vectors[0]);
            Rotation::new(right, 1, 10000.0).apply(0, &mut vectors[1]);
            vectors[0].iter().zip(&vectors[1]).map(|(left, right)| left * right).sum::<f32>()
        };
        assert!((dot(5, 3) - dot(105, 103)).abs() < 1e-3);
        assert!((dot(5, 3) - dot(5, 4)).abs() > 1e-2, "control: another difference gives another product");
    }

    #[test]
    fn attention_picks_the_matching_value_and_stops_at_length() {
        // Two key heads; the second one's keys point along the axis of their position.
        let mut cache = LayerCache::default();
        let mut page = (Vec::new(), Vec::new());
        for position in 0..5 {
            let mut key = [0.0f32; 2 * HEAD];
            key[HEAD + position] = 1.0;
            page.0.extend(heads(&key));
            page.1.extend(heads(&[position as f32; 2 * HEAD]));
        }
        cache.keys.push(page.0);
        cache.values.push(page.1);
        let mut query = [0.0f32; HEAD];
        query[3] = 400.0;
        let mut out = [0.0; HEAD];
        attend(&query, &cache, (1, 2), 5, &mut out);
        assert!(out.iter().all(|value| (value - 3.0).abs() < 1e-4));
        attend(&query, &cache, (1, 2), 3, &mut out);
        assert!(out.iter().all(|value| (value - 1.0).abs() < 1e-4), "position 3 is out of reach, the others weigh the same");
    }
}
