//! Quantised matrices and their product with activations.
//!
//! Weights stay in blocks of 32 as the file has them (Q4_1: 4 bits each, a scale and a minimum; Q8_0: 8 bits and a scale; see
//! `ggml-common.h` of ggml). Activations are rounded to 16 bits per block, which loses less than the 8 bits that ggml uses and fits
//! `vpmaddwd`: two 16-bit products added into 32 bits. The largest sum, 32 · 127 · 32767, is far from overflow.
//!
//! Everything is safe code: `wide` compiles to the AVX2 and FMA instructions that the workspace's target CPU has.

use wide::{f32x8, i8x16, i16x16, i32x8, u8x16};

use crate::gguf::{Format, ModelError, Tensor};
use crate::team::Team;

/// Numbers in one block.
const BLOCK: usize = 32;
/// Activation rows that one pass over a weight row serves: a block is unpacked once for all of them.
const TILE: usize = 4;

#[derive(Clone, Copy)]
struct Q4 {
    scale: f32,
    min: f32,
    /// Low halves are numbers 0–15 of the block, high halves 16–31.
    nibbles: [u8; 16],
}

#[derive(Clone, Copy)]
struct Q8 {
    scale: f32,
    quants: [[i8; 16]; 2],
}

enum Blocks {
    Q4(Vec<Q4>),
    Q8(Vec<Q8>),
}

/// A matrix of `rows × cols` weights.
pub(crate) struct Matrix {
    rows: usize,
    /// Blocks in a row.
    width: usize,
    blocks: Blocks,
}

impl Matrix {
    /// Stacks tensors of one width on top of each other, so that one pass computes all of their rows.
    pub(crate) fn stack(tensors: &[Tensor<'_>]) -> Result<Self, ModelError> {
        let Some(first) = tensors.first() else { return Err(ModelError::Shape) };
        if tensors.iter().any(|tensor| tensor.cols != first.cols || tensor.format != first.format) {
            return Err(ModelError::Unsupported);
        }
        let blocks = match first.format {
            Format::Q4_1 => Blocks::Q4(tensors.iter().flat_map(|tensor| tensor.bytes.as_chunks().0).map(Q4::read).collect()),
            Format::Q8_0 => Blocks::Q8(tensors.iter().flat_map(|tensor| tensor.bytes.as_chunks().0).map(Q8::read).collect()),
            Format::F32 => return Err(ModelError::Unsupported),
        };
        Ok(Self { rows: tensors.iter().map(|tensor| tensor.rows).sum(), width: first.cols / BLOCK, blocks })
    }

    pub(crate) const fn rows(&self) -> usize {
        self.rows
    }

    /// Writes row `index` as floats.
    pub(crate) fn row(&self, index: usize, out: &mut [f32]) {
        let range = index * self.width..(index + 1) * self.width;
        match &self.blocks {
            Blocks::Q4(blocks) => {
                for (block, out) in blocks[range].iter().zip(out.as_chunks_mut::<BLOCK>().0) {
                    for (index, byte) in block.nibbles.iter().enumerate() {
                        out[index] = f32::from(byte & 15).mul_add(block.scale, block.min);
                        out[index + 16] = f32::from(byte >> 4).mul_add(block.scale, block.min);
                    }
                }
            }
            Blocks::Q8(blocks) => {
                for (block, out) in blocks[range].iter().zip(out.as_chunks_mut::<BLOCK>().0) {
                    for (quant, out) in block.quants.iter().flatten().zip(out) {
                        *out = f32::from(*quant) * block.scale;
                    }
                }
            }
        }
    }

    /// The product with every row of `input`, one output row per input row.
    pub(crate) fn multiply(&self, input: &Activations, team: &Team) -> Vec<f32> {
        let count = input.rows();
        // Column-major while computing: a thread owns some weight rows, hence a contiguous piece of this.
        let mut columns = vec![0.0; self.rows * count];
        team.split(&mut columns, count, |first, piece| match &self.blocks {
            Blocks::Q4(blocks) => multiply_rows(&blocks[first * self.width..], self.width, input, piece),
            Blocks::Q8(blocks) => multiply_rows(&blocks[first * self.width..], self.width, input, piece),
        });
        if count == 1 {
            return columns;
        }
        let mut rows = vec![0.0; self.rows * count];
        for (index, row) in rows.chunks_exact_mut(self.rows).enumerate() {
            for (value, column) in row.iter_mut().zip(columns.chunks_exact(count)) {
                *value = column[index];
            }
        }
        rows
    }
}

/// Computes as many weight rows as `out` holds: `out[r * count + t]` is weight row `r` times activation row `t`.
fn multiply_rows<B: Block>(blocks: &[B], width: usize, input: &Activations, out: &mut [f32]) {
    /// Weight rows that stay in the first-level cache while all activations pass.
    const STRIPE: usize = 16;
    let count = input.rows();
    for (rows, out) in blocks.chunks(width * STRIPE).zip(out.chunks_mut(count * STRIPE)) {
        let tiled = count - count % TILE;
        for start in (0..tiled).step_by(TILE) {
            let tile = std::array::from_fn::<_, TILE, _>(|index| input.row(start + index));
            for (row, out) in rows.chunks_exact(width).zip(out.chunks_exact_mut(count)) {
                out[start..start + TILE].copy_from_slice(&dot(row, tile));
            }
        }
        for start in tiled..count {
            for (row, out) in rows.chunks_exact(width).zip(out.chunks_exact_mut(count)) {
                [out[start]] = dot(row, [input.row(start)]);
            }
        }
    }
}

/// One weight row times `N` activation rows.
#[inline(always)]
fn dot<B: Block, const N: usize>(row: &[B], inputs: [&[Activation]; N]) -> [f32; N] {
    // Slices of the same length, so that the bounds are checked once.
    let inputs = inputs.map(|input| &input[..row.len()]);
    let mut sums = [f32x8::ZERO; N];
    let mut minimums = [0.0f32; N];
    for (index, block) in row.iter().enumerate() {
        let (low, high) = block.unpack();
        for (input, (sum, minimum)) in inputs.iter().zip(sums.iter_mut().zip(&mut minimums)) {
            let input = &input[index];
            let products: i32x8 = low.dot(input.low) + high.dot(input.high);
            *sum = f32x8::from_i32x8(products).mul_add(f32x8::splat(block.scale() * input.scale), *sum);
            *minimum = block.min().mul_add(input.sum, *minimum);
        }
    }
    std::array::from_fn(|index| sums[index].reduce_add() + minimums[index])
}

/// A block of weights: number `i` is `scale · quant[i] + min`.
trait Block {
    fn unpack(&self) -> (i16x16, i16x16);
    fn scale(&self) -> f32;
    fn min(&self) -> f32;
}

impl Q4 {
    fn read(bytes: &[u8; 20]) -> Self {
        let [d0, d1, m0, m1, nibbles @ ..] = *bytes;
        Self { scale: f16_to_f32([d0, d1]), min: f16_to_f32([m0, m1]), nibbles }
    }
}

impl Block for Q4 {
    #[inline(always)]
    fn unpack(&self) -> (i16x16, i16x16) {
        let bytes = i16x16::from(u8x16::from(self.nibbles));
        (bytes & i16x16::splat(15), bytes >> 4u32)
    }

    #[inline(always)]
    fn scale(&self) -> f32 {
        self.scale
    }

    #[inline(always)]
    fn min(&self) -> f32 {
        self.min
    }
}

impl Q8 {
    fn read(bytes: &[u8; 34]) -> Self {
        let [d0, d1, quants @ ..] = bytes;
        let mut halves = [[0; 16]; 2];
        for (half, bytes) in halves.iter_mut().zip(quants.as_chunks::<16>().0) {
            *half = bytes.map(u8::cast_signed);
        }
        Self { scale: f16_to_f32([*d0, *d1]), quants: halves }
    }
}

impl Block for Q8 {
    #[inline(always)]
    fn unpack(&self) -> (i16x16, i16x16) {
        let [low, high] = self.quants.map(i8x16::from);
        (i16x16::from_i8x16(low), i16x16::from_i8x16(high))
    }

    #[inline(always)]
    fn scale(&self) -> f32 {
        self.scale
    }

    #[inline(always)]
    fn min(&self) -> f32 {
        0.0
    }
}

/// A block of activations: number `i` is about `scale · quant[i]`.
#[derive(Clone, Copy)]
struct Activation {
    low: i16x16,
    high: i16x16,
    scale: f32,
    /// `scale` times the sum of the quants: what a weight block's minimum is multiplied with.
    sum: f32,
}

/// Rows of activations, rounded for [`Matrix::multiply`].
pub(crate) struct Activations {
    width: usize,
    blocks: Vec<Activation>,
}

impl Activations {
    /// Rounds rows of `cols` floats; `cols` is a multiple of the block size (checked when the model is loaded).
    pub(crate) fn new(values: &[f32], cols: usize) -> Self {
        Self { width: cols / BLOCK, blocks: values.as_chunks().0.iter().map(Activation::round).collect() }
    }

    fn rows(&self) -> usize {
        self.blocks.len() / self.width
    }

    fn row(&self, index: usize) -> &[Activation] {
        &self.blocks[index * self.width..(index + 1) * self.width]
    }
}

impl Activation {
    #[expect(clippy::cast_possible_truncation, reason = "rounded and within ±32767 by the choice of the scale")]
    fn round(values: &[f32; BLOCK]) -> Self {
        let largest = values.iter().fold(0.0f32, |largest, value| largest.max(value.abs()));
        let scale = largest / 32767.0;
        let inverse = if largest > 0.0 { 32767.0 / largest } else { 0.0 };
        let quants = values.map(|value| (value * inverse).round_ties_even() as i16);
        let total: i32 = quants.iter().map(|quant| i32::from(*quant)).sum();
        let (low, high) = quants.split_at(16);
        Self { low: i16x16::from(low), high: i16x16::from(high), scale, sum: total as f32 * scale }
    }
}

/// IEEE 754 half precision (little-endian) to single.
fn f16_to_f32(bytes: [u8; 2]) -> f32 {
    let half = u16::from_le_bytes(bytes);
    let (sign, exponent, fraction) = (half >> 15, half >> 10 & 31, half & 1023);
    let magnitude = match exponent {
        0 => f32::from(fraction) * 2f32.powi(-24),
        31 if fraction == 0 => f32::INFINITY,
        31 => f32::NAN,
        _ => f32::from(fraction | 1024) * 2f32.powi(i32::from(exponent) - 25),
    };
    if sign == 1 { -magnitude } else { magnitude }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

    use super::{Activations, Matrix, f16_to_f32};
    use crate::gguf::{Format, Tensor};
    use crate::team::Team;

    #[test]
    fn half_precision() {
        for (bits, value) in
            [(0x3C00u16, 1.0), (0xC000, -2.0), (0x3555, 0.333_251_95), (0x0001, 5.960_464_5e-8), (0x7BFF, 65504.0), (0x8000, 0.0)]
        {
            assert_eq!(f16_to_f32(bits.to_le_bytes()), value, "{bits:#06x}");
        }
        assert!(f16_to_f32(0x7E00u16.to_le_bytes()).is_nan());
        assert_eq!(f16_to_f32(0xFC00u16.to_le_bytes()), f32::NEG_INFINITY);
    }

    /// A repeatable stream of bytes.
    fn noise(seed: u32) -> impl Iterator<Item = u8> {
        let mut state = seed;
        std::iter::repeat_with(move || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        })
    }

    fn weights(format: Format, rows: usize, cols: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut noise = noise(7);
        for _ in 0..rows * cols / 32 {
            match format {
                Format::Q4_1 => {
                    bytes.extend([0x00, 0x2C, 0x33, 0xB4]); // 0.0625, -0.26
                    bytes.extend(noise.by_ref().take(16));
                }
                _ => {
                    bytes.extend([0x00, 0x20]); // 0.0078125
                    bytes.extend(noise.by_ref().take(32));
                }
            }
        }
        bytes
    }

    #[test]
    fn products_agree_with_plain_floats() {
        let (rows, cols) = (37, 96);
        for format in [Format::Q4_1, Format::Q8_0] {
            let bytes = weights(format, rows, cols);
            let matrix = Matrix::stack(&[Tensor { format, rows, cols, bytes: &bytes }]).unwrap();
            for count in [1, 4, 7] {
                let input: Vec<f32> = noise(count as u32).take(cols * count).map(|byte| f32::from(byte) / 64.0 - 2.0).collect();
                for threads in [1, 3] {
                    let output = matrix.multiply(&Activations::new(&input, cols), &Team::new(threads).unwrap());
                    assert_eq!(output.len(), rows * count);
                    let mut weight = vec![0.0; cols];
                    for row in 0..rows {
                        matrix.row(row, &mut weight);
                        for index in 0..count {
                            let exact: f64 =
                                weight.iter().zip(&input[index * cols..]).map(|(weight, input)| f64::from(weight * input)).sum();
                            let computed = f64::from(output[index * rows + row]);
                            assert!((exact - computed).abs() < 2e-3, "{format:?} {row} {index}: {exact} {computed}");
                        }
                    }
                }
            }
        }
    }
}
