//! The model: a Llama transformer read from a GGUF file.
//!
//! Weights are shared and never change; everything that depends on a request lives in its [`Cache`], which the request owns and drops.
//! Nothing is kept between requests: no prefix cache, no reused buffers, no thread-locals.

use wide::f32x8;

use crate::attention::{HEAD, Head, Rotation, attend, heads};
use crate::gguf::{Format, Gguf, ModelError};
use crate::matrix::{Activations, Matrix};
use crate::team::Team;

/// Positions in one page of a cache.
const PAGE: usize = 128;

/// Weights and numbers of a model.
pub struct Model {
    layers: Vec<Layer>,
    /// Token embeddings; also the output matrix where the file has no other.
    embeddings: Matrix,
    output: Option<Matrix>,
    output_norm: Vec<f32>,
    width: usize,
    hidden: usize,
    query_heads: usize,
    key_heads: usize,
    context: usize,
    epsilon: f32,
    rotation_base: f32,
    team: Team,
}

struct Layer {
    attention_norm: Vec<f32>,
    /// Queries, keys and values in one matrix.
    attention_input: Matrix,
    attention_output: Matrix,
    mlp_norm: Vec<f32>,
    /// Gate and up in one matrix.
    mlp_input: Matrix,
    mlp_output: Matrix,
}

/// Keys and values of one request.
pub struct Cache {
    layers: Vec<LayerCache>,
    length: usize,
}

/// Pages of `PAGE` positions, so that growth moves nothing; a position is `key_heads` vectors.
#[derive(Default)]
pub(crate) struct LayerCache {
    pub(crate) keys: Vec<Vec<Head>>,
    pub(crate) values: Vec<Vec<Head>>,
}

impl LayerCache {
    fn push(pages: &mut Vec<Vec<Head>>, position: &[f32], key_heads: usize) {
        let full = PAGE * key_heads;
        match pages.last_mut() {
            Some(page) if page.len() < full => page.extend(heads(position)),
            _ => {
                let mut page = Vec::with_capacity(full);
                page.extend(heads(position));
                pages.push(page);
            }
        }
    }
}

impl Model {
    /// Reads the weights out of a GGUF file. One thread computes until [`Self::with_threads`].
    ///
    /// # Errors
    /// If the file is cut, is no Llama model, or stores numbers in a format that this engine does not compute.
    pub fn load(file: &[u8]) -> Result<Self, ModelError> {
        Self::from_gguf(&Gguf::parse(file)?)
    }

    /// Has `threads` compute one step together. They start here; loading starts none, so that it can go before the confinement.
    ///
    /// # Errors
    /// [`ModelError::Threads`].
    pub fn with_threads(self, threads: usize) -> Result<Self, ModelError> {
        Ok(Self { team: Team::new(threads)?, ..self })
    }

    pub(crate) fn from_gguf(gguf: &Gguf<'_>) -> Result<Self, ModelError> {
        if gguf.text("general.architecture")? != "llama" {
            return Err(ModelError::Unsupported);
        }
        let width = gguf.size("llama.embedding_length")?;
        let hidden = gguf.size("llama.feed_forward_length")?;
        let query_heads = gguf.size("llama.attention.head_count")?;
        let key_heads = gguf.size("llama.attention.head_count_kv")?;
        let vocabulary = gguf.texts("tokenizer.ggml.tokens")?.len();
        if query_heads.checked_mul(HEAD) != Some(width)
            || key_heads == 0
            || !query_heads.is_multiple_of(key_heads)
            || gguf.size("llama.rope.dimension_count")? != HEAD
            || vocabulary == 0
        {
            return Err(ModelError::Unsupported);
        }
        let norm = |name: &str| -> Result<Vec<f32>, ModelError> {
            let tensor = gguf.tensor(name, 1, width)?;
            match tensor.format {
                Format::F32 => Ok(tensor.bytes.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()),
                Format::Q4_1 | Format::Q8_0 => Err(ModelError::Unsupported),
            }
        };
        let layer = |index: usize| -> Result<Layer, ModelError> {
            let name = |part: &str| format!("blk.{index}.{part}.weight");
            let tensor = |part: &str, rows, cols| gguf.tensor(&name(part), rows, cols);
            Ok(Layer {
                attention_norm: norm(&name("attn_norm"))?,
                attention_input: Matrix::stack(&[
                    tensor("attn_q", width, width)?,
                    tensor("attn_k", key_heads * HEAD, width)?,
                    tensor("attn_v", key_heads * HEAD, width)?,
                ])?,
                attention_output: Matrix::stack(&[tensor("attn_output", width, width)?])?,
                mlp_norm: norm(&name("ffn_norm"))?,
                mlp_input: Matrix::stack(&[tensor("ffn_gate", hidden, width)?, tensor("ffn_up", hidden, width)?])?,
                mlp_output: Matrix::stack(&[tensor("ffn_down", width, hidden)?])?,
            })
        };
        let output = if gguf.has_tensor("output.weight") {
            Some(Matrix::stack(&[gguf.tensor("output.weight", vocabulary, width)?])?)
        } else {
            None
        };
        Ok(Self {
            layers: (0..gguf.size("llama.block_count")?).map(layer).collect::<Result<_, _>>()?,
            embeddings: Matrix::stack(&[gguf.tensor("token_embd.weight", vocabulary, width)?])?,
            output,
            output_norm: norm("output_norm.weight")?,
            width,
            hidden,
            query_heads,
            key_heads,
            context: gguf.size("llama.context_length")?,
            epsilon: gguf.float("llama.attention.layer_norm_rms_epsilon")?,
            rotation_base: gguf.float("llama.rope.freq_base")?,
            team: Team::new(1)?,
        })
    }

    /// Most tokens, of prompt and answer together, that the model was trained for.
    #[must_use]
    pub const fn context(&self) -> usize {
        self.context
    }

    /// Number of tokens that the model knows.
    #[must_use]
    pub const fn vocabulary(&self) -> usize {
        self.embeddings.rows()
    }

    /// An empty cache for a new request.
    #[must_use]
    pub fn cache(&self) -> Cache {
        Cache { layers: self.layers.iter().map(|_| LayerCache::default()).collect(), length: 0 }
    }

    /// Takes `tokens` in one pass, adds them to `cache`, and returns the state after the last of them, for [`Self::logits`].
    /// Tokens that the model does not know count as token 0.
    #[must_use]
    pub fn extend(&self, cache: &mut Cache, tokens: &[u32]) -> Vec<f32> {
        self.team.run(|| self.pass(cache, tokens))
    }

    /// How likely each token comes next, as unnormalised logarithms.
    #[must_use]
    pub fn logits(&self, state: &[f32]) -> Vec<f32> {
        let state = Activations::new(&self.normed(state, &self.output_norm), self.width);
        self.output.as_ref().unwrap_or(&self.embeddings).multiply(&state, &self.team)
    }

    fn pass(&self, cache: &mut Cache, tokens: &[u32]) -> Vec<f32> {
        let mut states = vec![0.0; tokens.len() * self.width];
        for (token, state) in tokens.iter().zip(states.chunks_exact_mut(self.width)) {
            let token = usize::try_from(*token).ok().filter(|token| *token < self.vocabulary()).unwrap_or(0);
            self.embeddings.row(token, state);
        }
        let rotation = Rotation::new(cache.length, tokens.len(), self.rotation_base);
        for (layer, cache) in self.layers.iter().zip(&mut cache.layers) {
            self.attention(layer, cache, &rotation, &mut states);
            self.mlp(layer, &mut states);
        }
        cache.length += tokens.len();
        states.split_off(states.len().saturating_sub(self.width))
    }

    fn attention(&self, layer: &Layer, cache: &mut LayerCache, rotation: &Rotation, states: &mut [f32]) {
        let (queries, keys) = (self.query_heads * HEAD, self.key_heads * HEAD);
        let input = Activations::new(&self.normed(states, &layer.attention_norm), self.width);
        let mut projected = layer.attention_input.multiply(&input, &self.team);
        for (index, row) in projected.chunks_exact_mut(queries + 2 * keys).enumerate() {
            rotation.apply(index, &mut row[..queries + keys]);
            LayerCache::push(&mut cache.keys, &row[queries..queries + keys], self.key_heads);
            LayerCache::push(&mut cache.values, &row[queries + keys..], self.key_heads);
        }
        // One unit of work: the queries of one token that share a key head.
        let unit = queries / self.key_heads;
        let mut mixed = vec![0.0; states.len()];
        self.team.split(&mut mixed, unit, |first, piece| {
            for (index, out) in piece.chunks_exact_mut(unit).enumerate() {
                let (token, key_head) = ((first + index) / self.key_heads, (first + index) % self.key_heads);
                let start = token * (queries + 2 * keys) + key_head * unit;
                attend(&projected[start..start + unit], cache, (key_head, self.key_heads), rotation.first() + token + 1, out);
            }
        });
        add(states, &layer.attention_output.multiply(&Activations::new(&mixed, self.width), &self.team));
    }

    fn mlp(&self, layer: &Layer, states: &mut [f32]) {
        let input = Activations::new(&self.normed(states, &layer.mlp_norm), self.width);
        let mut both = layer.mlp_input.multiply(&input, &self.team);
        let mut gated = Vec::with_capacity(both.len() / 2);
        for row in both.chunks_exact_mut(2 * self.hidden) {
            let (gate, up) = row.split_at(self.hidden);
            for (gate, up) in gate.as_chunks().0.iter().zip(up.as_chunks().0) {
                let gate = f32x8::from(*gate);
                let silu = gate / (f32x8::ONE + (-gate).exp());
                gated.extend((silu * f32x8::from(*up)).to_array());
            }
        }
        add(states, &layer.mlp_output.multiply(&Activations::new(&gated, self.hidden), &self.team));
    }

    /// Root-mean-square normalisation of each row, times `weight`.
    fn normed(&self, states: &[f32], weight: &[f32]) -> Vec<f32> {
        let mut out = Vec::with_capacity(states.len());
        for state in states.chunks_exact(self.width) {
            let squares: f32x8 = state.as_chunks().0.iter().fold(f32x8::ZERO, |sum, part| {
                let part = f32x8::from(*part);
                part.mul_add(part, sum)
            });
            let factor = (squares.reduce_add() / self.width as f32 + self.epsilon).sqrt().recip();
            out.extend(state.iter().zip(weight).map(|(value, weight)| value * factor * weight));
        }
        out
    }
}

impl Cache {
    /// Tokens taken so far.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.length
    }

    /// Whether no token was taken yet.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.length == 0
    }
}

fn add(states: &mut [f32], more: &[f32]) {
    for (state, more) in states.iter_mut().zip(more) {
        *state += more;
    }
}
