//! The plan of a merged checkpoint: one shard for each of the base's, and the small files of the model.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;

use super::tensor_shapes::check_checkpoint;
use super::{ExportPlan, PlannedFile};
use super::{FileLayout, FilePart, PartContent};
use crate::check::{Finding, check_serving};
use crate::checkpoint::config::{ConfigEdit, EditedSection, edit_config};
use crate::checkpoint::{INDEX_FILE, companion_files, header};
use crate::error::{Error, Result};
use crate::gemma;
use crate::io::{Source, read_source};
use crate::merge::{Model, ModelTensor};
use crate::report::{ExportKind, ExportReport, ExportWarning, ReportContext, ReportOptions};

/// The plan of a merge, checked and measured. Nothing is written yet.
#[derive(Debug)]
pub struct MergePlan {
    export: ExportPlan,
}

impl MergePlan {
    /// # Errors
    /// [`Error::Invalid`] when the model has no adapter, because the result would be the base itself;
    /// [`Error::InvalidTensor`] when a tensor has another shape than `config.json` requires;
    /// [`Error::Read`] when a companion file cannot be opened.
    pub fn new(model: &Model) -> Result<Self> {
        if model.adapter().is_none() {
            let problem = "is a full model without an adapter: there is nothing to merge";
            return Err(Error::invalid(model.base().location(), problem));
        }
        check_checkpoint(model)?;
        let mut layouts: Vec<FileLayout> =
            (0..model.base().shards().len()).map(|n| shard(model, n)).collect();
        if model.base().has_index() {
            layouts.push(index(model));
        }
        let (companions, changes) = (companions(model)?, config_changes(model)?);
        for name in &companions {
            if let Some(source) = model.files().open(name)? {
                let text = match edited_config(name, &*source, &changes)? {
                    Some(text) => Some(text),
                    None => model.files().edited(name)?,
                };
                layouts.push(small_file(name, text, source));
            }
        }
        Self::of(model, layouts, companions)
    }

    /// The plan of a full model's own files, byte for byte; only a configuration that ties an embedding to an lm_head with
    /// other values is changed. Writing them checks every weight.
    ///
    /// # Errors
    /// As [`new`](Self::new), but for a model without an adapter.
    pub fn own_files(model: &Model) -> Result<Self> {
        model.base().check_not_empty()?;
        check_checkpoint(model)?;
        let mut layouts =
            (0..model.base().shards().len()).map(|n| own_shard(model, n)).collect::<Result<Vec<_>>>()?;
        let companions = companions(model)?;
        let changes = untying(model)?;
        for name in [INDEX_FILE.to_owned()].iter().chain(&companions) {
            if let Some(source) = model.files().open(name)? {
                layouts.push(small_file(name, edited_config(name, &*source, &changes)?, source));
            }
        }
        Self::of(model, layouts, companions)
    }

    fn of(model: &Model, layouts: Vec<FileLayout>, companions: Vec<String>) -> Result<Self> {
        let context = ReportContext {
            kind: ExportKind::Merged,
            options: ReportOptions::default(),
            companions,
            warnings: ExportWarning::of_checkpoint(model)?,
            findings: check_serving(model)?,
            target: None,
        };
        Ok(Self { export: ExportPlan::new(model.clone(), layouts, context, ExportReport::FILE) })
    }

    /// What could not be checked: settings of model and adapter that their classes do not have.
    pub fn warnings(&self) -> &[ExportWarning] {
        self.export.input_context().map_or(&[], |context| &context.warnings)
    }

    /// What programs that serve the model will meet, the most serious first.
    pub fn findings(&self) -> &[Finding] {
        self.export.input_context().map_or(&[], |context| &context.findings)
    }

    /// The output files in order. The report follows them.
    pub fn files(&self) -> Vec<PlannedFile> {
        self.export.planned_files()
    }

    pub(crate) fn export_plan(&self) -> &ExportPlan {
        &self.export
    }
}

/// The small files to copy, if they exist.
fn companions(model: &Model) -> Result<Vec<String>> {
    let modules = gemma::module_files(model.files())?;
    let templates = model.files().additional_templates()?.to_vec();
    let names = companion_files().map(str::to_owned).chain(templates).chain(modules);
    Ok(names.chain(["config.json".to_owned()]).collect())
}

/// A small file as it is, or with another text.
fn small_file(name: &str, text: Option<Vec<u8>>, source: Arc<dyn Source>) -> FileLayout {
    match text {
        Some(text) => FileLayout::small(name, text),
        None => FileLayout::copy(name, source),
    }
}

/// The text of `config.json` with these changes, if there are any; `None` for any other file.
fn edited_config(name: &str, source: &dyn Source, changes: &[ConfigEdit]) -> Result<Option<Vec<u8>>> {
    if name != "config.json" || changes.is_empty() {
        return Ok(None);
    }
    edit_config(source.location(), &read_source(source)?, changes).map(Some)
}

/// The edits to the base's configuration.
fn config_changes(model: &Model) -> Result<Vec<ConfigEdit>> {
    let edit = |key, value, section| ConfigEdit { key, value, section };
    let (everywhere, language_model) = (EditedSection::Everywhere, EditedSection::LanguageModel);
    let resized =
        model.resized_vocabulary().map(|rows| edit("vocab_size", Some(rows.to_string()), language_model));
    let is_quantized = model.base().config().top_level("quantization_config").value().is_some();
    let quantized = is_quantized.then(|| edit("quantization_config", None, everywhere));
    Ok(untying(model)?.into_iter().chain(resized).chain(quantized).collect())
}

/// The edit that makes a loader read the lm_head that is stored.
fn untying(model: &Model) -> Result<Vec<ConfigEdit>> {
    let (value, section) = (Some("false".to_owned()), EditedSection::Everywhere);
    let edit = ConfigEdit { key: "tie_word_embeddings", value, section };
    Ok(if model.untied()? { vec![edit] } else { Vec::new() })
}

fn shard(model: &Model, number: usize) -> FileLayout {
    let held = || model.tensors().iter().enumerate().filter(|(_, t)| t.info.shard == number);
    let described = |(_, t): (usize, &'_ ModelTensor)| {
        (t.info.name.clone(), t.info.dtype, t.info.shape.clone(), t.info.bytes)
    };
    let described: Vec<_> = held().map(described).collect();
    let header = header::write(described.iter().map(|(n, d, s, b)| (n.as_str(), *d, s.as_slice(), *b)));
    let parts = held().map(stored_part).collect();
    FileLayout { name: model.base().shards()[number].name.clone(), header, parts }
}

fn stored_part((tensor, t): (usize, &ModelTensor)) -> FilePart {
    let (name, bytes) = (t.info.name.clone(), t.info.bytes);
    FilePart { name, content: PartContent::Stored(tensor), bytes, padding: 0 }
}

/// A shard as it is: its header, and its tensors in their order. The weights of a quantized one are not looked at.
fn own_shard(model: &Model, number: usize) -> Result<FileLayout> {
    let stored = &model.base().shards()[number];
    let mut parts: Vec<_> =
        model.tensors().iter().enumerate().filter(|(_, t)| t.info.shard == number).collect();
    parts.sort_by_key(|(_, t)| t.info.offset);
    let start = parts.first().map_or(0, |(_, t)| t.info.offset);
    let weights: u64 = parts.iter().map(|(_, t)| t.info.bytes).sum();
    if start + weights != stored.source.size() {
        return Ok(FileLayout::copy(&stored.name, Arc::clone(&stored.source)));
    }
    let mut header = vec![0; usize::try_from(start).unwrap_or(usize::MAX)];
    stored.source.read_at(0, &mut header).map_err(|e| Error::read(stored.source.location(), e))?;
    Ok(FileLayout { name: stored.name.clone(), header, parts: parts.into_iter().map(stored_part).collect() })
}

#[derive(Serialize)]
struct IndexFile<'a> {
    metadata: IndexMetadata,
    weight_map: BTreeMap<&'a str, &'a str>,
}

#[derive(Serialize)]
struct IndexMetadata {
    total_parameters: u64,
    total_size: u64,
}

fn index(model: &Model) -> FileLayout {
    let total_parameters = model.tensors().iter().map(|t| t.info.elements()).sum();
    let metadata = IndexMetadata { total_parameters, total_size: model.bytes() };
    let shards = model.base().shards();
    let weight_map =
        model.tensors().iter().map(|t| (t.info.name.as_str(), shards[t.info.shard].name.as_str())).collect();
    let mut text = serde_json::to_vec_pretty(&IndexFile { metadata, weight_map }).unwrap_or_default();
    text.push(b'\n');
    FileLayout::small(INDEX_FILE, text)
}
