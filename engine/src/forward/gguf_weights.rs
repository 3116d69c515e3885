//! A GGUF file's weights, decoded to f32.

use std::sync::Arc;

use kernels::quant::TensorType;
use ndarray::Array2;

use super::hparams::ModelHparams;
use super::weights::WeightSource;
use crate::error::{Error, Result};
use crate::gguf::{GgufFile, GgufTensor};
use crate::io::Source;

pub(super) struct GgufWeights {
    /// The parts of a split file.
    parts: Vec<(Arc<dyn Source>, GgufFile)>,
}

impl GgufWeights {
    /// Reads the headers of all parts; the first has the metadata.
    pub(super) fn open(files: &[Arc<dyn Source>]) -> Result<Self> {
        let open = |source: &Arc<dyn Source>| Ok((Arc::clone(source), GgufFile::open(&**source)?));
        Ok(Self { parts: files.iter().map(open).collect::<Result<_>>()? })
    }

    pub(super) fn hparams(&self) -> Result<ModelHparams> {
        match self.parts.first() {
            Some((source, file)) => {
                let tensors = self.parts.iter().map(|(_, file)| file.tensors.len()).sum();
                ModelHparams::of_file(source.location(), file, tensors)
            }
            None => Err(Error::invalid("the GGUF file", "has no parts")),
        }
    }

    fn find(&self, name: &str) -> Option<(&dyn Source, &GgufTensor)> {
        self.parts.iter().find_map(|(source, file)| {
            let tensor = file.tensors.iter().find(|t| t.name == name && is_readable(t))?;
            Some((&**source, tensor))
        })
    }
}

/// Whether the tensor has a known type, elements, and rows of whole blocks.
fn is_readable(tensor: &GgufTensor) -> bool {
    let whole =
        |stored: TensorType| tensor.shape.first().is_some_and(|n| n.is_multiple_of(stored.block_size()));
    tensor.tensor_type.is_some_and(whole) && !tensor.shape.contains(&0)
}

impl WeightSource for GgufWeights {
    fn shape(&self, name: &str) -> Option<(usize, usize)> {
        let (columns, rows) = self.find(name)?.1.shape.split_first()?;
        Some((rows.iter().product::<u64>() as usize, *columns as usize))
    }

    fn rows(&self, name: &str, first: usize, count: usize) -> Result<Array2<f32>> {
        let invalid = |problem: &str| Error::tensor(self.location(), name, problem);
        let (source, tensor) = self.find(name).ok_or_else(|| invalid("is missing"))?;
        let (_, columns) = self.shape(name).ok_or_else(|| invalid("has no dimensions"))?;
        let stored = tensor.tensor_type.ok_or_else(|| invalid("has an unknown type"))?;
        let row = stored.bytes(columns as u64);
        let mut bytes = vec![0; row as usize * count];
        let read = source.read_at(tensor.byte_range.start + row * first as u64, &mut bytes);
        read.map_err(|e| Error::read(source.location(), e))?;
        let mut values = Array2::zeros((count, columns));
        if let Some(values) = values.as_slice_mut() {
            stored.decode(&bytes, values);
        }
        Ok(values)
    }

    fn location(&self) -> &str {
        self.parts.first().map_or("the GGUF file", |(source, _)| source.location())
    }
}
