//! A tensor of a GGUF file, before it is written.

use std::sync::Arc;

use super::{Form, head};
use crate::arch::Given;
use crate::half::through_f16;
use crate::pipeline::layout::{Content, Part};
use crate::quant::{Importance, TensorType};

/// A tensor of the model and its form in the file.
#[derive(Debug, Clone)]
pub(super) struct Chosen {
    /// What its rows are, one piece after the other.
    pub(super) pieces: Vec<Piece>,
    pub(super) name: String,
    /// With surplus rows already cut.
    pub(super) shape: Vec<u64>,
    pub(super) form: Form,
    pub(super) as_type: TensorType,
    /// Values are rounded to `f16` before they are quantised.
    pub(super) through_f16: bool,
    pub(super) importance: Option<Importance>,
}

/// Rows of a tensor in the file.
#[derive(Debug, Clone)]
pub(super) enum Piece {
    /// The first elements of a tensor of the model, by its number.
    Tensor { tensor: usize, elements: u64 },
    /// Values known already, some times over.
    Values { values: Arc<[f32]>, times: u64 },
}

impl Chosen {
    pub(super) fn elements(&self) -> u64 {
        self.shape.iter().product()
    }

    pub(super) fn bytes(&self) -> u64 {
        self.as_type.bytes(self.elements())
    }

    pub(super) fn given(given: &Given) -> Self {
        let pieces = vec![Piece::Values { values: Arc::clone(&given.values), times: 1 }];
        Self::new(given.name.clone(), given.shape.clone(), pieces, Form::SAME)
    }

    pub(super) fn new(name: String, shape: Vec<u64>, pieces: Vec<Piece>, form: Form) -> Self {
        Self { pieces, name, shape, form, as_type: TensorType::F32, through_f16: false, importance: None }
    }

    /// The tensors of the model that it is made of.
    pub(super) fn tensors(&self) -> impl Iterator<Item = usize> {
        self.pieces.iter().filter_map(|piece| match piece {
            Piece::Tensor { tensor, .. } => Some(*tensor),
            Piece::Values { .. } => None,
        })
    }

    pub(super) fn parts(&self) -> impl Iterator<Item = Part> {
        let last = self.pieces.len().saturating_sub(1);
        self.pieces.iter().enumerate().map(move |(number, piece)| {
            let padding = if number == last { head::padding(self.bytes()) } else { 0 };
            self.part(piece, padding)
        })
    }

    fn part(&self, piece: &Piece, padding: u64) -> Part {
        let (as_type, form) = (self.as_type, self.form);
        let name = self.name.clone();
        match piece {
            Piece::Tensor { tensor, elements } => {
                let (tensor, elements, importance) = (*tensor, *elements, self.importance.clone());
                let through_f16 = self.through_f16;
                let content = Content::Encoded { tensor, elements, form, as_type, through_f16, importance };
                Part { name, content, bytes: as_type.bytes(elements), padding }
            }
            Piece::Values { values, times } => {
                let bytes = as_type.bytes(values.len() as u64 * times);
                let values = match self.through_f16 {
                    true => values.iter().copied().map(through_f16).collect(),
                    false => Arc::clone(values),
                };
                let content = Content::Values { values, times: *times, as_type };
                Part { name, content, bytes, padding }
            }
        }
    }
}
