//! Crates for tests, given as file names with their text.

use std::fs;

use crate::module_tree::{SourceModule, parse_crate};

/// The modules of a crate with these files below `src/`; the first is its root.
pub(crate) fn crate_of(files: &[(&str, &str)]) -> Vec<SourceModule> {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let file = folder.path().join(name);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, text).unwrap();
    }
    let mut modules = parse_crate(&folder.path().join(files[0].0)).unwrap();
    for module in &mut modules {
        module.file = module.file.strip_prefix(folder.path()).unwrap().to_owned();
    }
    modules
}
