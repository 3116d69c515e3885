//! Refuses a model that lacks tensors: transformers fills them with random values, and llama.cpp does not load the file.

use std::collections::{HashMap, HashSet};

use crate::error::{Error, Result};
use crate::gemma::{Architecture, MappedTensor, MmprojEncoders, canonical_name, classifier_weight};
use crate::merge::Model;

/// Checks that transformers finds every tensor of the language model.
///
/// # Errors
/// [`Error::Invalid`] with the name of a missing tensor.
pub(super) fn check_language_model_complete(model: &Model, architecture: Architecture) -> Result<()> {
    let (config, family) = (model.base().config(), architecture.family());
    let Some(layers) = config.u32("num_hidden_layers")? else { return Ok(()) };
    // a setting that GGUF files cannot express leaves open what a layer has
    let Ok(required) = family.required_tensors(config, layers) else { return Ok(()) };
    let names = names(model, |name| family.map_tensor(name));
    for name in required.iter().filter(|name| !names.contains(*name)) {
        if !family.is_shared_kv(config, name, layers)? {
            return Err(missing_tensor(model, architecture, layers, name));
        }
    }
    Ok(())
}

/// Checks that a classifier has its weights.
///
/// # Errors
/// [`Error::Invalid`] with the tensor's name.
pub(super) fn check_classifier_complete(model: &Model) -> Result<()> {
    let Some((class, required)) = classifier_weight(model.base().config()) else { return Ok(()) };
    if model.tensors().iter().any(|tensor| canonical_name(&tensor.info.name) == required) {
        return Ok(());
    }
    let problem = format!(
        "has no tensor {required}, which {class} requires: transformers would classify with random numbers"
    );
    Err(Error::invalid(model.base().location(), problem))
}

/// Checks that encoders and projectors are complete. A model may be stored without any of them.
///
/// # Errors
/// [`Error::Invalid`] with the name of a missing tensor.
pub(super) fn check_encoders_complete(model: &Model, encoders: &MmprojEncoders) -> Result<()> {
    let names = names(model, |name| encoders.map_tensor(name));
    if names.is_empty() {
        return Ok(());
    }
    match encoders.required_tensors(&names)?.iter().find(|name| !names.contains(*name)) {
        Some(name) => Err(missing_encoder_tensor(model, name)),
        None => Ok(()),
    }
}

/// The error for a language model without this tensor of a GGUF file.
pub(crate) fn missing_tensor(model: &Model, architecture: Architecture, layers: u32, name: &str) -> Error {
    let family = architecture.family();
    let saved = family.checkpoint_name(name);
    let names = model.tensors().iter().map(|tensor| tensor.info.name.as_str());
    // a tensor under a wrong name is both missing and unknown
    let unknown = names.into_iter().find(|name| family.map_tensor(name) == MappedTensor::Unknown);
    let unknown = unknown.map(|name| format!("; its {name} is not a tensor that {architecture} models have"));
    let problem = format!(
        "has no tensor {saved}, which {layers} layers of {architecture} require{}",
        unknown.unwrap_or_default()
    );
    Error::invalid(model.base().location(), problem)
}

/// The error for encoders without this tensor of an mmproj file.
pub(crate) fn missing_encoder_tensor(model: &Model, name: &str) -> Error {
    let problem = format!("has no tensor for {name} of mmproj files, which its encoders require");
    Error::invalid(model.base().location(), problem)
}

/// The names in a GGUF file of the tensors of a model. A stack is there when all of its parts are.
fn names(model: &Model, map: impl Fn(&str) -> MappedTensor) -> HashSet<String> {
    let mut names = HashSet::new();
    let mut stacks: HashMap<String, HashSet<usize>> = HashMap::new();
    for tensor in model.tensors() {
        match map(&tensor.info.name) {
            MappedTensor::Tensor(name, _) => {
                names.insert(name);
            }
            MappedTensor::StackPart { name, number, count } => {
                let parts = stacks.entry(name.clone()).or_default();
                parts.insert(number);
                if parts.len() == count {
                    names.insert(name);
                }
            }
            MappedTensor::LmHead | MappedTensor::Skipped | MappedTensor::Unknown => {}
        }
    }
    names
}
