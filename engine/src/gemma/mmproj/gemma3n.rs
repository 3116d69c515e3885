//! The vision encoder (MobileNetV5), the audio encoder (a conformer) and the projectors of a multimodal Gemma 3n.

use kernels::numerics::TensorTransform;
use kernels::quant::{OutputType, TensorType};

use super::clip_metadata;
use super::clip_metadata::{AudioEncoder, EncoderHparams, ImageInput, ProjectorType, VisionEncoder};
use super::encoder_shapes::EncoderSizes;
use super::family::{EncoderConfigs, EncoderLayers, MmprojFamily, TransformedShape, count};
use super::fixed_settings::{FixedSetting, FixedValue};
use super::gemma4::is_audio_convolution;
use super::mobilenet;
use super::preprocessor::PreprocessorConfig;
use super::subsampling::{Subsampling, numbers};
use super::tensor_map::{EncoderKind, LayerMap, TensorMap, gguf_name};
use crate::checkpoint::{ModelConfig, ModelFiles};
use crate::error::Result;
use crate::gemma::{ExpectedShape, MappedTensor};
use crate::gguf::{GgufMetadata, MetadataValue};

pub(in crate::gemma) static GEMMA3N: MmprojFamily = MmprojFamily {
    classes: &["Gemma3nForConditionalGeneration", "gemma3n"],
    vision_maps: &[&VISION, &VISION_PROJECTOR],
    audio_maps: &[&AUDIO, &AUDIO_PROJECTOR],
    map_tensor,
    transform,
    layer_sizes,
    tensor_shape,
    misfit: mobilenet::misfit,
    required_by: mobilenet::required_by,
    unused_module: None,
    fixed_type,
    encoder_layers,
    fixed_settings: [FIXED_VISION, &[]],
    parameters,
};

const FIXED_VISION: &[FixedSetting] = &[
    ("architecture", FixedValue::Text("mobilenetv5_300m_enc")),
    ("do_pooling", FixedValue::False),
    ("rms_norm_eps", FixedValue::Number(1e-6)),
];

/// The hidden size of `Gemma3nAudioConfig` where `config.json` has none.
const AUDIO_HIDDEN_SIZE: u32 = 1536;

/// timm's blocks are numbered by stage and within it, and have the same names in the file.
const TIMM_BLOCKS: &str = "vision_tower.blocks.";

static VISION: TensorMap = TensorMap {
    prefix: "vision_tower.",
    tensors: &[
        ("conv_stem.conv.weight", "v.conv_stem.conv.weight"),
        ("conv_stem.bn.weight", "v.conv_stem.bn.weight"),
        ("msfa.ffn.pw_exp.conv.weight", "v.msfa.ffn.pw_exp.conv.weight"),
        ("msfa.ffn.pw_exp.bn.weight", "v.msfa.ffn.pw_exp.bn.weight"),
        ("msfa.ffn.pw_proj.conv.weight", "v.msfa.ffn.pw_proj.conv.weight"),
        ("msfa.ffn.pw_proj.bn.weight", "v.msfa.ffn.pw_proj.bn.weight"),
        ("msfa.norm.weight", "v.msfa.norm.weight"),
    ],
    optional_tensors: &[("conv_stem.conv.bias", "v.conv_stem.conv.bias")],
    layers: None,
};

/// From the vision encoder to the language model.
static VISION_PROJECTOR: TensorMap = TensorMap {
    prefix: "embed_vision.",
    tensors: &[
        ("embedding.weight", "mm.embedding.weight"),
        ("hard_embedding_norm.weight", "mm.hard_emb_norm.weight"),
        ("soft_embedding_norm.weight", "mm.soft_emb_norm.weight"),
        ("embedding_projection.weight", "mm.input_projection.weight"),
    ],
    optional_tensors: &[],
    layers: None,
};

static AUDIO: TensorMap = TensorMap {
    prefix: "audio_tower.",
    tensors: &[
        ("subsample_conv_projection.conv_0.conv.weight", "a.conv1d.0.weight"),
        ("subsample_conv_projection.conv_0.norm.weight", "a.conv1d.0.norm.weight"),
        ("subsample_conv_projection.conv_1.conv.weight", "a.conv1d.1.weight"),
        ("subsample_conv_projection.conv_1.norm.weight", "a.conv1d.1.norm.weight"),
        ("subsample_conv_projection.input_proj_linear.weight", "a.pre_encode.out.weight"),
    ],
    optional_tensors: &[],
    layers: Some(LayerMap {
        prefix: "conformer.",
        encoder: EncoderKind::Audio,
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
        optional_modules: &[("attention.attn.per_dim_scale", "per_dim_scale")],
        required_suffixes: &["weight"],
    }),
};

/// From the audio encoder to the language model.
static AUDIO_PROJECTOR: TensorMap = TensorMap {
    prefix: "embed_audio.",
    tensors: &[
        ("embedding.weight", "mm.a.embedding.weight"),
        ("hard_embedding_norm.weight", "mm.a.hard_emb_norm.weight"),
        ("soft_embedding_norm.weight", "mm.a.soft_emb_norm.weight"),
        ("embedding_projection.weight", "mm.a.input_projection.weight"),
    ],
    optional_tensors: &[],
    layers: None,
};

fn map_tensor(name: &str, maps: &[&'static TensorMap]) -> MappedTensor {
    let gguf = timm_block_tensor(name).or_else(|| gguf_name(maps.iter().copied(), name));
    gguf.map_or(MappedTensor::Unknown, |name| MappedTensor::Tensor(name, None))
}

fn timm_block_tensor(name: &str) -> Option<String> {
    let name = format!("{}{}", mobilenet::BLOCKS, name.strip_prefix(TIMM_BLOCKS)?);
    mobilenet::is_tensor(&name).then_some(name)
}

/// Vectors that are added to channels or scale them are stored with the shape of an image.
fn transform(_: &ModelConfig, name: &str, shape: &[u64]) -> Result<TransformedShape, String> {
    let shape = match (name, shape) {
        ("v.conv_stem.conv.bias", [channels]) => vec![1, *channels, 1, 1],
        (name, [channels]) if name.ends_with(".layer_scale.gamma") => vec![1, *channels, 1, 1],
        _ => shape.to_vec(),
    };
    Ok((shape, TensorTransform::IDENTITY))
}

/// The vision encoder's blocks have the sizes of timm's model.
fn layer_sizes(configs: &EncoderConfigs<'_>, kind: EncoderKind) -> Result<Option<EncoderSizes>> {
    let audio = configs.audio.filter(|_| kind == EncoderKind::Audio);
    let sizes = |audio| {
        EncoderSizes::conformer(audio, AUDIO_HIDDEN_SIZE, "conf_num_attention_heads", "conf_conv_kernel_size")
    };
    audio.map(sizes).transpose()
}

/// Each convolution has a margin of one feature on both sides.
fn subsampling(audio: &ModelConfig) -> Result<Subsampling> {
    let kernels: [[u64; 2]; 2] = numbers(audio, "sscp_conv_kernel_size", [[3, 3], [3, 3]])?;
    let strides: [[u64; 2]; 2] = numbers(audio, "sscp_conv_stride_size", [[2, 2], [2, 2]])?;
    let mut features = u64::from(count(audio, "input_feat_size", 128)?);
    for ([_, kernel], [_, stride]) in kernels.into_iter().zip(strides) {
        features = (features + 2).saturating_sub(kernel) / stride.max(1) + 1;
    }
    let channels = numbers(audio, "sscp_conv_channel_size", [128, 32])?;
    let hidden = count(audio, "hidden_size", AUDIO_HIDDEN_SIZE)?.into();
    Ok(Subsampling { channels, kernels, features, hidden })
}

fn tensor_shape(configs: &EncoderConfigs<'_>, name: &str) -> Result<Option<ExpectedShape>> {
    if let (true, Some(audio)) = (name.starts_with("a."), configs.audio) {
        return Ok(subsampling(audio)?.shape(name, "a.pre_encode.out.weight"));
    }
    let (encoder, name) = match (name.strip_prefix("mm.a."), configs.audio) {
        (Some(name), Some(audio)) => (Some(count(audio, "hidden_size", AUDIO_HIDDEN_SIZE)?), name),
        (Some(_), None) => return Ok(None),
        (None, _) => (Some(count(configs.vision, "hidden_size", 2048)?), name.trim_start_matches("mm.")),
    };
    let encoder = encoder.map(u64::from);
    let sizes = match name {
        "embedding.weight" => vec![None, encoder],
        "hard_emb_norm.weight" | "soft_emb_norm.weight" => vec![encoder],
        "input_projection.weight" => vec![configs.text_hidden, encoder],
        _ => return Ok(None),
    };
    Ok(Some(ExpectedShape(sizes)))
}

/// The first convolutions and projections keep their precision.
fn fixed_type(name: &str, _: OutputType) -> Option<TensorType> {
    if name == "a.pre_encode.out.weight" {
        return Some(TensorType::F16);
    }
    let is_exact = name.starts_with("v.conv_stem.") || is_audio_convolution(name);
    is_exact.then_some(TensorType::F32)
}

/// The vision encoder has blocks of timm instead of layers.
fn encoder_layers(configs: &EncoderConfigs<'_>) -> Result<EncoderLayers> {
    Ok(EncoderLayers { vision: 0, audio: configs.audio.map_or(Ok(12), audio_layers)? })
}

fn audio_layers(audio: &ModelConfig) -> Result<u32> {
    count(audio, "conf_num_hidden_layers", 12)
}

/// Defaults are those of `Gemma3nVisionConfig` and `Gemma3nAudioConfig`. The vision encoder has one size, and llama.cpp
/// does not read the metadata about its layers.
fn parameters(files: &ModelFiles, configs: &EncoderConfigs<'_>, out: &mut GgufMetadata) -> Result<()> {
    let vision = configs.vision;
    let projection_dim = count(files.config(), "hidden_size", 2048)?;
    let hparams = EncoderHparams {
        projection_dim,
        hidden_size: count(vision, "hidden_size", 2048)?,
        intermediate_size: count(vision, "intermediate_size", 2048)?.saturating_mul(4),
        layers: 128,
        attention_heads: count(vision, "num_attention_heads", 8)?,
    };
    let preprocessor = PreprocessorConfig::of(files)?;
    let tokens = preprocessor.field("image_seq_length").u32()?.unwrap_or(256);
    let image_size = preprocessor.field("size").field("height")?.u32()?.unwrap_or(768);
    let (mean, std) = (MetadataValue::F32s(vec![0.0; 3]), MetadataValue::F32s(vec![1.0; 3]));
    let input = ImageInput { image_size, patch_size: image_size / tokens.max(1), mean, std };
    let norm_epsilon = vision.f32("layer_norm_eps")?.unwrap_or(1e-6);
    let projector = ProjectorType { name: "gemma3nv", norm_epsilon };
    let audio = configs.audio.map(|audio| audio_encoder(audio, projection_dim)).transpose()?;
    clip_metadata::write_encoders(VisionEncoder { projector, hparams, input }, audio.as_ref(), out);
    Ok(())
}

fn audio_encoder(audio: &ModelConfig, projection_dim: u32) -> Result<AudioEncoder> {
    Ok(AudioEncoder {
        projector: ProjectorType { name: "gemma3na", norm_epsilon: 1e-5 },
        hparams: EncoderHparams {
            projection_dim,
            hidden_size: count(audio, "hidden_size", AUDIO_HIDDEN_SIZE)?,
            intermediate_size: count(audio, "intermediate_size", 6144)?,
            layers: audio_layers(audio)?,
            attention_heads: count(audio, "conf_num_attention_heads", 8)?,
        },
        mel_bins: count(audio, "input_feat_size", 128)?,
    })
}
