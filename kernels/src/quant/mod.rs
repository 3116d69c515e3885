//! Tensor types of GGUF files: encoders and decoders, and the selection of a type for each tensor.

mod blocks;
mod importance;
mod iq4;
mod iq4_nl;
mod iq4_xs;
mod k_quants;
mod legacy;
mod output_type;
mod q2_k;
mod q3_k;
mod q4_0;
mod q4_1;
mod q4_k;
mod q5_0;
mod q5_1;
mod q5_k;
mod q6_k;
mod q8_0;
mod rounding;
mod scale_search;
mod tensor_name;
mod tensor_types;
#[cfg(test)]
mod tests;
mod type_overrides;

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

pub use importance::ColumnImportance;
pub use output_type::OutputType;
pub use tensor_name::layer_number;
pub use tensor_types::{ModelShape, TypeSelector, is_f32};
pub use type_overrides::{NamedType, TypeOverrides};

use crate::numerics::Dtype;

/// Elements decoded at a time: a multiple of every type's block.
const PIECE: usize = 1024;

/// Of the blocks of 32 weights in these rows, how many there are, but for those of zeros and of one size, and how many lie on a
/// grid of 16 levels.
pub fn count_grids(values: &[f32]) -> (usize, usize) {
    let is_plain = |block: &&[f32; legacy::BLOCK_SIZE]| {
        let largest = block.iter().fold(0.0_f32, |largest, value| largest.max(value.abs()));
        block.iter().all(|value| *value == 0.0 || value.abs() == largest)
    };
    let blocks = values.as_chunks().0.iter().filter(|block| !is_plain(block));
    blocks.fold((0, 0), |(all, on_grid), block| {
        let is_on_grid = q4_0::Grid::of(block).is_some_and(|grid| grid.has_several_sizes());
        (all + 1, on_grid + usize::from(is_on_grid))
    })
}

/// No quantized type stores larger values: the largest `f16` scale times the factors of Q6_K.
pub const LARGEST_QUANTIZED: f32 = 65_504.0 * 128.0 * 32.0;

/// The type of a stored tensor (`ggml_type`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "&'static str")]
pub enum TensorType {
    /// 32-bit float.
    F32,
    /// 16-bit float.
    F16,
    /// bfloat16.
    Bf16,
    /// 4 bits and a scale.
    Q4_0,
    /// 4 bits, a scale and a minimum.
    Q4_1,
    /// 5 bits and a scale.
    Q5_0,
    /// 5 bits, a scale and a minimum.
    Q5_1,
    /// 8 bits and a scale.
    Q8_0,
    /// 2 bits, with scales and minima of groups.
    Q2K,
    /// 3 bits, with scales of groups.
    Q3K,
    /// 4 bits, with scales and minima of groups.
    Q4K,
    /// 5 bits, with scales and minima of groups.
    Q5K,
    /// 6 bits, with scales of groups.
    Q6K,
    /// 4 bits for nonlinear values, and a scale.
    Iq4Nl,
    /// 4 bits for nonlinear values, with scales of groups.
    Iq4Xs,
}

/// What ggml knows of a type (`ggml_type_traits`).
struct TypeTraits {
    name: &'static str,
    /// The number in a file.
    ggml_type: u32,
    block_size: usize,
    block_bytes: usize,
}

impl TypeTraits {
    const fn new(name: &'static str, ggml_type: u32, block_size: usize, block_bytes: usize) -> Self {
        Self { name, ggml_type, block_size, block_bytes }
    }
}

impl TensorType {
    /// All types.
    pub const ALL: [Self; 15] = [
        Self::F32,
        Self::F16,
        Self::Bf16,
        Self::Q4_0,
        Self::Q4_1,
        Self::Q5_0,
        Self::Q5_1,
        Self::Q8_0,
        Self::Q2K,
        Self::Q3K,
        Self::Q4K,
        Self::Q5K,
        Self::Q6K,
        Self::Iq4Nl,
        Self::Iq4Xs,
    ];

    fn traits(self) -> TypeTraits {
        match self {
            Self::F32 => TypeTraits::new("F32", 0, 1, 4),
            Self::F16 => TypeTraits::new("F16", 1, 1, 2),
            Self::Bf16 => TypeTraits::new("BF16", 30, 1, 2),
            Self::Q4_0 => TypeTraits::new("Q4_0", 2, legacy::BLOCK_SIZE, q4_0::BLOCK_BYTES),
            Self::Q4_1 => TypeTraits::new("Q4_1", 3, legacy::BLOCK_SIZE, q4_1::BLOCK_BYTES),
            Self::Q5_0 => TypeTraits::new("Q5_0", 6, legacy::BLOCK_SIZE, q5_0::BLOCK_BYTES),
            Self::Q5_1 => TypeTraits::new("Q5_1", 7, legacy::BLOCK_SIZE, q5_1::BLOCK_BYTES),
            Self::Q8_0 => TypeTraits::new("Q8_0", 8, legacy::BLOCK_SIZE, q8_0::BLOCK_BYTES),
            Self::Q2K => TypeTraits::new("Q2_K", 10, k_quants::BLOCK_SIZE, q2_k::BLOCK_BYTES),
            Self::Q3K => TypeTraits::new("Q3_K", 11, k_quants::BLOCK_SIZE, q3_k::BLOCK_BYTES),
            Self::Q4K => TypeTraits::new("Q4_K", 12, k_quants::BLOCK_SIZE, q4_k::BLOCK_BYTES),
            Self::Q5K => TypeTraits::new("Q5_K", 13, k_quants::BLOCK_SIZE, q5_k::BLOCK_BYTES),
            Self::Q6K => TypeTraits::new("Q6_K", 14, k_quants::BLOCK_SIZE, q6_k::BLOCK_BYTES),
            Self::Iq4Nl => TypeTraits::new("IQ4_NL", 20, legacy::BLOCK_SIZE, iq4_nl::BLOCK_BYTES),
            Self::Iq4Xs => TypeTraits::new("IQ4_XS", 23, k_quants::BLOCK_SIZE, iq4_xs::BLOCK_BYTES),
        }
    }

    /// The type with this number in a file (`ggml_type`).
    pub fn from_ggml_type(number: u32) -> Option<Self> {
        Self::ALL.into_iter().find(|tensor_type| tensor_type.ggml_type() == number)
    }

    /// The number in a file (`ggml_type`).
    pub fn ggml_type(self) -> u32 {
        self.traits().ggml_type
    }

    /// ggml's name.
    pub fn as_str(self) -> &'static str {
        self.traits().name
    }

    /// Elements per block; the length of a row is a multiple of it.
    pub fn block_size(self) -> u64 {
        self.traits().block_size as u64
    }

    /// Bytes per block.
    pub fn block_bytes(self) -> u64 {
        self.traits().block_bytes as u64
    }

    /// Bytes of `elements`, a multiple of the block size.
    pub fn bytes(self, elements: u64) -> u64 {
        elements / self.block_size() * self.block_bytes()
    }

    /// Encodes whole rows (ggml's `quantize_row_…`, to the bit). With the `importance` of each column, encodes one row.
    pub fn encode(self, values: &[f32], importance: Option<&[f32]>, bytes: &mut [u8]) {
        let encode = match self {
            Self::F32 => return Dtype::F32.narrow(values, bytes),
            Self::F16 => return Dtype::F16.narrow(values, bytes),
            Self::Bf16 => return Dtype::Bf16.narrow(values, bytes),
            Self::Q8_0 => return q8_0::encode(values, bytes),
            Self::Q4_0 => q4_0::encode,
            Self::Q4_1 => q4_1::encode,
            Self::Q5_0 => q5_0::encode,
            Self::Q5_1 => q5_1::encode,
            Self::Q2K => q2_k::encode,
            Self::Q3K => q3_k::encode,
            Self::Q4K => q4_k::encode,
            Self::Q5K => q5_k::encode,
            Self::Q6K => q6_k::encode,
            Self::Iq4Nl => iq4_nl::encode,
            Self::Iq4Xs => iq4_xs::encode,
        };
        encode(values, importance, bytes);
    }

    /// Encodes as [`encode`](Self::encode), in Q4_0 with the steps of grids on which blocks of weights lie.
    pub fn encode_on_grid(self, values: &[f32], importance: Option<&[f32]>, bytes: &mut [u8]) {
        if self == Self::Q4_0 {
            q4_0::encode_on_grid(values, importance, bytes);
        } else {
            self.encode(values, importance, bytes);
        }
    }

    /// Decodes whole blocks (ggml's `dequantize_row_…`, to the bit).
    pub fn decode(self, bytes: &[u8], values: &mut [f32]) {
        match self {
            Self::F32 => Dtype::F32.widen(bytes, values),
            Self::F16 => Dtype::F16.widen(bytes, values),
            Self::Bf16 => Dtype::Bf16.widen(bytes, values),
            Self::Q4_0 => q4_0::decode(bytes, values),
            Self::Q4_1 => q4_1::decode(bytes, values),
            Self::Q5_0 => q5_0::decode(bytes, values),
            Self::Q5_1 => q5_1::decode(bytes, values),
            Self::Q8_0 => q8_0::decode(bytes, values),
            Self::Q2K => q2_k::decode(bytes, values),
            Self::Q3K => q3_k::decode(bytes, values),
            Self::Q4K => q4_k::decode(bytes, values),
            Self::Q5K => q5_k::decode(bytes, values),
            Self::Q6K => q6_k::decode(bytes, values),
            Self::Iq4Nl => iq4_nl::decode(bytes, values),
            Self::Iq4Xs => iq4_xs::decode(bytes, values),
        }
    }

    /// The position of the first of the `values` that exceeds the range of this type: its block in `bytes` has NaN or
    /// infinity, or the value is larger than any that a quantized type stores.
    pub fn first_out_of_range(self, values: &[f32], bytes: &[u8]) -> Option<usize> {
        let block_size = self.block_size() as usize;
        let mut decoded = [0.0; PIECE];
        let pieces = values.chunks(PIECE).zip(bytes.chunks(self.bytes(PIECE as u64) as usize));
        pieces.enumerate().find_map(|(piece, (values, bytes))| {
            let decoded = &mut decoded[..values.len()];
            self.decode(bytes, decoded);
            let exceeds = |(decoded, value): (&f32, &f32)| {
                !decoded.is_finite() || block_size > 1 && value.abs() > LARGEST_QUANTIZED
            };
            let first = decoded.iter().zip(values).position(exceeds)? / block_size * block_size;
            let block = first..first + block_size;
            let largest = block.max_by(|a, b| values[*a].abs().total_cmp(&values[*b].abs()));
            largest.map(|position| piece * PIECE + position)
        })
    }
}

impl fmt::Display for TensorType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for TensorType {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = || Self::ALL.map(|known| known.as_str().to_ascii_lowercase()).join(", ");
        Self::ALL
            .into_iter()
            .find(|known| known.as_str().eq_ignore_ascii_case(text))
            .ok_or_else(|| format!("unknown tensor type {text:?}: use one of {}", known()))
    }
}

impl TryFrom<String> for TensorType {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<TensorType> for &'static str {
    fn from(tensor_type: TensorType) -> Self {
        tensor_type.as_str()
    }
}
