//! The assistants of Gemma 4 and Gemma 4 Unified, which draft tokens for them: layers that take keys and values from the
//! model they assist, between two projections.

use super::gemma4;
use super::tensor_names::TensorNameMap;
use crate::checkpoint::ModelFiles;
use crate::error::{Error, Result};
use crate::gguf::GgufMetadata;

pub(super) const NAMES: TensorNameMap = TensorNameMap {
    layer: gemma4::NAMES.layer,
    some_layers: &[LAYER_SCALE],
    model: &[
        ("pre_projection.weight", "nextn.pre_projection.weight"),
        ("post_projection.weight", "nextn.post_projection.weight"),
    ],
    some_models: &[],
    lists: &[],
};

const LAYER_SCALE: (&str, &str) = ("layer_scalar", "layer_output_scale.weight");

/// What a layer needs besides what Gemma 4's layers all have.
pub(super) const NEEDED: &str = LAYER_SCALE.1;

pub(super) fn parameters(files: &ModelFiles, file_type: u32, out: &mut GgufMetadata) -> Result<()> {
    let config = files.config();
    gemma4::parameters(files, file_type, out)?;
    out.own("embedding_length_out", config.need_u32("backbone_hidden_size")?);
    let Some(layers) = out.own_u32("block_count") else {
        return Err(Error::invalid(config.file(), "has no num_hidden_layers"));
    };
    out.own("nextn_predict_layers", layers);
    Ok(())
}
