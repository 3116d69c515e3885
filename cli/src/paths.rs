//! Input and output paths.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use engine::{Folder as _, LocalFolder, OutputType, Source};

use crate::failure::Failure;

pub(crate) fn open_folder(path: &Path) -> engine::Result<Arc<LocalFolder>> {
    LocalFolder::open(path).map(Arc::new)
}

pub(crate) fn open_file(path: &Path) -> Result<Arc<dyn Source>, Failure> {
    let cannot = |e: &dyn std::fmt::Display| Failure::input(format!("cannot read {}: {e}", path.display()));
    path.symlink_metadata().map_err(|e| cannot(&e))?;
    if path.metadata().is_ok_and(|metadata| !metadata.is_file()) {
        return Err(cannot(
            &"pipes, devices and folders are not read: write the content to a file, and give that",
        ));
    }
    let name = file_name(path).ok_or_else(|| cannot(&"not a file name"))?;
    open_folder(parent(path))?.open(name).map_err(|e| cannot(&e))
}

/// The content of the open file at `path`.
pub(crate) fn content(file: &dyn Source, path: &Path) -> Result<Vec<u8>, Failure> {
    let cannot = |e: &dyn std::fmt::Display| Failure::input(format!("cannot read {}: {e}", path.display()));
    let mut bytes = vec![0; usize::try_from(file.size()).map_err(|e| cannot(&e))?];
    file.read_at(0, &mut bytes).map_err(|e| cannot(&e))?;
    Ok(bytes)
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
pub(crate) fn output_file(path: &Path) -> Result<(&Path, &str), Failure> {
    match file_name(path) {
        Some("-") if path.as_os_str() == "-" => {
            Err(Failure::usage("an export is not written to standard output: give the path of a file"))
        }
        Some(name) if !path.is_dir() && !path.to_string_lossy().ends_with(std::path::is_separator) => {
            Ok((parent(path), name))
        }
        Some(_) => Err(Failure::output(format!("{} is a folder: give the path of a file", path.display()))),
        None => Err(Failure::output(format!("{} is not a valid output path", path.display()))),
    }
}

/// Whether an output is a folder, in which the model names the file.
pub(crate) fn is_named_folder(out: &Path) -> bool {
    out.is_dir() || out.to_string_lossy().ends_with(std::path::is_separator)
}

/// The folder and names of the GGUF files of these types. `out` is a file, perhaps with `{quant}` in its name, or a
/// folder.
///
/// # Errors
/// When `out` has no file name, or when two types would have the same file.
pub(crate) fn gguf_names(
    out: &Path,
    title: &str,
    types: &[OutputType],
) -> Result<(PathBuf, Vec<String>), Failure> {
    let (folder, pattern) = if is_named_folder(out) {
        (out, format!("{}-{{quant}}.gguf", title.replace(['/', '\\'], "-")))
    } else {
        output_file(out).map(|(folder, name)| (folder, name.to_owned()))?
    };
    if let Some((_, twice)) = types.iter().enumerate().find(|(at, one)| types[..*at].contains(one)) {
        return Err(Failure::usage(format!("--quant has {twice} twice: name each type once")));
    }
    if types.len() > 1 && !pattern.contains("{quant}") {
        let (count, out) = (types.len(), out.display());
        return Err(Failure::usage(match pattern.strip_suffix(".gguf") {
            Some(stem) => format!(
                "--out {out} is one file, and --quant has {count} types: put {{quant}} in its name ({stem}-{{quant}}.gguf)"
            ),
            None => format!(
                "--out {out} is one file, and --quant has {count} types: for a new folder put a slash at its end ({out}/), for \
                 files put {{quant}} in their name ({out}-{{quant}}.gguf)"
            ),
        }));
    }
    let names = types.iter().map(|one| pattern.replace("{quant}", one.as_str())).collect();
    Ok((folder.to_owned(), names))
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
        assert!(names("a/m.gguf").unwrap_err().ends_with("put {quant} in its name (m-{quant}.gguf)"));
        let folder = names("new").unwrap_err();
        assert!(
            folder.contains("--out new is one file") && folder.contains("a slash at its end (new/)"),
            "{folder}"
        );
        assert_eq!(names("absent/..").unwrap_err(), "absent/.. is not a valid output path");
    }
}
