//! A checkpoint with the shape of a large Gemma 2 and holes for weights, and an adapter for one of its layers.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;

use serde_json::{Map, Value, json};

const HIDDEN: u64 = 4608;
const FFN: u64 = 36_864;
const VOCABULARY: u64 = 1000;
const LAYERS: u64 = 18;
const RANK: u64 = 16;

/// Makes `base` and `adapter`, and returns the size of the weights in bytes.
pub(crate) fn model(folder: &Path) -> u64 {
    let (base, adapter) = (folder.join("base"), folder.join("adapter"));
    fs::create_dir(&base).unwrap();
    fs::create_dir(&adapter).unwrap();
    fs::write(base.join("config.json"), config().to_string()).unwrap();
    fs::write(base.join("tokenizer.model"), sentencepiece()).unwrap();
    let (a, b) = (vec![RANK, HIDDEN], vec![FFN, RANK]);
    let name = |half: &str| format!("base_model.model.model.layers.3.mlp.up_proj.lora_{half}.weight");
    let values =
        |n: u64| (0..n).map(|i| (i % 7) as f32 - 3.0).flat_map(f32::to_le_bytes).collect::<Vec<u8>>();
    let data = [values(RANK * HIDDEN), values(FFN * RANK)].concat();
    let path = adapter.join("adapter_model.safetensors");
    safetensors(&path, "F32", &[(name("A"), a), (name("B"), b)]).write_all(&data).unwrap();
    fs::write(adapter.join("adapter_config.json"), r#"{"peft_type":"LORA","r":16,"lora_alpha":16}"#).unwrap();
    let path = base.join("model.safetensors");
    drop(safetensors(&path, "BF16", &tensors()));
    fs::metadata(path).unwrap().len()
}

fn tensors() -> Vec<(String, Vec<u64>)> {
    let mut tensors = vec![("model.embed_tokens.weight".to_owned(), vec![VOCABULARY, HIDDEN])];
    for layer in 0..LAYERS {
        let name = |part: &str| format!("model.layers.{layer}.{part}.weight");
        for norm in [
            "input_layernorm",
            "post_attention_layernorm",
            "pre_feedforward_layernorm",
            "post_feedforward_layernorm",
        ] {
            tensors.push((name(norm), vec![HIDDEN]));
        }
        for part in ["q_proj", "k_proj", "v_proj", "o_proj"] {
            tensors.push((name(&format!("self_attn.{part}")), vec![HIDDEN, HIDDEN]));
        }
        for part in ["gate_proj", "up_proj"] {
            tensors.push((name(&format!("mlp.{part}")), vec![FFN, HIDDEN]));
        }
        tensors.push((name("mlp.down_proj"), vec![HIDDEN, FFN]));
    }
    tensors.push(("model.norm.weight".to_owned(), vec![HIDDEN]));
    tensors
}

/// A file with a header for these tensors and as long as it says; what is not written is a hole.
fn safetensors(path: &Path, dtype: &str, tensors: &[(String, Vec<u64>)]) -> File {
    let width = if dtype == "F32" { 4 } else { 2 };
    let mut header = Map::new();
    let mut begin = 0;
    for (name, shape) in tensors {
        let end = begin + shape.iter().product::<u64>() * width;
        header.insert(name.clone(), json!({"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}));
        begin = end;
    }
    let header = Value::Object(header).to_string();
    let mut file = File::create(path).unwrap();
    file.write_all(&(header.len() as u64).to_le_bytes()).unwrap();
    file.write_all(header.as_bytes()).unwrap();
    file.set_len(8 + header.len() as u64 + begin).unwrap();
    file
}

fn config() -> Value {
    json!({
        "architectures": ["Gemma2ForCausalLM"], "model_type": "gemma2", "hidden_size": HIDDEN, "intermediate_size": FFN,
        "num_hidden_layers": LAYERS, "num_attention_heads": 36, "num_key_value_heads": 36, "head_dim": 128,
        "vocab_size": VOCABULARY,
    })
}

/// Pieces `t0`, `t1`, … of a SentencePiece model.
fn sentencepiece() -> Vec<u8> {
    let mut out = Vec::new();
    for id in 0..VOCABULARY {
        let text = format!("t{id}");
        out.extend([0x0a, text.len() as u8 + 2, 0x0a, text.len() as u8]);
        out.extend(text.as_bytes());
    }
    out
}
