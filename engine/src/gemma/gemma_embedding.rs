//! EmbeddingGemma (`Gemma3TextModel`): Gemma 3 without an lm_head, with the pooling and dense modules of
//! sentence-transformers.

use serde_json::Value;

use super::attention::AttentionRules;
use super::family::{ExtraTensor, ModelFamily, ParameterSource, VocabMismatch, no_own_tensors};
use super::gemma3;
use crate::checkpoint::ModelFiles;
use crate::checkpoint::header;
use crate::error::{Error, Result};
use crate::gguf::GgufMetadata;
use crate::io::json;
use crate::io::read_source;

pub(super) static FAMILY: ModelFamily = ModelFamily {
    name: "gemma-embedding",
    classes: &["Gemma3TextModel"],
    tensor_names: &gemma3::TENSOR_NAMES,
    config_defaults: gemma3::CONFIG_DEFAULTS,
    attention: AttentionRules {
        reads_query_scalar: true,
        is_causal: false,
        ..AttentionRules::with_period(6)
    },
    norm_shift: 1.0,
    vocab_mismatch: VocabMismatch::Truncate,
    has_lm_head: true,
    target_mask_token: None,
    parameters,
    extra_tensors: dense_modules,
    own_tensors: no_own_tensors,
    mmproj: &[],
};

/// The most bytes of a dense module: two of them are much smaller than a row block of a large model.
const MAX_DENSE_BYTES: u64 = 64 << 20;

fn parameters(family: &ModelFamily, source: &ParameterSource<'_>, out: &mut GgufMetadata) -> Result<()> {
    let config = source.files.config();
    if config.field("sliding_window").value().is_none() {
        return Err(Error::invalid(config.file(), "has no sliding_window"));
    }
    gemma3::parameters(family, source, out)?;
    for dense in source.extra_tensors {
        let name = dense.name.trim_end_matches(".weight");
        let [out_features, in_features] = dense.shape[..] else { continue };
        out.set_arch_key(&format!("{name}_feat_in"), in_features as u32);
        out.set_arch_key(&format!("{name}_feat_out"), out_features as u32);
    }
    pooling(source.files, out)
}

/// The modules of sentence-transformers, by path and type.
fn modules(files: &ModelFiles) -> Result<Vec<(String, String)>> {
    let Some(source) = files.open("modules.json")? else { return Ok(Vec::new()) };
    let entries: Vec<Value> = json::parse(source.location(), &read_source(&*source)?)?;
    let text =
        |entry: &Value, key: &str| entry.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    Ok(entries.iter().map(|entry| (text(entry, "path"), text(entry, "type"))).collect())
}

/// The files that may be in the modules' folders.
pub(crate) fn module_files(files: &ModelFiles) -> Result<Vec<String>> {
    let folders = modules(files)?.into_iter().map(|(path, _)| path).filter(|path| !path.is_empty());
    Ok(folders
        .flat_map(|path| ["config.json", "model.safetensors"].map(|file| format!("{path}/{file}")))
        .collect())
}

fn module_config(files: &ModelFiles, path: &str) -> Result<Value> {
    let name = format!("{path}/config.json");
    match files.open(&name)? {
        Some(source) => json::parse(source.location(), &read_source(&*source)?),
        None => Err(Error::Missing { folder: files.location().to_owned(), what: name }),
    }
}

/// How the embeddings of tokens are pooled into one, as llama.cpp's `llama_pooling_type`.
fn pooling(files: &ModelFiles, out: &mut GgufMetadata) -> Result<()> {
    let Some((path, _)) = modules(files)?.into_iter().find(|(_, kind)| kind.ends_with("Pooling")) else {
        return Ok(());
    };
    let config = module_config(files, &path)?;
    let is = |key: &str| config.get(key).and_then(Value::as_bool) == Some(true);
    let mode = config.get("pooling_mode").and_then(Value::as_str);
    let number: u32 = if is("pooling_mode_mean_tokens") {
        1
    } else if is("pooling_mode_cls_token") {
        2
    } else if is("pooling_mode_lasttoken") {
        3
    } else {
        match mode {
            Some("mean") => 1,
            Some("cls") => 2,
            Some("lasttoken") => 3,
            Some(_) | None => {
                let file = format!("{}/{path}/config.json", files.location());
                return Err(Error::unsupported(file, "GGUF with pooling other than mean, cls and lasttoken"));
            }
        }
    };
    out.set_arch_key("pooling_type", number);
    Ok(())
}

/// The weights of the dense modules after pooling.
fn dense_modules(_: &ModelFamily, files: &ModelFiles) -> Result<Vec<ExtraTensor>> {
    let mut weights: Vec<ExtraTensor> = Vec::new();
    for (path, _) in modules(files)?.into_iter().filter(|(_, kind)| kind.ends_with("Dense")) {
        let name = if path == "2_Dense" { "dense_2.weight" } else { "dense_3.weight" };
        let file = format!("{path}/model.safetensors");
        let Some(source) = files.open(&file)? else {
            let what = format!("{file}, which modules.json names");
            return Err(Error::Missing { folder: files.location().to_owned(), what });
        };
        if weights.iter().any(|known| known.name == name) {
            return Err(Error::unsupported(source.location(), "GGUF with more than two dense modules"));
        }
        for tensor in header::read(&*source)?.into_iter().filter(|t| t.name == "linear.weight") {
            if tensor.bytes > MAX_DENSE_BYTES || !tensor.dtype.is_float() {
                let problem = format!(
                    "is {} with {} bytes, not a float tensor of at most {MAX_DENSE_BYTES} bytes",
                    tensor.dtype, tensor.bytes
                );
                return Err(Error::tensor(source.location(), tensor.name, problem));
            }
            let mut bytes = vec![0; tensor.bytes as usize];
            source.read_at(tensor.offset, &mut bytes).map_err(|e| Error::read(source.location(), e))?;
            let mut values = vec![0.0; (tensor.bytes / tensor.dtype.bytes()) as usize];
            tensor.dtype.widen(&bytes, &mut values);
            weights.push(ExtraTensor { name: name.to_owned(), shape: tensor.shape, values: values.into() });
        }
    }
    Ok(weights)
}
