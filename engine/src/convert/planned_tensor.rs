//! The tensors of a GGUF file, before they are written.

use std::collections::HashSet;
use std::sync::Arc;

use kernels::numerics::TensorTransform;
use kernels::numerics::half::round_to_f16;
use kernels::quant::{ColumnImportance, TensorType};
use ndarray::{Array2, ArrayView1};

use crate::error::{Error, Result};
use crate::gemma::ExtraTensor;
use crate::gguf::header;
use crate::merge::Model;
use crate::plan::{FilePart, PartContent};

/// A tensor of the file: where its rows come from and how they are encoded.
#[derive(Debug, Clone)]
pub(super) struct PlannedTensor {
    /// Where its rows come from, in order.
    pub(super) rows: Vec<RowSource>,
    pub(super) name: String,
    /// Rows first; as the file has it, with rows that no token has left out.
    pub(super) shape: Vec<u64>,
    pub(super) transform: TensorTransform,
    pub(super) as_type: TensorType,
    /// Values are rounded to `f16` before they are quantized.
    pub(super) through_f16: bool,
    pub(super) importance: Option<ColumnImportance>,
    /// Blocks whose weights lie on a grid are encoded with its step.
    pub(super) on_grid: bool,
}

/// A tensor as a file stores it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TensorSummary<'a> {
    /// The name.
    pub name: &'a str,
    /// The shape, rows first.
    pub shape: &'a [u64],
    /// The type.
    pub stored_type: TensorType,
    /// The size of its data.
    pub bytes: u64,
}

/// Rows of a tensor in the file.
#[derive(Debug, Clone)]
pub(super) enum RowSource {
    /// The first elements of a tensor of the model, by its number.
    Tensor { tensor: usize, elements: u64 },
    /// Known values, repeated `times` times.
    Values { values: Arc<[f32]>, times: u64 },
}

impl PlannedTensor {
    pub(super) fn elements(&self) -> u64 {
        self.shape.iter().product()
    }

    pub(super) fn bytes(&self) -> u64 {
        self.as_type.bytes(self.elements())
    }

    pub(super) fn stored(&self) -> TensorSummary<'_> {
        TensorSummary { name: &self.name, shape: &self.shape, stored_type: self.as_type, bytes: self.bytes() }
    }

    pub(super) fn from_extra(extra: &ExtraTensor) -> Self {
        let rows = vec![RowSource::Values { values: Arc::clone(&extra.values), times: 1 }];
        Self::new(extra.name.clone(), extra.shape.clone(), rows, TensorTransform::IDENTITY)
    }

    pub(super) fn new(
        name: String,
        shape: Vec<u64>,
        rows: Vec<RowSource>,
        transform: TensorTransform,
    ) -> Self {
        Self {
            rows,
            name,
            shape,
            transform,
            as_type: TensorType::F32,
            through_f16: false,
            importance: None,
            on_grid: false,
        }
    }

    /// The values that a file has of these rows, the first of which has the number `first`.
    pub(super) fn as_stored(&self, first: u64, mut rows: Array2<f32>) -> Array2<f32> {
        let encode = if self.on_grid { TensorType::encode_on_grid } else { TensorType::encode };
        let mut bytes = vec![0; self.as_type.bytes(rows.ncols() as u64) as usize];
        for (row, mut values) in (first..).zip(rows.rows_mut()) {
            if self.through_f16 {
                values.map_inplace(|value| *value = round_to_f16(*value));
            }
            let importance = self.importance.as_ref().map(|importance| importance.for_row(row));
            let mut stored = values.to_vec();
            encode(self.as_type, &stored, importance, &mut bytes);
            self.as_type.decode(&bytes, &mut stored);
            values.assign(&ArrayView1::from(&stored));
        }
        rows
    }

    /// The numbers of the model's tensors that it is made of.
    pub(super) fn tensors(&self) -> impl Iterator<Item = usize> {
        self.rows.iter().filter_map(|source| match source {
            RowSource::Tensor { tensor, .. } => Some(*tensor),
            RowSource::Values { .. } => None,
        })
    }

    pub(super) fn parts(&self) -> impl Iterator<Item = FilePart> {
        let last = self.rows.len().saturating_sub(1);
        self.rows.iter().enumerate().map(move |(number, source)| {
            let padding = if number == last { header::padding(self.bytes()) } else { 0 };
            self.part(source, padding)
        })
    }

    fn part(&self, source: &RowSource, padding: u64) -> FilePart {
        let (as_type, transform) = (self.as_type, self.transform);
        let name = self.name.clone();
        match source {
            RowSource::Tensor { tensor, elements } => {
                let (tensor, elements, importance) = (*tensor, *elements, self.importance.clone());
                let (through_f16, on_grid) = (self.through_f16, self.on_grid);
                let content = PartContent::Encoded {
                    tensor,
                    elements,
                    transform,
                    as_type,
                    through_f16,
                    importance,
                    on_grid,
                };
                FilePart { name, content, bytes: as_type.bytes(elements), padding }
            }
            RowSource::Values { values, times } => {
                let bytes = as_type.bytes(values.len() as u64 * times);
                let values = match self.through_f16 {
                    true => values.iter().copied().map(round_to_f16).collect(),
                    false => Arc::clone(values),
                };
                let content = PartContent::Values { values, times: *times, as_type };
                FilePart { name, content, bytes, padding }
            }
        }
    }
}

/// The tensors of a file in their order, each name once.
#[derive(Debug, Default)]
pub(super) struct PlannedTensors {
    names: HashSet<String>,
    tensors: Vec<PlannedTensor>,
}

impl PlannedTensors {
    /// Tensors that are not made of the model's.
    pub(super) fn from_extra(extra: &[ExtraTensor]) -> Self {
        let tensors: Vec<PlannedTensor> = extra.iter().map(PlannedTensor::from_extra).collect();
        Self { names: tensors.iter().map(|tensor| tensor.name.clone()).collect(), tensors }
    }

    /// Appends a tensor that is made of the model's tensor of this number.
    pub(super) fn push(&mut self, model: &Model, number: usize, tensor: PlannedTensor) -> Result<()> {
        let source = &model.tensors()[number];
        let error = |problem| Err(Error::tensor(model.file_of(source), &source.info.name, problem));
        if !source.info.dtype.is_float() {
            let dtype = source.info.dtype;
            return error(format!("is {dtype}; GGUF is made from F32, F16 and BF16 weights"));
        }
        if !self.names.insert(tensor.name.clone()) {
            return error(format!("is a second {}", tensor.name));
        }
        self.tensors.push(tensor);
        Ok(())
    }

    /// The first of these tensors that the file would lack.
    pub(super) fn missing<'a>(&self, required: &'a [String]) -> Option<&'a str> {
        required.iter().map(String::as_str).find(|name| !self.names.contains(*name))
    }

    pub(super) fn names(&self) -> &HashSet<String> {
        &self.names
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &PlannedTensor> {
        self.tensors.iter()
    }

    pub(super) fn into_vec(self) -> Vec<PlannedTensor> {
        self.tensors
    }
}
