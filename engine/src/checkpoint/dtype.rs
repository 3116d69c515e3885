//! The element types of a checkpoint.

use std::fmt;

use crate::half;

/// How a safetensors file stores an element.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Dtype {
    /// 32-bit IEEE float.
    F32,
    /// 16-bit IEEE float.
    F16,
    /// The upper half of an `F32`.
    Bf16,
    /// Anything else the format knows. Such tensors can be copied, not computed with.
    Other(OtherDtype),
}

/// Types that are only copied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct OtherDtype {
    name: &'static str,
    bytes: u64,
}

impl Dtype {
    /// The type with this name in a safetensors header.
    pub(crate) fn named(name: &str) -> Option<Self> {
        const OTHERS: [OtherDtype; 11] = [
            OtherDtype { name: "F64", bytes: 8 },
            OtherDtype { name: "I64", bytes: 8 },
            OtherDtype { name: "U64", bytes: 8 },
            OtherDtype { name: "I32", bytes: 4 },
            OtherDtype { name: "U32", bytes: 4 },
            OtherDtype { name: "I16", bytes: 2 },
            OtherDtype { name: "U16", bytes: 2 },
            OtherDtype { name: "I8", bytes: 1 },
            OtherDtype { name: "U8", bytes: 1 },
            OtherDtype { name: "BOOL", bytes: 1 },
            OtherDtype { name: "F8_E4M3", bytes: 1 },
        ];
        match name {
            "F32" => Some(Self::F32),
            "F16" => Some(Self::F16),
            "BF16" => Some(Self::Bf16),
            _ => OTHERS.into_iter().find(|o| o.name == name).map(Self::Other),
        }
    }

    /// The name in a safetensors header.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::F32 => "F32",
            Self::F16 => "F16",
            Self::Bf16 => "BF16",
            Self::Other(other) => other.name,
        }
    }

    /// Bytes an element takes.
    pub fn bytes(self) -> u64 {
        match self {
            Self::F32 => 4,
            Self::F16 | Self::Bf16 => 2,
            Self::Other(other) => other.bytes,
        }
    }

    /// Whether this engine computes with it.
    pub fn is_float(self) -> bool {
        match self {
            Self::F32 | Self::F16 | Self::Bf16 => true,
            Self::Other(_) => false,
        }
    }
}

impl fmt::Display for Dtype {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Dtype {
    /// Appends the values of `bytes` (little endian) to `values`. Types that are only copied give nothing.
    pub(crate) fn widen(self, bytes: &[u8], values: &mut Vec<f32>) {
        let (pairs, _) = bytes.as_chunks::<2>();
        match self {
            Self::F32 => values.extend(bytes.as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b))),
            Self::F16 => values.extend(pairs.iter().map(|b| half::f16_to_f32(u16::from_le_bytes(*b)))),
            Self::Bf16 => values.extend(pairs.iter().map(|b| half::bf16_to_f32(u16::from_le_bytes(*b)))),
            Self::Other(_) => {}
        }
    }

    /// Adds `shift` to values of this type, as torch does on such a tensor. The converter has widened `bf16` to
    /// `f32` by then, so only `f16` rounds.
    pub(crate) fn add(self, values: &mut [f32], shift: f32) {
        for value in values {
            let sum = *value + shift;
            *value = if self == Self::F16 { half::f16_to_f32(half::f32_to_f16(sum)) } else { sum };
        }
    }

    /// Rounds `values` to this type and appends their bytes (little endian).
    pub(crate) fn narrow(self, values: &[f32], bytes: &mut Vec<u8>) {
        match self {
            Self::F32 => append(values, bytes, f32::to_le_bytes),
            Self::F16 => append(values, bytes, |v| half::f32_to_f16(v).to_le_bytes()),
            Self::Bf16 => append(values, bytes, |v| half::f32_to_bf16(v).to_le_bytes()),
            Self::Other(_) => {}
        }
    }
}

/// Appends what `encode` makes of each value.
#[inline(always)]
fn append<const N: usize>(values: &[f32], bytes: &mut Vec<u8>, encode: impl Fn(f32) -> [u8; N]) {
    let start = bytes.len();
    bytes.resize(start + values.len() * N, 0);
    for (place, value) in bytes[start..].as_chunks_mut::<N>().0.iter_mut().zip(values) {
        *place = encode(*value);
    }
}
