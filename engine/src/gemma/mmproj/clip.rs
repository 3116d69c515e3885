//! The parameters that all towers have, in the converter's order.

use crate::gguf::{GgufMetadata, MetadataValue};

/// The sizes of a tower.
pub(super) struct EncoderHparams {
    /// Of the language model that it speaks to.
    pub(super) projection: u32,
    pub(super) width: u32,
    pub(super) feed_forward: u32,
    pub(super) layers: u32,
    pub(super) heads: u32,
}

/// What a vision tower looks at.
pub(super) struct ImageInput {
    pub(super) size: u32,
    pub(super) patch: u32,
    pub(super) mean: MetadataValue,
    pub(super) deviation: MetadataValue,
}

/// What llama.cpp calls a tower.
pub(super) struct ProjectorKeys {
    pub(super) name: &'static str,
    /// What its norms add.
    pub(super) epsilon: f32,
}

/// A tower that listens.
pub(super) struct AudioEncoder {
    pub(super) kind: ProjectorKeys,
    pub(super) sizes: EncoderHparams,
    /// The number of pitches that a sound is taken apart into.
    pub(super) mel_bins: u32,
}

/// Towers that have their kinds each, in one file.
pub(super) fn both(
    kind: ProjectorKeys,
    sizes: &EncoderHparams,
    image: ImageInput,
    heard: Option<&AudioEncoder>,
    out: &mut GgufMetadata,
) {
    vision(sizes, image, out);
    if let Some(heard) = heard {
        out.set("clip.has_audio_encoder", true);
        out.set("clip.audio.projection_dim", heard.sizes.projection);
        tower("audio", &heard.sizes, out);
    }
    out.set("clip.vision.projector_type", kind.name);
    out.set("clip.vision.attention.layer_norm_epsilon", kind.epsilon);
    if let Some(heard) = heard {
        out.set("clip.audio.projector_type", heard.kind.name);
        out.set("clip.audio.num_mel_bins", heard.mel_bins);
        out.set("clip.audio.attention.layer_norm_epsilon", heard.kind.epsilon);
    }
}

pub(super) fn vision(sizes: &EncoderHparams, image: ImageInput, out: &mut GgufMetadata) {
    out.set("clip.has_vision_encoder", true);
    out.set("clip.vision.projection_dim", sizes.projection);
    out.set("clip.vision.image_size", image.size);
    out.set("clip.vision.patch_size", image.patch);
    tower("vision", sizes, out);
    out.set("clip.vision.image_mean", image.mean);
    out.set("clip.vision.image_std", image.deviation);
}

fn tower(kind: &str, sizes: &EncoderHparams, out: &mut GgufMetadata) {
    out.set(&format!("clip.{kind}.embedding_length"), sizes.width);
    out.set(&format!("clip.{kind}.feed_forward_length"), sizes.feed_forward);
    out.set(&format!("clip.{kind}.block_count"), sizes.layers);
    out.set(&format!("clip.{kind}.attention.head_count"), sizes.heads);
}
