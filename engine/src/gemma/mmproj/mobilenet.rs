//! The tensors of a MobileNetV5 in a GGUF file, and the sizes that they must have in common. Its sizes are those of timm's
//! model and not in `config.json`.

use std::collections::{BTreeMap, BTreeSet, HashSet};

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

/// A kind of blocks: a block with any of its tensors is of this kind.
struct BlockKind {
    /// Those that every block of the kind has.
    required: &'static [&'static str],
    /// Those that a block has all or none of.
    together: &'static [&'static [&'static str]],
    /// Whether its output is scaled, in networks that scale outputs.
    is_scaled: bool,
}

const BLOCK_KINDS: [BlockKind; 3] = [
    BlockKind {
        required: &["conv_exp.weight", "bn1.weight", "conv_pwl.weight", "bn2.weight"],
        together: &[],
        is_scaled: false,
    },
    BlockKind {
        required: &["pw_exp.conv.weight", "pw_exp.bn.weight", "pw_proj.conv.weight", "pw_proj.bn.weight"],
        together: &[
            &["dw_start.conv.weight", "dw_start.bn.weight"],
            &["dw_mid.conv.weight", "dw_mid.bn.weight"],
        ],
        is_scaled: true,
    },
    BlockKind {
        required: &[
            "norm.weight",
            "attn.query.proj.weight",
            "attn.key.proj.weight",
            "attn.value.proj.weight",
            "attn.output.proj.weight",
        ],
        together: &[&[
            "attn.key.down_conv.weight",
            "attn.key.norm.weight",
            "attn.value.down_conv.weight",
            "attn.value.norm.weight",
        ]],
        is_scaled: true,
    },
];

/// Scales the output of a block.
const LAYER_SCALE: &str = "layer_scale.gamma";

/// The stages that llama.cpp reads.
const STAGES: u32 = 4;

/// The channels after the stem of timm's `mobilenetv5_300m_enc`, and the blocks in each of its stages.
const STEM_CHANNELS: u64 = 64;
const STAGE_BLOCKS: [usize; STAGES as usize] = [3, 5, 37, 39];

/// The tensors that tell the blocks of timm's network apart, and whether the block of this stage and number has them.
const DISTINCT: [(&str, fn(u32, u32) -> bool); 6] = [
    ("conv_exp.weight", |stage, _| stage == 0),
    ("dw_start.conv.weight", |stage, number| matches!((stage, number), (1, _) | (2, 0..=7) | (3, 0))),
    ("dw_mid.conv.weight", |stage, number| stage > 0 && number == 0),
    ("pw_exp.conv.weight", |stage, number| stage > 0 && !has_attention(stage, number)),
    ("attn.query.proj.weight", has_attention),
    ("attn.key.down_conv.weight", |stage, number| stage == 2 && has_attention(stage, number)),
];

/// Every other block of the last two stages has attention, in the third one after its start.
fn has_attention(stage: u32, number: u32) -> bool {
    let first = match stage {
        2 => 9,
        3 => 1,
        _ => return false,
    };
    number >= first && number % 2 == 1
}

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
        let stage = stage.parse().ok().filter(|stage| *stage < STAGES)?;
        return Some((Group::Block(stage, number.parse().ok()?), sizes_in(&IN_BLOCK, tensor)?));
    }
    let stem = sizes_in(&STEM, name).map(|sizes| (Group::Stem, sizes));
    stem.or_else(|| Some((Group::Fusion, sizes_in(&FUSION, name)?)))
}

/// Whether this is the name of a tensor in the network.
pub(super) fn is_tensor(name: &str) -> bool {
    group_of(name).is_some()
}

/// The tensors of the blocks that a network with these tensors requires. llama.cpp leaves out what it does not find, and reads
/// a stage up to the first number without a block: such a file loads, and computes something else.
pub(super) fn required_by(names: &HashSet<String>) -> Vec<String> {
    let mut blocks: BTreeMap<(u32, u32), HashSet<&str>> = BTreeMap::new();
    for name in names {
        if let Some((Group::Block(stage, number), _)) = group_of(name) {
            let tensor = name.splitn(5, '.').nth(4).unwrap_or_default();
            blocks.entry((stage, number)).or_default().insert(tensor);
        }
    }
    if blocks.is_empty() && names.iter().all(|name| group_of(name).is_none()) {
        return Vec::new();
    }
    let is_scaled = blocks.values().any(|tensors| tensors.contains(LAYER_SCALE));
    let missing_blocks = (0..STAGES).filter_map(|stage| {
        let numbers: BTreeSet<u32> = blocks.keys().filter(|key| key.0 == stage).map(|key| key.1).collect();
        let expected = (0..=numbers.len() as u32).find(|number| !numbers.contains(number))?;
        let is_gap = numbers.is_empty() || numbers.last().is_some_and(|last| *last > expected);
        is_gap.then(|| format!("{BLOCKS}{stage}.{expected}.*"))
    });
    let in_blocks = blocks.iter().flat_map(|((stage, number), tensors)| {
        let required = required_in_block(tensors, is_scaled).into_iter();
        required.map(move |tensor| format!("{BLOCKS}{stage}.{number}.{tensor}"))
    });
    missing_blocks.chain(in_blocks).collect()
}

fn required_in_block(tensors: &HashSet<&str>, network_scales: bool) -> Vec<&'static str> {
    let has_any = |names: &[&str]| names.iter().any(|name| tensors.contains(name));
    let mut required = Vec::new();
    for BlockKind { required: always, together, is_scaled } in &BLOCK_KINDS {
        let more: Vec<_> = together.iter().filter(|names| has_any(names)).copied().flatten().collect();
        if has_any(always) || !more.is_empty() {
            required.extend(always.iter().chain(more));
            required.extend((*is_scaled && network_scales).then_some(LAYER_SCALE));
        }
    }
    if required.is_empty() { vec!["*"] } else { required }
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
    other_blocks(tensors)
}

/// Whether a network with the stem of timm's has other blocks: the position of the stem, and the problem.
fn other_blocks(tensors: &[EncoderTensor<'_>]) -> Option<(usize, String)> {
    let is_stem = |tensor: &EncoderTensor<'_>| {
        tensor.in_file == STEM[0].0 && tensor.shape.first() == Some(&STEM_CHANNELS)
    };
    let stem = tensors.iter().position(is_stem)?;
    let names: HashSet<&str> = tensors.iter().map(|tensor| tensor.in_file.as_str()).collect();
    let blocks: BTreeSet<Group> = names.iter().filter_map(|name| Some(group_of(name)?.0)).collect();
    let in_stage =
        |stage: u32| blocks.iter().filter(|group| matches!(group, Group::Block(s, _) if *s == stage)).count();
    let stages = [0, 1, 2, 3].map(in_stage);
    if stages != STAGE_BLOCKS {
        let problem = format!(
            "is of a mobilenetv5_300m_enc, whose stages have {STAGE_BLOCKS:?} blocks; the model has {stages:?}"
        );
        return Some((stem, problem));
    }
    let of_block = |stage: u32, number: u32| {
        DISTINCT.iter().find_map(|(tensor, is_in)| {
            let name = format!("{BLOCKS}{stage}.{number}.{tensor}");
            let problem = match (is_in(stage, number), names.contains(name.as_str())) {
                (true, false) => "the model does not have",
                (false, true) => "it does not have",
                (true, true) | (false, false) => return None,
            };
            Some(format!("is of a mobilenetv5_300m_enc, and {problem} {name}"))
        })
    };
    let problem = (0..STAGES)
        .zip(STAGE_BLOCKS)
        .find_map(|(stage, count)| (0..count as u32).find_map(|number| of_block(stage, number)));
    problem.map(|problem| (stem, problem))
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

#[cfg(test)]
mod tests {
    use super::*;

    /// The names of the tensors in a network's blocks that tell them apart.
    fn blocks(stages: [usize; 4]) -> Vec<String> {
        let blocks =
            (0..STAGES).zip(stages).flat_map(|(stage, count)| (0..count as u32).map(move |n| (stage, n)));
        let of_block = |(stage, number)| {
            let distinct = DISTINCT.iter().filter(move |(_, is_in)| is_in(stage, number));
            distinct.map(move |(tensor, _)| format!("{BLOCKS}{stage}.{number}.{tensor}"))
        };
        blocks.flat_map(of_block).collect()
    }

    /// Whether a network fits whose stem has so many channels.
    fn fits(channels: u64, blocks: Vec<String>) -> Option<(usize, String)> {
        let (stem, other) = ([channels, 3, 3, 3], [1, 1, 1, 1]);
        let mut tensors = vec![EncoderTensor { name: "", shape: &stem, in_file: STEM[0].0.to_owned() }];
        tensors.extend(blocks.into_iter().map(|in_file| EncoderTensor { name: "", shape: &other, in_file }));
        other_blocks(&tensors)
    }

    #[test]
    fn a_network_with_the_stem_of_timms_has_all_of_its_blocks() {
        assert_eq!(fits(64, blocks(STAGE_BLOCKS)), None);
        let (number, problem) = fits(64, blocks([3, 5, 36, 39])).unwrap();
        assert_eq!(number, 0);
        assert!(problem.contains("[3, 5, 37, 39] blocks; the model has [3, 5, 36, 39]"), "{problem}");
        assert_eq!(fits(12, blocks([1, 1, 1, 2])), None);
    }

    #[test]
    fn a_network_with_the_stem_of_timms_has_the_convolutions_of_each_block() {
        let counts = |tensor: &str| blocks(STAGE_BLOCKS).iter().filter(|name| name.ends_with(tensor)).count();
        // of mobilenetv5_300m_enc in timm 1.0
        assert_eq!(DISTINCT.map(|(tensor, _)| counts(tensor)), [3, 14, 3, 48, 33, 14]);
        for missing in [
            "v.blk.1.2.dw_start.conv.weight",
            "v.blk.2.0.dw_mid.conv.weight",
            "v.blk.2.9.attn.key.down_conv.weight",
        ] {
            let mut names = blocks(STAGE_BLOCKS);
            names.retain(|name| name != missing);
            let (_, problem) = fits(64, names).unwrap();
            assert!(problem.ends_with(&format!("the model does not have {missing}")), "{problem}");
        }
        let more = "v.blk.3.1.attn.key.down_conv.weight".to_owned();
        let (_, problem) = fits(64, [blocks(STAGE_BLOCKS), vec![more]].concat()).unwrap();
        assert!(problem.ends_with("it does not have v.blk.3.1.attn.key.down_conv.weight"), "{problem}");
    }
}
