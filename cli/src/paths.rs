//! Input paths, output paths, and which existing outputs may be replaced.

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

pub(crate) fn open_file(path: &Path) -> Result<Arc<dyn Source>, Box<dyn Error>> {
    let name = file_name(path).ok_or_else(|| format!("{} is not a file", path.display()))?;
    Ok(open_folder(parent(path))?.open(name).map_err(|e| format!("cannot read {}: {e}", path.display()))?)
}

/// Opens the base model, and the adapter to merge into it if there is one.
pub(crate) fn open_model(base: &Path, adapter: Option<&Path>) -> engine::Result<Model> {
    let base = Checkpoint::open(open_folder(base)?)?;
    match adapter {
        Some(adapter) => Model::with_adapter(&base, &Adapter::open(open_folder(adapter)?)?),
        None => Ok(Model::new(&base)),
    }
}

/// The name of a folder; of the current one if the path is `.`.
pub(crate) fn folder_name(path: &Path) -> String {
    let absolute = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    absolute.file_name().map_or_else(|| "model".to_owned(), |name| name.to_string_lossy().into_owned())
}

/// The last component of a path, if it is UTF-8.
pub(crate) fn file_name(path: &Path) -> Option<&str> {
    path.file_name().and_then(|name| name.to_str())
}

/// The folder that contains a path.
pub(crate) fn parent(path: &Path) -> &Path {
    path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// The path of a file in a folder, without `./` in front.
pub(crate) fn join(folder: &Path, name: &str) -> PathBuf {
    if folder == Path::new(".") { PathBuf::from(name) } else { folder.join(name) }
}

/// Splits the path of an output file into folder and name.
///
/// # Errors
/// When it is an existing folder, or has no file name.
pub(crate) fn output_file(path: &Path) -> Result<(&Path, &str), Box<dyn Error>> {
    match file_name(path) {
        Some(name) if !path.is_dir() => Ok((parent(path), name)),
        Some(_) => Err(format!("{} is a folder: give the path of a file", path.display()).into()),
        None => Err(format!("{} is not a valid output path", path.display()).into()),
    }
}

/// The folder and names of the GGUF files of these types. `out` is a file, perhaps with `{quant}` in its name, or a
/// folder.
///
/// # Errors
/// When `out` has no file name, or when two types would have the same name.
pub(crate) fn gguf_names(
    out: &Path,
    title: &str,
    types: &[OutputType],
) -> Result<(PathBuf, Vec<String>), Box<dyn Error>> {
    let is_folder = out.is_dir() || out.to_string_lossy().ends_with('/');
    let (folder, pattern) = if is_folder {
        (out, format!("{}-{{quant}}.gguf", title.replace(['/', '\\'], "-")))
    } else {
        output_file(out).map(|(folder, name)| (folder, name.to_owned()))?
    };
    let names: Vec<String> = types.iter().map(|t| pattern.replace("{quant}", t.as_str())).collect();
    match names.iter().enumerate().find(|(at, name)| names[..*at].contains(name)) {
        Some((_, name)) => Err(format!(
            "{name} would be written twice: put {{quant}} in --out (my-model-{{quant}}.gguf), \
             and name each type once in --quant"
        )
        .into()),
        None => Ok((folder.to_owned(), names)),
    }
}

/// Fails if one of the files exists, unless `force` is set.
pub(crate) fn check_absent(folder: &Path, files: &[PlannedFile], force: bool) -> Result<(), Box<dyn Error>> {
    match files.iter().map(|file| join(folder, &file.name)).find(|path| path.exists()) {
        Some(path) if !force => {
            Err(format!("{} exists: choose another output, or replace it with --force", path.display())
                .into())
        }
        Some(_) | None => Ok(()),
    }
}

/// An output folder that appears complete: files are written to a hidden folder next to it, which is then renamed.
pub(crate) struct NewFolder {
    path: PathBuf,
    staging: PathBuf,
}

impl NewFolder {
    /// Creates the hidden folder.
    ///
    /// # Errors
    /// When `path` holds something that must not be replaced, or the folder cannot be created.
    pub(crate) fn prepare(path: &Path, force: bool, plan: &MergePlan) -> Result<Self, Box<dyn Error>> {
        let Some(name) = path.file_name() else {
            return Err(
                format!("{} is not a valid output path: give the name of a folder", path.display()).into()
            );
        };
        check_replaceable(path, force, plan)?;
        let hidden = format!(".{}.{}.part", name.to_string_lossy(), std::process::id());
        let folder = Self { staging: path.with_file_name(hidden), path: path.to_owned() };
        fs::create_dir_all(&folder.staging)
            .map_err(|e| format!("cannot create {}: {e}", folder.staging.display()))?;
        Ok(folder)
    }

    /// The hidden folder to write to before [`commit`](Self::commit).
    pub(crate) fn staging(&self) -> &Path {
        &self.staging
    }

    /// Renames the hidden folder to its final name, replacing what is there.
    pub(crate) fn commit(self) -> io::Result<()> {
        if self.path.exists() {
            fs::remove_dir_all(&self.path)?;
        }
        fs::rename(&self.staging, &self.path)
    }
}

impl Drop for NewFolder {
    fn drop(&mut self) {
        if self.staging.exists() {
            // a folder that cannot be removed stays, and its name ends in .part
            drop(fs::remove_dir_all(&self.staging));
        }
    }
}

/// Fails unless `path` is absent, an empty folder, or, with `force`, a folder that holds files of an export only.
fn check_replaceable(path: &Path, force: bool, plan: &MergePlan) -> Result<(), Box<dyn Error>> {
    let entries = match fs::read_dir(path) {
        Ok(entries) => entries.collect::<io::Result<Vec<_>>>()?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(format!("cannot write to {}: {error}", path.display()).into()),
    };
    let planned = plan.files();
    let is_export = |name: &str| {
        name.ends_with(".safetensors") || name == ExportReport::FILE || planned.iter().any(|f| f.name == name)
    };
    match entries.iter().find(|e| !e.file_name().to_str().is_some_and(is_export)) {
        _ if entries.is_empty() => Ok(()),
        Some(other) => Err(format!(
            "{} contains {:?}, which is not a file of an export: choose another output",
            path.display(),
            other.file_name()
        )
        .into()),
        None if !force => {
            Err(format!("{} is not empty: choose another output, or replace it with --force", path.display())
                .into())
        }
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quant_is_replaced_by_the_type() {
        let types = [OutputType::Q8_0, OutputType::Q4_K_M];
        let names = |out: &str| gguf_names(Path::new(out), "my/model", &types).map_err(|e| e.to_string());
        assert_eq!(
            names("a/m.{quant}.gguf").unwrap(),
            (PathBuf::from("a"), vec!["m.q8_0.gguf".to_owned(), "m.q4_k_m.gguf".to_owned()])
        );
        assert_eq!(names("new/").unwrap().1, ["my-model-q8_0.gguf", "my-model-q4_k_m.gguf"]);
        assert!(names("m.gguf").unwrap_err().contains("put {quant} in --out"));
        assert_eq!(names("absent/..").unwrap_err(), "absent/.. is not a valid output path");
    }
}
