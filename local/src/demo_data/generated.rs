//! A base model large enough for a progress bar to have something to show: two layers in the shape of Gemma 3 1B
//! over the small vocabulary of the tiny models, with an adapter for it. 109 MB, made in less than a second.

use std::{
    fs::File,
    io::{self, BufWriter, Write},
    path::Path,
};

use serde_json::{Map, Value, json};

use super::{
    micro::{GEMMA3_ADAPTER, GEMMA3_BASE, file},
    random::Weights,
};

const HIDDEN: u64 = 1_152;
const FEED_FORWARD: u64 = 6_912;
const LAYERS: u64 = 2;
const HEADS: u64 = 4;
const HEAD_DIM: u64 = 256;
const VOCABULARY: u64 = 768;
const RANK: u64 = 8;

/// The matrices of a layer: name, rows (outputs), columns (inputs).
const MATRICES: [(&str, u64, u64); 7] = [
    ("mlp.down_proj", HIDDEN, FEED_FORWARD),
    ("mlp.gate_proj", FEED_FORWARD, HIDDEN),
    ("mlp.up_proj", FEED_FORWARD, HIDDEN),
    ("self_attn.k_proj", HEAD_DIM, HIDDEN),
    ("self_attn.o_proj", HIDDEN, HEADS * HEAD_DIM),
    ("self_attn.q_proj", HEADS * HEAD_DIM, HIDDEN),
    ("self_attn.v_proj", HEAD_DIM, HIDDEN),
];
/// The norms of a layer.
const NORMS: [(&str, u64); 6] = [
    ("input_layernorm", HIDDEN),
    ("post_attention_layernorm", HIDDEN),
    ("post_feedforward_layernorm", HIDDEN),
    ("pre_feedforward_layernorm", HIDDEN),
    ("self_attn.k_norm", HEAD_DIM),
    ("self_attn.q_norm", HEAD_DIM),
];

/// Name and shape.
type Tensor = (String, Vec<u64>);

/// Writes the base model into `folder`: one shard a layer, the rest beside the last.
pub(crate) fn write_base(folder: &Path) -> io::Result<()> {
    let mut shards: Vec<Vec<Tensor>> = (0..LAYERS).map(layer).collect();
    if let Some(last) = shards.last_mut() {
        last.push(("model.embed_tokens.weight".to_owned(), vec![VOCABULARY, HIDDEN]));
        last.push(("model.norm.weight".to_owned(), vec![HIDDEN]));
    }
    let mut weight_map = Map::new();
    let mut total = 0;
    let mut writers = Vec::new();
    for (number, tensors) in shards.into_iter().enumerate() {
        let name = format!("model-{:05}-of-{LAYERS:05}.safetensors", number + 1);
        for (tensor, shape) in &tensors {
            weight_map.insert(tensor.clone(), name.clone().into());
            total += bytes(shape, 2);
        }
        let path = folder.join(name);
        writers.push(std::thread::spawn(move || write_shard(&path, &tensors)));
    }
    for writer in writers {
        writer.join().map_err(|_| io::Error::other("a writer of the demo's base model panicked"))??;
    }
    let index = json!({ "metadata": { "total_size": total }, "weight_map": weight_map });
    write_json(&folder.join("model.safetensors.index.json"), &index)?;
    write_json(&folder.join("config.json"), &config()?)?;
    for (name, bytes) in GEMMA3_BASE {
        if name.contains("token") || *name == "generation_config.json" {
            std::fs::write(folder.join(name), bytes)?;
        }
    }
    Ok(())
}

/// Writes a LoRA adapter on that base into `folder`.
pub(crate) fn write_adapter(folder: &Path, base: &str) -> io::Result<()> {
    let mut config: Value = serde_json::from_slice(file(GEMMA3_ADAPTER, "adapter_config.json"))?;
    config["r"] = RANK.into();
    config["lora_alpha"] = (2 * RANK).into();
    config["base_model_name_or_path"] = base.into();
    write_json(&folder.join("adapter_config.json"), &config)?;

    let mut tensors: Vec<Tensor> = Vec::new();
    for layer in 0..LAYERS {
        for (name, rows, columns) in MATRICES {
            let path = format!("base_model.model.model.layers.{layer}.{name}");
            tensors.push((format!("{path}.lora_A.weight"), vec![RANK, columns]));
            tensors.push((format!("{path}.lora_B.weight"), vec![rows, RANK]));
        }
    }
    let mut out = BufWriter::new(File::create_new(folder.join("adapter_model.safetensors"))?);
    write_header(&mut out, &tensors, "F32", 4)?;
    for (name, shape) in &tensors {
        let count = usize::try_from(shape.iter().product::<u64>()).map_err(io::Error::other)?;
        out.write_all(&Weights::of(name).f32(count))?;
    }
    out.flush()
}

fn layer(number: u64) -> Vec<Tensor> {
    let path = |name: &str| format!("model.layers.{number}.{name}.weight");
    let matrices = MATRICES.map(|(name, rows, columns)| (path(name), vec![rows, columns]));
    let norms = NORMS.map(|(name, size)| (path(name), vec![size]));
    let mut tensors: Vec<_> = matrices.into_iter().chain(norms).collect();
    tensors.sort();
    tensors
}

fn config() -> io::Result<Value> {
    let mut config: Value = serde_json::from_slice(file(GEMMA3_BASE, "config.json"))?;
    for (key, value) in [
        ("hidden_size", HIDDEN),
        ("intermediate_size", FEED_FORWARD),
        ("num_hidden_layers", LAYERS),
        ("num_attention_heads", HEADS),
        ("num_key_value_heads", 1),
        ("head_dim", HEAD_DIM),
        ("query_pre_attn_scalar", HEAD_DIM),
        ("vocab_size", VOCABULARY),
    ] {
        config[key] = value.into();
    }
    Ok(config)
}

fn bytes(shape: &[u64], width: u64) -> u64 {
    shape.iter().product::<u64>() * width
}

fn write_json(path: &Path, value: &Value) -> io::Result<()> {
    std::fs::write(path, format!("{value:#}\n"))
}

fn write_shard(path: &Path, tensors: &[Tensor]) -> io::Result<()> {
    let mut out = File::create_new(path)?;
    write_header(&mut out, tensors, "BF16", 2)?;
    let mut buffer = vec![0; 1 << 20];
    for (name, shape) in tensors {
        let mut weights = Weights::of(name);
        let mut left = usize::try_from(bytes(shape, 2)).map_err(io::Error::other)?;
        while left > 0 {
            let part = left.min(buffer.len());
            weights.fill_bf16(&mut buffer[..part]);
            out.write_all(&buffer[..part])?;
            left -= part;
        }
    }
    out.flush()
}

/// Eight bytes of length and the JSON, padded with spaces to a multiple of eight
/// (<https://github.com/huggingface/safetensors#format>).
fn write_header(out: &mut impl Write, tensors: &[Tensor], dtype: &str, width: u64) -> io::Result<()> {
    let mut header = Map::new();
    header.insert("__metadata__".to_owned(), json!({ "format": "pt" }));
    let mut offset = 0;
    for (name, shape) in tensors {
        let end = offset + bytes(shape, width);
        header.insert(name.clone(), json!({ "dtype": dtype, "shape": shape, "data_offsets": [offset, end] }));
        offset = end;
    }
    let mut text = Value::Object(header).to_string();
    text.push_str(&" ".repeat(text.len().next_multiple_of(8) - text.len()));
    out.write_all(&(text.len() as u64).to_le_bytes())?;
    out.write_all(text.as_bytes())
}
