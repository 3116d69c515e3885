//! What is asked of a GGUF file.

use std::sync::Arc;

use crate::error::{Error, Result};
use crate::gguf::split::SplitLimit;
use crate::gguf::{GgufFile, MetadataValue};
use crate::imatrix::Imatrix;
use crate::quant::OutputType;

/// Keys that name the model, which no input knows.
const LABELS: [&str; 6] = ["name", "version", "organization", "finetune", "basename", "size_label"];

/// What a GGUF file is to be.
#[derive(Debug, Clone)]
pub struct GgufOptions {
    pub(super) output_type: OutputType,
    pub(super) folder: String,
    /// The keys that name the model, as a file has them, instead of those that `folder` would give.
    pub(super) labels: Option<Vec<(String, MetadataValue)>>,
    pub(super) imatrix: Option<Arc<Imatrix>>,
    pub(super) through_f16: bool,
    pub(super) split: Option<SplitLimit>,
    /// Towers have a file of their own, so that what an adapter does to them is not lost.
    pub(super) towers_apart: bool,
}

impl GgufOptions {
    /// `folder` is what the converter would find the merged model's folder called; name, base name, fine-tune and
    /// size label in the metadata are read from it. A name with a space is taken as it is.
    pub fn new(output_type: OutputType, folder: impl Into<String>) -> Self {
        Self {
            output_type,
            folder: folder.into(),
            labels: None,
            imatrix: None,
            through_f16: false,
            split: None,
            towers_apart: false,
        }
    }

    /// What a file says about how it was made: its type, its names, how it is split. `files` are all of its parts in
    /// order. An importance matrix is not in a file; where the first has the key `quantize.imatrix.file`, it must be
    /// given again.
    ///
    /// # Errors
    /// [`Error::Invalid`] when the type is not one of [`OutputType`]; `location` is the file's, for the message.
    pub fn of_files(files: &[GgufFile], location: &str) -> Result<Self> {
        let first = files.first();
        let file_type = first.and_then(|file| file.u32("general.file_type"));
        let Some(output_type) = file_type.and_then(OutputType::of_file_type) else {
            let problem =
                "does not say as which type it was made (general.file_type), so it cannot be made again";
            return Err(Error::invalid(location, problem));
        };
        let is_label = |key: &str| key.strip_prefix("general.").is_some_and(|label| LABELS.contains(&label));
        let keys = first.into_iter().flat_map(|file| &file.keys).filter(|key| is_label(&key.name));
        let labels: Vec<_> = keys.map(|key| (key.name.clone(), key.value.clone())).collect();
        let counts = files.iter().map(|file| file.tensors.len()).collect();
        let split = (files.len() > 1).then_some(SplitLimit::Counts(counts));
        Ok(Self { labels: Some(labels), split, ..Self::new(output_type, "") })
    }

    /// Names the model as the converter would if its folder were called so.
    #[must_use]
    pub fn named(self, folder: impl Into<String>) -> Self {
        Self { folder: folder.into(), labels: None, ..self }
    }

    /// Lets an importance matrix weigh the columns, where the type can make use of it.
    #[must_use]
    pub fn with_imatrix(self, imatrix: Imatrix) -> Self {
        Self { imatrix: Some(Arc::new(imatrix)), ..self }
    }

    /// Rounds weights to `f16` before they are quantised, which is what `llama-quantize` makes of a file that was
    /// converted to F16. Types that the converter makes by itself know no such way.
    #[must_use]
    pub fn through_f16(self) -> Self {
        Self { through_f16: !self.output_type.is_the_converters(), ..self }
    }

    /// Leaves out vision and audio towers that the adapter changes: another file has them ([`GgufPlan::mmproj`]).
    ///
    /// [`GgufPlan::mmproj`]: crate::GgufPlan::mmproj
    #[must_use]
    pub fn with_towers_apart(self) -> Self {
        Self { towers_apart: true, ..self }
    }

    /// Makes several files when one would have more than `most` bytes of tensors. llama.cpp is given the first.
    #[must_use]
    pub fn split_at(self, most: u64) -> Self {
        Self { split: Some(SplitLimit::Size(most)), ..self }
    }
}
