//! A model with the shape of Gemma 3 1B, pseudo-random weights, and an adapter for all its linear layers.

use std::error::Error;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::Path;

use serde_json::{Map, Value, json};

const HIDDEN: u64 = 1152;
const FFN: u64 = 6912;
const HEADS: u64 = 4;
const KEY_VALUE_HEADS: u64 = 1;
const HEAD_DIM: u64 = 256;
const VOCABULARY: u64 = 262_144;
const RANK: u64 = 16;

/// A layer's matrices: name, rows, columns.
const LINEARS: [(&str, u64, u64); 7] = [
    ("self_attn.q_proj", HEADS * HEAD_DIM, HIDDEN),
    ("self_attn.k_proj", KEY_VALUE_HEADS * HEAD_DIM, HIDDEN),
    ("self_attn.v_proj", KEY_VALUE_HEADS * HEAD_DIM, HIDDEN),
    ("self_attn.o_proj", HIDDEN, HEADS * HEAD_DIM),
    ("mlp.gate_proj", FFN, HIDDEN),
    ("mlp.up_proj", FFN, HIDDEN),
    ("mlp.down_proj", HIDDEN, FFN),
];
/// A layer's vectors.
const NORMS: [(&str, u64); 6] = [
    ("input_layernorm", HIDDEN),
    ("post_attention_layernorm", HIDDEN),
    ("pre_feedforward_layernorm", HIDDEN),
    ("post_feedforward_layernorm", HIDDEN),
    ("self_attn.q_norm", HEAD_DIM),
    ("self_attn.k_norm", HEAD_DIM),
];

/// Makes `base` and `adapter` below `scratch`, unless they are there already.
pub(crate) fn model(scratch: &Path, layers: u32) -> Result<(), Box<dyn Error>> {
    let done = scratch.join(format!("made-{layers}-layers"));
    if done.exists() {
        return Ok(());
    }
    if scratch.exists() {
        fs::remove_dir_all(scratch)?;
    }
    eprintln!("making a model of {layers} layers in {}", scratch.display());
    base(&scratch.join("base"), layers)?;
    adapter(&scratch.join("adapter"), layers)?;
    fs::write(done, "")?;
    Ok(())
}

fn base(folder: &Path, layers: u32) -> Result<(), Box<dyn Error>> {
    fs::create_dir_all(folder)?;
    let mut tensors = vec![("model.embed_tokens.weight".to_owned(), vec![VOCABULARY, HIDDEN])];
    for layer in 0..layers {
        let name = |part: &str| format!("model.layers.{layer}.{part}.weight");
        tensors.extend(NORMS.map(|(part, n)| (name(part), vec![n])));
        tensors.extend(LINEARS.map(|(part, rows, columns)| (name(part), vec![rows, columns])));
    }
    tensors.push(("model.norm.weight".to_owned(), vec![HIDDEN]));
    tensors.sort();
    safetensors(&folder.join("model.safetensors"), "BF16", &tensors)?;
    fs::write(folder.join("config.json"), serde_json::to_vec_pretty(&config(layers))?)?;
    fs::write(folder.join("tokenizer_config.json"), serde_json::to_vec_pretty(&tokenizer_config())?)?;
    fs::write(folder.join("tokenizer.model"), sentencepiece())?;
    Ok(())
}

fn adapter(folder: &Path, layers: u32) -> Result<(), Box<dyn Error>> {
    fs::create_dir_all(folder)?;
    let mut tensors = Vec::new();
    for layer in 0..layers {
        for (part, rows, columns) in LINEARS {
            let name =
                |half: &str| format!("base_model.model.model.layers.{layer}.{part}.lora_{half}.weight");
            tensors.push((name("A"), vec![RANK, columns]));
            tensors.push((name("B"), vec![rows, RANK]));
        }
    }
    tensors.sort();
    safetensors(&folder.join("adapter_model.safetensors"), "F32", &tensors)?;
    let config =
        json!({"peft_type": "LORA", "r": RANK, "lora_alpha": 2 * RANK, "target_modules": "all-linear"});
    fs::write(folder.join("adapter_config.json"), config.to_string())?;
    Ok(())
}

fn safetensors(path: &Path, dtype: &str, tensors: &[(String, Vec<u64>)]) -> io::Result<()> {
    let width = if dtype == "F32" { 4 } else { 2 };
    let mut header = Map::new();
    let mut begin = 0;
    for (name, shape) in tensors {
        let end = begin + shape.iter().product::<u64>() * width;
        header.insert(name.clone(), json!({"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}));
        begin = end;
    }
    let header = Value::Object(header).to_string();
    let mut out = BufWriter::with_capacity(1 << 20, File::create(path)?);
    out.write_all(&(header.len() as u64).to_le_bytes())?;
    out.write_all(header.as_bytes())?;
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    for _ in 0..begin / width {
        let value = random.weight();
        match width {
            4 => out.write_all(&value.to_le_bytes())?,
            _ => out.write_all(&((value.to_bits() >> 16) as u16).to_le_bytes())?,
        }
    }
    out.flush()?;
    out.get_ref().sync_all()
}

/// xorshift64*: good enough for weights, and the same on every machine.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// The sum of four uniform numbers is about normal; the deviation is about 0.02.
    fn weight(&mut self) -> f32 {
        let bits = self.next();
        let sum: i32 = (0..4).map(|i| i32::from((bits >> (16 * i)) as u16)).sum();
        (sum - 2 * 65_535) as f32 * (0.02 / 37_837.0)
    }
}

fn config(layers: u32) -> Value {
    json!({
        "architectures": ["Gemma3ForCausalLM"], "model_type": "gemma3_text", "hidden_size": HIDDEN,
        "intermediate_size": FFN, "num_hidden_layers": layers, "num_attention_heads": HEADS,
        "num_key_value_heads": KEY_VALUE_HEADS, "head_dim": HEAD_DIM, "vocab_size": VOCABULARY,
        "max_position_embeddings": 32768, "rms_norm_eps": 1e-6, "rope_theta": 1_000_000, "rope_local_base_freq": 10_000,
        "sliding_window": 512, "bos_token_id": 2, "eos_token_id": 1, "pad_token_id": 0, "torch_dtype": "bfloat16",
    })
}

fn tokenizer_config() -> Value {
    let token = |text: &str| json!({"content": text, "special": true});
    json!({
        "added_tokens_decoder": {"0": token("<pad>"), "1": token("<eos>"), "2": token("<bos>"), "3": token("<unk>")},
        "bos_token": "<bos>", "eos_token": "<eos>", "pad_token": "<pad>", "unk_token": "<unk>",
        "tokenizer_class": "GemmaTokenizer",
    })
}

/// A SentencePiece model with as many pieces as the vocabulary has.
fn sentencepiece() -> Vec<u8> {
    let mut out = Vec::new();
    for id in 0..VOCABULARY {
        let (text, kind) = match id {
            0 => ("<pad>".to_owned(), 3),
            1 => ("<eos>".to_owned(), 3),
            2 => ("<bos>".to_owned(), 3),
            3 => ("<unk>".to_owned(), 2),
            4..=259 => (format!("<0x{:02X}>", id - 4), 6),
            _ => (format!("\u{2581}t{id}"), 1),
        };
        let mut piece = vec![0x0a, text.len() as u8];
        piece.extend(text.as_bytes());
        piece.push(0x15);
        piece.extend((-(id as f32)).to_le_bytes());
        piece.extend([0x18, kind]);
        out.extend([0x0a, piece.len() as u8]);
        out.extend(piece);
    }
    // trainer_spec: model_type BPE, byte_fallback
    out.extend([0x12, 5, 0x18, 2, 0x98, 0x02, 1]);
    out
}
