//! How the matrices of a GGUF file are stored.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// How a GGUF file stores its matrices, in llama.cpp's names: from 32 bits a weight down to less than 3.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names are llama.cpp's and say all there is to say")]
#[expect(non_camel_case_types, reason = "Q4_K_M is not Q4KM to anybody")]
pub enum Quantization {
    F32,
    F16,
    BF16,
    Q8_0,
    Q6_K,
    Q5_K_M,
    Q5_K_S,
    Q5_1,
    Q5_0,
    Q4_K_M,
    Q4_K_S,
    IQ4_NL,
    IQ4_XS,
    Q4_1,
    Q4_0,
    Q3_K_L,
    Q3_K_M,
    Q3_K_S,
    Q2_K,
}

/// A text that names no type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("is not a quantisation type")]
pub struct UnknownQuantization;

impl Quantization {
    /// What an export gets that asks for none.
    pub const DEFAULT: Self = Self::Q8_0;
    /// Every type, the most exact first: the order in which messages list them.
    pub const ALL: [Self; 19] = [
        Self::F32,
        Self::F16,
        Self::BF16,
        Self::Q8_0,
        Self::Q6_K,
        Self::Q5_K_M,
        Self::Q5_K_S,
        Self::Q5_1,
        Self::Q5_0,
        Self::Q4_K_M,
        Self::Q4_K_S,
        Self::IQ4_NL,
        Self::IQ4_XS,
        Self::Q4_1,
        Self::Q4_0,
        Self::Q3_K_L,
        Self::Q3_K_M,
        Self::Q3_K_S,
        Self::Q2_K,
    ];

    /// The name on the wire, in documents and in file names.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::F16 => "f16",
            Self::BF16 => "bf16",
            Self::Q8_0 => "q8_0",
            Self::Q6_K => "q6_k",
            Self::Q5_K_M => "q5_k_m",
            Self::Q5_K_S => "q5_k_s",
            Self::Q5_1 => "q5_1",
            Self::Q5_0 => "q5_0",
            Self::Q4_K_M => "q4_k_m",
            Self::Q4_K_S => "q4_k_s",
            Self::IQ4_NL => "iq4_nl",
            Self::IQ4_XS => "iq4_xs",
            Self::Q4_1 => "q4_1",
            Self::Q4_0 => "q4_0",
            Self::Q3_K_L => "q3_k_l",
            Self::Q3_K_M => "q3_k_m",
            Self::Q3_K_S => "q3_k_s",
            Self::Q2_K => "q2_k",
        }
    }
}

impl FromStr for Quantization {
    type Err = UnknownQuantization;

    fn from_str(name: &str) -> Result<Self, UnknownQuantization> {
        Self::ALL.into_iter().find(|quantization| quantization.as_str() == name).ok_or(UnknownQuantization)
    }
}

impl fmt::Display for Quantization {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for Quantization {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Quantization {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_is_found_by_its_name() {
        for quantization in Quantization::ALL {
            assert_eq!(quantization.as_str().parse(), Ok(quantization));
            let json = serde_json::to_string(&quantization).unwrap();
            assert_eq!(serde_json::from_str::<Quantization>(&json).unwrap(), quantization);
        }
        for bad in ["", "Q8_0", "q9_0", "q4_k", "q4_k_m "] {
            assert_eq!(bad.parse::<Quantization>(), Err(UnknownQuantization), "{bad:?}");
        }
    }
}
