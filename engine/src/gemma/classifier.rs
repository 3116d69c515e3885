//! The classifiers on language models: `…ForSequenceClassification` and `…ForTokenClassification`.

use super::ExpectedShape;
use super::canonical_name::canonical_name;
use crate::checkpoint::ModelConfig;
use crate::error::Result;

/// A row for each label.
const WEIGHT: &str = "score.weight";

const CLASSES: [&str; 2] = ["ForSequenceClassification", "ForTokenClassification"];

/// The class of the language model under a classifier; `None` if the class is no classifier.
pub(super) fn language_model_class(class: &str) -> Option<String> {
    let model = CLASSES.iter().find_map(|end| class.strip_suffix(end))?;
    Some(format!("{}ForCausalLM", model.strip_suffix("Text").unwrap_or(model)))
}

/// The class of a classifier, and the name of the tensor that it requires; `None` for other models.
pub(crate) fn classifier_weight(config: &ModelConfig) -> Option<(&str, &'static str)> {
    let class = config.class()?;
    language_model_class(class).map(|_| (class, WEIGHT))
}

/// The shape of a classifier's tensor for a language model with hidden states of this size: a row for each label. `None` for
/// other tensors and models.
///
/// # Errors
/// When the labels in `config.json` have the wrong type.
pub(crate) fn classifier_shape(
    config: &ModelConfig,
    hidden: u64,
    name: &str,
) -> Result<Option<ExpectedShape>> {
    if classifier_weight(config).is_none() {
        return Ok(None);
    }
    let labels = match config.top_level("id2label").object()? {
        Some(names) => names.len() as u64,
        None => config.top_level("num_labels").u32()?.unwrap_or(DEFAULT_LABELS).into(),
    };
    Ok(match &*canonical_name(name) {
        WEIGHT => Some(ExpectedShape::exact([labels, hidden])),
        "score.bias" => Some(ExpectedShape::exact([labels])),
        _ => None,
    })
}

/// The labels of a configuration that has none: transformers does not save those of a model with two.
const DEFAULT_LABELS: u32 = 2;
