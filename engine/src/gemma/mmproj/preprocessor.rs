//! How images are preprocessed, part of which is in the metadata.

use serde_json::Value as Json;

use crate::checkpoint::{ConfigField, ModelFiles};
use crate::error::{Error, Result};
use crate::gguf::MetadataValue;
use crate::io::json;
use crate::io::read_source;

/// The fields of `preprocessor_config.json` and `processor_config.json`.
pub(super) struct PreprocessorConfig<'a> {
    files: &'a ModelFiles,
    values: serde_json::Map<String, Json>,
}

impl<'a> PreprocessorConfig<'a> {
    /// Reads both files; the second wins where both have a field.
    pub(super) fn of(files: &'a ModelFiles) -> Result<Self> {
        let mut values = serde_json::Map::new();
        for name in ["preprocessor_config.json", "processor_config.json"] {
            let Some(source) = files.open(name)? else { continue };
            let mut config: serde_json::Map<String, Json> =
                json::parse(source.location(), &read_source(&*source)?)?;
            if let Some(Json::Object(inner)) = config.get("image_processor").cloned() {
                config.extend(inner);
            }
            values.extend(config);
        }
        Ok(Self { files, values })
    }

    pub(super) fn field(&self, key: &str) -> ConfigField<'_> {
        ConfigField::new(self.files.location(), "", &self.values, key)
    }

    /// One number for each color channel.
    pub(super) fn channels(&self, key: &str) -> Result<MetadataValue> {
        let numbers = self.field(key).f64s()?.unwrap_or_default();
        if numbers.len() != 3 {
            let what =
                format!("preprocessor_config.json with three numbers in {key}: copy it from the base model");
            return Err(Error::Missing { folder: self.files.location().to_owned(), what });
        }
        Ok(MetadataValue::F32s(numbers.into_iter().map(|number| number as f32).collect()))
    }
}
