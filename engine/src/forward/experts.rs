//! Experts: each token goes through the few networks that a router gives it to.

use ndarray::{Array2, ArrayViewMut1, Axis};

use super::attention::softmax;
use super::decoder_layer::DecoderLayer;
use super::linear::{gelu, rms};
use super::weights::{need, unfit};
use crate::error::Result;

/// What the experts make of `normed`, each token with those that the router finds for `x`. Experts that no token goes
/// to are not read.
pub(super) fn mix(block: &DecoderLayer<'_>, x: &Array2<f32>, normed: &Array2<f32>) -> Result<Array2<f32>> {
    let shares = route(block, x)?;
    let width = part_of(block, "ffn_gate_up_exps", 2 * shares.ncols())?;
    let columns = part_of(block, "ffn_down_exps", shares.ncols())?;
    if columns != x.ncols() {
        return Err(unfit(
            block.pass.weights,
            &block.name("ffn_down_exps"),
            (columns, width),
            (x.ncols(), width),
        ));
    }
    let product = |part: &str, expert: usize, rows: usize, x: &Array2<f32>| {
        block.pass.product(&block.name(part), expert * rows..(expert + 1) * rows, x)
    };
    let mut out = Array2::zeros(x.raw_dim());
    for (expert, shares) in shares.columns().into_iter().enumerate() {
        let tokens: Vec<usize> = (0..x.nrows()).filter(|token| shares[*token] != 0.0).collect();
        if tokens.is_empty() {
            continue;
        }
        let both = product("ffn_gate_up_exps", expert, 2 * width, &normed.select(Axis(0), &tokens))?;
        let (gate, up) = both.view().split_at(Axis(1), width);
        let fed = product("ffn_down_exps", expert, columns, &(gate.mapv(gelu) * up))?;
        for (row, token) in fed.rows().into_iter().zip(tokens) {
            out.row_mut(token).scaled_add(shares[token], &row);
        }
    }
    Ok(out)
}

/// A column for each expert: the share of it that each token gets, most of them none.
fn route(block: &DecoderLayer<'_>, x: &Array2<f32>) -> Result<Array2<f32>> {
    let mut x = x.clone();
    let factors = block.vector("ffn_gate_inp.scale", x.ncols())?;
    rms(x.view_mut(), factors.as_ref(), block.pass.hyper.epsilon);
    x /= (x.ncols() as f32).sqrt();
    let mut shares = block.linear("ffn_gate_inp", block.width("ffn_gate_inp")?, &x)?;
    for row in shares.rows_mut() {
        keep_largest(row, block.pass.hyper.experts);
    }
    match block.vector("ffn_down_exps.scale", shares.ncols())? {
        Some(scales) => Ok(shares * scales),
        None => Ok(shares),
    }
}

/// Makes the largest few of a row sum to 1 and the others 0.
fn keep_largest(mut row: ArrayViewMut1<'_, f32>, few: usize) {
    softmax(row.view_mut());
    let mut order: Vec<usize> = (0..row.len()).collect();
    order.sort_by(|a, b| row[*b].total_cmp(&row[*a]));
    order.iter().skip(few).for_each(|expert| row[*expert] = 0.0);
    let sum = row.sum();
    row /= sum;
}

/// The rows of each of so many parts of a stack.
fn part_of(block: &DecoderLayer<'_>, part: &str, parts: usize) -> Result<usize> {
    let name = block.name(part);
    let (rows, columns) = need(block.pass.weights, &name)?;
    if parts == 0 || !rows.is_multiple_of(parts) {
        let wanted = (rows.next_multiple_of(parts.max(1)), columns);
        return Err(unfit(block.pass.weights, &name, (rows, columns), wanted));
    }
    Ok(rows / parts)
}
