//! Output files, and what may be replaced.
//!
//! `--force` replaces files that the report of an earlier export lists, and nothing else. An output that is also an input,
//! through whatever link, is refused.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::{fs, io};

use crate::failure::Failure;
use crate::inputs::Inputs;
use crate::paths::parent;

/// Fails before anything is read if one of these files cannot be written. With `force`, a file that no report lists is left to
/// [`check_files`], for it may be an input.
pub(crate) fn check_early(
    files: &[PathBuf],
    force: bool,
    is_export: impl Fn(&Path) -> bool,
) -> Result<(), Failure> {
    check_files(files, &Inputs::default(), force, |path| force || is_export(path))
}

/// Fails unless each of these files can be written: its folder exists, it is not an input, no other output has its path,
/// and it is absent or, with `force`, listed by the report of an earlier export.
pub(crate) fn check_files(
    files: &[PathBuf],
    inputs: &Inputs,
    force: bool,
    is_export: impl Fn(&Path) -> bool,
) -> Result<(), Failure> {
    let mut paths = HashSet::new();
    for path in files {
        let shown = path.display();
        let folder = existing_folder(parent(path))?;
        if !paths.insert(folder.join(path.file_name().unwrap_or_default())) {
            return Err(Failure::output(format!("{shown} would be written twice: give different names")));
        }
        if inputs.contains(path) {
            return Err(Failure::output(format!(
                "{shown} is an input of this export: choose another output"
            )));
        }
        match path.symlink_metadata() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(Failure::unwritable(format_args!("cannot write {shown}"), &error)),
            Ok(_) => {}
        }
        if fs::metadata(path).is_ok_and(|metadata| !metadata.is_file()) {
            return Err(Failure::output(format!("{shown} is not a regular file: choose another output")));
        }
        if is_mount_point(path) {
            return Err(Failure::output(format!(
                "{shown} is a mount point, which cannot be replaced: mount its folder, or choose another output"
            )));
        }
        // first, because --force does not replace it
        if !is_export(path) {
            return Err(Failure::output(format!(
                "{shown} exists and no export report of its kind beside it lists it with this content: move it away, or choose another output"
            )));
        }
        if !force {
            return Err(Failure::output(format!(
                "{shown} exists: choose another output, or replace it with --force"
            )));
        }
    }
    Ok(())
}

/// Whether a file is mounted on its own, as containers do. A file system without that information counts as unmounted.
#[cfg(target_os = "linux")]
fn is_mount_point(path: &Path) -> bool {
    use rustix::fs::{AtFlags, CWD, StatxAttributes, StatxFlags, statx};
    let about = statx(CWD, path, AtFlags::SYMLINK_NOFOLLOW, StatxFlags::empty());
    about.is_ok_and(|about| about.stx_attributes.contains(StatxAttributes::MOUNT_ROOT))
}

/// Only Linux mounts files.
#[cfg(not(target_os = "linux"))]
fn is_mount_point(_path: &Path) -> bool {
    false
}

/// The canonical path of a folder.
pub(crate) fn existing_folder(folder: &Path) -> Result<PathBuf, Failure> {
    match folder.canonicalize() {
        Ok(path) if path.is_dir() => Ok(path),
        Ok(_) => Err(Failure::output(format!("{} is not a folder", folder.display()))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Err(Failure::output(format!("the folder {} does not exist: create it first", folder.display())))
        }
        Err(error) => Err(Failure::output(format!("cannot read {}: {error}", folder.display()))),
    }
}
