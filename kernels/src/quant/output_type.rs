//! The quantization types of GGUF files: llama.cpp's `llama_ftype`.

use std::fmt;
use std::str::FromStr;

use super::TensorType;

/// Defines [`OutputType`] from the table of its values.
macro_rules! output_types {
    ($($variant:ident: $name:literal, $file_type:literal, $default_type:ident;)+) => {
        /// What a GGUF file is quantized as: one type for all matrices, or a selection of types by tensor.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[expect(missing_docs, reason = "the names are llama.cpp's")]
        #[expect(non_camel_case_types, reason = "the names are llama.cpp's")]
        pub enum OutputType {
            $($variant,)+
        }

        impl OutputType {
            /// All types, the most exact first.
            pub const ALL: [Self; [$($file_type),+].len()] = [$(Self::$variant),+];

            /// The lower-case name, such as `q8_0`.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)+
                }
            }

            /// The value of `general.file_type` (`llama_ftype`).
            pub fn file_type(self) -> u32 {
                match self {
                    $(Self::$variant => $file_type,)+
                }
            }

            /// The type of matrices for which no rule selects another one.
            pub(super) fn default_type(self) -> TensorType {
                match self {
                    $(Self::$variant => TensorType::$default_type,)+
                }
            }
        }
    };
}

// name, llama_ftype, type of most matrices
output_types! {
    F32: "f32", 0, F32;
    F16: "f16", 1, F16;
    BF16: "bf16", 32, Bf16;
    Q8_0: "q8_0", 7, Q8_0;
    Q6_K: "q6_k", 18, Q6K;
    Q5_K_M: "q5_k_m", 17, Q5K;
    Q5_K_S: "q5_k_s", 16, Q5K;
    Q5_1: "q5_1", 9, Q5_1;
    Q5_0: "q5_0", 8, Q5_0;
    Q4_K_M: "q4_k_m", 15, Q4K;
    Q4_K_S: "q4_k_s", 14, Q4K;
    IQ4_NL: "iq4_nl", 25, Iq4Nl;
    IQ4_XS: "iq4_xs", 30, Iq4Xs;
    Q4_1: "q4_1", 3, Q4_1;
    Q4_0: "q4_0", 2, Q4_0;
    Q3_K_L: "q3_k_l", 13, Q3K;
    Q3_K_M: "q3_k_m", 12, Q3K;
    Q3_K_S: "q3_k_s", 11, Q3K;
    Q2_K: "q2_k", 10, Q2K;
}

impl OutputType {
    /// The type with this value of `general.file_type`.
    pub fn from_file_type(file_type: u32) -> Option<Self> {
        Self::ALL.into_iter().find(|output| output.file_type() == file_type)
    }

    /// Whether matrices are stored in blocks.
    pub fn is_quantized(self) -> bool {
        self.default_type().block_size() > 1
    }

    /// Whether llama.cpp's converter writes files of this type. `llama-quantize` writes the others, with its own order
    /// of tensors and metadata.
    pub fn is_converter_type(self) -> bool {
        matches!(self, Self::F32 | Self::F16 | Self::BF16 | Self::Q8_0)
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
            .find(|output| output.as_str() == lower)
            .ok_or_else(|| format!("unknown output type {text:?}: use one of {}", known()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_output_type_is_parsed_from_its_name() {
        for output in OutputType::ALL {
            assert_eq!(output.as_str().to_uppercase().parse(), Ok(output));
        }
        assert!("q9".parse::<OutputType>().unwrap_err().contains("q8_0"));
    }
}
