//! The files that multimodal models are served with.

use serde_json::{Map, Value};

use super::{Finding, Severity};
use crate::error::Result;
use crate::io::json;
use crate::merge::Model;

/// Settings of all processors of a model, by kind.
const PROCESSORS: &str = "processor_config.json";
/// Settings of the image processor, and of the feature extractor of audio.
const PREPROCESSOR: &str = "preprocessor_config.json";

/// An encoder, and what its inputs are made with.
struct Encoder {
    name: &'static str,
    /// Its section of `config.json`.
    section: &'static str,
    /// Its fields of `processor_config.json`, one of which is needed.
    fields: &'static [&'static str],
}

const ENCODERS: [Encoder; 2] = [
    Encoder { name: "a vision encoder", section: "vision_config", fields: &["image_processor"] },
    Encoder {
        name: "an audio encoder",
        section: "audio_config",
        fields: &["feature_extractor", "audio_processor"],
    },
];

pub(super) fn check(model: &Model) -> Result<Vec<Finding>> {
    let mut encoders = Vec::new();
    for encoder in ENCODERS {
        encoders.extend(model.base().config().section(encoder.section)?.map(|_| encoder));
    }
    if encoders.is_empty() {
        return Ok(Vec::new());
    }
    let processors = settings(model, PROCESSORS)?.unwrap_or_default();
    if settings(model, PREPROCESSOR)?.is_some() {
        return Ok(Vec::new());
    }
    let has = |field: &&str| processors.get(*field).is_some_and(Value::is_object);
    let lacking = encoders.iter().find(|encoder| !encoder.fields.iter().any(has));
    let finding = |Encoder { name, fields, .. }: &Encoder| {
        let message = format!(
            "the model has {name}, and neither {PREPROCESSOR} nor {PROCESSORS} with {}: programs cannot load its processor",
            fields[0]
        );
        let remedy = "copy both files from the base model on the Hub, if it has them";
        Finding::new(Severity::Warning, "processor_missing", message, remedy)
    };
    Ok(lacking.map(finding).into_iter().collect())
}

/// The fields of a file; `None` without it.
fn settings(model: &Model, name: &str) -> Result<Option<Map<String, Value>>> {
    let file = model.files().read(name)?;
    file.map(|file| json::parse(&file.location, &file.bytes)).transpose()
}
