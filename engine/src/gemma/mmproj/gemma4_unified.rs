//! The vision and audio embeddings of Gemma 4 Unified, which has no towers behind them: patches of pixels and frames of
//! sound go to the language model nearly as they are.

use super::clip::EncoderHparams;
use super::gemma4;
use super::gemma4::{HEARD, SEEN, count};
use super::tensor_map::TensorMap;
use crate::checkpoint::{ModelConfig, ModelFiles};
use crate::error::Result;
use crate::gguf::GgufMetadata;
use crate::numerics::TensorTransform;

const VISION: TensorMap = TensorMap {
    root: "vision_embedder.",
    around: &[
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
    some_around: &[],
    layers: None,
};

pub(super) fn parts(audio: bool) -> Vec<&'static TensorMap> {
    if audio { vec![&VISION, &SEEN, &HEARD] } else { vec![&VISION, &SEEN] }
}

/// Positions are turned as a whole, in memory; the largest model has 9 million values.
const MOST_POSITIONS: u64 = 1 << 26;

pub(super) fn form(
    vision: &ModelConfig,
    name: &str,
    shape: &[u64],
) -> Result<(Vec<u64>, TensorTransform), String> {
    match (name, shape) {
        ("v.patch_embd.weight" | "v.patch_norm.1.weight" | "v.patch_norm.1.bias", [.., pixels]) => {
            let side = u64::from(side(vision).map_err(|error| error.to_string())?);
            if side.checked_mul(side).and_then(|square| square.checked_mul(3)) != Some(*pixels) {
                return Err(format!(
                    "is {shape:?}, but patches have {side} × {side} pixels in three colours"
                ));
            }
            Ok((shape.to_vec(), TensorTransform::ChannelsFirst))
        }
        ("v.position_embd.weight", [positions, 2, width]) => {
            if positions.saturating_mul(*width) > MOST_POSITIONS / 2 {
                return Err(format!("is {shape:?}, more than {MOST_POSITIONS} values"));
            }
            Ok((vec![2, *positions, *width], TensorTransform::Transpose(2)))
        }
        ("v.position_embd.weight", _) => {
            Err(format!("is {shape:?}, without one row down and one across for each"))
        }
        _ => Ok((shape.to_vec(), TensorTransform::IDENTITY)),
    }
}

/// The side of a patch, in pixels.
fn side(vision: &ModelConfig) -> Result<u32> {
    match vision.u32("model_patch_size")? {
        Some(side) => Ok(side),
        None => Ok(count(vision, "patch_size", 16)?.saturating_mul(count(vision, "pooling_kernel_size", 3)?)),
    }
}

/// What the configuration leaves out is as in `Gemma4UnifiedVisionConfig` and `Gemma4UnifiedAudioConfig`.
pub(super) fn parameters(
    files: &ModelFiles,
    vision: &ModelConfig,
    audio: Option<&ModelConfig>,
    out: &mut GgufMetadata,
) -> Result<()> {
    let projection = files.config().u32("hidden_size")?.unwrap_or(2304);
    let sizes = |width| EncoderHparams { projection, width, feed_forward: 0, layers: 0, heads: 0 };
    let seen = sizes(count(vision, "mm_embed_dim", 3840)?);
    let heard = match audio {
        None => None,
        Some(audio) => Some((audio, sizes(count(audio, "audio_embed_dim", 640)?))),
    };
    gemma4::write(files, ["gemma4uv", "gemma4ua"], (vision, seen), heard, out)
}
