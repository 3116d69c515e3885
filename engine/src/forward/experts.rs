//! Experts: a router gives each token to a few of a layer's feed-forward networks.

use ndarray::{Array2, ArrayViewMut1, Axis};

use super::attention::softmax;
use super::decoder_layer::DecoderLayer;
use super::ops::{gelu, rms_norm};
use super::weights::{require_shape, shape_mismatch};
use crate::error::Result;

/// The weighted sum of the experts' outputs for `normed`; the router takes `x`. Experts without tokens are not read.
pub(super) fn experts(
    layer: &DecoderLayer<'_>,
    x: &Array2<f32>,
    normed: &Array2<f32>,
) -> Result<Array2<f32>> {
    let weights = route(layer, x)?;
    let intermediate_size = rows_per_part(layer, "ffn_gate_up_exps", 2 * weights.ncols())?;
    let hidden_size = rows_per_part(layer, "ffn_down_exps", weights.ncols())?;
    if hidden_size != x.ncols() {
        let (found, expected) = ((hidden_size, intermediate_size), (x.ncols(), intermediate_size));
        let name = layer.tensor_name("ffn_down_exps");
        return Err(shape_mismatch(layer.pass.weights, &name, found, expected));
    }
    let product = |part: &str, expert: usize, rows: usize, x: &Array2<f32>| {
        layer.pass.product(&layer.tensor_name(part), expert * rows..(expert + 1) * rows, x)
    };
    let mut out = Array2::zeros(x.raw_dim());
    for (expert, weights) in weights.columns().into_iter().enumerate() {
        let tokens: Vec<usize> = (0..x.nrows()).filter(|token| weights[*token] != 0.0).collect();
        if tokens.is_empty() {
            continue;
        }
        let x = normed.select(Axis(0), &tokens);
        let gate_up = product("ffn_gate_up_exps", expert, 2 * intermediate_size, &x)?;
        let (gate, up) = gate_up.view().split_at(Axis(1), intermediate_size);
        let down = product("ffn_down_exps", expert, hidden_size, &(gate.mapv(gelu) * up))?;
        for (row, token) in down.rows().into_iter().zip(tokens) {
            out.row_mut(token).scaled_add(weights[token], &row);
        }
    }
    Ok(out)
}

/// Each token's weight for each expert (tokens × experts), most of them 0.
fn route(layer: &DecoderLayer<'_>, x: &Array2<f32>) -> Result<Array2<f32>> {
    let mut x = x.clone();
    let scale = layer.vector("ffn_gate_inp.scale", x.ncols())?;
    rms_norm(x.view_mut(), scale.as_ref(), layer.pass.hparams.rms_norm_eps);
    x /= (x.ncols() as f32).sqrt();
    let mut weights = layer.linear("ffn_gate_inp", layer.out_features("ffn_gate_inp")?, &x)?;
    for row in weights.rows_mut() {
        softmax_topk(row, layer.pass.hparams.top_k_experts);
    }
    match layer.vector("ffn_down_exps.scale", weights.ncols())? {
        Some(scales) => Ok(weights * scales),
        None => Ok(weights),
    }
}

/// Softmax; then all but the `top_k` largest become 0, and those sum to 1 again.
fn softmax_topk(mut row: ArrayViewMut1<'_, f32>, top_k: usize) {
    softmax(row.view_mut());
    let mut order: Vec<usize> = (0..row.len()).collect();
    order.sort_by(|a, b| row[*b].total_cmp(&row[*a]));
    order.iter().skip(top_k).for_each(|expert| row[*expert] = 0.0);
    let sum = row.sum();
    row /= sum;
}

/// The rows of each of the `parts` matrices that are stacked in a tensor.
fn rows_per_part(layer: &DecoderLayer<'_>, part: &str, parts: usize) -> Result<usize> {
    let name = layer.tensor_name(part);
    let (rows, columns) = require_shape(layer.pass.weights, &name)?;
    if parts == 0 || !rows.is_multiple_of(parts) {
        let expected = (rows.next_multiple_of(parts.max(1)), columns);
        return Err(shape_mismatch(layer.pass.weights, &name, (rows, columns), expected));
    }
    Ok(rows / parts)
}
