//! Which tensor of the base each part of an adapter belongs to, and what becomes of a tied head.

use super::ModelTensor;
use super::target_names::{TargetMatch, TargetNames};
use crate::checkpoint::{Checkpoint, TensorInfo};
use crate::error::{Error, Result};
use crate::peft::{Adapter, AdapterChange, AdapterTensor, ChangeKind};

/// Everything placed.
pub(super) struct MatchedTargets {
    pub(super) tensors: Vec<ModelTensor>,
    pub(super) untied: bool,
}

/// The base's tensors as they are.
pub(super) fn untouched(base: &Checkpoint) -> Vec<ModelTensor> {
    let tensor = |(base, info): (usize, &TensorInfo)| ModelTensor {
        info: info.clone(),
        base,
        replaced: None,
        changes: Vec::new(),
    };
    base.tensors().iter().enumerate().map(tensor).collect()
}

pub(super) fn find(base: &Checkpoint, adapter: &Adapter) -> Result<MatchedTargets> {
    let names = TargetNames::new(base.tensors().iter().map(|t| t.name.as_str()));
    let mut homes = MatchedTargets { tensors: untouched(base), untied: false };
    let mut head = Vec::new();
    let mut homeless = Vec::new();
    for (number, module) in adapter.changes().iter().enumerate() {
        match names.find(&module.target) {
            TargetMatch::One(home) => place(base, &mut homes.tensors[home], number, module)?,
            TargetMatch::None if is_head(&module.target) => head.push((number, module)),
            TargetMatch::None => homeless.push(module.target.clone()),
            TargetMatch::Several(several) => {
                let several: Vec<&str> = several.iter().map(|i| base.tensors()[*i].name.as_str()).collect();
                let problem = format!("could belong to any of {}", several.join(", "));
                return Err(Error::tensor(adapter.location(), &module.target, problem));
            }
        }
    }
    if !homeless.is_empty() {
        return Err(Error::UnmatchedModules { modules: homeless, total: adapter.modules() });
    }
    split_head(base, adapter, &mut homes, &head)?;
    Ok(homes)
}

/// Gives a tensor one more change.
fn place(base: &Checkpoint, tensor: &mut ModelTensor, number: usize, module: &AdapterChange) -> Result<()> {
    if !tensor.info.dtype.is_float() {
        let problem = format!("is {}; only F32, F16 and BF16 weights can be merged into", tensor.info.dtype);
        return Err(Error::tensor(base.file_of(&base.tensors()[tensor.base]), &tensor.info.name, problem));
    }
    if let Some(stored) = replacement(module) {
        replace(tensor, stored)?;
    }
    check_fit(tensor, &module.change)?;
    if let (false, ChangeKind::LowRank { b, .. } | ChangeKind::Embedding { b, .. } | ChangeKind::Whole(b)) =
        (tensor.changes.is_empty(), &module.change)
    {
        return Err(b.error(format!("is a second change to {}", tensor.info.name)));
    }
    tensor.changes.push(number);
    Ok(())
}

/// The values that stand in for the base's.
fn replacement(module: &AdapterChange) -> Option<&AdapterTensor> {
    match &module.change {
        ChangeKind::Whole(stored) => Some(stored),
        ChangeKind::LowRank { .. }
        | ChangeKind::Embedding { .. }
        | ChangeKind::Rows { .. }
        | ChangeKind::Add { .. } => module.base.as_ref(),
    }
}

/// Takes another tensor's values; an embedding or head may have other rows than before.
fn replace(tensor: &mut ModelTensor, stored: &AdapterTensor) -> Result<()> {
    let resizable = is_embedding(&tensor.info.name) || is_head(&tensor.info.name);
    let same = stored.shape == tensor.info.shape;
    let other_rows = stored.shape.get(1..) == tensor.info.shape.get(1..);
    if !(same || resizable && other_rows) {
        let problem = format!("is {:?}, but {} is {:?}", stored.shape, tensor.info.name, tensor.info.shape);
        return Err(stored.error(problem));
    }
    tensor.info.shape.clone_from(&stored.shape);
    tensor.info.bytes = tensor.info.elements() * tensor.info.dtype.bytes();
    tensor.replaced = Some(stored.clone());
    Ok(())
}

fn check_fit(tensor: &ModelTensor, change: &ChangeKind) -> Result<()> {
    let shape = &tensor.info.shape;
    let (made, of) = match change {
        ChangeKind::LowRank { a, b, .. } => (vec![b.shape[0], a.shape[1]], b),
        ChangeKind::Embedding { a, b, .. } => (vec![a.shape[1], b.shape[0]], b),
        ChangeKind::Whole(stored) => (stored.shape.clone(), stored),
        ChangeKind::Add { values, .. } => (values.shape.clone(), values),
        ChangeKind::Rows { rows, values } => {
            let count = shape.first().copied().unwrap_or(0);
            if let Some(row) = rows.iter().find(|row| **row >= count) {
                return Err(values.error(format!("is for row {row}, but {} has {count}", tensor.info.name)));
            }
            (vec![count, values.shape[1]], values)
        }
    };
    if made != *shape {
        let problem = format!("makes a change of shape {made:?}, but {} is {shape:?}", tensor.info.name);
        return Err(of.error(problem));
    }
    Ok(())
}

/// A head that shares the embedding's tensor stays so as long as both would be equal. What was trained is the
/// embedding alone or the head alone, so otherwise they become two tensors.
fn split_head(
    base: &Checkpoint,
    adapter: &Adapter,
    homes: &mut MatchedTargets,
    head: &[(usize, &AdapterChange)],
) -> Result<()> {
    let Some(at) = homes.tensors.iter().position(|t| is_embedding(&t.info.name)) else {
        return if head.is_empty() { Ok(()) } else { Err(without_home(adapter, head)) };
    };
    let has_head = homes.tensors.iter().any(|t| is_head(&t.info.name));
    // a model that embeds texts has no head
    let headless = base.config().class().is_some_and(|class| class.ends_with("TextModel"));
    let tied = base.config().bool("tie_word_embeddings") != Some(false) && !headless;
    if has_head || !tied {
        return if head.is_empty() { Ok(()) } else { Err(without_home(adapter, head)) };
    }
    let embedding = &homes.tensors[at];
    let alone =
        embedding.changes.iter().any(|i| trains_alone(base, adapter, &adapter.changes()[*i], embedding));
    if head.is_empty() && !alone {
        return Ok(());
    }
    let mut tensor = ModelTensor {
        info: TensorInfo { name: head_name(&embedding.info.name), ..base.tensors()[embedding.base].clone() },
        base: embedding.base,
        replaced: None,
        changes: Vec::new(),
    };
    for (number, module) in head {
        place(base, &mut tensor, *number, module)?;
    }
    if equal(adapter, &tensor, embedding)? {
        // both were trained and stayed one: the adapter only says so twice
        return Ok(());
    }
    if tensor.info.shape != embedding.info.shape {
        let problem = format!("is {:?}, but its head is {:?}", embedding.info.shape, tensor.info.shape);
        return Err(Error::tensor(adapter.location(), &embedding.info.name, problem));
    }
    let shard = embedding.info.shard;
    let first = homes.tensors.iter().position(|t| t.info.shard == shard).unwrap_or(0);
    homes.tensors.insert(first, tensor);
    homes.untied = true;
    Ok(())
}

/// Whether a change to the embedding was not one to the head that shares its tensor.
fn trains_alone(
    base: &Checkpoint,
    adapter: &Adapter,
    module: &AdapterChange,
    embedding: &ModelTensor,
) -> bool {
    let resized = embedding.info.shape != base.tensors()[embedding.base].shape;
    let name = module.target.trim_end_matches(".weight");
    match &module.change {
        ChangeKind::LowRank { .. } | ChangeKind::Embedding { .. } => true,
        ChangeKind::Whole(_) => adapter.config().saves(name) && !adapter.config().ensure_tying && !resized,
        // PEFT ties these itself
        ChangeKind::Rows { .. } | ChangeKind::Add { .. } => false,
    }
}

/// Whether head and embedding begin with the same values and are changed in the same way.
fn equal(adapter: &Adapter, head: &ModelTensor, embedding: &ModelTensor) -> Result<bool> {
    let change = |tensor: &ModelTensor| match tensor.changes[..] {
        [only] => Some(&adapter.changes()[only].change),
        _ => None,
    };
    let (Some(one), Some(other)) = (change(head), change(embedding)) else { return Ok(false) };
    let begin = match (&head.replaced, &embedding.replaced) {
        (None, None) => true,
        (Some(a), Some(b)) => a.same_as(b)?,
        _ => false,
    };
    Ok(begin && same_change(one, other)?)
}

/// Whether a change to the head is what the other one is to the embedding, whose factors lie the other way round.
fn same_change(head: &ChangeKind, embedding: &ChangeKind) -> Result<bool> {
    match (head, embedding) {
        (
            ChangeKind::LowRank { a, b, scaling, magnitude: None, .. },
            ChangeKind::Embedding { a: tokens, b: hidden, scaling: other, magnitude: None },
        ) => Ok(scaling == other && a.transposes(hidden)? && b.transposes(tokens)?),
        (ChangeKind::Rows { rows, values }, ChangeKind::Rows { rows: others, values: theirs }) => {
            Ok(rows == others && values.same_as(theirs)?)
        }
        (ChangeKind::Whole(_), ChangeKind::Whole(_)) => Ok(true),
        _ => Ok(false),
    }
}

fn without_home(adapter: &Adapter, head: &[(usize, &AdapterChange)]) -> Error {
    let modules = head.iter().map(|(_, module)| module.target.clone()).collect();
    Error::UnmatchedModules { modules, total: adapter.modules() }
}

pub(crate) fn is_embedding(name: &str) -> bool {
    name.ends_with("embed_tokens.weight") && !name.contains("vision") && !name.contains("audio")
}

fn is_head(name: &str) -> bool {
    name.ends_with("lm_head.weight")
}

/// What the head is called in a checkpoint whose embedding has this name.
fn head_name(embedding: &str) -> String {
    match embedding.strip_suffix("model.embed_tokens.weight") {
        Some(prefix) if prefix.ends_with('.') => format!("{prefix}lm_head.weight"),
        Some(_) | None => "lm_head.weight".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_head_stands_beside_the_language_model() {
        assert_eq!(head_name("model.embed_tokens.weight"), "lm_head.weight");
        assert_eq!(head_name("language_model.model.embed_tokens.weight"), "language_model.lm_head.weight");
        assert_eq!(head_name("model.language_model.embed_tokens.weight"), "lm_head.weight");
    }
}
