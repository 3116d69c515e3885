//! What a GGUF file is made as, by the names people know.

use std::fmt;
use std::str::FromStr;

use super::TensorType;

/// One type for all matrices, or a mixture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names are llama.cpp's and say all there is to say")]
#[expect(non_camel_case_types, reason = "Q4_K_M is not Q4KM to anybody")]
pub enum OutputType {
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

impl OutputType {
    /// All of them, the most exact first.
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

    /// The name people use, lower case: `q8_0`.
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

    /// The number under `general.file_type` (`llama_ftype`).
    pub(crate) fn file_type(self) -> u32 {
        match self {
            Self::F32 => 0,
            Self::F16 => 1,
            Self::Q4_0 => 2,
            Self::Q4_1 => 3,
            Self::Q8_0 => 7,
            Self::Q5_0 => 8,
            Self::Q5_1 => 9,
            Self::Q2_K => 10,
            Self::Q3_K_S => 11,
            Self::Q3_K_M => 12,
            Self::Q3_K_L => 13,
            Self::Q4_K_S => 14,
            Self::Q4_K_M => 15,
            Self::Q5_K_S => 16,
            Self::Q5_K_M => 17,
            Self::Q6_K => 18,
            Self::IQ4_NL => 25,
            Self::IQ4_XS => 30,
            Self::BF16 => 32,
        }
    }

    /// The type of a file with this number under `general.file_type`.
    pub(crate) fn of_file_type(number: u32) -> Option<Self> {
        Self::ALL.into_iter().find(|output| output.file_type() == number)
    }

    /// The type of matrices that have no reason for another.
    pub(super) fn usual(self) -> TensorType {
        match self {
            Self::F32 => TensorType::F32,
            Self::F16 => TensorType::F16,
            Self::BF16 => TensorType::Bf16,
            Self::Q8_0 => TensorType::Q8_0,
            Self::Q6_K => TensorType::Q6K,
            Self::Q5_K_M | Self::Q5_K_S => TensorType::Q5K,
            Self::Q5_1 => TensorType::Q5_1,
            Self::Q5_0 => TensorType::Q5_0,
            Self::Q4_K_M | Self::Q4_K_S => TensorType::Q4K,
            Self::IQ4_NL => TensorType::Iq4Nl,
            Self::IQ4_XS => TensorType::Iq4Xs,
            Self::Q4_1 => TensorType::Q4_1,
            Self::Q4_0 => TensorType::Q4_0,
            Self::Q3_K_L | Self::Q3_K_M | Self::Q3_K_S => TensorType::Q3K,
            Self::Q2_K => TensorType::Q2K,
        }
    }

    /// Whether it is llama.cpp's converter that makes such files by itself; the others come from `llama-quantize`,
    /// which orders tensors and keys in its own way.
    pub(crate) fn is_the_converters(self) -> bool {
        match self {
            Self::F32 | Self::F16 | Self::BF16 | Self::Q8_0 => true,
            Self::Q6_K
            | Self::Q5_K_M
            | Self::Q5_K_S
            | Self::Q5_1
            | Self::Q5_0
            | Self::Q4_K_M
            | Self::Q4_K_S
            | Self::IQ4_NL
            | Self::IQ4_XS
            | Self::Q4_1
            | Self::Q4_0
            | Self::Q3_K_L
            | Self::Q3_K_M
            | Self::Q3_K_S
            | Self::Q2_K => false,
        }
    }
}

impl fmt::Display for OutputType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for OutputType {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let lower = text.to_ascii_lowercase();
        let known = || Self::ALL.map(Self::as_str).join(", ");
        Self::ALL
            .into_iter()
            .find(|t| t.as_str() == lower)
            .ok_or_else(|| format!("{text:?} is no output type; there are {}", known()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_output_type_is_found_by_its_name() {
        for output in OutputType::ALL {
            assert_eq!(output.as_str().to_uppercase().parse(), Ok(output));
        }
        assert!("q9".parse::<OutputType>().unwrap_err().contains("q8_0"));
    }
}
