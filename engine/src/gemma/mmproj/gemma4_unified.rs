//! The vision and audio embedders of Gemma 4 Unified, which has no encoders: the language model takes projected patches
//! of pixels and frames of audio.

use kernels::numerics::TensorTransform;

use super::clip_metadata::EncoderHparams;
use super::family::{EncoderConfigs, EncoderLayers, MmprojFamily, TransformedShape, count};
use super::fixed_settings::{FixedSetting, FixedValue};
use super::gemma4;
use super::gemma4::{AUDIO_PROJECTOR, DescribedEncoders, VISION_PROJECTOR};
use super::tensor_map::TensorMap;
use crate::checkpoint::{ModelConfig, ModelFiles};
use crate::error::Result;
use crate::gemma::ExpectedShape;
use crate::gguf::GgufMetadata;

pub(in crate::gemma) static GEMMA4_UNIFIED: MmprojFamily = MmprojFamily {
    classes: &["Gemma4UnifiedForConditionalGeneration", "gemma4_unified"],
    vision_maps: &[&VISION, &VISION_PROJECTOR],
    audio_maps: &[&AUDIO_PROJECTOR],
    map_tensor: gemma4::map_tensor,
    transform,
    layer_sizes: |_, _| Ok(None),
    tensor_shape,
    misfit: |_| None,
    required_by: |_| Vec::new(),
    unused_module: None,
    fixed_type: gemma4::fixed_type,
    encoder_layers: |_| Ok(EncoderLayers { vision: 0, audio: 0 }),
    fixed_settings: [FIXED_VISION, FIXED_AUDIO],
    parameters,
};

const FIXED_VISION: &[FixedSetting] =
    &[("rms_norm_eps", FixedValue::Number(1e-6)), ("pooling_kernel_size", FixedValue::Number(3.0))];
const FIXED_AUDIO: &[FixedSetting] = &[("rms_norm_eps", FixedValue::Number(1e-6))];

static VISION: TensorMap = TensorMap {
    prefix: "embed_vision.",
    tensors: &[
        ("patch_ln1.weight", "v.patch_norm.1.weight"),
        ("patch_ln1.bias", "v.patch_norm.1.bias"),
        ("patch_dense.weight", "v.patch_embd.weight"),
        ("patch_dense.bias", "v.patch_embd.bias"),
        ("patch_ln2.weight", "v.patch_norm.2.weight"),
        ("patch_ln2.bias", "v.patch_norm.2.bias"),
        ("pos_embedding", "v.position_embd.weight"),
        ("pos_norm.weight", "v.patch_norm.3.weight"),
        ("pos_norm.bias", "v.patch_norm.3.bias"),
    ],
    optional_tensors: &[],
    layers: None,
};

/// The most values of the position embeddings, which are transposed in memory; the largest model has 9 million.
const MAX_POSITION_VALUES: u64 = 1 << 26;

fn transform(vision: &ModelConfig, name: &str, shape: &[u64]) -> Result<TransformedShape, String> {
    match (name, shape) {
        ("v.patch_embd.weight" | "v.patch_norm.1.weight" | "v.patch_norm.1.bias", [.., pixels]) => {
            let side = u64::from(patch_side(vision).map_err(|error| error.to_string())?);
            if side.checked_mul(side).and_then(|square| square.checked_mul(3)) != Some(*pixels) {
                return Err(format!(
                    "has shape {shape:?}, but patches have {side} × {side} pixels in three color channels"
                ));
            }
            Ok((shape.to_vec(), TensorTransform::ChannelsFirst))
        }
        ("v.position_embd.weight", [positions, 2, width]) => {
            if positions.saturating_mul(*width) > MAX_POSITION_VALUES / 2 {
                return Err(format!("has shape {shape:?}, more than {MAX_POSITION_VALUES} values"));
            }
            Ok((vec![2, *positions, *width], TensorTransform::Transpose(2)))
        }
        ("v.position_embd.weight", _) => {
            Err(format!("has shape {shape:?}, but needs a row and a column embedding for each position"))
        }
        _ => Ok((shape.to_vec(), TensorTransform::IDENTITY)),
    }
}

fn tensor_shape(configs: &EncoderConfigs<'_>, name: &str) -> Result<Option<ExpectedShape>> {
    let width = Some(u64::from(count(configs.vision, "mm_embed_dim", 3840)?));
    let side = u64::from(patch_side(configs.vision)?);
    let pixels = side.checked_mul(side).and_then(|square| square.checked_mul(3));
    let sizes = match (name, configs.audio) {
        ("v.patch_norm.1.weight" | "v.patch_norm.1.bias", _) => vec![pixels],
        ("v.patch_embd.weight", _) => vec![width, pixels],
        ("v.position_embd.weight", _) => {
            vec![Some(count(configs.vision, "mm_posemb_size", 1120)?.into()), Some(2), width]
        }
        ("mm.input_projection.weight", _) => vec![configs.text_hidden, width],
        ("mm.a.input_projection.weight", Some(audio)) => {
            vec![configs.text_hidden, Some(count(audio, "audio_embed_dim", 640)?.into())]
        }
        (name, _) if name.starts_with("v.patch_") => vec![width],
        _ => return Ok(None),
    };
    Ok(Some(ExpectedShape(sizes)))
}

/// The side of a patch, in pixels.
fn patch_side(vision: &ModelConfig) -> Result<u32> {
    match vision.u32("model_patch_size")? {
        Some(side) => Ok(side),
        None => Ok(count(vision, "patch_size", 16)?.saturating_mul(count(vision, "pooling_kernel_size", 3)?)),
    }
}

/// Defaults are those of `Gemma4UnifiedVisionConfig` and `Gemma4UnifiedAudioConfig`.
fn parameters(files: &ModelFiles, configs: &EncoderConfigs<'_>, out: &mut GgufMetadata) -> Result<()> {
    let projection_dim = count(files.config(), "hidden_size", 2304)?;
    let hparams = |hidden_size| EncoderHparams {
        projection_dim,
        hidden_size,
        intermediate_size: 0,
        layers: 0,
        attention_heads: 0,
    };
    let vision = count(configs.vision, "mm_embed_dim", 3840)?;
    let encoders = DescribedEncoders {
        vision: (configs.vision, "gemma4uv", hparams(vision)),
        audio: match configs.audio {
            Some(audio) => Some((audio, "gemma4ua", hparams(count(audio, "audio_embed_dim", 640)?))),
            None => None,
        },
    };
    encoders.write(files, out)
}
