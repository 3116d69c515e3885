//! An adapter as it is: the files that others need to use it, byte for byte, and a report.

use std::sync::Arc;

use kernels::resize;
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

use crate::check::{AdapterValues, Finding};
use crate::checkpoint::{ADAPTER_CONFIG, TEMPLATE_FOLDER, is_companion};
use crate::error::{Error, Result};
use crate::io::{EditedFolder, Folder, Output, Source, json, read_source, refuse_lfs_pointer};
use crate::peft::{Adapter, is_adapter_file, sixteen_bit_name};
use crate::plan::{PlannedFile, WrittenFile};
use crate::progress::{ProgressUpdate, RunOptions, Stage};
use crate::report::{AdapterReport, ExportReport, OutputFile};

const BASE_MODEL_FIELD: &str = "base_model_name_or_path";

/// Bytes of a small file that are read at a time.
const CHUNK_SIZE: u64 = 1 << 20;

/// The files of an adapter that others need to use it: configuration and weights, tokenizer, chat templates and processors. The
/// folder can also have the trainer's state and settings, in which tokens may be.
pub struct AdapterPlan {
    adapter: Adapter,
    folder: Arc<dyn Folder>,
    files: Vec<PlannedFile>,
}

/// An adapter that was copied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CopiedAdapter {
    /// Every file; the last is the report.
    pub files: Vec<WrittenFile>,
    /// What programs that use the adapter will meet.
    pub findings: Vec<Finding>,
}

impl AdapterPlan {
    /// The adapter's files. With `base_model` (`owner/name`), `adapter_config.json` names that, unless it names the same model or a
    /// 4-bit copy of it.
    ///
    /// # Errors
    /// When the files cannot be listed or read, and when one is a Git LFS pointer.
    pub fn new(adapter: &Adapter, base_model: Option<&str>) -> Result<Self> {
        let mut folder = Arc::clone(adapter.folder());
        if let Some(content) = base_model.map(|name| renamed_config(adapter, name)).transpose()?.flatten() {
            folder = Arc::new(EditedFolder::new(folder, ADAPTER_CONFIG, content));
        }
        let mut files = Vec::new();
        for name in names(&*folder)? {
            let source = open(&*folder, &name)?;
            refuse_lfs_pointer(&*source)?;
            files.push(PlannedFile { size: source.size(), name });
        }
        Ok(Self { adapter: adapter.clone(), folder, files })
    }

    /// The files without the report, by their names.
    pub fn files(&self) -> &[PlannedFile] {
        &self.files
    }

    /// Where the files are read.
    pub fn folder(&self) -> &Arc<dyn Folder> {
        &self.folder
    }

    /// How the adapter was made, in a sentence for a model card.
    pub fn description(&self) -> String {
        let config = self.adapter.config();
        format!("Trained with PEFT: rank {}, alpha {}.", config.rank, config.alpha)
    }

    /// Writes the files, and a report ([`ExportReport::FILE`]). NaN and infinity are copied, and are a finding.
    ///
    /// # Errors
    /// When a file cannot be read or written, and [`Error::Cancelled`] when the caller asked to stop.
    pub fn write(&self, output: &mut dyn Output, run: &RunOptions<'_>) -> Result<CopiedAdapter> {
        let (mut done, total) = (0, self.files.iter().map(|file| file.size).sum());
        let mut values = AdapterValues::default();
        let mut files = Vec::new();
        for PlannedFile { name, size } in &self.files {
            let source = open(&*self.folder, name)?;
            let mut hash = Sha256::new();
            output.begin(name, *size).map_err(|e| Error::write(name, e))?;
            let mut put = |bytes: &[u8]| {
                output.write(bytes).map_err(|e| Error::write(name, e))?;
                hash.update(bytes);
                done += bytes.len() as u64;
                run.progress.report(ProgressUpdate { stage: Stage::Copying, done, total });
                if run.progress.cancelled() { Err(Error::Cancelled) } else { Ok(()) }
            };
            let is_weights = self.adapter.weights().any(|(weights, _)| weights == name);
            if is_weights { values.read(&*source, &mut put) } else { read_in_order(&*source, &mut put) }?;
            output.finish().map_err(|e| Error::write(name, e))?;
            files.push(WrittenFile { name: name.clone(), size: *size, sha256: hex::encode(hash.finalize()) });
        }
        let findings: Vec<Finding> = values.finding().into_iter().collect();
        let outputs = files.iter().map(OutputFile::from).collect();
        let report = ExportReport::FILE;
        let text = AdapterReport::new(&self.adapter, findings.clone(), outputs, run)?.to_json();
        let text = text.map_err(|e| Error::write(report, e.into()))?;
        files.push(WrittenFile::write(report, &text, output)?);
        output.publish(&[report]).map_err(|e| Error::write(report, e))?;
        Ok(CopiedAdapter { files, findings })
    }
}

/// The names of the files that others need, in alphabetical order.
fn names(folder: &dyn Folder) -> Result<Vec<String>> {
    let cannot = |e| Error::read(folder.location(), e);
    let mut names: Vec<String> = folder.list().map_err(cannot)?.into_iter().map(|entry| entry.name).collect();
    names.extend(folder.list_subfolder(TEMPLATE_FOLDER).map_err(cannot)?);
    names.retain(|name| is_published(name));
    names.sort_unstable();
    Ok(names)
}

fn is_published(name: &str) -> bool {
    // weights as pickles can run code
    let is_safe = name.ends_with(".safetensors") || name.ends_with(".json");
    (is_adapter_file(name) && is_safe) || is_companion(name)
}

/// The configuration with the base model's name; `None` if it has that name already.
fn renamed_config(adapter: &Adapter, base_model: &str) -> Result<Option<Vec<u8>>> {
    let named = adapter.config().base_model.as_deref();
    if named.is_some_and(|name| sixteen_bit_name(name) == sixteen_bit_name(base_model)) {
        return Ok(None);
    }
    let file = adapter.config_file();
    let text = read_source(&*open(&**adapter.folder(), ADAPTER_CONFIG)?)?;
    let mut config: Map<String, Value> = json::parse(&file, &text)?;
    config.insert(BASE_MODEL_FIELD.to_owned(), base_model.into());
    serde_json::to_vec_pretty(&config).map(Some).map_err(|error| Error::invalid(file, error.to_string()))
}

fn read_in_order(source: &dyn Source, consume: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<()> {
    let mut bytes = Vec::new();
    for offset in (0..source.size()).step_by(CHUNK_SIZE as usize) {
        resize::bytes(&mut bytes, CHUNK_SIZE.min(source.size() - offset) as usize);
        source.read_at(offset, &mut bytes).map_err(|e| Error::read(source.location(), e))?;
        consume(&bytes)?;
    }
    Ok(())
}

fn open(folder: &dyn Folder, name: &str) -> Result<Arc<dyn Source>> {
    folder.open(name).map_err(|e| Error::read(format!("{}/{name}", folder.location()), e))
}
