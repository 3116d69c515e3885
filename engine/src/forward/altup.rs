//! AltUp, the streams of hidden states of Gemma 3n: the active one goes through a layer; the others are predicted, and
//! corrected by the layer's output. Beside attention there is a low-rank path (Laurel).

use std::f32::consts::FRAC_1_SQRT_2;

use ndarray::{Array2, Axis};

use super::decoder_layer::DecoderLayer;
use super::hparams::AltupHparams;
use super::kv_cache::KvCache;
use super::mlp::feed_forward;
use super::ops::ForwardPass;
use super::per_layer_embedding::PerLayerInputs;
use super::self_attention::self_attention;
use super::weights::{require_shape, shape_mismatch};
use crate::error::{Error, Result};

/// The projections of all streams but the first, before and after the layers.
const PROJECTIONS: &str = "altup_proj.weight";
const UNEMBED_PROJECTIONS: &str = "altup_unembd_proj.weight";

/// The mean of all streams after the last layer.
pub(super) fn decoder_layers(
    pass: &ForwardPass<'_>,
    altup: AltupHparams,
    x: Array2<f32>,
    inputs: Option<&PerLayerInputs>,
    cache: &mut KvCache,
) -> Result<Array2<f32>> {
    let missing = || Error::invalid(pass.weights.location(), "has no per-layer embeddings");
    let inputs = inputs.ok_or_else(missing)?;
    let AltupHparams { num_inputs, active_idx } = altup;
    let found = require_shape(pass.weights, PROJECTIONS)?;
    if active_idx >= num_inputs || found.0 != (num_inputs - 1) * x.ncols() {
        let expected = (num_inputs.saturating_sub(1) * x.ncols(), x.ncols());
        return Err(shape_mismatch(pass.weights, PROJECTIONS, found, expected));
    }
    let mut streams = AltupStreams { active_idx, hidden_states: vec![x] };
    for stream in 1..num_inputs {
        let first = &streams.hidden_states[0];
        let projected = project(pass, PROJECTIONS, stream, first)?;
        streams.hidden_states.push(with_magnitude_of(first, projected));
    }
    for number in 0..pass.hparams.layers.len() {
        streams.decoder_layer(&DecoderLayer { pass, number }, inputs, cache)?;
    }
    let first = &streams.hidden_states[0];
    let mut sum = first.clone();
    for (stream, x) in streams.hidden_states.iter().enumerate().skip(1) {
        sum += &with_magnitude_of(first, project(pass, UNEMBED_PROJECTIONS, stream, x)?);
    }
    Ok(sum / num_inputs as f32)
}

/// The product with a stream's projection.
fn project(pass: &ForwardPass<'_>, name: &str, stream: usize, x: &Array2<f32>) -> Result<Array2<f32>> {
    pass.product(name, (stream - 1) * x.ncols()..stream * x.ncols(), x)
}

/// Scales every row of `x` to the root mean square of the same row of `target`.
fn with_magnitude_of(target: &Array2<f32>, x: Array2<f32>) -> Array2<f32> {
    let mean_square = |x: &Array2<f32>| x.map_axis(Axis(1), |row| row.dot(&row) / row.len() as f32);
    let magnitude = mean_square(&x).mapv_into(|square| square.max(1e-5).sqrt());
    let factors = mean_square(target).mapv_into(f32::sqrt) / magnitude;
    x * factors.insert_axis(Axis(1))
}

struct AltupStreams {
    /// The stream that goes through the layers.
    active_idx: usize,
    hidden_states: Vec<Array2<f32>>,
}

impl AltupStreams {
    fn decoder_layer(
        &mut self,
        layer: &DecoderLayer<'_>,
        inputs: &PerLayerInputs,
        cache: &mut KvCache,
    ) -> Result<()> {
        self.predict(layer)?;
        let active = &self.hidden_states[self.active_idx];
        let normed = layer.norm("attn_norm", active)?;
        let laurel = laurel(layer, &normed)?;
        let mut x = (self_attention(layer, &normed, cache)? + laurel + active) * FRAC_1_SQRT_2;
        x += &feed_forward(layer, &x)?;
        self.correct(layer, x)?;
        let active = &self.hidden_states[self.active_idx];
        let scaled = match layer.vector("altup_correct_scale", active.ncols())? {
            Some(scale) => active * &scale,
            None => active.clone(),
        };
        let per_layer = inputs.gated_projection(layer, &scaled)?;
        self.hidden_states.iter_mut().skip(1).for_each(|x| *x += &per_layer);
        Ok(())
    }

    /// Adds to every stream a linear combination of all of them, whose coefficients depend on the token.
    fn predict(&mut self, layer: &DecoderLayer<'_>) -> Result<()> {
        let (before, count) = (self.hidden_states.clone(), self.hidden_states.len());
        let coefficients =
            coefficients(layer, "altup_predict_coef", &before[self.active_idx], count * count)?;
        for (number, coefficient) in coefficients.columns().into_iter().enumerate() {
            self.hidden_states[number / count] +=
                &(&before[number % count] * &coefficient.insert_axis(Axis(1)));
        }
        Ok(())
    }

    /// Adds to every stream a multiple of the difference between the layer's output `x` and the prediction of the
    /// active stream.
    fn correct(&mut self, layer: &DecoderLayer<'_>, x: Array2<f32>) -> Result<()> {
        let coefficients = coefficients(layer, "altup_correct_coef", &x, self.hidden_states.len())? + 1.0;
        let innovation = x - &self.hidden_states[self.active_idx];
        for (x, coefficient) in self.hidden_states.iter_mut().zip(coefficients.columns()) {
            *x += &(&innovation * &coefficient.insert_axis(Axis(1)));
        }
        Ok(())
    }
}

/// The low-rank residual beside attention.
fn laurel(layer: &DecoderLayer<'_>, normed: &Array2<f32>) -> Result<Array2<f32>> {
    let low_rank = layer.linear("laurel_l", layer.out_features("laurel_l")?, normed)?;
    let low_rank = layer.linear("laurel_r", normed.ncols(), &low_rank)?;
    Ok(layer.norm("laurel_post_norm", &low_rank)? + normed)
}

/// `count` coefficients for each token, computed by the layer's modality router.
fn coefficients(layer: &DecoderLayer<'_>, part: &str, x: &Array2<f32>, count: usize) -> Result<Array2<f32>> {
    let normed = layer.norm("altup_router_norm", x)? / x.ncols() as f32;
    let routed = layer.linear("altup_router", layer.out_features("altup_router")?, &normed)?;
    layer.linear(part, count, &routed.mapv_into(f32::tanh))
}
