//! An output folder: what may be replaced in it, and how it appears complete.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use engine::{ExportReport, FileAppeared, KeptExport, PlannedFile};

use crate::args::RunArgs;
use crate::disk_space::DiskSpace;
use crate::earlier_export::{files_below, reported_names};
use crate::failure::Failure;
use crate::inputs::Inputs;
use crate::kept::{kept_bytes, reusable_bytes};
use crate::outputs::existing_folder;
use crate::paths::{join, parent};
use crate::replacement::{Replacement, holds_earlier_files};
use crate::signals;

/// The start and the end of the name of a folder that is not complete.
const STAGING: (&str, &str) = (".gemma-export.", ".part");

/// An output folder that appears complete. Files are written to a hidden staging folder: beside a new folder, which is
/// renamed, or inside an existing one, so that a mount point and its mode, owner and group stay.
pub(crate) struct OutputFolder {
    path: PathBuf,
    staging: PathBuf,
    /// Held while this process writes; a staging folder whose lock is free was left by a process that was killed.
    _lock: Option<File>,
    /// Files of an earlier export, which are replaced; `None` when the folder is new.
    earlier: Option<Vec<String>>,
}

impl OutputFolder {
    /// Creates the staging folder for the `planned` files, or goes on with that of an interrupted run.
    ///
    /// # Errors
    /// When `path` holds something that must not be replaced, or the folder cannot be created.
    pub(crate) fn prepare(
        path: &Path,
        planned: &[PlannedFile],
        inputs: &Inputs,
        run: &RunArgs,
    ) -> Result<Self, Failure> {
        // a staging folder's name is longer than the output's, and a file system has names of at most 255 bytes
        const MOST: usize = 200;
        signals::begin_work();
        refuse_folders_in_the_way(path, planned)?;
        let earlier = replaceable_files(path, inputs, run.force)?;
        let (path, folder, stem) = match (&earlier, path.file_name()) {
            (Some(_), _) => (path.to_owned(), path, String::new()),
            (None, Some(name)) => {
                existing_folder(parent(path))?;
                let name = name.to_string_lossy();
                // without a dot at its end, to which a folder cannot be renamed
                let stem = &name[..name.floor_char_boundary(MOST)];
                (join(parent(path), &name), parent(path), format!("{stem}."))
            }
            (None, None) => {
                return Err(Failure::output(format!("{} is not a valid output path", path.display())));
            }
        };
        let prefix = format!("{}{stem}", STAGING.0);
        let cannot = |error: io::Error| {
            Failure::output(format!("cannot remove what a killed run left in {}: {error}", folder.display()))
        };
        let kept = if run.resume { adopt(folder, &prefix).map_err(cannot)? } else { None };
        remove_abandoned(folder, &prefix, |staging| !holds_earlier_files(staging)).map_err(cannot)?;
        let reused =
            kept.as_ref().map_or(0, |(staging, _)| reusable_bytes(staging, ExportReport::FILE, true));
        space(folder, planned, reused).check()?;
        let (staging, lock) = match kept {
            Some((staging, lock)) => (staging, Some(lock)),
            None => {
                let staging = create_staging(folder, &prefix)?;
                // without locks of folders on this system, abandoned ones stay
                let lock = File::open(&staging).ok().filter(|folder| folder.try_lock().is_ok());
                (staging, lock)
            }
        };
        Ok(Self { path, staging, _lock: lock, earlier })
    }

    /// Fails before anything is read if `path` cannot be the folder of an output. With `force`, what is in it is left to
    /// [`prepare`](Self::prepare), for it may be inputs.
    pub(crate) fn check_early(path: &Path, force: bool) -> Result<(), Failure> {
        match replaceable_files(path, &Inputs::default(), force) {
            Ok(None) => existing_folder(parent(path)).map(drop),
            Err(failure) if !force => Err(failure),
            Ok(Some(_)) | Err(_) => Ok(()),
        }
    }

    /// The staging folder, to write to before [`commit`](Self::commit).
    pub(crate) fn staging(&self) -> &Path {
        &self.staging
    }

    /// Makes the files visible under their names. When that fails, an existing folder is as it was.
    pub(crate) fn commit(self) -> Result<(), Failure> {
        let shown = self.path.display();
        let cannot = |e: io::Error| {
            Failure::appeared(&e)
                .unwrap_or_else(|| Failure::unwritable(format_args!("cannot write {shown}"), &e))
        };
        let Some(earlier) = &self.earlier else {
            return fs::rename(&self.staging, &self.path).map_err(|error| {
                match self.path.symlink_metadata() {
                    Ok(_) => cannot(io::Error::other(FileAppeared { path: self.path.clone() })),
                    Err(_) => cannot(error),
                }
            });
        };
        Replacement::plan(&self.path, &self.staging, earlier).and_then(|plan| plan.run()).map_err(cannot)?;
        fs::remove_dir_all(&self.staging).map_err(cannot)?;
        // what killed processes replaced is needed no more
        remove_abandoned(&self.path, STAGING.0, |_| true).map_err(cannot)
    }
}

impl Drop for OutputFolder {
    fn drop(&mut self) {
        let is_kept = || kept_bytes(&self.staging, ExportReport::FILE).is_some();
        if self.staging.exists() && !holds_earlier_files(&self.staging) && !is_kept() {
            // a folder that cannot be removed stays until the next run
            fs::remove_dir_all(&self.staging).ok();
        }
    }
}

/// The files of an earlier export in an existing folder; `None` when there is no folder.
fn replaceable_files(path: &Path, inputs: &Inputs, force: bool) -> Result<Option<Vec<String>>, Failure> {
    let shown = path.display();
    match fs::metadata(path) {
        Ok(about) if about.is_dir() => {}
        Ok(_) => return Err(Failure::output(format!("{shown} is a file: give the name of a folder"))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return match path.symlink_metadata() {
                Ok(_) => Err(Failure::output(format!("{shown} is a link to a path that does not exist"))),
                Err(_) => Ok(None),
            };
        }
        Err(error) => return Err(Failure::unwritable(format_args!("cannot write to {shown}"), &error)),
    }
    let mut files = Vec::new();
    for name in files_below(path).map_err(|e| Failure::output(format!("cannot read {shown}: {e}")))? {
        if inputs.contains(&path.join(&name)) {
            let name = name.display();
            return Err(Failure::output(format!(
                "{shown}/{name} is an input of this export: choose another output"
            )));
        }
        if !name.to_string_lossy().starts_with(STAGING.0) {
            files.push(name.to_string_lossy().into_owned());
        }
    }
    if files.is_empty() {
        return Ok(Some(files));
    }
    let report = reported_names(&path.join(ExportReport::FILE));
    let reported: HashSet<String> = report
        .map(|names| names.into_iter().chain([ExportReport::FILE.to_owned()]).collect())
        .unwrap_or_default();
    match files.iter().find(|name| !reported.contains(*name)) {
        Some(other) => Err(Failure::output(match other_report(path, &files, other) {
            Some(report) => {
                format!("{shown} contains {other:?}, of the export with {report:?}: choose another output")
            }
            None => {
                format!("{shown} contains {other:?}, which no export report lists: choose another output")
            }
        })),
        None if !force => Err(Failure::output(format!(
            "{shown} is not empty: choose another output, or replace it with --force"
        ))),
        None => Ok(Some(files)),
    }
}

/// The report of a GGUF file among `files` that lists the file `other`, or is it.
fn other_report<'a>(folder: &Path, files: &'a [String], other: &str) -> Option<&'a String> {
    files.iter().filter(|name| name.ends_with(".report.json")).find(|report| {
        let names = reported_names(&folder.join(report));
        names.is_some_and(|names| names.contains(other) || *report == other)
    })
}

/// Fails if a folder has the name of a planned file.
fn refuse_folders_in_the_way(path: &Path, planned: &[PlannedFile]) -> Result<(), Failure> {
    let names = planned.iter().map(|file| file.name.as_str()).chain([ExportReport::FILE]);
    match names.map(|name| path.join(name)).find(|path| path.is_dir()) {
        Some(path) => Err(Failure::output(format!(
            "{} is a folder, and a file of this name would be written: remove it, or choose another output",
            path.display()
        ))),
        None => Ok(()),
    }
}

/// What the files need on the disk of a folder, where so many bytes of them are.
fn space(folder: &Path, planned: &[PlannedFile], reused: u64) -> DiskSpace {
    let mut space = DiskSpace::default();
    space.add(folder, planned.iter().map(|file| file.size).sum::<u64>().saturating_sub(reused));
    space
}

/// Creates a staging folder, named after the process.
fn create_staging(folder: &Path, prefix: &str) -> Result<PathBuf, Failure> {
    let mut id = std::process::id();
    loop {
        let staging = join(folder, &format!("{prefix}{id}{}", STAGING.1));
        match fs::create_dir(&staging) {
            Ok(()) => return Ok(staging),
            // left by a process with the same id
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => id += 1,
            Err(error) => {
                let problem = format_args!("cannot create {}", staging.display());
                return Err(Failure::unwritable(problem, &error));
            }
        }
    }
}

/// A staging folder in which an interrupted run has kept what it finished, and its lock.
fn adopt(folder: &Path, prefix: &str) -> io::Result<Option<(PathBuf, File)>> {
    let is_kept = |staging: &Path| KeptExport::find(staging, ExportReport::FILE).is_some();
    let mut kept = abandoned(folder, prefix)?.filter(|(path, _)| is_kept(path) && !holds_earlier_files(path));
    let Some((staging, lock)) = kept.next() else { return Ok(None) };
    // files that have their names already are made again: the plan may be another
    for name in files_below(&staging)? {
        if !name.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.')) {
            fs::remove_file(staging.join(name))?;
        }
    }
    Ok(Some((staging, lock)))
}

/// Removes those staging folders that no process holds and that `may_go`.
fn remove_abandoned(folder: &Path, prefix: &str, may_go: impl Fn(&Path) -> bool) -> io::Result<()> {
    for (staging, _lock) in abandoned(folder, prefix)? {
        if may_go(&staging) {
            fs::remove_dir_all(staging)?;
        }
    }
    Ok(())
}

/// The staging folders that no process holds, each with its lock.
fn abandoned(folder: &Path, prefix: &str) -> io::Result<impl Iterator<Item = (PathBuf, File)>> {
    let is_staging = move |entry: &fs::DirEntry| {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        let process = name.strip_prefix(prefix).and_then(|rest| rest.strip_suffix(STAGING.1));
        process.is_some_and(|id| id.bytes().all(|b| b.is_ascii_digit()))
    };
    let locked = |entry: fs::DirEntry| {
        let lock = File::open(entry.path()).ok().filter(|lock| lock.try_lock().is_ok())?;
        Some((entry.path(), lock))
    };
    Ok(fs::read_dir(folder)?.flatten().filter(is_staging).filter_map(locked))
}
