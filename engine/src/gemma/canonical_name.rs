//! Tensor names without the class that saved them, and what the embedding and the lm_head are called.
//!
//! The same layer is `model.layers.0` in a text checkpoint, `language_model.model.layers.0` or
//! `model.language_model.layers.0` in a multimodal one, and an adapter trained on one of them is merged into
//! another. So names are compared without `model.` at the front and without `language_model.` anywhere.

use std::borrow::Cow;

/// The part of the names of a multimodal checkpoint's language model that those of a text checkpoint lack.
const LANGUAGE_MODEL: &str = "language_model.";

/// A tensor or module name without `model.` at the front and without `language_model.`.
pub(crate) fn canonical_name(name: &str) -> Cow<'_, str> {
    let name = if name.contains(LANGUAGE_MODEL) {
        Cow::Owned(name.replace(LANGUAGE_MODEL, ""))
    } else {
        Cow::Borrowed(name)
    };
    match name.strip_prefix("model.") {
        Some(rest) => Cow::Owned(rest.to_owned()),
        None => name,
    }
}

/// Whether this tensor of a multimodal checkpoint belongs to the language model.
pub(super) fn is_in_language_model(name: &str) -> bool {
    name.contains(LANGUAGE_MODEL) || canonical_name(name) == "lm_head.weight"
}

/// Whether this is the token embedding of the language model.
pub(crate) fn is_token_embedding(name: &str) -> bool {
    name.ends_with("embed_tokens.weight") && !name.contains("vision") && !name.contains("audio")
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
            "layers.0.x",
        ] {
            assert_eq!(canonical_name(name), "layers.0.x", "{name}");
        }
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

    #[test]
    fn the_lm_head_is_beside_the_language_model() {
        assert_eq!(lm_head_name("model.embed_tokens.weight"), "lm_head.weight");
        assert_eq!(lm_head_name("language_model.model.embed_tokens.weight"), "language_model.lm_head.weight");
        assert_eq!(lm_head_name("model.language_model.embed_tokens.weight"), "lm_head.weight");
    }
}
