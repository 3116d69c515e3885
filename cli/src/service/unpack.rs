//! Zip files of an export, unpacked to a folder.

use std::fs::{self, File};
use std::io::{self, BufReader};
use std::path::Path;

use zip::ZipArchive;

use crate::failure::Failure;
use crate::paths::parent;

/// Unpacks a zip file to a folder, which does not exist, and removes the zip file. The folder has its name when it is complete.
/// Returns the number of files.
pub(crate) fn unpack(path: &Path, folder: &Path) -> Result<usize, Failure> {
    let cannot = |problem: &dyn std::fmt::Display| {
        Failure::output(format!("cannot unpack {}, which is complete: {problem}", path.display()))
    };
    let draft = tempfile::tempdir_in(parent(folder)).map_err(|error| cannot(&error))?;
    let count = extract(path, draft.path()).map_err(|error| cannot(&error))?;
    let publish = || {
        set_default_mode(draft.path())?;
        fs::rename(draft.path(), folder)?;
        fs::remove_file(path)
    };
    publish().map_err(|error: io::Error| cannot(&error))?;
    Ok(count)
}

/// Extracts every file. Names that lead out of the folder, and links, are refused. Returns the number of files.
fn extract(path: &Path, folder: &Path) -> io::Result<usize> {
    let mut archive = ZipArchive::new(BufReader::new(File::open(path)?))?;
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
        io::copy(&mut entry, &mut file)?;
        file.sync_all()?;
        count += 1;
    }
    Ok(count)
}

/// A temporary folder is for its owner only; this one gets the mode of a new folder.
#[cfg(unix)]
fn set_default_mode(folder: &Path) -> io::Result<()> {
    let new = folder.join(".new");
    fs::create_dir(&new)?;
    fs::set_permissions(folder, fs::metadata(&new)?.permissions())?;
    fs::remove_dir(new)
}

#[cfg(not(unix))]
fn set_default_mode(_folder: &Path) -> io::Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use zip::ZipWriter;
    use zip::write::SimpleFileOptions;

    use super::*;

    fn packed(folder: &Path, name: &str, is_link: bool) -> std::path::PathBuf {
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
        assert_eq!(unpack(&path, &folder.path().join("model")).unwrap(), 2);
        assert_eq!(fs::read(folder.path().join("model/1_Dense/config.json")).unwrap(), b"content");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn names_that_lead_out_of_the_folder_and_links_are_refused_and_leave_nothing() {
        for (name, is_link) in [("../out", false), ("a/../../out", false), ("/etc/x", false), ("link", true)]
        {
            let folder = tempfile::tempdir().unwrap();
            let path = packed(folder.path(), name, is_link);
            let failure = unpack(&path, &folder.path().join("model")).unwrap_err().to_string();
            assert!(failure.contains("not a file below it"), "{name}: {failure}");
            assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "{name}");
        }
    }
}
