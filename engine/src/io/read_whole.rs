//! Whole small files, with a cap.

use super::{Folder, Source};
use crate::error::{Error, Result};

/// No JSON or tokenizer file of a real model is near this.
const MOST: u64 = 256 << 20;

/// The file's content, or `None` when the folder does not have it.
pub(crate) fn read_optional(folder: &dyn Folder, name: &str) -> Result<Option<Vec<u8>>> {
    match folder.open(name) {
        Ok(source) => read_source(&*source).map(Some),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::read(format!("{}/{name}", folder.location()), error)),
    }
}

/// The file's content.
pub(crate) fn read_source(source: &dyn Source) -> Result<Vec<u8>> {
    if source.size() > MOST {
        return Err(Error::invalid(
            source.location(),
            format!("is {} bytes, more than {MOST}", source.size()),
        ));
    }
    let mut bytes = vec![0; source.size() as usize];
    source.read_at(0, &mut bytes).map_err(|e| Error::read(source.location(), e))?;
    Ok(bytes)
}
