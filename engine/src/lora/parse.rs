//! From the names of an adapter's tensors to what they do.

use std::collections::{BTreeMap, BTreeSet};

use super::{AdapterConfig, CONFIG, Change, Module, Stored};
use crate::{Error, Result};

/// What a tensor is to its module.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Role {
    A,
    B,
    Bias,
    Magnitude,
    EmbeddingA,
    EmbeddingB,
    Tokens,
    /// What the base was when training began; saved with adapters for embeddings.
    Base,
    /// The module's new weight.
    Weight,
    /// The module's new bias.
    WholeBias,
    /// The same again; saved with embeddings that are in `modules_to_save`.
    SavedWeight,
    SavedBias,
    /// What a module in `modules_to_save` was before; of no use.
    Original,
}

/// Splits a tensor's name into its module, its role and the adapter's name. Names may carry `base_model.model.` in
/// front and the name of the adapter (`default`) inside.
fn parse_name(name: &str) -> Option<(&str, Role, &str)> {
    const MARKS: [(&str, Role); 9] = [
        (".lora_embedding_A", Role::EmbeddingA),
        (".lora_embedding_B", Role::EmbeddingB),
        (".lora_magnitude_vector", Role::Magnitude),
        (".token_adapter.trainable_tokens_delta", Role::Tokens),
        (".lora_A", Role::A),
        (".lora_B", Role::B),
        (".base_layer", Role::Base),
        (".modules_to_save", Role::SavedWeight),
        (".original_module", Role::Original),
    ];
    let path = name.strip_prefix("base_model.model.").unwrap_or(name);
    let Some((mark, role)) = MARKS.iter().find(|(mark, _)| path.contains(mark)) else {
        let (module, kind) = path.rsplit_once('.')?;
        return Some((module, whole(kind)?, "")).filter(|(module, ..)| !module.is_empty());
    };
    let (module, rest) = path.split_once(mark)?;
    let (adapter, kind) = match rest.rsplit_once('.') {
        Some((adapter, kind @ ("weight" | "bias"))) => (adapter, kind),
        Some(_) | None => (rest, "weight"),
    };
    let role = match (role, kind) {
        (Role::B, "bias") => Role::Bias,
        (Role::Base, "bias") => Role::WholeBias,
        (Role::SavedWeight, "bias") => Role::SavedBias,
        (Role::Original, _) => Role::Original,
        (_, "weight") => *role,
        _ => return None,
    };
    let adapter = adapter.trim_matches('.');
    let module = module.strip_suffix(".token_adapter").unwrap_or(module);
    (!module.is_empty() && !adapter.contains('.')).then_some((module, role, adapter))
}

fn whole(kind: &str) -> Option<Role> {
    match kind {
        "weight" => Some(Role::Weight),
        "bias" => Some(Role::WholeBias),
        _ => None,
    }
}

/// Sorts tensors by module and makes of each module what it changes.
pub(super) fn modules(config: &AdapterConfig, tensors: Vec<Stored>) -> Result<Vec<Module>> {
    check_one_adapter(&tensors)?;
    let mut parts: BTreeMap<String, BTreeMap<Role, Stored>> = BTreeMap::new();
    for tensor in tensors {
        let Some((module, role, _)) = parse_name(&tensor.name) else {
            return Err(tensor.error("is nothing that PEFT's LoRA saves"));
        };
        if role == Role::Original {
            continue;
        }
        let roles = parts.entry(module.to_owned()).or_default();
        if let Some(before) = roles.get(&role) {
            return Err(tensor.error(format!("says the same as {}", before.name)));
        }
        roles.insert(role, tensor);
    }
    let mut modules = Vec::new();
    for (name, mut roles) in parts {
        let base = roles.remove(&Role::Base);
        low_rank(config, &name, &mut roles, base.as_ref(), &mut modules)?;
        embedding(config, &name, &mut roles, base.as_ref(), &mut modules)?;
        if let Some(tokens) = roles.remove(&Role::Tokens) {
            modules.push(trained_tokens(config, &name, tokens, base.clone())?);
        }
        let weight = (Role::Weight, Role::SavedWeight, "weight");
        for (role, again, suffix) in [weight, (Role::WholeBias, Role::SavedBias, "bias")] {
            let (tensor, again) = (roles.remove(&role), roles.remove(&again));
            if let Some(tensor) = tensor.or(again) {
                check_saved(config, &name, &tensor)?;
                modules.push(Module {
                    target: format!("{name}.{suffix}"),
                    base: None,
                    change: Change::Whole(tensor),
                });
            }
        }
        if let Some((role, tensor)) = roles.pop_first() {
            return Err(tensor.error(format!("has no {} to go with it", partner(role))));
        }
    }
    Ok(modules)
}

/// A file with factors of several adapters says not which of them is meant.
fn check_one_adapter(tensors: &[Stored]) -> Result<()> {
    let named = |tensor: &Stored| parse_name(&tensor.name).map(|(.., adapter)| adapter.to_owned());
    let names: BTreeSet<String> = tensors.iter().filter_map(named).filter(|name| !name.is_empty()).collect();
    if let (Some(first), true) = (tensors.first(), names.len() > 1) {
        let names: Vec<String> = names.into_iter().collect();
        let feature = format!("a file with several adapters ({})", names.join(", "));
        let advice = "save the one that is meant (save_pretrained with selected_adapters)";
        return Err(Error::unsupported(first.location(), feature).advise(advice));
    }
    Ok(())
}

fn partner(role: Role) -> &'static str {
    match role {
        Role::A | Role::Bias | Role::Magnitude => "lora_B",
        Role::B => "lora_A",
        Role::EmbeddingA => "lora_embedding_B",
        Role::EmbeddingB => "lora_embedding_A",
        Role::Tokens
        | Role::Base
        | Role::Weight
        | Role::WholeBias
        | Role::SavedWeight
        | Role::SavedBias
        | Role::Original => "module",
    }
}

fn low_rank(
    config: &AdapterConfig,
    name: &str,
    roles: &mut BTreeMap<Role, Stored>,
    base: Option<&Stored>,
    modules: &mut Vec<Module>,
) -> Result<()> {
    if !(roles.contains_key(&Role::A) && roles.contains_key(&Role::B)) {
        return Ok(());
    }
    let (Some(a), Some(b)) = (roles.remove(&Role::A), roles.remove(&Role::B)) else { return Ok(()) };
    check_rank(config, name, (&a, a.matrix()?.0, "lora_A"), (&b, b.matrix()?.1))?;
    let scaling = config.scaling_of(name);
    if let Some(bias) = roles.remove(&Role::Bias) {
        let change = Change::Add { values: bias, scaling };
        modules.push(Module { target: format!("{name}.bias"), base: roles.remove(&Role::WholeBias), change });
    }
    let magnitude = magnitude(config, roles, &b)?;
    let change = Change::LowRank { a, b, scaling, magnitude, rounded: config.by_parameter(name) };
    modules.push(Module { target: format!("{name}.weight"), base: base.cloned(), change });
    Ok(())
}

fn embedding(
    config: &AdapterConfig,
    name: &str,
    roles: &mut BTreeMap<Role, Stored>,
    base: Option<&Stored>,
    modules: &mut Vec<Module>,
) -> Result<()> {
    if !(roles.contains_key(&Role::EmbeddingA) && roles.contains_key(&Role::EmbeddingB)) {
        return Ok(());
    }
    let (Some(a), Some(b)) = (roles.remove(&Role::EmbeddingA), roles.remove(&Role::EmbeddingB)) else {
        return Ok(());
    };
    check_rank(config, name, (&a, a.matrix()?.0, "lora_embedding_A"), (&b, b.matrix()?.1))?;
    let magnitude = magnitude(config, roles, &b)?;
    let change = Change::Embedding { a, b, scaling: config.scaling_of(name), magnitude };
    modules.push(Module { target: format!("{name}.weight"), base: base.cloned(), change });
    Ok(())
}

/// DoRA's magnitudes, one for each row of `b`.
fn magnitude(
    config: &AdapterConfig,
    roles: &mut BTreeMap<Role, Stored>,
    b: &Stored,
) -> Result<Option<Stored>> {
    let magnitude = roles.remove(&Role::Magnitude);
    match &magnitude {
        None if config.dora => Err(b.error(format!("has no magnitude vector, but use_dora in {CONFIG}"))),
        Some(_) if !config.dora => {
            Err(b.error(format!("has a magnitude vector, but not use_dora in {CONFIG}")))
        }
        Some(magnitude) if magnitude.length() != b.shape[0] => {
            let problem = format!("has {} values for {} rows", magnitude.length(), b.shape[0]);
            Err(magnitude.error(problem))
        }
        Some(_) | None => Ok(magnitude),
    }
}

fn check_rank(config: &AdapterConfig, name: &str, a: (&Stored, u64, &str), b: (&Stored, u64)) -> Result<()> {
    let rank = u64::from(config.rank_of(name));
    if a.1 != rank {
        return Err(a.0.error(format!("has rank {}, but {CONFIG} says {rank}", a.1)));
    }
    if b.1 != rank {
        return Err(b.0.error(format!("has rank {}, but its {} has {rank}", b.1, a.2)));
    }
    Ok(())
}

/// Rows of an embedding that were trained by themselves.
fn trained_tokens(
    config: &AdapterConfig,
    name: &str,
    values: Stored,
    base: Option<Stored>,
) -> Result<Module> {
    let Some(rows) = config.trained_tokens(name) else {
        return Err(values.error(format!("is not in trainable_token_indices of {CONFIG}")));
    };
    if values.matrix()?.0 != rows.len() as u64 {
        return Err(values.error(format!(
            "has {} rows for {} trainable_token_indices",
            values.shape[0],
            rows.len()
        )));
    }
    Ok(Module { target: format!("{name}.weight"), base, change: Change::Rows { rows, values } })
}

/// A module saved whole is one that the configuration names, a bias, or an embedding that was resized.
fn check_saved(config: &AdapterConfig, name: &str, tensor: &Stored) -> Result<()> {
    let last = name.rsplit('.').next().unwrap_or(name);
    let known =
        config.saves(name) || matches!(last, "embed_tokens" | "lm_head") || tensor.name.ends_with(".bias");
    if known {
        Ok(())
    } else {
        Err(tensor.error(format!("is no LoRA factor and not in modules_to_save of {CONFIG}")))
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
            assert_eq!(parse_name(name), Some(("model.layers.0.mlp.up_proj", Role::A, adapter)), "{name}");
        }
    }

    #[test]
    fn every_kind_of_tensor_has_its_role() {
        for (name, module, role) in [
            ("base_model.model.lm_head.weight", "lm_head", Role::Weight),
            ("base_model.model.lm_head.modules_to_save.default.weight", "lm_head", Role::SavedWeight),
            ("base_model.model.lm_head.original_module.weight", "lm_head", Role::Original),
            ("base_model.model.x.y.bias", "x.y", Role::WholeBias),
            ("x.lora_B.bias", "x", Role::Bias),
            ("x.lora_embedding_A", "x", Role::EmbeddingA),
            ("x.lora_embedding_B.default", "x", Role::EmbeddingB),
            ("x.lora_magnitude_vector", "x", Role::Magnitude),
            ("x.lora_magnitude_vector.default.weight", "x", Role::Magnitude),
            ("x.base_layer.weight", "x", Role::Base),
            ("x.base_layer.bias", "x", Role::WholeBias),
            ("x.token_adapter.base_layer.weight", "x", Role::Base),
            ("x.token_adapter.trainable_tokens_delta", "x", Role::Tokens),
        ] {
            assert_eq!(
                parse_name(name).map(|(module, role, _)| (module, role)),
                Some((module, role)),
                "{name}"
            );
        }
    }

    #[test]
    fn what_is_none_of_them_has_no_role() {
        for name in ["x.lora_A.bias", ".lora_A.weight", "x.lora_A.a.b.weight", "weight", "x.scales"] {
            assert_eq!(parse_name(name), None, "{name}");
        }
    }
}
