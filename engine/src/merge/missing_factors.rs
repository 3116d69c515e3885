//! Modules of the language model that an adapter's configuration targets and for which the adapter has no factors.

use super::ModelTensor;
use super::targets::{is_of_layer, unchanged};
use crate::checkpoint::{Checkpoint, TensorInfo};
use crate::error::Result;
use crate::gemma::{Architecture, MappedTensor, all_names};
use crate::peft::{Adapter, ModuleSpellings, module_of};

/// The part of a module's name from which on it is the same in every class and version of transformers.
const LAYERS: &str = "layers.";

/// Their names in the base, and those of parameters in `target_parameters`. PEFT initializes such modules, so that they change
/// nothing, and warns. An adapter without any factors of layers of the language model is not checked: it may have been trained
/// on an encoder alone. `tensors` are those of the base, with the changes that apply to them.
pub(super) fn find(base: &Checkpoint, adapter: &Adapter, tensors: &[ModelTensor]) -> Result<Vec<String>> {
    let prefix = if adapter.config().has_targets() { layers_prefix(base, adapter, tensors)? } else { None };
    let is_missing = |tensor: &TensorInfo| -> Result<bool> {
        Ok(adapter.config().trains_parameter(&tensor.name)
            || match &prefix {
                Some(prefix) => is_matrix(base, tensor)? && is_targeted(adapter, &renamed(tensor, prefix))?,
                None => false,
            })
    };
    let mut missing = Vec::new();
    for tensor in unchanged(base, tensors) {
        if is_missing(tensor)? {
            missing.push(tensor.name.strip_suffix(".weight").unwrap_or(&tensor.name).to_owned());
        }
    }
    Ok(missing)
}

/// What the class of transformers whose names the configuration has puts in front of layers; `None` if the adapter changes none.
fn layers_prefix(base: &Checkpoint, adapter: &Adapter, tensors: &[ModelTensor]) -> Result<Option<String>> {
    for tensor in tensors {
        let mut changes = tensor.changes.iter().map(|number| &adapter.changes()[*number]);
        if let Some(change) = changes.find(|change| change.is_of_layer())
            && is_of_layer(base, &base.tensors()[tensor.base])?
            && let Some(prefix) = targeted_prefix(adapter, change.module())?
        {
            return Ok(Some(prefix));
        }
    }
    Ok(None)
}

/// The same, by the module of a layer.
fn targeted_prefix(adapter: &Adapter, module: &str) -> Result<Option<String>> {
    for name in [module.to_owned()].into_iter().chain(all_names(module)) {
        if is_targeted(adapter, &name)? {
            return Ok(name.split_once(LAYERS).map(|(prefix, _)| prefix.to_owned()));
        }
    }
    Ok(None)
}

/// The name of a tensor's module in the class that puts this in front of layers.
fn renamed(tensor: &TensorInfo, prefix: &str) -> String {
    let module = module_of(&tensor.name);
    match module.split_once(LAYERS) {
        Some((_, rest)) => format!("{prefix}{LAYERS}{rest}"),
        None => module.to_owned(),
    }
}

/// Whether a tensor of the base is the matrix of a linear layer or of an embedding of the language model.
fn is_matrix(base: &Checkpoint, tensor: &TensorInfo) -> Result<bool> {
    Ok(tensor.shape.len() == 2 && (is_outside_of_layers(base, tensor) || is_of_layer(base, tensor)?))
}

/// Whether it is one of the language model that belongs to no layer: an embedding, the lm_head, or one such as
/// `per_layer_model_projection` of Gemma 3n and 4.
fn is_outside_of_layers(base: &Checkpoint, tensor: &TensorInfo) -> bool {
    Architecture::of(base.config()).is_ok_and(|architecture| {
        let mapped = architecture.family().map_tensor(&tensor.name);
        matches!(mapped, MappedTensor::LmHead | MappedTensor::Tensor(_, None))
    })
}

/// Whether PEFT puts a LoRA layer on a module of this name.
fn is_targeted(adapter: &Adapter, module: &str) -> Result<bool> {
    let spellings = ModuleSpellings { own: &[module], other: &[] };
    adapter.config().targets_module(&adapter.config_file(), spellings)
}
