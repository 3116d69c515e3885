//! Multimodal models whose towers are not what their configuration says.

use std::sync::Arc;

use engine::{Checkpoint, GgufOptions, GgufPlan, LocalFolder, Model, OutputType};
use serde_json::{Value, json};

use crate::folders::Folders;

const CONFIG: &str = "base/config.json";
const WEIGHTS: &str = "base/model.safetensors";

struct Case {
    name: &'static str,
    fixture: &'static str,
    spoil: fn(&Folders),
    says: &'static [&'static str],
}

macro_rules! cases {
    ($fixture:literal: $($name:literal, [$($says:expr),+], $spoil:expr;)+) => {
        vec![$(Case { name: $name, fixture: $fixture, spoil: $spoil, says: &[$($says),+] }),+]
    };
}

#[test]
fn invalid_encoders_are_refused_by_what_is_wrong() {
    let _turn = crate::TURN.lock();
    let mut wrong = Vec::new();
    for case in gemma3().into_iter().chain(gemma3n()).chain(gemma4()).chain(gemma4_unified()) {
        let folders = Folders::of(&format!("families/{}", case.fixture), &["base"]);
        (case.spoil)(&folders);
        match plan(&folders) {
            Ok(_) => wrong.push(format!("{}: was planned", case.name)),
            Err(error) => {
                let text = error.to_string();
                let missing = case.says.iter().filter(|part| !text.contains(**part));
                wrong.extend(missing.map(|part| format!("{}: {text:?} does not say {part:?}", case.name)));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn an_assistant_that_lacks_what_ties_it_to_its_model_is_refused() {
    let _turn = crate::TURN.lock();
    let cases = cases! { "gemma4-assistant":
        "no width of the model", ["config.json", "has no backbone_hidden_size"],
            |f| f.json(CONFIG, |c| { c.remove("backbone_hidden_size"); });
        "no way in", ["no tensor model.pre_projection.weight"],
            |f| rename(f, "pre_projection.weight", "audio_tower.x.weight");
        "a layer without its scale", ["no tensor model.layers.1.layer_scalar"],
            |f| rename(f, "model.layers.1.layer_scalar", "audio_tower.x.weight");
    };
    for case in cases {
        let folders = Folders::of(&format!("families/{}", case.fixture), &["base"]);
        (case.spoil)(&folders);
        let base = Checkpoint::open(Arc::new(LocalFolder::open(folders.base()).unwrap())).unwrap();
        let plan = GgufPlan::new(&Model::new(&base), &GgufOptions::new(OutputType::F16, "merged"));
        let text = plan.unwrap_err().to_string();
        assert!(case.says.iter().all(|part| text.contains(part)), "{}: {text}", case.name);
    }
}

fn plan(folders: &Folders) -> engine::Result<GgufPlan> {
    let base = Checkpoint::open(Arc::new(LocalFolder::open(folders.base())?))?;
    GgufPlan::mmproj(&Model::new(&base), &GgufOptions::new(OutputType::F16, "merged"))
}

fn set(folders: &Folders, part: &str, key: &str, value: Value) {
    folders.json(CONFIG, |config| config[part][key] = value);
}

fn rename(folders: &Folders, from: &str, to: &str) {
    folders.header(WEIGHTS, |header| {
        let tensor = header.remove(from).unwrap();
        header.insert(to.to_owned(), tensor);
    });
}

/// Gives a block of Gemma 3n's vision encoder another stage or number.
fn rename_block(folders: &Folders, from: &str, to: &str) {
    const BLOCKS: &str = "model.vision_tower.timm_model.blocks.";
    folders.header(WEIGHTS, |header| {
        let prefix = format!("{BLOCKS}{from}");
        let names: Vec<String> = header.keys().filter(|name| name.starts_with(&prefix)).cloned().collect();
        for name in names {
            let tensor = header.remove(&name).unwrap();
            header.insert(format!("{BLOCKS}{to}{}", &name[prefix.len()..]), tensor);
        }
    });
}

fn shape(folders: &Folders, tensor: &str, shape: Value) {
    folders.header(WEIGHTS, |header| header[tensor]["shape"] = shape);
}

fn gemma3() -> Vec<Case> {
    cases! { "gemma3-vision":
        "a tensor of another name", ["encoder.layers.0.mlp.fc9.bias", "is not a tensor that mmproj files have"],
            |f| rename(f, "vision_tower.encoder.layers.0.mlp.fc1.bias", "vision_tower.encoder.layers.0.mlp.fc9.bias");
        "a pooling head of another size", ["vision_tower.head.mlp.fc2.weight", "requires [48, 80]"],
            |f| shape(f, "vision_tower.head.mlp.fc2.weight", json!([80, 48]));
    }
}

fn gemma3n() -> Vec<Case> {
    cases! { "gemma3n-towers":
        "a block that does something else", ["blocks.1.0.pw_mix.conv.weight", "is not a tensor that mmproj files have"],
            |f| rename(f, "model.vision_tower.timm_model.blocks.1.0.pw_exp.conv.weight",
                "model.vision_tower.timm_model.blocks.1.0.pw_mix.conv.weight");
        "a block without a number", ["blocks.1.x.pw_exp.bn.weight", "is not a tensor that mmproj files have"],
            |f| rename(f, "model.vision_tower.timm_model.blocks.1.0.pw_exp.bn.weight",
                "model.vision_tower.timm_model.blocks.1.x.pw_exp.bn.weight");
        "a block without a norm", ["no tensor for v.blk.3.1.attn.key.norm.weight"],
            |f| rename(f, "model.vision_tower.timm_model.blocks.3.1.attn.key.norm.weight", "model.language_model.x.weight");
        "a block without its projection", ["no tensor for v.blk.1.0.pw_proj.conv.weight"],
            |f| rename(f, "model.vision_tower.timm_model.blocks.1.0.pw_proj.conv.weight", "model.language_model.x.weight");
        "a convolution without its norm", ["no tensor for v.blk.2.0.dw_mid.bn.weight"],
            |f| rename(f, "model.vision_tower.timm_model.blocks.2.0.dw_mid.bn.weight", "model.language_model.x.weight");
        "a block whose output is not scaled", ["no tensor for v.blk.2.0.layer_scale.gamma"],
            |f| rename(f, "model.vision_tower.timm_model.blocks.2.0.layer_scale.gamma", "model.language_model.x.weight");
        "a block of the first stage without its second convolution", ["no tensor for v.blk.0.0.conv_pwl.weight"],
            |f| rename(f, "model.vision_tower.timm_model.blocks.0.0.conv_pwl.weight", "model.language_model.x.weight");
        "attention without values", ["no tensor for v.blk.3.1.attn.value.proj.weight"],
            |f| rename(f, "model.vision_tower.timm_model.blocks.3.1.attn.value.proj.weight", "model.language_model.x.weight");
        "a gap between blocks", ["no tensor for v.blk.3.1.*"], |f| rename_block(f, "3.1.", "3.2.");
        "a stage without blocks", ["no tensor for v.blk.0.0.*"], |f| rename_block(f, "0.0.", "1.1.");
        "a stage too many", ["blocks.4.0.", "is not a tensor that mmproj files have"], |f| rename_block(f, "3.1.", "4.0.");
        "more layers to hear than there are", ["no tensor for a.blk.2."],
            |f| set(f, "audio_config", "conf_num_hidden_layers", json!(3));
        "no stem", ["no tensor for v.conv_stem.conv.weight"],
            |f| rename(f, "model.vision_tower.timm_model.conv_stem.conv.weight", "model.language_model.stem.weight");
        "a convolution that returns too much", ["blocks.1.0.pw_proj.conv.weight", "requires 12"],
            |f| shape(f, "model.vision_tower.timm_model.blocks.1.0.pw_proj.conv.weight", json!([16, 12, 1, 1]));
        "a block that takes what the one before does not return", ["blocks.1.0.dw_start.conv.weight", "bn2.weight requires 12"],
            |f| shape(f, "model.vision_tower.timm_model.blocks.1.0.dw_start.conv.weight", json!([60, 1, 5, 1]));
        "a full convolution where one for each channel is", ["blocks.3.0.dw_mid.conv.weight", "requires 1"],
            |f| shape(f, "model.vision_tower.timm_model.blocks.3.0.dw_mid.conv.weight", json!([4, 4, 3, 3]));
        "a norm of the fusion", ["msfa.norm.weight", "has 2 dimensions instead of 1"],
            |f| shape(f, "model.vision_tower.timm_model.msfa.norm.weight", json!([1, 64]));
        "a stem's bias", ["conv_stem", "requires"],
            |f| shape(f, "model.vision_tower.timm_model.conv_stem.conv.weight", json!([3, 12, 3, 3]));
        "a kernel of another size", ["conv_1.conv.weight", "requires [4, 8, 5, 3]"],
            |f| set(f, "audio_config", "sscp_conv_kernel_size", json!([[3, 3], [5, 3]]));
        "other features", ["input_proj_linear.weight", "requires [32, 64]"],
            |f| set(f, "audio_config", "input_feat_size", json!(64));
        "kernels that are no sizes", ["sscp_conv_kernel_size is [3,3]", "for each convolution"],
            |f| set(f, "audio_config", "sscp_conv_kernel_size", json!([3, 3]));
        "a depthwise convolution of another width", ["depthwise_conv1d.weight", "requires [32, 1, 3]"],
            |f| set(f, "audio_config", "conf_conv_kernel_size", json!(3));
        "images of a negative size", ["size.height is -1, not a 32-bit count"],
            |f| f.json("base/preprocessor_config.json", |c| c["size"]["height"] = json!(-1));
    }
}

fn gemma4_unified() -> Vec<Case> {
    cases! { "gemma4-unified":
        "patches of another size", ["patch_dense.weight", "requires [64, 675]"],
            |f| set(f, "vision_config", "patch_size", json!(5));
        "patches without end", ["patch_dense.weight", "pixels in three color channels"],
            |f| set(f, "vision_config", "patch_size", json!(u32::MAX));
        "positions of one side", ["pos_embedding", "requires [32, 2, 64]"],
            |f| f.header(WEIGHTS, |h| h["model.vision_embedder.pos_embedding"]["shape"] = json!([64, 1, 64]));
        "no patches", ["no tensor for v.patch_embd.bias"],
            |f| rename(f, "model.vision_embedder.patch_dense.bias", "model.language_model.patch_dense.bias");
    }
}

fn gemma4() -> Vec<Case> {
    cases! { "gemma4-towers":
        "convolutions of other channels", ["input_proj_linear.weight", "requires [32, 64]"],
            |f| set(f, "audio_config", "subsampling_conv_channels", json!([64, 4]));
        "a depthwise convolution of another width", ["audio_config.conv_kernel_size 3", "llama.cpp computes with 5"],
            |f| set(f, "audio_config", "conv_kernel_size", json!(3));
        "a norm of other channels", ["layer1.norm.weight", "requires [4]"],
            |f| shape(f, "model.audio_tower.subsample_conv_projection.layer1.norm.weight", json!([2, 2]));
        "no vision tower", ["an mmproj file for Gemma4ForConditionalGeneration"],
            |f| f.json(CONFIG, |c| { c.remove("vision_config"); });
        "an audio tensor without an audio_config", ["model.audio_tower.", "is not a tensor that mmproj files have"],
            |f| f.json(CONFIG, |c| c["audio_config"] = Value::Null);
        "more layers than there are", ["no tensor for v.blk.2."], |f| set(f, "vision_config", "num_hidden_layers", json!(3));
        "more layers to hear than there are", ["no tensor for a.blk.2."],
            |f| set(f, "audio_config", "num_hidden_layers", json!(3));
        "layers without end", ["config.json", "num_hidden_layers 4000000000"],
            |f| set(f, "audio_config", "num_hidden_layers", json!(4_000_000_000_u32));
        "a negative count", ["config.json", "hidden_size is -1"], |f| set(f, "vision_config", "hidden_size", json!(-1));
        "no colors", ["three numbers in image_mean"], |f| f.remove("base/processor_config.json");
        "a color too many", ["three numbers in image_std"],
            |f| f.json("base/processor_config.json", |c| c["image_processor"]["image_std"] = json!([1, 1, 1, 1]));
        "a tensor of another name", ["model.vision_tower.std_bases", "is not a tensor that mmproj files have"],
            |f| rename(f, "model.vision_tower.std_bias", "model.vision_tower.std_bases");
        "a tensor twice", ["is a second v.blk.0.attn_q.weight"], |f| rename(f,
            "model.vision_tower.encoder.layers.0.self_attn.k_proj.linear.weight",
            "model.vision_tower.encoder.layers.0.self_attn.q_proj.weight");
        "a tensor that is elsewhere", ["no tensor for mm.a.input_projection.weight"], |f| rename(f,
            "model.embed_audio.embedding_projection.weight", "model.language_model.embedding_projection.weight");
        "patches that are no squares", ["input_proj.weight", "requires [32, 48]"],
            |f| f.header(WEIGHTS, |h| h["model.vision_tower.patch_embedder.input_proj.weight"]["shape"] = json!([48, 32]));
        "channels that mix", ["depthwise_conv1d.weight", "requires [32, 1, 5]"],
            |f| f.header(WEIGHTS, |h| {
                h["model.audio_tower.layers.0.lconv1d.depthwise_conv1d.weight"]["shape"] = json!([32, 5, 1]);
            });
        "scales in whole numbers", ["per_dim_scale", "I16"],
            |f| f.header(WEIGHTS, |h| h["model.audio_tower.layers.1.self_attn.per_dim_scale"]["dtype"] = json!("I16"));
    }
}
