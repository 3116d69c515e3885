//! The vision tower (SigLIP) and projector of a multimodal Gemma 3.

use serde_json::Value as Json;

use super::clip;
use super::clip::{EncoderHparams, ImageInput};
use super::preprocessor::PreprocessorConfig;
use super::tensor_map::{EncoderTensor, LayerMap, TensorMap, named};
use crate::checkpoint::{ModelConfig, ModelFiles};
use crate::error::{Error, Result};
use crate::gemma::MappedTensor;
use crate::gguf::GgufMetadata;
use crate::numerics::TensorTransform;
use crate::quant::TensorType;

pub(super) const PARTS: [TensorMap; 2] = [
    TensorMap {
        root: "vision_tower.",
        around: &[
            ("embeddings.patch_embedding.weight", "v.patch_embd.weight"),
            ("embeddings.patch_embedding.bias", "v.patch_embd.bias"),
            ("embeddings.position_embedding.weight", "v.position_embd.weight"),
            ("post_layernorm.weight", "v.post_ln.weight"),
            ("post_layernorm.bias", "v.post_ln.bias"),
        ],
        some_around: &[],
        layers: Some(LayerMap {
            root: "encoder.layers.",
            tower: EncoderTensor::Vision,
            modules: &[
                ("layer_norm1", "ln1"),
                ("layer_norm2", "ln2"),
                ("mlp.fc1", "ffn_up"),
                ("mlp.fc2", "ffn_down"),
                ("self_attn.k_proj", "attn_k"),
                ("self_attn.out_proj", "attn_out"),
                ("self_attn.q_proj", "attn_q"),
                ("self_attn.v_proj", "attn_v"),
            ],
            some_modules: &[],
            kinds: &["weight", "bias"],
        }),
    },
    TensorMap {
        root: "multi_modal_projector.",
        around: &[
            ("mm_input_projection_weight", "mm.input_projection.weight"),
            ("mm_soft_emb_norm.weight", "mm.soft_emb_norm.weight"),
        ],
        some_around: &[],
        layers: None,
    },
];

/// What becomes of a tensor. The tower's own head is not used.
pub(super) fn place(name: &str) -> MappedTensor {
    let name = name.replace("vision_tower.vision_model.", "vision_tower.");
    named(&PARTS, &name).map_or(MappedTensor::Skipped, |name| MappedTensor::Tensor(name, None))
}

/// Of all norms here only the projector's is Gemma's.
pub(super) fn form(name: &str) -> TensorTransform {
    if name == "mm.soft_emb_norm.weight" { TensorTransform::Add(1.0) } else { TensorTransform::IDENTITY }
}

/// The first and the last matrices of the way from pixels to tokens keep their precision.
pub(super) fn fixed_type(name: &str) -> Option<TensorType> {
    match name {
        "v.patch_embd.weight" | "v.position_embd.weight" => Some(TensorType::F32),
        "mm.input_projection.weight" => Some(TensorType::F16),
        _ => None,
    }
}

pub(super) fn layers(tower: &ModelConfig) -> Result<u32> {
    Ok(tower.u32("num_hidden_layers")?.unwrap_or(12))
}

/// What the configuration leaves out is as in `SiglipVisionConfig`.
pub(super) fn parameters(files: &ModelFiles, tower: &ModelConfig, out: &mut GgufMetadata) -> Result<()> {
    let count = |key: &str, default: u32| Ok::<u32, Error>(tower.u32(key)?.unwrap_or(default));
    let preprocessor = PreprocessorConfig::of(files)?;
    let sizes = EncoderHparams {
        projection: files.config().u32("hidden_size")?.unwrap_or(2304),
        width: count("hidden_size", 768)?,
        feed_forward: count("intermediate_size", 3072)?,
        layers: layers(tower)?,
        heads: count("num_attention_heads", 12)?,
    };
    let (size, patch) = (count("image_size", 224)?, count("patch_size", 16)?.max(1));
    let (mean, deviation) = (preprocessor.colours("image_mean")?, preprocessor.colours("image_std")?);
    clip::vision(&sizes, ImageInput { size, patch, mean, deviation }, out);
    out.set("clip.projector_type", "gemma3");
    out.set("clip.vision.attention.layer_norm_epsilon", tower.f32("layer_norm_eps")?.unwrap_or(1e-6));
    out.set("clip.use_gelu", true);
    let tokens = preprocessor.get("image_seq_length").and_then(Json::as_u64).unwrap_or(256);
    let side = u32::try_from(tokens.isqrt()).unwrap_or(u32::MAX).max(1);
    let scale = size / patch / side;
    if scale > 0 && scale != 4 {
        out.set("clip.vision.projector.scale_factor", scale);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(name: &str) -> MappedTensor {
        place(name.strip_prefix("model.").unwrap_or(name))
    }

    fn tensor(name: &str) -> MappedTensor {
        MappedTensor::Tensor(name.to_owned(), None)
    }

    #[test]
    fn a_tensor_has_one_place_whatever_version_saved_it() {
        for prefix in [
            "vision_tower.vision_model.",
            "model.vision_tower.vision_model.",
            "model.vision_tower.",
            "vision_tower.",
        ] {
            let at = |name: &str| at(&format!("{prefix}{name}"));
            assert_eq!(at("embeddings.patch_embedding.bias"), tensor("v.patch_embd.bias"));
            assert_eq!(at("encoder.layers.3.mlp.fc1.weight"), tensor("v.blk.3.ffn_up.weight"));
            assert_eq!(at("head.probe"), MappedTensor::Skipped);
        }
        let projector = "model.multi_modal_projector.mm_input_projection_weight";
        assert_eq!(at(projector), tensor("mm.input_projection.weight"));
    }
}
