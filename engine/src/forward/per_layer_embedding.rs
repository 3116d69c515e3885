//! Per-layer embeddings: each layer adds a gated projection of its own embedding of each token.

use std::f32::consts::FRAC_1_SQRT_2;

use ndarray::{Array2, s};

use super::decoder_layer::DecoderLayer;
use super::ops::{ForwardPass, gelu};
use super::weights::{require_shape, shape_mismatch};
use crate::error::Result;

/// Each token's embeddings for all layers, layer after layer in a row.
pub(super) struct PerLayerInputs(Array2<f32>);

const PER_LAYER_EMBEDDING: &str = "per_layer_token_embd.weight";

impl PerLayerInputs {
    /// The mean of the token's per-layer embedding and of a projection of its embedding; `None` if the model has no
    /// per-layer embeddings.
    pub(super) fn new(pass: &ForwardPass<'_>, embedded: &Array2<f32>) -> Result<Option<Self>> {
        let Some((rows, columns)) = pass.weights.shape(PER_LAYER_EMBEDDING) else { return Ok(None) };
        let layers = pass.hparams.layers.len();
        let size = columns / layers.max(1);
        if size == 0 || size * layers != columns {
            let expected = (rows, layers * size.max(1));
            return Err(shape_mismatch(pass.weights, PER_LAYER_EMBEDDING, (rows, columns), expected));
        }
        // image and audio tokens have no row, and transformers uses that of token 0
        let ids = pass.ids().map(|id| if id < rows { id } else { 0 });
        let own = pass.embed(PER_LAYER_EMBEDDING, ids)? * (size as f32).sqrt();
        let projected = pass.linear("per_layer_model_proj.weight", columns, embedded)?;
        let projected = projected / (embedded.ncols() as f32).sqrt();
        require_shape(pass.weights, "per_layer_proj_norm.weight")?;
        let projected = pass.optional_norm_by_size("per_layer_proj_norm.weight", size, projected)?;
        Ok(Some(Self((own + projected) * FRAC_1_SQRT_2)))
    }

    /// What a layer adds to hidden states `x`.
    pub(super) fn gated_projection(&self, layer: &DecoderLayer<'_>, x: &Array2<f32>) -> Result<Array2<f32>> {
        let size = self.0.ncols() / layer.pass.hparams.layers.len().max(1);
        let gate = layer.linear("inp_gate", size, x)?;
        let own = self.0.slice(s![.., layer.number * size..(layer.number + 1) * size]);
        let out = layer.linear("proj", x.ncols(), &(gate.mapv_into(gelu) * own))?;
        layer.norm("post_norm", &out)
    }
}
