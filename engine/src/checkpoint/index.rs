//! Which files hold the weights of a model or an adapter: the index where there is one, else files by name.

use std::collections::{HashMap, HashSet};

use serde::Deserialize;

use crate::error::{Error, Result};
use crate::io::json;
use crate::io::json::OrderedMap;
use crate::io::{Folder, FolderEntry, read_optional};

/// The name every tool gives the index.
pub(crate) const INDEX: &str = "model.safetensors.index.json";

/// The shards by name, and the index's claims about them.
pub(crate) struct ShardFiles {
    pub(crate) shards: Vec<String>,
    pub(crate) weight_map: Option<Vec<(String, String)>>,
}

#[derive(Deserialize)]
struct ShardIndex {
    weight_map: OrderedMap<String>,
}

/// `stem` is what the files' names begin with: `model` or `adapter_model`.
pub(crate) fn find(folder: &dyn Folder, stem: &str) -> Result<ShardFiles> {
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
                    format!("names {shard:?}, which is no safetensors file beside it"),
                ));
            }
            if !entries.iter().any(|e| e.name == *shard) {
                return Err(Error::Missing {
                    folder: location.to_owned(),
                    what: format!("{shard}, which its index names"),
                });
            }
        }
        if shards.is_empty() {
            return Err(Error::invalid(file, "names no shard"));
        }
        return Ok(ShardFiles { shards, weight_map: Some(weight_map) });
    }
    let mut shards: Vec<String> = entries
        .iter()
        .map(|e| &e.name)
        .filter(|name| name.starts_with(stem) && name.ends_with(".safetensors"))
        .cloned()
        .collect();
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
            "a pickle, which can run code when it is opened,",
        )
        .advise("save it as safetensors (save_pretrained does so by default)"),
        None => Error::Missing { folder: location.to_owned(), what: format!("{stem}.safetensors") },
    }
}

/// Every tensor is where the index says, and the index says of every tensor where it is. `tensors` are names with
/// their shards'.
pub(crate) fn check(file: &str, weight_map: &[(String, String)], tensors: &[(&str, &str)]) -> Result<()> {
    let claimed: HashMap<&str, &str> =
        weight_map.iter().map(|(tensor, shard)| (tensor.as_str(), shard.as_str())).collect();
    for (tensor, shard) in tensors {
        let problem = match claimed.get(tensor) {
            Some(said) if said == shard => continue,
            Some(said) => format!("is said to be in {said} but is in {shard}"),
            None => format!("is in {shard} but not in the index"),
        };
        return Err(Error::tensor(file, *tensor, problem));
    }
    let held: HashSet<&str> = tensors.iter().map(|(tensor, _)| *tensor).collect();
    match weight_map.iter().find(|(tensor, _)| !held.contains(tensor.as_str())) {
        Some((tensor, shard)) => {
            let problem = format!("is said to be in {shard}, which does not have it");
            Err(Error::tensor(file, tensor, problem))
        }
        None => Ok(()),
    }
}
