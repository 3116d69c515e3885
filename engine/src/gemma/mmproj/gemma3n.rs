//! The vision tower (MobileNetV5) and the audio tower (a conformer) of a multimodal Gemma 3n.

use super::clip;
use super::clip::{AudioEncoder, EncoderHparams, ImageInput, ProjectorKeys};
use super::gemma4::{count, is_convolution};
use super::preprocessor::PreprocessorConfig;
use super::tensor_map::{EncoderTensor, LayerMap, TensorMap, named};
use crate::checkpoint::{ModelConfig, ModelFiles};
use crate::error::Result;
use crate::gemma::MappedTensor;
use crate::gguf::{GgufMetadata, MetadataValue};
use crate::quant::TensorType;

/// Blocks are numbered by stage and within it, and called the same in the file.
const BLOCKS: &str = "vision_tower.timm_model.blocks.";

/// What a block may have: it expands, mixes places or attends.
const BLOCK: [&str; 22] = [
    "conv_exp.weight",
    "bn1.weight",
    "conv_pwl.weight",
    "bn2.weight",
    "dw_start.conv.weight",
    "dw_start.bn.weight",
    "dw_mid.conv.weight",
    "dw_mid.bn.weight",
    "pw_exp.conv.weight",
    "pw_exp.bn.weight",
    "pw_proj.conv.weight",
    "pw_proj.bn.weight",
    "layer_scale.gamma",
    "attn.query.proj.weight",
    "attn.key.proj.weight",
    "attn.value.proj.weight",
    "attn.output.proj.weight",
    "attn.key.down_conv.weight",
    "attn.key.norm.weight",
    "attn.value.down_conv.weight",
    "attn.value.norm.weight",
    "norm.weight",
];

const VISION: TensorMap = TensorMap {
    root: "vision_tower.timm_model.",
    around: &[
        ("conv_stem.conv.weight", "v.conv_stem.conv.weight"),
        ("conv_stem.bn.weight", "v.conv_stem.bn.weight"),
        ("msfa.ffn.pw_exp.conv.weight", "v.msfa.ffn.pw_exp.conv.weight"),
        ("msfa.ffn.pw_exp.bn.weight", "v.msfa.ffn.pw_exp.bn.weight"),
        ("msfa.ffn.pw_proj.conv.weight", "v.msfa.ffn.pw_proj.conv.weight"),
        ("msfa.ffn.pw_proj.bn.weight", "v.msfa.ffn.pw_proj.bn.weight"),
        ("msfa.norm.weight", "v.msfa.norm.weight"),
    ],
    some_around: &[("conv_stem.conv.bias", "v.conv_stem.conv.bias")],
    layers: None,
};

/// From the vision tower to the language model.
const SEEN: TensorMap = TensorMap {
    root: "embed_vision.",
    around: &[
        ("embedding.weight", "mm.embedding.weight"),
        ("hard_embedding_norm.weight", "mm.hard_emb_norm.weight"),
        ("soft_embedding_norm.weight", "mm.soft_emb_norm.weight"),
        ("embedding_projection.weight", "mm.input_projection.weight"),
    ],
    some_around: &[],
    layers: None,
};

const AUDIO: TensorMap = TensorMap {
    root: "audio_tower.",
    around: &[
        ("subsample_conv_projection.conv_0.conv.weight", "a.conv1d.0.weight"),
        ("subsample_conv_projection.conv_0.norm.weight", "a.conv1d.0.norm.weight"),
        ("subsample_conv_projection.conv_1.conv.weight", "a.conv1d.1.weight"),
        ("subsample_conv_projection.conv_1.norm.weight", "a.conv1d.1.norm.weight"),
        ("subsample_conv_projection.input_proj_linear.weight", "a.pre_encode.out.weight"),
    ],
    some_around: &[],
    layers: Some(LayerMap {
        root: "conformer.",
        tower: EncoderTensor::Audio,
        modules: &[
            ("ffw_layer_start.pre_layer_norm", "ffn_norm"),
            ("ffw_layer_start.ffw_layer_1", "ffn_up"),
            ("ffw_layer_start.ffw_layer_2", "ffn_down"),
            ("ffw_layer_start.post_layer_norm", "ffn_post_norm"),
            ("attention.pre_attn_norm", "ln1"),
            ("attention.attn.q_proj", "attn_q"),
            ("attention.attn.k_proj", "attn_k"),
            ("attention.attn.v_proj", "attn_v"),
            ("attention.attn.relative_position_embedding.pos_proj", "linear_pos"),
            ("attention.post", "attn_out"),
            ("attention.post_norm", "ln2"),
            ("lconv1d.pre_layer_norm", "conv_norm"),
            ("lconv1d.linear_start", "conv_pw1"),
            ("lconv1d.depthwise_conv1d", "conv_dw"),
            ("lconv1d.conv_norm", "norm_conv"),
            ("lconv1d.linear_end", "conv_pw2"),
            ("ffw_layer_end.pre_layer_norm", "ffn_norm_1"),
            ("ffw_layer_end.ffw_layer_1", "ffn_up_1"),
            ("ffw_layer_end.ffw_layer_2", "ffn_down_1"),
            ("ffw_layer_end.post_layer_norm", "ffn_post_norm_1"),
            ("norm", "layer_pre_norm"),
        ],
        some_modules: &[("attention.attn.per_dim_scale", "per_dim_scale")],
        kinds: &["weight"],
    }),
};

/// From the audio tower to the language model.
const HEARD: TensorMap = TensorMap {
    root: "embed_audio.",
    around: &[
        ("embedding.weight", "mm.a.embedding.weight"),
        ("hard_embedding_norm.weight", "mm.a.hard_emb_norm.weight"),
        ("soft_embedding_norm.weight", "mm.a.soft_emb_norm.weight"),
        ("embedding_projection.weight", "mm.a.input_projection.weight"),
    ],
    some_around: &[],
    layers: None,
};

pub(super) fn parts(audio: bool) -> Vec<&'static TensorMap> {
    if audio { vec![&VISION, &SEEN, &AUDIO, &HEARD] } else { vec![&VISION, &SEEN] }
}

pub(super) fn place(name: &str, parts: &[&'static TensorMap]) -> MappedTensor {
    let found = in_block(name).or_else(|| named(parts.iter().copied(), name));
    found.map_or(MappedTensor::Unknown, |name| MappedTensor::Tensor(name, None))
}

fn in_block(name: &str) -> Option<String> {
    let rest = name.strip_prefix(BLOCKS)?;
    let (stage, of_stage) = rest.split_once('.')?;
    let (number, module) = of_stage.split_once('.')?;
    let numbered = stage.parse::<u32>().is_ok() && number.parse::<u32>().is_ok();
    (numbered && BLOCK.contains(&module)).then(|| format!("v.blk.{rest}"))
}

/// The shape in the file: what is added to channels or scales them is laid out beside the image.
pub(super) fn shape(name: &str, shape: &[u64]) -> Vec<u64> {
    match (name, shape) {
        ("v.conv_stem.conv.bias", [channels]) => vec![1, *channels, 1, 1],
        (name, [channels]) if name.ends_with(".layer_scale.gamma") => vec![1, *channels, 1, 1],
        _ => shape.to_vec(),
    }
}

/// What sounds and pixels come to first keeps its precision.
pub(super) fn fixed_type(name: &str) -> Option<TensorType> {
    if name == "a.pre_encode.out.weight" {
        return Some(TensorType::F16);
    }
    let exact = name.starts_with("v.conv_stem.") || is_convolution(name);
    exact.then_some(TensorType::F32)
}

pub(super) fn layers(audio: Option<&ModelConfig>) -> Result<u32> {
    Ok(audio.map_or(Ok(None), |audio| audio.u32("conf_num_hidden_layers"))?.unwrap_or(12))
}

/// What the configuration leaves out is as in `Gemma3nVisionConfig` and `Gemma3nAudioConfig`; the tower for images is
/// always the same, and what the converter says of its layers llama.cpp does not read.
pub(super) fn parameters(
    files: &ModelFiles,
    vision: &ModelConfig,
    audio: Option<&ModelConfig>,
    out: &mut GgufMetadata,
) -> Result<()> {
    let projection = files.config().u32("hidden_size")?.unwrap_or(2048);
    let seen = EncoderHparams {
        projection,
        width: count(vision, "hidden_size", 2048)?,
        feed_forward: count(vision, "intermediate_size", 2048)?.saturating_mul(4),
        layers: 128,
        heads: count(vision, "num_attention_heads", 8)?,
    };
    let preprocessor = PreprocessorConfig::of(files)?;
    let tokens = preprocessor.count(&["image_seq_length"], 256)?;
    let size = preprocessor.count(&["size", "height"], 768)?;
    let (mean, deviation) = (MetadataValue::F32s(vec![0.0; 3]), MetadataValue::F32s(vec![1.0; 3]));
    let image = ImageInput { size, patch: size / tokens.max(1), mean, deviation };
    let kind = ProjectorKeys { name: "gemma3nv", epsilon: vision.f32("layer_norm_eps")?.unwrap_or(1e-6) };
    let heard = match audio {
        None => None,
        Some(audio) => Some(AudioEncoder {
            kind: ProjectorKeys { name: "gemma3na", epsilon: 1e-5 },
            sizes: EncoderHparams {
                projection,
                width: count(audio, "hidden_size", 1536)?,
                feed_forward: count(audio, "intermediate_size", 6144)?,
                layers: layers(Some(audio))?,
                heads: count(audio, "conf_num_attention_heads", 8)?,
            },
            mel_bins: count(audio, "input_feat_size", 128)?,
        }),
    };
    clip::both(kind, &seen, image, heard.as_ref(), out);
    Ok(())
}
