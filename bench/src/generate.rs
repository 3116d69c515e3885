//! A model with the shape of Gemma 3 1B, pseudo-random weights, an adapter for all its linear layers, and a tokenizer of
//! the size of Gemma 3's.

use std::error::Error;
use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use synthetic_checkpoint::{
    DType, DecoderShape, NormalWeights, TensorSpec, safetensors, sentencepiece, tokenizer_json,
};

const VOCAB_SIZE: u64 = 262_144;
const RANK: u64 = 16;
/// The folder of the base with a `tokenizer.json`.
pub(crate) const BASE_WITH_JSON: &str = "base-tokenizer-json";

/// Makes `base` and `adapter` below `scratch`, unless they are there already.
pub(crate) fn model(scratch: &Path, layers: u32) -> Result<(), Box<dyn Error>> {
    let done = scratch.join(format!("made-{layers}-layers-2"));
    if done.exists() {
        return Ok(());
    }
    if scratch.exists() {
        fs::remove_dir_all(scratch)?;
    }
    eprintln!("making a model of {layers} layers in {}", scratch.display());
    let shape = DecoderShape::gemma3_1b(layers.into(), VOCAB_SIZE);
    base(&scratch.join("base"), &shape)?;
    adapter(&scratch.join("adapter"), &shape)?;
    base_with_tokenizer_json(scratch)?;
    fs::write(done, "")?;
    Ok(())
}

fn base(folder: &Path, shape: &DecoderShape) -> Result<(), Box<dyn Error>> {
    fs::create_dir_all(folder)?;
    weights(&folder.join("model.safetensors"), DType::BF16, &shape.tensors())?;
    fs::write(folder.join("config.json"), serde_json::to_vec_pretty(&config(shape))?)?;
    fs::write(folder.join("tokenizer_config.json"), serde_json::to_vec_pretty(&tokenizer_config())?)?;
    fs::write(folder.join("tokenizer.model"), sentencepiece::tokenizer_model(VOCAB_SIZE))?;
    Ok(())
}

/// The base once more, with a `tokenizer.json` of real size in place of the `tokenizer.model`.
fn base_with_tokenizer_json(scratch: &Path) -> Result<(), Box<dyn Error>> {
    let (base, folder) = (scratch.join("base"), scratch.join(BASE_WITH_JSON));
    fs::create_dir_all(&folder)?;
    for name in ["model.safetensors", "config.json", "tokenizer_config.json"] {
        fs::hard_link(base.join(name), folder.join(name))?;
    }
    Ok(fs::write(folder.join("tokenizer.json"), tokenizer_json::tokenizer_json(VOCAB_SIZE)?)?)
}

fn adapter(folder: &Path, shape: &DecoderShape) -> Result<(), Box<dyn Error>> {
    fs::create_dir_all(folder)?;
    weights(&folder.join("adapter_model.safetensors"), DType::F32, &shape.lora_tensors(RANK))?;
    let config =
        json!({"peft_type": "LORA", "r": RANK, "lora_alpha": 2 * RANK, "target_modules": "all-linear"});
    fs::write(folder.join("adapter_config.json"), config.to_string())?;
    Ok(())
}

fn weights(path: &Path, dtype: DType, tensors: &[TensorSpec]) -> std::io::Result<()> {
    safetensors::write(path, dtype, tensors, &mut NormalWeights::default())?.sync_all()
}

fn config(shape: &DecoderShape) -> Value {
    let mut config = json!({
        "architectures": ["Gemma3ForCausalLM"], "model_type": "gemma3_text",
        "max_position_embeddings": 32768, "rms_norm_eps": 1e-6, "rope_theta": 1_000_000, "rope_local_base_freq": 10_000,
        "sliding_window": 512, "bos_token_id": 2, "eos_token_id": 1, "pad_token_id": 0, "torch_dtype": "bfloat16",
    });
    for (field, size) in shape.config_sizes() {
        config[field] = size;
    }
    config
}

fn tokenizer_config() -> Value {
    let token = |text: &str| json!({"content": text, "special": true});
    json!({
        "added_tokens_decoder": {"0": token("<pad>"), "1": token("<eos>"), "2": token("<bos>"), "3": token("<unk>")},
        "bos_token": "<bos>", "eos_token": "<eos>", "pad_token": "<pad>", "unk_token": "<unk>",
        "tokenizer_class": "GemmaTokenizer",
    })
}
