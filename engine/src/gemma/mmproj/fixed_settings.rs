//! Settings of encoders that llama.cpp has as constants: a file of other values loads, and computes something else.

use serde_json::Value;

use crate::checkpoint::ModelConfig;
use crate::error::{Error, Result};

/// A field, within another one after a dot, and the one value that llama.cpp computes with. It is the class's default.
pub(super) type FixedSetting = (&'static str, FixedValue);

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum FixedValue {
    Number(f64),
    Text(&'static str),
    False,
}

impl FixedValue {
    fn is(self, value: &Value) -> bool {
        match self {
            // config.json has the shortest digits of either precision
            Self::Number(number) => value.as_f64().is_some_and(|value| value as f32 == number as f32),
            Self::Text(text) => value.as_str() == Some(text),
            Self::False => value.as_bool() == Some(false),
        }
    }
}

impl std::fmt::Display for FixedValue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Number(number) => number.fmt(f),
            Self::Text(text) => text.fmt(f),
            Self::False => f.write_str("false"),
        }
    }
}

/// Refuses an encoder with another value.
///
/// # Errors
/// [`Error::Unsupported`] with the field and its value.
pub(super) fn check(config: &ModelConfig, section: &str, settings: &[FixedSetting]) -> Result<()> {
    for (name, fixed) in settings {
        let field = match name.split_once('.') {
            Some((outer, inner)) => config.top_level(outer).field(inner)?,
            None => config.top_level(name),
        };
        if let Some(value) = field.value().filter(|value| !fixed.is(value)) {
            let feature = format!("an mmproj file with {section}.{name} {value}");
            return Err(Error::unsupported(config.file(), feature)
                .advise(format!("llama.cpp computes with {fixed}; export the model as merged")));
        }
    }
    Ok(())
}
