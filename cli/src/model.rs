//! The model that an export is made of.

use std::path::Path;

use engine::{Adapter, AdapterConfig, Checkpoint, Model};

use crate::base_revision;
use crate::failure::Failure;
use crate::paths::file_name;
use crate::sources::{HubName, OpenSource, SourceName, Sources};

const ADAPTER_FOLDER: &str = "the folder that PEFT saved (adapter_config.json, adapter_model.safetensors)";

/// A model, and what its exports are named after.
pub(crate) struct OpenModel {
    pub(crate) model: Model,
    pub(crate) title: String,
    /// The repository of the base model (`owner/name`): the one that it was read from, else the one that the adapter names.
    pub(crate) base_repo: Option<String>,
    /// Whether the base's folder has an adapter too.
    pub(crate) is_beside_adapter: bool,
}

/// Opens the adapter to merge, if there is one, and the base model, which the adapter names if `base` is missing.
pub(crate) fn open_model(
    base: Option<&Path>,
    adapter: Option<&Path>,
    sources: &Sources,
) -> Result<OpenModel, Failure> {
    let adapter = adapter.map(|path| open_adapter(path, sources)).transpose()?;
    let config = adapter.as_ref().map(|(adapter, _)| adapter.config());
    let base = match (base, config) {
        (Some(path), config) => open_base(path, config, sources)?,
        (None, Some(config)) => sources.open_base_of(config)?,
        (None, None) => return Err(Failure::usage("give a model: --base, --adapter, or both")),
    };
    let is_beside_adapter = base.has("adapter_config.json")?;
    let named = || SourceName::of(Path::new(config?.base_model.as_deref()?)).repo().map(str::to_owned);
    let base_repo = base.name.repo().map(str::to_owned).or_else(named);
    let checkpoint = Checkpoint::open(base.folder)?;
    let (model, title) = match adapter {
        Some((adapter, title)) => (Model::with_adapter(&checkpoint, &adapter)?, title),
        None => (Model::new(&checkpoint), base.name.title()),
    };
    Ok(OpenModel { model, title, base_repo, is_beside_adapter })
}

/// Opens an adapter, and what its exports are named after.
pub(crate) fn open_adapter(path: &Path, sources: &Sources) -> Result<(Adapter, String), Failure> {
    let source = sources.open("--adapter", SourceName::of(path), ADAPTER_FOLDER)?;
    check_is_adapter(&source)?;
    Ok((Adapter::open(source.folder)?, source.name.title()))
}

/// Refuses what is given in place of an adapter by mistake, such as a full model or a trainer's folder of checkpoints.
fn check_is_adapter(source: &OpenSource) -> Result<(), Failure> {
    if source.has("adapter_config.json")? {
        return Ok(());
    }
    let name = &source.name;
    if source.has_model()? {
        let message =
            format!("--adapter {name} is a full model, not an adapter: give it as --base, without --adapter");
        return Err(Failure::input(message));
    }
    let SourceName::Folder(path) = name else { return Ok(()) };
    let step = |path: &Path| file_name(path)?.strip_prefix("checkpoint-")?.parse::<u64>().ok();
    let folders = std::fs::read_dir(path).into_iter().flatten().flatten().map(|entry| entry.path());
    let checkpoints = folders.filter(|folder| folder.join("adapter_config.json").is_file());
    match checkpoints.max_by_key(|folder| step(folder)).filter(|folder| step(folder).is_some()) {
        Some(last) => Err(Failure::input(format!(
            "--adapter {name} holds a trainer's checkpoints: give one of them, such as --adapter {}",
            last.display()
        ))),
        None => {
            Err(Failure::input(format!("--adapter {name} has no adapter_config.json: give {ADAPTER_FOLDER}")))
        }
    }
}

/// The base at the revision that the adapter names, if it names one.
fn open_base(path: &Path, adapter: Option<&AdapterConfig>, sources: &Sources) -> Result<OpenSource, Failure> {
    let trained_on = adapter.and_then(|adapter| adapter.revision.clone());
    let name = match SourceName::of(path) {
        SourceName::Hub(HubName { repo, revision }) => {
            SourceName::Hub(HubName { repo, revision: revision.or(trained_on) })
        }
        name @ (SourceName::Folder(_) | SourceName::Url(_)) => name,
    };
    let base =
        sources.open("--base", name, "the model's folder (config.json, safetensors files, tokenizer)")?;
    if base.has("adapter_config.json")? && !base.has("config.json")? {
        let remedy = match adapter {
            None => "give it as --adapter",
            Some(_) => "give the model that it was trained on",
        };
        return Err(Failure::input(format!("--base {} is an adapter, not a model: {remedy}", base.name)));
    }
    if let Some(adapter) = adapter {
        base_revision::check(&base, adapter)?;
    }
    Ok(base)
}

/// Opens the model that a drafter drafts for.
pub(crate) fn open_target(path: &Path, sources: &Sources) -> Result<Checkpoint, Failure> {
    let expected = "the target model's folder (config.json, tokenizer)";
    Ok(Checkpoint::open(sources.open("--target-model", SourceName::of(path), expected)?.folder)?)
}
