//! Which tensor of the base each part of an adapter belongs to, and what becomes of a tied head.

use super::Tensor;
use crate::checkpoint::{Checkpoint, TensorInfo};
use crate::lora::names::{Match, Names};
use crate::lora::{Adapter, Change, Module, Stored};
use crate::{Error, Result};

/// Everything placed.
pub(super) struct Homes {
    pub(super) tensors: Vec<Tensor>,
    pub(super) untied: bool,
}

/// The base's tensors as they are.
pub(super) fn untouched(base: &Checkpoint) -> Vec<Tensor> {
    let tensor = |(base, info): (usize, &TensorInfo)| Tensor {
        info: info.clone(),
        base,
        replaced: None,
        changes: Vec::new(),
    };
    base.tensors().iter().enumerate().map(tensor).collect()
}

pub(super) fn find(base: &Checkpoint, adapter: &Adapter) -> Result<Homes> {
    let names = Names::new(base.tensors().iter().map(|t| t.name.as_str()));
    let mut homes = Homes { tensors: untouched(base), untied: false };
    let mut head = Vec::new();
    let mut homeless = Vec::new();
    for (number, module) in adapter.changes().iter().enumerate() {
        match names.find(&module.target) {
            Match::One(home) => place(base, &mut homes.tensors[home], number, module)?,
            Match::None if is_head(&module.target) => head.push((number, module)),
            Match::None => homeless.push(module.target.clone()),
            Match::Several(several) => {
                let several: Vec<&str> = several.iter().map(|i| base.tensors()[*i].name.as_str()).collect();
                let problem = format!("could belong to any of {}", several.join(", "));
                return Err(Error::tensor(adapter.location(), &module.target, problem));
            }
        }
    }
    if !homeless.is_empty() {
        return Err(Error::Homeless { modules: homeless, total: adapter.modules() });
    }
    split_head(base, adapter, &mut homes, &head)?;
    Ok(homes)
}

/// Gives a tensor one more change.
fn place(base: &Checkpoint, tensor: &mut Tensor, number: usize, module: &Module) -> Result<()> {
    if !tensor.info.dtype.is_float() {
        let problem = format!("is {}; only F32, F16 and BF16 weights can be merged into", tensor.info.dtype);
        return Err(Error::tensor(base.file_of(&base.tensors()[tensor.base]), &tensor.info.name, problem));
    }
    if let Some(stored) = replacement(module) {
        replace(tensor, stored)?;
    }
    check_fit(tensor, &module.change)?;
    if let (false, Change::LowRank { b, .. } | Change::Embedding { b, .. } | Change::Whole(b)) =
        (tensor.changes.is_empty(), &module.change)
    {
        return Err(b.error(format!("is a second change to {}", tensor.info.name)));
    }
    tensor.changes.push(number);
    Ok(())
}

/// The values that stand in for the base's.
fn replacement(module: &Module) -> Option<&Stored> {
    match &module.change {
        Change::Whole(stored) => Some(stored),
        Change::LowRank { .. } | Change::Embedding { .. } | Change::Rows { .. } | Change::Add { .. } => {
            module.base.as_ref()
        }
    }
}

/// Takes another tensor's values; an embedding or head may have other rows than before.
fn replace(tensor: &mut Tensor, stored: &Stored) -> Result<()> {
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

fn check_fit(tensor: &Tensor, change: &Change) -> Result<()> {
    let shape = &tensor.info.shape;
    let (made, of) = match change {
        Change::LowRank { a, b, .. } => (vec![b.shape[0], a.shape[1]], b),
        Change::Embedding { a, b, .. } => (vec![a.shape[1], b.shape[0]], b),
        Change::Whole(stored) => (stored.shape.clone(), stored),
        Change::Add { values, .. } => (values.shape.clone(), values),
        Change::Rows { rows, values } => {
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
    homes: &mut Homes,
    head: &[(usize, &Module)],
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
    let mut tensor = Tensor {
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
fn trains_alone(base: &Checkpoint, adapter: &Adapter, module: &Module, embedding: &Tensor) -> bool {
    let resized = embedding.info.shape != base.tensors()[embedding.base].shape;
    let name = module.target.trim_end_matches(".weight");
    match &module.change {
        Change::LowRank { .. } | Change::Embedding { .. } => true,
        Change::Whole(_) => adapter.config().saves(name) && !adapter.config().ensure_tying && !resized,
        // PEFT ties these itself
        Change::Rows { .. } | Change::Add { .. } => false,
    }
}

/// Whether head and embedding begin with the same values and are changed in the same way.
fn equal(adapter: &Adapter, head: &Tensor, embedding: &Tensor) -> Result<bool> {
    let change = |tensor: &Tensor| match tensor.changes[..] {
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
fn same_change(head: &Change, embedding: &Change) -> Result<bool> {
    match (head, embedding) {
        (
            Change::LowRank { a, b, scaling, magnitude: None, .. },
            Change::Embedding { a: tokens, b: hidden, scaling: other, magnitude: None },
        ) => Ok(scaling == other && a.transposes(hidden)? && b.transposes(tokens)?),
        (Change::Rows { rows, values }, Change::Rows { rows: others, values: theirs }) => {
            Ok(rows == others && values.same_as(theirs)?)
        }
        (Change::Whole(_), Change::Whole(_)) => Ok(true),
        _ => Ok(false),
    }
}

fn without_home(adapter: &Adapter, head: &[(usize, &Module)]) -> Error {
    let modules = head.iter().map(|(_, module)| module.target.clone()).collect();
    Error::Homeless { modules, total: adapter.modules() }
}

pub(super) fn is_embedding(name: &str) -> bool {
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
