//! Vision and audio towers of a multimodal Gemma 4.

use super::clip;
use super::clip::{AudioEncoder, EncoderHparams, ImageInput, ProjectorKeys};
use super::preprocessor::PreprocessorConfig;
use super::tensor_map::{EncoderTensor, LayerMap, TensorMap, named};
use crate::checkpoint::{ModelConfig, ModelFiles};
use crate::error::{Error, Result};
use crate::gemma::MappedTensor;
use crate::gguf::GgufMetadata;
use crate::numerics::TensorTransform;
use crate::quant::{OutputType, TensorType};

const VISION: TensorMap = TensorMap {
    root: "vision_tower.",
    around: &[
        ("patch_embedder.input_proj.weight", "v.patch_embd.weight"),
        ("patch_embedder.position_embedding_table", "v.position_embd.weight"),
    ],
    some_around: &[("std_bias", "v.std_bias"), ("std_scale", "v.std_scale")],
    layers: Some(LayerMap {
        root: "encoder.layers.",
        tower: EncoderTensor::Vision,
        modules: &[
            ("input_layernorm", "ln1"),
            ("post_attention_layernorm", "attn_post_norm"),
            ("pre_feedforward_layernorm", "ln2"),
            ("post_feedforward_layernorm", "ffn_post_norm"),
            ("self_attn.q_norm", "attn_q_norm"),
            ("self_attn.k_norm", "attn_k_norm"),
            ("self_attn.q_proj", "attn_q"),
            ("self_attn.k_proj", "attn_k"),
            ("self_attn.v_proj", "attn_v"),
            ("self_attn.o_proj", "attn_out"),
            ("mlp.gate_proj", "ffn_gate"),
            ("mlp.up_proj", "ffn_up"),
            ("mlp.down_proj", "ffn_down"),
        ],
        some_modules: &[("layer_scalar", "out_scale.weight")],
        kinds: &["weight"],
    }),
};

const AUDIO: TensorMap = TensorMap {
    root: "audio_tower.",
    around: &[
        ("subsample_conv_projection.layer0.conv.weight", "a.conv1d.0.weight"),
        ("subsample_conv_projection.layer0.norm.weight", "a.conv1d.0.norm.weight"),
        ("subsample_conv_projection.layer1.conv.weight", "a.conv1d.1.weight"),
        ("subsample_conv_projection.layer1.norm.weight", "a.conv1d.1.norm.weight"),
        ("subsample_conv_projection.input_proj_linear.weight", "a.input_projection.weight"),
        ("output_proj.weight", "a.pre_encode.out.weight"),
        ("output_proj.bias", "a.pre_encode.out.bias"),
    ],
    some_around: &[],
    layers: Some(LayerMap {
        root: "layers.",
        tower: EncoderTensor::Audio,
        modules: &[
            ("feed_forward1.pre_layer_norm", "ffn_norm"),
            ("feed_forward1.ffw_layer_1", "ffn_up"),
            ("feed_forward1.ffw_layer_2", "ffn_down"),
            ("feed_forward1.post_layer_norm", "ffn_post_norm"),
            ("norm_pre_attn", "attn_pre_norm"),
            ("self_attn.q_proj", "attn_q"),
            ("self_attn.k_proj", "attn_k"),
            ("self_attn.v_proj", "attn_v"),
            ("self_attn.post", "attn_out"),
            ("self_attn.relative_k_proj", "attn_k_rel"),
            ("self_attn.per_dim_scale", "per_dim_scale.weight"),
            ("norm_post_attn", "attn_post_norm"),
            ("lconv1d.pre_layer_norm", "conv_norm"),
            ("lconv1d.linear_start", "conv_pw1"),
            ("lconv1d.depthwise_conv1d", "conv_dw"),
            ("lconv1d.conv_norm", "norm_conv"),
            ("lconv1d.linear_end", "conv_pw2"),
            ("feed_forward2.pre_layer_norm", "ffn_norm_1"),
            ("feed_forward2.ffw_layer_1", "ffn_up_1"),
            ("feed_forward2.ffw_layer_2", "ffn_down_1"),
            ("feed_forward2.post_layer_norm", "ffn_post_norm_1"),
            ("norm_out", "ln2"),
        ],
        some_modules: &[],
        kinds: &["weight"],
    }),
};

/// From the vision tower to the language model.
pub(super) const SEEN: TensorMap = TensorMap {
    root: "embed_vision.",
    around: &[("embedding_projection.weight", "mm.input_projection.weight")],
    some_around: &[],
    layers: None,
};

/// From the audio tower to the language model.
pub(super) const HEARD: TensorMap = TensorMap {
    root: "embed_audio.",
    around: &[("embedding_projection.weight", "mm.a.input_projection.weight")],
    some_around: &[],
    layers: None,
};

pub(super) fn parts(audio: bool) -> Vec<&'static TensorMap> {
    if audio { vec![&VISION, &SEEN, &AUDIO, &HEARD] } else { vec![&VISION, &SEEN] }
}

/// What becomes of a tensor. Layers that clip have their matrix one name further down.
pub(super) fn place(name: &str, parts: &[&TensorMap]) -> MappedTensor {
    let name = name.replace(".linear.", ".");
    named(parts.iter().copied(), &name).map_or(MappedTensor::Unknown, |name| MappedTensor::Tensor(name, None))
}

pub(super) fn form(name: &str, shape: &[u64]) -> Result<(Vec<u64>, TensorTransform), String> {
    match (name, shape) {
        ("v.patch_embd.weight", [rows, columns]) => {
            let side = (columns / 3).isqrt();
            if side * side * 3 != *columns {
                return Err(format!("has rows of {columns}, which are no square of pixels in three colours"));
            }
            Ok((vec![*rows, 3, side, side], TensorTransform::ChannelsFirst))
        }
        (name, _) if name.ends_with(".per_dim_scale.weight") => {
            Ok((shape.to_vec(), TensorTransform::Softplus))
        }
        (_, []) => Ok((vec![1], TensorTransform::IDENTITY)),
        _ => depthwise(name, shape),
    }
}

/// A convolution of each channel alone is a matrix in the file; all else is as it is.
fn depthwise(name: &str, shape: &[u64]) -> Result<(Vec<u64>, TensorTransform), String> {
    match shape {
        [channels, 1, width] if name.ends_with(".conv_dw.weight") => {
            Ok((vec![*channels, *width], TensorTransform::IDENTITY))
        }
        _ if name.ends_with(".conv_dw.weight") => {
            Err(format!("is {shape:?}, and no convolution of each channel alone"))
        }
        _ => Ok((shape.to_vec(), TensorTransform::IDENTITY)),
    }
}

/// Convolutions of sounds.
pub(super) fn is_convolution(name: &str) -> bool {
    name.starts_with("a.conv1d.") || name.ends_with(".conv_dw.weight")
}

/// Embeddings of patches and places, and convolutions of sounds, keep their precision.
pub(super) fn fixed_type(name: &str, output: OutputType) -> Option<TensorType> {
    match name {
        "v.patch_embd.weight" if output == OutputType::F16 => Some(TensorType::F16),
        "v.patch_embd.weight" | "v.position_embd.weight" | "a.input_projection.weight" => {
            Some(TensorType::F32)
        }
        _ => is_convolution(name).then_some(TensorType::F32),
    }
}

pub(super) fn layers(vision: &ModelConfig, audio: Option<&ModelConfig>) -> Result<(u32, u32)> {
    let heard = audio.map_or(Ok(None), |audio| audio.u32("num_hidden_layers"))?;
    Ok((vision.u32("num_hidden_layers")?.unwrap_or(16), heard.unwrap_or(12)))
}

/// What the configuration leaves out is as in `Gemma4VisionConfig` and `Gemma4AudioConfig`.
pub(super) fn parameters(
    files: &ModelFiles,
    vision: &ModelConfig,
    audio: Option<&ModelConfig>,
    out: &mut GgufMetadata,
) -> Result<()> {
    let projection = files.config().u32("hidden_size")?.unwrap_or(2304);
    let (seen, heard) = layers(vision, audio)?;
    let seen = EncoderHparams {
        projection,
        width: count(vision, "hidden_size", 768)?,
        feed_forward: count(vision, "intermediate_size", 3072)?,
        layers: seen,
        heads: count(vision, "num_attention_heads", 12)?,
    };
    let heard = match audio {
        None => None,
        Some(audio) => {
            let width = count(audio, "hidden_size", 1024)?;
            let heads = count(audio, "num_attention_heads", 8)?;
            let feed_forward = width.saturating_mul(4);
            Some((audio, EncoderHparams { projection, width, feed_forward, layers: heard, heads }))
        }
    };
    write(files, ["gemma4v", "gemma4a"], (vision, seen), heard, out)
}

/// Writes the parameters of both towers under the names of their kinds.
pub(super) fn write(
    files: &ModelFiles,
    kinds: [&'static str; 2],
    (vision, seen): (&ModelConfig, EncoderHparams),
    heard: Option<(&ModelConfig, EncoderHparams)>,
    out: &mut GgufMetadata,
) -> Result<()> {
    let preprocessor = PreprocessorConfig::of(files)?;
    let image = ImageInput {
        // it has no fixed size, and llama.cpp does not ask
        size: 224,
        patch: count(vision, "patch_size", 16)?,
        mean: preprocessor.colours("image_mean")?,
        deviation: preprocessor.colours("image_std")?,
    };
    let heard = match heard {
        None => None,
        Some((audio, sizes)) => {
            let mel_bins = count(audio, "input_feat_size", 128)?;
            Some(AudioEncoder { kind: kind(audio, kinds[1])?, sizes, mel_bins })
        }
    };
    clip::both(kind(vision, kinds[0])?, &seen, image, heard.as_ref(), out);
    Ok(())
}

fn kind(config: &ModelConfig, name: &'static str) -> Result<ProjectorKeys> {
    Ok(ProjectorKeys { name, epsilon: config.f32("layer_norm_eps")?.unwrap_or(1e-6) })
}

pub(super) fn count(config: &ModelConfig, key: &str, default: u32) -> Result<u32, Error> {
    Ok(config.u32(key)?.unwrap_or(default))
}
