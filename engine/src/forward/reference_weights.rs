//! A checkpoint's weights, with an adapter's factors applied but not rounded.

use std::collections::{BTreeMap, HashMap};

use ndarray::Array2;

use super::hparams::HyperParameters;
use super::weights::WeightSource;
use crate::error::{Error, Result};
use crate::gemma::{Architecture, ExtraTensor, MappedTensor};
use crate::merge::Model;

pub(super) struct ReferenceWeights {
    model: Model,
    architecture: Architecture,
    /// Tensors of the model by their GGUF names, and by their numbers where several are one there.
    places: HashMap<String, BTreeMap<usize, usize>>,
    given: Vec<ExtraTensor>,
}

/// What goes into a file without being the checkpoint's, as far as layers have a use for it: of an embedding model it
/// is what comes after them.
fn given(architecture: Architecture, model: &Model) -> Result<Vec<ExtraTensor>> {
    if architecture == Architecture::GemmaEmbedding {
        Ok(Vec::new())
    } else {
        architecture.extra_tensors(model.files())
    }
}

impl ReferenceWeights {
    pub(super) fn new(model: &Model) -> Result<Self> {
        let config = model.base().config();
        let unknown = |_| Error::unsupported(config.file(), "comparing the predictions of this family");
        let architecture = Architecture::of(config).map_err(unknown)?;
        let mut places = HashMap::<String, BTreeMap<usize, usize>>::new();
        for (tensor, of) in model.tensors().iter().enumerate() {
            let (name, number) = match architecture.map_tensor(&of.info.name) {
                MappedTensor::Tensor(name, _) => (name, 0),
                MappedTensor::StackPart { name, number } => (name, number),
                MappedTensor::LmHead => ("output.weight".to_owned(), 0),
                MappedTensor::Skipped | MappedTensor::Unknown => continue,
            };
            places.entry(name).or_default().insert(number, tensor);
        }
        Ok(Self { model: model.clone(), architecture, places, given: given(architecture, model)? })
    }

    pub(super) fn hyper(&self) -> Result<HyperParameters> {
        HyperParameters::of_model(self.architecture, &self.model)
    }

    /// How many tensors become this one, and the shape that they have.
    fn stored(&self, name: &str) -> Option<(usize, &[u64])> {
        let slices = self.places.get(name)?;
        let shape = |tensor: &usize| self.model.tensors()[*tensor].info.shape.as_slice();
        let first = slices.values().map(shape).next()?;
        let same = slices.values().all(|tensor| shape(tensor) == first) && !first.contains(&0);
        same.then_some((slices.len(), first))
    }
}

impl WeightSource for ReferenceWeights {
    fn shape(&self, name: &str) -> Option<(usize, usize)> {
        let given = || Some((1, self.given.iter().find(|given| given.name == name)?.shape.as_slice()));
        let (slices, shape) = self.stored(name).or_else(given)?;
        let (columns, rows) = shape.split_last()?;
        Some((slices * rows.iter().product::<u64>() as usize, *columns as usize))
    }

    fn rows(&self, name: &str, first: usize, count: usize) -> Result<Array2<f32>> {
        let missing = || Error::invalid(self.location(), format!("has no rows {first} of {name}"));
        let (rows, columns) = self.shape(name).ok_or_else(missing)?;
        let Some((slices, _)) = self.stored(name) else {
            let given = self.given.iter().find(|given| given.name == name).ok_or_else(missing)?;
            let values = given.values.get(first * columns..(first + count) * columns).ok_or_else(missing)?;
            return Array2::from_shape_vec((count, columns), values.to_vec()).map_err(|_| missing());
        };
        // no block is of two slices
        let each = (rows / slices).max(1);
        let tensor = self.places.get(name).and_then(|slices| slices.get(&(first / each)));
        let (tensor, first) = (*tensor.ok_or_else(missing)?, (first % each) as u64);
        let shift = self.architecture.shift(&self.model.tensors()[tensor].info.name);
        Ok(self.model.unrounded(tensor, first, count as u64, columns as u64)? + shift)
    }

    fn location(&self) -> &str {
        self.model.base().location()
    }
}
