//! `adapter_config.json`, PEFT's `LoraConfig`.
//!
//! A field that changes the merged weights is applied exactly or refused by name. Fields that only matter in training
//! (dropout, initialization, `bias` of frozen layers) are ignored.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::{Map, Value};

use super::known_fields::unknown_fields;
use super::pattern::ModulePatterns;
use super::target_modules::{ModuleSpellings, TargetModules};
use super::{AdapterChange, ChangeKind};
use crate::error::{Error, Result};
use crate::io::json;
use crate::io::json::OrderedMap;

#[derive(Deserialize)]
struct RawConfig {
    #[serde(default)]
    peft_type: Option<String>,
    #[serde(default)]
    task_type: Option<String>,
    #[serde(default)]
    base_model_name_or_path: Option<String>,
    #[serde(default)]
    revision: Option<String>,
    #[serde(default = "default_rank")]
    r: u32,
    #[serde(default = "default_alpha")]
    lora_alpha: f64,
    #[serde(default, deserialize_with = "json::null_as_default")]
    use_rslora: bool,
    #[serde(default, deserialize_with = "json::null_as_default")]
    rank_pattern: OrderedMap<u32>,
    #[serde(default, deserialize_with = "json::null_as_default")]
    alpha_pattern: OrderedMap<f64>,
    #[serde(default)]
    target_modules: Option<Value>,
    #[serde(default, deserialize_with = "json::null_as_default")]
    use_dora: bool,
    #[serde(default, deserialize_with = "json::null_as_default")]
    ensure_weight_tying: bool,
    #[serde(default, deserialize_with = "json::null_as_default")]
    modules_to_save: Vec<String>,
    #[serde(default)]
    trainable_token_indices: Option<Value>,
    #[serde(default, deserialize_with = "json::null_as_default")]
    target_parameters: Vec<String>,
}

/// PEFT's default of `r`.
fn default_rank() -> u32 {
    8
}

/// PEFT's default of `lora_alpha`.
fn default_alpha() -> f64 {
    8.0
}

/// `trainable_token_indices`: rows of the input embedding, or of modules by name.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
enum TokenIndices {
    Embedding(Vec<u64>),
    Modules(OrderedMap<Vec<u64>>),
}

/// The parameters of `Gemma4TextExperts`, which stack the weights of all experts, in the class's order.
const EXPERT_PARAMETERS: [&str; 2] = ["gate_up_proj", "down_proj"];

/// The names that PEFT gives classification heads; a model has one of them.
const CLASSIFIERS: [&str; 2] = ["classifier", "score"];

/// The configuration of an adapter, checked.
#[derive(Debug, Clone)]
pub struct AdapterConfig {
    /// The rank of modules without an entry in `rank_pattern`.
    pub rank: u32,
    /// The numerator of the scaling of modules without an entry in `alpha_pattern`.
    pub alpha: f64,
    /// Whether the scaling is alpha / √rank and not alpha / rank.
    pub rslora: bool,
    /// `base_model_name_or_path`: the model the adapter was trained on.
    pub base_model: Option<String>,
    /// `revision`: the commit, branch or tag of that model; `None` for the main branch.
    pub revision: Option<String>,
    /// `target_modules`, as the file has them.
    pub targets: Vec<String>,
    /// `use_dora`.
    pub dora: bool,
    /// `ensure_weight_tying`: embedding and lm_head stay one tensor when one of them is in `modules_to_save`.
    pub(crate) ensure_tying: bool,
    /// The task is classification: PEFT adds [`CLASSIFIERS`] to `modules_to_save`, whichever the model has.
    classifier: bool,
    modules_to_save: Vec<String>,
    trainable_tokens: Option<TokenIndices>,
    target_parameters: Vec<String>,
    target_modules: TargetModules,
    rank_pattern: ModulePatterns<u32>,
    alpha_pattern: ModulePatterns<f64>,
    /// Fields that PEFT's `LoraConfig` does not have, with their values.
    pub(crate) unknown_fields: Vec<String>,
}

impl AdapterConfig {
    pub(crate) fn parse(file: &str, bytes: &[u8]) -> Result<Self> {
        let fields: Map<String, Value> = json::parse(file, bytes)?;
        refuse_mlx(file, &fields)?;
        refuse_inexact(file, &fields)?;
        let raw: RawConfig = json::parse(file, bytes)?;
        match raw.peft_type.as_deref() {
            Some("LORA") | None => {}
            Some(other) => return Err(Error::unsupported(file, format!("peft_type {other}"))),
        }
        if raw.r == 0 || raw.rank_pattern.0.iter().any(|(_, r)| *r == 0) {
            return Err(Error::invalid(file, "has a rank of 0"));
        }
        if let Some(parameter) = raw.target_parameters.iter().find(|p| !is_known_parameter(p)) {
            let feature = format!("{parameter} in target_parameters");
            let advice =
                format!("parameters named weight, {} can be merged", EXPERT_PARAMETERS.join(" and "));
            return Err(Error::unsupported(file, feature).advise(advice));
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
            revision: raw.revision.filter(|revision| !revision.is_empty() && revision != "main"),
            targets,
            dora: raw.use_dora,
            ensure_tying: raw.ensure_weight_tying,
            classifier: matches!(raw.task_type.as_deref(), Some("SEQ_CLS" | "TOKEN_CLS")),
            modules_to_save: raw.modules_to_save,
            trainable_tokens: json::field(
                file,
                "trainable_token_indices",
                raw.trainable_token_indices,
                "a list of token ids, or an object of such lists by the names of modules",
            )?,
            target_parameters: raw.target_parameters,
            target_modules: TargetModules::parse(file, bytes)?,
            rank_pattern: ModulePatterns::new(file, "rank_pattern", raw.rank_pattern)?,
            alpha_pattern: ModulePatterns::new(file, "alpha_pattern", raw.alpha_pattern)?,
            unknown_fields: unknown_fields(&fields)?,
        })
    }

    /// The rank of `module` (named without `base_model.model.`).
    pub(crate) fn rank_of(&self, module: &str) -> u32 {
        self.rank_pattern.get(&self.pattern_name(module)).unwrap_or(self.rank)
    }

    /// Whether PEFT puts a LoRA layer on `module`; it ignores factors of other modules. With `ensure_weight_tying` it puts
    /// one on both of a tied pair.
    pub(crate) fn targets_module(&self, file: &str, module: ModuleSpellings<'_>) -> Result<bool> {
        if self.ensure_tying && module.is_of_tied_pair() {
            return Ok(true);
        }
        self.target_modules.contains(file, module)
    }

    /// Whether the file says which modules have LoRA layers.
    pub(crate) fn has_targets(&self) -> bool {
        self.target_modules.are_known()
    }

    /// Whether the module's weight was trained as a parameter (`target_parameters`) and not as a layer.
    pub(crate) fn by_parameter(&self, module: &str) -> bool {
        self.trains_parameter(&format!("{module}.weight"))
    }

    /// Whether `target_parameters` has the parameter of this name, or the end of its name.
    pub(crate) fn trains_parameter(&self, name: &str) -> bool {
        self.target_parameters.iter().any(|parameter| ends_with(name, parameter))
    }

    /// The parameters of a module that stacks the weights of experts, as far as they were trained, in the order in
    /// which PEFT wraps them: the first is the innermost.
    pub(super) fn expert_parameters(&self, module: &str) -> Vec<String> {
        let names = EXPERT_PARAMETERS.iter().map(|parameter| format!("{module}.{parameter}"));
        names.filter(|name| self.trains_parameter(name)).collect()
    }

    /// The name that patterns are matched with: the module's, or its parameter's.
    fn pattern_name<'a>(&self, module: &'a str) -> Cow<'a, str> {
        if self.by_parameter(module) { Cow::Owned(format!("{module}.weight")) } else { Cow::Borrowed(module) }
    }

    /// Whether `modules_to_save` names `module`, the end of its name, or a module that contains it.
    pub(crate) fn saves(&self, module: &str) -> bool {
        self.saved_as(module).is_some()
    }

    /// The name in `modules_to_save` that means `module`.
    pub(crate) fn saved_as(&self, module: &str) -> Option<&str> {
        self.modules_to_save.iter().find(|name| is_in(module, name)).map(String::as_str)
    }

    /// The rows of `module` that `trainable_token_indices` trained.
    pub(crate) fn trained_tokens(&self, module: &str) -> Option<Vec<u64>> {
        match self.trainable_tokens.as_ref()? {
            TokenIndices::Embedding(rows) => Some(rows.clone()),
            TokenIndices::Modules(modules) => {
                modules.0.iter().find(|(name, _)| ends_with(module, name)).map(|(_, rows)| rows.clone())
            }
        }
    }

    /// The names in `modules_to_save` for which the adapter has no weights. Of the names that PEFT gives classification
    /// heads, one is enough.
    pub(crate) fn unsaved_modules<'a>(&'a self, changes: &[AdapterChange]) -> Vec<&'a str> {
        let is_saved = |name: &str| {
            changes
                .iter()
                .any(|change| matches!(change.kind, ChangeKind::Replace(_)) && is_in(change.module(), name))
        };
        let has_classifier = self.classifier && CLASSIFIERS.into_iter().any(is_saved);
        let is_required = |name: &&str| !(has_classifier && CLASSIFIERS.contains(name));
        let names = self.modules_to_save.iter().map(String::as_str);
        names.filter(is_required).filter(|name| !is_saved(name)).collect()
    }

    /// Refuses an adapter without the factors of a parameter that `target_parameters` names.
    pub(crate) fn check_parameters(&self, file: &str, changes: &[AdapterChange]) -> Result<()> {
        let is_trained = |name: &String| changes.iter().any(|change| ends_with(&change.target, name));
        match self.target_parameters.iter().find(|name| !is_trained(name)) {
            Some(name) => Err(Error::invalid(
                file,
                format!("names {name} in target_parameters, but its factors are not in the adapter"),
            )),
            None => Ok(()),
        }
    }

    /// The scaling of `module` times its rank.
    pub(crate) fn alpha_of(&self, module: &str) -> f64 {
        let alpha = self.alpha_pattern.get(&self.pattern_name(module)).unwrap_or(self.alpha);
        if self.rslora { alpha * f64::from(self.rank_of(module)).sqrt() } else { alpha }
    }

    /// The factor of B·A for `module`, rounded to `f32` as torch does when it multiplies a tensor.
    pub(crate) fn scaling_of(&self, module: &str) -> f32 {
        let alpha = self.alpha_pattern.get(&self.pattern_name(module)).unwrap_or(self.alpha);
        let rank = f64::from(self.rank_of(module));
        (if self.rslora { alpha / rank.sqrt() } else { alpha / rank }) as f32
    }
}

fn is_known_parameter(parameter: &str) -> bool {
    let name = parameter.rsplit('.').next().unwrap_or(parameter);
    name == "weight" || EXPERT_PARAMETERS.contains(&name)
}

/// Whether a module's name is `end`, or ends with it after a dot.
pub(super) fn ends_with(module: &str, end: &str) -> bool {
    module.strip_suffix(end).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

/// Whether the name of a module, or of one that contains it, ends with `name`. PEFT requires no dot before it: `norm`
/// saves every norm.
pub(crate) fn is_in(module: &str, name: &str) -> bool {
    format!("{module}.").contains(&format!("{name}."))
}

/// Refuses an adapter of MLX, whose configuration has the same name.
fn refuse_mlx(file: &str, fields: &Map<String, Value>) -> Result<()> {
    const MLX_FIELDS: [&str; 4] = ["lora_parameters", "fine_tune_type", "lora_layers", "num_layers"];
    let is_mlx =
        !fields.contains_key("peft_type") && MLX_FIELDS.iter().any(|field| fields.contains_key(*field));
    if is_mlx { Err(mlx_adapter(file)) } else { Ok(()) }
}

/// The error for this file of an adapter of MLX.
pub(super) fn mlx_adapter(file: &str) -> Error {
    Error::unsupported(file, "an adapter of MLX").advise(
        "fuse it with `mlx_lm.fuse --dequantize` and export the result as a full model, or \
         convert it to PEFT's format",
    )
}

/// Refuses fields that, when set, change the weights in a way that this engine does not apply.
fn refuse_inexact(file: &str, fields: &Map<String, Value>) -> Result<()> {
    const REFUSED: [&str; 11] = [
        "alora_invocation_tokens",
        "arrow_config",
        "kasa_config",
        "layer_replication",
        "megatron_config",
        "mica",
        "monteclora_config",
        "use_bdlora",
        "use_qalora",
        "velora_config",
        "lora_variant",
    ];
    for field in REFUSED {
        let Some(value) = fields.get(field) else { continue };
        if json::is_set(value) {
            return Err(Error::unsupported(file, format!("{field} = {value}")));
        }
    }
    refuse_changed_base(file, fields)
}

/// Refuses initializations that move a part of the base's weights into the factors. Such an adapter belongs to the
/// remaining base weights, which are not saved.
fn refuse_changed_base(file: &str, fields: &Map<String, Value>) -> Result<()> {
    const KEEP_BASE: [&str; 3] = ["gaussian", "eva", "orthogonal"];
    match fields.get("init_lora_weights") {
        Some(Value::String(name)) if !KEEP_BASE.contains(&name.to_lowercase().as_str()) => {
            let error =
                Error::unsupported(file, format!("init_lora_weights = {name:?}, which changes the base,"));
            Err(error.advise(
                "save it with path_initial_model_for_weight_conversion, which makes a plain LoRA of it",
            ))
        }
        Some(_) | None => Ok(()),
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
    fn rank_and_alpha_have_the_defaults_of_peft() {
        let config = AdapterConfig::parse("f", b"{}").unwrap();
        assert_eq!((config.rank, config.alpha), (8, 8.0));
    }

    #[test]
    fn a_field_of_another_type_is_named_with_what_it_may_be() {
        for (fields, expected) in [
            (
                r#","trainable_token_indices":[-1,7]"#,
                "trainable_token_indices [-1,7], which is not a list of token ids, or an object",
            ),
            (
                r#","layers_to_transform":"0""#,
                r#"layers_to_transform "0", which is not a number, or a list of"#,
            ),
            (r#","target_modules":3"#, "target_modules 3, which is not a name"),
            (r#","exclude_modules":[3]"#, "exclude_modules [3], which is not a name"),
            (r#","layers_pattern":{}"#, "layers_pattern {}, which is not a name"),
        ] {
            let error = config(fields).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }

    #[test]
    fn rslora_divides_by_the_root_of_the_rank() {
        let scaling = config(r#","use_rslora":true"#).unwrap().scaling_of("x");
        assert_eq!(scaling, (16.0 / 8.0_f64.sqrt()) as f32);
    }

    #[test]
    fn patterns_match_whole_names_or_what_follows_a_dot() {
        let config = config(r#","rank_pattern":{"q_proj":4,"^model.layers.1.*":2,"^model.layers.2":1},"alpha_pattern":{"layers.0.self_attn.q_proj":4}"#).unwrap();
        assert_eq!(config.rank_of("model.layers.0.self_attn.q_proj"), 4);
        assert_eq!(config.rank_of("model.layers.0.self_attn.eq_proj"), 8);
        assert_eq!(config.rank_of("model.layers.1.mlp.up_proj"), 2);
        assert_eq!(config.rank_of("model.layers.2.mlp.up_proj"), 8);
        assert_eq!(config.scaling_of("model.layers.0.self_attn.q_proj"), 1.0);
        assert_eq!(config.scaling_of("model.layers.2.self_attn.q_proj"), 4.0);
    }

    #[test]
    fn a_parameter_is_matched_by_its_own_name() {
        let fields = r#","target_parameters":["q_proj.weight"],"rank_pattern":{"q_proj":4,"q_proj.weight":2,"v_proj":3}"#;
        let config = config(fields).unwrap();
        assert!(config.by_parameter("model.layers.0.self_attn.q_proj"));
        assert!(!config.by_parameter("model.layers.0.self_attn.eq_proj"));
        assert_eq!(config.rank_of("model.layers.0.self_attn.q_proj"), 2);
        assert_eq!(config.rank_of("model.layers.0.self_attn.v_proj"), 3);
    }

    #[test]
    fn a_saved_module_is_named_by_the_end_of_its_name_or_of_one_it_is_in() {
        for (module, name) in [
            ("model.norm", "norm"),
            ("model.layers.0.input_layernorm", "norm"),
            ("model.layers.0.mlp.up_proj", "mlp"),
            ("lm_head", "lm_head"),
        ] {
            assert!(is_in(module, name), "{module} {name}");
        }
        assert!(!is_in("model.layers.0.mlp.up_proj", "up"));
    }

    #[test]
    fn initializations_that_keep_the_base_are_plain_lora() {
        for init in ["true", "false", "null", r#""gaussian""#, r#""eva""#, r#""orthogonal""#] {
            config(&format!(r#","init_lora_weights":{init}"#)).unwrap();
        }
    }

    #[test]
    fn the_first_pattern_of_the_file_wins() {
        let config = config(r#","rank_pattern":{"z.*":4,"z1":2}"#).unwrap();
        assert_eq!(config.rank_of("a.z1"), 4);
    }

    #[test]
    fn fields_that_are_not_applied_exactly_are_refused_by_name() {
        for (field, name) in [
            (r#","target_parameters":["router.per_expert_scale"]"#, "target_parameters"),
            (r#","init_lora_weights":"pissa_niter_4""#, "pissa_niter_4"),
            (r#","init_lora_weights":"olora""#, "olora"),
            (r#","use_qalora":true"#, "use_qalora"),
            (r#","layer_replication":[[0,4]]"#, "layer_replication"),
            (r#","peft_type":"LOHA""#, "LOHA"),
        ] {
            let error = config(field).unwrap_err().to_string();
            assert!(error.contains(name) && error.contains("not supported"), "{error}");
        }
    }
}
