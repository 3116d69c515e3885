//! Where inputs are and outputs go, and what may be replaced.

use std::error::Error;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use engine::{Folder as _, LocalFolder, MergePlan, Source};

pub(crate) fn open_folder(path: &Path) -> engine::Result<Arc<LocalFolder>> {
    LocalFolder::open(path).map(Arc::new)
}

/// Opens a file by its path.
pub(crate) fn open_file(path: &Path) -> Result<Arc<dyn Source>, Box<dyn Error>> {
    let name =
        path.file_name().and_then(|n| n.to_str()).ok_or_else(|| format!("{} is no file", path.display()))?;
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    Ok(open_folder(folder)?.open(name).map_err(|e| format!("cannot read {}: {e}", path.display()))?)
}

/// The folder and name of a file to be made.
pub(crate) fn new_file(path: &Path, force: bool) -> Result<(PathBuf, String), Box<dyn Error>> {
    let name = path.file_name().and_then(|n| n.to_str());
    let Some(name) = name.filter(|_| !path.is_dir()) else {
        return Err(format!(
            "{} is a folder: give the file to make, such as model.gguf in it",
            path.display()
        )
        .into());
    };
    if path.exists() && !force {
        return Err(format!("{} exists: give another --out, or --force to replace it", path.display()).into());
    }
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    Ok((folder.to_owned(), name.to_owned()))
}

/// A folder that appears whole: its files are made in a folder beside it, which is then renamed.
pub(crate) struct NewFolder {
    place: PathBuf,
    temporary: PathBuf,
}

impl NewFolder {
    pub(crate) fn prepare(place: &Path, force: bool, plan: &MergePlan) -> Result<Self, Box<dyn Error>> {
        check_place(place, force, plan)?;
        let Some(name) = place.file_name() else {
            return Err(format!("{} is no folder that could be made", place.display()).into());
        };
        let hidden = format!(".{}.{}.part", name.to_string_lossy(), std::process::id());
        let new = Self { temporary: place.with_file_name(hidden), place: place.to_owned() };
        fs::create_dir_all(&new.temporary)
            .map_err(|e| format!("cannot make {}: {e}", new.temporary.display()))?;
        Ok(new)
    }

    /// Where to write until then.
    pub(crate) fn path(&self) -> &Path {
        &self.temporary
    }

    /// Puts the finished folder in its place.
    pub(crate) fn commit(self) -> io::Result<()> {
        if self.place.exists() {
            fs::remove_dir_all(&self.place)?;
        }
        fs::rename(&self.temporary, &self.place)
    }
}

impl Drop for NewFolder {
    fn drop(&mut self) {
        if self.temporary.exists() {
            // what cannot be removed is left under a name that says what it is
            drop(fs::remove_dir_all(&self.temporary));
        }
    }
}

/// An existing folder is only replaced when asked for, and only when all it holds is an earlier export.
fn check_place(place: &Path, force: bool, plan: &MergePlan) -> Result<(), Box<dyn Error>> {
    let entries = match fs::read_dir(place) {
        Ok(entries) => entries.collect::<io::Result<Vec<_>>>()?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(format!("cannot use {}: {error}", place.display()).into()),
    };
    let planned = plan.files();
    let is_export = |name: &str| name.ends_with(".safetensors") || planned.iter().any(|f| f.name == name);
    match entries.iter().find(|e| !e.file_name().to_str().is_some_and(is_export)) {
        _ if entries.is_empty() => Ok(()),
        _ if !force => {
            Err(format!("{} is not empty: give another --out, or --force to replace it", place.display())
                .into())
        }
        Some(other) => {
            let name = other.file_name();
            Err(format!("{} holds {name:?}, which no export made: give another --out", place.display())
                .into())
        }
        None => Ok(()),
    }
}
