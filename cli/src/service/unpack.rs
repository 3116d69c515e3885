//! Zip files of an export, unpacked to a folder.

use std::fs::{self, File};
use std::io::{self, BufReader, Read, Write as _};
use std::path::{Path, PathBuf};

use engine::ExportReport;
use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use zip::ZipArchive;

use crate::failure::{Failure, FailureKind};
use crate::paths::{file_name, join, parent};
use crate::signals;

/// What a report says of the files beside it.
#[derive(Deserialize)]
struct ReportedFiles {
    outputs: Vec<ReportedFile>,
}

#[derive(Deserialize)]
struct ReportedFile {
    name: String,
    bytes: u64,
}

/// Unpacks a zip file to a folder, which does not exist, with the report beside it, and removes the zip file. The folder has its name when
/// it is complete; until then it is a draft, which the next run replaces. Returns the number of files.
pub(crate) fn unpack(path: &Path, folder: &Path, report: Option<&Path>) -> Result<usize, Failure> {
    let cannot = |error: io::Error| {
        if signals::is_interrupted() {
            let message =
                format!("interrupted: {} is complete, and the same command unpacks it", path.display());
            return Failure::new(FailureKind::Interrupted, message);
        }
        Failure::output(format!("cannot unpack {}, which is complete: {error}", path.display()))
    };
    let zip = File::open(path).map_err(cannot)?;
    if zip.try_lock().is_err() {
        return Err(Failure::output(format!(
            "another download unpacks {}: wait for its end",
            path.display()
        )));
    }
    let draft = draft_of(folder);
    let unpacked = remove_draft(&draft).and_then(|()| {
        fs::create_dir(&draft)?;
        let count = extract(&zip, &draft)?;
        let Some(report) = report else { return Ok(count) };
        fs::copy(report, draft.join(ExportReport::FILE))?;
        Ok(count + 1)
    });
    let published = unpacked.and_then(|count| {
        fs::rename(&draft, folder)?;
        fs::remove_file(path)?;
        Ok(count)
    });
    published.map_err(|error| {
        remove_draft(&draft).ok();
        cannot(error)
    })
}

/// Whether a folder has the export with this report: the report itself, and every file in its size.
pub(crate) fn is_unpacked(folder: &Path, report_sha256: &str) -> bool {
    let Ok(report) = fs::read(folder.join(ExportReport::FILE)) else { return false };
    let Ok(ReportedFiles { outputs }) = serde_json::from_slice(&report) else { return false };
    let is_whole = |file: &ReportedFile| {
        fs::metadata(folder.join(&file.name)).is_ok_and(|about| about.is_file() && about.len() == file.bytes)
    };
    hex::encode(Sha256::digest(&report)) == report_sha256 && outputs.iter().all(is_whole)
}

/// The number of files in a folder and those below it.
pub(crate) fn file_count(folder: &Path) -> io::Result<usize> {
    fs::read_dir(folder)?.try_fold(0, |count, entry| {
        let path = entry?.path();
        Ok(count + if path.is_dir() { file_count(&path)? } else { 1 })
    })
}

fn draft_of(folder: &Path) -> PathBuf {
    join(parent(folder), &format!("{}.unpacking.part", file_name(folder).unwrap_or_default()))
}

fn remove_draft(draft: &Path) -> io::Result<()> {
    match fs::remove_dir_all(draft) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Extracts every file. Names that lead out of the folder, and links, are refused. Returns the number of files.
fn extract(zip: &File, folder: &Path) -> io::Result<usize> {
    let mut archive = ZipArchive::new(BufReader::new(zip))?;
    let mut count = 0;
    for index in 0..archive.len() {
        let mut entry = archive.by_index(index)?;
        let named = entry.name()?.into_owned();
        // an absolute name would be made a relative one
        let name = entry.enclosed_name().filter(|_| !entry.is_symlink() && !named.starts_with(['/', '\\']));
        let refused = || io::Error::other(format!("it has {named:?}, which is not a file below it"));
        let name = name.ok_or_else(refused)?;
        let target = folder.join(name);
        if entry.is_dir() {
            fs::create_dir_all(target)?;
            continue;
        }
        fs::create_dir_all(parent(&target))?;
        let mut file = File::options().write(true).create_new(true).open(target)?;
        copy(&mut entry, &mut file)?;
        file.sync_all()?;
        count += 1;
    }
    Ok(count)
}

/// As [`io::copy`], until a signal.
fn copy(from: &mut impl Read, to: &mut File) -> io::Result<()> {
    let mut buffer = vec![0; 1 << 20];
    loop {
        if signals::is_interrupted() {
            return Err(io::ErrorKind::Interrupted.into());
        }
        match from.read(&mut buffer)? {
            0 => return Ok(()),
            read => to.write_all(&buffer[..read])?,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use zip::ZipWriter;
    use zip::write::SimpleFileOptions;

    use super::*;

    fn packed(folder: &Path, name: &str, is_link: bool) -> PathBuf {
        let path = folder.join("model.zip");
        let mut archive = ZipWriter::new(File::create(&path).unwrap());
        let options = SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
        archive.start_file("config.json", options).unwrap();
        archive.write_all(b"{}").unwrap();
        if is_link {
            archive.add_symlink(name, "/etc/passwd", options).unwrap();
        } else {
            archive.start_file(name, options).unwrap();
            archive.write_all(b"content").unwrap();
        }
        archive.finish().unwrap();
        path
    }

    #[test]
    fn files_are_unpacked_below_the_folder() {
        let folder = tempfile::tempdir().unwrap();
        let path = packed(folder.path(), "1_Dense/config.json", false);
        assert_eq!(unpack(&path, &folder.path().join("model"), None).unwrap(), 2);
        assert_eq!(fs::read(folder.path().join("model/1_Dense/config.json")).unwrap(), b"content");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_draft_that_was_left_is_replaced_and_the_report_goes_along() {
        let folder = tempfile::tempdir().unwrap();
        let path = packed(folder.path(), "model.safetensors", false);
        let (target, report) = (folder.path().join("model"), folder.path().join("export-report.json"));
        fs::create_dir(folder.path().join("model.unpacking.part")).unwrap();
        fs::write(folder.path().join("model.unpacking.part/left"), "over").unwrap();
        let text = r#"{"outputs": [{"name": "model.safetensors", "bytes": 7, "sha256": ""}]}"#;
        fs::write(&report, text).unwrap();
        assert_eq!(unpack(&path, &target, Some(&report)).unwrap(), 3);
        assert_eq!(file_count(&target).unwrap(), 3);
        let sha256 = hex::encode(Sha256::digest(text));
        assert!(is_unpacked(&target, &sha256) && !is_unpacked(&target, &"0".repeat(64)));
        fs::write(target.join("model.safetensors"), "less").unwrap();
        assert!(!is_unpacked(&target, &sha256));
    }

    #[test]
    fn names_that_lead_out_of_the_folder_and_links_are_refused_and_leave_nothing() {
        for (name, is_link) in [("../out", false), ("a/../../out", false), ("/etc/x", false), ("link", true)]
        {
            let folder = tempfile::tempdir().unwrap();
            let path = packed(folder.path(), name, is_link);
            let failure = unpack(&path, &folder.path().join("model"), None).unwrap_err().to_string();
            assert!(failure.contains("not a file below it"), "{name}: {failure}");
            assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "{name}");
        }
    }
}
