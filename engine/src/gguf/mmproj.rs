//! The file that llama.cpp takes as `--mmproj`: vision tower and projector.

use std::collections::HashSet;

use super::choose::in_order;
use super::chosen::{Chosen, Piece};
use super::general::{naming, sampling};
use super::plan::GgufPlan;
use super::{GgufOptions, Metadata};
use crate::arch::vision;
use crate::model::Model;
use crate::quant::{Mixture, OutputType, Shape, TensorType};
use crate::report::Options;
use crate::{Error, Result};

impl GgufPlan {
    /// Places the tensors of a multimodal model's vision tower and projector. Of the types only those that the
    /// converter makes by itself are of use here; for others the file is F16.
    ///
    /// # Errors
    /// When the model is no multimodal Gemma 3, or a tensor or `preprocessor_config.json` is missing.
    pub fn mmproj(model: &Model, options: &GgufOptions) -> Result<Self> {
        let config = model.base().config();
        vision::tower(config)?;
        let merged = model.adapter().is_some();
        let mut chosen = choose(model, merged)?;
        let trained = chosen.iter().flat_map(Chosen::tensors).any(|tensor| model.is_changed(tensor));
        let model = if trained { model.clone() } else { Model::new(model.base()) };
        if !trained {
            // the adapter is for the language model alone, and says nothing here
            chosen = choose(&model, merged)?;
        }
        check_complete(&model, &chosen)?;
        let output = Some(options.output_type).filter(|t| t.is_the_converters()).unwrap_or(OutputType::F16);
        set_types(output, &mut chosen);
        let mut metadata = Metadata::new("clip");
        metadata.set("general.type", "mmproj");
        sampling(&model, &mut metadata)?;
        match &options.labels {
            None => naming(&options.folder, &chosen, &mut metadata),
            Some(labels) => labels.iter().for_each(|(key, value)| metadata.set(key, value.clone())),
        }
        vision::parameters(&model, output.file_type(), &mut metadata)?;
        metadata.set("general.quantization_version", 2_u32);
        let name = Some(options.folder.clone()).filter(|_| options.labels.is_none());
        let options = Options { name, quantization: Some(output.as_str()), ..Options::default() };
        let companions = ["preprocessor_config.json", "processor_config.json", "generation_config.json"];
        Ok(Self::alone(model, options, &companions, metadata, chosen))
    }
}

fn choose(model: &Model, merged: bool) -> Result<Vec<Chosen>> {
    let mut chosen = Vec::new();
    let mut names = HashSet::new();
    for tensor in in_order(model, merged) {
        let info = &model.tensors()[tensor].info;
        let Some(name) = vision::place(&info.name) else { continue };
        let wrong = |problem: String| Err(Error::tensor(model.base().file_of(info), &info.name, problem));
        if !info.dtype.is_float() {
            return wrong(format!("is {}; GGUF is made from F32, F16 and BF16 weights", info.dtype));
        }
        if !names.insert(name.clone()) {
            return wrong(format!("is a second {name}"));
        }
        let pieces = vec![Piece::Tensor { tensor, elements: info.elements() }];
        let shift = vision::shift(&name);
        chosen.push(Chosen::new(name, info.shape.clone(), pieces, shift));
    }
    Ok(chosen)
}

fn check_complete(model: &Model, chosen: &[Chosen]) -> Result<()> {
    let names: HashSet<&str> = chosen.iter().map(|c| c.name.as_str()).collect();
    match vision::needed(model.base().config(), chosen.len())?
        .into_iter()
        .find(|n| !names.contains(n.as_str()))
    {
        Some(name) => {
            let problem = format!("has no tensor for {name}, which the vision tower needs");
            Err(Error::invalid(model.base().location(), problem))
        }
        None => Ok(()),
    }
}

/// The first and the last matrices of the way from pixels to tokens keep their precision.
fn set_types(output: OutputType, chosen: &mut [Chosen]) {
    let mut mixture = Mixture::new(output, Shape::default());
    for tensor in chosen {
        let [.., _, columns] = tensor.shape[..] else { continue };
        tensor.as_type = match tensor.name.as_str() {
            "v.patch_embd.weight" | "v.position_embd.weight" => TensorType::F32,
            "mm.input_projection.weight" => TensorType::F16,
            name => mixture.choose(name, columns),
        };
    }
}
