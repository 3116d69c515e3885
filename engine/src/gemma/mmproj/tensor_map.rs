//! Parts of the towers: from a checkpoint's tensor names to the file's.

use crate::gemma::tensor_names::{WHOLE, find};

/// A tower or projector.
#[derive(Debug)]
pub(super) struct TensorMap {
    /// How its names begin in the checkpoint.
    pub(super) root: &'static str,
    /// Tensors outside of layers, by their names in the checkpoint, after the root, and in the file.
    pub(super) around: &'static [(&'static str, &'static str)],
    /// The same, in some models.
    pub(super) some_around: &'static [(&'static str, &'static str)],
    pub(super) layers: Option<LayerMap>,
}

/// The layers of a tower.
#[derive(Debug)]
pub(super) struct LayerMap {
    /// How their names go on after the root, up to the number.
    pub(super) root: &'static str,
    pub(super) tower: EncoderTensor,
    /// Modules by their names in checkpoint and file. A name with a point in the file is that of a tensor whole.
    pub(super) modules: &'static [(&'static str, &'static str)],
    /// The same, in some models.
    pub(super) some_modules: &'static [(&'static str, &'static str)],
    /// What modules cannot lack.
    pub(super) kinds: &'static [&'static str],
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum EncoderTensor {
    Vision,
    Audio,
}

impl EncoderTensor {
    /// How the names of its layers begin in the file.
    fn blocks(self) -> &'static str {
        match self {
            Self::Vision => "v.blk",
            Self::Audio => "a.blk",
        }
    }
}

/// What a module may have; some clip what goes in and comes out.
const KINDS: [&str; 7] = [WHOLE, "weight", "bias", "input_min", "input_max", "output_min", "output_max"];

/// The name in the file of a tensor of one of these parts.
pub(super) fn named<'a>(parts: impl IntoIterator<Item = &'a TensorMap>, name: &str) -> Option<String> {
    parts.into_iter().find_map(|part| in_part(part, name.strip_prefix(part.root)?))
}

fn in_part(part: &TensorMap, name: &str) -> Option<String> {
    if let Some((_, file)) = part.around.iter().chain(part.some_around).find(|(known, _)| *known == name) {
        return Some((*file).to_owned());
    }
    let layers = part.layers.as_ref()?;
    let (number, rest) = name.strip_prefix(layers.root)?.split_once('.')?;
    let number: u32 = number.parse().ok()?;
    let found = find(rest, layers.modules, &KINDS).or_else(|| find(rest, layers.some_modules, &KINDS))?;
    Some(format!("{}.{number}.{found}", layers.tower.blocks()))
}

/// The tensors that a file cannot lack where the towers have so many layers.
pub(super) fn needed(part: &TensorMap, vision: u32, audio: u32) -> Vec<String> {
    let mut needed: Vec<String> = part.around.iter().map(|(_, file)| (*file).to_owned()).collect();
    let Some(layers) = &part.layers else { return needed };
    let (blocks, count) = match layers.tower {
        EncoderTensor::Vision => (layers.tower.blocks(), vision),
        EncoderTensor::Audio => (layers.tower.blocks(), audio),
    };
    for layer in 0..count {
        for (_, module) in layers.modules {
            match module.contains('.') {
                true => needed.push(format!("{blocks}.{layer}.{module}")),
                false => {
                    needed
                        .extend(layers.kinds.iter().map(|kind| format!("{blocks}.{layer}.{module}.{kind}")));
                }
            }
        }
    }
    needed
}
