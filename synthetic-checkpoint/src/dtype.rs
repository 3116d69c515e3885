//! The types of weights.

/// The type of every weight in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are those of the format")]
pub enum DType {
    BF16,
    F32,
}

impl DType {
    /// The name in a header.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::BF16 => "BF16",
            Self::F32 => "F32",
        }
    }

    /// The size of a weight in bytes.
    #[must_use]
    pub fn size(self) -> u64 {
        match self {
            Self::BF16 => 2,
            Self::F32 => 4,
        }
    }
}
