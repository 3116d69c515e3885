//! Exports that are complete: the files that their reports name, with the hashes that they had when they were written.

use std::collections::BTreeMap;
use std::io;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use engine::report::{KeptFineTune, survival_section};
use engine::{
    Adapter, AdapterPlan, CopiedAdapter, ExportReport, Folder, FolderEntry, Source, WrittenFile,
    is_directly_in, parse_split_name,
};
use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use super::ExportKind;
use crate::failure::{Failure, FailureKind};
use crate::paths::{content, file_name, join, open_file, open_folder, parent};
use crate::progress::{Progress, Unit};
use crate::signals;
use crate::terminal::Terminal;

/// Bytes that are read at once.
const CHUNK_SIZE: u64 = 4 << 20;

/// The files of exports of one kind, their reports among them.
pub(super) struct ExportedFiles {
    pub(super) kind: ExportKind,
    files: Vec<ExportedFile>,
    /// The names of the base model's files, as far as the reports have them.
    pub(super) base_files: Vec<String>,
    /// The types of GGUF files.
    types: Vec<String>,
    /// How an adapter was made, in a sentence.
    adapter: Option<String>,
    /// What is left of the fine-tune, by what the card calls the file.
    survival: Vec<(String, ReportedSurvival)>,
}

struct ExportedFile {
    written: WrittenFile,
    folder: Arc<dyn Folder>,
}

/// The part of a report that a push needs.
#[derive(Deserialize)]
struct ReportFile {
    kind: String,
    #[serde(default)]
    options: ReportedOptions,
    outputs: Vec<ReportedOutput>,
    inputs: ReportedInputs,
    #[serde(default)]
    survival: Option<ReportedSurvival>,
}

/// What is left of the fine-tune.
#[derive(Deserialize)]
struct ReportedSurvival {
    survival: Option<f64>,
    changed_top1: Option<f64>,
    kl_export: f64,
    kl_base: f64,
    #[serde(default)]
    adapter_beside: Option<ReportedBeside>,
    prompts: ReportedPrompts,
    worst_tensors: Vec<ReportedTensor>,
}

#[derive(Deserialize)]
struct ReportedBeside {
    survival: Option<f64>,
}

#[derive(Deserialize)]
struct ReportedPrompts {
    source: String,
    used: u64,
}

#[derive(Deserialize)]
struct ReportedTensor {
    tensor: String,
    cosine: f64,
}

#[derive(Default, Deserialize)]
struct ReportedOptions {
    quantization: Option<String>,
}

#[derive(Deserialize)]
struct ReportedOutput {
    name: String,
    bytes: u64,
    sha256: String,
}

#[derive(Deserialize)]
struct ReportedInputs {
    base: Vec<ReportedInput>,
}

#[derive(Deserialize)]
struct ReportedInput {
    name: String,
}

impl ExportedFiles {
    /// An adapter whose files were hashed.
    pub(super) fn of_adapter(plan: &AdapterPlan, hashed: &CopiedAdapter) -> Self {
        let of_plan = |file: &&WrittenFile| plan.files().iter().any(|planned| planned.name == file.name);
        let file = |written: &WrittenFile| ExportedFile {
            written: written.clone(),
            folder: Arc::clone(plan.folder()),
        };
        Self {
            kind: ExportKind::Adapter,
            files: hashed.files.iter().filter(of_plan).map(file).collect(),
            base_files: Vec::new(),
            types: Vec::new(),
            adapter: Some(plan.description()),
            survival: Vec::new(),
        }
    }

    /// The exports at these paths, each a folder or a GGUF file.
    pub(super) fn read(paths: &[PathBuf]) -> Result<Self, Failure> {
        let mut all: Option<Self> = None;
        for path in paths {
            let export = Self::read_one(path)?;
            let Some(all) = &mut all else {
                all = Some(export);
                continue;
            };
            all.join(export, path)?;
        }
        all.ok_or_else(|| {
            Failure::usage("give what is pushed: a merged folder, an adapter's folder, or GGUF files")
        })
    }

    fn read_one(path: &Path) -> Result<Self, Failure> {
        let (folder, report_name) = match file_name(path) {
            _ if path.is_dir() => (path, ExportReport::FILE.to_owned()),
            Some(name) => {
                let gguf = parse_split_name(name).map_or_else(|| name.to_owned(), |(gguf, _)| gguf);
                (parent(path), ExportReport::beside(&gguf))
            }
            None => return Err(Failure::input(format!("{} is neither a folder nor a file", path.display()))),
        };
        let report_path = join(folder, &report_name);
        if !report_path.is_file() {
            return Err(Failure::input(format!(
                "{} has no export report ({}): give a folder that gemma-export merge or adapter wrote, or \
                 GGUF files with their reports",
                path.display(),
                report_path.display()
            )));
        }
        let text = content(&*open_file(&report_path)?, &report_path)?;
        let unknown = |problem: &str| {
            Failure::input(format!("{} is no export report ({problem}): export again", report_path.display()))
        };
        let report: ReportFile =
            serde_json::from_slice(&text).map_err(|error| unknown(&error.to_string()))?;
        let kind = match report.kind.as_str() {
            "adapter" => ExportKind::Adapter,
            "merged" => ExportKind::Merged,
            "gguf" => ExportKind::Gguf,
            "lora" => ExportKind::Lora,
            other => return Err(unknown(&format!("of the kind {other}"))),
        };
        let outputs = report.outputs.into_iter();
        let mut written: Vec<WrittenFile> = outputs
            .map(|ReportedOutput { name, bytes, sha256 }| WrittenFile { name, size: bytes, sha256 })
            .collect();
        if let Some(file) = written.iter().find(|file| !is_below(&file.name)) {
            return Err(unknown(&format!("it names {}, which is not below its folder", file.name)));
        }
        let folder: Arc<dyn Folder> = open_folder(folder)?;
        let measured = match written.iter().find(|file| file.name.ends_with(".gguf")) {
            Some(file) => format!("`{}`", file.name),
            None => "the model".to_owned(),
        };
        let mut adapter = None;
        if kind == ExportKind::Adapter {
            // the card has all that the report says
            adapter = Some(AdapterPlan::new(&Adapter::open(Arc::clone(&folder))?, None)?.description());
        } else {
            let sha256 = hex::encode(Sha256::digest(&text));
            written.push(WrittenFile { name: report_name, size: text.len() as u64, sha256 });
        }
        let file = |written| ExportedFile { written, folder: Arc::clone(&folder) };
        Ok(Self {
            kind,
            files: written.into_iter().map(file).collect(),
            base_files: report.inputs.base.into_iter().map(|file| file.name).collect(),
            // that of encoders is no choice
            types: report.options.quantization.filter(|_| !is_mmproj(path)).into_iter().collect(),
            adapter,
            survival: report.survival.map(|found| (measured, found)).into_iter().collect(),
        })
    }

    /// Adds another export.
    fn join(&mut self, other: Self, path: &Path) -> Result<(), Failure> {
        if self.kind != other.kind || matches!(self.kind, ExportKind::Merged | ExportKind::Adapter) {
            return Err(Failure::usage(format!(
                "{} cannot be pushed with the export before it: one commit has one merged folder, one adapter's folder, GGUF \
                 files of models, or GGUF files of adapters",
                path.display()
            )));
        }
        let mut names = self.files.iter().map(|file| &file.written.name);
        if let Some(name) = names.find(|name| other.files.iter().any(|file| file.written.name == **name)) {
            return Err(Failure::usage(format!("{name} would be pushed twice: give each export once")));
        }
        self.files.extend(other.files);
        self.base_files.extend(other.base_files);
        self.types.extend(other.types);
        self.survival.extend(other.survival);
        Ok(())
    }

    /// Every file, as the reports describe it.
    pub(super) fn written(&self) -> Vec<WrittenFile> {
        self.files.iter().map(|file| file.written.clone()).collect()
    }

    /// How the model was made and what is left of the fine-tune, for the model card.
    pub(super) fn description(&self) -> String {
        self.made() + &self.survival_section()
    }

    fn survival_section(&self) -> String {
        let kept = self.survival.iter().map(|(name, found)| {
            let worst_tensors =
                found.worst_tensors.iter().map(|one| (one.tensor.as_str(), one.cosine)).collect();
            let ReportedSurvival { survival, changed_top1, kl_export, kl_base, .. } = *found;
            let beside = found.adapter_beside.as_ref().and_then(|beside| beside.survival);
            let prompts = (found.prompts.source == "file").then_some(found.prompts.used);
            KeptFineTune { name, prompts, survival, changed_top1, kl_export, kl_base, beside, worst_tensors }
        });
        survival_section(&kept.collect::<Vec<_>>())
    }

    /// How the model was made, in a sentence.
    fn made(&self) -> String {
        match self.kind {
            ExportKind::Adapter => self.adapter.clone().unwrap_or_default(),
            ExportKind::Merged => {
                "Merged from the base model and a LoRA adapter in 32-bit arithmetic, rounded once.".to_owned()
            }
            ExportKind::Gguf => format!("Converted for llama.cpp as {}.", self.types.join(", ")),
            ExportKind::Lora => "A LoRA adapter for llama.cpp (`--lora`).".to_owned(),
        }
    }

    /// Reads every file, and fails if one is not as it was written.
    pub(super) fn check(&self, terminal: Terminal) -> Result<(), Failure> {
        let progress = Progress::new(terminal, "checking", Unit::Bytes);
        let total = self.files.iter().map(|file| file.written.size).sum();
        let mut done = 0;
        let checked = self.files.iter().try_for_each(|ExportedFile { written, folder }| {
            let location = format!("{}/{}", folder.location(), written.name);
            let cannot = |error: io::Error| Failure::input(format!("cannot read {location}: {error}"));
            let source = folder.open(&written.name).map_err(cannot)?;
            let read = |bytes: u64| {
                done += bytes;
                progress.set(done, total);
            };
            if source.size() != written.size || sha256(&*source, read, cannot)? != written.sha256 {
                return Err(Failure::input(format!(
                    "{location} is not the file that was exported, by its size and SHA-256 in the report: export again"
                )));
            }
            Ok(())
        });
        progress.finish();
        checked
    }

    /// The files as those of one folder.
    pub(super) fn folder(&self) -> Arc<dyn Folder> {
        let file = |file: &ExportedFile| (file.written.name.clone(), Arc::clone(&file.folder));
        let files: BTreeMap<_, _> = self.files.iter().map(file).collect();
        let location = self.files.first().map_or_else(String::new, |file| file.folder.location().to_owned());
        Arc::new(JoinedFiles { location, files })
    }
}

/// Files of several folders, by their names.
struct JoinedFiles {
    location: String,
    files: BTreeMap<String, Arc<dyn Folder>>,
}

impl Folder for JoinedFiles {
    fn location(&self) -> &str {
        &self.location
    }

    fn list(&self) -> io::Result<Vec<FolderEntry>> {
        let names = self.files.keys().filter(|name| !name.contains('/'));
        names.map(|name| Ok(FolderEntry { name: name.clone(), size: self.open(name)?.size() })).collect()
    }

    fn list_subfolder(&self, subfolder: &str) -> io::Result<Vec<String>> {
        Ok(self.files.keys().filter(|name| is_directly_in(name, subfolder)).cloned().collect())
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn Source>> {
        self.files.get(name).ok_or(io::ErrorKind::NotFound)?.open(name)
    }
}

fn sha256(
    source: &dyn Source,
    mut read: impl FnMut(u64),
    cannot: impl Fn(io::Error) -> Failure,
) -> Result<String, Failure> {
    let mut hash = Sha256::new();
    let mut chunk = vec![0; source.size().min(CHUNK_SIZE) as usize];
    for offset in (0..source.size()).step_by(CHUNK_SIZE as usize) {
        if signals::is_interrupted() {
            return Err(Failure::new(FailureKind::Interrupted, "interrupted: nothing was pushed"));
        }
        let length = (source.size() - offset).min(CHUNK_SIZE);
        let chunk = &mut chunk[..length as usize];
        source.read_at(offset, chunk).map_err(&cannot)?;
        hash.update(&*chunk);
        read(length);
    }
    Ok(hex::encode(hash.finalize()))
}

/// Whether a name is that of a file below its folder.
fn is_below(name: &str) -> bool {
    let is_normal = |part: Component<'_>| matches!(part, Component::Normal(_));
    !name.is_empty() && Path::new(name).components().all(is_normal)
}

/// Whether a file has the encoders of a model, by the name that a repository needs.
fn is_mmproj(path: &Path) -> bool {
    file_name(path).is_some_and(|name| name.contains("mmproj"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_names_files_below_its_folder() {
        assert!(["a", "1_Pooling/config.json"].into_iter().all(is_below));
        assert!(!["", "../a", "/a", "a/../../b", "."].into_iter().any(is_below));
    }
}
