//! From the tensor names of an encoder or projector in the checkpoint to those in the GGUF file.

use super::family::EncoderLayers;
use crate::gemma::tensor_names::{NO_SUFFIX, NameTable, find};

/// An encoder or projector.
#[derive(Debug)]
pub(super) struct TensorMap {
    /// The start of its names in the checkpoint.
    pub(super) prefix: &'static str,
    /// Tensors outside of layers, by their names in the checkpoint without the prefix, and in the file.
    pub(super) tensors: NameTable,
    /// Tensors outside of layers, in some models.
    pub(super) optional_tensors: NameTable,
    pub(super) layers: Option<LayerMap>,
}

/// The layers of an encoder.
#[derive(Debug)]
pub(super) struct LayerMap {
    /// What follows the encoder's prefix, up to the layer's number.
    pub(super) prefix: &'static str,
    pub(super) encoder: EncoderKind,
    /// Modules by their names in the checkpoint and in the file. A name in the file with a dot is a whole tensor's.
    pub(super) modules: NameTable,
    /// Modules in some models.
    pub(super) optional_modules: NameTable,
    /// The suffixes of the tensors that every module requires.
    pub(super) required_suffixes: &'static [&'static str],
}

/// The two kinds of encoders in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum EncoderKind {
    Vision,
    Audio,
}

impl EncoderKind {
    /// The start of its layers' names in the file.
    pub(super) fn layer_prefix(self) -> &'static str {
        match self {
            Self::Vision => "v.blk",
            Self::Audio => "a.blk",
        }
    }

    fn count(self, layers: EncoderLayers) -> u32 {
        match self {
            Self::Vision => layers.vision,
            Self::Audio => layers.audio,
        }
    }
}

/// The limits of a module that clips its input and output. transformers' defaults are infinite.
const CLIP_LIMITS: [&str; 4] = ["input_min", "input_max", "output_min", "output_max"];

/// Whether a checkpoint's tensor of this name is a limit of a module that clips.
pub(crate) fn is_clip_limit_name(name: &str) -> bool {
    name.rsplit_once('.').is_some_and(|(_, suffix)| CLIP_LIMITS.contains(&suffix))
}

/// The suffixes of a module's tensors; some modules clip their input and output.
const SUFFIXES: [&str; 7] =
    [NO_SUFFIX, "weight", "bias", CLIP_LIMITS[0], CLIP_LIMITS[1], CLIP_LIMITS[2], CLIP_LIMITS[3]];

/// The GGUF name of a tensor that one of these maps has.
pub(super) fn gguf_name<'a>(maps: impl IntoIterator<Item = &'a TensorMap>, name: &str) -> Option<String> {
    maps.into_iter().find_map(|map| map.gguf_name(name.strip_prefix(map.prefix)?))
}

impl TensorMap {
    /// The GGUF name of the tensor that has this name after the prefix.
    fn gguf_name(&self, name: &str) -> Option<String> {
        let mut tensors = self.tensors.iter().chain(self.optional_tensors);
        if let Some((_, gguf)) = tensors.find(|(known, _)| *known == name) {
            return Some((*gguf).to_owned());
        }
        let layers = self.layers.as_ref()?;
        let (number, rest) = name.strip_prefix(layers.prefix)?.split_once('.')?;
        let number: u32 = number.parse().ok()?;
        let gguf = find(rest, layers.modules, &SUFFIXES)
            .or_else(|| find(rest, layers.optional_modules, &SUFFIXES))?;
        Some(format!("{}.{number}.{gguf}", layers.encoder.layer_prefix()))
    }

    /// The tensors that a file requires if the encoders have so many layers.
    pub(super) fn required_tensors(&self, counts: EncoderLayers) -> Vec<String> {
        let mut required: Vec<String> = self.tensors.iter().map(|(_, gguf)| (*gguf).to_owned()).collect();
        if let Some(layers) = &self.layers {
            let count = layers.encoder.count(counts);
            required.extend((0..count).flat_map(|layer| layers.required_in_layer(layer)));
        }
        required
    }
}

impl LayerMap {
    fn required_in_layer(&self, layer: u32) -> impl Iterator<Item = String> {
        let prefix = self.encoder.layer_prefix();
        self.modules.iter().flat_map(move |(_, gguf)| match gguf.contains('.') {
            true => vec![format!("{prefix}.{layer}.{gguf}")],
            false => {
                let name = |suffix: &&str| format!("{prefix}.{layer}.{gguf}.{suffix}");
                self.required_suffixes.iter().map(name).collect()
            }
        })
    }
}
