//! From a checkpoint's tensor names to a GGUF file's.

/// What becomes of a tensor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Place {
    /// It goes under this name, in this layer if it is in one.
    Tensor(String, Option<u32>),
    /// It is the output head.
    Head,
    /// It does not belong to the language model, or can be computed from the parameters.
    Left,
    /// The family knows no such tensor.
    Unknown,
}

/// Looks `name` up; `layer` pairs the modules of a layer with their GGUF names.
pub(super) fn place(name: &str, layer: &[(&str, &str)]) -> Place {
    if is_left(name) {
        return Place::Left;
    }
    let name = name.replace("language_model.", "");
    let name = name.strip_prefix("model.").unwrap_or(&name);
    match name {
        "embed_tokens.weight" => return Place::Tensor("token_embd.weight".to_owned(), None),
        "norm.weight" => return Place::Tensor("output_norm.weight".to_owned(), None),
        "lm_head.weight" => return Place::Head,
        _ => {}
    }
    in_layer(name, layer).unwrap_or(Place::Unknown)
}

fn in_layer(name: &str, layer: &[(&str, &str)]) -> Option<Place> {
    let (number, rest) = name.strip_prefix("layers.")?.split_once('.')?;
    let number: u32 = number.parse().ok()?;
    let (module, kind) = rest.rsplit_once('.')?;
    if kind != "weight" && kind != "bias" {
        return None;
    }
    let (_, gguf) = layer.iter().find(|(hf, _)| *hf == module)?;
    Some(Place::Tensor(format!("blk.{number}.{gguf}.{kind}"), Some(number)))
}

/// The vision and audio towers, and constants that old checkpoints carry along.
fn is_left(name: &str) -> bool {
    const TOWERS: [&str; 7] =
        ["vision_", "vision.", "visual.", "audio_", "audio.", "projector.", "patch_embed"];
    TOWERS.iter().any(|part| name.contains(part)) || name.ends_with(".rotary_emb.inv_freq")
}

#[cfg(test)]
mod tests {
    use super::*;

    const LAYER: [(&str, &str); 1] = [("self_attn.q_proj", "attn_q")];

    #[test]
    fn a_layer_has_one_place_whatever_class_saved_it() {
        for name in [
            "model.layers.3.self_attn.q_proj.weight",
            "language_model.model.layers.3.self_attn.q_proj.weight",
            "model.language_model.layers.3.self_attn.q_proj.weight",
        ] {
            assert_eq!(
                place(name, &LAYER),
                Place::Tensor("blk.3.attn_q.weight".to_owned(), Some(3)),
                "{name}"
            );
        }
    }

    #[test]
    fn towers_are_left_out() {
        for name in [
            "vision_tower.vision_model.encoder.layers.0.self_attn.q_proj.weight",
            "multi_modal_projector.mm_input_projection_weight",
            "model.layers.0.self_attn.rotary_emb.inv_freq",
        ] {
            assert_eq!(place(name, &LAYER), Place::Left, "{name}");
        }
    }

    #[test]
    fn what_is_not_known_is_not_guessed() {
        for name in [
            "model.layers.0.self_attn.z_proj.weight",
            "model.layers.x.self_attn.q_proj.weight",
            "model.layers.0.self_attn.q_proj.scales",
            "foo",
        ] {
            assert_eq!(place(name, &LAYER), Place::Unknown, "{name}");
        }
    }
}
