//! Positions: since transformers 5 under `rope_parameters`, by kind of layer; before that spread over three keys.

use serde_json::Value;

use crate::checkpoint::ModelConfig;
use crate::error::{Error, Result};

pub(super) struct RopeParameters {
    pub(super) theta: f32,
    pub(super) local_theta: f32,
    pub(super) linear_factor: Option<f32>,
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
}

fn linear_factor(config: &ModelConfig, rope: Option<&Value>) -> Result<Option<f32>> {
    let Some(rope) = rope else { return Ok(None) };
    let kind = rope.get("rope_type").or_else(|| rope.get("type")).and_then(Value::as_str);
    match kind {
        // Gemma 4 has its factors in a tensor
        None | Some("default" | "proportional") => Ok(None),
        Some("linear") => match rope.get("factor").and_then(Value::as_f64) {
            Some(factor) => Ok(Some(factor as f32)),
            None => Err(Error::invalid(config.file(), "has linear rope_scaling without a factor")),
        },
        Some(other) => Err(Error::unsupported(config.file(), format!("GGUF with rope type {other:?}"))),
    }
}
