//! Attention within each prompt: rotary positions, groups of heads that share keys, windows, soft caps.

use ndarray::{Array1, Array2, ArrayView2, ArrayViewMut1, s};

use super::hparams::{HyperParameters, LayerHparams};

/// Turns the two halves of every head by its token's position. Rows are tokens, prompt after prompt; frequencies are
/// divided by their brakes, where there are any.
pub(super) fn rotate(
    layer: &LayerHparams,
    brakes: Option<&Array1<f32>>,
    lengths: impl Iterator<Item = usize>,
    x: &mut Array2<f32>,
) {
    let half = layer.head_dim / 2;
    let frequency = |i: usize| {
        let frequency = layer.theta.powf(-(i as f32) / half as f32);
        brakes.map_or(frequency, |brakes| frequency / brakes[i])
    };
    let frequencies: Vec<f32> = (0..half).map(frequency).collect();
    for (position, mut row) in lengths.flat_map(|length| 0..length).zip(x.rows_mut()) {
        for mut head in row.exact_chunks_mut(layer.head_dim) {
            for (i, frequency) in frequencies.iter().enumerate() {
                let (sin, cos) = (position as f32 / layer.stretch * frequency).sin_cos();
                let (x, y) = (head[i], head[i + half]);
                head[i] = x * cos - y * sin;
                head[i + half] = y * cos + x * sin;
            }
        }
    }
}

/// Mixes the values of what every token sees.
pub(super) fn mix(
    hyper: &HyperParameters,
    layer: &LayerHparams,
    lengths: impl Iterator<Item = usize>,
    query: &Array2<f32>,
    key: &Array2<f32>,
    value: &Array2<f32>,
) -> Array2<f32> {
    let mut out = Array2::zeros(query.raw_dim());
    let group = hyper.heads / layer.key_value_heads;
    let mut first = 0;
    for length in lengths {
        let tokens = first..first + length;
        for head in 0..hyper.heads {
            let columns = |head: usize| head * layer.head_dim..(head + 1) * layer.head_dim;
            let (own, shared) =
                (s![tokens.clone(), columns(head)], s![tokens.clone(), columns(head / group)]);
            let weights = scores(hyper, layer, query.slice(own), key.slice(shared));
            out.slice_mut(own).assign(&weights.dot(&value.slice(shared)));
        }
        first = tokens.end;
    }
    out
}

/// How much each token looks at each: rows that sum to 1.
fn scores(
    hyper: &HyperParameters,
    layer: &LayerHparams,
    query: ArrayView2<'_, f32>,
    key: ArrayView2<'_, f32>,
) -> Array2<f32> {
    let mut scores = query.dot(&key.t()) * hyper.scale;
    if let Some(cap) = hyper.attention_cap {
        scores.mapv_inplace(|x| cap * (x / cap).tanh());
    }
    let window = layer.window.unwrap_or(usize::MAX);
    let sees = |at: usize, other: usize| {
        if hyper.causal { other <= at && at - other < window } else { at.abs_diff(other) <= window / 2 }
    };
    for (at, mut row) in scores.rows_mut().into_iter().enumerate() {
        for (other, score) in row.iter_mut().enumerate() {
            if !sees(at, other) {
                *score = f32::NEG_INFINITY;
            }
        }
        softmax(row);
    }
    scores
}

/// Makes a row sum to 1.
pub(super) fn softmax(mut row: ArrayViewMut1<'_, f32>) {
    let most = row.fold(f32::NEG_INFINITY, |most, x| most.max(*x));
    row.mapv_inplace(|x| (x - most).exp());
    let sum = row.sum();
    row /= sum;
}
