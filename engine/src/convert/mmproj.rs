//! The file that llama.cpp takes as `--mmproj`: the towers that look and listen, with their projectors.

use std::collections::HashSet;

use super::GgufOptions;
use super::GgufPlan;
use super::general_metadata::{naming, sampling};
use super::planned_tensor::{PlannedTensor, RowSource};
use super::select_tensors::in_order;
use crate::error::{Error, Result};
use crate::gemma::{MappedTensor, MmprojEncoders};
use crate::gguf::GgufMetadata;
use crate::merge::Model;
use crate::quant::{ModelShape, OutputType, TypeSelector};
use crate::report::ReportOptions;

impl GgufPlan {
    /// Places the tensors of a multimodal model's towers and projectors. Of the types only those that the
    /// converter makes by itself are of use here; for others the file is F16.
    ///
    /// # Errors
    /// When the model has no towers, a tensor or `preprocessor_config.json` is missing, or a tensor is unknown or has
    /// the wrong shape.
    pub fn mmproj(model: &Model, options: &GgufOptions) -> Result<Self> {
        let config = model.base().config();
        let towers = MmprojEncoders::of(config)?;
        let merged = model.adapter().is_some();
        let mut chosen = choose(model, &towers, merged)?;
        let trained = chosen.iter().flat_map(PlannedTensor::tensors).any(|tensor| model.is_changed(tensor));
        let model = if trained { model.clone() } else { Model::new(model.base()) };
        if !trained {
            // the adapter is for the language model alone, and says nothing here
            chosen = choose(&model, &towers, merged)?;
        }
        check_complete(&model, &towers, &chosen)?;
        let output = Some(options.output_type).filter(|t| t.is_the_converters()).unwrap_or(OutputType::F16);
        set_types(&towers, output, &mut chosen);
        let mut metadata = GgufMetadata::new("clip");
        metadata.set("general.type", "mmproj");
        sampling(model.files(), &mut metadata)?;
        match &options.labels {
            None => naming(&options.folder, &chosen, &mut metadata),
            Some(labels) => labels.iter().for_each(|(key, value)| metadata.set(key, value.clone())),
        }
        towers.parameters(model.files(), output.file_type(), &mut metadata)?;
        metadata.set("general.quantization_version", 2_u32);
        let name = Some(options.folder.clone()).filter(|_| options.labels.is_none());
        let options = ReportOptions { name, quantization: Some(output.as_str()), ..ReportOptions::default() };
        let companions = ["preprocessor_config.json", "processor_config.json", "generation_config.json"];
        Ok(Self::alone(model, options, &companions, metadata, chosen))
    }
}

fn choose(model: &Model, towers: &MmprojEncoders, merged: bool) -> Result<Vec<PlannedTensor>> {
    let mut chosen = Vec::new();
    let mut names = HashSet::new();
    for tensor in in_order(model, merged) {
        let info = &model.tensors()[tensor].info;
        let wrong = |problem: String| Error::tensor(model.base().file_of(info), &info.name, problem);
        let name = match towers.place(&info.name) {
            MappedTensor::Tensor(name, _) => name,
            MappedTensor::Skipped => continue,
            MappedTensor::StackPart { .. } | MappedTensor::LmHead | MappedTensor::Unknown => {
                return Err(wrong("has no place in an mmproj file".to_owned()));
            }
        };
        if !info.dtype.is_float() {
            return Err(wrong(format!("is {}; GGUF is made from F32, F16 and BF16 weights", info.dtype)));
        }
        if !names.insert(name.clone()) {
            return Err(wrong(format!("is a second {name}")));
        }
        let pieces = vec![RowSource::Tensor { tensor, elements: info.elements() }];
        let (shape, form) = towers.form(&name, &info.shape).map_err(wrong)?;
        chosen.push(PlannedTensor::new(name, shape, pieces, form));
    }
    Ok(chosen)
}

fn check_complete(model: &Model, towers: &MmprojEncoders, chosen: &[PlannedTensor]) -> Result<()> {
    let names: HashSet<&str> = chosen.iter().map(|c| c.name.as_str()).collect();
    match towers.needed(chosen.len())?.into_iter().find(|n| !names.contains(n.as_str())) {
        Some(name) => {
            let problem = format!("has no tensor for {name}, which its towers need");
            Err(Error::invalid(model.base().location(), problem))
        }
        None => Ok(()),
    }
}

fn set_types(towers: &MmprojEncoders, output: OutputType, chosen: &mut [PlannedTensor]) {
    let mut mixture = TypeSelector::new(output, ModelShape::default());
    for tensor in chosen {
        let [.., _, columns] = tensor.shape[..] else { continue };
        let fixed = towers.fixed_type(&tensor.name, output);
        tensor.as_type = fixed.unwrap_or_else(|| mixture.choose(&tensor.name, columns));
    }
}
