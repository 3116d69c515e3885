//! NaN and infinity in the weights of an adapter.

use kernels::numerics::first_non_finite;
use kernels::resize;

use super::{Finding, Severity};
use crate::checkpoint::header::{self, HeaderTensor};
use crate::error::{Error, Result};
use crate::io::Source;
use crate::peft::Adapter;
use crate::progress::{ProgressUpdate, RunOptions, Stage};

/// Elements read at a time.
const STEP: u64 = 1 << 18;

/// Reads the weights of an adapter and looks for NaN and infinity, which spoil every model that it is applied to.
///
/// # Errors
/// When the weights cannot be read, and [`Error::Cancelled`] when the caller asked to stop.
pub fn check_adapter_values(adapter: &Adapter, run: &RunOptions<'_>) -> Result<Option<Finding>> {
    let (mut done, total) = (0, adapter.weight_file_bytes());
    let mut values = AdapterValues::default();
    for (_, source) in adapter.weights() {
        values.read(&**source, &mut |bytes| {
            done += bytes.len() as u64;
            run.progress.report(ProgressUpdate { stage: Stage::Verifying, done, total });
            if run.progress.cancelled() { Err(Error::Cancelled) } else { Ok(()) }
        })?;
    }
    Ok(values.finding())
}

/// What was found in the weights that were read.
#[derive(Debug, Default)]
pub(crate) struct AdapterValues {
    tensors: usize,
    not_finite: usize,
    /// The first tensor with such a value, and its element.
    first: Option<(String, u64)>,
}

impl AdapterValues {
    /// Reads a safetensors file from its beginning to its end, and passes on every byte.
    pub(crate) fn read(
        &mut self,
        source: &dyn Source,
        consume: &mut dyn FnMut(&[u8]) -> Result<()>,
    ) -> Result<()> {
        let tensors = header::read(source)?;
        let mut bytes = vec![0; tensors.first().map_or(source.size(), |tensor| tensor.offset) as usize];
        read_at(source, 0, &mut bytes)?;
        consume(&bytes)?;
        for tensor in tensors {
            self.tensors += 1;
            let mut found = None;
            let (width, count) = (tensor.dtype.bytes(), tensor.bytes / tensor.dtype.bytes());
            for first in (0..count).step_by(STEP as usize) {
                resize::bytes(&mut bytes, (STEP.min(count - first) * width) as usize);
                read_at(source, tensor.offset + first * width, &mut bytes)?;
                found = found.or_else(|| Some(first + first_in(&tensor, &bytes)?));
                consume(&bytes)?;
            }
            if let Some(element) = found {
                self.not_finite += 1;
                self.first.get_or_insert((tensor.name, element));
            }
        }
        Ok(())
    }

    /// `None` if every value is finite.
    pub(crate) fn finding(&self) -> Option<Finding> {
        let (tensor, element) = self.first.as_ref()?;
        let message = format!(
            "the adapter has values that are NaN or infinite in {} of its {} tensors, the first in element {element} of {tensor}",
            self.not_finite, self.tensors
        );
        let remedy = "export a checkpoint of the training from before its loss became NaN, or train again";
        Some(Finding::new(Severity::Error, "adapter_not_finite", message, remedy))
    }
}

fn first_in(tensor: &HeaderTensor, bytes: &[u8]) -> Option<u64> {
    let found = tensor.dtype.is_float().then(|| first_non_finite(tensor.dtype, bytes));
    found.flatten().map(|position| position as u64)
}

fn read_at(source: &dyn Source, offset: u64, bytes: &mut [u8]) -> Result<()> {
    source.read_at(offset, bytes).map_err(|e| Error::read(source.location(), e))
}
