//! NaN and infinity in the weights of the modules of sentence-transformers, which are no tensors of the model.

use kernels::numerics::first_non_finite;
use kernels::resize;

use crate::checkpoint::header;
use crate::error::{Error, NON_FINITE, Result};
use crate::gemma;
use crate::io::Source;
use crate::merge::Model;

/// Elements read at a time.
const STEP: u64 = 1 << 18;

/// Refuses NaN and infinity in the weights of the modules that `modules.json` names.
pub(super) fn check_finite(model: &Model) -> Result<()> {
    let names = gemma::module_files(model.files())?;
    for name in names.iter().filter(|name| name.ends_with(".safetensors")) {
        if let Some(source) = model.files().open(name)? {
            check_file(&*source)?;
        }
    }
    Ok(())
}

fn check_file(source: &dyn Source) -> Result<()> {
    let mut bytes = Vec::new();
    for tensor in header::read(source)?.into_iter().filter(|tensor| tensor.dtype.is_float()) {
        let width = tensor.dtype.bytes();
        let count = tensor.bytes / width;
        for first in (0..count).step_by(STEP as usize) {
            resize::bytes(&mut bytes, (STEP.min(count - first) * width) as usize);
            let read = source.read_at(tensor.offset + first * width, &mut bytes);
            read.map_err(|e| Error::read(source.location(), e))?;
            if let Some(position) = first_non_finite(tensor.dtype, &bytes) {
                let problem = format!("element {} is {NON_FINITE}", first + position as u64);
                return Err(Error::tensor(source.location(), tensor.name, problem));
            }
        }
    }
    Ok(())
}
