//! Embeddings of its own for each layer, which are mixed into what it makes.

use std::f32::consts::FRAC_1_SQRT_2;

use ndarray::{Array2, s};

use super::decoder_layer::DecoderLayer;
use super::linear::{ForwardPass, gelu};
use super::weights::{need, unfit};
use crate::error::Result;

/// Each token's embeddings for all layers, side by side.
pub(super) struct PerLayerInputs(Array2<f32>);

const TABLE: &str = "per_layer_token_embd.weight";

impl PerLayerInputs {
    /// What the model has of them, where it has any: each token's own, and what its embedding makes of them.
    pub(super) fn new(pass: &ForwardPass<'_>, embedded: &Array2<f32>) -> Result<Option<Self>> {
        let Some((rows, columns)) = pass.weights.shape(TABLE) else { return Ok(None) };
        let layers = pass.hyper.layers.len();
        let width = columns / layers.max(1);
        if width == 0 || width * layers != columns {
            return Err(unfit(pass.weights, TABLE, (rows, columns), (rows, layers * width.max(1))));
        }
        // tokens that it does not have are those of images and sounds
        let ids = pass.ids().map(|id| if id < rows { id } else { 0 });
        let own = pass.look_up(TABLE, ids)? * (width as f32).sqrt();
        let made = pass.linear("per_layer_model_proj.weight", columns, embedded)?;
        let made = made / (embedded.ncols() as f32).sqrt();
        need(pass.weights, "per_layer_proj_norm.weight")?;
        let made = pass.norm_parts("per_layer_proj_norm.weight", width, made)?;
        Ok(Some(Self((own + made) * FRAC_1_SQRT_2)))
    }

    /// What a layer adds to a stream for them.
    pub(super) fn mixed(&self, block: &DecoderLayer<'_>, x: &Array2<f32>) -> Result<Array2<f32>> {
        let width = self.0.ncols() / block.pass.hyper.layers.len().max(1);
        let gate = block.linear("inp_gate", width, x)?;
        let own = self.0.slice(s![.., block.number * width..(block.number + 1) * width]);
        let out = block.linear("proj", x.ncols(), &(gate.mapv_into(gelu) * own))?;
        block.norm("post_norm", &out)
    }
}
