//! A tensor in the file of an adapter.

use std::fmt;
use std::sync::Arc;

use kernels::numerics::Dtype;
use kernels::resize;

use crate::checkpoint::header::HeaderTensor;
use crate::error::{Error, NON_FINITE, Result};
use crate::io::Source;

/// A tensor in an adapter's file. Cheap to clone.
#[derive(Clone)]
pub(crate) struct AdapterTensor {
    pub(crate) name: String,
    pub(crate) shape: Vec<u64>,
    dtype: Dtype,
    offset: u64,
    source: Arc<dyn Source>,
}

impl AdapterTensor {
    pub(super) fn new(source: &Arc<dyn Source>, tensor: HeaderTensor) -> Result<Self> {
        if !tensor.dtype.is_float() {
            let problem = format!(
                "is {}; only F32, F16 and BF16 are read: save the adapter in one of them",
                tensor.dtype
            );
            return Err(Error::tensor(source.location(), tensor.name, problem));
        }
        let HeaderTensor { name, dtype, shape, offset, .. } = tensor;
        Ok(Self { name, shape, dtype, offset, source: Arc::clone(source) })
    }

    /// Rows and columns.
    pub(super) fn matrix(&self) -> Result<(u64, u64)> {
        match self.shape[..] {
            [rows, columns] => Ok((rows, columns)),
            [_, _, _] | [_, _, _, _] => {
                let problem = format!(
                    "has the shape {:?}, that of LoRA on a convolution, which is not supported: train without the module",
                    self.shape
                );
                Err(self.error(problem))
            }
            _ => Err(self.error(format!("has the shape {:?}, not two dimensions", self.shape))),
        }
    }

    /// The length of a vector, which may be stored as a matrix of one row or column.
    pub(crate) fn length(&self) -> u64 {
        self.shape.iter().product()
    }

    /// Its file and its offset in it.
    pub(crate) fn offset(&self) -> (&str, u64) {
        (self.source.location(), self.offset)
    }

    /// The location of its file, for error messages.
    pub(crate) fn location(&self) -> &str {
        self.source.location()
    }

    pub(crate) fn error(&self, problem: impl Into<String>) -> Error {
        Error::tensor(self.source.location(), &self.name, problem)
    }

    /// Reads `count` values from the `first` on.
    pub(crate) fn read(
        &self,
        first: u64,
        count: u64,
        raw: &mut Vec<u8>,
        values: &mut Vec<f32>,
    ) -> Result<()> {
        let width = self.dtype.bytes();
        resize::bytes(raw, (count * width) as usize);
        let read = self.source.read_at(self.offset + first * width, raw);
        read.map_err(|e| Error::read(self.source.location(), e))?;
        resize::values(values, count as usize);
        self.dtype.widen(raw, values);
        Ok(())
    }

    /// Refuses NaN and infinity among values that were read from the `first` on.
    pub(crate) fn check_finite(&self, first: u64, values: &[f32]) -> Result<()> {
        match values.iter().position(|value| !value.is_finite()) {
            Some(position) => Err(self.error(format!("element {} is {NON_FINITE}", first + position as u64))),
            None => Ok(()),
        }
    }

    /// Whether all values are zero.
    pub(crate) fn is_zero(&self) -> Result<bool> {
        Ok(self.read_all()?.iter().all(|value| *value == 0.0))
    }

    /// Whether shape and values are equal.
    pub(crate) fn same_as(&self, other: &Self) -> Result<bool> {
        const STEP: u64 = 1 << 18;
        if self.shape != other.shape {
            return Ok(false);
        }
        let (mut raw, mut ours, mut theirs) = (Vec::new(), Vec::new(), Vec::new());
        for first in (0..self.length()).step_by(STEP as usize) {
            let count = STEP.min(self.length() - first);
            self.read(first, count, &mut raw, &mut ours)?;
            other.read(first, count, &mut raw, &mut theirs)?;
            if ours != theirs {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Whether this matrix is the transpose of `other`.
    pub(crate) fn is_transpose_of(&self, other: &Self) -> Result<bool> {
        let ((rows, columns), flipped) = (self.matrix()?, other.matrix()?);
        if (columns, rows) != flipped {
            return Ok(false);
        }
        let (ours, theirs) = (self.read_all()?, other.read_all()?);
        let at = |i: usize| theirs[i % columns as usize * rows as usize + i / columns as usize];
        Ok(ours.iter().enumerate().all(|(i, value)| *value == at(i)))
    }

    /// All values.
    pub(crate) fn read_all(&self) -> Result<Vec<f32>> {
        let mut values = Vec::new();
        self.read(0, self.length(), &mut Vec::new(), &mut values)?;
        Ok(values)
    }
}

impl fmt::Debug for AdapterTensor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AdapterTensor").field("name", &self.name).finish_non_exhaustive()
    }
}
