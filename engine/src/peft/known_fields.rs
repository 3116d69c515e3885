//! The fields of `adapter_config.json` that PEFT's `LoraConfig` has (`config_fields.json`). Another field may change the merged
//! weights.

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::error::Result;
use crate::io::json;

#[derive(Deserialize)]
struct KnownFields {
    fields: Vec<String>,
    /// Fields of other versions.
    other: Vec<String>,
}

/// The fields that PEFT does not have, with their values. One that is null, false or empty is none of them.
pub(super) fn unknown_fields(fields: &Map<String, Value>) -> Result<Vec<String>> {
    let known: KnownFields = json::parse("config_fields.json", include_bytes!("config_fields.json"))?;
    let is_known = |name: &String| known.fields.contains(name) || known.other.contains(name);
    let unknown = fields.iter().filter(|(name, value)| !is_known(name) && json::is_set(value));
    Ok(unknown
        .map(|(name, value)| format!("{name} {value}, which PEFT's LoraConfig does not have"))
        .collect())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_field_that_peft_does_not_have_is_named_with_its_value() {
        let config = json!({
            "r": 8, "lora_dropout": 0.1, "peft_version": "0.21.2", "use_new": false, "new_config": {},
            "new_scaling": 2, "_private": "x"
        });
        assert_eq!(
            unknown_fields(config.as_object().unwrap()).unwrap(),
            [
                "_private \"x\", which PEFT's LoraConfig does not have",
                "new_scaling 2, which PEFT's LoraConfig does not have"
            ]
        );
    }
}
