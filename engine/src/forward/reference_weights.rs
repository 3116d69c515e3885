//! A checkpoint's weights, with an adapter's factors applied but not rounded.

use std::collections::{BTreeMap, HashMap};

use ndarray::Array2;

use super::hparams::ModelHparams;
use super::weight_changes::ChangedTensor;
use super::weights::WeightSource;
use crate::error::{Error, Result};
use crate::gemma::{Architecture, ExtraTensor, MappedTensor, ModelFamily};
use crate::merge::Model;

pub(super) struct ReferenceWeights {
    model: Model,
    family: &'static ModelFamily,
    /// The numbers of the model's tensors by GGUF name and index in the stack; the index of a tensor alone is 0.
    tensors: HashMap<String, BTreeMap<usize, usize>>,
    extra_tensors: Vec<ExtraTensor>,
    /// Base and adapter.
    location: String,
}

/// The extra tensors that layers use: not the dense modules of an embedding model, which come after the last layer.
fn extra_tensors(architecture: Architecture, model: &Model) -> Result<Vec<ExtraTensor>> {
    match architecture {
        Architecture::GemmaEmbedding => Ok(Vec::new()),
        Architecture::Gemma
        | Architecture::Gemma2
        | Architecture::Gemma3
        | Architecture::Gemma3n
        | Architecture::Gemma4
        | Architecture::Gemma4Assistant
        | Architecture::Gemma4Dspark => architecture.family().extra_tensors(model.files()),
    }
}

impl ReferenceWeights {
    pub(super) fn new(model: &Model) -> Result<Self> {
        let config = model.base().config();
        let unsupported = |_| Error::unsupported(config.file(), "comparing the logits of this model family");
        let architecture = Architecture::of(config).map_err(unsupported)?;
        let family = architecture.family();
        let mut tensors = HashMap::<String, BTreeMap<usize, usize>>::new();
        for (tensor, of) in model.tensors().iter().enumerate() {
            let (name, index) = match family.map_tensor(&of.info.name) {
                MappedTensor::Tensor(name, _) => (name, 0),
                MappedTensor::StackPart { name, number, .. } => (name, number),
                MappedTensor::LmHead => ("output.weight".to_owned(), 0),
                MappedTensor::Skipped | MappedTensor::Unknown => continue,
            };
            tensors.entry(name).or_default().insert(index, tensor);
        }
        let extra_tensors = extra_tensors(architecture, model)?;
        let base = model.base().location();
        let location =
            model.adapter().map_or(base.to_owned(), |adapter| format!("{base} with {}", adapter.location()));
        Ok(Self { model: model.clone(), family, tensors, extra_tensors, location })
    }

    pub(super) fn hparams(&self) -> Result<ModelHparams> {
        ModelHparams::of_model(self.family, &self.model)
    }

    /// The tensors that the adapter changes.
    pub(super) fn changed_tensors(&self) -> Vec<ChangedTensor> {
        let mut changed = Vec::new();
        for (stored_name, stack) in &self.tensors {
            let Some((rows, _)) = self.shape(stored_name) else { continue };
            let rows = rows / stack.len();
            let parts = stack.iter().map(|(part, tensor)| (part, &self.model.tensors()[*tensor]));
            changed.extend(parts.filter(|(_, tensor)| tensor.is_target()).map(|(part, tensor)| {
                ChangedTensor {
                    name: tensor.info.name.clone(),
                    stored_name: stored_name.clone(),
                    rows: part * rows..(part + 1) * rows,
                }
            }));
        }
        changed.sort_by(|a, b| a.name.cmp(&b.name));
        changed
    }

    /// The number of tensors in the stack of this name, and the shape of each.
    fn stack(&self, name: &str) -> Option<(usize, &[u64])> {
        let stack = self.tensors.get(name)?;
        let shape = |tensor: &usize| self.model.tensors()[*tensor].info.shape.as_slice();
        let first = stack.values().map(shape).next()?;
        let is_valid = stack.values().all(|tensor| shape(tensor) == first) && !first.contains(&0);
        is_valid.then_some((stack.len(), first))
    }

    fn extra_tensor(&self, name: &str) -> Option<&ExtraTensor> {
        self.extra_tensors.iter().find(|tensor| tensor.name == name)
    }
}

impl WeightSource for ReferenceWeights {
    fn shape(&self, name: &str) -> Option<(usize, usize)> {
        let extra = || Some((1, self.extra_tensor(name)?.shape.as_slice()));
        let (count, shape) = self.stack(name).or_else(extra)?;
        let (columns, rows) = shape.split_last()?;
        Some((count * rows.iter().product::<u64>() as usize, *columns as usize))
    }

    fn rows(&self, name: &str, first: usize, count: usize) -> Result<Array2<f32>> {
        let missing = || Error::invalid(self.location(), format!("has no row {first} of {name}"));
        let (rows, columns) = self.shape(name).ok_or_else(missing)?;
        let Some((stacked, _)) = self.stack(name) else {
            let tensor = self.extra_tensor(name).ok_or_else(missing)?;
            let values = tensor.values.get(first * columns..(first + count) * columns).ok_or_else(missing)?;
            return Array2::from_shape_vec((count, columns), values.to_vec()).map_err(|_| missing());
        };
        // no caller reads rows of two stacked tensors at once
        let rows_per_tensor = (rows / stacked).max(1);
        let tensor = self.tensors.get(name).and_then(|stack| stack.get(&(first / rows_per_tensor)));
        let (tensor, first) = (*tensor.ok_or_else(missing)?, (first % rows_per_tensor) as u64);
        let shift = self.family.tensor_shift(&self.model.tensors()[tensor].info.name);
        let weights = self.model.unrounded(tensor, first, count as u64, columns as u64)?;
        Ok(if shift == 0.0 { weights } else { weights + shift })
    }

    fn location(&self) -> &str {
        &self.location
    }
}
