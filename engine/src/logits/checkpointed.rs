//! A checkpoint's weights, with an adapter's factors applied but not rounded.

use std::collections::HashMap;

use ndarray::Array2;

use super::hyper::Hyper;
use super::weights::Weights;
use crate::arch::{Architecture, Place};
use crate::model::Model;
use crate::{Error, Result};

pub(super) struct Checkpointed {
    model: Model,
    architecture: Architecture,
    /// Tensors of the model by their GGUF names.
    places: HashMap<String, usize>,
}

impl Checkpointed {
    pub(super) fn new(model: &Model) -> Result<Self> {
        let architecture = Architecture::of(model.base().config())?;
        let name = |tensor: &str| match architecture.place(tensor) {
            Place::Tensor(name, _) => Some(name),
            Place::Head => Some("output.weight".to_owned()),
            Place::Slice { .. } | Place::Left | Place::Unknown => None,
        };
        let numbered = model.tensors().iter().enumerate();
        let places = numbered.filter_map(|(n, tensor)| Some((name(&tensor.info.name)?, n))).collect();
        Ok(Self { model: model.clone(), architecture, places })
    }

    pub(super) fn hyper(&self) -> Result<Hyper> {
        Hyper::of_model(self.architecture, &self.model)
    }
}

impl Weights for Checkpointed {
    fn shape(&self, name: &str) -> Option<(usize, usize)> {
        match self.model.tensors()[*self.places.get(name)?].info.shape[..] {
            [columns] => Some((1, columns as usize)),
            [rows, columns] => Some((rows as usize, columns as usize)),
            _ => None,
        }
    }

    fn rows(&self, name: &str, first: usize, count: usize) -> Result<Array2<f32>> {
        let missing = || Error::invalid(self.location(), format!("has no matrix {name}"));
        let (_, columns) = self.shape(name).ok_or_else(missing)?;
        let tensor = *self.places.get(name).ok_or_else(missing)?;
        let shift = self.architecture.shift(&self.model.tensors()[tensor].info.name);
        let values = self.model.unrounded(tensor, first as u64, count as u64, columns as u64)?;
        Ok(values + shift)
    }

    fn location(&self) -> &str {
        self.model.base().location()
    }
}
