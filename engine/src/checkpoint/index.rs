//! The weight files of a model or adapter: one file, those of the shard index, or files by name.

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
    /// Files with names of weights that are not read.
    pub(crate) unread: Vec<String>,
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

/// Finds the shards of a folder. `stem` is the beginning of their names: `model` or `adapter_model`. A file of exactly
/// this name comes before a shard index, as in transformers and PEFT.
pub(crate) fn find_shards(folder: &dyn Folder, stem: &str) -> Result<ShardFiles> {
    let location = folder.location();
    let entries = folder.list().map_err(|e| Error::read(location, e))?;
    let (single, index_name) = (format!("{stem}.safetensors"), format!("{stem}.safetensors.index.json"));
    let has_single = entries.iter().any(|e| e.name == single);
    let index = match read_optional(folder, &index_name)? {
        Some(bytes) => Some(json::parse::<ShardIndex>(&format!("{location}/{index_name}"), &bytes)?),
        None => None,
    };
    let has_index = index.is_some();
    let (shards, weight_map) = match index {
        Some(index) if !has_single || index.shards() == [&*single] => {
            index.check(location, &index_name, &entries)?;
            (index.shards().into_iter().map(str::to_owned).collect(), Some(index.weight_map.0))
        }
        _ if has_single => (vec![single], None),
        _ => (shards_by_name(location, stem, &entries)?, None),
    };
    let mut unread: Vec<String> = entries.into_iter().map(|e| e.name).collect();
    unread.retain(|name| is_shard(name, stem) && !shards.contains(name));
    if has_index && weight_map.is_none() {
        unread.push(index_name);
    }
    unread.sort();
    Ok(ShardFiles { shards, weight_map, unread })
}

impl ShardIndex {
    fn shards(&self) -> Vec<&str> {
        let mut shards: Vec<&str> = self.weight_map.0.iter().map(|(_, shard)| shard.as_str()).collect();
        shards.sort_unstable();
        shards.dedup();
        shards
    }

    /// Checks that the folder has every shard.
    fn check(&self, location: &str, index: &str, entries: &[FolderEntry]) -> Result<()> {
        let file = format!("{location}/{index}");
        let shards = self.shards();
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
        if shards.is_empty() { Err(Error::invalid(file, "names no shards")) } else { Ok(()) }
    }
}

/// The shards of a folder without an index. Numbered ones must be all of one set.
fn shards_by_name(location: &str, stem: &str, entries: &[FolderEntry]) -> Result<Vec<String>> {
    let mut shards: Vec<&str> =
        entries.iter().map(|e| e.name.as_str()).filter(|name| is_shard(name, stem)).collect();
    shards.sort_unstable();
    if shards.is_empty() {
        return Err(no_weights(location, stem, entries));
    }
    let numbered: Vec<(&str, ShardNumber)> =
        shards.iter().filter_map(|name| Some((*name, ShardNumber::of(name, stem)?))).collect();
    let Some((first, ShardNumber { count, .. })) = numbered.first() else {
        return Ok(shards.into_iter().map(str::to_owned).collect());
    };
    if let Some((other, _)) = numbered.iter().find(|(_, shard)| shard.count != *count) {
        let problem = format!("has shards of two sets, {first} and {other}: remove those of one");
        return Err(Error::invalid(location, problem));
    }
    let is_stored = |number| numbered.iter().any(|(_, shard)| shard.number == number);
    if let Some(missing) = (1..=*count).find(|number| !is_stored(*number)) {
        let what = format!("{stem}-{missing:05}-of-{count:05}.safetensors, although it has {first}");
        return Err(Error::Missing { folder: location.to_owned(), what });
    }
    Ok(numbered.into_iter().map(|(name, _)| name.to_owned()).collect())
}

/// The numbers in the name of a shard: `STEM-00001-of-00002.safetensors`.
struct ShardNumber {
    number: u32,
    count: u32,
}

impl ShardNumber {
    fn of(name: &str, stem: &str) -> Option<Self> {
        let numbers = name.strip_prefix(stem)?.strip_prefix('-')?.strip_suffix(".safetensors")?;
        let (number, count) = numbers.split_once("-of-")?;
        Some(Self { number: number.parse().ok()?, count: count.parse().ok()? })
    }
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
