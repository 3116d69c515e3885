//! Attention within each sequence: RoPE, grouped queries, sliding windows, soft caps.

use ndarray::{Array1, Array2, ArrayView2, ArrayViewMut1, s};

use super::hparams::{LayerHparams, ModelHparams};
use super::ops::TokenSpan;

/// Rotates the two halves of every head by its token's position. Rows are tokens, sequence after sequence; frequencies are
/// divided by `rope_freq_factors`, if there are any.
pub(super) fn apply_rope(
    layer: &LayerHparams,
    rope_freq_factors: Option<&Array1<f32>>,
    spans: &[TokenSpan],
    x: &mut Array2<f32>,
) {
    let half = layer.head_dim / 2;
    let frequency = |i: usize| {
        let frequency = layer.rope_theta.powf(-(i as f32) / half as f32);
        rope_freq_factors.map_or(frequency, |factors| frequency / factors[i])
    };
    let frequencies: Vec<f32> = (0..half).map(frequency).collect();
    let positions = spans.iter().flat_map(|span| span.past..span.past + span.new);
    for (position, mut row) in positions.zip(x.rows_mut()) {
        for mut head in row.exact_chunks_mut(layer.head_dim) {
            for (i, frequency) in frequencies.iter().enumerate() {
                let (sin, cos) = (position as f32 / layer.rope_scale * frequency).sin_cos();
                let (x, y) = (head[i], head[i + half]);
                head[i] = x * cos - y * sin;
                head[i + half] = y * cos + x * sin;
            }
        }
    }
}

/// The attention of a layer.
pub(super) struct GroupedAttention<'a> {
    pub(super) model: &'a ModelHparams,
    pub(super) layer: &'a LayerHparams,
    pub(super) query: &'a Array2<f32>,
    pub(super) key: &'a Array2<f32>,
    pub(super) value: &'a Array2<f32>,
}

impl GroupedAttention<'_> {
    /// softmax(q·kᵀ)·v of every head, within each sequence. Keys and values are those of all its tokens, queries those of
    /// the new ones.
    pub(super) fn output(&self, spans: &[TokenSpan]) -> Array2<f32> {
        let mut out = Array2::zeros(self.query.raw_dim());
        let group = self.model.attention_heads / self.layer.key_value_heads;
        let (mut first, mut first_key) = (0, 0);
        for span in spans {
            let (tokens, keys) = (first..first + span.new, first_key..first_key + span.past + span.new);
            for head in 0..self.model.attention_heads {
                let columns = |head: usize| head * self.layer.head_dim..(head + 1) * self.layer.head_dim;
                let query = s![tokens.clone(), columns(head)];
                let key_value = s![keys.clone(), columns(head / group)];
                let weights = self.weights(span.past, self.query.slice(query), self.key.slice(key_value));
                out.slice_mut(query).assign(&weights.dot(&self.value.slice(key_value)));
            }
            (first, first_key) = (tokens.end, keys.end);
        }
        out
    }

    /// One head's attention weights: a row for each token after the `past` ones, which sums to 1.
    fn weights(&self, past: usize, query: ArrayView2<'_, f32>, key: ArrayView2<'_, f32>) -> Array2<f32> {
        let mut weights = query.dot(&key.t()) * self.model.query_scale;
        if let Some(cap) = self.model.attn_logit_softcapping {
            weights.mapv_inplace(|x| cap * (x / cap).tanh());
        }
        for (at, mut row) in weights.rows_mut().into_iter().enumerate() {
            for (other, score) in row.iter_mut().enumerate() {
                if !self.attends(past + at, other) {
                    *score = f32::NEG_INFINITY;
                }
            }
            softmax(row);
        }
        weights
    }

    /// Whether the token at one position attends to the one at `other`.
    fn attends(&self, at: usize, other: usize) -> bool {
        let window = self.layer.sliding_window.unwrap_or(usize::MAX);
        match self.model.is_causal {
            true => other <= at && at - other < window,
            false => at.abs_diff(other) <= window / 2,
        }
    }
}

pub(super) fn softmax(mut row: ArrayViewMut1<'_, f32>) {
    let max = row.fold(f32::NEG_INFINITY, |max, x| max.max(*x));
    row.mapv_inplace(|x| (x - max).exp());
    let sum = row.sum();
    row /= sum;
}
