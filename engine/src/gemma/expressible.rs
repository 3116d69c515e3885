//! Refuses configurations that no metadata key of a family's GGUF files expresses: llama.cpp would run another model.

use serde_json::Value;

use super::attention::AttentionSizes;
use super::family::{ModelFamily, config_count};
use super::known_fields::{check_model_type, check_types};
use super::rope::global_rope;
use crate::checkpoint::ModelConfig;
use crate::error::{Error, Result};

impl ModelFamily {
    /// # Errors
    /// [`Error::Unsupported`] with the field and its value.
    pub(crate) fn check_expressible(&self, config: &ModelConfig) -> Result<()> {
        check_model_type(config)?;
        check_types(config)?;
        if self.is_multimodal(config) {
            config.require_text_config()?;
        }
        let refuse = |field: &str, value: String, reason: &str| {
            let feature = format!("GGUF of a {} with {field} {value}", self.name);
            Err(Error::unsupported(config.file(), feature)
                .advise(format!("{reason}; export it as a merged model")))
        };
        for field in ["hidden_activation", "hidden_act"] {
            if let Some(name) = config.field(field).str()?.filter(|name| !is_tanh_gelu(field, name)) {
                return refuse(field, name.to_owned(), "llama.cpp computes gelu_pytorch_tanh");
            }
        }
        for (field, default) in [
            ("attn_logit_softcapping", self.config_defaults.attn_logit_softcapping),
            ("final_logit_softcapping", self.config_defaults.final_logit_softcapping),
        ] {
            if let Some(cap) = default.filter(|_| config.is_null(field)) {
                return refuse(field, "null".to_owned(), &format!("llama.cpp then computes with {cap}"));
            }
            if config.f32(field)? == Some(0.0) {
                return refuse(
                    field,
                    "0".to_owned(),
                    "transformers divides by it, and llama.cpp takes it for none",
                );
            }
        }
        if let Some(cap) = self.keyless_softcap(config) {
            return refuse("attn_logit_softcapping", cap, "llama.cpp has no key for it in this family");
        }
        if let Some(value) = self.empty_window(config)? {
            return refuse(
                "sliding_window",
                value,
                "transformers does not run a layer whose window is empty",
            );
        }
        if config.bool("is_causal")? == Some(false) {
            return refuse("is_causal", "false".to_owned(), "llama.cpp's attention is fixed by the family");
        }
        let per_layer = config.field("per_layer_config");
        if let Some(layers) = per_layer.value().filter(|_| !self.reads_per_layer_config()) {
            return refuse("per_layer_config", layers.to_string(), "llama.cpp has one value for every layer");
        }
        if let Some(rope) = self.other_rope_type(config)? {
            return refuse("rope_type", rope.to_owned(), "llama.cpp then turns every dimension of a head");
        }
        if config.class() == Some("Gemma3ForConditionalGeneration")
            && let Some(cap) = config.field("final_logit_softcapping").value()
        {
            let reason = "the class does not read it in transformers, and llama.cpp does";
            return refuse("final_logit_softcapping", cap.to_string(), reason);
        }
        if let Some((field, value, expected)) = self.other_fixed_setting(config)? {
            return refuse(field, value, &format!("llama.cpp computes with {expected}"));
        }
        if let Some(value) = self.other_attention(config)? {
            return refuse(
                "use_bidirectional_attention",
                value,
                "llama.cpp's attention is fixed by the family",
            );
        }
        if let Some((field, value)) = self.other_layer_types(config)? {
            let reason = format!(
                "llama.cpp uses global attention in every layer of {}",
                self.attention.sliding_period
            );
            return refuse(field, value, &reason);
        }
        match self.other_query_scale(config)? {
            Some(scalar) => {
                refuse("query_pre_attn_scalar", scalar.to_string(), "llama.cpp scales by other sizes")
            }
            None => Ok(()),
        }
    }

    /// Whether the class describes its language model in `text_config`.
    fn is_multimodal(&self, config: &ModelConfig) -> bool {
        let class = config.class().or_else(|| config.model_type());
        class.is_some_and(|class| self.mmproj.iter().any(|family| family.classes.contains(&class)))
    }

    /// `attn_logit_softcapping` of a family whose class reads it and whose files have no key for it.
    fn keyless_softcap(&self, config: &ModelConfig) -> Option<String> {
        let has_key = self.config_defaults.attn_logit_softcapping.is_some();
        let cap = config.field("attn_logit_softcapping").value();
        cap.filter(|_| self.attention.reads_query_scalar && !has_key).map(Value::to_string)
    }

    /// `sliding_window`, if it is null or 0 and a layer has one.
    fn empty_window(&self, config: &ModelConfig) -> Result<Option<String>> {
        let window = config.field("sliding_window");
        if !window.is_null() && window.u32()? != Some(0) {
            return Ok(None);
        }
        let layers = config_count(config, "num_hidden_layers", self.config_defaults.num_hidden_layers)?;
        let is_sliding = self.attention.sliding_layers(config, layers)?.contains(&true);
        Ok(is_sliding.then(|| window.value().map_or_else(|| "null".to_owned(), Value::to_string)))
    }

    /// RoPE of a part of each head, which only files of Gemma 4 store.
    fn other_rope_type<'a>(&self, config: &'a ModelConfig) -> Result<Option<&'a str>> {
        let kind = global_rope(config)?.field("rope_type")?.str()?;
        Ok(kind.filter(|kind| *kind == "proportional" && !self.reads_per_layer_config()))
    }

    /// The value of `use_bidirectional_attention`, if it is not what llama.cpp does. Image tokens (`vision`) are the
    /// matter of the mmproj file.
    fn other_attention(&self, config: &ModelConfig) -> Result<Option<String>> {
        let field = config.field("use_bidirectional_attention");
        let Some(value) = field.value() else {
            // the class is causal without it
            return Ok((!self.attention.is_causal).then(|| "null".to_owned()));
        };
        let bidirectional = match field.value() {
            Some(Value::String(kind)) if matches!(kind.as_str(), "all" | "vision") => kind == "all",
            _ => field.bool()? == Some(true),
        };
        let is_other = bidirectional == self.attention.is_causal;
        Ok(is_other.then(|| value.to_string()))
    }

    /// The field and its value that give another layer than every n-th global attention, in a family whose files do not
    /// store the layers.
    fn other_layer_types(&self, config: &ModelConfig) -> Result<Option<(&'static str, String)>> {
        if self.attention.stores_layer_types || self.attention.sliding_period == 1 {
            return Ok(None);
        }
        if let Some(types) = config.field("layer_types").value() {
            let layers = config_count(config, "num_hidden_layers", self.config_defaults.num_hidden_layers)?;
            let sliding = self.attention.sliding_layers(config, layers)?;
            let expected = (0..layers as usize).map(|layer| self.attention.is_sliding(layer));
            return Ok((!expected.eq(sliding)).then(|| ("layer_types", types.to_string())));
        }
        for field in ["sliding_window_pattern", "_sliding_window_pattern"] {
            // with 1, every layer is global, and the file has no window, which EmbeddingGemma's must have
            match config.u32(field)? {
                Some(1) if self.attention.is_causal => {}
                Some(period) if period != self.attention.sliding_period => {
                    return Ok(Some((field, period.to_string())));
                }
                Some(_) | None => {}
            }
        }
        Ok(None)
    }

    /// `query_pre_attn_scalar`, if llama.cpp scales queries by another number.
    fn other_query_scale(&self, config: &ModelConfig) -> Result<Option<f32>> {
        const CLASS_DEFAULT: f32 = 256.0;
        if !self.attention.reads_query_scalar {
            return Ok(None);
        }
        let defaults = &self.config_defaults;
        let count =
            |field: &str, default: Option<u32>| config_count(config, field, default).map(|n| n as usize);
        let sizes = AttentionSizes {
            layers: count("num_hidden_layers", defaults.num_hidden_layers)?,
            hidden_size: count("hidden_size", defaults.hidden_size)?,
            attention_heads: count("num_attention_heads", defaults.num_attention_heads)?,
            head_dim: count("head_dim", defaults.head_dim)?,
        };
        let scalar = config.f32("query_pre_attn_scalar")?.unwrap_or(CLASS_DEFAULT);
        let expected = self.attention.query_scale.value(sizes);
        Ok(((scalar.sqrt().recip() - expected).abs() > 1e-6 * expected).then_some(scalar))
    }
}

/// Whether the activation is the approximation of GELU that llama.cpp computes. Early configurations of Gemma 1 name it
/// `gelu` in `hidden_act`.
fn is_tanh_gelu(field: &str, name: &str) -> bool {
    matches!(name, "gelu_pytorch_tanh" | "gelu_new") || (field == "hidden_act" && name == "gelu")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::Architecture;
    use super::*;

    /// The error for a configuration of this class with these fields.
    fn problem(class: &str, fields: &Value) -> Option<String> {
        let mut config = json!({
            "architectures": [class], "num_hidden_layers": 7, "hidden_size": 64, "num_attention_heads": 2,
            "head_dim": 32, "query_pre_attn_scalar": 32
        });
        config.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        let config = ModelConfig::parse("config.json".to_owned(), config.to_string().as_bytes()).unwrap();
        let family = Architecture::of(&config).unwrap().family();
        family.check_expressible(&config).err().map(|error| error.to_string())
    }

    #[test]
    fn a_setting_without_a_key_is_refused_by_name() {
        let every_second: Vec<&str> =
            ["full_attention", "sliding_attention"].into_iter().cycle().take(7).collect();
        for (class, fields, name) in [
            ("Gemma3ForCausalLM", json!({"layer_types": every_second}), "layer_types"),
            ("Gemma3ForCausalLM", json!({"sliding_window_pattern": 2}), "sliding_window_pattern 2"),
            ("Gemma3ForCausalLM", json!({"query_pre_attn_scalar": 64}), "query_pre_attn_scalar 64"),
            (
                "Gemma3ForCausalLM",
                json!({"use_bidirectional_attention": true}),
                "use_bidirectional_attention true",
            ),
            ("Gemma3ForCausalLM", json!({"hidden_activation": "silu"}), "hidden_activation silu"),
            (
                "Gemma3TextModel",
                json!({"use_bidirectional_attention": false}),
                "use_bidirectional_attention false",
            ),
            ("Gemma3TextModel", json!({}), "use_bidirectional_attention null"),
            (
                "Gemma3TextModel",
                json!({"use_bidirectional_attention": true, "sliding_window_pattern": 1}),
                "sliding_window_pattern 1",
            ),
            (
                "Gemma3ForConditionalGeneration",
                json!({"text_config": {"num_hidden_layers": 7, "final_logit_softcapping": 30.0}}),
                "final_logit_softcapping 30.0",
            ),
            (
                "Gemma3ForCausalLM",
                json!({"rope_parameters": {"full_attention": {"rope_type": "proportional"}}}),
                "rope_type proportional",
            ),
            ("GemmaForCausalLM", json!({"is_causal": false}), "is_causal false"),
            ("Gemma2ForCausalLM", json!({"sliding_window": null}), "sliding_window null"),
            ("Gemma3ForCausalLM", json!({"sliding_window": 0}), "sliding_window 0"),
            ("Gemma4ForCausalLM", json!({"sliding_window": 0}), "sliding_window 0"),
            ("Gemma2ForCausalLM", json!({"per_layer_config": {"1": {"head_dim": 8}}}), "per_layer_config"),
            ("Gemma4ForCausalLM", json!({"final_logit_softcapping": 0.0}), "final_logit_softcapping 0"),
            ("Gemma2ForCausalLM", json!({"attn_logit_softcapping": 0}), "attn_logit_softcapping 0"),
            ("Gemma3ForCausalLM", json!({"attn_logit_softcapping": 50.0}), "attn_logit_softcapping 50.0"),
            ("Gemma2ForCausalLM", json!({"attn_logit_softcapping": null}), "attn_logit_softcapping null"),
            ("Gemma2ForCausalLM", json!({"final_logit_softcapping": null}), "final_logit_softcapping null"),
            ("Gemma2ForCausalLM", json!({"query_pre_attn_scalar": 224}), "query_pre_attn_scalar 224"),
            ("GemmaForCausalLM", json!({"hidden_act": "silu"}), "hidden_act silu"),
            (
                "Gemma4ForCausalLM",
                json!({"use_bidirectional_attention": "all"}),
                "use_bidirectional_attention",
            ),
        ] {
            let problem = problem(class, &fields).unwrap_or_default();
            assert!(
                problem.contains(name) && problem.contains("not supported"),
                "{class} {fields}: {problem}"
            );
        }
    }

    #[test]
    fn a_value_of_another_type_is_refused_by_name() {
        for (class, fields, name) in [
            ("GemmaForCausalLM", json!({"is_causal": 0}), "is_causal is 0"),
            ("Gemma3ForCausalLM", json!({"is_causal": "no"}), "is_causal is \"no\""),
            (
                "Gemma3ForCausalLM",
                json!({"use_bidirectional_attention": 1}),
                "use_bidirectional_attention is 1",
            ),
            (
                "Gemma3ForCausalLM",
                json!({"use_bidirectional_attention": "true"}),
                "use_bidirectional_attention is \"true\"",
            ),
            ("Gemma3ForCausalLM", json!({"hidden_activation": ["silu"]}), "hidden_activation is [\"silu\"]"),
            ("Gemma3ForCausalLM", json!({"rope_scaling": "linear"}), "rope_scaling is \"linear\""),
            ("Gemma2ForCausalLM", json!({"rope_parameters": []}), "rope_parameters is []"),
            (
                "Gemma3ForCausalLM",
                json!({"layer_types": "full_attention"}),
                "layer_types is \"full_attention\"",
            ),
            (
                "Gemma2ForCausalLM",
                json!({"attn_logit_softcapping": "50"}),
                "attn_logit_softcapping is \"50\"",
            ),
            (
                "Gemma3ForCausalLM",
                json!({"rope_parameters": {"full_attention": {"rope_type": 3}}}),
                "rope_parameters.full_attention.rope_type is 3",
            ),
        ] {
            let problem = problem(class, &fields).unwrap_or_default();
            assert!(problem.contains(&format!("config.json: {name}, not ")), "{class} {fields}: {problem}");
        }
    }

    #[test]
    fn a_multimodal_class_has_a_section_of_the_language_model() {
        for (fields, expected) in [
            (json!({}), "has no text_config"),
            (json!({"text_config": null}), "has no text_config"),
            (json!({"text_config": []}), "text_config is [], not an object"),
        ] {
            let problem = problem("Gemma3ForConditionalGeneration", &fields).unwrap_or_default();
            assert!(problem.contains(expected), "{fields}: {problem}");
        }
    }

    #[test]
    fn what_llama_cpp_computes_is_accepted() {
        let pattern: Vec<&str> =
            (1..=7).map(|n| if n % 6 == 0 { "full_attention" } else { "sliding_attention" }).collect();
        for (class, fields) in [
            ("Gemma3ForCausalLM", json!({"layer_types": pattern, "sliding_window_pattern": 6})),
            ("Gemma3ForCausalLM", json!({"sliding_window_pattern": 1})),
            ("Gemma3ForCausalLM", json!({"sliding_window_pattern": 1, "sliding_window": null})),
            (
                "Gemma3ForCausalLM",
                json!({"num_hidden_layers": 62, "hidden_size": 5376, "num_attention_heads": 32, "head_dim": 128, "query_pre_attn_scalar": 168}),
            ),
            ("Gemma2ForCausalLM", json!({"attn_logit_softcapping": 40.0})),
            // its class does not read the field
            (
                "Gemma4ForCausalLM",
                json!({"attn_logit_softcapping": 40.0, "layer_types": ["full_attention"], "num_hidden_layers": 1}),
            ),
            ("GemmaForCausalLM", json!({"hidden_act": "gelu", "query_pre_attn_scalar": 7})),
            ("Gemma3TextModel", json!({"use_bidirectional_attention": true})),
            (
                "Gemma4ForCausalLM",
                json!({"use_bidirectional_attention": "vision", "layer_types": ["full_attention"]}),
            ),
        ] {
            assert_eq!(problem(class, &fields), None, "{class} {fields}");
        }
    }
}
