//! The types of a GGUF file: one that is named, or those that are chosen for a size.

use std::collections::BTreeMap;

use engine::{FittedTypes, GgufOptions, Model, OutputType, RunOptions};
use shared::domain::{Quantization, TypeCount};

use super::RequestedExport;
use crate::{error::JobError, fingerprint::Fingerprint};

/// What a record asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum GgufTypes {
    Named(Quantization),
    /// At most this size in bytes.
    Fitted(u64),
}

impl GgufTypes {
    /// One for each file.
    pub(super) fn all(requested: &RequestedExport<'_>) -> Vec<Self> {
        match requested.export.max_bytes {
            Some(max_bytes) => vec![Self::Fitted(max_bytes)],
            None => requested.quantizations().into_iter().map(Self::Named).collect(),
        }
    }

    /// The name of the type; `None` if there are several.
    pub(crate) fn quantization(self) -> Option<Quantization> {
        match self {
            Self::Named(quantization) => Some(quantization),
            Self::Fitted(_) => None,
        }
    }

    /// A word for names of files and artifacts.
    pub(crate) fn as_str(self) -> &'static str {
        self.quantization().map_or("fitted", Quantization::as_str)
    }

    pub(super) fn uses_imatrix(self) -> bool {
        self.quantization().is_none_or(Quantization::uses_imatrix)
    }

    /// The type of the file as a whole, from which others are derived. For a size it is not known yet, and the encoders have the
    /// type that they have in small files.
    pub(super) fn output_type(self) -> Result<OutputType, JobError> {
        self.quantization().map_or(Ok(OutputType::F16), output_type)
    }

    /// Whether the file is written in the pass of llama.cpp's converter.
    pub(crate) fn is_converter_type(self) -> Result<bool, JobError> {
        Ok(self.quantization().map(output_type).transpose()?.is_some_and(OutputType::is_converter_type))
    }

    pub(super) fn fingerprint(self, artifact: Fingerprint) -> Fingerprint {
        match self {
            Self::Named(quantization) => artifact.option("quantization", quantization.as_str()),
            Self::Fitted(max_bytes) => artifact.option("max bytes", &max_bytes.to_string()),
        }
    }

    /// The options with these types, and how many tensors have each that was chosen. That reads some rows of each matrix.
    pub(super) fn choose(
        self,
        model: &Model,
        options: GgufOptions,
        run: &RunOptions<'_>,
    ) -> Result<(GgufOptions, Option<Vec<TypeCount>>), JobError> {
        let Self::Fitted(max_bytes) = self else { return Ok((options, None)) };
        let FittedTypes { options, types, .. } = engine::fit_types(model, &options, max_bytes, run)?;
        let mut counts: BTreeMap<&str, u32> = BTreeMap::new();
        types.iter().for_each(|(_, as_type)| *counts.entry(as_type.as_str()).or_default() += 1);
        let count = |(name, tensors): (&str, u32)| TypeCount { name: name.to_owned(), tensors };
        Ok((options, Some(counts.into_iter().map(count).collect())))
    }
}

/// The engine's type of the same name.
fn output_type(quantization: Quantization) -> Result<OutputType, JobError> {
    quantization.as_str().parse().map_err(JobError::Internal)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_quantization_is_an_output_type_of_the_same_name() {
        for quantization in Quantization::ALL {
            let output_type = output_type(quantization).unwrap();
            assert_eq!(output_type.as_str(), quantization.as_str());
            assert_eq!(quantization.uses_imatrix(), !output_type.is_converter_type(), "{quantization}");
        }
    }

    #[test]
    fn every_output_type_is_a_quantization() {
        for output_type in OutputType::ALL {
            assert!(output_type.as_str().parse::<Quantization>().is_ok(), "{output_type}");
        }
    }
}
