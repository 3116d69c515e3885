//! The element types of a checkpoint.

use std::fmt;

use super::half;
use super::simd::multiversion;

/// How a safetensors file stores an element.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Dtype {
    /// 32-bit IEEE float.
    F32,
    /// 16-bit IEEE float.
    F16,
    /// The upper half of an `F32`.
    Bf16,
    /// Any other type of the format. Such tensors can be copied, not computed with.
    Other(OtherDtype),
}

/// An element type that is only copied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct OtherDtype {
    name: &'static str,
    bytes: u64,
}

impl Dtype {
    /// Parses the name in a safetensors header.
    pub fn from_name(name: &str) -> Option<Self> {
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

    /// Whether elements are integers or booleans.
    pub fn is_integer(self) -> bool {
        self.as_str().starts_with(['I', 'U', 'B']) && self != Self::Bf16
    }

    /// Bytes per element.
    pub fn bytes(self) -> u64 {
        match self {
            Self::F32 => 4,
            Self::F16 | Self::Bf16 => 2,
            Self::Other(other) => other.bytes,
        }
    }

    /// Whether this engine computes with the type.
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
    /// Converts little-endian elements to `f32`. Does nothing for types that are only copied.
    pub fn widen(self, bytes: &[u8], values: &mut [f32]) {
        match self {
            Self::F32 => widen_f32(bytes, values),
            Self::F16 => widen_f16(bytes, values),
            Self::Bf16 => widen_bf16(bytes, values),
            Self::Other(_) => {}
        }
    }

    /// Rounds `values` to this type and writes them in little endian. Does nothing for types that are only copied.
    pub fn narrow(self, values: &[f32], bytes: &mut [u8]) {
        match self {
            Self::F32 => narrow_f32(values, bytes),
            Self::F16 => narrow_f16(values, bytes),
            Self::Bf16 => narrow_bf16(values, bytes),
            Self::Other(_) => {}
        }
    }

    /// Replaces each value by `function` of it. Results are rounded to `f16` for an `f16` tensor and not rounded
    /// otherwise, as torch does after the converter has widened `bf16` to `f32`.
    pub fn map_values(self, values: &mut [f32], function: impl Fn(f32) -> f32) {
        for value in values {
            let result = function(*value);
            *value = if self == Self::F16 { half::round_to_f16(result) } else { result };
        }
    }
}

multiversion! {
    fn widen_f32(bytes: &[u8], values: &mut [f32]) {
        decode_each(bytes, values, f32::from_le_bytes);
    }
}

multiversion! {
    fn widen_f16(bytes: &[u8], values: &mut [f32]) {
        decode_each(bytes, values, |b| half::f16_to_f32(u16::from_le_bytes(b)));
    }
}

multiversion! {
    fn widen_bf16(bytes: &[u8], values: &mut [f32]) {
        decode_each(bytes, values, |b| half::bf16_to_f32(u16::from_le_bytes(b)));
    }
}

multiversion! {
    fn narrow_f32(values: &[f32], bytes: &mut [u8]) {
        encode_each(values, bytes, f32::to_le_bytes);
    }
}

multiversion! {
    fn narrow_f16(values: &[f32], bytes: &mut [u8]) {
        encode_each(values, bytes, |v| half::f32_to_f16(v).to_le_bytes());
    }
}

multiversion! {
    fn narrow_bf16(values: &[f32], bytes: &mut [u8]) {
        encode_each(values, bytes, |v| half::f32_to_bf16(v).to_le_bytes());
    }
}

#[inline(always)]
fn decode_each<const N: usize>(bytes: &[u8], values: &mut [f32], decode: impl Fn([u8; N]) -> f32) {
    for (value, bytes) in values.iter_mut().zip(bytes.as_chunks::<N>().0) {
        *value = decode(*bytes);
    }
}

#[inline(always)]
fn encode_each<const N: usize>(values: &[f32], bytes: &mut [u8], encode: impl Fn(f32) -> [u8; N]) {
    for (bytes, value) in bytes.as_chunks_mut::<N>().0.iter_mut().zip(values) {
        *bytes = encode(*value);
    }
}
