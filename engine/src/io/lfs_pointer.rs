//! Git LFS pointers: small text files in place of large ones that were not downloaded.
//!
//! Format: <https://github.com/git-lfs/git-lfs/blob/main/docs/spec.md>.

use super::Source;
use crate::error::{Error, Result};

/// The beginning of every pointer.
const START: &[u8] = b"version https://git-lfs.github.com/spec/";
/// The format's maximum size.
const MAX_SIZE: u64 = 1024;

/// Refuses a Git LFS pointer.
///
/// # Errors
/// [`Error::Invalid`] for a pointer, [`Error::Read`] when the file cannot be read.
pub fn refuse_lfs_pointer(source: &dyn Source) -> Result<()> {
    let mut start = [0; START.len()];
    if !(START.len() as u64..MAX_SIZE).contains(&source.size()) {
        return Ok(());
    }
    source.read_at(0, &mut start).map_err(|e| Error::read(source.location(), e))?;
    if start == *START {
        let problem = "is a Git LFS pointer, not the file itself: run `git lfs pull` in its folder";
        return Err(Error::invalid(source.location(), problem));
    }
    Ok(())
}
