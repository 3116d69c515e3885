//! EmbeddingGemma (`Gemma3TextModel`): Gemma 3 without a head, made to embed texts by sentence-transformers' modules.

use serde_json::Value;

use super::{ExtraTensor, gemma3};
use crate::checkpoint::ModelFiles;
use crate::checkpoint::header;
use crate::error::{Error, Result};
use crate::gguf::GgufMetadata;
use crate::io::json;
use crate::io::read_source;

/// The largest dense module that is read: both together stay far below what a block of a large model takes.
const LARGEST: u64 = 64 << 20;

pub(super) fn parameters(
    files: &ModelFiles,
    given: &[ExtraTensor],
    file_type: u32,
    out: &mut GgufMetadata,
) -> Result<()> {
    let config = files.config();
    if config.get("sliding_window").is_none() {
        return Err(Error::invalid(config.file(), "has no sliding_window"));
    }
    gemma3::parameters(config, file_type, out)?;
    for dense in given {
        let name = dense.name.trim_end_matches(".weight");
        let [outside, inside] = dense.shape[..] else { continue };
        out.own(&format!("{name}_feat_in"), inside as u32);
        out.own(&format!("{name}_feat_out"), outside as u32);
    }
    pooling(files, out)
}

/// The modules of sentence-transformers, by path and type.
fn modules(files: &ModelFiles) -> Result<Vec<(String, String)>> {
    let Some(source) = files.open("modules.json")? else { return Ok(Vec::new()) };
    let entries: Vec<Value> = json::parse(source.location(), &read_source(&*source)?)?;
    let text =
        |entry: &Value, key: &str| entry.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    Ok(entries.iter().map(|entry| (text(entry, "path"), text(entry, "type"))).collect())
}

/// The files that modules with a folder of their own may have.
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

/// How the embeddings of tokens become one: llama.cpp's numbers.
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
    out.own("pooling_type", number);
    Ok(())
}

/// The dense modules after pooling.
pub(super) fn dense(files: &ModelFiles) -> Result<Vec<ExtraTensor>> {
    let mut given: Vec<ExtraTensor> = Vec::new();
    for (path, _) in modules(files)?.into_iter().filter(|(_, kind)| kind.ends_with("Dense")) {
        let name = if path == "2_Dense" { "dense_2.weight" } else { "dense_3.weight" };
        let Some(source) = files.open(&format!("{path}/model.safetensors"))? else { continue };
        if given.iter().any(|known| known.name == name) {
            return Err(Error::unsupported(source.location(), "GGUF with more than two dense modules"));
        }
        for tensor in header::read(&*source)?.into_iter().filter(|t| t.name == "linear.weight") {
            if tensor.bytes > LARGEST || !tensor.dtype.is_float() {
                let problem = format!("is {} of {} bytes", tensor.dtype, tensor.bytes);
                return Err(Error::tensor(source.location(), tensor.name, problem));
            }
            let mut bytes = vec![0; tensor.bytes as usize];
            source.read_at(tensor.offset, &mut bytes).map_err(|e| Error::read(source.location(), e))?;
            let mut values = vec![0.0; (tensor.bytes / tensor.dtype.bytes()) as usize];
            tensor.dtype.widen(&bytes, &mut values);
            given.push(ExtraTensor { name: name.to_owned(), shape: tensor.shape, values: values.into() });
        }
    }
    Ok(given)
}
