//! The modules that sentence-transformers runs after an embedding model (`modules.json`): pooling, dense layers,
//! normalization. llama.cpp pools, then multiplies with two matrices; the caller chooses normalization.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::family::{ExtraTensor, ModelFamily, config_count};
use crate::checkpoint::header::HeaderTensor;
use crate::checkpoint::{ConfigField, ModelConfig, ModelFiles, header};
use crate::error::{Error, Result};
use crate::io::{Source, json, read_source};

/// The most bytes of a dense module: two of them are much smaller than a row block of a large model.
const MAX_DENSE_BYTES: u64 = 64 << 20;

/// The names of the dense modules' matrices, in the order in which they are applied.
const DENSE_NAMES: [&str; 2] = ["dense_2.weight", "dense_3.weight"];

const MODULES_FILE: &str = "modules.json";

/// The file of a module's weights.
const WEIGHTS: &str = "model.safetensors";

/// A kind of module, in the order of llama.cpp's steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum ModuleKind {
    Transformer,
    Pooling,
    Dense,
    Normalize,
}

impl ModuleKind {
    /// The kind of this type. Versions of sentence-transformers have their modules in different packages.
    fn of(name: &str) -> Option<Self> {
        let (package, class) = name.rsplit_once('.')?;
        let kind = match class {
            "Transformer" => Self::Transformer,
            "Pooling" => Self::Pooling,
            "Dense" => Self::Dense,
            "Normalize" => Self::Normalize,
            _ => return None,
        };
        package.starts_with("sentence_transformers").then_some(kind)
    }
}

/// A module's folder, and its type.
type Module = (String, String);

/// The modules in the order in which they run.
fn modules(files: &ModelFiles) -> Result<Vec<Module>> {
    let Some(source) = files.open(MODULES_FILE)? else { return Ok(Vec::new()) };
    let entries: Vec<Map<String, Value>> = json::parse_any(source.location(), &read_source(&*source)?)?;
    let text = |entry: &Map<String, Value>, key: &str| {
        let text = ConfigField::new(source.location(), "", entry, key).str()?;
        Ok(text.unwrap_or_default().to_owned())
    };
    entries.iter().map(|entry| Ok((text(entry, "path")?, text(entry, "type")?))).collect()
}

/// The files that may be in the modules' folders.
pub(crate) fn module_files(files: &ModelFiles) -> Result<Vec<String>> {
    let folders = modules(files)?.into_iter().map(|(path, _)| path).filter(|path| !path.is_empty());
    Ok(folders.flat_map(|path| ["config.json", WEIGHTS].map(|file| format!("{path}/{file}"))).collect())
}

/// The folders of modules by kind.
///
/// # Errors
/// When a module is of another kind, or they run in another order than llama.cpp's steps.
fn known_modules(files: &ModelFiles) -> Result<Vec<(ModuleKind, String)>> {
    let refuse = |feature: String, advice: &str| {
        let file = format!("{}/{MODULES_FILE}", files.location());
        Err(Error::unsupported(file, format!("GGUF with {feature}")).advise(advice))
    };
    let mut known: Vec<(ModuleKind, String)> = Vec::new();
    for (path, name) in modules(files)? {
        let Some(kind) = ModuleKind::of(&name) else {
            return refuse(
                format!("a module {name:?}"),
                "llama.cpp has pooling, dense layers and normalization",
            );
        };
        let last = known.last().map(|(kind, _)| *kind);
        let follows = last.is_none_or(|last| last < kind || (last, kind) == (ModuleKind::Dense, kind));
        if !follows || (kind == ModuleKind::Transformer && !path.is_empty()) {
            let advice = "llama.cpp runs the model of this folder, then pooling, then dense layers, then normalization";
            return refuse(format!("{name} in {path:?} at this place"), advice);
        }
        known.push((kind, path));
    }
    Ok(known)
}

fn module_config(files: &ModelFiles, path: &str) -> Result<ModelConfig> {
    let source = module_file(files, path, "config.json")?;
    ModelConfig::parse(source.location().to_owned(), &read_source(&*source)?)
}

fn module_file(files: &ModelFiles, path: &str, file: &str) -> Result<Arc<dyn Source>> {
    let name = format!("{path}/{file}");
    files.open(&name)?.ok_or_else(|| {
        let what = format!("{name}, which {MODULES_FILE} names");
        Error::Missing { folder: files.location().to_owned(), what }
    })
}

/// Refuses modules that sentence-transformers does not load: files are missing, or the weights of a dense module have other
/// shapes than its configuration.
pub(crate) fn check_modules(files: &ModelFiles) -> Result<()> {
    for (path, name) in modules(files)?.into_iter().filter(|(path, _)| !path.is_empty()) {
        match name.rsplit('.').next() {
            // it has no files
            Some("Normalize") => {}
            Some("Dense") => drop(linear_weight(files, &path, &module_config(files, &path)?)?),
            Some("LayerNorm") => {
                module_config(files, &path)?;
                module_file(files, &path, WEIGHTS)?;
            }
            Some(_) | None => drop(module_config(files, &path)?),
        }
    }
    Ok(())
}

/// How the embeddings of tokens are pooled into one, as llama.cpp's `llama_pooling_type`.
pub(super) fn pooling_type(files: &ModelFiles) -> Result<Option<u32>> {
    let modules = known_modules(files)?;
    let Some((_, path)) = modules.iter().find(|(kind, _)| *kind == ModuleKind::Pooling) else {
        return Ok(None);
    };
    let config = module_config(files, path)?;
    if config.bool("include_prompt")? == Some(false) {
        return Err(Error::unsupported(config.file(), "GGUF with include_prompt false"));
    }
    match pooling_modes(&config)?.as_slice() {
        ["mean"] => Ok(Some(1)),
        ["cls"] => Ok(Some(2)),
        ["lasttoken"] => Ok(Some(3)),
        other => {
            let feature = format!("GGUF with pooling by {other:?}");
            Err(Error::unsupported(config.file(), feature)
                .advise("llama.cpp pools by one of mean, cls and lasttoken"))
        }
    }
}

/// The ways of pooling, whose results sentence-transformers concatenates.
fn pooling_modes(config: &ModelConfig) -> Result<Vec<&str>> {
    const FLAGS: [(&str, &str); 6] = [
        ("pooling_mode_cls_token", "cls"),
        ("pooling_mode_max_tokens", "max"),
        ("pooling_mode_mean_tokens", "mean"),
        ("pooling_mode_mean_sqrt_len_tokens", "mean_sqrt_len_tokens"),
        ("pooling_mode_weightedmean_tokens", "weightedmean"),
        ("pooling_mode_lasttoken", "lasttoken"),
    ];
    if let Some(mode) = config.field("pooling_mode").str()? {
        return Ok(vec![mode]);
    }
    let mut modes = Vec::new();
    for (field, mode) in FLAGS {
        // the mean is the default
        if config.bool(field)?.unwrap_or(mode == "mean") {
            modes.push(mode);
        }
    }
    Ok(modes)
}

/// The weights of the dense modules after pooling: none, or two, which llama.cpp applies one after the other.
pub(super) fn dense_modules(family: &ModelFamily, files: &ModelFiles) -> Result<Vec<ExtraTensor>> {
    let modules = known_modules(files)?;
    let folders: Vec<&str> = modules
        .iter()
        .filter(|(kind, _)| *kind == ModuleKind::Dense)
        .map(|(_, path)| path.as_str())
        .collect();
    if !folders.is_empty() && folders.len() != DENSE_NAMES.len() {
        let feature = format!("GGUF with {} dense modules", folders.len());
        let file = format!("{}/{MODULES_FILE}", files.location());
        return Err(Error::unsupported(file, feature).advise("llama.cpp has two or none"));
    }
    let hidden = config_count(files.config(), "hidden_size", family.config_defaults.hidden_size)?.into();
    let mut weights: Vec<ExtraTensor> = Vec::new();
    for (path, name) in folders.into_iter().zip(DENSE_NAMES) {
        let in_features = weights.last().and_then(|last| last.shape.first().copied()).unwrap_or(hidden);
        let weight = dense_weight(files, path, name)?;
        if weight.shape.get(1) != Some(&in_features) {
            let problem = format!("has the shape {:?}, but gets {in_features} features", weight.shape);
            let file = module_file(files, path, WEIGHTS)?;
            return Err(Error::tensor(file.location(), LINEAR, problem));
        }
        weights.push(weight);
    }
    match weights.last() {
        Some(last) if last.shape.first() != Some(&hidden) => {
            let feature = format!("GGUF with embeddings of another size than hidden_size {hidden}");
            Err(Error::unsupported(files.location(), feature).advise("llama.cpp has none"))
        }
        Some(_) | None => Ok(weights),
    }
}

/// The only tensor of a dense module without a bias.
const LINEAR: &str = "linear.weight";

/// The file of a dense module's weights, and its matrix in it.
fn linear_weight(
    files: &ModelFiles,
    path: &str,
    config: &ModelConfig,
) -> Result<(Arc<dyn Source>, HeaderTensor)> {
    let source = module_file(files, path, WEIGHTS)?;
    let mut expected = Vec::new();
    for field in ["out_features", "in_features"] {
        expected.push(u64::from(config.required_u32(field)?));
    }
    let found = header::read(&*source)?.into_iter().find(|tensor| tensor.name == LINEAR);
    let Some(tensor) = found else {
        return Err(Error::invalid(source.location(), format!("has no {LINEAR}")));
    };
    if tensor.shape != expected {
        let problem = format!("has the shape {:?}, but config.json requires {expected:?}", tensor.shape);
        return Err(Error::tensor(source.location(), LINEAR, problem));
    }
    Ok((source, tensor))
}

fn dense_weight(files: &ModelFiles, path: &str, name: &str) -> Result<ExtraTensor> {
    let config = module_config(files, path)?;
    check_linear(&config)?;
    let (source, tensor) = linear_weight(files, path, &config)?;
    if let Some(other) = header::read(&*source)?.into_iter().find(|tensor| tensor.name != LINEAR) {
        let feature = format!("GGUF with {} in a dense module", other.name);
        return Err(Error::unsupported(source.location(), feature).advise("llama.cpp has its matrix alone"));
    }
    if tensor.bytes > MAX_DENSE_BYTES || !tensor.dtype.is_float() {
        let (dtype, bytes) = (tensor.dtype, tensor.bytes);
        let problem =
            format!("is {dtype} with {bytes} bytes, not a float tensor of at most {MAX_DENSE_BYTES} bytes");
        return Err(Error::tensor(source.location(), LINEAR, problem));
    }
    let mut bytes = vec![0; tensor.bytes as usize];
    source.read_at(tensor.offset, &mut bytes).map_err(|e| Error::read(source.location(), e))?;
    let mut values = vec![0.0; (tensor.bytes / tensor.dtype.bytes()) as usize];
    tensor.dtype.widen(&bytes, &mut values);
    Ok(ExtraTensor { name: name.to_owned(), shape: tensor.shape, values: values.into() })
}

/// Refuses a dense module that is more than a matrix, or that changes something else than the pooled embedding.
fn check_linear(config: &ModelConfig) -> Result<()> {
    const IDENTITY: &str = "torch.nn.modules.linear.Identity";
    let refuse = |field: &str, value: &str| {
        let feature = format!("GGUF with a dense module with {field} {value}");
        Err(Error::unsupported(config.file(), feature).advise("llama.cpp multiplies with a matrix"))
    };
    // true by default
    if config.bool("bias")? != Some(false) {
        return refuse("bias", "true");
    }
    for (field, expected) in [
        ("activation_function", IDENTITY),
        ("module_input_name", "sentence_embedding"),
        ("module_output_name", "sentence_embedding"),
    ] {
        if let Some(other) = config.field(field).str()?.filter(|value| *value != expected) {
            return refuse(field, other);
        }
    }
    Ok(())
}
