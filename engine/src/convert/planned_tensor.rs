//! A tensor of a GGUF file, before it is written.

use std::sync::Arc;

use crate::gemma::ExtraTensor;
use crate::gguf::header;
use crate::numerics::TensorTransform;
use crate::numerics::half::through_f16;
use crate::plan::{FilePart, PartContent};
use crate::quant::{ColumnImportance, TensorType};

/// A tensor of the model and its form in the file.
#[derive(Debug, Clone)]
pub(super) struct PlannedTensor {
    /// What its rows are, one piece after the other.
    pub(super) pieces: Vec<RowSource>,
    pub(super) name: String,
    /// With surplus rows already cut.
    pub(super) shape: Vec<u64>,
    pub(super) form: TensorTransform,
    pub(super) as_type: TensorType,
    /// Values are rounded to `f16` before they are quantised.
    pub(super) through_f16: bool,
    pub(super) importance: Option<ColumnImportance>,
}

/// Rows of a tensor in the file.
#[derive(Debug, Clone)]
pub(super) enum RowSource {
    /// The first elements of a tensor of the model, by its number.
    Tensor { tensor: usize, elements: u64 },
    /// Values known already, some times over.
    Values { values: Arc<[f32]>, times: u64 },
}

impl PlannedTensor {
    pub(super) fn elements(&self) -> u64 {
        self.shape.iter().product()
    }

    pub(super) fn bytes(&self) -> u64 {
        self.as_type.bytes(self.elements())
    }

    pub(super) fn given(given: &ExtraTensor) -> Self {
        let pieces = vec![RowSource::Values { values: Arc::clone(&given.values), times: 1 }];
        Self::new(given.name.clone(), given.shape.clone(), pieces, TensorTransform::IDENTITY)
    }

    pub(super) fn new(name: String, shape: Vec<u64>, pieces: Vec<RowSource>, form: TensorTransform) -> Self {
        Self { pieces, name, shape, form, as_type: TensorType::F32, through_f16: false, importance: None }
    }

    /// The tensors of the model that it is made of.
    pub(super) fn tensors(&self) -> impl Iterator<Item = usize> {
        self.pieces.iter().filter_map(|piece| match piece {
            RowSource::Tensor { tensor, .. } => Some(*tensor),
            RowSource::Values { .. } => None,
        })
    }

    pub(super) fn parts(&self) -> impl Iterator<Item = FilePart> {
        let last = self.pieces.len().saturating_sub(1);
        self.pieces.iter().enumerate().map(move |(number, piece)| {
            let padding = if number == last { header::padding(self.bytes()) } else { 0 };
            self.part(piece, padding)
        })
    }

    fn part(&self, piece: &RowSource, padding: u64) -> FilePart {
        let (as_type, form) = (self.as_type, self.form);
        let name = self.name.clone();
        match piece {
            RowSource::Tensor { tensor, elements } => {
                let (tensor, elements, importance) = (*tensor, *elements, self.importance.clone());
                let through_f16 = self.through_f16;
                let content =
                    PartContent::Encoded { tensor, elements, form, as_type, through_f16, importance };
                FilePart { name, content, bytes: as_type.bytes(elements), padding }
            }
            RowSource::Values { values, times } => {
                let bytes = as_type.bytes(values.len() as u64 * times);
                let values = match self.through_f16 {
                    true => values.iter().copied().map(through_f16).collect(),
                    false => Arc::clone(values),
                };
                let content = PartContent::Values { values, times: *times, as_type };
                FilePart { name, content, bytes, padding }
            }
        }
    }
}
