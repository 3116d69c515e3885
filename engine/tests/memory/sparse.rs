//! A sparse checkpoint with the shape of a large Gemma 2, and an adapter for one of its layers.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use synthetic_checkpoint::{DType, DecoderShape, SeededWeights, safetensors, sentencepiece};

const SHAPE: DecoderShape = DecoderShape {
    hidden_size: 4608,
    intermediate_size: 36_864,
    num_hidden_layers: 6,
    num_attention_heads: 36,
    num_key_value_heads: 36,
    head_dim: 128,
    vocab_size: 1000,
    has_qk_norm: false,
};
const RANK: u64 = 16;

/// Makes `base` and `adapter`, and returns the size of the weights in bytes.
pub(crate) fn model(folder: &Path) -> u64 {
    let (base, adapter) = (folder.join("base"), folder.join("adapter"));
    fs::create_dir(&base).unwrap();
    fs::create_dir(&adapter).unwrap();

    let mut tensors = SHAPE.lora_tensors(RANK);
    tensors.retain(|tensor| tensor.name.contains(".layers.3.mlp.up_proj."));
    assert_eq!(tensors.len(), 2);
    let path = adapter.join("adapter_model.safetensors");
    safetensors::write(&path, DType::F32, &tensors, &mut SeededWeights::default()).unwrap();
    fs::write(adapter.join("adapter_config.json"), r#"{"peft_type":"LORA","r":16,"lora_alpha":16}"#).unwrap();

    fs::write(base.join("config.json"), config().to_string()).unwrap();
    fs::write(base.join("tokenizer.model"), sentencepiece::tokenizer_model(SHAPE.vocab_size)).unwrap();
    safetensors::write_sparse(&base.join("model.safetensors"), DType::BF16, &SHAPE.tensors()).unwrap()
}

fn config() -> Value {
    let mut config =
        json!({"architectures": ["Gemma2ForCausalLM"], "model_type": "gemma2", "query_pre_attn_scalar": 128});
    for (field, size) in SHAPE.config_sizes() {
        config[field] = size;
    }
    config
}
