//! Settings of Gemma 3n that llama.cpp has as constants: a file with other values loads, and runs another model.

use serde_json::Value;

use super::family::{ModelFamily, config_count};
use crate::checkpoint::ModelConfig;
use crate::error::Result;

/// Fields with one possible value.
const CONSTANTS: [(&str, u32); 4] = [
    ("altup_num_inputs", 4),
    ("altup_active_idx", 0),
    ("laurel_rank", 64),
    ("hidden_size_per_layer_input", 256),
];
/// How many layers compute keys and values of their own; the others share them.
const KV_LAYERS: u32 = 20;
/// In how many layers activations are sparse, and how sparse.
const SPARSE_LAYERS: usize = 10;
const SPARSITY: f64 = 0.95;

/// A field, its value, and the value that llama.cpp computes with.
type OtherSetting = (&'static str, String, String);

impl ModelFamily {
    /// Whether the family's files express what `per_layer_config` says.
    pub(super) fn reads_per_layer_config(&self) -> bool {
        self.name.starts_with("gemma4") || self.name == "dflash"
    }

    /// The first setting whose value is not llama.cpp's constant.
    pub(super) fn other_fixed_setting(&self, config: &ModelConfig) -> Result<Option<OtherSetting>> {
        if self.name != "gemma3n" {
            return Ok(None);
        }
        for (field, constant) in CONSTANTS {
            let value = config_count(config, field, Some(constant))?;
            if value != constant {
                return Ok(Some((field, value.to_string(), constant.to_string())));
            }
        }
        if config.bool("altup_correct_scale") == Some(false) {
            return Ok(Some(("altup_correct_scale", "false".to_owned(), "true".to_owned())));
        }
        let defaults = &self.config_defaults;
        let layers = config_count(config, "num_hidden_layers", defaults.num_hidden_layers)?;
        let shared = config_count(config, "num_kv_shared_layers", defaults.num_kv_shared_layers)?;
        let expected = layers.saturating_sub(KV_LAYERS);
        if shared != expected {
            return Ok(Some(("num_kv_shared_layers", shared.to_string(), expected.to_string())));
        }
        if !self.attention.sliding_layers(config, layers)?.contains(&true) {
            let types = config.get("layer_types").map_or_else(String::new, Value::to_string);
            return Ok(Some(("layer_types", types, "a layer with a sliding window at least".to_owned())));
        }
        Ok(other_sparsity(config, layers as usize))
    }
}

/// `activation_sparsity_pattern`, if it is not that of Google's models. The class has it for more than 10 layers.
fn other_sparsity(config: &ModelConfig, layers: usize) -> Option<OtherSetting> {
    const FIELD: &str = "activation_sparsity_pattern";
    let expected = |layer: usize| if layer < SPARSE_LAYERS { SPARSITY } else { 0.0 };
    let value = config.get(FIELD);
    let matches = match value {
        None => layers > SPARSE_LAYERS,
        Some(Value::Array(list)) => {
            list.iter().enumerate().all(|(layer, value)| value.as_f64() == Some(expected(layer)))
        }
        Some(value) => layers <= SPARSE_LAYERS && value.as_f64() == Some(SPARSITY),
    };
    let shown = value.map_or_else(|| "null".to_owned(), Value::to_string);
    (!matches).then(|| (FIELD, shown, format!("{SPARSITY} in the first {SPARSE_LAYERS} layers")))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::Architecture;
    use super::*;

    /// The field that is refused in a Gemma 3n of this many layers with these fields.
    fn refused(layers: u32, fields: &Value) -> Option<&'static str> {
        let mut config = json!({
            "architectures": ["Gemma3nForCausalLM"], "num_hidden_layers": layers,
            "num_kv_shared_layers": layers.saturating_sub(20)
        });
        config.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        let config = ModelConfig::parse("config.json".to_owned(), config.to_string().as_bytes()).unwrap();
        let found = Architecture::Gemma3n.family().other_fixed_setting(&config).unwrap();
        found.map(|(field, ..)| field)
    }

    #[test]
    fn constants_of_llama_cpp_are_required() {
        for (fields, field) in [
            (json!({"altup_num_inputs": 2}), "altup_num_inputs"),
            (json!({"altup_active_idx": 1}), "altup_active_idx"),
            (json!({"altup_correct_scale": false}), "altup_correct_scale"),
            (json!({"laurel_rank": 32}), "laurel_rank"),
            (json!({"hidden_size_per_layer_input": 64}), "hidden_size_per_layer_input"),
            (json!({"num_kv_shared_layers": 9}), "num_kv_shared_layers"),
            (json!({"layer_types": vec!["full_attention"; 30]}), "layer_types"),
            (json!({"activation_sparsity_pattern": 0.5}), "activation_sparsity_pattern"),
            (json!({"activation_sparsity_pattern": vec![0.475; 30]}), "activation_sparsity_pattern"),
        ] {
            assert_eq!(refused(30, &fields), Some(field), "{fields}");
        }
        assert_eq!(refused(7, &json!({})), Some("activation_sparsity_pattern"));
    }

    #[test]
    fn googles_settings_are_accepted() {
        let pattern: Vec<f64> = (0..35).map(|layer| if layer < 10 { 0.95 } else { 0.0 }).collect();
        assert_eq!(refused(35, &json!({"activation_sparsity_pattern": pattern})), None);
        assert_eq!(refused(30, &json!({})), None);
        assert_eq!(refused(2, &json!({"activation_sparsity_pattern": [0.95, 0.95]})), None);
    }
}
