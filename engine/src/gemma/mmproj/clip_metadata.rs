//! The metadata that all encoders have, in the converter's order.

use crate::gguf::{GgufMetadata, MetadataValue};

/// The sizes of an encoder.
pub(super) struct EncoderHparams {
    /// The hidden size of the language model, to which the projector projects.
    pub(super) projection_dim: u32,
    pub(super) hidden_size: u32,
    pub(super) intermediate_size: u32,
    pub(super) layers: u32,
    pub(super) attention_heads: u32,
}

/// The images that a vision encoder takes.
pub(super) struct ImageInput {
    pub(super) image_size: u32,
    pub(super) patch_size: u32,
    pub(super) mean: MetadataValue,
    pub(super) std: MetadataValue,
}

/// llama.cpp's name for an encoder with its projector, and the epsilon of its norms.
pub(super) struct ProjectorType {
    pub(super) name: &'static str,
    pub(super) norm_epsilon: f32,
}

/// A vision encoder with its projector.
pub(super) struct VisionEncoder {
    pub(super) projector: ProjectorType,
    pub(super) hparams: EncoderHparams,
    pub(super) input: ImageInput,
}

/// An audio encoder with its projector.
pub(super) struct AudioEncoder {
    pub(super) projector: ProjectorType,
    pub(super) hparams: EncoderHparams,
    /// The number of mel bands of the spectrogram.
    pub(super) mel_bins: u32,
}

/// Writes a vision and perhaps an audio encoder, each with a projector type of its own.
pub(super) fn write_encoders(vision: VisionEncoder, audio: Option<&AudioEncoder>, out: &mut GgufMetadata) {
    write_vision(&vision.hparams, vision.input, out);
    if let Some(audio) = audio {
        out.set("clip.has_audio_encoder", true);
        out.set("clip.audio.projection_dim", audio.hparams.projection_dim);
        write_sizes("audio", &audio.hparams, out);
    }
    out.set("clip.vision.projector_type", vision.projector.name);
    out.set("clip.vision.attention.layer_norm_epsilon", vision.projector.norm_epsilon);
    if let Some(audio) = audio {
        out.set("clip.audio.projector_type", audio.projector.name);
        out.set("clip.audio.num_mel_bins", audio.mel_bins);
        out.set("clip.audio.attention.layer_norm_epsilon", audio.projector.norm_epsilon);
    }
}

/// Writes a vision encoder without its projector type.
pub(super) fn write_vision(hparams: &EncoderHparams, input: ImageInput, out: &mut GgufMetadata) {
    out.set("clip.has_vision_encoder", true);
    out.set("clip.vision.projection_dim", hparams.projection_dim);
    out.set("clip.vision.image_size", input.image_size);
    out.set("clip.vision.patch_size", input.patch_size);
    write_sizes("vision", hparams, out);
    out.set("clip.vision.image_mean", input.mean);
    out.set("clip.vision.image_std", input.std);
}

fn write_sizes(encoder: &str, hparams: &EncoderHparams, out: &mut GgufMetadata) {
    out.set(&format!("clip.{encoder}.embedding_length"), hparams.hidden_size);
    out.set(&format!("clip.{encoder}.feed_forward_length"), hparams.intermediate_size);
    out.set(&format!("clip.{encoder}.block_count"), hparams.layers);
    out.set(&format!("clip.{encoder}.attention.head_count"), hparams.attention_heads);
}
