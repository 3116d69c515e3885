//! Quantization types of GGUF files.

use std::{fmt, str::FromStr};

use super::GgufKind;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Defines [`Quantization`] from one table of variants and names.
macro_rules! quantization_types {
    ($($variant:ident = $name:literal),+ $(,)?) => {
        /// Quantization type of a GGUF file, named as in llama.cpp: from 32 bits per weight down to less than 3.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[expect(missing_docs, reason = "the names are those of llama.cpp")]
        #[expect(non_camel_case_types, reason = "Q4_K_M is the name in the field, not Q4KM")]
        pub enum Quantization {
            $($variant),+
        }

        impl Quantization {
            /// Every type, the most precise first: the order in messages and in the API description.
            pub const ALL: [Self; [$($name),+].len()] = [$(Self::$variant),+];

            /// The name on the wire, in documents and in file names. The engine parses the same names.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $name),+
                }
            }
        }
    };
}

quantization_types! {
    F32 = "f32",
    F16 = "f16",
    BF16 = "bf16",
    Q8_0 = "q8_0",
    Q6_K = "q6_k",
    Q5_K_M = "q5_k_m",
    Q5_K_S = "q5_k_s",
    Q5_1 = "q5_1",
    Q5_0 = "q5_0",
    Q4_K_M = "q4_k_m",
    Q4_K_S = "q4_k_s",
    IQ4_NL = "iq4_nl",
    IQ4_XS = "iq4_xs",
    Q4_1 = "q4_1",
    Q4_0 = "q4_0",
    Q3_K_L = "q3_k_l",
    Q3_K_M = "q3_k_m",
    Q3_K_S = "q3_k_s",
    Q2_K = "q2_k",
}

impl Quantization {
    /// The type of an export whose request names none.
    pub const DEFAULT: Self = Self::Q8_0;
}

impl Quantization {
    /// The types of a LoRA adapter as a GGUF.
    pub const OF_LORA: [Self; 4] = [Self::F32, Self::F16, Self::BF16, Self::Q8_0];

    /// Whether an importance matrix changes the file: the types of llama.cpp's converter have none.
    #[must_use]
    pub fn uses_imatrix(self) -> bool {
        !matches!(self, Self::F32 | Self::F16 | Self::BF16 | Self::Q8_0)
    }

    /// The types that a GGUF of that kind can have.
    #[must_use]
    pub fn of(kind: GgufKind) -> &'static [Self] {
        match kind {
            GgufKind::Model => &Self::ALL,
            GgufKind::Lora => &Self::OF_LORA,
        }
    }

    /// The type of a GGUF of that kind for which none is asked.
    #[must_use]
    pub fn default_of(kind: GgufKind) -> Self {
        match kind {
            GgufKind::Model => Self::DEFAULT,
            GgufKind::Lora => Self::F32,
        }
    }
}

/// The string is not the name of a quantization type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("is not a quantization type")]
pub struct UnknownQuantization;

impl FromStr for Quantization {
    type Err = UnknownQuantization;

    fn from_str(name: &str) -> Result<Self, UnknownQuantization> {
        let is_named = |quantization: &Self| quantization.as_str().eq_ignore_ascii_case(name);
        Self::ALL.into_iter().find(is_named).ok_or(UnknownQuantization)
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
    fn every_name_parses_to_its_type_and_other_names_are_rejected() {
        for quantization in Quantization::ALL {
            assert_eq!(quantization.as_str().parse(), Ok(quantization));
            let json = serde_json::to_string(&quantization).unwrap();
            assert_eq!(serde_json::from_str::<Quantization>(&json).unwrap(), quantization);
        }
        assert_eq!("Q4_K_M".parse(), Ok(Quantization::Q4_K_M));
        for bad in ["", "q9_0", "q4_k", "q4_k_m "] {
            assert_eq!(bad.parse::<Quantization>(), Err(UnknownQuantization), "{bad:?}");
        }
    }
}
