//! The tensors of a MobileNetV5 in a GGUF file, and the sizes that they must have in common. Its sizes are those of timm's
//! model and not in `config.json`.

use std::collections::BTreeMap;

use super::family::EncoderTensor;

/// A size that a block's tensors have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Size {
    /// The channels that the block before returns.
    Input,
    /// The channels between a block's convolutions.
    Inner,
    /// Elements of all queries of a position.
    Queries,
    Keys,
    Values,
    /// The channels that the block returns.
    Output,
    One,
    /// The side of a kernel, or channels that the network's other tensors do not say.
    Any,
}

use Size::{Any, Inner, Input, Keys, One, Output, Queries, Values};

/// The tensors before the blocks.
const STEM: [(&str, &[Size]); 3] = [
    ("v.conv_stem.conv.weight", &[Output, Any, Any, Any]),
    ("v.conv_stem.conv.bias", &[Output]),
    ("v.conv_stem.bn.weight", &[Output]),
];

/// The start of the names of the blocks' tensors.
pub(super) const BLOCKS: &str = "v.blk.";

/// The tensors that a block may have: an inverted residual, a convolution, or attention.
const IN_BLOCK: [(&str, &[Size]); 22] = [
    ("conv_exp.weight", &[Inner, Input, Any, Any]),
    ("bn1.weight", &[Inner]),
    ("conv_pwl.weight", &[Output, Inner, One, One]),
    ("bn2.weight", &[Output]),
    ("dw_start.conv.weight", &[Input, One, Any, Any]),
    ("dw_start.bn.weight", &[Input]),
    ("dw_mid.conv.weight", &[Inner, One, Any, Any]),
    ("dw_mid.bn.weight", &[Inner]),
    ("pw_exp.conv.weight", &[Inner, Input, One, One]),
    ("pw_exp.bn.weight", &[Inner]),
    ("pw_proj.conv.weight", &[Output, Inner, One, One]),
    ("pw_proj.bn.weight", &[Output]),
    ("layer_scale.gamma", &[Output]),
    ("attn.query.proj.weight", &[Queries, Input, One, One]),
    ("attn.key.proj.weight", &[Keys, Input, One, One]),
    ("attn.value.proj.weight", &[Values, Input, One, One]),
    ("attn.output.proj.weight", &[Output, Queries, One, One]),
    ("attn.key.down_conv.weight", &[Input, One, Any, Any]),
    ("attn.key.norm.weight", &[Input]),
    ("attn.value.down_conv.weight", &[Input, One, Any, Any]),
    ("attn.value.norm.weight", &[Input]),
    ("norm.weight", &[Input]),
];

/// The tensors after the blocks, which take the output of several of them.
const FUSION: [(&str, &[Size]); 5] = [
    ("v.msfa.ffn.pw_exp.conv.weight", &[Inner, Any, One, One]),
    ("v.msfa.ffn.pw_exp.bn.weight", &[Inner]),
    ("v.msfa.ffn.pw_proj.conv.weight", &[Output, Inner, One, One]),
    ("v.msfa.ffn.pw_proj.bn.weight", &[Output]),
    ("v.msfa.norm.weight", &[Output]),
];

/// The groups of the network, in the order of their computation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Group {
    Stem,
    /// By stage, and place in it.
    Block(u32, u32),
    Fusion,
}

fn group_of(name: &str) -> Option<(Group, &'static [Size])> {
    let sizes_in = |table: &[(&str, &'static [Size])], name: &str| {
        table.iter().find(|(known, _)| *known == name).map(|(_, sizes)| *sizes)
    };
    if let Some(rest) = name.strip_prefix(BLOCKS) {
        let (stage, in_stage) = rest.split_once('.')?;
        let (number, tensor) = in_stage.split_once('.')?;
        return Some((Group::Block(stage.parse().ok()?, number.parse().ok()?), sizes_in(&IN_BLOCK, tensor)?));
    }
    let stem = sizes_in(&STEM, name).map(|sizes| (Group::Stem, sizes));
    stem.or_else(|| Some((Group::Fusion, sizes_in(&FUSION, name)?)))
}

/// Whether this is the name of a tensor in the network.
pub(super) fn is_tensor(name: &str) -> bool {
    group_of(name).is_some()
}

/// The sizes of a group that are known, and the tensors that have them.
type KnownSizes<'a> = BTreeMap<Size, (u64, &'a str)>;

/// The position of the first tensor that does not fit those before it in the network, and why.
pub(super) fn misfit(tensors: &[EncoderTensor<'_>]) -> Option<(usize, String)> {
    let mut groups: BTreeMap<Group, Vec<(usize, &[Size])>> = BTreeMap::new();
    for (number, tensor) in tensors.iter().enumerate() {
        if let Some((group, sizes)) = group_of(&tensor.in_file) {
            groups.entry(group).or_default().push((number, sizes));
        }
    }
    let mut input = None;
    for members in groups.into_values() {
        let mut known: KnownSizes<'_> = input.into_iter().map(|input| (Input, input)).collect();
        for (number, sizes) in members {
            if let Some(problem) = check(&tensors[number], sizes, &mut known) {
                return Some((number, problem));
            }
        }
        input = known.get(&Output).copied();
    }
    None
}

fn check<'a>(tensor: &EncoderTensor<'a>, sizes: &[Size], known: &mut KnownSizes<'a>) -> Option<String> {
    let EncoderTensor { name, shape, .. } = *tensor;
    if sizes.len() != shape.len() {
        return Some(format!("has {} dimensions instead of {}", shape.len(), sizes.len()));
    }
    for (&size, &stored) in sizes.iter().zip(shape) {
        let required = match size {
            Any => continue,
            One => (1, "a convolution of single points or channels"),
            Input | Inner | Queries | Keys | Values | Output => *known.entry(size).or_insert((stored, name)),
        };
        if stored != required.0 {
            return Some(format!("has the shape {shape:?}, where {} requires {}", required.1, required.0));
        }
    }
    None
}
