//! Sizes and counts of a configuration are whole numbers, in every class and section.

use crate::checkpoint::ModelConfig;
use crate::error::Result;

/// Refuses a size or count that is negative or has a fraction: transformers makes no model of it.
///
/// # Errors
/// [`Error::Invalid`](crate::error::Error::Invalid) with the field and its value.
pub(crate) fn check_sizes(config: &ModelConfig) -> Result<()> {
    for (name, value) in config.fields() {
        if value.is_number() && is_size(name) {
            config.top_level(name).u32()?;
        } else if value.is_object() && name.ends_with("_config") && name != "quantization_config" {
            config.section(name)?.as_ref().map_or(Ok(()), check_sizes)?;
        }
    }
    Ok(())
}

fn is_size(field: &str) -> bool {
    field.starts_with("num_") || field.contains("_size") || field.ends_with("_dim")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(fields: &str) -> Result<(), String> {
        let config = ModelConfig::parse("config.json".to_owned(), fields.as_bytes()).unwrap();
        check_sizes(&config).map_err(|error| error.to_string())
    }

    #[test]
    fn a_size_is_a_whole_number_in_every_section() {
        for (fields, name) in [
            (r#"{"num_attention_heads": -1}"#, "num_attention_heads is -1"),
            (r#"{"hidden_size": 256.0}"#, "hidden_size is 256.0"),
            (r#"{"text_config": {"head_dim": 0.5}}"#, "head_dim is 0.5"),
            (r#"{"vision_config": {"intermediate_size": -4}}"#, "intermediate_size is -4"),
            (r#"{"vocab_size_per_layer_input": 1e3}"#, "vocab_size_per_layer_input is 1000.0"),
        ] {
            let error = check(fields).unwrap_err();
            assert!(error.contains(name) && error.contains("not a 32-bit count"), "{error}");
        }
        let fields = r#"{"hidden_size": 64, "intermediate_size": [1, 2], "head_dim": null, "rms_norm_eps": 1e-6, "id2label": {"0": "x"}}"#;
        assert_eq!(check(fields), Ok(()));
    }
}
