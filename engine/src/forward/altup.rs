//! The streams of Gemma 3n: one goes through a layer, the others are predicted and then corrected by what it became
//! (AltUp). Beside attention lies a low-rank path (Laurel).

use std::f32::consts::FRAC_1_SQRT_2;

use ndarray::{Array2, Axis};

use super::decoder_layer::DecoderLayer;
use super::linear::ForwardPass;
use super::mlp::feed;
use super::per_layer_embedding::PerLayerInputs;
use super::self_attention::{KvCache, attend};
use super::weights::{need, unfit};
use crate::error::{Error, Result};

/// The projections that other streams than the first begin and end with.
const SPLIT: &str = "altup_proj.weight";
const JOIN: &str = "altup_unembd_proj.weight";

/// What all layers make of the embedded tokens.
pub(super) fn layers(
    pass: &ForwardPass<'_>,
    (count, active): (usize, usize),
    x: Array2<f32>,
    inputs: Option<&PerLayerInputs>,
) -> Result<Array2<f32>> {
    let broken = || Error::invalid(pass.weights.location(), "has no embeddings for its layers");
    let inputs = inputs.ok_or_else(broken)?;
    let (rows, columns) = need(pass.weights, SPLIT)?;
    if active >= count || rows != (count - 1) * x.ncols() {
        let wanted = (count.saturating_sub(1) * x.ncols(), x.ncols());
        return Err(unfit(pass.weights, SPLIT, (rows, columns), wanted));
    }
    let mut streams = AltupStreams { active, states: vec![x] };
    for other in 1..count {
        let first = &streams.states[0];
        streams.states.push(as_large(pass, SPLIT, other, first, first)?);
    }
    let mut kept = KvCache::default();
    for number in 0..pass.hyper.layers.len() {
        streams.go_through(&DecoderLayer { pass, number }, inputs, &mut kept)?;
    }
    let first = &streams.states[0];
    let mut sum = first.clone();
    for (other, state) in streams.states.iter().enumerate().skip(1) {
        sum += &as_large(pass, JOIN, other, state, first)?;
    }
    Ok(sum / count as f32)
}

/// A stream's own projection, made as large as `like`.
fn as_large(
    pass: &ForwardPass<'_>,
    name: &str,
    stream: usize,
    x: &Array2<f32>,
    like: &Array2<f32>,
) -> Result<Array2<f32>> {
    let size = |x: &Array2<f32>| x.map_axis(Axis(1), |row| row.dot(&row) / row.len() as f32);
    let rows = (stream - 1) * x.ncols()..stream * x.ncols();
    let out = pass.product(name, rows, x)?;
    let factors = size(like).mapv_into(f32::sqrt) / size(&out).mapv_into(|size| size.max(1e-5).sqrt());
    Ok(out * factors.insert_axis(Axis(1)))
}

struct AltupStreams {
    /// The one that goes through the layers.
    active: usize,
    states: Vec<Array2<f32>>,
}

impl AltupStreams {
    fn go_through(
        &mut self,
        block: &DecoderLayer<'_>,
        inputs: &PerLayerInputs,
        kept: &mut KvCache,
    ) -> Result<()> {
        self.predict(block)?;
        let active = &self.states[self.active];
        let normed = block.norm("attn_norm", active)?;
        let low = block.linear("laurel_l", block.width("laurel_l")?, &normed)?;
        let low = block.linear("laurel_r", normed.ncols(), &low)?;
        let laurel = block.norm("laurel_post_norm", &low)? + &normed;
        let mut x = (attend(block, &normed, kept)? + laurel + active) * FRAC_1_SQRT_2;
        x += &feed(block, &x)?;
        self.correct(block, x)?;
        let active = &self.states[self.active];
        let scaled = match block.vector("altup_correct_scale", active.ncols())? {
            Some(scale) => active * &scale,
            None => active.clone(),
        };
        let mixed = inputs.mixed(block, &scaled)?;
        self.states.iter_mut().skip(1).for_each(|state| *state += &mixed);
        Ok(())
    }

    /// Adds to every stream what its token's coefficients take from all of them.
    fn predict(&mut self, block: &DecoderLayer<'_>) -> Result<()> {
        let (before, count) = (self.states.clone(), self.states.len());
        let coefficients = coefficients(block, "altup_predict_coef", &before[self.active], count * count)?;
        for (number, share) in coefficients.columns().into_iter().enumerate() {
            self.states[number / count] += &(&before[number % count] * &share.insert_axis(Axis(1)));
        }
        Ok(())
    }

    /// Adds to every stream its share of the difference between what the active one was predicted to be and what it is.
    fn correct(&mut self, block: &DecoderLayer<'_>, x: Array2<f32>) -> Result<()> {
        let coefficients = coefficients(block, "altup_correct_coef", &x, self.states.len())? + 1.0;
        let difference = x - &self.states[self.active];
        for (state, share) in self.states.iter_mut().zip(coefficients.columns()) {
            *state += &(&difference * &share.insert_axis(Axis(1)));
        }
        Ok(())
    }
}

/// So many coefficients for each token, as a router finds for it.
fn coefficients(block: &DecoderLayer<'_>, part: &str, x: &Array2<f32>, count: usize) -> Result<Array2<f32>> {
    let normed = block.norm("altup_router_norm", x)? / x.ncols() as f32;
    let routed = block.linear("altup_router", block.width("altup_router")?, &normed)?;
    block.linear(part, count, &routed.mapv_into(f32::tanh))
}
