//! The plan of a LoRA adapter as a GGUF file, which llama.cpp applies at run time (`--lora`).
//!
//! The bytes are those of llama.cpp's `convert_lora_to_gguf.py`. The format stores one alpha and pairs of factors
//! for matrices; anything else in an adapter is refused by name.

use kernels::quant::TensorType;
use kernels::resize;
use sha2::{Digest as _, Sha256};

use super::general_metadata::labels_of;
use super::model_name::ModelName;
use crate::check::{Finding, check_adapter_values, check_serving};
use crate::error::{Error, Result};
use crate::gemma::{Architecture, MappedTensor};
use crate::gguf::header;
use crate::gguf::header::GgufTensorInfo;
use crate::gguf::{GgufFile, GgufMetadata};
use crate::io::Output;
use crate::merge::{Model, NO_EFFECT, is_zero};
use crate::peft::{Adapter, AdapterChange, AdapterTensor, ChangeKind};
use crate::plan::WrittenFile;
use crate::progress::RunOptions;
use crate::progress::{ProgressUpdate, Stage};
use crate::report::{ExportReport, ExportWarning, LoraReport, OutputFile};

/// Values encoded at a time.
const STEP: u64 = 1 << 18;

/// The plan of an adapter's GGUF file, checked and measured. Nothing is written yet.
#[derive(Debug)]
pub struct LoraPlan {
    model: Model,
    header: Vec<u8>,
    factors: Vec<LoraFactor>,
    pairs: usize,
    warnings: Vec<ExportWarning>,
    findings: Vec<Finding>,
}

/// A factor as the file stores it.
#[derive(Debug)]
struct LoraFactor {
    stored: AdapterTensor,
    name: String,
    as_type: TensorType,
}

impl LoraPlan {
    /// The types that factors can be stored as.
    pub const TYPES: [TensorType; 4] = [TensorType::F32, TensorType::F16, TensorType::Bf16, TensorType::Q8_0];

    /// Whether the model's adapter can be a file beside its base.
    pub fn is_possible(model: &Model) -> bool {
        Self::new(model, TensorType::F16, "").is_ok()
    }

    /// The name in the metadata is derived from `folder`, the name of the adapter's folder.
    ///
    /// # Errors
    /// [`Error::Unsupported`] when the adapter has a change that the format cannot store.
    pub fn new(model: &Model, as_type: TensorType, folder: &str) -> Result<Self> {
        Self::with_names(model, as_type, |parameters, metadata| {
            ModelName::of_adapter(folder, parameters).write(metadata);
        })
    }

    /// The plan by which an existing file would be made again: with its type, and with its names, or those that are derived
    /// from `folder`.
    ///
    /// # Errors
    /// As [`new`](Self::new), and [`Error::Invalid`] when the file has tensors of no type that factors can be stored as;
    /// `location` is the file's, for the message.
    pub fn of_file(model: &Model, file: &GgufFile, location: &str, folder: Option<&str>) -> Result<Self> {
        let types: Vec<_> = file.tensors.iter().filter_map(|tensor| tensor.tensor_type).collect();
        // rows that are not whole blocks are stored as F16
        let blocks = types.iter().find(|tensor_type| tensor_type.block_size() > 1);
        let Some(as_type) = blocks.or(types.first()).filter(|found| Self::TYPES.contains(found)) else {
            return Err(Error::invalid(
                location,
                "has no tensors of a type that an adapter can be stored as",
            ));
        };
        if let Some(folder) = folder {
            return Self::new(model, *as_type, folder);
        }
        Self::with_names(model, *as_type, |_, metadata| {
            labels_of(file).into_iter().for_each(|(key, value)| metadata.set(&key, value));
        })
    }

    /// `names` sets the keys that name the adapter; it is given the number of weights in the matrices that change.
    fn with_names(
        model: &Model,
        as_type: TensorType,
        names: impl FnOnce(u64, &mut GgufMetadata),
    ) -> Result<Self> {
        let Some(adapter) = model.adapter() else {
            return Err(Error::invalid(model.base().location(), "has no adapter that could be a file"));
        };
        let architecture = Architecture::of(model.base().config())?;
        if !Self::TYPES.contains(&as_type) {
            return Err(Error::unsupported(adapter.location(), format!("an adapter as {as_type}")));
        }
        let mut pairs = Vec::new();
        for (target, number) in model.targets() {
            let (a, b) = factors(adapter, &adapter.changes()[number])?;
            let MappedTensor::Tensor(name, Some(_)) = architecture.family().map_tensor(target) else {
                let feature = format!("LoRA on {target} in a GGUF adapter");
                return Err(refused(adapter, feature));
            };
            pairs.push((name, a, b));
        }
        pairs.sort_by(|one, other| first(one).cmp(&first(other)));
        let parameters = pairs.iter().map(|(_, a, b)| a.shape[1] * b.shape[0]).sum();
        let mut metadata = GgufMetadata::new(architecture.as_str());
        metadata.set("general.type", "adapter");
        metadata.set("adapter.type", "lora");
        names(parameters, &mut metadata);
        metadata.set("adapter.lora.alpha", alpha(model, adapter)?);
        metadata.set("general.quantization_version", 2_u32);
        let count = pairs.len();
        let factors: Vec<LoraFactor> =
            pairs.into_iter().flat_map(|pair| LoraFactor::both(pair, as_type)).collect();
        let header = header::write(&metadata, &describe(&factors));
        Ok(Self {
            model: model.clone(),
            header,
            factors,
            pairs: count,
            warnings: ExportWarning::of_adapter(model),
            findings: check_serving(model)?,
        })
    }

    /// Reads the weights of the adapter, and adds what is found in their values. A file that is written with
    /// `RunOptions::allow_non_finite` has these.
    ///
    /// # Errors
    /// When the adapter cannot be read, and [`Error::Cancelled`] when the caller asked to stop.
    pub fn check_values(&mut self, run: &RunOptions<'_>) -> Result<()> {
        let found = self.model.adapter().map(|adapter| check_adapter_values(adapter, run)).transpose()?;
        self.findings.splice(0..0, found.flatten());
        Ok(())
    }

    /// The size of the adapter's files with weights in bytes, which [`check_values`](Self::check_values) reads.
    pub fn weight_file_bytes(&self) -> u64 {
        self.model.adapter().map_or(0, Adapter::weight_file_bytes)
    }

    /// The size of the file in bytes.
    pub fn size(&self) -> u64 {
        let padded = |factor: &LoraFactor| factor.bytes() + header::padding(factor.bytes());
        self.header.len() as u64 + self.factors.iter().map(padded).sum::<u64>()
    }

    /// The number of pairs of factors.
    pub fn pairs(&self) -> usize {
        self.pairs
    }

    /// What could not be checked: settings of the adapter that PEFT's class does not have.
    pub fn warnings(&self) -> &[ExportWarning] {
        &self.warnings
    }

    /// What programs that serve the model will meet, the most serious first.
    pub fn findings(&self) -> &[Finding] {
        &self.findings
    }

    /// Writes the file under `name`, and a report beside it ([`ExportReport::beside`]).
    ///
    /// # Errors
    /// [`Error::Invalid`] when every change of the adapter is zero, when the adapter cannot be read or the output not written,
    /// and [`Error::Cancelled`] when the caller asked to stop.
    pub fn write(&self, name: &str, output: &mut dyn Output, run: &RunOptions<'_>) -> Result<WrittenFile> {
        self.check_effect()?;
        let (size, mut done, mut hash) = (self.size(), 0, Sha256::new());
        output.begin(name, size).map_err(|e| Error::write(name, e))?;
        let mut put = |bytes: &[u8]| {
            output.write(bytes).map_err(|e| Error::write(name, e))?;
            hash.update(bytes);
            done += bytes.len() as u64;
            run.progress.report(ProgressUpdate { stage: Stage::Converting, done, total: size });
            if run.progress.cancelled() { Err(Error::Cancelled) } else { Ok(()) }
        };
        put(&self.header)?;
        for factor in &self.factors {
            factor.encode(run.allow_non_finite, &mut put)?;
            put(&vec![0; header::padding(factor.bytes()) as usize])?;
        }
        output.finish().map_err(|e| Error::write(name, e))?;
        let written = WrittenFile { name: name.to_owned(), size, sha256: hex::encode(hash.finalize()) };
        let report = ExportReport::beside(name);
        let text =
            LoraReport::new(&self.model, self.findings.clone(), OutputFile::from(&written), run)?.to_json();
        WrittenFile::write(&report, &text.map_err(|e| Error::write(&report, e.into()))?, output)?;
        output.publish(&[&report]).map_err(|e| Error::write(name, e))?;
        Ok(written)
    }
}

impl LoraPlan {
    /// Refuses an adapter without effect.
    fn check_effect(&self) -> Result<()> {
        for (change, _) in self.model.matched_changes() {
            if !is_zero(change)? {
                return Ok(());
            }
        }
        let location = self.model.adapter().map(Adapter::location).unwrap_or_default();
        Err(Error::invalid(location, NO_EFFECT))
    }
}

impl LoraFactor {
    fn both((name, a, b): (String, AdapterTensor, AdapterTensor), as_type: TensorType) -> [Self; 2] {
        let one = |suffix: &str, stored: AdapterTensor| {
            let fits = stored.shape[1].is_multiple_of(as_type.block_size());
            // as the converter does with rows that are not whole blocks
            let as_type = if fits { as_type } else { TensorType::F16 };
            Self { name: format!("{name}.{suffix}"), stored, as_type }
        };
        [one("lora_a", a), one("lora_b", b)]
    }

    fn bytes(&self) -> u64 {
        self.as_type.bytes(self.stored.length())
    }

    fn encode(&self, allow_non_finite: bool, put: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<()> {
        let (mut raw, mut values, mut bytes) = (Vec::new(), Vec::new(), Vec::new());
        for first in (0..self.stored.length()).step_by(STEP as usize) {
            let count = STEP.min(self.stored.length() - first);
            self.stored.read(first, count, &mut raw, &mut values)?;
            if !allow_non_finite {
                self.stored.check_finite(first, &values)?;
            }
            resize::bytes(&mut bytes, self.as_type.bytes(count) as usize);
            self.as_type.encode(&values, None, &mut bytes);
            if !allow_non_finite {
                self.check_range(first, &values, &bytes)?;
            }
            put(&bytes)?;
        }
        Ok(())
    }

    /// Refuses values that exceed the range of the type.
    fn check_range(&self, first: u64, values: &[f32], bytes: &[u8]) -> Result<()> {
        match self.as_type.first_out_of_range(values, bytes) {
            Some(position) => {
                let element = (first + position as u64, values[position]);
                Err(Error::out_of_range(self.stored.location(), &self.stored.name, element, self.as_type))
            }
            None => Ok(()),
        }
    }
}

/// The file and offset of the first factor of a pair: the order of the converter.
fn first((_, a, b): &(String, AdapterTensor, AdapterTensor)) -> (&str, u64) {
    a.offset().min(b.offset())
}

/// The factors of a change that has nothing else.
fn factors(adapter: &Adapter, change: &AdapterChange) -> Result<(AdapterTensor, AdapterTensor)> {
    let target = &change.target;
    let refuse = |what: &str| Err(refused(adapter, format!("{what} ({target}) in a GGUF adapter")));
    match &change.kind {
        ChangeKind::LowRank { magnitude: Some(_), .. } => refuse("use_dora"),
        ChangeKind::LowRank { a, b, .. } => Ok((a.clone(), b.clone())),
        ChangeKind::ExpertLowRank { .. } => refuse("LoRA on stacked experts"),
        // llama.cpp reads the lm_head of a Gemma from the same tensor and would apply the factors to both
        ChangeKind::Embedding { .. } => refuse("LoRA on the embedding"),
        ChangeKind::Replace(_) => refuse("modules_to_save"),
        ChangeKind::TokenRows { .. } => refuse("trainable_token_indices"),
        ChangeKind::LoraBias { .. } => refuse("lora_bias"),
    }
}

/// The alpha of the file, which llama.cpp divides by the rank of each pair.
fn alpha(model: &Model, adapter: &Adapter) -> Result<f32> {
    let config = adapter.config();
    let changes = model.matched_changes().into_iter();
    let mut alphas = changes.map(|(change, _)| config.alpha_of(change.module()));
    let first = alphas.next().unwrap_or(config.alpha);
    if alphas.all(|alpha| alpha == first) {
        let alpha = first as f32;
        let problem = format!("has a lora_alpha of {first:e}, which exceeds the range of F32");
        return if alpha.is_finite() {
            Ok(alpha)
        } else {
            Err(Error::invalid(adapter.config_file(), problem))
        };
    }
    let feature = if config.rslora { "use_rslora with several ranks" } else { "alpha_pattern" };
    Err(refused(adapter, format!("{feature} in a GGUF adapter, which has one alpha,")))
}

fn refused(adapter: &Adapter, feature: String) -> Error {
    Error::unsupported(adapter.location(), feature)
        .advise("export a GGUF of base and adapter together instead")
}

fn describe(factors: &[LoraFactor]) -> Vec<GgufTensorInfo> {
    let mut offset = 0;
    let one = |factor: &LoraFactor| {
        let (name, shape) = (factor.name.clone(), factor.stored.shape.clone());
        let described = GgufTensorInfo { name, shape, tensor_type: factor.as_type, offset };
        offset += factor.bytes() + header::padding(factor.bytes());
        described
    };
    factors.iter().map(one).collect()
}
