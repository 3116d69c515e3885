//! Tensor names without the class and the version of transformers that saved them, and what the embedding and the
//! lm_head are called.
//!
//! The same layer is `model.layers.0` in a text checkpoint, `language_model.model.layers.0` or
//! `model.language_model.layers.0` in a multimodal one, and an adapter trained on one of them is merged into
//! another. So names are compared without `model.` at the front and without `language_model.` anywhere. The modules of
//! an encoder have one name in Google's files and another in transformers, which renames them when it loads and saves
//! (its `conversion_mapping.py`); an adapter has the names of the version that trained it ([`RENAMED_MODULES`]).

use std::borrow::Cow;

/// The part of the names of a multimodal checkpoint's language model that those of a text checkpoint lack.
const LANGUAGE_MODEL: &str = "language_model.";

/// Modules with two names: in one version of transformers or Google's files, and the canonical one.
const RENAMED_MODULES: &[(&str, &str)] = &[
    // Gemma 3, PaliGemma, ShieldGemma 2: SigLIP
    ("vision_tower.vision_model.", "vision_tower."),
    // T5Gemma 2: the language model of its encoder, and SigLIP
    ("encoder.text_model.", "encoder."),
    ("encoder.vision_tower.vision_model.", "encoder.vision_tower."),
    // Gemma 3n: timm's MobileNet
    ("vision_tower.timm_model.", "vision_tower."),
    // Gemma 4 Unified
    ("vision_embedder.", "embed_vision."),
    ("embed_vision.multimodal_embedder.", "embed_vision."),
];

/// A tensor or module name without what classes and versions of transformers put in front of it.
pub(crate) fn canonical_name(name: &str) -> Cow<'_, str> {
    let mut name = Cow::Borrowed(name);
    if name.contains(LANGUAGE_MODEL) {
        name = Cow::Owned(name.replace(LANGUAGE_MODEL, ""));
    }
    while let Some(rest) = name.strip_prefix("model.") {
        name = Cow::Owned(rest.to_owned());
    }
    for (other, canonical) in RENAMED_MODULES {
        if let Some(rest) = name.strip_prefix(other) {
            name = Cow::Owned(format!("{canonical}{rest}"));
        }
    }
    name
}

/// The names of a module or tensor in every class and version of transformers.
pub(crate) fn all_names(name: &str) -> Vec<String> {
    const OF_LANGUAGE_MODEL: [&str; 5] =
        ["", "model.", "language_model.", "model.language_model.", "language_model.model."];
    let canonical = canonical_name(name);
    let of_encoder = ["vision", "audio", "multi_modal"].iter().any(|word| canonical.contains(word));
    let prefixes = if of_encoder { &OF_LANGUAGE_MODEL[..2] } else { &OF_LANGUAGE_MODEL[..] };
    let renamed = RENAMED_MODULES
        .iter()
        .filter_map(|(other, renamed)| canonical.strip_prefix(renamed).map(|rest| format!("{other}{rest}")));
    let names: Vec<String> = renamed.chain([canonical.clone().into_owned()]).collect();
    names.iter().flat_map(|name| prefixes.iter().map(move |prefix| format!("{prefix}{name}"))).collect()
}

/// Whether this tensor of a multimodal checkpoint belongs to the language model.
pub(super) fn is_in_language_model(name: &str) -> bool {
    name.contains(LANGUAGE_MODEL) || canonical_name(name) == "lm_head.weight"
}

/// Whether this is the token embedding of the language model.
pub(crate) fn is_token_embedding(name: &str) -> bool {
    name.ends_with("embed_tokens.weight") && !name.contains("vision") && !name.contains("audio")
}

/// Whether the module of this name is an embedding, whose LoRA factors PEFT names `lora_embedding_A` and `lora_embedding_B`:
/// of tokens, of tokens for all layers, of positions in an image, of tokens that stand for an image or sound (Gemma 3n).
pub(crate) fn is_embedding(module: &str) -> bool {
    const EMBEDDINGS: [&str; 4] =
        ["embed_tokens", "embed_tokens_per_layer", "position_embedding", "embedding"];
    EMBEDDINGS.contains(&module.rsplit('.').next().unwrap_or(module))
}

/// Whether this is the lm_head.
pub(crate) fn is_lm_head(name: &str) -> bool {
    name.ends_with("lm_head.weight")
}

/// The name of the lm_head in a checkpoint whose token embedding has this name.
pub(crate) fn lm_head_name(embedding: &str) -> String {
    match embedding.strip_suffix("model.embed_tokens.weight") {
        Some(prefix) if prefix.ends_with('.') => format!("{prefix}lm_head.weight"),
        Some(_) | None => "lm_head.weight".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_layer_has_one_canonical_name_whatever_class_saved_it() {
        for name in [
            "model.layers.0.x",
            "language_model.model.layers.0.x",
            "model.language_model.layers.0.x",
            "model.model.language_model.layers.0.x",
            "layers.0.x",
        ] {
            assert_eq!(canonical_name(name), "layers.0.x", "{name}");
        }
    }

    #[test]
    fn an_encoders_module_has_one_canonical_name_whatever_version_saved_it() {
        for (names, canonical) in [
            (
                ["vision_tower.vision_model.head.mlp.fc1.weight", "model.vision_tower.head.mlp.fc1.weight"],
                "vision_tower.head.mlp.fc1.weight",
            ),
            (
                ["model.vision_tower.timm_model.conv_stem.conv.weight", "vision_tower.conv_stem.conv.weight"],
                "vision_tower.conv_stem.conv.weight",
            ),
            (
                ["model.encoder.text_model.layers.0.mlp.up_proj", "encoder.layers.0.mlp.up_proj"],
                "encoder.layers.0.mlp.up_proj",
            ),
            (
                ["model.vision_embedder.patch_dense.bias", "model.embed_vision.patch_dense.bias"],
                "embed_vision.patch_dense.bias",
            ),
            (
                [
                    "model.embed_vision.embedding_projection.weight",
                    "model.embed_vision.multimodal_embedder.embedding_projection.weight",
                ],
                "embed_vision.embedding_projection.weight",
            ),
        ] {
            for name in names {
                assert_eq!(canonical_name(name), canonical, "{name}");
            }
        }
    }

    #[test]
    fn a_module_has_the_names_of_both_generations() {
        for (one, other) in [
            ("language_model.model.layers.0.mlp", "model.language_model.layers.0.mlp"),
            ("model.layers.0.mlp", "model.language_model.layers.0.mlp"),
            ("vision_tower.vision_model.encoder.layers.0.mlp", "model.vision_tower.encoder.layers.0.mlp"),
        ] {
            assert!(all_names(one).contains(&other.to_owned()), "{one} {other}");
            assert!(all_names(other).contains(&one.to_owned()), "{other} {one}");
        }
        assert!(!all_names("model.vision_tower.x").iter().any(|name| name.contains("language_model")));
    }

    #[test]
    fn the_embedding_of_an_encoder_is_not_the_token_embedding() {
        for (name, expected) in [
            ("model.embed_tokens.weight", true),
            ("model.language_model.embed_tokens.weight", true),
            ("model.audio_tower.embed_tokens.weight", false),
            ("model.vision_tower.embed_tokens.weight", false),
            ("model.embed_tokens_per_layer.weight", false),
        ] {
            assert_eq!(is_token_embedding(name), expected, "{name}");
        }
    }

    /// As `nn.Embedding` in the classes of transformers.
    #[test]
    fn embeddings_have_the_names_of_all_families() {
        for (module, expected) in [
            ("model.embed_tokens", true),
            ("embed_tokens", true),
            ("model.language_model.embed_tokens_per_layer", true),
            ("model.vision_tower.embeddings.position_embedding", true),
            ("model.embed_vision.embedding", true),
            ("model.embed_vision.embedding_projection", false),
            ("model.language_model.per_layer_model_projection", false),
            ("lm_head", false),
        ] {
            assert_eq!(is_embedding(module), expected, "{module}");
        }
    }

    #[test]
    fn the_lm_head_is_beside_the_language_model() {
        assert_eq!(lm_head_name("model.embed_tokens.weight"), "lm_head.weight");
        assert_eq!(lm_head_name("language_model.model.embed_tokens.weight"), "language_model.lm_head.weight");
        assert_eq!(lm_head_name("model.language_model.embed_tokens.weight"), "lm_head.weight");
    }
}
