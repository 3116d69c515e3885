//! The weight files of a model or adapter: those of the shard index if there is one, else files by name.

use std::collections::{HashMap, HashSet};

use serde::Deserialize;

use crate::error::{Error, Result};
use crate::io::json;
use crate::io::json::OrderedMap;
use crate::io::{Folder, FolderEntry, read_optional};

/// transformers' name of the shard index.
pub(crate) const INDEX_FILE: &str = "model.safetensors.index.json";

/// The names of the shards, and the index's map from tensor to shard.
pub(crate) struct ShardFiles {
    pub(crate) shards: Vec<String>,
    pub(crate) weight_map: Option<Vec<(String, String)>>,
}

#[derive(Deserialize)]
struct ShardIndex {
    weight_map: OrderedMap<String>,
}

/// Whether weights of a model are read from a file of this name, or their shard index.
#[must_use]
pub fn is_model_weights(name: &str) -> bool {
    name == INDEX_FILE || is_shard(name, "model")
}

fn is_shard(name: &str, stem: &str) -> bool {
    name.starts_with(stem) && name.ends_with(".safetensors")
}

/// Finds the shards of a folder. `stem` is the beginning of their names: `model` or `adapter_model`.
pub(crate) fn find_shards(folder: &dyn Folder, stem: &str) -> Result<ShardFiles> {
    let location = folder.location();
    let entries = folder.list().map_err(|e| Error::read(location, e))?;
    let index = format!("{stem}.safetensors.index.json");
    if let Some(bytes) = read_optional(folder, &index)? {
        let file = format!("{location}/{index}");
        let weight_map = json::parse::<ShardIndex>(&file, &bytes)?.weight_map.0;
        let mut shards: Vec<String> = weight_map.iter().map(|(_, shard)| shard.clone()).collect();
        shards.sort();
        shards.dedup();
        for shard in &shards {
            if shard.contains(['/', '\\']) || !shard.ends_with(".safetensors") {
                return Err(Error::invalid(
                    file,
                    format!("names {shard:?}, which is not a safetensors file of the same folder"),
                ));
            }
            if !entries.iter().any(|e| e.name == *shard) {
                return Err(Error::Missing {
                    folder: location.to_owned(),
                    what: format!("{shard}, although the shard index names it"),
                });
            }
        }
        if shards.is_empty() {
            return Err(Error::invalid(file, "names no shards"));
        }
        return Ok(ShardFiles { shards, weight_map: Some(weight_map) });
    }
    let mut shards: Vec<String> =
        entries.iter().map(|e| &e.name).filter(|name| is_shard(name, stem)).cloned().collect();
    shards.sort();
    if shards.is_empty() {
        return Err(no_weights(location, stem, &entries));
    }
    Ok(ShardFiles { shards, weight_map: None })
}

fn no_weights(location: &str, stem: &str, entries: &[FolderEntry]) -> Error {
    let pickle = entries.iter().find(|e| {
        [".bin", ".pt", ".pth", ".ckpt"].iter().any(|end| e.name.ends_with(end))
            && ["model", "consolidated"].iter().any(|part| e.name.contains(part))
    });
    match pickle {
        Some(pickle) => Error::unsupported(
            format!("{location}/{}", pickle.name),
            "a pickle, which can run code when opened,",
        )
        .advise("save the weights as safetensors (the default of save_pretrained)"),
        None => {
            let has_gguf = entries.iter().any(|entry| entry.name.ends_with(".gguf"));
            let hint = if has_gguf { ": GGUF files cannot be exported again" } else { "" };
            Error::Missing { folder: location.to_owned(), what: format!("{stem}.safetensors{hint}") }
        }
    }
}

/// Checks that index and shards agree on every tensor. `tensors` are names of tensors with the names of their shards.
pub(crate) fn check_weight_map(
    file: &str,
    weight_map: &[(String, String)],
    tensors: &[(&str, &str)],
) -> Result<()> {
    let indexed: HashMap<&str, &str> =
        weight_map.iter().map(|(tensor, shard)| (tensor.as_str(), shard.as_str())).collect();
    for (tensor, shard) in tensors {
        let problem = match indexed.get(tensor) {
            Some(named) if named == shard => continue,
            Some(named) => format!("is in {named} by the index, but in {shard} in fact"),
            None => format!("is in {shard} but not in the index"),
        };
        return Err(Error::tensor(file, *tensor, problem));
    }
    let stored: HashSet<&str> = tensors.iter().map(|(tensor, _)| *tensor).collect();
    match weight_map.iter().find(|(tensor, _)| !stored.contains(tensor.as_str())) {
        Some((tensor, shard)) => {
            let problem = format!("is in {shard} by the index, but the file does not have it");
            Err(Error::tensor(file, tensor, problem))
        }
        None => Ok(()),
    }
}
