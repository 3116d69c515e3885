//! The fields of `config.json`, by the classes of transformers that read them (`config_fields.json`). A field that its class
//! does not have may change what a model computes without the engine applying it. A field of another type than the class
//! declares makes no model in transformers.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::Architecture;
use crate::checkpoint::ModelConfig;
use crate::error::{Error, Result};
use crate::io::json;

/// The sections that describe the language model: the whole file, and the part of a multimodal model's.
const LANGUAGE_MODEL: [&str; 2] = ["", "text_config"];
/// Those of vision and audio encoders.
const ENCODERS: [&str; 2] = ["vision_config", "audio_config"];

/// A configuration class.
#[derive(Debug, Deserialize)]
struct ConfigClass {
    /// The model classes, and the values of `model_type`, that have it.
    models: Vec<String>,
    /// The classes of its sections.
    sections: BTreeMap<String, String>,
    /// Types by name, with `|` between several.
    fields: BTreeMap<String, String>,
    /// Fields that the class reads without declaring them, or with other types, and those of earlier versions.
    other: BTreeMap<String, String>,
}

impl ConfigClass {
    fn types(&self, field: &str) -> Option<&str> {
        self.other.get(field).or_else(|| self.fields.get(field)).map(String::as_str)
    }
}

#[derive(Debug, Deserialize)]
struct ConfigClasses(BTreeMap<String, ConfigClass>);

/// A part of a configuration, and its class.
struct ConfigPart<'a> {
    class_name: &'a str,
    /// Its class, and the one that all inherit from.
    classes: [Option<&'a ConfigClass>; 2],
    config: ModelConfig,
}

impl ConfigClasses {
    fn load() -> Result<Self> {
        json::parse("config_fields.json", include_bytes!("config_fields.json"))
    }

    /// The name of the class of a model's configuration; `None` for a model of no known class.
    fn name_of(&self, config: &ModelConfig) -> Option<&str> {
        let of_model = |model: &str| {
            let (name, _) =
                self.0.iter().find(|(_, class)| class.models.iter().any(|known| known == model))?;
            Some(name.as_str())
        };
        config.class().and_then(of_model).or_else(|| config.model_type().and_then(of_model))
    }

    /// The values of `model_type` of a model class, if it is known.
    fn model_types(&self, model: &str) -> Option<Vec<&str>> {
        let known = |class: &&ConfigClass| class.models.iter().any(|known| known == model);
        let class = self.0.values().find(known)?;
        let is_type = |name: &&str| name.starts_with(|first: char| first.is_ascii_lowercase());
        Some(class.models.iter().map(String::as_str).filter(is_type).collect())
    }

    /// These parts of a configuration, as far as it has them.
    fn parts(&self, config: &ModelConfig, sections: &[&str]) -> Result<Vec<ConfigPart<'_>>> {
        let Some(whole) = self.name_of(config) else { return Ok(Vec::new()) };
        let mut parts = Vec::new();
        for section in sections {
            let (name, config) = match self.0.get(whole).and_then(|class| class.sections.get(*section)) {
                _ if section.is_empty() => (whole, Some(config.clone())),
                Some(name) => (name.as_str(), config.section(section)?),
                None => continue,
            };
            let classes = [name, "PreTrainedConfig"].map(|class| self.0.get(class));
            parts.extend(config.map(|config| ConfigPart { class_name: name, classes, config }));
        }
        Ok(parts)
    }
}

impl ConfigPart<'_> {
    fn types(&self, field: &str) -> Option<&str> {
        self.classes.iter().flatten().find_map(|class| class.types(field))
    }

    fn check_types(&self) -> Result<()> {
        for (name, _) in self.config.fields() {
            let types = self.types(name).filter(|types| *types != "any");
            if let Some(types) = types {
                self.config.top_level(name).check_type(types, self.class_name)?;
            }
        }
        Ok(())
    }

    /// The fields that the class does not have, with their values. A field that is null, false or empty is none of them.
    fn unknown(&self) -> Vec<String> {
        let unknown =
            self.config.fields().filter(|(name, value)| self.types(name).is_none() && json::is_set(value));
        let described = unknown.map(|(name, value)| {
            format!("{} {value}, which {} does not have", self.config.top_level(name).name(), self.class_name)
        });
        described.collect()
    }
}

/// Refuses a `model_type` of another family than the class: transformers' Auto classes follow the one, llama.cpp's converter
/// the other.
///
/// # Errors
/// [`Error::Invalid`] with both.
pub(crate) fn check_model_type(config: &ModelConfig) -> Result<()> {
    let classes = ConfigClasses::load()?;
    let (Some(class), Some(model_type)) = (config.class(), config.model_type()) else { return Ok(()) };
    let Some(expected) = classes.model_types(class) else { return Ok(()) };
    let family = Architecture::of_class(model_type);
    let is_of_family = family.is_some() && family == Architecture::of_class(class);
    if expected.is_empty() || expected.contains(&model_type) || is_of_family {
        return Ok(());
    }
    let (file, expected) = (config.file(), expected.join(" or "));
    let problem = format!(
        "has model_type {model_type:?}, but the class {class}, whose model_type is {expected}: correct the one that is wrong"
    );
    Err(Error::invalid(file, problem))
}

/// Refuses fields of the language model whose types are not those of their class.
///
/// # Errors
/// [`Error::Invalid`] with the field and its value.
pub(super) fn check_types(config: &ModelConfig) -> Result<()> {
    ConfigClasses::load()?.parts(config, &LANGUAGE_MODEL)?.iter().try_for_each(ConfigPart::check_types)
}

/// The same of vision and audio encoders.
pub(super) fn check_encoder_types(config: &ModelConfig) -> Result<()> {
    ConfigClasses::load()?.parts(config, &ENCODERS)?.iter().try_for_each(ConfigPart::check_types)
}

/// Whether the class of the language model has a field. A class without it ignores what a file says.
pub(crate) fn has_field(config: &ModelConfig, field: &str) -> Result<bool> {
    let classes = ConfigClasses::load()?;
    Ok(classes.parts(config, &LANGUAGE_MODEL)?.iter().any(|part| part.types(field).is_some()))
}

/// The fields of the language model that their class does not have, with their values.
pub(crate) fn unknown_fields(config: &ModelConfig) -> Result<Vec<String>> {
    Ok(ConfigClasses::load()?.parts(config, &LANGUAGE_MODEL)?.iter().flat_map(ConfigPart::unknown).collect())
}

/// The same of vision and audio encoders.
pub(crate) fn unknown_encoder_fields(config: &ModelConfig) -> Result<Vec<String>> {
    Ok(ConfigClasses::load()?.parts(config, &ENCODERS)?.iter().flat_map(ConfigPart::unknown).collect())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn config(fields: &Value) -> ModelConfig {
        ModelConfig::parse("config.json".to_owned(), fields.to_string().as_bytes()).unwrap()
    }

    #[test]
    fn every_class_of_a_family_has_its_fields() {
        let classes = ConfigClasses::load().unwrap();
        for model in Architecture::ALL.iter().flat_map(|known| known.family().classes) {
            let name = classes.name_of(&config(&json!({"architectures": [model]})));
            let class = name.and_then(|name| classes.0.get(name));
            assert!(class.is_some_and(|class| !class.fields.is_empty()), "{model}");
            for section in class.into_iter().flat_map(|class| class.sections.values()) {
                assert!(classes.0.contains_key(section), "{section}");
            }
        }
    }

    #[test]
    fn a_field_that_its_class_does_not_have_is_named_with_its_value() {
        let unknown = config(&json!({
            "architectures": ["Gemma3ForConditionalGeneration"], "attention_sink": 4, "new_norm": false,
            "sliding_window": 8, "_gate": 1, "_name_or_path": "x", "torch_dtype": "bfloat16",
            "text_config": {"gate": "x", "sliding_window": 8, "num_experts": 2, "rope_scaling": {"factor": 8}},
            "vision_config": {"patch_size": 4, "registers": 2},
        }));
        assert_eq!(
            unknown_fields(&unknown).unwrap(),
            [
                "_gate 1, which Gemma3Config does not have",
                "attention_sink 4, which Gemma3Config does not have",
                "sliding_window 8, which Gemma3Config does not have",
                "text_config.gate \"x\", which Gemma3TextConfig does not have",
                "text_config.num_experts 2, which Gemma3TextConfig does not have",
            ]
        );
        assert_eq!(
            unknown_encoder_fields(&unknown).unwrap(),
            ["vision_config.registers 2, which SiglipVisionConfig does not have"]
        );
    }

    #[test]
    fn a_field_that_one_family_has_is_unknown_in_another() {
        let fields = json!({"hidden_size": 64, "sliding_window": 8, "laurel_rank": 64});
        for (model_type, unknown) in [
            ("gemma", vec!["laurel_rank 64", "sliding_window 8"]),
            ("gemma2", vec!["laurel_rank 64"]),
            ("gemma3n_text", vec![]),
        ] {
            let mut fields = fields.clone();
            fields["model_type"] = model_type.into();
            let found = unknown_fields(&config(&fields)).unwrap();
            assert!(found.len() == unknown.len(), "{found:?}");
            assert!(found.iter().zip(unknown).all(|(found, name)| found.starts_with(name)), "{found:?}");
        }
    }

    #[test]
    fn a_type_that_the_class_does_not_declare_is_refused() {
        for (model, field, value) in [
            ("Gemma3ForCausalLM", "rms_norm_eps", json!(null)),
            ("Gemma3ForCausalLM", "hidden_activation", json!(null)),
            ("Gemma3ForCausalLM", "attention_bias", json!(1)),
            ("Gemma3ForCausalLM", "use_bidirectional_attention", json!("vision")),
            ("Gemma3ForCausalLM", "is_causal", json!(null)),
            ("Gemma3ForCausalLM", "tie_word_embeddings", json!(0)),
            ("Gemma4ForCausalLM", "use_bidirectional_attention", json!(true)),
            ("Gemma4ForCausalLM", "enable_moe_block", json!(null)),
            ("GemmaForCausalLM", "hidden_act", json!(null)),
            ("Gemma2ForCausalLM", "rope_theta", json!("10000")),
        ] {
            let error = check_types(&config(&json!({"architectures": [model], field: value}))).unwrap_err();
            let start = format!("config.json: {field} is {value}, not ");
            assert!(error.to_string().starts_with(&start), "{error}");
        }
    }

    #[test]
    fn a_model_type_of_another_family_is_refused() {
        for (class, model_type, is_refused) in [
            ("Gemma3ForCausalLM", "llama", true),
            ("Gemma3ForCausalLM", "gemma2", true),
            ("Gemma4ForCausalLM", "gemma4_unified_text", false),
            ("Gemma3ForCausalLM", "gemma3_text", false),
            ("Gemma3ForCausalLM", "gemma3", false),
            ("Gemma3TextModel", "gemma3_text", false),
            ("Gemma4DSparkModel", "gemma4_text", false),
            ("GemmaForSequenceClassification", "gemma", false),
        ] {
            let checked =
                check_model_type(&config(&json!({"architectures": [class], "model_type": model_type})));
            assert_eq!(checked.is_err(), is_refused, "{class}, {model_type}: {checked:?}");
        }
    }

    #[test]
    fn whole_numbers_and_values_of_earlier_versions_are_accepted() {
        for (model, field, value) in [
            ("Gemma3ForCausalLM", "rms_norm_eps", json!(1)),
            ("Gemma3ForCausalLM", "query_pre_attn_scalar", json!(32.0)),
            ("Gemma3ForCausalLM", "final_logit_softcapping", json!(null)),
            ("GemmaForCausalLM", "hidden_activation", json!(null)),
            ("Gemma4ForCausalLM", "hidden_size_per_layer_input", json!(null)),
            ("Gemma3nForCausalLM", "intermediate_size", json!([1, 2])),
        ] {
            check_types(&config(&json!({"architectures": [model], field: value}))).unwrap();
        }
    }

    #[test]
    fn sections_have_the_types_of_their_classes() {
        let multimodal = config(&json!({
            "architectures": ["Gemma4ForConditionalGeneration"],
            "text_config": {"head_dim": "32"}, "vision_config": {"patch_size": null}
        }));
        let error = check_types(&multimodal).unwrap_err().to_string();
        assert!(error.contains("text_config.head_dim is \"32\", not a number"), "{error}");
        let error = check_encoder_types(&multimodal).unwrap_err().to_string();
        assert!(error.contains("vision_config.patch_size is null, not a number"), "{error}");
    }
}
