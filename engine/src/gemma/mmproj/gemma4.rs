//! The vision and audio encoders and projectors of a multimodal Gemma 4.

use kernels::numerics::TensorTransform;
use kernels::quant::{OutputType, TensorType};

use super::clip_metadata;
use super::clip_metadata::{AudioEncoder, EncoderHparams, ImageInput, ProjectorType, VisionEncoder};
use super::encoder_shapes::EncoderSizes;
use super::family::{EncoderConfigs, EncoderLayers, MmprojFamily, TransformedShape, count};
use super::fixed_settings::{FixedSetting, FixedValue};
use super::preprocessor::PreprocessorConfig;
use super::subsampling::{Subsampling, numbers};
use super::tensor_map::{EncoderKind, LayerMap, TensorMap, gguf_name};
use crate::checkpoint::{ModelConfig, ModelFiles};
use crate::error::Result;
use crate::gemma::{ExpectedShape, MappedTensor};
use crate::gguf::GgufMetadata;

pub(in crate::gemma) static GEMMA4: MmprojFamily = MmprojFamily {
    classes: &["Gemma4ForConditionalGeneration", "gemma4"],
    vision_maps: &[&VISION, &VISION_PROJECTOR],
    audio_maps: &[&AUDIO, &AUDIO_PROJECTOR],
    map_tensor,
    transform: |_, name, shape| transform(name, shape),
    layer_sizes,
    tensor_shape,
    misfit: |_| None,
    required_by: |_| Vec::new(),
    unused_module: None,
    fixed_type,
    encoder_layers,
    fixed_settings: [FIXED_VISION, FIXED_AUDIO],
    parameters,
};

const FIXED_VISION: &[FixedSetting] = &[
    ("hidden_activation", FixedValue::Text("gelu_pytorch_tanh")),
    ("rms_norm_eps", FixedValue::Number(1e-6)),
    ("attention_bias", FixedValue::False),
    ("pooling_kernel_size", FixedValue::Number(3.0)),
    ("rope_parameters.rope_theta", FixedValue::Number(100.0)),
    ("rope_parameters.rope_type", FixedValue::Text("axial")),
];
const FIXED_AUDIO: &[FixedSetting] = &[
    ("hidden_act", FixedValue::Text("silu")),
    ("residual_weight", FixedValue::Number(0.5)),
    ("attention_chunk_size", FixedValue::Number(12.0)),
    ("attention_context_left", FixedValue::Number(13.0)),
    ("attention_context_right", FixedValue::Number(0.0)),
    ("attention_logit_cap", FixedValue::Number(50.0)),
    ("conv_kernel_size", FixedValue::Number(5.0)),
    ("gradient_clipping", FixedValue::Number(1e10)),
    ("rms_norm_eps", FixedValue::Number(1e-6)),
];

/// The sizes of `Gemma4VisionConfig` and `Gemma4AudioConfig` where `config.json` has none.
const VISION_HIDDEN_SIZE: u32 = 768;
const AUDIO_HIDDEN_SIZE: u32 = 1024;

static VISION: TensorMap = TensorMap {
    prefix: "vision_tower.",
    tensors: &[
        ("patch_embedder.input_proj.weight", "v.patch_embd.weight"),
        ("patch_embedder.position_embedding_table", "v.position_embd.weight"),
    ],
    optional_tensors: &[("std_bias", "v.std_bias"), ("std_scale", "v.std_scale")],
    layers: Some(LayerMap {
        prefix: "encoder.layers.",
        encoder: EncoderKind::Vision,
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
        optional_modules: &[("layer_scalar", "out_scale.weight")],
        required_suffixes: &["weight"],
    }),
};

static AUDIO: TensorMap = TensorMap {
    prefix: "audio_tower.",
    tensors: &[
        ("subsample_conv_projection.layer0.conv.weight", "a.conv1d.0.weight"),
        ("subsample_conv_projection.layer0.norm.weight", "a.conv1d.0.norm.weight"),
        ("subsample_conv_projection.layer1.conv.weight", "a.conv1d.1.weight"),
        ("subsample_conv_projection.layer1.norm.weight", "a.conv1d.1.norm.weight"),
        ("subsample_conv_projection.input_proj_linear.weight", "a.input_projection.weight"),
        ("output_proj.weight", "a.pre_encode.out.weight"),
        ("output_proj.bias", "a.pre_encode.out.bias"),
    ],
    optional_tensors: &[],
    layers: Some(LayerMap {
        prefix: "layers.",
        encoder: EncoderKind::Audio,
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
        optional_modules: &[],
        required_suffixes: &["weight"],
    }),
};

/// From the vision encoder to the language model.
pub(super) static VISION_PROJECTOR: TensorMap = TensorMap {
    prefix: "embed_vision.",
    tensors: &[("embedding_projection.weight", "mm.input_projection.weight")],
    optional_tensors: &[],
    layers: None,
};

/// From the audio encoder to the language model.
pub(super) static AUDIO_PROJECTOR: TensorMap = TensorMap {
    prefix: "embed_audio.",
    tensors: &[("embedding_projection.weight", "mm.a.input_projection.weight")],
    optional_tensors: &[],
    layers: None,
};

/// Layers that clip their input and output have their matrix in a module of its own, `linear`.
pub(super) fn map_tensor(name: &str, maps: &[&'static TensorMap]) -> MappedTensor {
    let name = name.replace(".linear.", ".");
    gguf_name(maps.iter().copied(), &name)
        .map_or(MappedTensor::Unknown, |name| MappedTensor::Tensor(name, None))
}

fn transform(name: &str, shape: &[u64]) -> Result<TransformedShape, String> {
    match (name, shape) {
        ("v.patch_embd.weight", [rows, columns]) => {
            let side = (columns / 3).isqrt();
            if side * side * 3 != *columns {
                return Err(format!(
                    "has rows of {columns} values, which is no square of pixels in three color channels"
                ));
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

fn layer_sizes(configs: &EncoderConfigs<'_>, kind: EncoderKind) -> Result<Option<EncoderSizes>> {
    if kind == EncoderKind::Audio {
        let sizes = |audio| {
            EncoderSizes::conformer(audio, AUDIO_HIDDEN_SIZE, "num_attention_heads", "conv_kernel_size")
        };
        return configs.audio.map(sizes).transpose();
    }
    let size = |field: &str, default: u32| count(configs.vision, field, default).map(u64::from);
    let head_dim = size("head_dim", 64)?;
    Ok(Some(EncoderSizes {
        hidden: size("hidden_size", VISION_HIDDEN_SIZE)?,
        intermediate: size("intermediate_size", 3072)?,
        head_dim,
        queries: head_dim.saturating_mul(size("num_attention_heads", 12)?),
        keys: head_dim.saturating_mul(size("num_key_value_heads", 12)?),
        convolution: None,
    }))
}

fn tensor_shape(configs: &EncoderConfigs<'_>, name: &str) -> Result<Option<ExpectedShape>> {
    let size = |field: &str, default: u32| count(configs.vision, field, default).map(u64::from);
    let hidden = size("hidden_size", VISION_HIDDEN_SIZE)?;
    let patch = size("patch_size", 16)?;
    let sizes = match (name, configs.audio) {
        ("v.patch_embd.weight", _) => vec![Some(hidden), Some(3 * patch * patch)],
        ("v.position_embd.weight", _) => {
            vec![Some(2), Some(size("position_embedding_size", 10 * 1024)?), Some(hidden)]
        }
        ("v.std_bias" | "v.std_scale", _) => vec![Some(hidden)],
        ("mm.input_projection.weight", _) => vec![configs.text_hidden, Some(hidden)],
        ("mm.a.input_projection.weight", Some(audio)) => {
            vec![configs.text_hidden, Some(count(audio, "output_proj_dims", 1536)?.into())]
        }
        ("a.pre_encode.out.weight", Some(audio)) => {
            let hidden = count(audio, "hidden_size", AUDIO_HIDDEN_SIZE)?;
            vec![Some(count(audio, "output_proj_dims", 1536)?.into()), Some(hidden.into())]
        }
        ("a.pre_encode.out.bias", Some(audio)) => vec![Some(count(audio, "output_proj_dims", 1536)?.into())],
        (_, Some(audio)) => return Ok(subsampling(audio)?.shape(name, "a.input_projection.weight")),
        _ => return Ok(None),
    };
    Ok(Some(ExpectedShape(sizes)))
}

/// transformers takes the features after both convolutions for a quarter of the first one's channels, whatever
/// `input_feat_size` is.
fn subsampling(audio: &ModelConfig) -> Result<Subsampling> {
    let channels: [u64; 2] = numbers(audio, "subsampling_conv_channels", [128, 32])?;
    let hidden = count(audio, "hidden_size", AUDIO_HIDDEN_SIZE)?.into();
    Ok(Subsampling { channels, kernels: [[3, 3], [3, 3]], features: channels[0] / 4, hidden })
}

/// A depthwise convolution is a matrix in the file; other tensors keep their shape.
fn depthwise(name: &str, shape: &[u64]) -> Result<TransformedShape, String> {
    match shape {
        [channels, 1, width] if name.ends_with(".conv_dw.weight") => {
            Ok((vec![*channels, *width], TensorTransform::IDENTITY))
        }
        _ => Ok((shape.to_vec(), TensorTransform::IDENTITY)),
    }
}

/// Whether this is a convolution of an audio encoder.
pub(super) fn is_audio_convolution(name: &str) -> bool {
    name.starts_with("a.conv1d.") || name.ends_with(".conv_dw.weight")
}

/// The embeddings of patches and positions, and the audio encoder's convolutions, keep their precision.
pub(super) fn fixed_type(name: &str, output: OutputType) -> Option<TensorType> {
    match name {
        "v.patch_embd.weight" if output == OutputType::F16 => Some(TensorType::F16),
        "v.patch_embd.weight" | "v.position_embd.weight" | "a.input_projection.weight" => {
            Some(TensorType::F32)
        }
        _ => is_audio_convolution(name).then_some(TensorType::F32),
    }
}

fn encoder_layers(configs: &EncoderConfigs<'_>) -> Result<EncoderLayers> {
    let audio = configs.audio.map_or(Ok(12), |audio| count(audio, "num_hidden_layers", 12))?;
    Ok(EncoderLayers { vision: count(configs.vision, "num_hidden_layers", 16)?, audio })
}

/// Defaults are those of `Gemma4VisionConfig` and `Gemma4AudioConfig`.
fn parameters(files: &ModelFiles, configs: &EncoderConfigs<'_>, out: &mut GgufMetadata) -> Result<()> {
    let (vision, projection_dim) = (configs.vision, count(files.config(), "hidden_size", 2304)?);
    let layers = encoder_layers(configs)?;
    let vision_hparams = EncoderHparams {
        projection_dim,
        hidden_size: count(vision, "hidden_size", VISION_HIDDEN_SIZE)?,
        intermediate_size: count(vision, "intermediate_size", 3072)?,
        layers: layers.vision,
        attention_heads: count(vision, "num_attention_heads", 12)?,
    };
    let audio_hparams = |audio: &ModelConfig| {
        let hidden_size = count(audio, "hidden_size", AUDIO_HIDDEN_SIZE)?;
        Ok(EncoderHparams {
            projection_dim,
            hidden_size,
            intermediate_size: hidden_size.saturating_mul(4),
            layers: layers.audio,
            attention_heads: count(audio, "num_attention_heads", 8)?,
        })
    };
    let encoders = DescribedEncoders {
        vision: (vision, "gemma4v", vision_hparams),
        audio: match configs.audio {
            Some(audio) => Some((audio, "gemma4a", audio_hparams(audio)?)),
            None => None,
        },
    };
    encoders.write(files, out)?;
    // the only activation that `FIXED_VISION` lets pass; without the key llama.cpp computes another one
    out.set("clip.use_gelu", true);
    Ok(())
}

/// Encoders by configuration, projector type and sizes.
pub(super) struct DescribedEncoders<'a> {
    pub(super) vision: (&'a ModelConfig, &'static str, EncoderHparams),
    pub(super) audio: Option<(&'a ModelConfig, &'static str, EncoderHparams)>,
}

impl DescribedEncoders<'_> {
    /// Writes the metadata of both encoders.
    pub(super) fn write(self, files: &ModelFiles, out: &mut GgufMetadata) -> Result<()> {
        let (vision, name, hparams) = self.vision;
        let preprocessor = PreprocessorConfig::of(files)?;
        let input = ImageInput {
            // images have no fixed size, and llama.cpp does not read this
            image_size: 224,
            patch_size: count(vision, "patch_size", 16)?,
            mean: preprocessor.channels("image_mean")?,
            std: preprocessor.channels("image_std")?,
        };
        let audio = match self.audio {
            None => None,
            Some((audio, name, hparams)) => {
                let mel_bins = count(audio, "input_feat_size", 128)?;
                Some(AudioEncoder { projector: projector_type(audio, name)?, hparams, mel_bins })
            }
        };
        let vision = VisionEncoder { projector: projector_type(vision, name)?, hparams, input };
        clip_metadata::write_encoders(vision, audio.as_ref(), out);
        Ok(())
    }
}

fn projector_type(config: &ModelConfig, name: &'static str) -> Result<ProjectorType> {
    Ok(ProjectorType { name, norm_epsilon: config.f32("layer_norm_eps")?.unwrap_or(1e-6) })
}
