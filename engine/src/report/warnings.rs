//! What an export could not check.

use serde::Serialize;

use crate::error::{Result, first_names};
use crate::gemma::{unknown_encoder_fields, unknown_fields};
use crate::merge::Model;
use crate::peft::Adapter;

/// Something that the export could not check, and that does not end it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ExportWarning {
    /// For programs: `unknown_config_field`, `unknown_adapter_field` or `unread_weights`.
    pub code: &'static str,
    /// For people.
    pub message: String,
}

impl ExportWarning {
    /// About the language model and the adapter.
    pub(crate) fn of_language_model(model: &Model) -> Result<Vec<Self>> {
        Ok(Self::with_adapter(model, unknown_fields(model.base().config())?))
    }

    /// About vision and audio encoders and the adapter.
    pub(crate) fn of_encoders(model: &Model) -> Result<Vec<Self>> {
        Ok(Self::with_adapter(model, unknown_encoder_fields(model.base().config())?))
    }

    /// About all of a checkpoint and the adapter.
    pub(crate) fn of_checkpoint(model: &Model) -> Result<Vec<Self>> {
        let config = model.base().config();
        let unknown = [unknown_fields(config)?, unknown_encoder_fields(config)?].concat();
        Ok(Self::with_adapter(model, unknown))
    }

    /// About an adapter.
    pub(crate) fn of_adapter(adapter: &Adapter) -> Vec<Self> {
        let unknown = adapter.config().unknown_fields.iter();
        unknown
            .map(|field| Self::unknown_field("unknown_adapter_field", "adapter_config.json", field))
            .chain(Self::unread_weights("adapter", adapter.unread()))
            .collect()
    }

    fn with_adapter(model: &Model, unknown: Vec<String>) -> Vec<Self> {
        let fields = unknown.iter();
        let warnings = fields.map(|field| Self::unknown_field("unknown_config_field", "config.json", field));
        let warnings = warnings.chain(Self::unread_weights("base", model.base().unread()));
        warnings.chain(model.adapter().map(Self::of_adapter).into_iter().flatten()).collect()
    }

    fn unknown_field(code: &'static str, file: &str, field: &str) -> Self {
        let message = format!(
            "{file} has {field}: it may change what the model computes, and the export does not take it into account"
        );
        Self { code, message }
    }

    fn unread_weights(whose: &str, unread: &[String]) -> Option<Self> {
        let message = format!(
            "the {whose} has weights that are not read, because transformers and PEFT do not read them: {}",
            first_names(unread)
        );
        (!unread.is_empty()).then_some(Self { code: "unread_weights", message })
    }
}
