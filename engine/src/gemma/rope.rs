//! RoPE: since transformers 5 in `rope_parameters`, by layer type; before that in three fields.

use serde_json::Value;

use crate::checkpoint::ModelConfig;
use crate::error::{Error, Result};
use crate::gguf::GgufMetadata;

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
        let parameters = config.get("rope_parameters");
        let global =
            parameters.map(|p| p.get("full_attention").unwrap_or(p)).or_else(|| config.get("rope_scaling"));
        let local = parameters.and_then(|p| p.get("sliding_attention"));
        let theta_in = |part: Option<&Value>| part?.get("rope_theta")?.as_f64().map(|n| n as f32);
        let theta = match theta_in(global) {
            Some(theta) => Some(theta),
            None => config.f32("rope_theta")?,
        };
        let local_theta = match theta_in(local) {
            Some(theta) => Some(theta),
            None => config.f32("rope_local_base_freq")?,
        };
        let (theta, local_theta) = (theta.unwrap_or(1e6), local_theta.unwrap_or(1e4));
        Ok(Self { theta, local_theta, linear_factor: linear_factor(config, global)? })
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

fn linear_factor(config: &ModelConfig, rope: Option<&Value>) -> Result<Option<f32>> {
    let Some(rope) = rope else { return Ok(None) };
    let kind = rope.get("rope_type").or_else(|| rope.get("type")).and_then(Value::as_str);
    match kind {
        // the factors of Gemma 4 are a tensor of the file
        None | Some("default" | "proportional") => Ok(None),
        Some("linear") => match rope.get("factor").and_then(Value::as_f64) {
            Some(factor) => Ok(Some(factor as f32)),
            None => Err(Error::invalid(config.file(), "has linear rope_scaling without a factor")),
        },
        Some(other) => Err(Error::unsupported(config.file(), format!("GGUF with rope type {other:?}"))),
    }
}
