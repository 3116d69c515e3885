//! Reads small files whole, up to a maximum size.

use super::{Folder, Source, refuse_lfs_pointer};
use crate::error::{Error, Result};

/// Far more than the JSON and tokenizer files of real models.
const MAX_SIZE: u64 = 256 << 20;

/// The content of a file, or `None` if the folder has no file of this name.
pub(crate) fn read_optional(folder: &dyn Folder, name: &str) -> Result<Option<Vec<u8>>> {
    match folder.open(name) {
        Ok(source) => read_source(&*source).map(Some),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::read(format!("{}/{name}", folder.location()), error)),
    }
}

/// The content of a file.
pub(crate) fn read_source(source: &dyn Source) -> Result<Vec<u8>> {
    if source.size() > MAX_SIZE {
        return Err(Error::invalid(
            source.location(),
            format!("is {} bytes; the maximum is {MAX_SIZE}", source.size()),
        ));
    }
    refuse_lfs_pointer(source)?;
    let mut bytes = vec![0; source.size() as usize];
    source.read_at(0, &mut bytes).map_err(|e| Error::read(source.location(), e))?;
    Ok(bytes)
}
