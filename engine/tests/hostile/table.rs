//! The table: a name, what is spoiled, and what the error must say.

use serde_json::{Value, json};

use crate::folders::{A, B, Folders, INDEX, SHARD, WEIGHTS};

pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) spoil: fn(&Folders),
    pub(crate) says: &'static [&'static str],
}

const EMBEDDING: &str = "model.embed_tokens.weight";
const BASE_SHARD: &str = "base/model-00001-of-00002.safetensors";
const ADAPTER: &str = "adapter/adapter_model.safetensors";
const CONFIG: &str = "adapter/adapter_config.json";

macro_rules! cases {
    ($($name:literal, [$($says:expr),+], $spoil:expr;)+) => {
        vec![$(Case { name: $name, spoil: $spoil, says: &[$($says),+] }),+]
    };
}

pub(crate) fn cases() -> Vec<Case> {
    let mut cases = headers();
    cases.extend(checkpoints());
    cases.extend(adapters());
    cases.extend(tokenizers());
    cases
}

fn headers() -> Vec<Case> {
    cases! {
        "an empty file", [SHARD, "too short"], |f| f.write(BASE_SHARD, "");
        "a file that ends in its header", [SHARD, "has a header of"], |f| f.bytes(BASE_SHARD, |b| b.truncate(300));
        "a truncated file", [SHARD, "tensor ", "truncated"], |f| f.bytes(BASE_SHARD, |b| b.truncate(b.len() - 1));
        "a byte too many", [SHARD, "1 bytes after its last tensor"], |f| f.bytes(BASE_SHARD, |b| b.push(0));
        "a header longer than the file", [SHARD, "has a header of 90000000 bytes"],
            |f| f.bytes(BASE_SHARD, |b| b[..8].copy_from_slice(&90_000_000_u64.to_le_bytes()));
        "a header longer than any file", [SHARD, "the format allows"],
            |f| f.bytes(BASE_SHARD, |b| b[..8].copy_from_slice(&u64::MAX.to_le_bytes()));
        "a header that is no JSON", [SHARD, "JSON"], |f| f.bytes(BASE_SHARD, |b| b[8] = b'[');
        "a header of brackets", [SHARD, "JSON"], |f| {
            let mut bytes = 1_000_000_u64.to_le_bytes().to_vec();
            bytes.resize(1_000_008, b'[');
            f.write(BASE_SHARD, bytes);
        };
        "a nested bomb inside a tensor", [SHARD, EMBEDDING], |f| {
            let text = format!("{{\"{EMBEDDING}\":{{\"dtype\":{}", "[".repeat(500_000));
            let mut bytes = (text.len() as u64).to_le_bytes().to_vec();
            bytes.extend(text.as_bytes());
            f.write(BASE_SHARD, bytes);
        };
        "overlapping tensors", [SHARD, "model.layers.0.", "overlaps"],
            |f| f.header(BASE_SHARD, |h| {
                let end = h["model.layers.0.input_layernorm.weight"]["data_offsets"][1].as_u64().unwrap();
                h["model.layers.0.post_attention_layernorm.weight"]["data_offsets"] = json!([end - 512 - 256, end - 256]);
            });
        "a gap", [SHARD, "tensor ", "gap"], |f| f.header(BASE_SHARD, |h| {
            h.remove("model.layers.0.input_layernorm.weight");
        });
        "a tensor twice", [SHARD, EMBEDDING, "appears twice"], |f| f.bytes(BASE_SHARD, |b| {
            let data = 8 + u64::from_le_bytes(b[..8].try_into().unwrap()) as usize;
            let text = String::from_utf8(b[8..data].to_vec()).unwrap();
            let twice = text.trim_end().replacen('{', &format!("{{\"{EMBEDDING}\":{{\"dtype\":\"BF16\",\"shape\":[0],\"data_offsets\":[0,0]}},"), 1);
            let mut new = (twice.len() as u64).to_le_bytes().to_vec();
            new.extend(twice.as_bytes());
            new.extend(&b[data..]);
            *b = new;
        });
        "an unknown dtype", [SHARD, EMBEDDING, "unknown dtype \"F7\""],
            |f| f.header(BASE_SHARD, |h| h[EMBEDDING]["dtype"] = json!("F7"));
        "a shape whose product overflows", [SHARD, EMBEDDING, "more than a file can hold"],
            |f| f.header(BASE_SHARD, |h| h[EMBEDDING]["shape"] = json!([u64::MAX, 2]));
        "a shape that does not fill its bytes", [SHARD, EMBEDDING, "needs"],
            |f| f.header(BASE_SHARD, |h| h[EMBEDDING]["shape"] = json!([768, 255]));
        "a negative size", [SHARD, EMBEDDING], |f| f.header(BASE_SHARD, |h| h[EMBEDDING]["shape"] = json!([-1, 256]));
        "offsets the wrong way round", [SHARD, EMBEDDING, "lies at"],
            |f| f.header(BASE_SHARD, |h| h[EMBEDDING]["data_offsets"] = json!([512, 0]));
        "offsets past the end", [SHARD, EMBEDDING, "truncated"],
            |f| f.header(BASE_SHARD, |h| h[EMBEDDING]["data_offsets"] = json!([0, u64::MAX]));
        "a tensor without a shape", [SHARD, EMBEDDING, "shape"],
            |f| f.header(BASE_SHARD, |h| h[EMBEDDING] = json!({"dtype": "BF16", "data_offsets": [0, 0]}));
    }
}

fn checkpoints() -> Vec<Case> {
    cases! {
        "a tensor without weights", [SHARD, "layers.0.mlp.up_proj", "ZeRO-3"], |f| empty(f, "model.layers.0.mlp.up_proj.weight");
        "fewer heads than the configuration counts", ["layers.0.self_attn", "but config.json requires"],
            |f| f.json("base/config.json", |c| {
                let heads = c["num_attention_heads"].as_u64().unwrap();
                c.insert("num_attention_heads".into(), json!(2 * heads));
            });
        "no config", ["has no config.json"], |f| f.remove("base/config.json");
        "a config that is no object", ["config.json", "JSON"], |f| f.write("base/config.json", "[1]");
        "an unknown architecture", ["config.json", "LlamaForCausalLM", "not supported"],
            |f| f.json("base/config.json", |c| c["architectures"] = json!(["LlamaForCausalLM"]));
        "more layers than there are", ["no tensor model.layers.2."], |f| f.json("base/config.json", |c| c["num_hidden_layers"] = json!(3));
        "fewer layers than there are", ["model.layers.1.", "num_hidden_layers is 1"],
            |f| f.json("base/config.json", |c| c["num_hidden_layers"] = json!(1));
        "a count that is none", ["config.json", "hidden_size"], |f| f.json("base/config.json", |c| c["hidden_size"] = json!("many"));
        "a vocabulary larger than the embedding", [EMBEDDING, "vocab_size of config.json is 4000000000"],
            |f| f.json("base/config.json", |c| c["vocab_size"] = json!(4_000_000_000_u32));
        "a vocabulary smaller than the embedding", [SHARD, EMBEDDING, "768 rows"],
            |f| f.json("base/config.json", |c| c["vocab_size"] = json!(700));
        "an index that names a missing shard", ["has no model-00002-of-00002.safetensors", "index"],
            |f| f.remove("base/model-00002-of-00002.safetensors");
        "an index that climbs out", [INDEX, "../secret.safetensors"],
            |f| f.json("base/model.safetensors.index.json", |i| i["weight_map"][EMBEDDING] = json!("../secret.safetensors"));
        "an index that names a pickle", [INDEX, "model.bin"],
            |f| f.json("base/model.safetensors.index.json", |i| i["weight_map"][EMBEDDING] = json!("model.bin"));
        "an index that is wrong about a shard", [INDEX, EMBEDDING, "is in model-00002-of-00002.safetensors by the index"],
            |f| f.json("base/model.safetensors.index.json", |i| i["weight_map"][EMBEDDING] = json!("model-00002-of-00002.safetensors"));
        "an index that knows of a tensor too many", [INDEX, "ghost"],
            |f| f.json("base/model.safetensors.index.json", |i| i["weight_map"]["ghost"] = json!(SHARD));
        "an index that lacks a tensor", [INDEX, EMBEDDING, "not in the index"],
            |f| f.json("base/model.safetensors.index.json", |i| { i["weight_map"].as_object_mut().unwrap().remove(EMBEDDING); });
        "an index that is no JSON", [INDEX, "JSON"], |f| f.write("base/model.safetensors.index.json", "{");
        "a pickle", ["pytorch_model.bin", "pickle", "not supported"], |f| {
            for name in [SHARD, "model-00002-of-00002.safetensors", INDEX] {
                f.remove(&format!("base/{name}"));
            }
            f.write("base/pytorch_model.bin", b"\x80\x02}q\x00.");
        };
        "no weights at all", ["has no model.safetensors"], |f| {
            for name in [SHARD, "model-00002-of-00002.safetensors", INDEX] {
                f.remove(&format!("base/{name}"));
            }
        };
        "the same tensor in two shards", ["model-00002-of-00002.safetensors", "model.layers.0.input_layernorm.weight", "is also in"], |f| {
            f.remove("base/model.safetensors.index.json");
            f.header("base/model-00002-of-00002.safetensors", |h| {
                let moved = h.remove("model.layers.1.input_layernorm.weight").unwrap();
                h.insert("model.layers.0.input_layernorm.weight".to_owned(), moved);
            });
        };
        "one shard of two without an index", ["has no model-00002-of-00002.safetensors", SHARD], |f| {
            f.remove("base/model.safetensors.index.json");
            f.remove("base/model-00002-of-00002.safetensors");
        };
        "shards of two sets without an index", ["shards of two sets", SHARD, "model-00003-of-00003.safetensors"], |f| {
            f.remove("base/model.safetensors.index.json");
            f.rename("base/model-00002-of-00002.safetensors", "base/model-00003-of-00003.safetensors");
        };
        "weights in whole numbers", [SHARD, "model.layers.0.mlp.up_proj.weight", "I16"],
            |f| f.header(BASE_SHARD, |h| h["model.layers.0.mlp.up_proj.weight"]["dtype"] = json!("I16"));
        "a base in 8 bits", ["config.json", "bitsandbytes in 8 bits (llm_int8)", "not supported", "16-bit"],
            |f| f.json("base/config.json", |c| { c.insert("quantization_config".to_owned(), json!({"quant_method": "bitsandbytes", "load_in_8bit": true})); });
        "a base quantized by others", ["config.json", "gptq", "not supported"],
            |f| f.json("base/config.json", |c| { c.insert("quantization_config".to_owned(), json!({"quant_method": "gptq", "bits": 4})); });
        "a 4-bit weight whose description is none", [SHARD, "x.quant_state.bitsandbytes__nf4", "JSON"], |f| {
            f.remove("base/model.safetensors.index.json");
            f.header(BASE_SHARD, |h| {
                let moved = h.remove("model.layers.0.input_layernorm.weight").unwrap();
                h.insert("x.quant_state.bitsandbytes__nf4".to_owned(), moved);
            });
        };
        "a tensor that the family does not know", ["no tensor model.layers.0.input_layernorm.weight", "model.layers.0.mystery.weight is not a tensor that gemma"], |f| {
            f.remove("base/model.safetensors.index.json");
            f.header(BASE_SHARD, |h| {
                let moved = h.remove("model.layers.0.input_layernorm.weight").unwrap();
                h.insert("model.layers.0.mystery.weight".to_owned(), moved);
            });
        };
    }
}

fn adapters() -> Vec<Case> {
    cases! {
        "one shard of two", ["has no adapter_model-00002-of-00002.safetensors"],
            |f| f.rename(ADAPTER, "adapter/adapter_model-00001-of-00002.safetensors");
        "shards of two sets", ["shards of two sets", "adapter_model-00003-of-00003.safetensors"], |f| {
            f.copy(ADAPTER, "adapter/adapter_model-00003-of-00003.safetensors");
            f.rename(ADAPTER, "adapter/adapter_model-00001-of-00002.safetensors");
        };
        "NaN in a factor", [WEIGHTS, B, "element 3 is NaN or infinite"], |f| f.value(ADAPTER, B, 3, f32::NAN);
        "infinity in a factor", [WEIGHTS, A, "element 0 is NaN or infinite"], |f| f.value(ADAPTER, A, 0, f32::INFINITY);
        "NaN in the base", [SHARD, EMBEDDING, "element 70 of the base is NaN or infinite"],
            |f| f.value(BASE_SHARD, EMBEDDING, 70, f32::NAN);
        "a pattern of one dialect", ["alpha_pattern \"(?i)q_proj\"", "a group with flags"],
            |f| f.json(CONFIG, |c| { c.insert("alpha_pattern".into(), json!({"(?i)q_proj": 4})); });
        "a module to save that was not saved", ["names norm in modules_to_save"], |f| f.json(CONFIG, |c| {
            c.insert("modules_to_save".into(), json!(["score", "norm"]));
        });
        "no adapter config", ["has no adapter_config.json"], |f| f.remove(CONFIG);
        "no adapter weights", ["has no adapter_model.safetensors"], |f| f.remove(ADAPTER);
        "adapter weights in a pickle", ["adapter_model.bin", "pickle"], |f| {
            f.remove(ADAPTER);
            f.write("adapter/adapter_model.bin", "x");
        };
        "several adapters in one file", [WEIGHTS, "several adapters (one, two)", "selected_adapters"], |f| {
            f.header(ADAPTER, |h| {
                rename(h, A, &A.replace(".weight", ".one.weight"));
                rename(h, B, &B.replace(".weight", ".two.weight"));
            });
        };
        "an adapter index that lacks a tensor", ["adapter_model.safetensors.index.json", "not in the index"],
            |f| f.write("adapter/adapter_model.safetensors.index.json", r#"{"weight_map":{"x":"adapter_model.safetensors"}}"#);
        "a truncated adapter", [WEIGHTS, "tensor ", "truncated"], |f| f.bytes(ADAPTER, |b| b.truncate(b.len() - 4));
        "an A without its B", [WEIGHTS, A, "has no matching lora_B"], |f| f.header(ADAPTER, |h| rename(h, B, "base_model.model.model.layers.7.mlp.up_proj.lora_B.weight"));
        "a B without its A", [WEIGHTS, B, "has no matching lora_A"], |f| f.header(ADAPTER, |h| rename(h, A, "base_model.model.zzz.lora_A.weight"));
        "factors of a linear layer for an embedding", [WEIGHTS, "embed_tokens.lora_A", "has lora_embedding_A"], |f| {
            f.header(ADAPTER, |h| {
                rename(h, A, "base_model.model.model.embed_tokens.lora_A.weight");
                rename(h, B, "base_model.model.model.embed_tokens.lora_B.weight");
            });
        };
        "factors of an embedding for a linear layer", [WEIGHTS, "lora_embedding_A", "which has lora_A"], |f| {
            f.header(ADAPTER, |h| {
                rename(h, A, &A.replace("lora_A.weight", "lora_embedding_A"));
                rename(h, B, &B.replace("lora_B.weight", "lora_embedding_B"));
            });
        };
        "a pair that matches no tensor", ["1 of 14 adapter modules match no tensor", "model.layers.9.mlp.up_proj"], |f| {
            f.header(ADAPTER, |h| {
                rename(h, A, "base_model.model.model.layers.9.mlp.up_proj.lora_A.weight");
                rename(h, B, "base_model.model.model.layers.9.mlp.up_proj.lora_B.weight");
            });
        };
        "a pair for the tied head of the wrong shape", [WEIGHTS, "lm_head", "[768, 256]"], |f| {
            f.json(CONFIG, |c| c["target_modules"] = json!(["lm_head"]));
            f.header(ADAPTER, |h| {
                rename(h, A, "base_model.model.lm_head.lora_A.weight");
                rename(h, B, "base_model.model.lm_head.lora_B.weight");
            });
        };
        "a rank that the config does not know", [WEIGHTS, "lora_A", "has rank 4", "adapter_config.json has 8"],
            |f| f.json(CONFIG, |c| c["r"] = json!(8));
        "an A and a B of different ranks", [WEIGHTS, B, "has rank 2"], |f| f.header(ADAPTER, |h| h[B]["shape"] = json!([512, 2]));
        "a rank of nothing", [CONFIG_FILE, "rank of 0"], |f| f.json(CONFIG, |c| c["r"] = json!(0));
        "a pair of the wrong shape", [WEIGHTS, B, "[128, 256]", "model.layers.0.mlp.up_proj.weight"],
            |f| f.header(ADAPTER, |h| {
                h[B]["shape"] = json!([128, 4]);
                shrink(h, B, 128 * 4 * 4);
            });
        "a factor of three dimensions", [WEIGHTS, A, "LoRA on a convolution"], |f| f.header(ADAPTER, |h| h[A]["shape"] = json!([4, 16, 16]));
        "a factor of whole numbers", [WEIGHTS, A, "I32"], |f| f.header(ADAPTER, |h| h[A]["dtype"] = json!("I32"));
        "a tensor that is no factor", [WEIGHTS, "score.weight", "is not a LoRA factor"],
            |f| f.header(ADAPTER, |h| {
                rename(h, A, "base_model.model.score.weight");
                h.remove(B);
                let (a, b) = (h["base_model.model.score.weight"]["data_offsets"].clone(), B_BYTES);
                h["base_model.model.score.weight"]["data_offsets"] = json!([a[0], a[1].as_u64().unwrap() + b]);
                h["base_model.model.score.weight"]["shape"] = json!([(a[1].as_u64().unwrap() - a[0].as_u64().unwrap() + b) / 4]);
            });
        "another kind of adapter", [CONFIG_FILE, "LOHA", "not supported"], |f| f.json(CONFIG, |c| c["peft_type"] = json!("LOHA"));
        "DoRA without magnitudes", [WEIGHTS, "no magnitude vector", "use_dora"], |f| f.json(CONFIG, |c| c["use_dora"] = json!(true));
        "a parameter that was not saved", [CONFIG_FILE, "names experts.gate_up_proj in target_parameters"],
            |f| f.json(CONFIG, |c| c["target_parameters"] = json!(["experts.gate_up_proj"]));
        "a parameter that has no factors", [CONFIG_FILE, "router.scale in target_parameters", "not supported"],
            |f| f.json(CONFIG, |c| c["target_parameters"] = json!(["router.scale"]));
        "a module that was not saved", [CONFIG_FILE, "names lm_head in modules_to_save"],
            |f| f.json(CONFIG, |c| c["modules_to_save"] = json!(["lm_head"]));
        "a pattern that never ends", [CONFIG_FILE, "rank_pattern"],
            |f| f.json(CONFIG, |c| c["rank_pattern"] = json!({"(((a{999}){999}){999})": 4}));
        "an adapter that changes nothing", ["changes nothing"], |f| f.bytes(ADAPTER, |b| {
            let data = 8 + u64::from_le_bytes(b[..8].try_into().unwrap()) as usize;
            b[data..].fill(0);
        });
    }
}

/// Bytes of one of the factors.
const B_BYTES: u64 = 4 * 4 * 256;
const CONFIG_FILE: &str = "adapter_config.json";

fn tokenizers() -> Vec<Case> {
    cases! {
        "no tokenizer", ["has no tokenizer.model"],
            |f| { f.remove("base/tokenizer.model"); f.remove("base/tokenizer.json") };
        "a tokenizer.json alone, with an id in the far", ["vocab_size"], |f| {
            f.remove("base/tokenizer.model");
            f.json("base/config.json", |c| c["vocab_size"] = json!(4_000_000_000_u32));
            f.json("base/tokenizer.json", |t| t["model"]["vocab"]["\u{9fff}"] = json!(4_000_000_000_u32));
        };
        "a tokenizer.json alone, with a piece of a megabyte", ["tokenizer.json", "1000000 bytes"], |f| {
            f.remove("base/tokenizer.model");
            f.json("base/tokenizer.json", |t| t["model"]["vocab"]["a".repeat(1_000_000)] = json!(767));
        };
        "a tokenizer.json alone, without merges", ["tokenizer.json", "never merges"], |f| {
            f.remove("base/tokenizer.model");
            f.json("base/tokenizer.json", |t| t["model"]["merges"] = json!([]));
        };
        "a tokenizer of noise", ["tokenizer.model", "SentencePiece"], |f| f.write("base/tokenizer.model", [0xff; 100]);
        "an empty tokenizer", ["tokenizer.model", "no pieces"], |f| f.write("base/tokenizer.model", "");
        "a truncated tokenizer", ["tokenizer.model"], |f| f.bytes("base/tokenizer.model", |b| b.truncate(5000));
        "a tokenizer.json of brackets", ["tokenizer.json", "JSON"], |f| f.write("base/tokenizer.json", "[".repeat(100_000));
        "added tokens without text", ["tokenizer_config.json", "added_tokens_decoder"],
            |f| f.json("base/tokenizer_config.json", |c| c["added_tokens_decoder"]["0"] = json!({"special": true}));
        "a chat template in Latin-1", ["chat_template.jinja", "UTF-8"], |f| f.write("base/chat_template.jinja", [0xe4]);
    }
}

fn rename(header: &mut serde_json::Map<String, Value>, from: &str, to: &str) {
    let moved = header.remove(from).unwrap();
    header.insert(to.to_owned(), moved);
}

/// Makes a tensor end earlier and a filler take the rest of its bytes.
fn shrink(header: &mut serde_json::Map<String, Value>, name: &str, bytes: u64) {
    let at = |i: usize| header[name]["data_offsets"][i].as_u64().unwrap();
    let (begin, end) = (at(0), at(1));
    header[name]["data_offsets"] = json!([begin, begin + bytes]);
    for half in ["lora_A", "lora_B"] {
        let (from, to) =
            if half == "lora_A" { (begin + bytes, begin + bytes + 16) } else { (begin + bytes + 16, end) };
        let shape =
            if half == "lora_A" { json!([4, 1]) } else { json!([(end - begin - bytes - 16) / 16, 4]) };
        header.insert(
            format!("base_model.model.filler.{half}.weight"),
            json!({"dtype": "F32", "shape": shape, "data_offsets": [from, to]}),
        );
    }
}

/// Gives the tensor the shape \[0\], and its bytes to a tensor of another name.
fn empty(folders: &Folders, tensor: &str) {
    folders.header(BASE_SHARD, |header| {
        let mut rest = header[tensor].clone();
        let end = rest["data_offsets"][1].clone();
        header[tensor]["shape"] = json!([0]);
        header[tensor]["data_offsets"] = json!([rest["data_offsets"][0], rest["data_offsets"][0]]);
        rest["data_offsets"] = json!([rest["data_offsets"][0], end]);
        header.insert("model.layers.0.mlp.up_proj.spare".into(), rest);
    });
    let file = BASE_SHARD.trim_start_matches("base/");
    folders.json(&format!("base/{INDEX}"), |index| {
        index["weight_map"]["model.layers.0.mlp.up_proj.spare"] = json!(file);
    });
}
