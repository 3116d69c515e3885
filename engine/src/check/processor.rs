//! The files that multimodal models are served with.

use serde_json::{Map, Value};

use super::{Finding, Severity};
use crate::error::Result;
use crate::io::json;
use crate::merge::Model;

/// The sections of `config.json` that describe encoders.
const ENCODERS: [&str; 2] = ["vision_config", "audio_config"];
/// The files of which a model with encoders has at least one.
const FILES: [&str; 2] = ["processor_config.json", "preprocessor_config.json"];

pub(super) fn check(model: &Model) -> Result<Vec<Finding>> {
    let config = model.base().config();
    let mut has_encoders = false;
    for section in ENCODERS {
        has_encoders |= config.section(section)?.is_some();
    }
    if !has_encoders {
        return Ok(Vec::new());
    }
    let mut has_file = false;
    for name in FILES {
        if let Some(file) = model.files().read(name)? {
            json::parse::<Map<String, Value>>(&file.location, &file.bytes)?;
            has_file = true;
        }
    }
    if has_file {
        return Ok(Vec::new());
    }
    let message = format!("the model has encoders, and neither {} nor {}", FILES[0], FILES[1]);
    let remedy = "copy both from the base model on the Hub, if it has them";
    Ok(vec![Finding::new(Severity::Warning, "processor_missing", message, remedy)])
}
