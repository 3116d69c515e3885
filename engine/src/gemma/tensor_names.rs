//! From a checkpoint's tensor names to a GGUF file's.

use super::canonical_name::canonical_name;

/// How a tensor of the checkpoint appears in the GGUF file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum MappedTensor {
    /// Under this name, and in this layer if it is in one.
    Tensor(String, Option<u32>),
    /// As one of the matrices that are stacked into one tensor.
    StackPart {
        /// The name of the stacked tensor.
        name: String,
        /// The matrix's index in the stack.
        number: usize,
        /// How many matrices the stack has.
        count: usize,
    },
    /// As `output.weight`, if the family has an lm_head.
    LmHead,
    /// Not at all: it is not part of the language model, or can be computed from the parameters.
    Skipped,
    /// The family has no such tensor.
    Unknown,
}

/// Names in the checkpoint, and in the GGUF file. A GGUF name with a dot is a whole tensor's; without one it is a
/// module's, whose tensor ends in `.weight` (outside of layers also in `.bias`).
pub(super) type NameTable = &'static [(&'static str, &'static str)];

/// A family's tensors and modules by their names in the checkpoint and in the GGUF file.
#[derive(Debug)]
pub(super) struct TensorNameMap {
    /// In every layer.
    pub(super) layer_tensors: NameTable,
    /// In some layers.
    pub(super) optional_layer_tensors: NameTable,
    /// Outside of layers, besides embedding, last norm and lm_head.
    pub(super) model_tensors: NameTable,
    /// Outside of layers, in some models.
    pub(super) optional_model_tensors: NameTable,
    pub(super) stacked_tensors: &'static [StackedTensor],
}

/// A module list whose weights are stacked into one tensor.
#[derive(Debug)]
pub(super) struct StackedTensor {
    /// The list's name in the checkpoint.
    pub(super) modules: &'static str,
    /// The tensor's name in the GGUF file.
    pub(super) name: &'static str,
    /// How many modules the list has.
    pub(super) count: usize,
}

/// The names of the tensors that every file of a family requires.
pub(super) struct RequiredTensors {
    /// Outside of layers.
    pub(super) model: Vec<String>,
    /// In a layer, without `blk.N.`.
    pub(super) layer: Vec<String>,
}

impl TensorNameMap {
    /// A family that has only layers, besides embedding, last norm and lm_head.
    pub(super) const fn of_layers(layer_tensors: NameTable) -> Self {
        Self {
            layer_tensors,
            optional_layer_tensors: &[],
            model_tensors: &[],
            optional_model_tensors: &[],
            stacked_tensors: &[],
        }
    }

    /// Looks up the name of a checkpoint's tensor.
    pub(super) fn map(&self, name: &str) -> MappedTensor {
        if is_skipped(name) {
            return MappedTensor::Skipped;
        }
        let name = canonical_name(name);
        match &*name {
            "embed_tokens.weight" => return MappedTensor::Tensor("token_embd.weight".to_owned(), None),
            "norm.weight" => return MappedTensor::Tensor("output_norm.weight".to_owned(), None),
            "lm_head.weight" => return MappedTensor::LmHead,
            _ => {}
        }
        self.map_layer_tensor(&name)
            .or_else(|| self.map_stack_part(&name))
            .or_else(|| self.map_model_tensor(&name))
            .unwrap_or(MappedTensor::Unknown)
    }

    fn map_layer_tensor(&self, name: &str) -> Option<MappedTensor> {
        let (number, rest) = name.strip_prefix("layers.")?.split_once('.')?;
        let number: u32 = number.parse().ok()?;
        let name = find(rest, self.layer_tensors, &SUFFIXES)
            .or_else(|| find(rest, self.optional_layer_tensors, &SUFFIXES))?;
        Some(MappedTensor::Tensor(format!("blk.{number}.{name}"), Some(number)))
    }

    fn map_stack_part(&self, name: &str) -> Option<MappedTensor> {
        let (modules, rest) = name.split_once('.')?;
        let stack = self.stacked_tensors.iter().find(|stack| stack.modules == modules)?;
        let number = rest.strip_suffix(".weight")?.parse().ok()?;
        Some(MappedTensor::StackPart { name: stack.name.to_owned(), number, count: stack.count })
    }

    fn map_model_tensor(&self, name: &str) -> Option<MappedTensor> {
        let name = find(name, self.model_tensors, &MODEL_SUFFIXES)
            .or_else(|| find(name, self.optional_model_tensors, &MODEL_SUFFIXES))?;
        Some(MappedTensor::Tensor(name, None))
    }

    /// The name in the checkpoint, as its class saves it, of a tensor of the GGUF file; the same name if there is none.
    pub(super) fn checkpoint_name(&self, name: &str) -> String {
        let in_layer = name.strip_prefix("blk.").and_then(|name| name.split_once('.'));
        let (layer, rest) = in_layer.map_or((None, name), |(layer, rest)| (Some(layer), rest));
        let tables = match layer {
            Some(_) => [self.layer_tensors, self.optional_layer_tensors],
            None => [self.model_tensors, self.optional_model_tensors],
        };
        let always: NameTable = &[("embed_tokens", "token_embd"), ("norm", "output_norm")];
        let stored = |(saved, gguf): &(&str, &str)| match rest.strip_prefix(gguf)? {
            "" => Some((*saved).to_owned()),
            suffix => suffix.starts_with('.').then(|| format!("{saved}{suffix}")),
        };
        let stack = self.stacked_tensors.iter().find(|stack| stack.name == name);
        let saved = match stack {
            Some(stack) => Some(format!("{}.N.weight", stack.modules)),
            None => tables.into_iter().chain([always]).flatten().find_map(stored),
        };
        match (saved, layer) {
            (Some(saved), Some(layer)) => format!("model.layers.{layer}.{saved}"),
            (Some(saved), None) => format!("model.{saved}"),
            (None, _) => name.to_owned(),
        }
    }

    pub(super) fn required(&self) -> RequiredTensors {
        let whole = |name: &str| if name.contains('.') { name.to_owned() } else { format!("{name}.weight") };
        let always = ["token_embd.weight", "output_norm.weight"];
        let model = always.into_iter().chain(self.model_tensors.iter().map(|(_, name)| *name));
        let model = model.chain(self.stacked_tensors.iter().map(|stack| stack.name));
        let layer = self.layer_tensors.iter().map(|(_, name)| *name);
        RequiredTensors { model: model.map(whole).collect(), layer: layer.map(whole).collect() }
    }
}

/// The suffix of a module that is a tensor itself.
pub(super) const NO_SUFFIX: &str = "";

/// The suffix of a tensor in a layer. llama.cpp loads no biases there.
const SUFFIXES: [&str; 1] = ["weight"];
/// The suffixes of a module's tensors outside of layers.
const MODEL_SUFFIXES: [&str; 2] = ["weight", "bias"];

/// The GGUF name of a tensor, whose module is in `table` and whose suffix is one of `suffixes`.
pub(super) fn find(name: &str, table: &[(&str, &str)], suffixes: &[&str]) -> Option<String> {
    let is_whole = |gguf: &str| gguf.contains('.') || suffixes.contains(&NO_SUFFIX);
    if let Some((_, gguf)) = table.iter().find(|(known, gguf)| *known == name && is_whole(gguf)) {
        return Some((*gguf).to_owned());
    }
    let (module, suffix) = name.rsplit_once('.')?;
    if !suffixes.contains(&suffix) {
        return None;
    }
    let (_, gguf) = table.iter().find(|(known, gguf)| *known == module && !gguf.contains('.'))?;
    Some(format!("{gguf}.{suffix}"))
}

/// Vision and audio encoders and projectors; an assistant's centroids of the vocabulary, which llama.cpp does not use;
/// constants that old checkpoints contain.
fn is_skipped(name: &str) -> bool {
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
        layer_tensors: &[
            ("self_attn.q_proj", "attn_q"),
            ("altup.correct_output_scale", "altup_correct_scale.weight"),
        ],
        optional_layer_tensors: &[("self_attn.v_proj", "attn_v")],
        model_tensors: &[("embed_tokens_per_layer", "per_layer_token_embd")],
        optional_model_tensors: &[],
        stacked_tensors: &[StackedTensor {
            modules: "altup_projections",
            name: "altup_proj.weight",
            count: 3,
        }],
    };

    fn layer(name: &str) -> MappedTensor {
        MappedTensor::Tensor(name.to_owned(), Some(3))
    }

    #[test]
    fn a_layer_has_one_name_whatever_class_saved_it() {
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
        assert_eq!(NAMES.map("model.layers.3.self_attn.v_proj.bias"), MappedTensor::Unknown);
    }

    #[test]
    fn modules_of_a_list_are_parts_of_one_stack() {
        let part = MappedTensor::StackPart { name: "altup_proj.weight".to_owned(), number: 2, count: 3 };
        assert_eq!(NAMES.map("model.language_model.altup_projections.2.weight"), part);
    }

    #[test]
    fn a_tensor_of_the_file_has_a_name_in_the_checkpoint() {
        for (gguf, saved) in [
            ("blk.3.attn_q.weight", "model.layers.3.self_attn.q_proj.weight"),
            ("blk.3.attn_v.weight", "model.layers.3.self_attn.v_proj.weight"),
            ("blk.3.altup_correct_scale.weight", "model.layers.3.altup.correct_output_scale"),
            ("token_embd.weight", "model.embed_tokens.weight"),
            ("output_norm.weight", "model.norm.weight"),
            ("per_layer_token_embd.weight", "model.embed_tokens_per_layer.weight"),
            ("altup_proj.weight", "model.altup_projections.N.weight"),
            ("blk.3.unknown.weight", "blk.3.unknown.weight"),
        ] {
            assert_eq!(NAMES.checkpoint_name(gguf), saved);
        }
    }

    #[test]
    fn required_tensors_are_those_that_are_not_optional() {
        let RequiredTensors { model, layer } = NAMES.required();
        assert_eq!(
            model,
            ["token_embd.weight", "output_norm.weight", "per_layer_token_embd.weight", "altup_proj.weight"]
        );
        assert_eq!(layer, ["attn_q.weight", "altup_correct_scale.weight"]);
    }

    #[test]
    fn encoders_and_projectors_are_skipped() {
        for name in [
            "vision_tower.vision_model.encoder.layers.0.self_attn.q_proj.weight",
            "multi_modal_projector.mm_input_projection_weight",
            "model.layers.0.self_attn.rotary_emb.inv_freq",
        ] {
            assert_eq!(NAMES.map(name), MappedTensor::Skipped, "{name}");
        }
    }

    #[test]
    fn unknown_names_are_not_guessed() {
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
