//! What an export could not check.

use serde::Serialize;

use crate::error::{Result, first_names};
use crate::gemma::{MmprojEncoders, unknown_encoder_fields, unknown_fields};
use crate::merge::{Model, ModelTensor};

/// Something that the export could not check, and that does not end it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ExportWarning {
    /// For programs: `unknown_config_field`, `unknown_adapter_field`, `unread_weights`, `untargeted_modules`,
    /// `missing_factors`, `absent_saved_modules`, `unused_tensors`, `unmatched_tensor_type`, `mmproj_not_written` or `moved_off_grid`.
    pub code: &'static str,
    /// For people.
    pub message: String,
}

impl ExportWarning {
    /// About the language model and the adapter.
    pub(crate) fn of_language_model(model: &Model) -> Result<Vec<Self>> {
        let mut warnings = Self::with_adapter(model, unknown_fields(model.base().config())?);
        let changed = model.tensors().iter().filter(|tensor| tensor.is_target());
        let what = "the adapter changes and a file for llama.cpp does not have";
        warnings.extend(Self::unused_tensors(model, changed, what));
        Ok(warnings)
    }

    /// About vision and audio encoders and the adapter.
    pub(crate) fn of_encoders(model: &Model) -> Result<Vec<Self>> {
        let mut warnings = Self::with_adapter(model, unknown_encoder_fields(model.base().config())?);
        let what = "a file for llama.cpp does not have";
        warnings.extend(Self::unused_tensors(model, model.tensors().iter(), what));
        Ok(warnings)
    }

    /// About all of a checkpoint and the adapter.
    pub(crate) fn of_checkpoint(model: &Model) -> Result<Vec<Self>> {
        let config = model.base().config();
        let unknown = [unknown_fields(config)?, unknown_encoder_fields(config)?].concat();
        let mut warnings = Self::with_adapter(model, unknown);
        let ignored_by =
            MmprojEncoders::of(config).map_or(Ok(None), |encoders| encoders.ignoring_setting())?;
        if let Some(setting) = ignored_by {
            let who = format!("transformers ignores because of {setting}, and the export has as they are");
            warnings.extend(Self::unused_tensors(model, model.tensors().iter(), &who));
        }
        Ok(warnings)
    }

    /// About the adapter of a model.
    pub fn of_adapter(model: &Model) -> Vec<Self> {
        let Some(adapter) = model.adapter() else { return Vec::new() };
        let unknown = adapter.config().unknown_fields.iter();
        unknown
            .map(|field| Self::unknown_field("unknown_adapter_field", "adapter_config.json", field))
            .chain(Self::unread_weights("adapter", adapter.unread()))
            .chain(Self::untargeted_modules(model.untargeted_modules()))
            .chain(Self::missing_factors(model.missing_factors()))
            .chain(Self::absent_saved_modules(model.absent_saved_modules()))
            .collect()
    }

    /// About types for tensors, by the names that match none.
    pub(crate) fn unmatched_tensor_types<'a>(names: impl Iterator<Item = &'a str>) -> Vec<Self> {
        let warning = |name| Self {
            code: "unmatched_tensor_type",
            message: format!("no tensor of the file matches {name:?}: its type is not used"),
        };
        names.map(warning).collect()
    }

    /// About vision and audio encoders that cannot be converted.
    pub(crate) fn mmproj_not_written(reason: &str) -> Self {
        let message = format!(
            "no mmproj file is written, so llama.cpp reads neither images nor sound with this model: {reason}"
        );
        Self { code: "mmproj_not_written", message }
    }

    /// About an adapter on a base of quantization-aware training, which can be a GGUF file of its own if it `is_lora`.
    pub(crate) fn moved_off_grid(tensors: usize, is_lora: bool) -> Self {
        let remedy = if is_lora {
            "Export the base alone as q4_0, which is exact, and the adapter as a GGUF of its own; load both with \
             `llama-server -m base.gguf --lora adapter.gguf`"
        } else {
            "Take a type with more bits, such as q8_0"
        };
        let message = format!(
            "the base's weights lie on the 4-bit grid of quantization-aware training, and the adapter moves {tensors} tensors off it: \
             q4_0 loses most of such a change. {remedy}"
        );
        Self { code: "moved_off_grid", message }
    }

    /// About those of the tensors that are of a module that the model does not use, with what becomes of them.
    fn unused_tensors<'a>(
        model: &Model,
        tensors: impl Iterator<Item = &'a ModelTensor>,
        what: &str,
    ) -> Option<Self> {
        let encoders = MmprojEncoders::of(model.base().config()).ok()?;
        let names = tensors.map(|tensor| &tensor.info.name);
        let unused: Vec<String> =
            names.filter(|name| encoders.unused_module(name).is_some()).cloned().collect();
        let module = encoders.unused_module(unused.first()?)?;
        let message = format!(
            "the model has tensors of {module}, which it does not use and which {what}: {}",
            first_names(&unused)
        );
        Some(Self { code: "unused_tensors", message })
    }

    fn with_adapter(model: &Model, unknown: Vec<String>) -> Vec<Self> {
        let fields = unknown.iter();
        let warnings = fields.map(|field| Self::unknown_field("unknown_config_field", "config.json", field));
        let warnings = warnings.chain(Self::unread_weights("base", model.base().unread()));
        warnings.chain(Self::of_adapter(model)).collect()
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

    fn untargeted_modules(modules: &[String]) -> Option<Self> {
        let message = format!(
            "the adapter has factors that are left out, because PEFT ignores them: adapter_config.json (target_modules, \
             exclude_modules, layers_to_transform) does not target {}",
            first_names(modules)
        );
        (!modules.is_empty()).then_some(Self { code: "untargeted_modules", message })
    }

    fn missing_factors(modules: &[String]) -> Option<Self> {
        let message = format!(
            "the adapter has no factors for {} of the modules that adapter_config.json (target_modules) targets, so these stay as \
             in the base, as in PEFT: {}. Save the adapter again if they were trained",
            modules.len(),
            first_names(modules)
        );
        (!modules.is_empty()).then_some(Self { code: "missing_factors", message })
    }

    fn absent_saved_modules(names: &[String]) -> Option<Self> {
        let message = format!(
            "adapter_config.json names modules in modules_to_save that neither the adapter nor the base has; PEFT ignores \
             them: {}",
            first_names(names)
        );
        (!names.is_empty()).then_some(Self { code: "absent_saved_modules", message })
    }
}
