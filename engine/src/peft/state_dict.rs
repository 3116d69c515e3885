//! Groups the tensors of an adapter's state dict by module, and makes the changes they stand for.

use std::collections::{BTreeMap, BTreeSet};

use super::{AdapterChange, AdapterConfig, AdapterTensor, ChangeKind};
use crate::checkpoint::ADAPTER_CONFIG;
use crate::error::{Error, Result};
use crate::gemma::is_embedding;

/// What a tensor of the state dict is to its module.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum TensorRole {
    A,
    B,
    /// The bias of `lora_B` (`lora_bias`).
    Bias,
    /// DoRA's magnitude vector.
    Magnitude,
    EmbeddingA,
    EmbeddingB,
    /// Rows trained through `trainable_token_indices`.
    TrainedTokens,
    /// The base's weight when training started; saved with adapters of embeddings.
    BaseLayer,
    /// A full parameter whose name is not `weight` or `bias`; the module's name is then the parameter's.
    Parameter,
    /// The module's full weight.
    Weight,
    /// The module's full bias.
    FullBias,
    /// The full weight once more; saved with embeddings that are in `modules_to_save`.
    SavedWeight,
    SavedBias,
    /// The weight a module in `modules_to_save` had before training; not used.
    OriginalModule,
}

/// Splits a tensor's name into module, role and name of the adapter. The prefix `base_model.model.` and the adapter's
/// name (`default`) are optional.
fn parse_name(name: &str) -> Option<(&str, TensorRole, &str)> {
    const MARKS: [(&str, TensorRole); 9] = [
        (".lora_embedding_A", TensorRole::EmbeddingA),
        (".lora_embedding_B", TensorRole::EmbeddingB),
        (".lora_magnitude_vector", TensorRole::Magnitude),
        (".token_adapter.trainable_tokens_delta", TensorRole::TrainedTokens),
        (".lora_A", TensorRole::A),
        (".lora_B", TensorRole::B),
        (".base_layer", TensorRole::BaseLayer),
        (".modules_to_save", TensorRole::SavedWeight),
        (".original_module", TensorRole::OriginalModule),
    ];
    let path = name.strip_prefix("base_model.model.").unwrap_or(name);
    let Some((mark, role)) = MARKS.iter().find(|(mark, _)| path.contains(mark)) else {
        let (module, kind) = path.rsplit_once('.')?;
        let (name, role) = match kind {
            "weight" => (module, TensorRole::Weight),
            "bias" => (module, TensorRole::FullBias),
            _ => (path, TensorRole::Parameter),
        };
        return Some((name, role, "")).filter(|(name, ..)| !name.is_empty());
    };
    let (module, rest) = path.split_once(mark)?;
    let (adapter, kind) = match rest.rsplit_once('.') {
        Some((adapter, kind @ ("weight" | "bias"))) => (adapter, kind),
        Some(_) | None => (rest, "weight"),
    };
    let role = match (role, kind) {
        (TensorRole::B, "bias") => TensorRole::Bias,
        (TensorRole::BaseLayer, "bias") => TensorRole::FullBias,
        (TensorRole::SavedWeight, "bias") => TensorRole::SavedBias,
        (TensorRole::OriginalModule, _) => TensorRole::OriginalModule,
        (_, "weight") => *role,
        _ => return None,
    };
    let adapter = adapter.trim_matches('.');
    let module = module.strip_suffix(".token_adapter").unwrap_or(module);
    (!module.is_empty() && !adapter.contains('.')).then_some((module, role, adapter))
}

/// The changes of all modules, sorted by the names of the modules.
pub(super) fn changes(config: &AdapterConfig, tensors: Vec<AdapterTensor>) -> Result<Vec<AdapterChange>> {
    check_one_adapter(&tensors)?;
    let mut parts: BTreeMap<String, BTreeMap<TensorRole, AdapterTensor>> = BTreeMap::new();
    for tensor in tensors {
        let Some((module, role, _)) = parse_name(&tensor.name) else {
            return Err(tensor.error("is not a tensor that PEFT saves for LoRA"));
        };
        if role == TensorRole::OriginalModule {
            continue;
        }
        let roles = parts.entry(module.to_owned()).or_default();
        if let Some(before) = roles.get(&role) {
            return Err(tensor.error(format!("repeats {}", before.name)));
        }
        roles.insert(role, tensor);
    }
    let mut changes = Vec::new();
    check_experts(config, &parts)?;
    for (name, mut roles) in parts {
        if let Some(parameter) = expert_parameter(config, &name) {
            experts(config, parameter, &mut roles, &mut changes)?;
        }
        let base = roles.remove(&TensorRole::BaseLayer);
        low_rank(config, &name, &mut roles, base.as_ref(), &mut changes)?;
        embedding(config, &name, &mut roles, base.as_ref(), &mut changes)?;
        if let Some(tokens) = roles.remove(&TensorRole::TrainedTokens) {
            changes.push(trained_tokens(config, &name, tokens, base.clone())?);
        }
        if let Some(tensor) = roles.remove(&TensorRole::Parameter) {
            check_saved(config, &name, &tensor)?;
            changes.push(AdapterChange {
                target: name.clone(),
                base_layer: None,
                kind: ChangeKind::Replace(tensor),
            });
        }
        let weight = (TensorRole::Weight, TensorRole::SavedWeight, "weight");
        for (role, again, suffix) in [weight, (TensorRole::FullBias, TensorRole::SavedBias, "bias")] {
            let (tensor, again) = (roles.remove(&role), roles.remove(&again));
            if let Some(tensor) = tensor.or(again) {
                check_saved(config, &name, &tensor)?;
                changes.push(AdapterChange {
                    target: format!("{name}.{suffix}"),
                    base_layer: None,
                    kind: ChangeKind::Replace(tensor),
                });
            }
        }
        if let Some((role, tensor)) = roles.pop_first() {
            return Err(tensor.error(format!("has no matching {}", partner(role))));
        }
    }
    Ok(changes)
}

/// Refuses a file with the factors of several adapters: which of them is meant is not known.
fn check_one_adapter(tensors: &[AdapterTensor]) -> Result<()> {
    let named = |tensor: &AdapterTensor| parse_name(&tensor.name).map(|(.., adapter)| adapter.to_owned());
    let names: BTreeSet<String> = tensors.iter().filter_map(named).filter(|name| !name.is_empty()).collect();
    if let (Some(first), true) = (tensors.first(), names.len() > 1) {
        let names: Vec<String> = names.into_iter().collect();
        let feature = format!("a file with several adapters ({})", names.join(", "));
        let advice = "save one of them (save_pretrained with selected_adapters)";
        return Err(Error::unsupported(first.location(), feature).advise(advice));
    }
    Ok(())
}

fn partner(role: TensorRole) -> &'static str {
    match role {
        TensorRole::A | TensorRole::Bias | TensorRole::Magnitude => "lora_B",
        TensorRole::B => "lora_A",
        TensorRole::EmbeddingA => "lora_embedding_B",
        TensorRole::EmbeddingB => "lora_embedding_A",
        TensorRole::TrainedTokens
        | TensorRole::BaseLayer
        | TensorRole::Parameter
        | TensorRole::Weight
        | TensorRole::FullBias
        | TensorRole::SavedWeight
        | TensorRole::SavedBias
        | TensorRole::OriginalModule => "module",
    }
}

fn low_rank(
    config: &AdapterConfig,
    name: &str,
    roles: &mut BTreeMap<TensorRole, AdapterTensor>,
    base: Option<&AdapterTensor>,
    changes: &mut Vec<AdapterChange>,
) -> Result<()> {
    if !(roles.contains_key(&TensorRole::A) && roles.contains_key(&TensorRole::B)) {
        return Ok(());
    }
    let (Some(a), Some(b)) = (roles.remove(&TensorRole::A), roles.remove(&TensorRole::B)) else {
        return Ok(());
    };
    if is_embedding(name) && !config.by_parameter(name) {
        let problem = "is for a linear layer, and PEFT leaves it out of an embedding, which has lora_embedding_A and lora_embedding_B";
        return Err(a.error(problem));
    }
    check_rank(config, name, (&a, a.matrix()?.0, "lora_A"), (&b, b.matrix()?.1))?;
    let scaling = config.scaling_of(name);
    if let Some(bias) = roles.remove(&TensorRole::Bias) {
        let kind = ChangeKind::LoraBias { values: bias, scaling };
        changes.push(AdapterChange {
            target: format!("{name}.bias"),
            base_layer: roles.remove(&TensorRole::FullBias),
            kind,
        });
    }
    let magnitude = magnitude(config, roles, &b)?;
    let kind = ChangeKind::LowRank { a, b, scaling, magnitude, rounded: config.by_parameter(name) };
    changes.push(AdapterChange { target: format!("{name}.weight"), base_layer: base.cloned(), kind });
    Ok(())
}

/// Whether a module of this name is a linear layer in each of Gemma's families.
fn is_linear(name: &str) -> bool {
    let module = name.rsplit('.').next().unwrap_or(name);
    module == "lm_head" || module.ends_with("_proj")
}

/// The module inside of PEFT's wrappers, and how many there are around it.
fn unwrapped(name: &str) -> (&str, usize) {
    let (mut module, mut depth) = (name, 0);
    while let Some(inner) = module.strip_suffix(".base_layer") {
        (module, depth) = (inner, depth + 1);
    }
    (module, depth)
}

/// The stack of experts' weights that the factors of this name change. PEFT wraps a module once for each parameter, and
/// the name of a wrapper inside of another has `base_layer` at its end.
fn expert_parameter(config: &AdapterConfig, name: &str) -> Option<String> {
    let (module, depth) = unwrapped(name);
    config.expert_parameters(module).into_iter().rev().nth(depth)
}

/// Refuses stacks of experts some of whose factors are missing: the others cannot be told apart.
fn check_experts(
    config: &AdapterConfig,
    parts: &BTreeMap<String, BTreeMap<TensorRole, AdapterTensor>>,
) -> Result<()> {
    for (name, roles) in parts {
        let (module, _) = unwrapped(name);
        let trained = config.expert_parameters(module);
        let is_there = |depth| parts.contains_key(&format!("{module}{}", ".base_layer".repeat(depth)));
        if let Some(tensor) = roles.values().next()
            && !(0..trained.len()).all(is_there)
        {
            let problem =
                format!("is one of several factors: target_parameters has {}", trained.join(" and "));
            return Err(tensor.error(problem));
        }
    }
    Ok(())
}

fn experts(
    config: &AdapterConfig,
    parameter: String,
    roles: &mut BTreeMap<TensorRole, AdapterTensor>,
    changes: &mut Vec<AdapterChange>,
) -> Result<()> {
    let (Some(a), Some(b)) = (roles.remove(&TensorRole::A), roles.remove(&TensorRole::B)) else {
        return Ok(());
    };
    let (rank, scaling) = (u64::from(config.rank_of(&parameter)), config.scaling_of(&parameter));
    let (rows, columns) = (a.matrix()?.0, b.matrix()?.1);
    if rows != columns || !rows.is_multiple_of(rank) {
        let problem = format!("has {columns} columns for {rows} rows of its lora_A, with the rank {rank}");
        return Err(b.error(problem));
    }
    let kind = ChangeKind::ExpertLowRank { a, b, scaling, rank };
    changes.push(AdapterChange { target: parameter, base_layer: None, kind });
    Ok(())
}

fn embedding(
    config: &AdapterConfig,
    name: &str,
    roles: &mut BTreeMap<TensorRole, AdapterTensor>,
    base: Option<&AdapterTensor>,
    changes: &mut Vec<AdapterChange>,
) -> Result<()> {
    if !(roles.contains_key(&TensorRole::EmbeddingA) && roles.contains_key(&TensorRole::EmbeddingB)) {
        return Ok(());
    }
    let (Some(a), Some(b)) = (roles.remove(&TensorRole::EmbeddingA), roles.remove(&TensorRole::EmbeddingB))
    else {
        return Ok(());
    };
    if is_linear(name) {
        let problem =
            "is for an embedding, and PEFT leaves it out of a linear layer, which has lora_A and lora_B";
        return Err(a.error(problem));
    }
    check_rank(config, name, (&a, a.matrix()?.0, "lora_embedding_A"), (&b, b.matrix()?.1))?;
    let magnitude = magnitude(config, roles, &b)?;
    let kind = ChangeKind::Embedding { a, b, scaling: config.scaling_of(name), magnitude };
    changes.push(AdapterChange { target: format!("{name}.weight"), base_layer: base.cloned(), kind });
    Ok(())
}

/// DoRA's magnitudes, one for each row of `b`.
fn magnitude(
    config: &AdapterConfig,
    roles: &mut BTreeMap<TensorRole, AdapterTensor>,
    b: &AdapterTensor,
) -> Result<Option<AdapterTensor>> {
    let magnitude = roles.remove(&TensorRole::Magnitude);
    match &magnitude {
        None if config.dora => {
            Err(b.error(format!("has no magnitude vector, but use_dora in {ADAPTER_CONFIG}")))
        }
        Some(_) if !config.dora => {
            Err(b.error(format!("has a magnitude vector, but not use_dora in {ADAPTER_CONFIG}")))
        }
        Some(magnitude) if magnitude.length() != b.shape[0] => {
            let problem = format!("has {} values for {} rows", magnitude.length(), b.shape[0]);
            Err(magnitude.error(problem))
        }
        Some(_) | None => Ok(magnitude),
    }
}

fn check_rank(
    config: &AdapterConfig,
    name: &str,
    a: (&AdapterTensor, u64, &str),
    b: (&AdapterTensor, u64),
) -> Result<()> {
    let rank = u64::from(config.rank_of(name));
    if a.1 != rank {
        return Err(a.0.error(format!("has rank {}, but {ADAPTER_CONFIG} has {rank}", a.1)));
    }
    if b.1 != rank {
        return Err(b.0.error(format!("has rank {}, but its {} has {rank}", b.1, a.2)));
    }
    Ok(())
}

/// The rows of an embedding that `trainable_token_indices` trained.
fn trained_tokens(
    config: &AdapterConfig,
    name: &str,
    values: AdapterTensor,
    base: Option<AdapterTensor>,
) -> Result<AdapterChange> {
    let Some(rows) = config.trained_tokens(name) else {
        return Err(values.error(format!("is not in trainable_token_indices of {ADAPTER_CONFIG}")));
    };
    if values.matrix()?.0 != rows.len() as u64 {
        return Err(values.error(format!(
            "has {} rows for {} trainable_token_indices",
            values.shape[0],
            rows.len()
        )));
    }
    Ok(AdapterChange {
        target: format!("{name}.weight"),
        base_layer: base,
        kind: ChangeKind::TokenRows { rows, values },
    })
}

/// A module saved whole is one that the configuration names, a bias, or an embedding that was resized.
fn check_saved(config: &AdapterConfig, name: &str, tensor: &AdapterTensor) -> Result<()> {
    let last = name.rsplit('.').next().unwrap_or(name);
    let known =
        config.saves(name) || matches!(last, "embed_tokens" | "lm_head") || tensor.name.ends_with(".bias");
    if known {
        Ok(())
    } else {
        Err(tensor.error(format!(
            "is not a LoRA factor, and {ADAPTER_CONFIG} does not name its module in modules_to_save"
        )))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_may_carry_the_adapters_own_name() {
        for (name, adapter) in [
            ("base_model.model.model.layers.0.mlp.up_proj.lora_A.weight", ""),
            ("base_model.model.model.layers.0.mlp.up_proj.lora_A.default.weight", "default"),
            ("model.layers.0.mlp.up_proj.lora_A.weight", ""),
        ] {
            assert_eq!(
                parse_name(name),
                Some(("model.layers.0.mlp.up_proj", TensorRole::A, adapter)),
                "{name}"
            );
        }
    }

    #[test]
    fn every_kind_of_tensor_has_its_role() {
        for (name, module, role) in [
            ("base_model.model.lm_head.weight", "lm_head", TensorRole::Weight),
            ("base_model.model.lm_head.modules_to_save.default.weight", "lm_head", TensorRole::SavedWeight),
            ("base_model.model.lm_head.original_module.weight", "lm_head", TensorRole::OriginalModule),
            ("base_model.model.x.y.bias", "x.y", TensorRole::FullBias),
            ("x.lora_B.bias", "x", TensorRole::Bias),
            ("x.lora_embedding_A", "x", TensorRole::EmbeddingA),
            ("x.lora_embedding_B.default", "x", TensorRole::EmbeddingB),
            ("x.lora_magnitude_vector", "x", TensorRole::Magnitude),
            ("x.lora_magnitude_vector.default.weight", "x", TensorRole::Magnitude),
            ("x.base_layer.weight", "x", TensorRole::BaseLayer),
            ("x.base_layer.bias", "x", TensorRole::FullBias),
            ("x.token_adapter.base_layer.weight", "x", TensorRole::BaseLayer),
            ("x.token_adapter.trainable_tokens_delta", "x", TensorRole::TrainedTokens),
        ] {
            assert_eq!(
                parse_name(name).map(|(module, role, _)| (module, role)),
                Some((module, role)),
                "{name}"
            );
        }
    }

    #[test]
    fn a_parameter_of_any_name_is_its_own_module() {
        let name = "base_model.model.model.multi_modal_projector.mm_input_projection_weight";
        let module = "model.multi_modal_projector.mm_input_projection_weight";
        assert_eq!(parse_name(name), Some((module, TensorRole::Parameter, "")));
    }

    #[test]
    fn names_that_peft_does_not_write_have_no_role() {
        for name in ["x.lora_A.bias", ".lora_A.weight", "x.lora_A.a.b.weight", "weight"] {
            assert_eq!(parse_name(name), None, "{name}");
        }
    }
}
