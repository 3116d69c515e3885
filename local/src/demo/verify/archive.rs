//! ZIP archives of model files.

use std::{fs::File, io::BufReader, path::Path};

use anyhow::{Context as _, ensure};
use zip::ZipArchive;

use super::{FileContents, safetensors};

/// Reads every file of the archive, which compares its checksum, and checks the safetensors files.
pub(super) fn check(path: &Path, expected: &[&str]) -> anyhow::Result<FileContents> {
    let mut archive = ZipArchive::new(BufReader::new(File::open(path)?)).context("not a ZIP archive")?;
    let (mut names, mut tensors) = (Vec::new(), 0);
    for index in 0..archive.len() {
        let mut entry = archive.by_index(index)?;
        let (name, size) = (entry.name()?.into_owned(), entry.size());
        if name.ends_with(".safetensors") {
            tensors += safetensors::check(&mut entry, size).with_context(|| name.clone())?;
        } else {
            std::io::copy(&mut entry, &mut std::io::sink()).with_context(|| name.clone())?;
        }
        names.push(name);
    }
    for name in expected {
        ensure!(names.iter().any(|n| n == name), "the archive has no {name}");
    }
    ensure!(tensors > 0, "the archive has no weights");
    Ok(FileContents { summary: format!("ZIP of {} files", names.len()), tensors })
}
