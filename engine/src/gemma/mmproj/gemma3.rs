//! The vision encoder (SigLIP) and projector of a multimodal Gemma 3.

use kernels::numerics::TensorTransform;
use kernels::quant::{OutputType, TensorType};

use super::clip_metadata;
use super::clip_metadata::{EncoderHparams, ImageInput};
use super::encoder_shapes::EncoderSizes;
use super::family::{EncoderConfigs, EncoderLayers, MmprojFamily, TransformedShape, UnusedModule, count};
use super::fixed_settings::{FixedSetting, FixedValue};
use super::preprocessor::PreprocessorConfig;
use super::tensor_map::{EncoderKind, LayerMap, TensorMap, gguf_name};
use crate::checkpoint::{ModelConfig, ModelFiles};
use crate::error::{Error, Result};
use crate::gemma::{ExpectedShape, MappedTensor};
use crate::gguf::GgufMetadata;

pub(in crate::gemma) static GEMMA3: MmprojFamily = MmprojFamily {
    classes: &["Gemma3ForConditionalGeneration", "gemma3"],
    vision_maps: &[&VISION, &VISION_PROJECTOR],
    audio_maps: &[],
    map_tensor,
    transform,
    layer_sizes,
    tensor_shape,
    misfit: |_| None,
    required_by: |_| Vec::new(),
    unused_module: Some(&POOLING_HEAD),
    fixed_type,
    encoder_layers,
    fixed_settings: [FIXED_VISION, &[]],
    parameters,
};

const FIXED_VISION: &[FixedSetting] =
    &[("hidden_act", FixedValue::Text("gelu_pytorch_tanh")), ("num_channels", FixedValue::Number(3.0))];

static VISION: TensorMap = TensorMap {
    prefix: "vision_tower.",
    tensors: &[
        ("embeddings.patch_embedding.weight", "v.patch_embd.weight"),
        ("embeddings.patch_embedding.bias", "v.patch_embd.bias"),
        ("embeddings.position_embedding.weight", "v.position_embd.weight"),
        ("post_layernorm.weight", "v.post_ln.weight"),
        ("post_layernorm.bias", "v.post_ln.bias"),
    ],
    optional_tensors: &[],
    layers: Some(LayerMap {
        prefix: "encoder.layers.",
        encoder: EncoderKind::Vision,
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
        optional_modules: &[],
        required_suffixes: &["weight", "bias"],
    }),
};

/// From the vision encoder to the language model.
static VISION_PROJECTOR: TensorMap = TensorMap {
    prefix: "multi_modal_projector.",
    tensors: &[
        ("mm_input_projection_weight", "mm.input_projection.weight"),
        ("mm_soft_emb_norm.weight", "mm.soft_emb_norm.weight"),
    ],
    optional_tensors: &[],
    layers: None,
};

/// SigLIP's attention pooling. Gemma 3 takes the encoder's hidden states, and does not use what is pooled.
static POOLING_HEAD: UnusedModule = UnusedModule {
    name: "the pooling head of the vision encoder",
    prefix: "vision_tower.head.",
    setting: "vision_use_head",
    tensor_shape: pooling_head_shape,
};

/// A constant that old versions of transformers saved.
const POSITION_IDS: &str = "vision_tower.embeddings.position_ids";

fn map_tensor(name: &str, maps: &[&'static TensorMap]) -> MappedTensor {
    if let Some(name) = gguf_name(maps.iter().copied(), name) {
        return MappedTensor::Tensor(name, None);
    }
    let is_of_encoder =
        [VISION.prefix, VISION_PROJECTOR.prefix].iter().any(|prefix| name.starts_with(prefix));
    let is_skipped = name.starts_with(POOLING_HEAD.prefix) || name == POSITION_IDS;
    if is_of_encoder && !is_skipped { MappedTensor::Unknown } else { MappedTensor::Skipped }
}

/// As torch's `MultiheadAttention` and `SiglipMLP` have them.
fn pooling_head_shape(configs: &EncoderConfigs<'_>, name: &str) -> Result<Option<ExpectedShape>> {
    let hidden = u64::from(hidden_size(configs)?);
    let intermediate = intermediate_size(configs)?.into();
    let sizes = match name {
        "probe" => vec![1, 1, hidden],
        "attention.in_proj_weight" => vec![3 * hidden, hidden],
        "attention.in_proj_bias" => vec![3 * hidden],
        "attention.out_proj.weight" => vec![hidden, hidden],
        "mlp.fc1.weight" => vec![intermediate, hidden],
        "mlp.fc1.bias" => vec![intermediate],
        "mlp.fc2.weight" => vec![hidden, intermediate],
        "attention.out_proj.bias" | "layernorm.weight" | "layernorm.bias" | "mlp.fc2.bias" => vec![hidden],
        _ => return Ok(None),
    };
    Ok(Some(ExpectedShape::exact(sizes)))
}

/// Of all norms only the projector's is Gemma's, whose class multiplies by 1 + w.
fn transform(_: &ModelConfig, name: &str, shape: &[u64]) -> Result<TransformedShape, String> {
    let is_gemma_norm = name == "mm.soft_emb_norm.weight";
    let transform = if is_gemma_norm { TensorTransform::Add(1.0) } else { TensorTransform::IDENTITY };
    Ok((shape.to_vec(), transform))
}

fn layer_sizes(configs: &EncoderConfigs<'_>, kind: EncoderKind) -> Result<Option<EncoderSizes>> {
    if kind == EncoderKind::Audio {
        return Ok(None);
    }
    let (hidden, intermediate) = (hidden_size(configs)?, intermediate_size(configs)?);
    let heads = count(configs.vision, "num_attention_heads", 12)?;
    Ok(Some(EncoderSizes::with_heads(hidden, intermediate, heads)))
}

fn tensor_shape(configs: &EncoderConfigs<'_>, name: &str) -> Result<Option<ExpectedShape>> {
    let (hidden, vision) = (Some(u64::from(hidden_size(configs)?)), configs.vision);
    let (image, patch) = (image_size(vision)?, patch_size(vision)?);
    let per_side = u64::from(image / patch);
    let [patch, channels] = [patch, count(vision, "num_channels", 3)?].map(|size| Some(u64::from(size)));
    let sizes = match name {
        "v.patch_embd.weight" => vec![hidden, channels, patch, patch],
        "v.position_embd.weight" => vec![Some(per_side * per_side), hidden],
        "mm.input_projection.weight" => vec![hidden, configs.text_hidden],
        "v.patch_embd.bias" | "v.post_ln.weight" | "v.post_ln.bias" | "mm.soft_emb_norm.weight" => {
            vec![hidden]
        }
        _ => return Ok(None),
    };
    Ok(Some(ExpectedShape(sizes)))
}

fn hidden_size(configs: &EncoderConfigs<'_>) -> Result<u32> {
    count(configs.vision, "hidden_size", 768)
}

fn intermediate_size(configs: &EncoderConfigs<'_>) -> Result<u32> {
    count(configs.vision, "intermediate_size", 3072)
}

/// The side of an image, in pixels.
fn image_size(vision: &ModelConfig) -> Result<u32> {
    count(vision, "image_size", 224)
}

/// The side of a patch, in pixels.
fn patch_size(vision: &ModelConfig) -> Result<u32> {
    Ok(count(vision, "patch_size", 16)?.max(1))
}

/// The embeddings of patches and positions and the projection keep their precision.
fn fixed_type(name: &str, _: OutputType) -> Option<TensorType> {
    match name {
        "v.patch_embd.weight" | "v.position_embd.weight" => Some(TensorType::F32),
        "mm.input_projection.weight" => Some(TensorType::F16),
        _ => None,
    }
}

fn encoder_layers(configs: &EncoderConfigs<'_>) -> Result<EncoderLayers> {
    Ok(EncoderLayers { vision: count(configs.vision, "num_hidden_layers", 12)?, audio: 0 })
}

/// Defaults are those of `SiglipVisionConfig`.
fn parameters(files: &ModelFiles, configs: &EncoderConfigs<'_>, out: &mut GgufMetadata) -> Result<()> {
    let vision = configs.vision;
    let preprocessor = PreprocessorConfig::of(files)?;
    let hparams = EncoderHparams {
        projection_dim: count(files.config(), "hidden_size", 2304)?,
        hidden_size: hidden_size(configs)?,
        intermediate_size: intermediate_size(configs)?,
        layers: encoder_layers(configs)?.vision,
        attention_heads: count(vision, "num_attention_heads", 12)?,
    };
    let (image_size, patch_size) = (image_size(vision)?, patch_size(vision)?);
    let (mean, std) = (preprocessor.channels("image_mean")?, preprocessor.channels("image_std")?);
    clip_metadata::write_vision(&hparams, ImageInput { image_size, patch_size, mean, std }, out);
    out.set("clip.projector_type", "gemma3");
    out.set("clip.vision.attention.layer_norm_epsilon", vision.f32("layer_norm_eps")?.unwrap_or(1e-6));
    out.set("clip.use_gelu", true);
    let tokens = preprocessor.field("image_seq_length").u32()?.unwrap_or(256);
    let config = files.config();
    if let Some(pooled) = config.top_level("mm_tokens_per_image").u32()?
        && pooled != tokens
    {
        let problem = format!(
            "has mm_tokens_per_image {pooled}, but preprocessor_config.json has image_seq_length {tokens}"
        );
        return Err(Error::invalid(config.file(), problem));
    }
    let scale = image_size / patch_size / tokens.isqrt().max(1);
    if scale > 0 && scale != 4 {
        out.set("clip.vision.projector.scale_factor", scale);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gemma::canonical_name;

    fn mapped(name: &str) -> MappedTensor {
        map_tensor(&canonical_name(name), GEMMA3.vision_maps)
    }

    fn tensor(name: &str) -> MappedTensor {
        MappedTensor::Tensor(name.to_owned(), None)
    }

    #[test]
    fn a_tensor_has_one_name_whatever_version_saved_it() {
        for prefix in [
            "vision_tower.vision_model.",
            "model.vision_tower.vision_model.",
            "model.vision_tower.",
            "vision_tower.",
        ] {
            let at = |name: &str| mapped(&format!("{prefix}{name}"));
            assert_eq!(at("embeddings.patch_embedding.bias"), tensor("v.patch_embd.bias"));
            assert_eq!(at("encoder.layers.3.mlp.fc1.weight"), tensor("v.blk.3.ffn_up.weight"));
            assert_eq!(at("head.probe"), MappedTensor::Skipped);
        }
        let projector = "model.multi_modal_projector.mm_input_projection_weight";
        assert_eq!(mapped(projector), tensor("mm.input_projection.weight"));
    }
}
