//! Selects the tensors of a language model for a GGUF file, in the converter's order.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use kernels::numerics::TensorTransform;

use super::planned_tensor::{PlannedTensor, PlannedTensors, RowSource};
use crate::error::{Error, Result};
use crate::gemma::{Architecture, ExtraTensor, MappedTensor, MmprojEncoders, VocabMismatch};
use crate::merge::Model;

/// The numbers of the model's tensors in the converter's order. A merged model is what PEFT saves: one file, sorted by
/// name. A model without an adapter keeps the order of its shards, sorted by name within each.
pub(super) fn converter_order(model: &Model, merged: bool) -> Vec<usize> {
    let mut order: Vec<usize> = (0..model.tensors().len()).collect();
    let key = |i: &usize| {
        let info = &model.tensors()[*i].info;
        (if merged { 0 } else { info.shard }, info.name.as_str())
    };
    order.sort_by(|a, b| key(a).cmp(&key(b)));
    order
}

/// Selects the tensors of a language model.
pub(super) struct TensorSelection<'a> {
    model: &'a Model,
    architecture: Architecture,
    /// The number of tokens.
    vocabulary: u64,
    /// The vision and audio encoders go to a file of their own.
    separate_mmproj: bool,
    stacks: TensorStacks,
}

impl<'a> TensorSelection<'a> {
    pub(super) fn new(
        model: &'a Model,
        architecture: Architecture,
        vocabulary: u64,
        separate_mmproj: bool,
    ) -> Self {
        Self { model, architecture, vocabulary, separate_mmproj, stacks: TensorStacks::default() }
    }

    /// All tensors of the file; `extra` are the first.
    pub(super) fn select(mut self, extra: &[ExtraTensor]) -> Result<PlannedTensors> {
        let mut planned = PlannedTensors::from_extra(extra);
        for number in converter_order(self.model, self.model.adapter().is_some()) {
            if let Some(tensor) = self.plan(number)? {
                planned.push(self.model, number, tensor)?;
            }
        }
        Ok(planned)
    }

    /// The tensor of the file that is complete with the model's tensor of this number; `None` for one that is not in
    /// the file, or whose stack lacks tensors.
    fn plan(&mut self, number: usize) -> Result<Option<PlannedTensor>> {
        let tensor = &self.model.tensors()[number];
        let info = &tensor.info;
        let error = |problem| Err(Error::tensor(self.model.file_of(tensor), &info.name, problem));
        let family = self.architecture.family();
        let (name, part) = match family.map_tensor(&info.name) {
            MappedTensor::Tensor(name, _) => (name, None),
            MappedTensor::StackPart { name, number, count } => (name, Some((number, count))),
            MappedTensor::LmHead if family.has_lm_head => ("output.weight".to_owned(), None),
            MappedTensor::LmHead => {
                refuse_own_lm_head(self.model, self.architecture, number)?;
                return Ok(None);
            }
            MappedTensor::Skipped
                if tensor.is_target() && !self.separate_mmproj && !is_unused(self.model, &info.name) =>
            {
                let problem = "is changed by the adapter, but not stored in a GGUF file of the language model: make an mmproj file too, or merge instead";
                return error(problem.to_owned());
            }
            MappedTensor::Skipped => return Ok(None),
            MappedTensor::Unknown => {
                return error(format!("is not a tensor that {} files have", self.architecture));
            }
        };
        let transform = TensorTransform::Add(family.tensor_shift(&info.name));
        let rows = match part {
            Some(part) => self.stacks.add(self.model, number, &name, part)?,
            None => Some(self.fit_vocabulary(number, &name)?),
        };
        Ok(rows.map(|(shape, rows)| PlannedTensor::new(name, shape, rows, transform)))
    }

    /// Shape and rows of a tensor. An embedding must have a row for each token: llama.cpp refuses the file otherwise.
    fn fit_vocabulary(&self, number: usize, name: &str) -> Result<(Vec<u64>, Vec<RowSource>)> {
        let (model, vocabulary) = (self.model, self.vocabulary);
        let info = &model.tensors()[number].info;
        let whole = vec![RowSource::Tensor { tensor: number, elements: info.elements() }];
        let token_embedding = name == "token_embd.weight";
        let [rows, columns] = info.shape[..] else { return Ok((info.shape.clone(), whole)) };
        if rows == vocabulary || !(token_embedding || name == "per_layer_token_embd.weight") {
            return Ok((info.shape.clone(), whole));
        }
        let kept = RowSource::Tensor { tensor: number, elements: rows.min(vocabulary) * columns };
        let sources = match self.architecture.family().vocab_mismatch {
            VocabMismatch::Truncate if token_embedding && rows > vocabulary => vec![kept],
            VocabMismatch::ZeroPad if rows < vocabulary => {
                let zeros: Arc<[f32]> = vec![0.0; columns as usize].into();
                vec![kept, RowSource::Values { values: zeros, times: vocabulary - rows }]
            }
            VocabMismatch::Truncate | VocabMismatch::ZeroPad | VocabMismatch::Reject => {
                let problem = format!("has {rows} rows, but the tokenizer has {vocabulary} tokens");
                return Err(Error::tensor(model.base().file_of(info), &info.name, problem));
            }
        };
        Ok((vec![vocabulary, columns], sources))
    }
}

/// Tensors that are stacked to one, by the name of the stack and their number in it.
#[derive(Default)]
struct TensorStacks(HashMap<String, BTreeMap<usize, usize>>);

impl TensorStacks {
    /// Adds the model's tensor `number` as `part` of a stack of `count`. Shape and rows of the stack, when it is complete.
    fn add(
        &mut self,
        model: &Model,
        number: usize,
        name: &str,
        (part, count): (usize, usize),
    ) -> Result<Option<(Vec<u64>, Vec<RowSource>)>> {
        let info = &model.tensors()[number].info;
        let parts = self.0.entry(name.to_owned()).or_default();
        parts.insert(part, number);
        let same_shape = parts.values().all(|other| model.tensors()[*other].info.shape == info.shape);
        if part >= count || !same_shape {
            let problem = format!("is not part of {name}, which stacks {count} tensors of one shape");
            return Err(Error::tensor(model.file_of(&model.tensors()[number]), &info.name, problem));
        }
        if parts.len() < count {
            return Ok(None);
        }
        let shape = [&[count as u64], info.shape.as_slice()].concat();
        let elements = info.elements();
        let rows = parts.values().map(|tensor| RowSource::Tensor { tensor: *tensor, elements });
        Ok(Some((shape, rows.collect())))
    }
}

/// Refuses an lm_head that llama.cpp does not read for this family, unless it equals the embedding.
fn refuse_own_lm_head(model: &Model, architecture: Architecture, lm_head: usize) -> Result<()> {
    if let Some(embedding) = model.embedding()
        && model.same_values(lm_head, embedding)?
    {
        return Ok(());
    }
    let file = model.file_of(&model.tensors()[lm_head]);
    let feature = format!("GGUF for a {architecture} whose lm_head differs from its embedding");
    Err(Error::unsupported(file, feature)
        .advise("llama.cpp does not read an lm_head of this family; export it as a merged model instead"))
}

/// Whether this is the name of a tensor that the model does not use.
fn is_unused(model: &Model, name: &str) -> bool {
    MmprojEncoders::of(model.base().config()).is_ok_and(|encoders| encoders.unused_module(name).is_some())
}
