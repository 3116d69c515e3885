//! Attention within each prompt: rotary positions, groups of heads that share keys, windows, soft caps.

use ndarray::{Array2, ArrayView2, ArrayViewMut2, s};

use super::hyper::Hyper;

/// Mixes the values of every token's past. Rows are tokens, prompt after prompt.
pub(super) fn mix(
    hyper: &Hyper,
    layer: usize,
    lengths: impl Iterator<Item = usize>,
    mut query: Array2<f32>,
    mut key: Array2<f32>,
    value: &Array2<f32>,
) -> Array2<f32> {
    let mut out = Array2::zeros(query.raw_dim());
    let group = hyper.heads / hyper.key_value_heads.max(1);
    let mut first = 0;
    for length in lengths {
        let tokens = first..first + length;
        for head in 0..hyper.heads {
            let columns = |head: usize| head * hyper.head_dim..(head + 1) * hyper.head_dim;
            rotate(hyper, layer, query.slice_mut(s![tokens.clone(), columns(head)]));
            let shared = head / group.max(1);
            if head % group.max(1) == 0 {
                rotate(hyper, layer, key.slice_mut(s![tokens.clone(), columns(shared)]));
            }
            let query = query.slice(s![tokens.clone(), columns(head)]);
            let weights = scores(hyper, layer, query, key.slice(s![tokens.clone(), columns(shared)]));
            let mixed = weights.dot(&value.slice(s![tokens.clone(), columns(shared)]));
            out.slice_mut(s![tokens.clone(), columns(head)]).assign(&mixed);
        }
        first = tokens.end;
    }
    out
}

/// Turns the two halves of every row by its position.
fn rotate(hyper: &Hyper, layer: usize, mut rows: ArrayViewMut2<'_, f32>) {
    let (theta, stretch) = match hyper.window_of(layer) {
        Some(_) => (hyper.local_theta, 1.0),
        None => (hyper.theta, hyper.stretch),
    };
    let half = rows.ncols() / 2;
    for (position, mut row) in rows.rows_mut().into_iter().enumerate() {
        for i in 0..half {
            let frequency = theta.powf(-(i as f32) / half as f32);
            let (sin, cos) = (position as f32 / stretch * frequency).sin_cos();
            let (x, y) = (row[i], row[i + half]);
            row[i] = x * cos - y * sin;
            row[i + half] = y * cos + x * sin;
        }
    }
}

/// How much each token looks at each before it: rows that sum to 1.
fn scores(hyper: &Hyper, layer: usize, query: ArrayView2<'_, f32>, key: ArrayView2<'_, f32>) -> Array2<f32> {
    let mut scores = query.dot(&key.t()) * hyper.scale;
    if let Some(cap) = hyper.attention_cap {
        scores.mapv_inplace(|x| cap * (x / cap).tanh());
    }
    let window = hyper.window_of(layer).unwrap_or(usize::MAX);
    for (at, mut row) in scores.rows_mut().into_iter().enumerate() {
        for (past, score) in row.iter_mut().enumerate() {
            if past > at || at - past >= window {
                *score = f32::NEG_INFINITY;
            }
        }
        let most = row.fold(f32::NEG_INFINITY, |most, x| most.max(*x));
        row.mapv_inplace(|x| (x - most).exp());
        let sum = row.sum();
        row /= sum;
    }
    scores
}
