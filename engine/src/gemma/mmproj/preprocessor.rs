//! How images are preprocessed, part of which is in the metadata.

use serde_json::Value as Json;

use crate::checkpoint::ModelFiles;
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

    pub(super) fn get(&self, key: &str) -> Option<&Json> {
        self.values.get(key)
    }

    /// The count under this path of nested fields, else `default`.
    pub(super) fn count(&self, path: &[&str], default: u32) -> Result<u32> {
        let mut at = self.values.get(path[0]);
        for key in &path[1..] {
            at = at.and_then(|value| value.get(key));
        }
        match at {
            None => Ok(default),
            Some(value) => value.as_u64().and_then(|n| u32::try_from(n).ok()).ok_or_else(|| {
                let problem = format!("{} is {value}, not a 32-bit count", path.join("."));
                Error::invalid(self.files.location(), problem)
            }),
        }
    }

    /// One number for each color channel.
    pub(super) fn channels(&self, key: &str) -> Result<MetadataValue> {
        let list = self.get(key).and_then(Json::as_array).map(Vec::as_slice).unwrap_or_default();
        let numbers: Vec<f32> = list.iter().filter_map(Json::as_f64).map(|n| n as f32).collect();
        if numbers.len() != 3 {
            let what =
                format!("preprocessor_config.json with three numbers in {key}: copy it from the base model");
            return Err(Error::Missing { folder: self.files.location().to_owned(), what });
        }
        Ok(MetadataValue::F32s(numbers))
    }
}
