//! Output files and folders: what may be replaced, and how a result appears complete.
//!
//! `--force` replaces files that the report of an earlier export lists, and nothing else. An output that is also an input,
//! through whatever link, is refused.

use std::collections::HashSet;
use std::error::Error;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use engine::{ExportReport, keep_attributes};
use same_file::Handle;

use crate::paths::{file_name, join, parent};

/// The start and the end of the name of a folder that is not complete.
const STAGING: (&str, &str) = (".gemma-export.", ".part");

/// The files and folders that an export reads.
pub(crate) struct InputHandles(HashSet<Handle>);

impl InputHandles {
    /// The folders and files at these paths, and the files in the folders, by their identity on the disk.
    pub(crate) fn open<'a>(paths: impl IntoIterator<Item = &'a Path>) -> Self {
        let mut handles = HashSet::new();
        for path in paths {
            handles.extend(Handle::from_path(path));
            for entry in fs::read_dir(path).into_iter().flatten().flatten() {
                // a broken link cannot be overwritten as an input
                handles.extend(Handle::from_path(entry.path()));
            }
        }
        Self(handles)
    }

    fn contains(&self, path: &Path) -> bool {
        Handle::from_path(path).is_ok_and(|handle| self.0.contains(&handle))
    }
}

/// Fails unless each of these files can be written: its folder exists, it is not an input, no other output has its path,
/// and it is absent or, with `force`, listed by the report of an earlier export.
pub(crate) fn check_files(
    files: &[PathBuf],
    inputs: &InputHandles,
    force: bool,
    is_export: impl Fn(&Path) -> bool,
) -> Result<(), Box<dyn Error>> {
    let mut paths = HashSet::new();
    for path in files {
        let shown = path.display();
        let folder = existing_folder(parent(path))?;
        if !paths.insert(folder.join(path.file_name().unwrap_or_default())) {
            return Err(format!("{shown} would be written twice: give different names").into());
        }
        if inputs.contains(path) {
            return Err(format!("{shown} is an input of this export: choose another output").into());
        }
        if path.symlink_metadata().is_err() {
            continue;
        }
        if !force {
            return Err(format!("{shown} exists: choose another output, or replace it with --force").into());
        }
        if !is_export(path) {
            return Err(format!(
                "{shown} exists and no export report beside it lists it: remove it, or choose another output"
            )
            .into());
        }
    }
    Ok(())
}

/// Whether the report beside a GGUF file lists the file, or is the file.
pub(crate) fn is_reported(path: &Path, gguf: &str) -> bool {
    let report = ExportReport::beside(gguf);
    match file_name(path) {
        Some(name) if name == report => read_report(path).is_some(),
        Some(name) => read_report(&path.with_file_name(report)).is_some_and(|files| files.contains(name)),
        None => false,
    }
}

/// Whether a file is a LoRA adapter in GGUF, which has no report.
pub(crate) fn is_gguf_adapter(path: &Path) -> bool {
    let source = crate::paths::open_file(path);
    let file = source.ok().and_then(|source| engine::GgufFile::open(&*source).ok());
    file.is_some_and(|file| {
        file.key_values.iter().any(|pair| pair.key == "general.type" && pair.text() == "adapter")
    })
}

/// The names of the files that a report lists; `None` when there is no report.
fn read_report(path: &Path) -> Option<HashSet<String>> {
    let report: serde_json::Value = serde_json::from_slice(&fs::read(path).ok()?).ok()?;
    let outputs = report["outputs"].as_array()?;
    report["made_by"]["engine"].as_str()?;
    Some(outputs.iter().filter_map(|file| file["name"].as_str().map(str::to_owned)).collect())
}

/// The canonical path of a folder.
fn existing_folder(folder: &Path) -> Result<PathBuf, Box<dyn Error>> {
    match folder.canonicalize() {
        Ok(path) if path.is_dir() => Ok(path),
        Ok(_) => Err(format!("{} is not a folder", folder.display()).into()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Err(format!("the folder {} does not exist: create it first", folder.display()).into())
        }
        Err(error) => Err(format!("cannot read {}: {error}", folder.display()).into()),
    }
}

/// An output folder that appears complete. Files are written to a hidden staging folder: beside a new folder, which is
/// renamed, or inside an existing one, so that a mount point and its mode, owner and group stay.
pub(crate) struct OutputFolder {
    path: PathBuf,
    staging: PathBuf,
    /// Held while this process writes; a staging folder whose lock is free was left by a process that was killed.
    _lock: File,
    /// Files of an earlier export, which are removed; `None` when the folder is new.
    replaced: Option<Vec<String>>,
}

impl OutputFolder {
    /// Creates the staging folder.
    ///
    /// # Errors
    /// When `path` holds something that must not be replaced, or the folder cannot be created.
    pub(crate) fn prepare(path: &Path, inputs: &InputHandles, force: bool) -> Result<Self, Box<dyn Error>> {
        let replaced = replaceable_files(path, inputs, force)?;
        let (path, folder, stem) = match (&replaced, path.file_name()) {
            (Some(_), _) => (path.to_owned(), path, String::new()),
            (None, Some(name)) => {
                existing_folder(parent(path))?;
                let name = name.to_string_lossy();
                // without a dot at its end, to which a folder cannot be renamed
                (join(parent(path), &name), parent(path), format!("{name}."))
            }
            (None, None) => return Err(format!("{} is not a valid output path", path.display()).into()),
        };
        let prefix = format!("{}{stem}", STAGING.0);
        remove_abandoned(folder, &prefix)?;
        let staging = join(folder, &format!("{prefix}{}{}", std::process::id(), STAGING.1));
        let cannot = |e: io::Error| format!("cannot create {}: {e}", staging.display());
        fs::create_dir(&staging).map_err(cannot)?;
        let lock = File::open(&staging).map_err(cannot)?;
        // without locks on this file system, abandoned folders stay
        lock.try_lock().ok();
        Ok(Self { path, staging, _lock: lock, replaced })
    }

    /// The staging folder, to write to before [`commit`](Self::commit).
    pub(crate) fn staging(&self) -> &Path {
        &self.staging
    }

    /// Makes the files visible under their names, `config.json` last.
    pub(crate) fn commit(self) -> Result<(), Box<dyn Error>> {
        let cannot = |e: io::Error| format!("cannot write {}: {e}", self.path.display());
        let Some(replaced) = &self.replaced else {
            return Ok(fs::rename(&self.staging, &self.path).map_err(cannot)?);
        };
        let staged = files_below(&self.staging).map_err(cannot)?;
        for name in &staged {
            keep_attributes(&self.path.join(name), &self.staging.join(name)).map_err(cannot)?;
        }
        // without config.json, the folder is no model while it changes
        let (config, others): (Vec<_>, Vec<_>) = replaced.iter().partition(|name| *name == "config.json");
        for name in config.into_iter().chain(others) {
            remove_if_present(&self.path.join(name)).map_err(cannot)?;
        }
        let (config, others): (Vec<_>, Vec<_>) =
            staged.into_iter().partition(|name| name.as_os_str() == "config.json");
        for name in others.into_iter().chain(config) {
            let target = self.path.join(&name);
            fs::create_dir_all(parent(&target)).map_err(cannot)?;
            fs::rename(self.staging.join(&name), target).map_err(cannot)?;
        }
        Ok(File::open(&self.path).and_then(|folder| folder.sync_all()).map_err(cannot)?)
    }
}

impl Drop for OutputFolder {
    fn drop(&mut self) {
        if self.staging.exists() {
            // a folder that cannot be removed stays until the next run
            fs::remove_dir_all(&self.staging).ok();
        }
    }
}

/// The files of an earlier export in an existing folder; `None` when there is no folder.
fn replaceable_files(
    path: &Path,
    inputs: &InputHandles,
    force: bool,
) -> Result<Option<Vec<String>>, Box<dyn Error>> {
    let shown = path.display();
    match fs::metadata(path) {
        Ok(about) if about.is_dir() => {}
        Ok(_) => return Err(format!("{shown} is a file: give the name of a folder").into()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return match path.symlink_metadata() {
                Ok(_) => Err(format!("{shown} is a link to a path that does not exist").into()),
                Err(_) => Ok(None),
            };
        }
        Err(error) => return Err(format!("cannot write to {shown}: {error}").into()),
    }
    if inputs.contains(path) {
        return Err(format!("{shown} is an input of this export: choose another output").into());
    }
    let mut files = Vec::new();
    for name in files_below(path).map_err(|e| format!("cannot read {shown}: {e}"))? {
        if inputs.contains(&path.join(&name)) {
            let name = name.display();
            return Err(format!("{shown}/{name} is an input of this export: choose another output").into());
        }
        if !name.to_string_lossy().starts_with(STAGING.0) {
            files.push(name.to_string_lossy().into_owned());
        }
    }
    if files.is_empty() {
        return Ok(Some(files));
    }
    let mut reported = read_report(&path.join(ExportReport::FILE)).unwrap_or_default();
    reported.insert(ExportReport::FILE.to_owned());
    match files.iter().find(|name| !reported.contains(*name)) {
        Some(other) => {
            Err(format!("{shown} contains {other:?}, which no export report lists: choose another output")
                .into())
        }
        None if !force => {
            Err(format!("{shown} is not empty: choose another output, or replace it with --force").into())
        }
        None => Ok(Some(files)),
    }
}

/// The files in a folder and in the folders below it, by their paths in it. Links are listed, not followed.
fn files_below(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let mut pending = vec![PathBuf::new()];
    while let Some(below) = pending.pop() {
        for entry in fs::read_dir(folder.join(&below))? {
            let entry = entry?;
            let name = below.join(entry.file_name());
            if entry.file_type()?.is_dir() { pending.push(name) } else { files.push(name) }
        }
    }
    Ok(files)
}

/// Removes staging folders that no process holds.
fn remove_abandoned(folder: &Path, prefix: &str) -> io::Result<()> {
    for entry in fs::read_dir(folder)?.flatten() {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        let process = name.strip_prefix(prefix).and_then(|rest| rest.strip_suffix(STAGING.1));
        let is_staging = process.is_some_and(|id| id.bytes().all(|b| b.is_ascii_digit()));
        if is_staging && File::open(entry.path()).is_ok_and(|lock| lock.try_lock().is_ok()) {
            fs::remove_dir_all(entry.path())?;
        }
    }
    Ok(())
}

fn remove_if_present(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}
