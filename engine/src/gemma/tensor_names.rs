//! From a checkpoint's tensor names to a GGUF file's.

/// What becomes of a tensor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum MappedTensor {
    /// It goes under this name, in this layer if it is in one.
    Tensor(String, Option<u32>),
    /// It is one of several that become one, one after the other.
    StackPart {
        /// Their common name.
        name: String,
        /// Which of them it is.
        number: usize,
    },
    /// It is the output head.
    LmHead,
    /// It does not belong to the language model, or can be computed from the parameters.
    Skipped,
    /// The family knows no such tensor.
    Unknown,
}

/// A family's modules by their names in the checkpoint and in the file. A name with a point in the file is that of a
/// tensor whole, others lack `.weight` or `.bias`.
pub(super) struct TensorNameMap {
    /// In every layer.
    pub(super) layer: &'static [(&'static str, &'static str)],
    /// In some layers.
    pub(super) some_layers: &'static [(&'static str, &'static str)],
    /// Outside of layers, besides embedding, last norm and head.
    pub(super) model: &'static [(&'static str, &'static str)],
    /// The same, in some models.
    pub(super) some_models: &'static [(&'static str, &'static str)],
    /// Lists whose elements become one tensor.
    pub(super) lists: &'static [(&'static str, &'static str)],
}

impl TensorNameMap {
    /// A family that has nothing but layers.
    pub(super) const fn layers(layer: &'static [(&'static str, &'static str)]) -> Self {
        Self { layer, some_layers: &[], model: &[], some_models: &[], lists: &[] }
    }

    /// Looks a checkpoint's name up.
    pub(super) fn map(&self, name: &str) -> MappedTensor {
        if is_left(name) {
            return MappedTensor::Skipped;
        }
        let name = name.replace("language_model.", "");
        let name = name.strip_prefix("model.").unwrap_or(&name);
        match name {
            "embed_tokens.weight" => return MappedTensor::Tensor("token_embd.weight".to_owned(), None),
            "norm.weight" => return MappedTensor::Tensor("output_norm.weight".to_owned(), None),
            "lm_head.weight" => return MappedTensor::LmHead,
            _ => {}
        }
        self.in_layer(name)
            .or_else(|| self.in_list(name))
            .or_else(|| self.beside(name))
            .unwrap_or(MappedTensor::Unknown)
    }

    fn in_layer(&self, name: &str) -> Option<MappedTensor> {
        let (number, rest) = name.strip_prefix("layers.")?.split_once('.')?;
        let number: u32 = number.parse().ok()?;
        let found = find(rest, self.layer, &KINDS).or_else(|| find(rest, self.some_layers, &KINDS))?;
        Some(MappedTensor::Tensor(format!("blk.{number}.{found}"), Some(number)))
    }

    fn in_list(&self, name: &str) -> Option<MappedTensor> {
        let (list, rest) = name.split_once('.')?;
        let (_, name) = self.lists.iter().find(|(known, _)| *known == list)?;
        let number = rest.strip_suffix(".weight")?.parse().ok()?;
        Some(MappedTensor::StackPart { name: (*name).to_owned(), number })
    }

    fn beside(&self, name: &str) -> Option<MappedTensor> {
        Some(MappedTensor::Tensor(
            find(name, self.model, &KINDS).or_else(|| find(name, self.some_models, &KINDS))?,
            None,
        ))
    }

    /// The tensors that a file cannot lack, by their names in it: those of the model, and those of a layer.
    pub(super) fn needed(&self) -> (Vec<String>, Vec<String>) {
        let whole = |(_, name): &(&str, &str)| {
            if name.contains('.') { (*name).to_owned() } else { format!("{name}.weight") }
        };
        let always = ["token_embd.weight", "output_norm.weight"].map(str::to_owned);
        let model = always.into_iter().chain(self.model.iter().chain(self.lists).map(whole)).collect();
        (model, self.layer.iter().map(whole).collect())
    }
}

/// The kind of a module that is a tensor itself.
pub(super) const WHOLE: &str = "";

/// What a module may have.
const KINDS: [&str; 2] = ["weight", "bias"];

/// The name in the file of a tensor of a layer or model, whose modules have these kinds of tensors.
pub(super) fn find(name: &str, table: &[(&str, &str)], kinds: &[&str]) -> Option<String> {
    let is_whole = |whole: &str| whole.contains('.') || kinds.contains(&WHOLE);
    if let Some((_, whole)) = table.iter().find(|(known, whole)| *known == name && is_whole(whole)) {
        return Some((*whole).to_owned());
    }
    let (module, kind) = name.rsplit_once('.')?;
    if !kinds.contains(&kind) {
        return None;
    }
    let (_, gguf) = table.iter().find(|(known, whole)| *known == module && !whole.contains('.'))?;
    Some(format!("{gguf}.{kind}"))
}

/// The vision and audio towers, an assistant's short cut through the vocabulary, which llama.cpp does not take, and
/// constants that old checkpoints carry along.
fn is_left(name: &str) -> bool {
    const PARTS: [&str; 8] = [
        "vision_",
        "vision.",
        "visual.",
        "audio_",
        "audio.",
        "projector.",
        "patch_embed",
        "masked_embedding.",
    ];
    PARTS.iter().any(|part| name.contains(part)) || name.ends_with(".rotary_emb.inv_freq")
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMES: TensorNameMap = TensorNameMap {
        layer: &[
            ("self_attn.q_proj", "attn_q"),
            ("altup.correct_output_scale", "altup_correct_scale.weight"),
        ],
        some_layers: &[("self_attn.v_proj", "attn_v")],
        model: &[("embed_tokens_per_layer", "per_layer_token_embd")],
        some_models: &[],
        lists: &[("altup_projections", "altup_proj.weight")],
    };

    fn layer(name: &str) -> MappedTensor {
        MappedTensor::Tensor(name.to_owned(), Some(3))
    }

    #[test]
    fn a_layer_has_one_place_whatever_class_saved_it() {
        for name in [
            "model.layers.3.self_attn.q_proj.weight",
            "language_model.model.layers.3.self_attn.q_proj.weight",
            "model.language_model.layers.3.self_attn.q_proj.weight",
            "layers.3.self_attn.q_proj.weight",
        ] {
            assert_eq!(NAMES.map(name), layer("blk.3.attn_q.weight"), "{name}");
        }
    }

    #[test]
    fn names_without_weight_get_theirs() {
        let scale = NAMES.map("model.layers.3.altup.correct_output_scale");
        assert_eq!(scale, layer("blk.3.altup_correct_scale.weight"));
        assert_eq!(NAMES.map("model.layers.3.self_attn.v_proj.bias"), layer("blk.3.attn_v.bias"));
    }

    #[test]
    fn elements_of_a_list_are_slices_of_one_tensor() {
        let slice = MappedTensor::StackPart { name: "altup_proj.weight".to_owned(), number: 2 };
        assert_eq!(NAMES.map("model.language_model.altup_projections.2.weight"), slice);
    }

    #[test]
    fn what_is_needed_is_what_every_file_has() {
        let (model, layer) = NAMES.needed();
        assert_eq!(
            model,
            ["token_embd.weight", "output_norm.weight", "per_layer_token_embd.weight", "altup_proj.weight"]
        );
        assert_eq!(layer, ["attn_q.weight", "altup_correct_scale.weight"]);
    }

    #[test]
    fn towers_are_left_out() {
        for name in [
            "vision_tower.vision_model.encoder.layers.0.self_attn.q_proj.weight",
            "multi_modal_projector.mm_input_projection_weight",
            "model.layers.0.self_attn.rotary_emb.inv_freq",
        ] {
            assert_eq!(NAMES.map(name), MappedTensor::Skipped, "{name}");
        }
    }

    #[test]
    fn what_is_not_known_is_not_guessed() {
        for name in [
            "model.layers.0.self_attn.z_proj.weight",
            "model.layers.x.self_attn.q_proj.weight",
            "model.layers.0.self_attn.q_proj.scales",
            "model.layers.0.altup.correct_output_scale.weight",
            "model.altup_projections.x.weight",
            "foo",
        ] {
            assert_eq!(NAMES.map(name), MappedTensor::Unknown, "{name}");
        }
    }
}
