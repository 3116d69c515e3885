//! A base model that is large enough to show progress: two layers with the shape of Gemma 3 1B and the small
//! vocabulary of the tiny models, with a LoRA adapter. 109 MB, made in less than a second.

use std::{fs, io, path::Path, thread};

use serde_json::{Map, Value, json};
use synthetic_checkpoint::{DType, DecoderShape, SeededWeights, TensorSpec, safetensors};

use super::tiny_models::{GEMMA3_ADAPTER, GEMMA3_BASE, file};

const LAYERS: u64 = 2;
const VOCAB_SIZE: u64 = 768;
const RANK: u64 = 8;

/// Writes the base model into `folder`: one shard per layer, the other tensors in the last.
pub(crate) fn write_base(folder: &Path) -> io::Result<()> {
    let shape = DecoderShape::gemma3_1b(LAYERS, VOCAB_SIZE);
    let mut shards: Vec<_> = (0..LAYERS).map(|layer| shape.layer_tensors(layer)).collect();
    if let Some(last) = shards.last_mut() {
        last.extend(shape.outer_tensors());
    }
    write_json(&folder.join("model.safetensors.index.json"), &index(&shards))?;
    write_shards(folder, shards)?;
    write_json(&folder.join("config.json"), &config(&shape)?)?;
    for (name, bytes) in GEMMA3_BASE {
        if name.contains("token") || *name == "generation_config.json" {
            fs::write(folder.join(name), bytes)?;
        }
    }
    Ok(())
}

/// Writes a LoRA adapter for that base model into `folder`.
pub(crate) fn write_adapter(folder: &Path, base: &str) -> io::Result<()> {
    let mut config: Value = serde_json::from_slice(file(GEMMA3_ADAPTER, "adapter_config.json"))?;
    config["r"] = RANK.into();
    config["lora_alpha"] = (2 * RANK).into();
    config["base_model_name_or_path"] = base.into();
    write_json(&folder.join("adapter_config.json"), &config)?;
    let tensors = DecoderShape::gemma3_1b(LAYERS, VOCAB_SIZE).lora_tensors(RANK);
    let path = folder.join("adapter_model.safetensors");
    safetensors::write(&path, DType::F32, &tensors, &mut SeededWeights::default()).map(drop)
}

fn shard_name(index: usize) -> String {
    format!("model-{:05}-of-{LAYERS:05}.safetensors", index + 1)
}

fn index(shards: &[Vec<TensorSpec>]) -> Value {
    let mut weight_map = Map::new();
    let mut total_size = 0;
    for (index, tensors) in shards.iter().enumerate() {
        for tensor in tensors {
            weight_map.insert(tensor.name.clone(), shard_name(index).into());
            total_size += tensor.elements() * DType::BF16.size();
        }
    }
    json!({ "metadata": { "total_size": total_size }, "weight_map": weight_map })
}

/// Writes the shards in threads of their own.
fn write_shards(folder: &Path, shards: Vec<Vec<TensorSpec>>) -> io::Result<()> {
    let write = |(index, tensors): (usize, Vec<TensorSpec>)| {
        let path = folder.join(shard_name(index));
        thread::spawn(move || safetensors::write(&path, DType::BF16, &tensors, &mut SeededWeights::default()))
    };
    let writers: Vec<_> = shards.into_iter().enumerate().map(write).collect();
    for writer in writers {
        writer.join().map_err(|_| io::Error::other("writing the demo's base model panicked"))??;
    }
    Ok(())
}

fn config(shape: &DecoderShape) -> io::Result<Value> {
    let mut config: Value = serde_json::from_slice(file(GEMMA3_BASE, "config.json"))?;
    for (field, size) in shape.config_sizes() {
        config[field] = size;
    }
    config["query_pre_attn_scalar"] = shape.head_dim.into();
    Ok(config)
}

fn write_json(path: &Path, value: &Value) -> io::Result<()> {
    fs::write(path, format!("{value:#}\n"))
}
