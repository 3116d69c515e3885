//! The vision tower (SigLIP) and projector of a multimodal Gemma 3, which llama.cpp takes in a file of their own.

use serde_json::Value as Json;

use crate::checkpoint::Config;
use crate::gguf::{Metadata, Value};
use crate::io::read_source;
use crate::model::Model;
use crate::{Error, Result, json};

/// A layer's modules: the checkpoint's names and the file's.
const LAYER: [(&str, &str); 8] = [
    ("layer_norm1", "ln1"),
    ("layer_norm2", "ln2"),
    ("mlp.fc1", "ffn_up"),
    ("mlp.fc2", "ffn_down"),
    ("self_attn.k_proj", "attn_k"),
    ("self_attn.out_proj", "attn_out"),
    ("self_attn.q_proj", "attn_q"),
    ("self_attn.v_proj", "attn_v"),
];

/// The modules around the layers.
const AROUND: [(&str, &str); 3] = [
    ("embeddings.patch_embedding", "v.patch_embd"),
    ("embeddings.position_embedding", "v.position_embd"),
    ("post_layernorm", "v.post_ln"),
];

/// The name in the file of a tensor of tower or projector; `None` for the language model's, and for the tower's own
/// head, which is not used.
pub(crate) fn place(name: &str) -> Option<String> {
    let name = name.strip_prefix("model.").unwrap_or(name);
    match name.strip_prefix("multi_modal_projector.") {
        Some("mm_input_projection_weight") => return Some("mm.input_projection.weight".to_owned()),
        Some("mm_soft_emb_norm.weight") => return Some("mm.soft_emb_norm.weight".to_owned()),
        Some(_) | None => {}
    }
    let name = name.strip_prefix("vision_tower.")?;
    let name = name.strip_prefix("vision_model.").unwrap_or(name);
    let (module, kind) = name.rsplit_once('.').filter(|(_, kind)| matches!(*kind, "weight" | "bias"))?;
    if let Some((_, known)) = AROUND.iter().find(|(known, _)| *known == module) {
        return Some(format!("{known}.{kind}"));
    }
    let (number, module) = module.strip_prefix("encoder.layers.")?.split_once('.')?;
    let number: u32 = number.parse().ok()?;
    let (_, known) = LAYER.iter().find(|(known, _)| *known == module)?;
    Some(format!("v.blk.{number}.{known}.{kind}"))
}

/// The tensors that llama.cpp asks for, of a tower that has `held` tensors.
pub(crate) fn needed(config: &Config, held: usize) -> Result<Vec<String>> {
    let tower = tower(config)?;
    let layers = layers(&tower)?;
    if layers as usize > held {
        let problem = format!("says num_hidden_layers is {layers}, but the vision tower has {held} tensors");
        return Err(Error::invalid(config.file(), problem));
    }
    let whole = ["v.patch_embd", "v.post_ln"].into_iter().flat_map(|name| both(name.to_owned()));
    let mut needed: Vec<String> = whole.collect();
    needed.extend(
        ["v.position_embd", "mm.input_projection", "mm.soft_emb_norm"].map(|name| format!("{name}.weight")),
    );
    for layer in 0..layers {
        needed.extend(LAYER.iter().flat_map(|(_, name)| both(format!("v.blk.{layer}.{name}"))));
    }
    Ok(needed)
}

fn both(module: String) -> [String; 2] {
    [format!("{module}.weight"), format!("{module}.bias")]
}

/// What is added to a tensor: of all norms here only the projector's is Gemma's.
pub(crate) fn shift(name: &str) -> f32 {
    if name == "mm.soft_emb_norm.weight" { 1.0 } else { 0.0 }
}

/// The tower's part of the configuration.
///
/// # Errors
/// When there is none, or the model is no Gemma 3.
pub(crate) fn tower(config: &Config) -> Result<Config> {
    let class = config.class().or_else(|| config.model_type()).unwrap_or("a model without architectures");
    match (class, config.part("vision_config")) {
        ("Gemma3ForConditionalGeneration" | "gemma3", Some(part)) => Ok(part),
        _ => Err(Error::unsupported(config.file(), format!("an mmproj file for {class}"))
            .advise("it is made from multimodal Gemma 3 models (Gemma3ForConditionalGeneration)")),
    }
}

fn layers(tower: &Config) -> Result<u32> {
    Ok(tower.u32("num_hidden_layers")?.unwrap_or(12))
}

/// Writes the parameters, in the converter's order; what the configuration leaves out is as in `SiglipVisionConfig`.
pub(crate) fn parameters(model: &Model, file_type: u32, out: &mut Metadata) -> Result<()> {
    let config = model.base().config();
    let tower = tower(config)?;
    let count = |key: &str, default: u32| Ok::<u32, Error>(tower.u32(key)?.unwrap_or(default));
    let (image, patch) = (count("image_size", 224)?, count("patch_size", 16)?.max(1));
    let preprocessor = preprocessor(model)?;
    out.set("general.file_type", file_type);
    out.set("clip.has_vision_encoder", true);
    out.set("clip.vision.projection_dim", config.u32("hidden_size")?.unwrap_or(2304));
    out.set("clip.vision.image_size", image);
    out.set("clip.vision.patch_size", patch);
    out.set("clip.vision.embedding_length", count("hidden_size", 768)?);
    out.set("clip.vision.feed_forward_length", count("intermediate_size", 3072)?);
    out.set("clip.vision.block_count", layers(&tower)?);
    out.set("clip.vision.attention.head_count", count("num_attention_heads", 12)?);
    out.set("clip.vision.image_mean", numbers(model, &preprocessor, "image_mean")?);
    out.set("clip.vision.image_std", numbers(model, &preprocessor, "image_std")?);
    out.set("clip.projector_type", "gemma3");
    out.set("clip.vision.attention.layer_norm_epsilon", tower.f32("layer_norm_eps")?.unwrap_or(1e-6));
    out.set("clip.use_gelu", true);
    let tokens = preprocessor.get("image_seq_length").and_then(Json::as_u64).unwrap_or(256);
    let side = u32::try_from(tokens.isqrt()).unwrap_or(u32::MAX).max(1);
    let scale = image / patch / side;
    if scale > 0 && scale != 4 {
        out.set("clip.vision.projector.scale_factor", scale);
    }
    Ok(())
}

/// How images are prepared: of two files the second has the last word.
fn preprocessor(model: &Model) -> Result<serde_json::Map<String, Json>> {
    let mut merged = serde_json::Map::new();
    for name in ["preprocessor_config.json", "processor_config.json"] {
        let Some(source) = model.companion(name)? else { continue };
        let mut config: serde_json::Map<String, Json> =
            json::parse(source.location(), &read_source(&*source)?)?;
        if let Some(Json::Object(inner)) = config.get("image_processor").cloned() {
            config.extend(inner);
        }
        merged.extend(config);
    }
    Ok(merged)
}

fn numbers(model: &Model, config: &serde_json::Map<String, Json>, key: &str) -> Result<Value> {
    let list = config.get(key).and_then(Json::as_array).map(Vec::as_slice).unwrap_or_default();
    let numbers: Vec<f32> = list.iter().filter_map(Json::as_f64).map(|n| n as f32).collect();
    if numbers.len() != 3 {
        let what =
            format!("preprocessor_config.json with three numbers in {key}: copy it from the base model");
        return Err(Error::Missing { folder: model.base().location().to_owned(), what });
    }
    Ok(Value::F32s(numbers))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tensor_has_one_place_whatever_version_saved_it() {
        for prefix in [
            "vision_tower.vision_model.",
            "model.vision_tower.vision_model.",
            "model.vision_tower.",
            "vision_tower.",
        ] {
            let at = |name: &str| place(&format!("{prefix}{name}"));
            assert_eq!(at("embeddings.patch_embedding.bias").as_deref(), Some("v.patch_embd.bias"));
            assert_eq!(at("encoder.layers.3.mlp.fc1.weight").as_deref(), Some("v.blk.3.ffn_up.weight"));
            assert_eq!(at("head.probe"), None);
        }
        let projector = "model.multi_modal_projector.mm_input_projection_weight";
        assert_eq!(place(projector).as_deref(), Some("mm.input_projection.weight"));
    }

    #[test]
    fn the_language_model_has_no_place() {
        for name in ["model.language_model.layers.0.mlp.up_proj.weight", "language_model.model.norm.weight"] {
            assert_eq!(place(name), None, "{name}");
        }
    }
}
