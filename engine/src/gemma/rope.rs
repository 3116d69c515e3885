//! RoPE: since transformers 5 in `rope_parameters`, by layer type; before that in three fields.

use serde_json::Value;

use super::attention::AttentionRules;
use crate::checkpoint::{ConfigField, ModelConfig};
use crate::error::{Error, Result};
use crate::gguf::GgufMetadata;

/// RoPE of a layer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct LayerRope {
    pub(crate) theta: f32,
    /// Positions are divided by it.
    pub(crate) scale: f32,
}

/// RoPE of layers with a sliding window or of the others, as the class reads it from `config.json`.
pub(crate) fn layer_rope(
    rules: &AttentionRules,
    config: &ModelConfig,
    is_sliding: bool,
) -> Result<LayerRope> {
    if !rules.has_local_rope {
        return Ok(LayerRope { theta: global_theta(config)?.unwrap_or(ASSUMED_THETA), scale: 1.0 });
    }
    let rope = RopeParameters::of(config)?;
    Ok(match is_sliding {
        true => LayerRope { theta: rope.local_theta, scale: 1.0 },
        false => LayerRope { theta: rope.theta, scale: rope.linear_factor.unwrap_or(1.0) },
    })
}

/// The base frequency that llama.cpp assumes where a file has none.
const ASSUMED_THETA: f32 = 10_000.0;

/// RoPE's base frequency and linear scaling.
pub(super) struct RopeParameters {
    /// Of layers with global attention.
    theta: f32,
    /// Of layers with a sliding window.
    local_theta: f32,
    linear_factor: Option<f32>,
}

impl RopeParameters {
    pub(super) fn of(config: &ModelConfig) -> Result<Self> {
        reject_ambiguous(config)?;
        let (global, local) =
            (global_rope(config)?, config.field("rope_parameters").field("sliding_attention")?);
        let theta = global.field("rope_theta")?.f32()?.or(config.f32("rope_theta")?);
        let local_theta = local.field("rope_theta")?.f32()?.or(config.f32("rope_local_base_freq")?);
        if let Some(kind) = rope_type(&local)?.filter(|kind| *kind != "default") {
            let feature = format!("GGUF with rope type {kind:?} in layers with a sliding window");
            return Err(Error::unsupported(config.file(), feature));
        }
        let (theta, local_theta) = (theta.unwrap_or(1e6), local_theta.unwrap_or(1e4));
        Ok(Self { theta, local_theta, linear_factor: linear_factor(config, &global)? })
    }

    pub(super) fn write(&self, out: &mut GgufMetadata) {
        if let Some(factor) = self.linear_factor {
            out.set_arch_key("rope.scaling.type", "linear");
            out.set_arch_key("rope.scaling.factor", factor);
        }
        out.set_arch_key("rope.freq_base", self.theta);
        out.set_arch_key("rope.freq_base_swa", self.local_theta);
    }
}

/// RoPE of layers with global attention, in the spelling that the configuration has.
pub(super) fn global_rope(config: &ModelConfig) -> Result<ConfigField<'_>> {
    let parameters = config.field("rope_parameters");
    let full_attention = parameters.field("full_attention")?;
    Ok(match (full_attention.value(), parameters.value()) {
        (Some(_), _) => full_attention,
        (None, Some(_)) => parameters,
        (None, None) => config.field("rope_scaling"),
    })
}

/// The base frequency of a family without scaling and without layer types; `None` for the one that llama.cpp assumes.
///
/// # Errors
/// [`Error::Unsupported`] for any scaling: the family's files have no key for it.
pub(super) fn global_theta(config: &ModelConfig) -> Result<Option<f32>> {
    let mut theta = config.f32("rope_theta")?;
    for field in ["rope_scaling", "rope_parameters"] {
        let rope = config.field(field);
        let Some(fields) = rope.object()? else { continue };
        let kind = rope_type(&rope)?.unwrap_or("default");
        let is_partial = rope.field("partial_rotary_factor")?.f64()?.is_some_and(|part| part != 1.0);
        let has_layer_types = fields.values().any(Value::is_object);
        if kind != "default" || is_partial || has_layer_types {
            let value = Value::Object(fields.clone());
            return Err(Error::unsupported(config.file(), format!("GGUF with {field} {value}")));
        }
        theta = rope.field("rope_theta")?.f32()?.or(theta);
    }
    Ok(theta.filter(|theta| *theta != ASSUMED_THETA))
}

/// Rejects spellings that versions of transformers and llama.cpp's converter read in different ways.
fn reject_ambiguous(config: &ModelConfig) -> Result<()> {
    let rope_scaling = config.field("rope_scaling");
    let (parameters, scaling) = (config.field("rope_parameters").object()?, rope_scaling.value());
    let has_old_type = rope_scaling.field("rope_type")?.value().is_none()
        && rope_type(&rope_scaling)?.is_some_and(|kind| kind != "default");
    let feature = match (parameters, scaling) {
        (Some(parameters), _) if !parameters.is_empty() && !parameters.values().any(Value::is_object) => {
            "rope_parameters that have no layer types".to_owned()
        }
        (Some(_), Some(scaling)) => format!("rope_scaling {scaling} beside rope_parameters"),
        (None, Some(scaling)) if has_old_type => format!("rope_scaling {scaling}, which has no rope_type"),
        (None, Some(_) | None) | (Some(_), None) => return Ok(()),
    };
    Err(Error::unsupported(config.file(), format!("GGUF with {feature}")).advise(
        "versions of transformers read it in different ways: write rope_parameters for each layer type",
    ))
}

fn rope_type<'a>(rope: &ConfigField<'a>) -> Result<Option<&'a str>> {
    Ok(rope.field("rope_type")?.str()?.or(rope.field("type")?.str()?))
}

/// Refuses linear scaling without a factor, or with one that is not positive.
pub(crate) fn check_linear_factor(config: &ModelConfig) -> Result<()> {
    let rope = global_rope(config)?;
    match rope_type(&rope)? {
        Some("linear") => linear_factor(config, &rope).map(drop),
        Some(_) | None => Ok(()),
    }
}

fn linear_factor(config: &ModelConfig, rope: &ConfigField<'_>) -> Result<Option<f32>> {
    match rope_type(rope)? {
        // the factors of Gemma 4 are a tensor of the file
        None | Some("default" | "proportional") => Ok(None),
        Some("linear") => match rope.field("factor")?.f32()? {
            Some(factor) if factor > 0.0 => Ok(Some(factor)),
            Some(_) => Err(rope.field("factor")?.invalid("is not positive, and positions are divided by it")),
            None => Err(Error::invalid(config.file(), "has linear rope_scaling without a factor")),
        },
        Some(other) => Err(Error::unsupported(config.file(), format!("GGUF with rope type {other:?}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn theta(fields: &str) -> Result<Option<f32>, String> {
        let config = ModelConfig::parse("config.json".to_owned(), fields.as_bytes()).unwrap();
        global_theta(&config).map_err(|error| error.to_string())
    }

    #[test]
    fn another_base_frequency_is_written_and_the_assumed_one_is_not() {
        assert_eq!(theta("{}"), Ok(None));
        assert_eq!(theta(r#"{"rope_theta": 10000.0, "rope_scaling": null}"#), Ok(None));
        assert_eq!(theta(r#"{"rope_theta": 500000}"#), Ok(Some(500_000.0)));
        let parameters = r#"{"rope_parameters": {"rope_type": "default", "rope_theta": 1e6}}"#;
        assert_eq!(theta(parameters), Ok(Some(1e6)));
    }

    #[test]
    fn ambiguous_spellings_are_refused_where_layer_types_have_rope() {
        let of = |fields: &str| {
            let config = ModelConfig::parse("config.json".to_owned(), fields.as_bytes()).unwrap();
            RopeParameters::of(&config).map(|rope| rope.theta).map_err(|error| error.to_string())
        };
        for fields in [
            r#"{"rope_parameters": {"rope_type": "default", "rope_theta": 10000.0}}"#,
            r#"{"rope_scaling": {"type": "linear", "factor": 8.0}}"#,
            r#"{"rope_scaling": {"rope_type": "linear", "factor": 8.0}, "rope_parameters": {"full_attention": {"rope_type": "default"}}}"#,
        ] {
            assert!(of(fields).unwrap_err().contains("rope_"), "{fields}");
        }
        let parts = r#"{"rope_parameters": {"full_attention": {"rope_type": "default", "rope_theta": 5.0}}, "rope_scaling": null}"#;
        assert_eq!(of(parts), Ok(5.0));
        assert_eq!(of(r#"{"rope_scaling": {"rope_type": "linear", "factor": 8.0}}"#), Ok(1e6));
    }

    #[test]
    fn scaling_without_a_key_is_refused_in_both_spellings() {
        for fields in [
            r#"{"rope_scaling": {"type": "linear", "factor": 8.0}}"#,
            r#"{"rope_parameters": {"rope_type": "linear", "factor": 8.0, "rope_theta": 10000.0}}"#,
            r#"{"rope_parameters": {"rope_type": "yarn", "factor": 4.0}}"#,
            r#"{"rope_parameters": {"rope_type": "default", "partial_rotary_factor": 0.5}}"#,
            r#"{"rope_parameters": {"full_attention": {"rope_type": "default"}}}"#,
        ] {
            assert!(theta(fields).unwrap_err().contains("GGUF with rope_"), "{fields}");
        }
    }
}
