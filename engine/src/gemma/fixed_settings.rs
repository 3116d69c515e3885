//! Settings of Gemma 3n that llama.cpp has as constants: a file with other values loads, and runs another model. And which
//! layers of Gemma 4 share keys and values: llama.cpp takes those of the two layers before the first that shares.

use serde_json::Value;

use super::attention::first_kv_shared_layer;
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
        if self.name == "gemma4" {
            return self.other_shared_layers(config);
        }
        if self.name != "gemma3n" {
            return Ok(None);
        }
        for (field, constant) in CONSTANTS {
            let value = config_count(config, field, Some(constant))?;
            if value != constant {
                return Ok(Some((field, value.to_string(), constant.to_string())));
            }
        }
        if config.bool("altup_correct_scale")? == Some(false) {
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
            let types = config.field("layer_types").value().map_or_else(String::new, Value::to_string);
            return Ok(Some(("layer_types", types, "a layer with a sliding window at least".to_owned())));
        }
        Ok(other_sparsity(config, layers as usize))
    }
}

impl ModelFamily {
    /// `num_kv_shared_layers`, if a layer that shares uses the keys of another layer than llama.cpp takes. The class uses
    /// the last layer of the same kind that computes its own; llama.cpp takes the last layer for global attention, and the
    /// one before it for a sliding window.
    fn other_shared_layers(&self, config: &ModelConfig) -> Result<Option<OtherSetting>> {
        const FIELD: &str = "num_kv_shared_layers";
        let defaults = &self.config_defaults;
        let layers = config_count(config, "num_hidden_layers", defaults.num_hidden_layers)?;
        let shared = config_count(config, FIELD, defaults.num_kv_shared_layers)?;
        if shared == 0 {
            return Ok(None);
        }
        let mut sliding = self.attention.sliding_layers(config, layers)?;
        if let Some(last) = sliding.last_mut() {
            *last = false;
        }
        let (own, sharing) = sliding.split_at(first_kv_shared_layer(layers as usize, shared as usize));
        let is_llama_cpps = |is_sliding: bool| {
            let last = own.iter().rposition(|kind| *kind == is_sliding);
            last.is_some() && last == own.len().checked_sub(if is_sliding { 2 } else { 1 })
        };
        let differs = |is_sliding| sharing.contains(&is_sliding) && !is_llama_cpps(is_sliding);
        let expected = "a layer with a sliding window and one with global attention before those that share";
        Ok((differs(true) || differs(false)).then(|| (FIELD, shared.to_string(), expected.to_owned())))
    }
}

/// `activation_sparsity_pattern`, if it is not that of Google's models. The class has it for more than 10 layers.
fn other_sparsity(config: &ModelConfig, layers: usize) -> Option<OtherSetting> {
    const FIELD: &str = "activation_sparsity_pattern";
    let expected = |layer: usize| if layer < SPARSE_LAYERS { SPARSITY } else { 0.0 };
    let value = config.field(FIELD).value();
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
    fn shared_layers_of_gemma4_follow_one_layer_of_each_kind() {
        let refused = |layers: u32, period: u32, shared: u32| {
            let kind = |layer: u32| match (layer + 1).is_multiple_of(period) {
                true => "full_attention",
                false => "sliding_attention",
            };
            let types: Vec<&str> = (0..layers).map(kind).collect();
            let config = json!({
                "architectures": ["Gemma4ForCausalLM"], "num_hidden_layers": layers, "layer_types": types,
                "num_kv_shared_layers": shared
            });
            let config = ModelConfig::parse("config.json".to_owned(), config.to_string().as_bytes()).unwrap();
            Architecture::Gemma4.family().other_fixed_setting(&config).unwrap().is_some()
        };
        // six alternating layers
        assert_eq!(
            [0, 1, 2, 3, 4, 6].map(|shared| refused(6, 2, shared)),
            [false, true, false, true, false, true]
        );
        // Google's E2B and E4B
        assert!(!refused(35, 5, 20) && !refused(42, 6, 18));
    }

    #[test]
    fn googles_settings_are_accepted() {
        let pattern: Vec<f64> = (0..35).map(|layer| if layer < 10 { 0.95 } else { 0.0 }).collect();
        assert_eq!(refused(35, &json!({"activation_sparsity_pattern": pattern})), None);
        assert_eq!(refused(30, &json!({})), None);
        assert_eq!(refused(2, &json!({"activation_sparsity_pattern": [0.95, 0.95]})), None);
    }
}
