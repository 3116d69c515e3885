//! Which files hold the weights: the index where there is one, else `model*.safetensors` by name.

use serde::Deserialize;

use super::{Shard, TensorInfo};
use crate::io::{Folder, read_optional};
use crate::json::{self, Ordered};
use crate::{Error, Result};

/// The name every tool gives the index.
pub(crate) const INDEX: &str = "model.safetensors.index.json";

/// The shards by name, and the index's claims about them.
pub(crate) struct Found {
    pub(crate) shards: Vec<String>,
    pub(crate) weight_map: Option<Vec<(String, String)>>,
}

#[derive(Deserialize)]
struct Index {
    weight_map: Ordered<String>,
}

pub(crate) fn find(folder: &dyn Folder) -> Result<Found> {
    let location = folder.location();
    let entries = folder.list().map_err(|e| Error::read(location, e))?;
    if let Some(bytes) = read_optional(folder, INDEX)? {
        let file = format!("{location}/{INDEX}");
        let weight_map = json::parse::<Index>(&file, &bytes)?.weight_map.0;
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
        return Ok(Found { shards, weight_map: Some(weight_map) });
    }
    let mut shards: Vec<String> = entries
        .iter()
        .map(|e| &e.name)
        .filter(|name| name.starts_with("model") && name.ends_with(".safetensors"))
        .cloned()
        .collect();
    shards.sort();
    if shards.is_empty() {
        return Err(no_weights(location, &entries));
    }
    Ok(Found { shards, weight_map: None })
}

fn no_weights(location: &str, entries: &[crate::io::Entry]) -> Error {
    let pickle = entries.iter().find(|e| {
        [".bin", ".pt", ".pth", ".ckpt"].iter().any(|end| e.name.ends_with(end))
            && e.name != "training_args.bin"
    });
    match pickle {
        Some(pickle) => Error::unsupported(
            format!("{location}/{}", pickle.name),
            "a pickle, which can run code when it is opened,",
        )
        .advise("save the model as safetensors (save_pretrained does so by default)"),
        None => Error::Missing { folder: location.to_owned(), what: "model.safetensors".to_owned() },
    }
}

/// Every tensor is where the index says, and the index says of every tensor where it is.
pub(crate) fn check(
    file: &str,
    weight_map: &[(String, String)],
    shards: &[Shard],
    tensors: &[TensorInfo],
) -> Result<()> {
    let claimed: std::collections::HashMap<&str, &str> =
        weight_map.iter().map(|(tensor, shard)| (tensor.as_str(), shard.as_str())).collect();
    for tensor in tensors {
        let shard = &shards[tensor.shard].name;
        match claimed.get(tensor.name.as_str()) {
            Some(said) if said == shard => {}
            Some(said) => {
                return Err(Error::tensor(
                    file,
                    &tensor.name,
                    format!("is said to be in {said} but is in {shard}"),
                ));
            }
            None => {
                return Err(Error::tensor(file, &tensor.name, format!("is in {shard} but not in the index")));
            }
        }
    }
    let held: std::collections::HashSet<&str> = tensors.iter().map(|t| t.name.as_str()).collect();
    for (tensor, shard) in weight_map {
        if !held.contains(tensor.as_str()) {
            return Err(Error::tensor(
                file,
                tensor,
                format!("is said to be in {shard}, which does not have it"),
            ));
        }
    }
    Ok(())
}
