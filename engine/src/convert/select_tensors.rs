//! Which tensors of a model a GGUF file has, in which order, and what of them.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use super::planned_tensor::{PlannedTensor, RowSource};
use crate::error::{Error, Result};
use crate::gemma::{Architecture, MappedTensor, VocabMismatch};
use crate::merge::{MergeEffect, MergeScratch, Model};
use crate::numerics::TensorTransform;

/// The model's tensors in the converter's order. A merged model is what PEFT saves: one file, so tensors come by
/// name. A model as it is keeps its shards' order, by name within each.
pub(super) fn in_order(model: &Model, merged: bool) -> Vec<usize> {
    let mut order: Vec<usize> = (0..model.tensors().len()).collect();
    let key = |i: &usize| {
        let info = &model.tensors()[*i].info;
        (if merged { 0 } else { info.shard }, info.name.as_str())
    };
    order.sort_by(|a, b| key(a).cmp(&key(b)));
    order
}

/// Appends the model's tensors to those that come first.
pub(super) fn choose(
    model: &Model,
    architecture: Architecture,
    vocabulary: u64,
    towers_apart: bool,
    chosen: &mut Vec<PlannedTensor>,
) -> Result<()> {
    let mut names: HashSet<String> = chosen.iter().map(|c| c.name.clone()).collect();
    let mut slices = TensorStacks::default();
    for tensor in in_order(model, model.adapter().is_some()) {
        let info = &model.tensors()[tensor].info;
        let file = || model.file_of(&model.tensors()[tensor]);
        let (name, slice) = match architecture.map_tensor(&info.name) {
            MappedTensor::Tensor(name, _) => (name, None),
            MappedTensor::StackPart { name, number } => (name, Some(number)),
            MappedTensor::LmHead if architecture.has_output() => ("output.weight".to_owned(), None),
            MappedTensor::LmHead => {
                refuse_own_head(model, architecture, tensor)?;
                continue;
            }
            MappedTensor::Skipped if model.tensors()[tensor].is_target() && !towers_apart => {
                let problem = "is changed by the adapter, but has no place in a GGUF file: make an mmproj file too, or merge instead";
                return Err(Error::tensor(file(), &info.name, problem));
            }
            MappedTensor::Skipped => continue,
            MappedTensor::Unknown => {
                return Err(Error::tensor(file(), &info.name, format!("has no place in {architecture}")));
            }
        };
        if !info.dtype.is_float() {
            let problem = format!("is {}; GGUF is made from F32, F16 and BF16 weights", info.dtype);
            return Err(Error::tensor(file(), &info.name, problem));
        }
        let form = TensorTransform::Add(architecture.shift(&info.name));
        let made = match slice {
            Some(number) => slices.add(model, tensor, &name, number, architecture.slices())?,
            None => Some(fitted(model, architecture, tensor, &name, vocabulary)?),
        };
        let Some((shape, pieces)) = made else { continue };
        if !names.insert(name.clone()) {
            return Err(Error::tensor(file(), &info.name, format!("is a second {name}")));
        }
        chosen.push(PlannedTensor::new(name, shape, pieces, form));
    }
    Ok(())
}

/// Tensors that are to become one, which is complete where the last of them stands.
#[derive(Default)]
struct TensorStacks(HashMap<String, BTreeMap<usize, usize>>);

impl TensorStacks {
    fn add(
        &mut self,
        model: &Model,
        tensor: usize,
        name: &str,
        number: usize,
        count: usize,
    ) -> Result<Option<(Vec<u64>, Vec<RowSource>)>> {
        let info = &model.tensors()[tensor].info;
        let found = self.0.entry(name.to_owned()).or_default();
        found.insert(number, tensor);
        let same = found.values().all(|other| model.tensors()[*other].info.shape == info.shape);
        if number >= count || !same {
            let problem = format!("is no slice of {name}: there are {count} of one shape");
            return Err(Error::tensor(model.file_of(&model.tensors()[tensor]), &info.name, problem));
        }
        if found.len() < count {
            return Ok(None);
        }
        let shape = [&[count as u64], info.shape.as_slice()].concat();
        let elements = info.elements();
        Ok(Some((
            shape,
            found.values().map(|tensor| RowSource::Tensor { tensor: *tensor, elements }).collect(),
        )))
    }
}

/// A tensor's shape and pieces. Rows of embeddings and vocabulary must agree, or llama.cpp refuses the file.
fn fitted(
    model: &Model,
    architecture: Architecture,
    tensor: usize,
    name: &str,
    vocabulary: u64,
) -> Result<(Vec<u64>, Vec<RowSource>)> {
    let info = &model.tensors()[tensor].info;
    let whole = vec![RowSource::Tensor { tensor, elements: info.elements() }];
    let own = name == "token_embd.weight";
    let [rows, columns] = info.shape[..] else { return Ok((info.shape.clone(), whole)) };
    if rows == vocabulary || !(own || name == "per_layer_token_embd.weight") {
        return Ok((info.shape.clone(), whole));
    }
    let kept = RowSource::Tensor { tensor, elements: rows.min(vocabulary) * columns };
    let pieces = match architecture.vocab_mismatch() {
        VocabMismatch::Truncate if own && rows > vocabulary => vec![kept],
        VocabMismatch::ZeroPad if rows < vocabulary => {
            let zeros: Arc<[f32]> = vec![0.0; columns as usize].into();
            vec![kept, RowSource::Values { values: zeros, times: vocabulary - rows }]
        }
        VocabMismatch::Truncate | VocabMismatch::ZeroPad | VocabMismatch::Reject => {
            let problem = format!("has {rows} rows, but the tokenizer has {vocabulary} tokens");
            return Err(Error::tensor(model.base().file_of(info), &info.name, problem));
        }
    };
    Ok((vec![vocabulary, columns], pieces))
}

/// llama.cpp reads no head for this family; one that equals the embedding can be left out, another cannot.
fn refuse_own_head(model: &Model, architecture: Architecture, head: usize) -> Result<()> {
    let embedding = model.tensors().iter().position(|t| t.info.name.ends_with("embed_tokens.weight"));
    let same = match embedding {
        Some(embedding) => same_values(model, head, embedding)?,
        None => false,
    };
    if same {
        return Ok(());
    }
    let file = model.file_of(&model.tensors()[head]);
    let feature = format!("GGUF for a {architecture} whose lm_head differs from its embedding");
    Err(Error::unsupported(file, feature)
        .advise("llama.cpp has no place for it; export it as a merged model instead"))
}

fn same_values(model: &Model, one: usize, other: usize) -> Result<bool> {
    const STEP: u64 = 1 << 20;
    let (a, b) = (&model.tensors()[one].info, &model.tensors()[other].info);
    if (a.dtype, &a.shape) != (b.dtype, &b.shape) {
        return Ok(false);
    }
    let granule = model.granule(one).max(model.granule(other));
    let step = (STEP / granule).max(1) * granule;
    let mut scratch = MergeScratch::default();
    let mut read = |tensor, first, count| {
        let (mut base, mut merged) = (Vec::new(), Vec::new());
        let effect = model.read(tensor, first, count, &mut scratch, &mut base, &mut merged)?;
        Ok::<_, Error>(if effect == MergeEffect::Untouched { base } else { merged })
    };
    let mut first = 0;
    while first < a.elements() {
        let count = step.min(a.elements() - first);
        if read(one, first, count)? != read(other, first, count)? {
            return Ok(false);
        }
        first += count;
    }
    Ok(true)
}
