//! Where inputs are and outputs go, and what may be replaced.

use std::error::Error;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use engine::{
    Adapter, Checkpoint, ExportReport, Folder as _, LocalFolder, MergePlan, Model, OutputType, PlannedFile,
    Source,
};

pub(crate) fn open_folder(path: &Path) -> engine::Result<Arc<LocalFolder>> {
    LocalFolder::open(path).map(Arc::new)
}

/// Opens a file by its path.
pub(crate) fn open_file(path: &Path) -> Result<Arc<dyn Source>, Box<dyn Error>> {
    let name =
        path.file_name().and_then(|n| n.to_str()).ok_or_else(|| format!("{} is no file", path.display()))?;
    Ok(open_folder(parent(path))?.open(name).map_err(|e| format!("cannot read {}: {e}", path.display()))?)
}

/// The base, with the adapter merged into it if there is one.
pub(crate) fn open_model(base: &Path, adapter: Option<&Path>) -> engine::Result<Model> {
    let base = Checkpoint::open(open_folder(base)?)?;
    match adapter {
        Some(adapter) => Model::with_adapter(&base, &Adapter::open(open_folder(adapter)?)?),
        None => Ok(Model::new(&base)),
    }
}

/// What a folder is called, also when it is typed as `.`.
pub(crate) fn folder_name(path: &Path) -> String {
    let whole = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    whole.file_name().map_or_else(|| "model".to_owned(), |name| name.to_string_lossy().into_owned())
}

/// The folder that a file is in.
pub(crate) fn parent(path: &Path) -> &Path {
    path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// The folder of the files to be made, and their names: `out` is a file's, perhaps with `{quant}` in it, or a folder.
pub(crate) fn gguf_names(
    out: &Path,
    title: &str,
    types: &[OutputType],
) -> Result<(PathBuf, Vec<String>), Box<dyn Error>> {
    let is_folder = out.is_dir() || out.to_string_lossy().ends_with('/');
    let (folder, pattern) = match out.file_name().and_then(|name| name.to_str()) {
        _ if is_folder => (out.to_owned(), format!("{}-{{quant}}.gguf", title.replace(['/', '\\'], "-"))),
        Some(name) => (parent(out).to_owned(), name.to_owned()),
        None => return Err(format!("{} is no file that could be made", out.display()).into()),
    };
    let names: Vec<String> = types.iter().map(|t| pattern.replace("{quant}", t.as_str())).collect();
    match names.iter().enumerate().find(|(at, name)| names[..*at].contains(name)) {
        Some((_, name)) => Err(format!(
            "{name} would be made twice: put {{quant}} in --out (my-model-{{quant}}.gguf), and each type once in --quant"
        )
        .into()),
        None => Ok((folder, names)),
    }
}

/// Refuses to replace what is there, unless asked to.
pub(crate) fn check_new(folder: &Path, files: &[PlannedFile], force: bool) -> Result<(), Box<dyn Error>> {
    match files.iter().map(|file| folder.join(&file.name)).find(|path| path.exists()) {
        Some(path) if !force => {
            Err(format!("{} exists: give another --out, or --force to replace it", path.display()).into())
        }
        Some(_) | None => Ok(()),
    }
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
    let is_export = |name: &str| {
        name.ends_with(".safetensors") || name == ExportReport::FILE || planned.iter().any(|f| f.name == name)
    };
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_type_stands_where_the_name_says() {
        let types = [OutputType::Q8_0, OutputType::Q4_K_M];
        let names = |out: &str| gguf_names(Path::new(out), "my/model", &types).map_err(|e| e.to_string());
        assert_eq!(
            names("a/m.{quant}.gguf").unwrap(),
            (PathBuf::from("a"), vec!["m.q8_0.gguf".to_owned(), "m.q4_k_m.gguf".to_owned()])
        );
        assert_eq!(names("new/").unwrap().1, ["my-model-q8_0.gguf", "my-model-q4_k_m.gguf"]);
        assert!(names("m.gguf").unwrap_err().contains("put {quant} in --out"));
    }
}
