//! The options of a GGUF file.

use std::sync::Arc;

use kernels::quant::{OutputType, TypeOverrides};

use super::general_metadata::{Label, labels_of};
use crate::checkpoint::Checkpoint;
use crate::error::{Error, Result};
use crate::gguf::GgufFile;
use crate::gguf::split::SplitLimit;
use crate::imatrix::Imatrix;
use crate::merge::Model;

/// The options of a GGUF file.
#[derive(Debug, Clone)]
pub struct GgufOptions {
    pub(super) output_type: OutputType,
    pub(super) folder: String,
    /// The keys that name the model, as a file has them, in place of those derived from `folder`.
    pub(super) labels: Option<Vec<Label>>,
    pub(super) imatrix: Option<Arc<Imatrix>>,
    through_f16: bool,
    pub(super) types: TypeOverrides,
    pub(crate) split: Option<SplitLimit>,
    /// The encoders go to an mmproj file, so that an adapter may change them.
    pub(super) separate_mmproj: bool,
    /// The model that a drafter drafts for.
    pub(super) target: Option<Checkpoint>,
    /// Whether Q4_0 takes the steps of a grid on which the base's weights lie.
    pub(super) uses_grid: bool,
}

impl GgufOptions {
    /// `folder` is the name of the merged model's folder, from which the converter derives name, base name,
    /// fine-tune and size label. A name with a space is not analyzed.
    pub fn new(output_type: OutputType, folder: impl Into<String>) -> Self {
        Self {
            output_type,
            folder: folder.into(),
            labels: None,
            imatrix: None,
            through_f16: false,
            types: TypeOverrides::default(),
            split: None,
            separate_mmproj: false,
            target: None,
            uses_grid: true,
        }
    }

    /// The options with which existing files were made: type, names, split. `files` are all parts in order. The
    /// importance matrix is not in them; where the first has the key `quantize.imatrix.file`, it must be given again.
    ///
    /// # Errors
    /// [`Error::Invalid`] when the type is not one of [`OutputType`]; `location` is the file's, for the message.
    pub fn from_files(files: &[GgufFile], location: &str) -> Result<Self> {
        let first = files.first();
        let file_type = first.and_then(|file| file.u32("general.file_type"));
        let Some(output_type) = file_type.and_then(OutputType::from_file_type) else {
            let problem = "has no known general.file_type, so the options it was made with are not known";
            return Err(Error::invalid(location, problem));
        };
        let labels = first.map(labels_of).unwrap_or_default();
        let counts = files.iter().map(|file| file.tensors.len()).collect();
        let split = (files.len() > 1).then_some(SplitLimit::TensorCounts(counts));
        Ok(Self { labels: Some(labels), split, ..Self::new(output_type, "") })
    }

    /// Another type of the file.
    #[must_use]
    pub fn with_output_type(self, output_type: OutputType) -> Self {
        Self { output_type, ..self }
    }

    /// Derives the model's name from `folder`, as the converter does.
    #[must_use]
    pub fn with_name(self, folder: impl Into<String>) -> Self {
        Self { folder: folder.into(), labels: None, ..self }
    }

    /// The model that a drafter drafts for, whose tokenizer the file has.
    #[must_use]
    pub fn with_target(self, target: &Checkpoint) -> Self {
        Self { target: Some(target.clone()), ..self }
    }

    /// Weights the columns by an importance matrix, for the types that use one.
    #[must_use]
    pub fn with_imatrix(self, imatrix: Imatrix) -> Self {
        Self { imatrix: Some(Arc::new(imatrix)), ..self }
    }

    /// Rounds weights to `f16` before they are quantized, like quantizing an F16 file with `llama-quantize`. No effect on
    /// the types that the converter writes.
    #[must_use]
    pub fn through_f16(self) -> Self {
        Self { through_f16: true, ..self }
    }

    /// Quantizes a base of quantization-aware training as `llama-quantize` does. Otherwise Q4_0 takes the steps of the grid
    /// on which its weights lie, of which `llama-quantize` misses most.
    #[must_use]
    pub fn without_grid(self) -> Self {
        Self { uses_grid: false, ..self }
    }

    /// Types that replace those of the rules. The file is then one of `llama-quantize`, whatever its type.
    #[must_use]
    pub fn with_types(self, types: TypeOverrides) -> Self {
        Self { types, ..self }
    }

    /// Refuses types for tensors by name in a file without quantized tensors, where `llama-quantize` ignores them.
    pub(super) fn check_types(&self, model: &Model) -> Result<()> {
        if self.types.tensors.is_empty() || self.output_type.is_quantized() {
            return Ok(());
        }
        let feature = format!("a type for tensors by name in a file of type {}", self.output_type);
        Err(Error::unsupported(model.base().location(), feature)
            .advise("take a quantized type, such as q8_0"))
    }

    /// Whether the file is one of `llama-quantize`, not of the converter.
    pub(super) fn is_quantized(&self) -> bool {
        !self.output_type.is_converter_type() || !self.types.is_empty()
    }

    /// Whether weights are rounded to `f16` first.
    pub(super) fn rounds_to_f16(&self) -> bool {
        self.through_f16 && self.is_quantized()
    }

    /// Leaves out vision and audio encoders that the adapter changes: an mmproj file has them ([`GgufPlan::mmproj`]).
    ///
    /// [`GgufPlan::mmproj`]: crate::GgufPlan::mmproj
    #[must_use]
    pub fn with_separate_mmproj(self) -> Self {
        Self { separate_mmproj: true, ..self }
    }

    /// Splits the file so that none has more than `size` bytes of tensors. llama.cpp opens the first.
    #[must_use]
    pub fn with_split_size(self, size: u64) -> Self {
        Self { split: Some(SplitLimit::Bytes(size)), ..self }
    }

    /// The name that the report gives, when it is not read from existing files.
    pub(super) fn report_name(&self) -> Option<String> {
        Some(self.folder.clone()).filter(|_| self.labels.is_none())
    }
}
