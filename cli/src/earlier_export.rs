//! The files of an earlier export: those that its report lists.

use std::collections::HashSet;
use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use engine::ExportReport;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::failure::Failure;
use crate::paths::{file_name, join};

/// The names of the files that a report lists; `None` when there is no report.
pub(crate) fn reported_names(report: &Path) -> Option<HashSet<String>> {
    Some(names(&read_report(report)?).map(str::to_owned).collect())
}

/// The files that a report lists, as it describes them; `None` when there is no report.
pub(crate) fn outputs_of(report: &Path) -> Option<Vec<Value>> {
    Some(outputs(&read_report(report)?).to_vec())
}

/// Whether a report names an adapter as an input; `None` when there is no report.
pub(crate) fn names_adapter(report: &Path) -> Option<bool> {
    Some(read_report(report)?["inputs"]["adapter"].as_array().is_some_and(|files| !files.is_empty()))
}

/// Whether the report beside a GGUF file lists the file, or is the file. It is of this kind of export. A Modelfile that was edited
/// is none that the report lists.
pub(crate) fn is_reported(path: &Path, gguf: &str, kind: &str) -> bool {
    let name = ExportReport::beside(gguf);
    let Some(report) = read_report(&path.with_file_name(&name)) else { return false };
    let is_listed = || {
        file_name(path).is_some_and(|file| names(&report).any(|name| name == file))
            && !is_edited(path, &report)
    };
    report["kind"] == kind && (file_name(path) == Some(&name) || is_listed())
}

/// The paths of the files that the report beside a GGUF file lists.
pub(crate) fn files_of_gguf(folder: &Path, gguf: &str) -> Vec<PathBuf> {
    let report = read_report(&join(folder, &ExportReport::beside(gguf)));
    let report = report.filter(|report| report["kind"] == "gguf").unwrap_or_default();
    // a report lists files of its own folder
    names(&report)
        .filter(|name| file_name(Path::new(name)) == Some(name))
        .map(|name| join(folder, name))
        .filter(|path| !is_edited(path, &report))
        .collect()
}

/// Whether a Modelfile has another content than that with which the report lists it: users edit it. Larger files are not hashed.
fn is_edited(path: &Path, report: &Value) -> bool {
    let Some(name) = file_name(path).filter(|name| name.ends_with(".Modelfile")) else { return false };
    let listed = outputs(report).iter().find(|file| file["name"] == name);
    let listed = listed.and_then(|file| file["sha256"].as_str());
    let is = fs::read(path).map(|content| hex::encode(Sha256::digest(content)));
    matches!((listed, is), (Some(listed), Ok(is)) if listed != is)
}

pub(crate) fn remove_if_present(path: &Path) -> Result<(), Failure> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(Failure::output(format!(
            "cannot remove {}, a file of the export that was replaced: {error}",
            path.display()
        ))),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// An export report; `None` when the file is none.
fn read_report(path: &Path) -> Option<Value> {
    // reading a named pipe would wait for a writer
    fs::metadata(path).ok().filter(fs::Metadata::is_file)?;
    let report: Value = serde_json::from_slice(&fs::read(path).ok()?).ok()?;
    (report["made_by"]["engine"].is_string() && report["outputs"].is_array()).then_some(report)
}

fn outputs(report: &Value) -> &[Value] {
    report["outputs"].as_array().map_or(&[], Vec::as_slice)
}

/// The names of the files that a report lists.
fn names(report: &Value) -> impl Iterator<Item = &str> {
    outputs(report).iter().filter_map(|file| file["name"].as_str())
}

/// The folder at the root of an ext4 volume that only root may read. fsck puts files there that it recovers.
const LOST_AND_FOUND: &str = "lost+found";

/// The files in a folder and in the folders below it, by their paths in it. Links are listed, not followed. A volume's
/// `lost+found` that cannot be read counts as empty.
pub(crate) fn files_below(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let mut pending = vec![PathBuf::new()];
    while let Some(below) = pending.pop() {
        let entries = match fs::read_dir(folder.join(&below)) {
            Err(error)
                if error.kind() == ErrorKind::PermissionDenied && below == Path::new(LOST_AND_FOUND) =>
            {
                continue;
            }
            entries => entries?,
        };
        for entry in entries {
            let entry = entry?;
            let name = below.join(entry.file_name());
            if entry.file_type()?.is_dir() { pending.push(name) } else { files.push(name) }
        }
    }
    Ok(files)
}
