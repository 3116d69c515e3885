//! `adapter_config.json`: what PEFT says an adapter is.
//!
//! Everything that changes the result is either applied exactly or refused by name; fields that only matter in
//! training (dropout, initialisation, `bias` of frozen layers) are ignored.

use regex::{Regex, RegexBuilder};
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::json::{self, Ordered};
use crate::{Error, Result};

#[derive(Deserialize)]
struct Raw {
    #[serde(default)]
    peft_type: Option<String>,
    #[serde(default)]
    base_model_name_or_path: Option<String>,
    r: u32,
    lora_alpha: f64,
    #[serde(default, deserialize_with = "json::or_default")]
    use_rslora: bool,
    #[serde(default, deserialize_with = "json::or_default")]
    rank_pattern: Ordered<u32>,
    #[serde(default, deserialize_with = "json::or_default")]
    alpha_pattern: Ordered<f64>,
    #[serde(default)]
    target_modules: Option<Value>,
}

/// What the adapter's configuration says, ready to be applied.
#[derive(Debug, Clone)]
pub struct AdapterConfig {
    /// The rank of modules without an entry in `rank_pattern`.
    pub rank: u32,
    /// The numerator of the scaling of modules without an entry in `alpha_pattern`.
    pub alpha: f64,
    /// Whether the scaling is alpha / √rank and not alpha / rank.
    pub rslora: bool,
    /// The model the adapter was trained on, as the trainer named it.
    pub base_model: Option<String>,
    /// The targeted modules, as the trainer named them.
    pub targets: Vec<String>,
    ranks: Patterns<u32>,
    alphas: Patterns<f64>,
}

/// Bytes a pattern may take when compiled; names of modules are far below.
const MOST_PATTERN: usize = 256 << 10;

/// Values for the modules that a pattern matches; the first match counts.
#[derive(Debug, Clone)]
struct Patterns<T>(Vec<(Regex, T)>);

impl<T: Copy> Patterns<T> {
    /// PEFT matches a key that begins with `^` from the start of the module's name, any other against the whole
    /// name or what follows a dot in it (`get_pattern_key`).
    fn new(file: &str, field: &str, entries: Ordered<T>) -> Result<Self> {
        let compile = |(key, value): (String, T)| {
            let pattern = if key.starts_with('^') { key.clone() } else { format!(r"^(?:.*\.)?(?:{key})$") };
            match RegexBuilder::new(&pattern).size_limit(MOST_PATTERN).build() {
                Ok(regex) => Ok((regex, value)),
                Err(_) => Err(Error::unsupported(file, format!("the {field} {key:?}"))),
            }
        };
        Ok(Self(entries.0.into_iter().map(compile).collect::<Result<_>>()?))
    }

    fn get(&self, module: &str) -> Option<T> {
        self.0.iter().find(|(regex, _)| regex.is_match(module)).map(|(_, value)| *value)
    }
}

impl AdapterConfig {
    pub(crate) fn parse(file: &str, bytes: &[u8]) -> Result<Self> {
        let fields: Map<String, Value> = json::parse(file, bytes)?;
        refuse_inexact(file, &fields)?;
        let raw: Raw = json::parse(file, bytes)?;
        match raw.peft_type.as_deref() {
            Some("LORA") | None => {}
            Some(other) => return Err(Error::unsupported(file, format!("peft_type {other}"))),
        }
        if raw.r == 0 || raw.rank_pattern.0.iter().any(|(_, r)| *r == 0) {
            return Err(Error::invalid(file, "has a rank of 0"));
        }
        let targets = match raw.target_modules {
            Some(Value::Array(names)) => names.iter().filter_map(|n| n.as_str().map(str::to_owned)).collect(),
            Some(Value::String(pattern)) => vec![pattern],
            Some(_) | None => Vec::new(),
        };
        Ok(Self {
            rank: raw.r,
            alpha: raw.lora_alpha,
            rslora: raw.use_rslora,
            base_model: raw.base_model_name_or_path,
            targets,
            ranks: Patterns::new(file, "rank_pattern", raw.rank_pattern)?,
            alphas: Patterns::new(file, "alpha_pattern", raw.alpha_pattern)?,
        })
    }

    /// The rank of `module` (named without `base_model.model.`).
    pub(crate) fn rank_of(&self, module: &str) -> u32 {
        self.ranks.get(module).unwrap_or(self.rank)
    }

    /// What B·A is multiplied with for `module`, rounded to `f32` as torch does when it meets a tensor.
    pub(crate) fn scaling_of(&self, module: &str) -> f32 {
        let alpha = self.alphas.get(module).unwrap_or(self.alpha);
        let rank = f64::from(self.rank_of(module));
        (if self.rslora { alpha / rank.sqrt() } else { alpha / rank }) as f32
    }
}

/// Fields that, when set, make the adapter something other than scaling·B·A on linear layers.
fn refuse_inexact(file: &str, fields: &Map<String, Value>) -> Result<()> {
    const REFUSED: [&str; 20] = [
        "alora_invocation_tokens",
        "arrow_config",
        "kasa_config",
        "layer_replication",
        "lora_bias",
        "modules_to_save",
        "monteclora_config",
        "target_parameters",
        "trainable_token_indices",
        "use_bdlora",
        "use_dora",
        "use_qalora",
        "velora_config",
        "loftq_config",
        "corda_config",
        "eva_config",
        "lora_ga_config",
        "megatron_config",
        "auto_mapping",
        "bias",
    ];
    for field in REFUSED {
        let Some(value) = fields.get(field) else { continue };
        let harmless = match field {
            // these only choose the factors' first values, which training then replaced
            "loftq_config" | "corda_config" | "eva_config" | "lora_ga_config" | "megatron_config"
            | "auto_mapping" => true,
            "bias" => value.is_null() || value == "none",
            _ => is_unset(value),
        };
        if !harmless {
            return Err(Error::unsupported(file, format!("{field} = {value}")));
        }
    }
    Ok(())
}

fn is_unset(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Array(items) => items.is_empty(),
        Value::Object(entries) => entries.is_empty(),
        Value::Bool(true) | Value::Number(_) | Value::String(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(fields: &str) -> Result<AdapterConfig> {
        AdapterConfig::parse(
            "adapter_config.json",
            format!(r#"{{"r":8,"lora_alpha":16{fields}}}"#).as_bytes(),
        )
    }

    #[test]
    fn scaling_is_alpha_over_rank() {
        assert_eq!(config("").unwrap().scaling_of("model.layers.0.mlp.up_proj"), 2.0);
    }

    #[test]
    fn rslora_divides_by_the_root_of_the_rank() {
        let scaling = config(r#","use_rslora":true"#).unwrap().scaling_of("x");
        assert_eq!(scaling, (16.0 / 8.0_f64.sqrt()) as f32);
    }

    #[test]
    fn patterns_match_whole_names_or_what_follows_a_dot() {
        let config = config(r#","rank_pattern":{"q_proj":4,"^model.layers.1.":2},"alpha_pattern":{"layers.0.self_attn.q_proj":4}"#).unwrap();
        assert_eq!(config.rank_of("model.layers.0.self_attn.q_proj"), 4);
        assert_eq!(config.rank_of("model.layers.0.self_attn.eq_proj"), 8);
        assert_eq!(config.rank_of("model.layers.1.mlp.up_proj"), 2);
        assert_eq!(config.scaling_of("model.layers.0.self_attn.q_proj"), 1.0);
        assert_eq!(config.scaling_of("model.layers.2.self_attn.q_proj"), 4.0);
    }

    #[test]
    fn the_first_pattern_of_the_file_wins() {
        let config = config(r#","rank_pattern":{"z.*":4,"z1":2}"#).unwrap();
        assert_eq!(config.rank_of("a.z1"), 4);
    }

    #[test]
    fn what_is_not_applied_exactly_is_refused_by_name() {
        for (field, name) in [
            (r#","use_dora":true"#, "use_dora"),
            (r#","modules_to_save":["lm_head"]"#, "modules_to_save"),
            (r#","lora_bias":true"#, "lora_bias"),
            (r#","bias":"all""#, "bias"),
            (r#","layer_replication":[[0,4]]"#, "layer_replication"),
            (r#","peft_type":"LOHA""#, "LOHA"),
        ] {
            let error = config(field).unwrap_err().to_string();
            assert!(error.contains(name) && error.contains("not supported"), "{error}");
        }
    }
}
